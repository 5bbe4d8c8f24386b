//! A finished request, as the log phase sees it.

use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use alert_core::observe::recorder::Intent;
use ngx::ffi::{
    NGX_HTTP_CACHE_HIT, NGX_HTTP_CACHE_REVALIDATED, NGX_HTTP_CACHE_STALE, NGX_HTTP_CACHE_UPDATING, NGX_HTTP_VERSION_9,
    ngx_http_get_flushed_variable, ngx_http_request_t, ngx_http_upstream_state_t, ngx_http_upstream_t, ngx_msec_t,
    ngx_uint_t,
};
use ngx::http::HttpModuleLocationConf;

use super::bytes_of;
use super::headers::Headers;
use super::log::Log;
use super::process::{cached_time, monotonic_ms};

mod ending;

/// A time that nginx does not know.
const UNKNOWN_TIME: ngx_msec_t = ngx_msec_t::MAX;
/// The length of an answer that ends with its connection.
const UNKNOWN_LENGTH: i64 = -1;
/// Shorter addresses are rare.
const ADDRESS_MIN: usize = 8;
/// The status that nginx gives a request whose client went away; those of failures are above.
const CLIENT_CLOSED_REQUEST: u16 = 499;
/// What nginx writes into its log in place of the status of an answer that has no header.
const NO_HEADER: u16 = 9;

/// A request in its log phase, or one of which nginx wants to know the value of a variable.
#[derive(Clone, Copy)]
pub struct LoggedRequest<'a>(NonNull<ngx_http_request_t>, PhantomData<&'a ngx_http_request_t>);

/// The upstream attempts of a request, and separators between internal redirects, up to the last attempt.
#[derive(Clone, Copy)]
pub struct Attempts<'a>(&'a [Attempt]);

/// One upstream attempt, as nginx keeps it.
#[repr(transparent)]
pub struct Attempt(ngx_http_upstream_state_t);

/// The one answer of a request, see [`LoggedRequest::only_answer`].
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Answer<'a> {
    upstream: &'a ngx_http_upstream_t,
    attempt: &'a Attempt,
}

impl<'a> Answer<'a> {
    /// Its headers.
    #[inline(always)]
    pub fn headers(self) -> Headers<'a> {
        Headers::new(self.upstream)
    }

    /// The attempt that brought it.
    #[inline(always)]
    pub fn attempt(self) -> &'a Attempt {
        self.attempt
    }

    /// When its header came, in milliseconds after the begin of the attempt.
    #[inline(always)]
    pub fn header_ms(self) -> u64 {
        self.attempt.0.header_time as u64
    }

    /// How long ago the attempt began, in milliseconds.
    #[inline(always)]
    pub fn began_ago_ms(self) -> u64 {
        monotonic_ms().wrapping_sub(self.upstream.start_time as u64)
    }
}

impl<'a> LoggedRequest<'a> {
    /// Wraps what nginx passed.
    ///
    /// # Safety
    /// `raw` is live for `'a`, in its log phase or while nginx asks for a variable.
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

    /// Whether it is a main one: subrequests (SSI, mirror, auth_request) are parts of an answer and no answers.
    #[inline(always)]
    pub fn is_main(self) -> bool {
        ptr::eq(self.get().main, self.get())
    }

    /// The error log of its connection.
    pub fn log(self) -> Log<'a> {
        // SAFETY: a request has a live connection with a log.
        unsafe { Log::new((*self.get().connection).log) }
    }

    #[inline(always)]
    fn upstream(self) -> Option<&'a ngx_http_upstream_t> {
        // SAFETY: the field is null or an upstream, as long as the request.
        unsafe { self.get().upstream.as_ref() }
    }

    /// Its attempts, and separators between internal redirects; `None` where no server was to be chosen.
    #[inline(always)]
    fn states(self) -> Option<&'a [Attempt]> {
        // SAFETY: the field is null or an array of states, as long as the request.
        unsafe {
            let states = self.get().upstream_states.as_ref()?;
            std::hint::assert_unchecked(!states.elts.is_null());
            Some(std::slice::from_raw_parts(states.elts.cast::<Attempt>(), states.nelts))
        }
    }

    /// The module's configuration of the location in which the request ended.
    #[inline(always)]
    pub fn location<M: HttpModuleLocationConf>(self) -> &'a M::LocationConf {
        // SAFETY: nginx gives every location a configuration made by `create_loc_conf`, which outlives the request.
        unsafe { &*(*self.get().loc_conf.add(M::module().ctx_index)).cast() }
    }

    /// Its attempts.
    #[inline]
    pub fn attempts(self) -> Attempts<'a> {
        let states = self.states().unwrap_or_default();
        Attempts(match states {
            // A separator after an attempt is no more than that.
            [until @ .., last] if last.is_separator() && until.last().is_some_and(|before| !before.is_separator()) => {
                until
            }
            _ => states,
        })
    }

    /// The answer of a request that had one attempt, whose answer came whole and is what the client got. `None` also where
    /// finding that out is not worth the while.
    #[inline(always)]
    pub fn only_answer(self) -> Option<Answer<'a>> {
        let Some([attempt]) = self.states() else { return None };
        let (request, status) = (self.get(), attempt.0.status);
        if status.wrapping_sub(1) >= ngx_uint_t::from(CLIENT_CLOSED_REQUEST) - 1 {
            return None;
        }
        // With an error page, or a cache, the answer or its header may be another's.
        if (request.headers_out.status ^ status) | request.err_status | request.cache.addr() != 0 {
            return None;
        }
        let upstream = self.upstream()?;
        // A connection is kept alive for the next request only once all of the answer came.
        let is_whole = upstream.keepalive() != 0 || attempt.is_whole(upstream);
        if !is_whole || request.request_complete() == 0 {
            return None;
        }
        Some(Answer { upstream, attempt })
    }

    /// Whether nothing about it can count: nobody was to be asked for it, and its client got what it wanted.
    #[inline(always)]
    pub fn is_plain(self) -> bool {
        let got_it = (1..CLIENT_CLOSED_REQUEST).contains(&self.status()) && !self.was_ended_within();
        self.get().upstream_states.is_null() && got_it
    }

    /// What it was meant to be, where there was no attempt.
    pub fn intent(self) -> Intent {
        let request = self.get();
        match (self.states(), self.upstream()) {
            (Some(_), _) => Intent::Upstream,
            (None, Some(_)) if request.cached() != 0 => Intent::Cache,
            (None, Some(_)) => Intent::Prepared,
            (None, None) if request.error_page() != 0 => Intent::Forgotten,
            (None, None) if self.was_kept_from_content() => Intent::Location,
            (None, None) => Intent::None,
        }
    }

    /// How long it took, in milliseconds.
    pub fn age_ms(self) -> u64 {
        let (second, millisecond) = cached_time();
        let start = self.get();
        let age = (second - start.start_sec) * 1000 + millisecond as i64 - start.start_msec as i64;
        age.max(0) as u64
    }

    /// How long ago its last attempt began, in milliseconds; `None` where that is not known any more.
    #[inline]
    pub fn began_ago_ms(self, last: &Attempt) -> Option<u64> {
        let upstream = self.upstream()?;
        // Another upstream may have been prepared since, whose attempts did not begin.
        (ptr::eq(upstream.state, &last.0) && !last.is_separator())
            .then(|| monotonic_ms().saturating_sub(upstream.start_time as u64))
    }

    /// Whether the header at hand is one that the cache kept.
    pub fn has_kept_header(self) -> bool {
        let status = self.upstream().map_or(0, |upstream| upstream.cache_status());
        matches!(
            status,
            NGX_HTTP_CACHE_STALE | NGX_HTTP_CACHE_UPDATING | NGX_HTTP_CACHE_REVALIDATED | NGX_HTTP_CACHE_HIT
        )
    }

    /// Its method, and its path as the client sent it, without the query.
    pub fn line(self) -> (&'a [u8], &'a [u8]) {
        // SAFETY: both strings live as long as the request.
        let (method, uri) = unsafe { (bytes_of(&self.get().method_name), bytes_of(&self.get().unparsed_uri)) };
        (method, uri.split(|byte| *byte == b'?').next().unwrap_or_default())
    }

    /// The status that the client got, as `$status` has it; 0 where there was none.
    #[inline]
    pub fn status(self) -> u16 {
        let request = self.get();
        let status = if request.err_status != 0 { request.err_status } else { request.headers_out.status };
        if status == 0 && self.has_no_header() { NO_HEADER } else { status as u16 }
    }

    /// Whether the upstream sent what is no header, and nginx passed it on: an answer of HTTP/0.9.
    fn has_no_header(self) -> bool {
        self.get().http_version == NGX_HTTP_VERSION_9 as usize
            && self.upstream().is_some_and(|upstream| upstream.header_sent() != 0)
    }

    /// The headers of the last answer of the upstream; `None` where there was none.
    pub fn headers(self) -> Option<Headers<'a>> {
        Some(Headers::new(self.upstream()?))
    }

    /// The value of a variable that was asked for before and is kept; `None` where it was not, and where it has none.
    pub fn kept_variable(self, index: isize) -> Option<&'a [u8]> {
        // SAFETY: the index is from `ngx_http_get_variable_index`, so that each request has a place for the value, which
        // lives as long as the request if it is valid.
        unsafe {
            let value = self.get().variables.add(index as usize).as_ref()?;
            (value.valid() == 1 && value.not_found() == 0)
                .then(|| std::slice::from_raw_parts(value.data, value.len() as usize))
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

impl<'a> Attempts<'a> {
    /// The last one. A separator that has no attempt before it says that nginx failed before the first of an upstream (a name
    /// that does not resolve), and stands for that one.
    #[inline]
    pub fn last(self) -> Option<&'a Attempt> {
        self.0.last()
    }

    /// All before that, in order, whatever redirects lie between them.
    #[inline]
    pub fn earlier(self) -> impl Iterator<Item = &'a Attempt> {
        let mut follows_none = true;
        self.0.split_last().map_or(&[][..], |(_, earlier)| earlier).iter().filter(move |state| {
            let is_separator = state.is_separator();
            !is_separator | std::mem::replace(&mut follows_none, is_separator)
        })
    }
}

impl Attempt {
    /// Whether all of its answer came.
    #[inline(always)]
    fn is_whole(&self, upstream: &ngx_http_upstream_t) -> bool {
        // SAFETY: the pipe is null or lives as long as the request.
        let Some(pipe) = (unsafe { upstream.pipe.as_ref() }) else { return false };
        let is_until_close = pipe.length == UNKNOWN_LENGTH && upstream.headers_in.content_length_n == UNKNOWN_LENGTH;
        // Where another upstream was prepared since, that has begun nothing.
        let has_come = || self.header_ms().is_some() && ptr::eq(upstream.state, &self.0);
        // FastCGI notes in the pipe alone that its answer was too short.
        pipe.upstream_error() == 0
            && (pipe.upstream_done() != 0
                || pipe.upstream_eof() != 0 && is_until_close
                || upstream.length == 0 && pipe.length == 0 && has_come())
    }

    /// Whether it is none: an internal redirect leaves an entry behind in which nothing is set. An attempt that could not
    /// begin has no peer either, and no time at which it was connected.
    fn is_separator(&self) -> bool {
        self.0.peer.is_null() && self.0.status == 0 && self.0.connect_time == 0
    }

    /// The status; 0 where none came.
    #[inline]
    pub fn status(&self) -> u16 {
        u16::try_from(self.0.status).unwrap_or(0)
    }

    /// Whether there was a connection.
    pub fn was_connected(&self) -> bool {
        self.0.connect_time != UNKNOWN_TIME
    }

    /// When its header came, in milliseconds after its begin; `None` where none came.
    #[inline]
    pub fn header_ms(&self) -> Option<u32> {
        (self.0.header_time != UNKNOWN_TIME).then(|| u32::try_from(self.0.header_time).unwrap_or(u32::MAX))
    }

    /// The time that it took, in milliseconds; 0 where nginx does not know.
    #[inline]
    pub fn time_ms(&self) -> u32 {
        match self.0.response_time {
            UNKNOWN_TIME => 0,
            time => u32::try_from(time).unwrap_or(u32::MAX),
        }
    }

    /// Where the text of [`Attempt::peer`] lies.
    #[inline(always)]
    pub fn peer_lies_at(&self) -> usize {
        self.0.peer.addr()
    }

    /// The address of the server where it is of [`ADDRESS_MIN`] bytes or more.
    #[inline(always)]
    pub fn address(&self) -> Option<&[u8]> {
        // SAFETY: the field is null or a live string, as long as the request.
        let peer = unsafe { self.0.peer.as_ref().filter(|peer| peer.len >= ADDRESS_MIN)? };
        // SAFETY: a string with a length points to that many bytes, and not to nowhere.
        unsafe {
            std::hint::assert_unchecked(!peer.data.is_null());
            Some(std::slice::from_raw_parts(peer.data, peer.len))
        }
    }

    /// The address of the server, or the name of the upstream where no server was alive; `None` for an attempt that could
    /// not begin.
    #[inline]
    pub fn peer(&self) -> Option<&[u8]> {
        // SAFETY: the field is null or a live string, as long as the request.
        unsafe { self.0.peer.as_ref().map(|peer| bytes_of(peer)) }
    }
}
