//! A finished request, as the log phase sees it.

use ngx::ffi::{
    ngx_current_msec, ngx_http_get_flushed_variable, ngx_http_request_t, ngx_http_upstream_state_t, ngx_list_part_t,
    ngx_msec_t, ngx_table_elt_t, ngx_uint_t,
};
use ngx::http::{HttpModule, HttpModuleLocationConf};

use super::conf::bytes_of;
use super::module::Module;
use crate::conf::{Found, HeaderName, LocationConf};

/// A finished request.
#[derive(Clone, Copy)]
pub struct Finished<'a>(&'a ngx_http_request_t);

/// One upstream attempt, as nginx keeps it. It has a peer: separators between internal redirects are no attempts.
#[repr(transparent)]
pub struct Attempt(ngx_http_upstream_state_t);

impl<'a> Finished<'a> {
    /// Wraps what nginx passed.
    ///
    /// # Safety
    /// `r` is live for `'a`, in its log phase.
    #[inline(always)]
    pub unsafe fn new(r: *mut ngx_http_request_t) -> Finished<'a> {
        // SAFETY: live by contract.
        Finished(unsafe { &*r })
    }

    /// Whether it went to an upstream and is a main one: subrequests (SSI, mirror, auth_request) are parts of an answer
    /// and no answers.
    #[inline(always)]
    pub fn is_of_interest(self) -> bool {
        !self.0.upstream_states.is_null() && std::ptr::eq(self.0.main, self.0)
    }

    /// Its attempts, and separators between internal redirects.
    #[inline(always)]
    fn states(self) -> &'a [Attempt] {
        // SAFETY: the field is null or an array of states, as long as the request.
        unsafe {
            match self.0.upstream_states.as_ref() {
                Some(states) => std::slice::from_raw_parts(states.elts.cast::<Attempt>(), states.nelts),
                None => &[],
            }
        }
    }

    /// The module's configuration of the location in which the request ended.
    #[inline]
    pub fn location(self) -> &'a LocationConf {
        // SAFETY: nginx gives every location a configuration made by `create_loc_conf`.
        unsafe {
            let conf = *self.0.loc_conf.add(Module::module().ctx_index);
            &*conf.cast::<<Module as HttpModuleLocationConf>::LocationConf>()
        }
    }

    /// The module's configuration of the http level by which this request was made, as an identity.
    #[inline]
    pub fn configuration(self) -> *const () {
        // SAFETY: nginx gives every module a place in the table.
        unsafe { (*self.0.main_conf.add(Module::module().ctx_index)).cast() }
    }

    /// The attempts after the last internal redirect, in order. A redirect leaves an entry without a peer behind.
    pub fn attempts(self) -> &'a [Attempt] {
        let separator = self.states().iter().rposition(|state| state.0.peer.is_null());
        &self.states()[separator.map_or(0, |separator| separator + 1)..]
    }

    /// The attempt of a request that had no other, and no redirect.
    #[inline(always)]
    pub fn only_attempt(self) -> Option<&'a Attempt> {
        match self.states() {
            [only] if !only.0.peer.is_null() => Some(only),
            _ => None,
        }
    }

    /// The status that the client got, as `$status` has it; 0 where there was none.
    #[inline]
    pub fn status(self) -> usize {
        if self.0.err_status != 0 { self.0.err_status } else { self.0.headers_out.status }
    }

    /// The time at which the event loop last looked, by the monotonic clock in milliseconds. No system call.
    #[inline]
    pub fn monotonic_ms(self) -> u64 {
        // SAFETY: nginx sets it before it serves requests, and changes it on this thread only.
        unsafe { ngx_current_msec as u64 }
    }

    /// The value of a header of this name in the last answer of the upstream: the first one, unless it moved among
    /// several. Empty where there is none.
    #[inline(always)]
    pub fn upstream_header(self, name: &HeaderName) -> &'a [u8] {
        // SAFETY: a request with attempts has an upstream, whose list begins with a live part.
        let first = unsafe { &(*self.0.upstream).headers_in.headers.part };
        // Most upstreams send the same headers in the same order every time, so one look tells. Where a name of the same
        // length has the same hash without being the same, the upstream has made it so, which could as well have sent
        // this one.
        let found = name.found.get();
        match headers_of(first).get(found.place) {
            Some(header) if header.hash == found.hash && header.key.len == name.len() && found.hash != 0 => {
                value_of(header)
            }
            _ => search(first, name).unwrap_or_default(),
        }
    }

    /// The value of a variable, evaluated anew; `None` where it has none.
    #[inline(never)]
    pub fn variable(self, index: isize) -> Option<&'a [u8]> {
        // SAFETY: the index is from `ngx_http_get_variable_index`; the value is null or lives as long as the request.
        unsafe {
            let request = (&raw const *self.0).cast_mut();
            let value = ngx_http_get_flushed_variable(request, index as ngx_uint_t).as_ref()?;
            (value.not_found() == 0 && value.len() > 0)
                .then(|| std::slice::from_raw_parts(value.data, value.len() as usize))
        }
    }
}

/// The headers of one part of a list.
#[inline(always)]
fn headers_of(part: &ngx_list_part_t) -> &[ngx_table_elt_t] {
    if part.nelts == 0 {
        return &[];
    }
    // SAFETY: a part of a list of headers has `nelts` of them.
    unsafe { std::slice::from_raw_parts(part.elts.cast::<ngx_table_elt_t>(), part.nelts) }
}

fn is_named(header: &ngx_table_elt_t, name: &HeaderName) -> bool {
    // SAFETY: the key is a live string. A header that a later one replaced has no hash.
    header.hash != 0 && name.is(unsafe { bytes_of(&header.key) })
}

#[inline]
fn value_of(header: &ngx_table_elt_t) -> &[u8] {
    // SAFETY: the value is a live string.
    unsafe { bytes_of(&header.value) }
}

/// Looks through a list of headers from its first part on, and notes where in that the header was.
#[inline(never)]
fn search<'a>(first: &'a ngx_list_part_t, name: &HeaderName) -> Option<&'a [u8]> {
    let mut part = Some(first);
    while let Some(headers) = part {
        if let Some(at) = headers_of(headers).iter().position(|header| is_named(header, name)) {
            let header = headers_of(headers).get(at)?;
            name.found.set(Found { place: at, hash: header.hash });
            return Some(value_of(header));
        }
        // SAFETY: the next part is live, or null.
        part = unsafe { headers.next.as_ref() };
    }
    None
}

impl Attempt {
    /// The status; 0 where the client went away first.
    #[inline]
    pub fn status(&self) -> u16 {
        u16::try_from(self.0.status).unwrap_or(0)
    }

    /// Whether the server answered, and with no error of its own.
    #[inline]
    pub fn answered(&self) -> bool {
        (1..500).contains(&self.0.status)
    }

    /// The time that it took, in milliseconds; 0 where nginx does not know.
    #[inline]
    pub fn time_ms(&self) -> u32 {
        u32::try_from(self.0.response_time).unwrap_or_else(|_| self.odd_time_ms())
    }

    #[cold]
    fn odd_time_ms(&self) -> u32 {
        const UNKNOWN: ngx_msec_t = ngx_msec_t::MAX;
        if self.0.response_time == UNKNOWN { 0 } else { u32::MAX }
    }

    /// The address of the server, or the name of the upstream where no server was alive.
    #[inline]
    pub fn peer(&self) -> &[u8] {
        // SAFETY: only separators have no peer, and those are not attempts; the string lives as long as the request.
        unsafe { bytes_of(&*self.0.peer) }
    }
}
