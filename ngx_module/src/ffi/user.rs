//! The user that workers run as, and what it may do.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

use alert_core::persist::state_file::Owner;
use ngx::ffi::{ngx_core_conf_t, ngx_core_module};

use super::conf::Conf;

/// nginx's own configuration, in which the user stands.
#[derive(Clone, Copy)]
pub struct CoreConf(*const ngx_core_conf_t);

/// The user of workers that is another than that of the master.
pub struct WorkerUser {
    /// Its numbers.
    pub owner: Owner,
    /// Its name.
    pub name: String,
    core: CoreConf,
}

impl Conf {
    /// nginx's own configuration. What is not set in it gets its default only after all of the file was read.
    pub fn core(&self) -> CoreConf {
        // SAFETY: the cycle is live while its configuration is read, and nginx has made this part of it before.
        CoreConf(unsafe { *(*(*self.raw()).cycle).conf_ctx.add((*ptr::addr_of!(ngx_core_module)).index) }.cast())
    }
}

impl CoreConf {
    /// Whether a master is to be above the workers.
    pub fn has_master(self) -> bool {
        // SAFETY: the structure lives as long as its cycle, which is being made or in force.
        unsafe { self.0.as_ref() }.is_some_and(|core| core.master != 0)
    }

    /// The user of the workers; `None` where they run as this process does.
    pub fn worker_user(self) -> Option<WorkerUser> {
        // SAFETY: the structure lives as long as its cycle, which is being made or in force.
        let core = unsafe { self.0.as_ref() }?;
        // SAFETY: the call has no preconditions. Only root can and does change the user.
        if core.master == 0 || core.username.is_null() || unsafe { libc::geteuid() } != 0 {
            return None;
        }
        // SAFETY: nginx keeps the name as a string of C.
        let name = unsafe { std::ffi::CStr::from_ptr(core.username) }.to_string_lossy().into_owned();
        Some(WorkerUser { owner: Owner { uid: core.user, gid: core.group }, name, core: self })
    }
}

/// Whether the workers can make files in this directory. Where that cannot be found out, they are taken to.
pub fn may_write(directory: &Path, user: Option<&WorkerUser>) -> bool {
    let Ok(directory) = CString::new(directory.as_os_str().as_bytes()) else { return false };
    // SAFETY: the path is a string of C.
    let look = || unsafe {
        libc::faccessat(libc::AT_FDCWD, directory.as_ptr(), libc::W_OK | libc::X_OK, libc::AT_EACCESS) == 0
    };
    match user {
        None => look(),
        Some(user) => as_user(user, look).unwrap_or(true),
    }
}

/// Looks at the world as this user, with all its groups. The master does so while it reads a configuration, and has no
/// thread that could notice.
fn as_user(user: &WorkerUser, look: impl Fn() -> bool) -> Option<bool> {
    let Owner { uid, gid } = user.owner;
    // SAFETY: the lists are as long as the calls are told, the name is a string of C that outlives the call. The steps
    // are taken back in reverse order; since the saved user stays root, that cannot be refused.
    unsafe {
        let own_gid = libc::getegid();
        let mut groups = vec![0; usize::try_from(libc::getgroups(0, ptr::null_mut())).ok()?];
        let count = libc::getgroups(groups.len() as libc::c_int, groups.as_mut_ptr());
        groups.truncate(usize::try_from(count).ok()?);
        if libc::initgroups((*user.core.0).username, gid) != 0 {
            return None;
        }
        let switched = libc::setegid(gid) == 0 && libc::seteuid(uid) == 0;
        let seen = switched.then(look);
        let back =
            libc::seteuid(0) == 0 && libc::setegid(own_gid) == 0 && libc::setgroups(groups.len(), groups.as_ptr()) == 0;
        assert!(back, "root is refused its own rights");
        seen
    }
}
