//! A request that a location of ours answers, with a body that was made in memory.

use std::ffi::c_void;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use ngx::core::Status;
use ngx::ffi::{
    NGX_HTTP_GET, NGX_HTTP_HEAD, NGX_HTTP_INTERNAL_SERVER_ERROR, NGX_HTTP_OPTIONS, NGX_HTTP_POST, ngx_buf_t,
    ngx_chain_t, ngx_http_discard_request_body, ngx_http_output_filter, ngx_http_request_t, ngx_http_send_header,
    ngx_int_t, ngx_list_part_t, ngx_list_push, ngx_pcalloc, ngx_pool_cleanup_add, ngx_pool_t, ngx_str_t,
    ngx_table_elt_t, ngx_uint_t,
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
    /// Its bytes.
    pub body: Vec<u8>,
}

impl Document {
    /// A JSON document.
    pub fn json(status: u16, body: &impl ToString) -> Document {
        let body = body.to_string().into_bytes();
        Document { status, content_type: "application/json", headers: Vec::new(), body }
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
        // SAFETY: the request is live, and it is answered once, since this takes it. What is sent lives as long as its pool.
        unsafe {
            let request = &mut *r;
            let length = document.body.len();
            request.headers_out.status = document.status.into();
            request.headers_out.content_length_n = length as i64;
            request.headers_out.content_type = ngx_str_t::from_str(request.pool, document.content_type);
            // Without the charset, as `gzip_types` and the like compare it.
            request.headers_out.content_type_len = document.content_type.split(';').next().unwrap_or_default().len();
            for (name, value) in OF_ALL.iter().chain(&document.headers) {
                let Some(header) = ngx_list_push(&mut request.headers_out.headers).cast::<ngx_table_elt_t>().as_mut()
                else {
                    return NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t;
                };
                *header = std::mem::zeroed();
                header.hash = 1;
                header.key = ngx_str_t::from_str(request.pool, name);
                header.value = ngx_str_t::from_str(request.pool, value);
            }
            if request.method & NGX_HTTP_HEAD as ngx_uint_t != 0 {
                request.set_header_only(1);
            }
            let rc = ngx_http_send_header(r);
            if rc == Status::NGX_ERROR.0 || rc > Status::NGX_OK.0 || request.header_only() != 0 {
                return rc;
            }
            let Some(buffer) = buffer_of(request.pool, document.body).as_mut() else {
                return NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t;
            };
            buffer.set_last_buf(1);
            buffer.set_last_in_chain(1);
            let mut chain = ngx_chain_t { buf: buffer, next: ptr::null_mut() };
            ngx_http_output_filter(r, &mut chain)
        }
    }
}

/// A buffer with these bytes, which are not copied: the pool frees them when it ends. Null where there is no memory.
///
/// # Safety
/// The pool is live.
unsafe fn buffer_of(pool: *mut ngx_pool_t, bytes: Vec<u8>) -> *mut ngx_buf_t {
    unsafe extern "C" fn free(bytes: *mut c_void) {
        // SAFETY: nginx calls this once, with what was put there below.
        unsafe { ptr::drop_in_place(bytes.cast::<Vec<u8>>()) };
    }
    // SAFETY: the pool is live, and gives room that is aligned for any type; a vector does not move what it holds.
    unsafe {
        let buffer = ngx_pcalloc(pool, size_of::<ngx_buf_t>()).cast::<ngx_buf_t>();
        let Some(cleanup) = ngx_pool_cleanup_add(pool, size_of::<Vec<u8>>()).as_mut() else { return ptr::null_mut() };
        let owned = cleanup.data.cast::<Vec<u8>>();
        owned.write(bytes);
        cleanup.handler = Some(free);
        if let Some(buffer) = buffer.as_mut() {
            let bytes = (*owned).as_mut_ptr_range();
            (buffer.start, buffer.pos) = (bytes.start, bytes.start);
            (buffer.end, buffer.last) = (bytes.end, bytes.end);
            buffer.set_memory(1);
        }
        buffer
    }
}
