//! Variables: how they are made known, and their values, made ahead.

use std::ptr;

use ngx::core::Status;
use ngx::ffi::{
    NGX_HTTP_VAR_NOCACHEABLE, ngx_http_add_variable, ngx_http_get_variable_pt, ngx_http_request_t,
    ngx_http_variable_value_t, ngx_int_t, ngx_pnalloc, ngx_uint_t,
};
use ngx::http::HttpModuleLocationConf;

use super::conf::{Conf, Mistake};

impl Conf<'_> {
    /// Makes a variable known, whose value nginx asks for again each time that it is needed.
    ///
    /// # Errors
    /// nginx refuses it.
    pub fn add_variable(&mut self, name: &str, get: ngx_http_get_variable_pt, data: usize) -> Result<(), Mistake> {
        let mut name = self.copy(name);
        // SAFETY: the configuration is live; the name is in its pool, and nginx returns a variable or null.
        let added =
            unsafe { ngx_http_add_variable(self.raw(), &mut name, NGX_HTTP_VAR_NOCACHEABLE as ngx_uint_t).as_mut() };
        let added = added.ok_or(Mistake::Logged)?;
        (added.get_handler, added.data) = (get, data);
        Ok(())
    }
}

/// A value that is ready before it is asked for, so that answering copies two words.
pub struct Text {
    // What `value` points to.
    _bytes: Box<[u8]>,
    value: ngx_http_variable_value_t,
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
        Text { _bytes: bytes, value }
    }
}

/// The answer to nginx's question for a value.
pub enum Value<'a> {
    /// One that was made ahead.
    Ready(&'a Text),
    /// One that is made now.
    Made(String),
    /// None.
    None,
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

    /// Answers with what the module's configuration of the location has for it, which outlives the request.
    #[inline(always)]
    pub fn answer<M: HttpModuleLocationConf>(
        self,
        choose: impl for<'b> FnOnce(&'b M::LocationConf) -> Value<'b>,
    ) -> ngx_int_t {
        // SAFETY: nginx gives every location a configuration made by `create_loc_conf`.
        let location = unsafe { &*(*self.request.loc_conf.add(M::module().ctx_index)).cast() };
        match choose(location) {
            Value::Ready(text) => {
                *self.value = text.value;
                Status::NGX_OK.0
            }
            Value::Made(text) => self.answer_made(&text),
            Value::None => {
                self.value.set_not_found(1);
                Status::NGX_OK.0
            }
        }
    }

    #[cold]
    fn answer_made(self, text: &str) -> ngx_int_t {
        let made = Text::new(text);
        // SAFETY: the pool is live and gives that many bytes or null.
        unsafe {
            let copy = ngx_pnalloc(self.request.pool, text.len()).cast::<u8>();
            if copy.is_null() {
                return Status::NGX_ERROR.0;
            }
            ptr::copy_nonoverlapping(text.as_ptr(), copy, text.len());
            *self.value = made.value;
            self.value.data = copy;
        }
        Status::NGX_OK.0
    }
}
