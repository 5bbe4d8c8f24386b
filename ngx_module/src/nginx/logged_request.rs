//! A finished request, as the log phase sees it.

use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr::NonNull;

use ngx::ffi::{
    ngx_http_get_flushed_variable, ngx_http_request_t, ngx_http_upstream_state_t, ngx_list_part_t, ngx_msec_t,
    ngx_table_elt_t, ngx_uint_t,
};
use ngx::http::HttpModuleLocationConf;

use super::bytes_of;
use super::log::Log;

/// A request in its log phase.
#[derive(Clone, Copy)]
pub struct LoggedRequest<'a>(NonNull<ngx_http_request_t>, PhantomData<&'a ngx_http_request_t>);

/// One upstream attempt, as nginx keeps it. It has a peer: separators between internal redirects are no attempts.
#[repr(transparent)]
pub struct Attempt(ngx_http_upstream_state_t);

/// The name of a header as variables spell it: lower case, with underscores for dashes.
#[derive(Clone)]
pub struct HeaderName {
    name: Vec<u8>,
    /// Where it was found last.
    found: Cell<Found>,
}

/// Where a header was among those of an answer, and nginx's hash of its name.
#[derive(Clone, Copy, Default)]
struct Found {
    /// Its place in the first part of the list.
    place: usize,
    /// The hash; zero while it was not found.
    hash: usize,
}

impl HeaderName {
    /// The header behind `$upstream_http_NAME`.
    pub fn of_variable(name: &str) -> Option<HeaderName> {
        let name = name.strip_prefix("upstream_http_")?.to_ascii_lowercase().into_bytes();
        (!name.is_empty()).then_some(HeaderName { name, found: Cell::default() })
    }

    /// Whether this is the header, by the rule of nginx's variables.
    fn is(&self, header: &[u8]) -> bool {
        let same = |(byte, wanted): (&u8, &u8)| match byte {
            b'-' => *wanted == b'_',
            byte => byte.to_ascii_lowercase() == *wanted,
        };
        header.len() == self.name.len() && header.iter().zip(&self.name).all(same)
    }
}

impl<'a> LoggedRequest<'a> {
    /// Wraps what nginx passed.
    ///
    /// # Safety
    /// `raw` is live for `'a`, in its log phase.
    #[inline(always)]
    pub unsafe fn new(raw: *mut ngx_http_request_t) -> Self {
        // SAFETY: live by contract.
        LoggedRequest(unsafe { NonNull::new_unchecked(raw) }, PhantomData)
    }

    #[inline(always)]
    fn get(self) -> &'a ngx_http_request_t {
        // SAFETY: live by contract. nginx changes it only in `variable`, which keeps no reference to it.
        unsafe { self.0.as_ref() }
    }

    /// Whether it went to an upstream and is a main one: subrequests (SSI, mirror, auth_request) are parts of an answer
    /// and no answers.
    #[inline(always)]
    pub fn is_of_interest(self) -> bool {
        let request = self.get();
        !request.upstream_states.is_null() && std::ptr::eq(request.main, request)
    }

    /// The error log of its connection.
    pub fn log(self) -> Log<'a> {
        // SAFETY: a request has a live connection with a log.
        unsafe { Log::new((*self.get().connection).log) }
    }

    /// Its attempts, and separators between internal redirects.
    #[inline(always)]
    fn states(self) -> &'a [Attempt] {
        // SAFETY: the field is null or an array of states, as long as the request.
        unsafe {
            match self.get().upstream_states.as_ref() {
                Some(states) => std::slice::from_raw_parts(states.elts.cast::<Attempt>(), states.nelts),
                None => &[],
            }
        }
    }

    /// The module's configuration of the location in which the request ended.
    #[inline(always)]
    pub fn location<M: HttpModuleLocationConf>(self) -> &'a M::LocationConf {
        // SAFETY: nginx gives every location a configuration made by `create_loc_conf`, which outlives the request.
        unsafe { &*(*self.get().loc_conf.add(M::module().ctx_index)).cast() }
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
        let request = self.get();
        if request.err_status != 0 { request.err_status } else { request.headers_out.status }
    }

    /// The value of a header of this name in the last answer of the upstream: the first one, unless it moved among
    /// several. Empty where there is none.
    #[inline(always)]
    pub fn upstream_header(self, name: &HeaderName) -> &'a [u8] {
        // SAFETY: a request with attempts has an upstream, whose list begins with a live part.
        let first = unsafe { &(*self.get().upstream).headers_in.headers.part };
        // Most upstreams send the same headers in the same order every time, so one look tells. Where a name of the same
        // length has the same hash without being the same, the upstream has made it so, which could as well have sent
        // this one.
        let found = name.found.get();
        match headers_of(first).get(found.place) {
            Some(header) if header.hash == found.hash && header.key.len == name.name.len() && found.hash != 0 => {
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
            let value = ngx_http_get_flushed_variable(self.0.as_ptr(), index as ngx_uint_t).as_ref()?;
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
