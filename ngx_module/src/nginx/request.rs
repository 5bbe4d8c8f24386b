//! A request that a location of ours answers, with a body that was made in memory.

use std::ffi::{c_int, c_void};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use ngx::core::Status;
use ngx::ffi::{
    NGX_HTTP_GET, NGX_HTTP_HEAD, NGX_HTTP_INTERNAL_SERVER_ERROR, NGX_HTTP_OPTIONS, NGX_HTTP_POST, ngx_buf_t,
    ngx_chain_t, ngx_http_discard_request_body, ngx_http_finalize_request, ngx_http_output_filter, ngx_http_request_t,
    ngx_http_run_posted_requests, ngx_http_send_header, ngx_int_t, ngx_list_part_t, ngx_list_push, ngx_pcalloc,
    ngx_pool_cleanup_add, ngx_pool_t, ngx_str_t, ngx_table_elt_t, ngx_uint_t,
};
use ngx::http::{HttpModuleLocationConf, HttpModuleMainConf, NgxHttpCoreModule};

use super::log::Log;
use super::{bytes_of, guarded};

/// Headers of every document: it is of this moment, and what it says it is.
const OF_ALL: [(&str, &str); 2] = [("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")];

/// What is answered.
pub struct Document {
    /// The status of the answer.
    pub status: u16,
    /// Its media type.
    pub content_type: &'static str,
    /// Headers besides those that every document gets.
    pub headers: Vec<(&'static str, &'static str)>,
    /// Its bytes, which several requests can share.
    pub body: Arc<Vec<u8>>,
}

impl Document {
    /// A JSON document.
    pub fn json(status: u16, body: &impl ToString) -> Document {
        let body = body.to_string().into_bytes();
        Document { status, content_type: "application/json", headers: Vec::new(), body: Arc::new(body) }
    }
}

/// A request in its content phase, to which nothing was sent yet.
pub struct Request<'a>(NonNull<ngx_http_request_t>, PhantomData<&'a ngx_http_request_t>);

impl<'a> Request<'a> {
    /// Wraps what nginx passed.
    ///
    /// # Safety
    /// `raw` is live for `'a`, its headers are read, and nothing else answers it.
    pub unsafe fn new(raw: *mut ngx_http_request_t) -> Self {
        // SAFETY: live by contract.
        Request(unsafe { NonNull::new_unchecked(raw) }, PhantomData)
    }

    /// Does what a content handler is for.
    pub fn answer(self, body: impl FnOnce(Request<'a>) -> ngx_int_t) -> ngx_int_t {
        guarded(self.log(), NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t, || body(self))
    }

    fn get(&self) -> &'a ngx_http_request_t {
        // SAFETY: live by contract; nginx changes it only in calls that take this wrapper.
        unsafe { self.0.as_ref() }
    }

    /// The raw pointer, for the other files of this border.
    pub(super) fn raw(&self) -> *mut ngx_http_request_t {
        self.0.as_ptr()
    }

    /// The error log of its connection.
    pub fn log(&self) -> Log<'a> {
        // SAFETY: a request has a live connection with a log.
        unsafe { Log::new((*self.get().connection).log) }
    }

    /// Whether it only reads.
    pub fn is_get_or_head(&self) -> bool {
        self.get().method & (NGX_HTTP_GET | NGX_HTTP_HEAD) as ngx_uint_t != 0
    }

    /// Whether it may change something.
    pub fn is_post(&self) -> bool {
        self.get().method & NGX_HTTP_POST as ngx_uint_t != 0
    }

    /// Whether it asks what may be done.
    pub fn is_options(&self) -> bool {
        self.get().method & NGX_HTTP_OPTIONS as ngx_uint_t != 0
    }

    /// The name of the location that answers.
    pub fn location_name(&self) -> &'a [u8] {
        // SAFETY: the name belongs to the configuration, which outlives the request.
        NgxHttpCoreModule::location_conf(self.get()).map(|core| unsafe { bytes_of(&core.name) }).unwrap_or_default()
    }

    /// The path.
    pub fn path(&self) -> &'a [u8] {
        // SAFETY: a string of the request.
        unsafe { bytes_of(&self.get().uri) }
    }

    /// The part of the path below the location, without the slash between; `None` for a path that only begins as the name of
    /// the location does.
    pub fn path_below(&self) -> Option<&'a [u8]> {
        let (path, name) = (self.path(), self.location_name());
        let whole = |path: &'a [u8]| path.strip_prefix(b"/").unwrap_or(path);
        match path.strip_prefix(name) {
            // The name of a regular expression's location is no part of the path.
            None => Some(whole(path)),
            Some(rest) if rest.is_empty() || name.ends_with(b"/") => Some(whole(rest)),
            Some(rest) => rest.strip_prefix(b"/"),
        }
    }

    /// The query string.
    pub fn arguments(&self) -> &'a [u8] {
        // SAFETY: a string of the request.
        unsafe { bytes_of(&self.get().args) }
    }

    /// The first header of this name (in any case) that the client sent.
    pub fn header(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.headers().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The names and values of all headers that the client sent.
    pub fn headers(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let first: *const ngx_list_part_t = &self.get().headers_in.headers.part;
        // SAFETY: the list is made of live parts, the last of which has no next.
        let parts = std::iter::successors(unsafe { first.as_ref() }, |part| unsafe { part.next.as_ref() });
        parts.filter(|part| part.nelts > 0).flat_map(|part| {
            // SAFETY: each part has `nelts` headers.
            let headers = unsafe { std::slice::from_raw_parts(part.elts.cast::<ngx_table_elt_t>(), part.nelts) };
            // SAFETY: their strings are of the request.
            headers.iter().map(|header| unsafe { (bytes_of(&header.key), bytes_of(&header.value)) })
        })
    }

    /// The module's configuration of the http level by which this request was made.
    pub fn main_conf<M: HttpModuleMainConf<MainConf: 'static>>(&self) -> &'a M::MainConf {
        M::main_conf(self.get()).expect("nginx made the configuration")
    }

    /// Reads the body away, which says nothing here.
    ///
    /// # Errors
    /// What to return to nginx.
    pub fn discard_body(&self) -> Result<(), ngx_int_t> {
        // SAFETY: the request is live, and nothing was sent yet.
        let rc = unsafe { ngx_http_discard_request_body(self.raw()) };
        if rc == Status::NGX_OK.0 { Ok(()) } else { Err(rc) }
    }

    /// Answers with a document; without its body where only the head was asked for.
    pub fn send(self, document: Document) -> ngx_int_t {
        let r = self.raw();
        // SAFETY: the request is live, and it is answered once, since this takes it. No reference to it outlives the line
        // that makes it, since filters write to the request as well. What is sent lives as long as its pool, or for ever.
        unsafe {
            let (out, length) = (&raw mut (*r).headers_out, document.body.len());
            (*out).status = document.status.into();
            (*out).content_length_n = length as i64;
            (*out).content_type = fixed(document.content_type);
            // Without the charset, as `gzip_types` and the like compare it.
            (*out).content_type_len = document.content_type.split(';').next().unwrap_or_default().len();
            for (name, value) in OF_ALL.iter().chain(&document.headers) {
                let header = ngx_list_push(&raw mut (*out).headers).cast::<ngx_table_elt_t>();
                if header.is_null() {
                    return NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t;
                }
                header.write(std::mem::zeroed());
                ((*header).hash, (*header).key, (*header).value) = (1, fixed(name), fixed(value));
            }
            if (*r).method & NGX_HTTP_HEAD as ngx_uint_t != 0 {
                (*r).set_header_only(1);
            }
            // Before anything is sent: where there is no memory for the body, the head must not promise one.
            let buffer = buffer_of((*r).pool, document.body);
            if buffer.is_null() {
                return NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t;
            }
            let rc = ngx_http_send_header(r);
            if rc == Status::NGX_ERROR.0 || rc > Status::NGX_OK.0 || (*r).header_only() != 0 {
                return rc;
            }
            bound_writes((*(*r).connection).fd, length);
            (*buffer).set_last_buf(if r == (*r).main { 1 } else { 0 });
            (*buffer).set_last_in_chain(1);
            let mut chain = ngx_chain_t { buf: buffer, next: ptr::null_mut() };
            ngx_http_output_filter(r, &mut chain)
        }
    }

    /// Ends a request that is answered later, and whatever waits for it. The wrapper is not to be used any more.
    ///
    /// # Safety
    /// The request was kept by [`Request::answer_later`], and nothing has ended it since.
    pub(super) unsafe fn end(r: *mut ngx_http_request_t, rc: ngx_int_t) {
        // SAFETY: live by contract; its connection is not touched unless nginx does so itself.
        unsafe {
            let connection = (*r).connection;
            ngx_http_finalize_request(r, rc);
            ngx_http_run_posted_requests(connection);
        }
    }
}

/// Lets no write of a large document copy more than a piece of it into the kernel at once, which would hold the event loop up.
/// Without, the kernel takes some megabytes from a reader that is near.
fn bound_writes(fd: c_int, length: usize) {
    // The kernel doubles it.
    const PIECE: c_int = 128 * 1024;
    if length > 2 * PIECE as usize {
        // SAFETY: the descriptor is that of a live connection; the value outlives the call. Where it is no socket, or refused, the
        // document is sent all the same.
        unsafe {
            let (value, size) = (PIECE, size_of::<c_int>() as libc::socklen_t);
            libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, (&raw const value).cast(), size);
        }
    }
}

/// A text that lives for ever, as nginx keeps its own: nothing writes to what headers point to.
fn fixed(text: &'static str) -> ngx_str_t {
    ngx_str_t { len: text.len(), data: text.as_ptr().cast_mut() }
}

/// A buffer with these bytes, which are not copied: the pool lets go of them when it ends. Null where there is no memory.
///
/// # Safety
/// The pool is live.
unsafe fn buffer_of(pool: *mut ngx_pool_t, bytes: Arc<Vec<u8>>) -> *mut ngx_buf_t {
    unsafe extern "C" fn free(bytes: *mut c_void) {
        // SAFETY: nginx calls this once, with what was put there below.
        unsafe { ptr::drop_in_place(bytes.cast::<Arc<Vec<u8>>>()) };
    }
    // SAFETY: the pool is live, and gives room that is aligned for any type. What an `Arc` holds is neither moved nor written
    // to, and nginx only reads a buffer that says it is `memory`.
    unsafe {
        let buffer = ngx_pcalloc(pool, size_of::<ngx_buf_t>()).cast::<ngx_buf_t>();
        let cleanup = ngx_pool_cleanup_add(pool, size_of::<Arc<Vec<u8>>>());
        if buffer.is_null() || cleanup.is_null() {
            return ptr::null_mut();
        }
        let range = bytes.as_ptr_range();
        let (begin, end) = (range.start.cast_mut(), range.end.cast_mut());
        (*cleanup).data.cast::<Arc<Vec<u8>>>().write(bytes);
        (*cleanup).handler = Some(free);
        ((*buffer).start, (*buffer).pos) = (begin, begin);
        ((*buffer).end, (*buffer).last) = (end, end);
        (*buffer).set_memory(1);
        buffer
    }
}
