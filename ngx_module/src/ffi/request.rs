//! A finished request, as the log phase sees it.

use ngx::ffi::{
    ngx_cached_time, ngx_http_get_flushed_variable, ngx_http_request_t, ngx_http_upstream_state_t, ngx_list_part_t,
    ngx_msec_t, ngx_table_elt_t, ngx_uint_t,
};
use ngx::http::{HttpModule, HttpModuleLocationConf};

use super::conf::bytes_of;
use super::module::Module;
use crate::conf::{HeaderName, LocationConf};

/// A finished request that went to an upstream.
pub struct Finished<'a> {
    request: &'a ngx_http_request_t,
    attempts: &'a [ngx_http_upstream_state_t],
}

/// One upstream attempt.
#[derive(Clone, Copy)]
pub struct Attempt<'a>(&'a ngx_http_upstream_state_t);

impl<'a> Finished<'a> {
    /// The request, if it is a main one and has attempts after its last internal redirect.
    ///
    /// # Safety
    /// `r` is live for `'a`, in its log phase.
    #[inline]
    pub unsafe fn new(r: *mut ngx_http_request_t) -> Option<Finished<'a>> {
        // SAFETY: live by contract; `upstream_states` is null or an array of states.
        let (request, states) = unsafe {
            let request = &*r;
            let states = request.upstream_states.as_ref()?;
            (request, std::slice::from_raw_parts(states.elts.cast::<ngx_http_upstream_state_t>(), states.nelts))
        };
        // Subrequests (SSI, mirror, auth_request) are parts of an answer and no answers.
        if !std::ptr::eq(request.main, request) {
            return None;
        }
        // An internal redirect leaves an entry without a peer between the attempts of both locations.
        let first = states.iter().rposition(|state| state.peer.is_null()).map_or(0, |separator| separator + 1);
        let attempts = &states[first..];
        (!attempts.is_empty()).then_some(Finished { request, attempts })
    }

    /// The module's configuration of the location in which the request ended.
    #[inline]
    pub fn location(&self) -> &LocationConf {
        // SAFETY: nginx gives every location a configuration made by `create_loc_conf`.
        unsafe {
            let conf = *self.request.loc_conf.add(Module::module().ctx_index);
            &*conf.cast::<<Module as HttpModuleLocationConf>::LocationConf>()
        }
    }

    /// The module's configuration of the http level by which this request was made, as an identity.
    #[inline]
    pub fn configuration(&self) -> *const () {
        // SAFETY: nginx gives every module a place in the table.
        unsafe { (*self.request.main_conf.add(Module::module().ctx_index)).cast() }
    }

    /// The attempts, in order.
    #[inline]
    pub fn attempts(&self) -> impl ExactSizeIterator<Item = Attempt<'a>> + use<'a> {
        self.attempts.iter().map(Attempt)
    }

    /// The status that the client got, as `$status` has it; 0 where there was none.
    #[inline]
    pub fn status(&self) -> u16 {
        let status =
            if self.request.err_status != 0 { self.request.err_status } else { self.request.headers_out.status };
        u16::try_from(status).unwrap_or(0)
    }

    /// The time by nginx's clock, in milliseconds since the Unix epoch. No system call.
    #[inline]
    pub fn time_ms(&self) -> u64 {
        // SAFETY: nginx sets it before it serves requests, and changes it on this thread only.
        let time = unsafe { &*ngx_cached_time };
        time.sec as u64 * 1000 + time.msec as u64
    }

    /// The first header of this name in the last answer of the upstream.
    #[inline]
    pub fn upstream_header(&self, name: &HeaderName) -> Option<&[u8]> {
        // SAFETY: a request with attempts has an upstream; its list of headers is empty or made of live parts, each
        // with `nelts` headers, whose keys and values are live strings.
        unsafe {
            let mut part: *const ngx_list_part_t = &(*self.request.upstream).headers_in.headers.part;
            while let Some(headers) = part.as_ref() {
                if headers.nelts > 0 {
                    let headers = std::slice::from_raw_parts(headers.elts.cast::<ngx_table_elt_t>(), headers.nelts);
                    // A header that a later one replaced has no hash.
                    if let Some(found) =
                        headers.iter().find(|header| header.hash != 0 && name.is(bytes_of(&header.key)))
                    {
                        return Some(bytes_of(&found.value));
                    }
                }
                part = headers.next;
            }
        }
        None
    }

    /// The value of a variable, evaluated anew; `None` where it has none.
    pub fn variable(&self, index: isize) -> Option<&[u8]> {
        // SAFETY: the index is from `ngx_http_get_variable_index`; the value is null or lives as long as the request.
        unsafe {
            let request = (&raw const *self.request).cast_mut();
            let value = ngx_http_get_flushed_variable(request, index as ngx_uint_t).as_ref()?;
            (value.not_found() == 0 && value.len() > 0)
                .then(|| std::slice::from_raw_parts(value.data, value.len() as usize))
        }
    }
}

impl<'a> Attempt<'a> {
    /// The status; 0 where the client went away first.
    #[inline]
    pub fn status(self) -> u16 {
        u16::try_from(self.0.status).unwrap_or(0)
    }

    /// The time that it took, in milliseconds; 0 where nginx does not know.
    #[inline]
    pub fn time_ms(self) -> u32 {
        match self.0.response_time {
            ngx_msec_t::MAX => 0,
            time => u32::try_from(time).unwrap_or(u32::MAX),
        }
    }

    /// The address of the server, or the name of the upstream where no server was alive.
    #[inline]
    pub fn peer(self) -> &'a [u8] {
        // SAFETY: only separators have no peer, and those are not attempts; the string lives as long as the request.
        unsafe { bytes_of(&*self.0.peer) }
    }
}
