//! Variables: how they are made known, and their values, made ahead.

use std::ptr;

use ngx::core::Status;
use ngx::ffi::{
    NGX_HTTP_VAR_NOCACHEABLE, ngx_http_add_variable, ngx_http_get_variable_pt, ngx_http_request_t,
    ngx_http_variable_value_t, ngx_int_t, ngx_pnalloc, ngx_uint_t,
};
use ngx::http::HttpModuleLocationConf;

use super::conf::{Conf, Mistake};
use super::guarded;
use super::log::Log;

impl Conf<'_> {
    /// Makes a variable known, whose value nginx asks for again each time that it is needed.
    ///
    /// # Errors
    /// nginx refuses it.
    pub fn add_variable(&mut self, name: &str, get: ngx_http_get_variable_pt) -> Result<(), Mistake> {
        self.add_with_flags(name, get, NGX_HTTP_VAR_NOCACHEABLE as ngx_uint_t)
    }

    /// Makes a variable known, whose value nginx keeps for the whole request once it has asked for it.
    ///
    /// # Errors
    /// As above.
    pub fn add_kept_variable(&mut self, name: &str, get: ngx_http_get_variable_pt) -> Result<(), Mistake> {
        self.add_with_flags(name, get, 0)
    }

    fn add_with_flags(&mut self, name: &str, get: ngx_http_get_variable_pt, flags: ngx_uint_t) -> Result<(), Mistake> {
        let mut name = self.copy(name);
        // SAFETY: the configuration is live; the name is in its pool, and nginx returns a variable or null.
        let added = unsafe { ngx_http_add_variable(self.raw(), &mut name, flags).as_mut() };
        added.ok_or(Mistake::Logged)?.get_handler = get;
        Ok(())
    }
}

/// A value that is ready before it is asked for, so that answering copies two words.
pub struct Text {
    // What `value` points to.
    bytes: Box<[u8]>,
    value: ngx_http_variable_value_t,
    /// The same, to be kept for the whole request.
    kept: ngx_http_variable_value_t,
}

impl Text {
    /// This text; one that is empty is a variable without a value.
    pub fn new(text: &str) -> Text {
        let bytes: Box<[u8]> = text.as_bytes().into();
        // SAFETY: valid as zero, which is how nginx makes them.
        let mut value: ngx_http_variable_value_t = unsafe { std::mem::zeroed() };
        if bytes.is_empty() {
            value.set_not_found(1);
        } else {
            value.set_len(bytes.len() as u32);
            value.set_valid(1);
            value.set_no_cacheable(1);
            value.data = bytes.as_ptr().cast_mut();
        }
        let mut kept = value;
        kept.set_no_cacheable(0);
        Text { bytes, value, kept }
    }

    /// The text.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// A question of nginx for the value of a variable.
pub struct Question<'a> {
    request: &'a ngx_http_request_t,
    value: &'a mut ngx_http_variable_value_t,
}

impl<'a> Question<'a> {
    /// Wraps what nginx passed.
    ///
    /// # Safety
    /// Both are live for `'a`, and nothing else uses the value meanwhile.
    #[inline(always)]
    pub unsafe fn new(request: *mut ngx_http_request_t, value: *mut ngx_http_variable_value_t) -> Self {
        // SAFETY: live by contract.
        unsafe { Question { request: &*request, value: &mut *value } }
    }

    /// Answers with what the module's configuration of the location has ready, which outlives the request; else with what
    /// is made of it.
    #[inline(always)]
    pub fn answer<M: HttpModuleLocationConf>(
        self,
        ready: impl for<'b> FnOnce(&'b M::LocationConf) -> Option<&'b Text>,
        make: impl FnOnce(&M::LocationConf) -> Option<String>,
    ) -> ngx_int_t {
        // SAFETY: nginx gives every location a configuration made by `create_loc_conf`.
        let location = unsafe { &*(*self.request.loc_conf.add(M::module().ctx_index)).cast() };
        match ready(location) {
            Some(text) => {
                *self.value = text.value;
                Status::NGX_OK.0
            }
            None => self.answer_made(location, make),
        }
    }

    /// The same with a value that is kept for the whole request.
    #[inline(always)]
    pub fn answer_kept<M: HttpModuleLocationConf>(
        self,
        ready: impl for<'b> FnOnce(&'b M::LocationConf) -> Option<&'b Text>,
        make: impl FnOnce(&M::LocationConf) -> Option<String>,
    ) -> ngx_int_t {
        // SAFETY: nginx gives every location a configuration made by `create_loc_conf`.
        let location = unsafe { &*(*self.request.loc_conf.add(M::module().ctx_index)).cast() };
        match ready(location) {
            Some(text) => {
                *self.value = text.kept;
                Status::NGX_OK.0
            }
            None => self.answer_made(location, make),
        }
    }

    #[cold]
    #[inline(never)]
    fn answer_made<T>(self, location: &T, make: impl FnOnce(&T) -> Option<String>) -> ngx_int_t {
        let Question { request, value } = self;
        // SAFETY: a request has a live connection with a log.
        let log = unsafe { Log::new((*request.connection).log) };
        guarded(log, Status::NGX_ERROR.0, || {
            let made = Text::new(&make(location).unwrap_or_default());
            *value = made.value;
            if made.bytes.is_empty() {
                return Status::NGX_OK.0;
            }
            // SAFETY: the pool is live and gives that many bytes or null.
            unsafe {
                let copy = ngx_pnalloc(request.pool, made.bytes.len()).cast::<u8>();
                if copy.is_null() {
                    return Status::NGX_ERROR.0;
                }
                ptr::copy_nonoverlapping(made.bytes.as_ptr(), copy, made.bytes.len());
                value.data = copy;
            }
            Status::NGX_OK.0
        })
    }
}
