//! nginx's own configuration: the user that workers run as and what it may do, and the environment that nginx keeps.

use std::ffi::{CStr, CString};
use std::io;
use std::marker::PhantomData;
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::ptr::{self, NonNull};

use ngx::ffi::{ngx_array_push, ngx_core_conf_t, ngx_core_module, ngx_http_core_srv_conf_t, ngx_str_t};
use ngx::http::{HttpModuleLocationConf, HttpModuleServerConf, NgxHttpCoreModule};

use super::bytes_of;
use super::conf::Conf;
use super::request::Request;

/// nginx's own configuration. What is not set in it gets its default only after all of the file was read.
#[derive(Clone, Copy)]
pub struct CoreConf<'a>(NonNull<ngx_core_conf_t>, PhantomData<&'a ngx_core_conf_t>);

/// The user of workers that is another than that of the master.
pub struct WorkerUser<'a> {
    /// Its number.
    pub uid: u32,
    /// The number of its group.
    pub gid: u32,
    name: &'a CStr,
}

impl<'a> Conf<'a> {
    /// nginx's own configuration.
    pub fn core(&self) -> CoreConf<'a> {
        // SAFETY: the cycle is live while its configuration is read, and nginx has made this part of it before.
        unsafe {
            let core = *(*(*self.raw()).cycle).conf_ctx.add((*ptr::addr_of!(ngx_core_module)).index);
            CoreConf::new(core.cast())
        }
    }
}

/// A `server` block, for as long as its configuration lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Server(usize);

impl Server {
    fn of(conf: Option<&ngx_http_core_srv_conf_t>) -> Option<Server> {
        conf.map(|conf| Server(ptr::from_ref(conf).addr()))
    }
}

impl Request<'_> {
    /// The server that it is made to.
    pub fn server(&self) -> Option<Server> {
        // SAFETY: the request is live, and so is the configuration that it was made by.
        Server::of(NgxHttpCoreModule::server_conf(unsafe { &*self.raw() }))
    }
}

impl Conf<'_> {
    /// The server and the path of the location whose directives are read; `None` where requests get to it in another way than
    /// by the beginning of their path.
    pub fn location_path(&self) -> Option<(Server, String)> {
        // SAFETY: the configuration is live, and what nginx made of this server and of this location is as long.
        unsafe {
            let location = NgxHttpCoreModule::location_conf(&*self.raw())?;
            let by_beginning = location.exact_match() == 0 && location.named() == 0 && location.noname() == 0;
            let path = std::str::from_utf8(bytes_of(&location.name)).ok().filter(|_| by_beginning)?;
            // A regular expression is the name of its location. Not every nginx has a field that tells.
            let is_literal =
                path.starts_with('/') && !path.contains(['^', '$', '*', '+', '?', '(', '[', '{', '|', '\\']);
            is_literal.then_some(())?;
            Some((Server::of(NgxHttpCoreModule::server_conf(&*self.raw()))?, path.to_owned()))
        }
    }

    /// Lets nginx keep this variable of the environment, as its directive `env` would.
    pub fn keep_env(&self, name: &str) {
        let core = self.core().as_ptr();
        // nginx looks whether a value follows: the zero says that none does.
        let mut name = self.copy(&format!("{name}\0"));
        name.len -= 1;
        // SAFETY: the list is one of strings, and this the only use of it meanwhile. Out of memory gives null.
        unsafe {
            let kept = &mut (*core).env;
            let mut names = std::slice::from_raw_parts(kept.elts.cast::<ngx_str_t>(), kept.nelts).iter();
            if !names.any(|kept| bytes_of(kept) == bytes_of(&name)) {
                if let Some(place) = ngx_array_push(kept).cast::<ngx_str_t>().as_mut() {
                    *place = name;
                }
            }
        }
    }
}

impl<'a> CoreConf<'a> {
    /// Wraps what nginx keeps.
    ///
    /// # Safety
    /// `raw` is live for `'a`.
    pub(super) unsafe fn new(raw: *mut ngx_core_conf_t) -> Self {
        // SAFETY: live by contract.
        CoreConf(unsafe { NonNull::new_unchecked(raw) }, PhantomData)
    }

    /// The raw pointer, for the other files of this border.
    pub(super) fn as_ptr(self) -> *mut ngx_core_conf_t {
        self.0.as_ptr()
    }

    fn get(self) -> &'a ngx_core_conf_t {
        // SAFETY: live by the contract of the constructors, and changed by nginx only between two calls of a module.
        unsafe { self.0.as_ref() }
    }

    /// Whether a master is to be above the workers.
    pub fn has_master(self) -> bool {
        self.get().master != 0
    }

    /// The user of the workers; `None` where they run as this process does.
    pub fn worker_user(self) -> Option<WorkerUser<'a>> {
        let core = self.get();
        // SAFETY: the call has no preconditions. Only root can and does change the user.
        if core.master == 0 || core.username.is_null() || unsafe { libc::geteuid() } != 0 {
            return None;
        }
        // SAFETY: nginx keeps the name as a string of C.
        let name = unsafe { CStr::from_ptr(core.username) };
        Some(WorkerUser { uid: core.user, gid: core.group, name })
    }
}

impl WorkerUser<'_> {
    /// Its name.
    pub fn name(&self) -> String {
        self.name.to_string_lossy().into_owned()
    }
}

/// What a process wants of a path.
#[derive(Clone, Copy)]
pub enum Access {
    /// To make files in this directory.
    MakeFiles,
    /// To see whether this exists.
    Look,
}

/// Whether the workers get this access, and why not. Where that cannot be found out, they are taken to.
///
/// # Errors
/// What the system says to them.
pub fn workers_access(path: &Path, user: Option<&WorkerUser<'_>>, access: Access) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mode = match access {
        Access::MakeFiles => libc::W_OK | libc::X_OK,
        Access::Look => libc::F_OK,
    };
    let look = || {
        // SAFETY: the path is a string of C.
        if unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), mode, libc::AT_EACCESS) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            // Not about the path: the call itself is refused, by the filter of a container.
            Some(libc::EPERM | libc::ENOSYS) => Ok(()),
            _ => Err(error),
        }
    };
    match user {
        None => look(),
        Some(user) => as_user(user, look).unwrap_or(Ok(())),
    }
}

/// Looks at the world as this user, with all its groups. The master does so while it reads a configuration, and has no
/// thread that could notice.
fn as_user<T>(user: &WorkerUser<'_>, look: impl Fn() -> T) -> Option<T> {
    // SAFETY: the lists are as long as the calls are told, the name is a string of C that outlives the call. The steps
    // are taken back in reverse order, also where one of them was refused.
    unsafe {
        let own_gid = libc::getegid();
        let mut groups = vec![0; usize::try_from(libc::getgroups(0, ptr::null_mut())).ok()?];
        let count = libc::getgroups(groups.len() as libc::c_int, groups.as_mut_ptr());
        groups.truncate(usize::try_from(count).ok()?);
        if libc::initgroups(user.name.as_ptr(), user.gid) != 0 {
            return None;
        }
        let switched = libc::setegid(user.gid) == 0 && libc::seteuid(user.uid) == 0;
        let seen = catch_unwind(AssertUnwindSafe(|| switched.then(look)));
        let back =
            libc::seteuid(0) == 0 && libc::setegid(own_gid) == 0 && libc::setgroups(groups.len(), groups.as_ptr()) == 0;
        if !back {
            // The saved user stays root, so the system cannot refuse that. Were it to, nginx would go on with the rights of
            // somebody else, and nobody would know.
            std::process::abort();
        }
        seen.unwrap_or_default()
    }
}
