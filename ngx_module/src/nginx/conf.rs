//! A configuration that is being read: the words of a directive, its place, and where errors go.

use std::ffi::{CStr, OsStr, c_char, c_void};
use std::marker::PhantomData;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::ptr::{self, NonNull};

use alert_core::base::log::one_line;
use ngx::core::NGX_CONF_ERROR;
use ngx::ffi::{
    NGX_OK, ngx_array_push, ngx_command_t, ngx_conf_full_name, ngx_conf_include, ngx_conf_parse, ngx_conf_t,
    ngx_hash_key_t, ngx_http_core_loc_conf_t, ngx_http_get_variable_index, ngx_http_handler_pt,
    ngx_http_phases_NGX_HTTP_LOG_PHASE, ngx_http_request_t, ngx_http_variable_t, ngx_int_t, ngx_parse_url, ngx_str_t,
    ngx_url_t,
};
use ngx::http::{HttpModuleLocationConf, HttpModuleMainConf, NgxHttpCoreModule};

use super::log::{Log, Severity};
use super::{bytes_of, guarded};

/// Where a directive stands.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
}

/// Why a directive or a configuration is refused.
pub enum Mistake {
    /// This is wrong with what is being read.
    Here(String),
    /// This is wrong with what stands at another place.
    At(Place, String),
    /// nginx has logged it where it found it.
    Logged,
}

impl From<String> for Mistake {
    fn from(text: String) -> Mistake {
        Mistake::Here(text)
    }
}

impl From<&str> for Mistake {
    fn from(text: &str) -> Mistake {
        Mistake::Here(text.into())
    }
}

impl Mistake {
    /// The same about another place, where that is known.
    pub fn at(self, place: Option<&Place>) -> Mistake {
        match (self, place) {
            (Mistake::Here(text), Some(place)) => Mistake::At(place.clone(), text),
            (mistake, _) => mistake,
        }
    }
}

/// A function of nginx that answers requests.
pub type Handler = unsafe extern "C" fn(*mut ngx_http_request_t) -> ngx_int_t;

/// A configuration that is being read.
pub struct Conf<'a>(NonNull<ngx_conf_t>, PhantomData<&'a mut ngx_conf_t>);

impl<'a> Conf<'a> {
    /// Wraps what nginx passed.
    ///
    /// # Safety
    /// `raw` is live for `'a`, and nothing else uses it meanwhile.
    pub unsafe fn new(raw: *mut ngx_conf_t) -> Self {
        // SAFETY: live by contract.
        Conf(unsafe { NonNull::new_unchecked(raw) }, PhantomData)
    }

    /// Does what a function that reads a configuration is for, and logs what is wrong. Returns whether nothing is.
    pub fn read(mut self, body: impl FnOnce(&mut Conf<'a>) -> Result<(), Mistake>) -> bool {
        guarded(self.log(), false, || {
            let outcome = body(&mut self);
            outcome.map_err(|mistake| self.log_mistake(Severity::Emergency, mistake)).is_ok()
        })
    }

    /// As [`read`](Conf::read), for a directive, whose outcome nginx wants in another form.
    pub fn read_directive(self, body: impl FnOnce(&mut Conf<'a>) -> Result<(), Mistake>) -> *mut c_char {
        if self.read(body) { ptr::null_mut() } else { NGX_CONF_ERROR as _ }
    }

    /// Says what may be wrong, without refusing anything.
    pub fn warn(&self, mistake: Mistake) {
        self.log_mistake(Severity::Warn, mistake);
    }

    fn log_mistake(&self, severity: Severity, mistake: Mistake) {
        match mistake {
            Mistake::Here(text) => {
                let text = one_line(&text);
                // SAFETY: the configuration is live; the text is passed with its length. nginx adds file and line.
                unsafe {
                    ngx::ffi::ngx_conf_log_error(
                        severity.level(),
                        self.raw(),
                        0,
                        c"%*s".as_ptr(),
                        text.len(),
                        text.as_ptr(),
                    );
                }
            }
            Mistake::At(Place { file, line }, text) => {
                self.log().write_raw(severity, &format!("{text} in {file}:{line}"))
            }
            Mistake::Logged => {}
        }
    }

    /// Where errors go.
    pub fn log(&self) -> Log<'a> {
        // SAFETY: the configuration is live, and its log as long.
        unsafe { Log::new((*self.raw()).log) }
    }

    /// The words of the directive, its name first.
    ///
    /// # Errors
    /// A word that is not UTF-8.
    pub fn words(&self) -> Result<Vec<String>, Mistake> {
        // SAFETY: `args` is an array of strings while a directive is read.
        let words = unsafe {
            let args = &*(*self.raw()).args;
            std::slice::from_raw_parts(args.elts.cast::<ngx_str_t>(), args.nelts)
        };
        words
            .iter()
            .map(|word| {
                // SAFETY: each word is a live string of the configuration.
                let bytes = unsafe { bytes_of(word) };
                std::str::from_utf8(bytes)
                    .map(str::to_owned)
                    .map_err(|_| format!("\"{}\" is not valid UTF-8", String::from_utf8_lossy(bytes)).into())
            })
            .collect()
    }

    /// Where the directive stands.
    pub fn place(&self) -> Place {
        // SAFETY: `conf_file` is null only outside of any file (`-g`), and live otherwise.
        unsafe {
            match (*self.raw()).conf_file.as_ref() {
                Some(file) => {
                    Place { file: String::from_utf8_lossy(bytes_of(&file.file.name)).into_owned(), line: file.line }
                }
                None => Place::default(),
            }
        }
    }

    /// Reads the block that follows, handing each directive in it to `each`. `include` works as everywhere.
    ///
    /// # Errors
    /// The block cannot be read.
    pub fn block(&mut self, each: &mut dyn FnMut(&mut Conf<'_>) -> Result<(), Mistake>) -> Result<(), Mistake> {
        let mut each = each;
        let handler_conf: *mut Each<'_> = &mut each;
        // SAFETY: the configuration is live. It is copied and restored around the block, as nginx does for its own
        // blocks; `handler_conf` outlives the call that uses it.
        let result = unsafe {
            let saved = *self.raw();
            (*self.raw()).handler = Some(block_directive);
            (*self.raw()).handler_conf = handler_conf.cast();
            let result = ngx_conf_parse(self.raw(), ptr::null_mut());
            *self.raw() = saved;
            result
        };
        if result.is_null() { Ok(()) } else { Err(Mistake::Logged) }
    }

    /// The addresses of a server, as nginx will name them when it connects.
    ///
    /// # Errors
    /// The cause, in nginx's words.
    pub fn resolve(&self, address: &str) -> Result<Vec<String>, String> {
        // SAFETY: all fields of the structure are valid as zero; the text is copied to the pool of the configuration,
        // since nginx keeps parts of it; `addrs` has `naddrs` elements when the call succeeds.
        unsafe {
            let mut url: ngx_url_t = std::mem::zeroed();
            url.url = self.copy(address);
            url.default_port = 80;
            if ngx_parse_url((*self.raw()).pool, &mut url) != NGX_OK as ngx_int_t {
                let cause = if url.err.is_null() {
                    "invalid address".into()
                } else {
                    CStr::from_ptr(url.err).to_string_lossy().into_owned()
                };
                return Err(cause);
            }
            let addresses = std::slice::from_raw_parts(url.addrs, url.naddrs);
            Ok(addresses.iter().map(|addr| String::from_utf8_lossy(bytes_of(&addr.name)).into_owned()).collect())
        }
    }

    /// The index of a variable, given without its dollar sign. nginx refuses unknown ones later.
    ///
    /// # Errors
    /// nginx has no memory left.
    pub fn variable(&mut self, name: &str) -> Result<isize, Mistake> {
        let mut name = self.copy(name);
        // SAFETY: the configuration is live; the name is in its pool.
        let index = unsafe { ngx_http_get_variable_index(self.raw(), &mut name) };
        if index >= 0 { Ok(index) } else { Err(Mistake::Logged) }
    }

    /// Whether something that was read so far asks for the value of this variable.
    pub fn uses_variable(&mut self, name: &str) -> bool {
        // SAFETY: the core module's configuration is live, and its list of indexed variables not yet given up.
        unsafe {
            let core = NgxHttpCoreModule::main_conf(self.0.as_ref()).expect("nginx made the configuration");
            let elements = core.variables.elts.cast::<ngx_http_variable_t>();
            // Before the first one, there is no list.
            core.variables.nelts > 0
                && std::slice::from_raw_parts(elements, core.variables.nelts)
                    .iter()
                    .any(|known| bytes_of(&known.name) == name.as_bytes())
        }
    }

    /// Whether nginx will find a variable of this index, which it looks for as this does, but names no place where it
    /// does not. To be asked once all of the http level is read.
    pub fn knows_variable(&mut self, index: isize) -> bool {
        // SAFETY: the core module's configuration is live, and its lists of variables are complete and not yet given up:
        // that comes after this. The index is one of nginx's own.
        unsafe {
            let core = NgxHttpCoreModule::main_conf(self.0.as_ref()).expect("nginx made the configuration");
            let elements = core.variables.elts.cast::<ngx_http_variable_t>();
            let wanted = &std::slice::from_raw_parts(elements, core.variables.nelts)[index as usize];
            let name = bytes_of(&wanted.name);
            let keys = &(*core.variables_keys).keys;
            let mut keys = std::slice::from_raw_parts(keys.elts.cast::<ngx_hash_key_t>(), keys.nelts).iter();
            let prefixes = &core.prefix_variables;
            let mut prefixes =
                std::slice::from_raw_parts(prefixes.elts.cast::<ngx_http_variable_t>(), prefixes.nelts).iter();
            wanted.get_handler.is_some()
                || keys.any(|known| bytes_of(&known.key) == name)
                || prefixes.any(|known| name.starts_with(bytes_of(&known.name)))
        }
    }

    /// A path as nginx takes it: below its prefix, unless it is absolute.
    ///
    /// # Errors
    /// nginx has no memory left.
    pub fn full_path(&self, path: &str) -> Result<PathBuf, Mistake> {
        // nginx counts on the zero at its end.
        let mut path = self.copy(&format!("{path}\0"));
        path.len -= 1;
        // SAFETY: the configuration and its cycle are live; the text is in the pool.
        unsafe {
            if ngx_conf_full_name((*self.raw()).cycle, &mut path, 0) != NGX_OK as ngx_int_t {
                return Err(Mistake::Logged);
            }
            Ok(OsStr::from_bytes(bytes_of(&path)).into())
        }
    }

    /// Name of this host.
    pub fn hostname(&self) -> String {
        // SAFETY: the cycle is live while its configuration is read.
        unsafe { String::from_utf8_lossy(bytes_of(&(*(*self.raw()).cycle).hostname)).into_owned() }
    }

    /// The module's configuration of the http level, which lives as long as this one is read.
    pub fn main_conf<M: HttpModuleMainConf<MainConf: 'static>>(&self) -> &'a M::MainConf {
        // SAFETY: the configuration is live. nginx made that of the module before it read the first directive.
        M::main_conf(unsafe { self.0.as_ref() }).expect("nginx made the configuration")
    }

    /// The module's configuration of the location whose directive is read.
    ///
    /// # Safety
    /// `conf` is what nginx passed for a location of this module, and nothing else refers to it meanwhile.
    pub unsafe fn location_conf<M: HttpModuleLocationConf>(conf: *mut c_void) -> &'a mut M::LocationConf {
        // SAFETY: made by `create_loc_conf`, and unshared by contract.
        unsafe { &mut *conf.cast() }
    }

    /// Calls this for every finished request.
    ///
    /// # Errors
    /// nginx has no memory left.
    pub fn add_log_handler(&mut self, handler: Handler) -> Result<(), Mistake> {
        // SAFETY: the core module's configuration is live, and its phases are arrays of handlers once all is read.
        let slot = unsafe {
            let core = NgxHttpCoreModule::main_conf_mut(self.0.as_ref()).expect("nginx made the configuration");
            ngx_array_push(&mut core.phases[ngx_http_phases_NGX_HTTP_LOG_PHASE as usize].handlers)
                .cast::<ngx_http_handler_pt>()
                .as_mut()
        };
        *slot.ok_or(Mistake::Logged)? = Some(handler);
        Ok(())
    }

    /// Makes this location answer by a handler. Other directives can do the same later.
    pub fn set_handler(&mut self, handler: Handler) {
        self.core_location().handler = Some(handler);
    }

    /// Whether this location has a handler.
    pub fn has_handler(&mut self) -> bool {
        self.core_location().handler.is_some()
    }

    /// Whether this location still answers by this handler.
    pub fn answers_by(&mut self, handler: Handler) -> bool {
        self.core_location().handler.is_some_and(|set| ptr::fn_addr_eq(set, handler))
    }

    fn core_location(&mut self) -> &mut ngx_http_core_loc_conf_t {
        // SAFETY: the core module's configuration of the location is live while its directives are read and merged.
        NgxHttpCoreModule::location_conf_mut(unsafe { self.0.as_ref() }).expect("nginx made the configuration")
    }

    /// The text in the pool of the configuration.
    pub(super) fn copy(&self, text: &str) -> ngx_str_t {
        // SAFETY: the pool is live, and gives what is copied to it a place.
        unsafe { ngx_str_t::from_str((*self.raw()).pool, text) }
    }

    /// The raw pointer, for the other files of this border.
    pub(super) fn raw(&self) -> *mut ngx_conf_t {
        self.0.as_ptr()
    }
}

/// What gets the directives of a block.
type Each<'a> = &'a mut dyn FnMut(&mut Conf<'_>) -> Result<(), Mistake>;

/// Called by nginx for each directive within a block that [`Conf::block`] reads.
extern "C" fn block_directive(cf: *mut ngx_conf_t, _: *mut ngx_command_t, each: *mut c_void) -> *mut c_char {
    // SAFETY: the words of the directive are live, and there is at least one.
    let is_include = unsafe {
        let args = &*(*cf).args;
        args.nelts == 2 && bytes_of(&*args.elts.cast::<ngx_str_t>()) == b"include"
    };
    if is_include {
        // SAFETY: as nginx's own blocks do it; `include` uses neither the command nor its configuration.
        return unsafe { ngx_conf_include(cf, ptr::null_mut(), ptr::null_mut()) };
    }
    // SAFETY: nginx passes a live configuration, and `each` is the pointer that `Conf::block` passed, which is still on
    // its stack.
    let (conf, each) = unsafe { (Conf::new(cf), &mut *each.cast::<Each<'_>>()) };
    conf.read_directive(each)
}
