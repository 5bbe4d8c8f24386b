//! A finished request, as the log phase sees it.

use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr::NonNull;

use alert_core::model::success::HEADER_AGO_MAX_MS;
use alert_core::observe::recorder::Intent;
use ngx::ffi::{
    NGX_HTTP_CACHE_HIT, NGX_HTTP_CACHE_REVALIDATED, NGX_HTTP_CACHE_STALE, NGX_HTTP_CACHE_UPDATING, NGX_HTTP_VERSION_9,
    ngx_http_get_flushed_variable, ngx_http_request_t, ngx_http_upstream_state_t, ngx_http_upstream_t, ngx_list_part_t,
    ngx_msec_t, ngx_table_elt_t, ngx_uint_t,
};
use ngx::http::HttpModuleLocationConf;

use super::bytes_of;
use super::log::Log;
use super::process::{cached_time, monotonic_ms};

mod ending;

/// A time that nginx does not know.
const UNKNOWN_TIME: ngx_msec_t = ngx_msec_t::MAX;
/// The length of an answer that ends with its connection.
const UNKNOWN_LENGTH: i64 = -1;
/// The status that nginx gives a request whose client went away; those of failures are above.
const CLIENT_CLOSED_REQUEST: u16 = 499;
/// What nginx writes into its log in place of the status of an answer that has no header.
const NO_HEADER: u16 = 9;

/// A request in its log phase, or one of which nginx wants to know the value of a variable.
#[derive(Clone, Copy)]
pub struct LoggedRequest<'a>(NonNull<ngx_http_request_t>, PhantomData<&'a ngx_http_request_t>);

/// One upstream attempt, as nginx keeps it.
#[repr(transparent)]
pub struct Attempt(ngx_http_upstream_state_t);

/// The one answer of a request, see [`LoggedRequest::only_answer`].
#[derive(Clone, Copy)]
pub struct Answer<'a> {
    /// The address of the server.
    pub address: &'a [u8],
    /// When its header came, in milliseconds after the begin of the attempt.
    pub header_ms: u32,
    /// How long ago that was, in milliseconds.
    pub header_ago_ms: u32,
}

/// The name of a header as variables spell it: lower case, with underscores for dashes.
#[derive(Clone)]
pub struct HeaderName {
    name: Vec<u8>,
    /// Where it was found last, if it was.
    found: Cell<Found>,
    /// What the headers were like when it was not among them.
    absent: Cell<Layout>,
}

/// The names of an answer's headers, as a number: the sum of nginx's hashes of them, and how many there are.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Layout(usize);

/// Where a header was among those of an answer, and nginx's hash of its name.
#[derive(Clone, Copy)]
struct Found {
    /// Its place in the first part of the list.
    place: usize,
    /// The same in bytes.
    offset: usize,
    /// The hash. While it was not found, one that no header has: nginx has zero where a later header replaced one.
    hash: usize,
}

impl Default for Found {
    fn default() -> Found {
        Found { place: 0, offset: 0, hash: usize::MAX }
    }
}

impl HeaderName {
    /// The header behind `$upstream_http_NAME`.
    pub fn of_variable(name: &str) -> Option<HeaderName> {
        let name = name.strip_prefix("upstream_http_")?.to_ascii_lowercase().into_bytes();
        (!name.is_empty()).then_some(HeaderName { name, found: Cell::default(), absent: Cell::default() })
    }

    /// One that is nowhere known to be or not to be.
    pub fn unknown() -> HeaderName {
        HeaderName { name: Vec::new(), found: Cell::default(), absent: Cell::default() }
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
        std::ptr::eq(self.get().main, self.get())
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
            Some(std::slice::from_raw_parts(states.elts.cast::<Attempt>(), states.nelts))
        }
    }

    /// The module's configuration of the location in which the request ended.
    #[inline(always)]
    pub fn location<M: HttpModuleLocationConf>(self) -> &'a M::LocationConf {
        // SAFETY: nginx gives every location a configuration made by `create_loc_conf`, which outlives the request.
        unsafe { &*(*self.get().loc_conf.add(M::module().ctx_index)).cast() }
    }

    /// All of its attempts, in order, whatever redirects lie between them. A separator that has none before it says that
    /// nginx failed before the first of an upstream (a name that does not resolve), and stands for that one.
    pub fn attempts(self) -> impl Iterator<Item = &'a Attempt> {
        let mut follows_none = true;
        self.states().unwrap_or_default().iter().filter(move |state| {
            let is_separator = state.is_separator();
            !is_separator | std::mem::replace(&mut follows_none, is_separator)
        })
    }

    /// The answer of a request that had one attempt, whose answer came whole and is what the client got. `None` also where
    /// finding that out is not worth the while.
    #[inline(always)]
    pub fn only_answer(self) -> Option<Answer<'a>> {
        let Some([attempt]) = self.states() else { return None };
        let (status, upstream) = (attempt.0.status, self.upstream()?);
        // With an error page, or a cache, the answer or its header may be another's.
        let request = self.get();
        let is_own = request.err_status == 0 && request.headers_out.status == status && request.cache.is_null();
        if !is_own || !(1..usize::from(CLIENT_CLOSED_REQUEST)).contains(&status) {
            return None;
        }
        // SAFETY: the pipe is null or lives as long as the request.
        let pipe = unsafe { upstream.pipe.as_ref()? };
        let header_ms = attempt.0.header_time as u64;
        let is_until_close = pipe.length == UNKNOWN_LENGTH && upstream.headers_in.content_length_n == UNKNOWN_LENGTH;
        let is_whole = pipe.upstream_done() != 0
            || pipe.upstream_eof() != 0 && pipe.upstream_error() == 0 && is_until_close
            || upstream.length == 0 && attempt.0.header_time != UNKNOWN_TIME;
        let is_whole = is_whole && request.request_complete() != 0;
        // Where another upstream was prepared since, it has begun nothing, and this is far too long.
        let header_ago_ms = monotonic_ms().wrapping_sub(upstream.start_time as u64).wrapping_sub(header_ms);
        if !is_whole || header_ago_ms > u64::from(HEADER_AGO_MAX_MS) {
            return None;
        }
        let address = attempt.peer()?;
        Some(Answer { address, header_ms: header_ms as u32, header_ago_ms: header_ago_ms as u32 })
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
    pub fn last_began_ago_ms(self) -> Option<u64> {
        let (upstream, last) = (self.upstream()?, self.states()?.last()?);
        // Another upstream may have been prepared since, whose attempts did not begin.
        (std::ptr::eq(upstream.state, &last.0) && !last.is_separator())
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

    /// The value of a header of this name in the last answer of the upstream, where one look tells: it is where it was last,
    /// or not there as it was not among the same headers before. Most upstreams send the same headers in the same order
    /// every time; where another name has the same hash, the upstream has made it so, which could as well have sent this
    /// one. `seen` is what the headers are known to be like, and becomes it.
    #[inline(always)]
    pub fn known_header(self, name: &HeaderName, seen: &mut Layout) -> Option<&'a [u8]> {
        let first = &self.upstream()?.headers_in.headers.part;
        let found = name.found.get();
        if first.nelts > found.place {
            // SAFETY: the first part of a list of headers has `nelts` of them.
            let header = unsafe { &*first.elts.byte_add(found.offset).cast::<ngx_table_elt_t>() };
            if header.hash == found.hash {
                return Some(value_of(header));
            }
        }
        let absent = name.absent.get();
        if absent == Layout::default() {
            return None;
        }
        if *seen != absent {
            *seen = layout(first);
        }
        (*seen == absent).then_some(&[])
    }

    /// The value of a header of this name in the last answer of the upstream: the first one, unless it moved among
    /// several. Empty where there is none.
    pub fn upstream_header(self, name: &HeaderName) -> &'a [u8] {
        let Some(upstream) = self.upstream() else { return &[] };
        let first = &upstream.headers_in.headers.part;
        // Most upstreams send the same headers in the same order every time, so one look tells. Where a name of the same
        // length has the same hash without being the same, the upstream has made it so, which could as well have sent
        // this one.
        let found = name.found.get();
        match headers_of(first).get(found.place) {
            Some(header) if header.hash == found.hash && header.key.len == name.name.len() => value_of(header),
            _ => search(first, name).unwrap_or_else(|| {
                name.absent.set(layout(first));
                &[]
            }),
        }
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

/// The headers of one part of a list.
#[inline(always)]
fn headers_of(part: &ngx_list_part_t) -> &[ngx_table_elt_t] {
    if part.nelts == 0 {
        return &[];
    }
    // SAFETY: a part of a list of headers has `nelts` of them.
    unsafe { std::slice::from_raw_parts(part.elts.cast::<ngx_table_elt_t>(), part.nelts) }
}

/// What the names of all headers are like, from the first part of a list on.
#[inline(always)]
fn layout(first: &ngx_list_part_t) -> Layout {
    let mut part = Some(first);
    let mut layout = 1;
    while let Some(headers) = part {
        layout = headers_of(headers).iter().fold(layout, |sum: usize, header| sum.wrapping_add(header.hash + 1));
        // SAFETY: the next part is live, or null.
        part = unsafe { headers.next.as_ref() };
    }
    Layout(layout)
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
            if std::ptr::eq(headers, first) {
                name.found.set(Found { place: at, offset: at * size_of::<ngx_table_elt_t>(), hash: header.hash });
            }
            return Some(value_of(header));
        }
        // SAFETY: the next part is live, or null.
        part = unsafe { headers.next.as_ref() };
    }
    None
}

impl Attempt {
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

    /// The address of the server, or the name of the upstream where no server was alive; `None` for an attempt that could
    /// not begin.
    #[inline]
    pub fn peer(&self) -> Option<&[u8]> {
        // SAFETY: the field is null or a live string, as long as the request.
        unsafe { self.0.peer.as_ref().map(|peer| bytes_of(peer)) }
    }
}
