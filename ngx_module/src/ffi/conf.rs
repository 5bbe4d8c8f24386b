//! A directive as nginx hands it over: its words, its place, and where errors go.

use std::ffi::{OsStr, c_char, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::ptr;

use ngx::core::NGX_CONF_ERROR;
use ngx::ffi::{
    NGX_LOG_EMERG, NGX_OK, ngx_command_t, ngx_conf_full_name, ngx_conf_include, ngx_conf_parse, ngx_conf_t,
    ngx_hash_key_t, ngx_http_core_loc_conf_t, ngx_http_get_variable_index, ngx_http_request_t, ngx_http_variable_t,
    ngx_int_t, ngx_parse_url, ngx_str_t, ngx_uint_t, ngx_url_t,
};
use ngx::http::{HttpModuleLocationConf, HttpModuleMainConf, NgxHttpCoreModule};

use super::module::Module;
use crate::conf::{Handler, LocationConf, MainConf, Place};

/// A directive being read.
pub struct Conf {
    raw: *mut ngx_conf_t,
}

impl Conf {
    /// The words of the directive, its name first.
    ///
    /// # Errors
    /// A word that is not UTF-8.
    pub fn words(&self) -> Result<Vec<String>, String> {
        // SAFETY: nginx passes a live `ngx_conf_t` whose `args` is an array of strings while a directive is read.
        let words = unsafe {
            let args = &*(*self.raw).args;
            std::slice::from_raw_parts(args.elts.cast::<ngx_str_t>(), args.nelts)
        };
        words
            .iter()
            .map(|word| {
                // SAFETY: each word is a live string of the configuration.
                let bytes = unsafe { bytes_of(word) };
                std::str::from_utf8(bytes)
                    .map(str::to_owned)
                    .map_err(|_| format!("\"{}\" is not valid UTF-8", String::from_utf8_lossy(bytes)))
            })
            .collect()
    }

    /// Where the directive stands.
    pub fn place(&self) -> Place {
        // SAFETY: `conf_file` is null only outside of any file (`-g`), and live otherwise.
        unsafe {
            match (*self.raw).conf_file.as_ref() {
                Some(file) => {
                    Place { file: String::from_utf8_lossy(bytes_of(&file.file.name)).into_owned(), line: file.line }
                }
                None => Place::default(),
            }
        }
    }

    /// Writes an error that stops the configuration; nginx adds file and line.
    pub fn error(&mut self, text: &str) {
        // SAFETY: the configuration is live; the text is passed with its length.
        unsafe {
            ngx::ffi::ngx_conf_log_error(
                NGX_LOG_EMERG as ngx_uint_t,
                self.raw,
                0,
                c"%*s".as_ptr(),
                text.len(),
                text.as_ptr(),
            );
        }
    }

    /// Writes an error about another place than the present one.
    pub fn error_at(&mut self, place: &Place, text: &str) {
        let text = format!("{text} in {}:{}", place.file, place.line);
        // SAFETY: the configuration and its log are live; the text is passed with its length.
        unsafe { ngx::log::log_error(NGX_LOG_EMERG as ngx_uint_t, (*self.raw).log, 0, text.as_bytes()) };
    }

    /// Reads the block that follows, handing each directive in it to `each`. `include` works as everywhere.
    ///
    /// # Errors
    /// The block cannot be read; the reason is logged already.
    pub fn block(&mut self, each: &mut dyn FnMut(&mut Conf) -> Result<(), String>) -> Result<(), Reported> {
        let mut each = each;
        let handler_conf: *mut &mut dyn FnMut(&mut Conf) -> Result<(), String> = &mut each;
        // SAFETY: the configuration is live. It is copied and restored around the block, as nginx does for its own
        // blocks; `handler_conf` outlives the call that uses it.
        let result = unsafe {
            let saved = *self.raw;
            (*self.raw).handler = Some(block_directive);
            (*self.raw).handler_conf = handler_conf.cast();
            let result = ngx_conf_parse(self.raw, ptr::null_mut());
            *self.raw = saved;
            result
        };
        if result.is_null() { Ok(()) } else { Err(Reported) }
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
            url.url = ngx_str_t::from_str((*self.raw).pool, address);
            url.default_port = 80;
            if ngx_parse_url((*self.raw).pool, &mut url) != NGX_OK as ngx_int_t {
                let cause = if url.err.is_null() {
                    "invalid address".into()
                } else {
                    std::ffi::CStr::from_ptr(url.err).to_string_lossy().into_owned()
                };
                return Err(cause);
            }
            let addresses = std::slice::from_raw_parts(url.addrs, url.naddrs);
            Ok(addresses.iter().map(|addr| String::from_utf8_lossy(bytes_of(&addr.name)).into_owned()).collect())
        }
    }

    /// The index of a variable, given without its dollar sign. nginx refuses unknown ones later.
    pub fn variable(&mut self, name: &str) -> Option<isize> {
        // SAFETY: the configuration is live; the name is copied to its pool.
        let index = unsafe {
            let mut name = ngx_str_t::from_str((*self.raw).pool, name);
            ngx_http_get_variable_index(self.raw, &mut name)
        };
        (index >= 0).then_some(index)
    }

    /// Whether nginx will find a variable of this index, which it looks for as this does, but names no place where it
    /// does not. To be asked once all of the http level is read.
    pub fn knows_variable(&mut self, index: isize) -> bool {
        // SAFETY: the core module's configuration is live, and its lists of variables are complete and not yet given up:
        // that comes after this. The index is one of nginx's own.
        unsafe {
            let core = NgxHttpCoreModule::main_conf(&*self.raw).expect("nginx made the configuration");
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
    /// nginx has no memory left and has logged it.
    pub fn full_path(&self, path: &str) -> Result<PathBuf, String> {
        // SAFETY: the configuration and its cycle are live; the text is copied to the pool, with the zero at its end
        // that nginx counts on.
        unsafe {
            let mut path = ngx_str_t::from_str((*self.raw).pool, &format!("{path}\0"));
            path.len -= 1;
            if ngx_conf_full_name((*self.raw).cycle, &mut path, 0) != NGX_OK as ngx_int_t {
                return Err(String::new());
            }
            Ok(OsStr::from_bytes(bytes_of(&path)).into())
        }
    }

    /// Name of this host.
    pub fn hostname(&self) -> String {
        // SAFETY: the cycle is live while its configuration is read.
        unsafe { String::from_utf8_lossy(bytes_of(&(*(*self.raw).cycle).hostname)).into_owned() }
    }

    /// The module's configuration of the http level.
    pub fn main_conf<T>(&mut self, body: impl FnOnce(&mut Conf, &mut MainConf) -> T) -> T {
        // SAFETY: nginx made this configuration with `create_main_conf` before it read the first directive, and nothing
        // else refers to it while a directive is read.
        let conf = unsafe { Module::main_conf_mut(&*self.raw) }.expect("nginx made the configuration");
        body(self, conf)
    }

    /// Makes this location answer by a handler. Other directives can do the same later.
    pub fn set_handler(&mut self, handler: Handler) {
        self.core_location().handler = Some(function(handler));
    }

    /// Whether this location has a handler.
    pub fn has_handler(&mut self) -> bool {
        self.core_location().handler.is_some()
    }

    /// Whether this location still answers by this handler.
    pub fn answers_by(&mut self, handler: Handler) -> bool {
        self.core_location().handler.is_some_and(|set| ptr::fn_addr_eq(set, function(handler)))
    }

    fn core_location(&mut self) -> &mut ngx_http_core_loc_conf_t {
        // SAFETY: the core module's configuration of the location is live while its directives are read and merged.
        unsafe { NgxHttpCoreModule::location_conf_mut(&*self.raw) }.expect("nginx made the configuration")
    }

    /// The raw pointer, for the other files of this border.
    pub(super) fn raw(&self) -> *mut ngx_conf_t {
        self.raw
    }

    /// Wraps what nginx passed.
    ///
    /// # Safety
    /// `raw` is live and nothing else uses it while the wrapper does.
    pub(super) unsafe fn new(raw: *mut ngx_conf_t) -> Conf {
        Conf { raw }
    }
}

fn function(handler: Handler) -> unsafe extern "C" fn(*mut ngx_http_request_t) -> ngx_int_t {
    match handler {
        Handler::Status => super::response::status_handler,
        Handler::Control => super::control::control_handler,
    }
}

/// The reason was logged where it was found.
pub struct Reported;

/// The bytes of a string of nginx.
///
/// # Safety
/// The string is live for the lifetime of the reference.
pub unsafe fn bytes_of(text: &ngx_str_t) -> &[u8] {
    if text.len == 0 {
        return nothing();
    }
    // SAFETY: a string with a length points to that many bytes.
    unsafe { std::slice::from_raw_parts(text.data, text.len) }
}

/// Rare, which the compiler should know: the request path reads many strings.
#[cold]
const fn nothing() -> &'static [u8] {
    &[]
}

/// Runs the body of a directive's handler and reports its error.
fn directive(cf: *mut ngx_conf_t, body: impl FnOnce(&mut Conf) -> Result<(), String>) -> *mut c_char {
    // SAFETY: nginx passes a live configuration.
    let (log, mut conf) = unsafe { ((*cf).log, Conf::new(cf)) };
    super::guarded(log, NGX_CONF_ERROR as _, || match body(&mut conf) {
        Ok(()) => ptr::null_mut(),
        Err(text) => {
            if !text.is_empty() {
                conf.error(&text);
            }
            NGX_CONF_ERROR as _
        }
    })
}

/// Called by nginx for a directive of the http level.
pub extern "C" fn http_directive(cf: *mut ngx_conf_t, _: *mut ngx_command_t, _: *mut c_void) -> *mut c_char {
    directive(cf, crate::directives::http_level)
}

/// Called by nginx for a directive of a location.
pub extern "C" fn location_directive(cf: *mut ngx_conf_t, _: *mut ngx_command_t, conf: *mut c_void) -> *mut c_char {
    directive(cf, |cf| {
        // SAFETY: nginx passes the configuration that `create_loc_conf` made for this location.
        let location = unsafe { &mut *conf.cast::<LocationConf>() };
        crate::directives::location_level(cf, location)
    })
}

/// Called by nginx for each location and level above, once all of the http level is read.
pub extern "C" fn merge_location(cf: *mut ngx_conf_t, above: *mut c_void, conf: *mut c_void) -> *mut c_char {
    directive(cf, |cf| {
        // SAFETY: both were made by `create_loc_conf`, and they are not the same.
        let (above, location) = unsafe { (&*above.cast::<LocationConf>(), &mut *conf.cast::<LocationConf>()) };
        crate::directives::merge(cf, above, location)
    })
}

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
    directive(cf, |conf| {
        // SAFETY: `each` is the pointer that `Conf::block` passed, which is still on its stack.
        let each = unsafe { &mut *each.cast::<&mut dyn FnMut(&mut Conf) -> Result<(), String>>() };
        each(conf)
    })
}
