//! Answering a request with a body that was made in memory.

use std::ptr;

use ngx::core::Status;
use ngx::ffi::{
    NGX_HTTP_GET, NGX_HTTP_HEAD, NGX_HTTP_INTERNAL_SERVER_ERROR, NGX_HTTP_NOT_ALLOWED, NGX_HTTP_NOT_FOUND, ngx_chain_t,
    ngx_create_temp_buf, ngx_http_discard_request_body, ngx_http_output_filter, ngx_http_request_t,
    ngx_http_send_header, ngx_int_t, ngx_list_part_t, ngx_list_push, ngx_str_t, ngx_table_elt_t, ngx_uint_t,
};
use ngx::http::{HttpModuleLocationConf, NgxHttpCoreModule};

use super::conf::bytes_of;
use crate::status::{Document, Query};

/// Called by nginx for a request to a location with `alert_status`.
pub extern "C" fn status_handler(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: nginx passes a live request with a live connection.
    let log = unsafe { (*(*r).connection).log };
    super::guarded(log, NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t, || {
        // SAFETY: the request is live during the call, and this is its content handler.
        unsafe { answer(r) }
    })
}

/// # Safety
/// `r` is live, in its content phase.
unsafe fn answer(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: the request is live, and nothing was sent yet.
    unsafe {
        if (*r).method & (NGX_HTTP_GET | NGX_HTTP_HEAD) as ngx_uint_t == 0 {
            return NGX_HTTP_NOT_ALLOWED as ngx_int_t;
        }
        let Some(document) = crate::status::document(&query(&*r)) else { return NGX_HTTP_NOT_FOUND as ngx_int_t };
        let rc = ngx_http_discard_request_body(r);
        if rc != Status::NGX_OK.0 { rc } else { send(r, &document) }
    }
}

/// What a request asks for.
///
/// # Safety
/// The request is live, in its content phase.
pub(super) unsafe fn query(request: &ngx_http_request_t) -> Query<'_> {
    // SAFETY: all that is read of the request belongs to it.
    unsafe {
        Query {
            location: NgxHttpCoreModule::location_conf(request).map(|core| bytes_of(&core.name)).unwrap_or_default(),
            path: bytes_of(&request.uri),
            arguments: bytes_of(&request.args),
            accept: request_header(request, b"accept").unwrap_or_default(),
        }
    }
}

/// The first header of this name (in lower case) that the client sent.
///
/// # Safety
/// The request is live, and its headers are read.
pub(super) unsafe fn request_header<'a>(request: &'a ngx_http_request_t, name: &[u8]) -> Option<&'a [u8]> {
    let mut part: *const ngx_list_part_t = &request.headers_in.headers.part;
    // SAFETY: the list is empty or made of live parts, each with `nelts` headers of live strings.
    unsafe {
        while let Some(headers) = part.as_ref() {
            if headers.nelts > 0 {
                let headers = std::slice::from_raw_parts(headers.elts.cast::<ngx_table_elt_t>(), headers.nelts);
                if let Some(found) = headers.iter().find(|header| bytes_of(&header.key).eq_ignore_ascii_case(name)) {
                    return Some(bytes_of(&found.value));
                }
            }
            part = headers.next;
        }
    }
    None
}

/// Answers with a document; without its body where only the head was asked for.
///
/// # Safety
/// `r` is live, its body is read or discarded, and nothing was sent yet.
pub(super) unsafe fn send(r: *mut ngx_http_request_t, document: &Document) -> ngx_int_t {
    // SAFETY: the request is live; buffers come from its pool and are filled within their bounds.
    unsafe {
        let request = &mut *r;
        let length = document.body.len();
        request.headers_out.status = document.status.into();
        request.headers_out.content_length_n = length as i64;
        request.headers_out.content_type = ngx_str_t::from_str(request.pool, document.content_type);
        // Without the charset, as `gzip_types` and the like compare it.
        request.headers_out.content_type_len = document.content_type.split(';').next().unwrap_or_default().len();
        for (name, value) in [("Cache-Control", "no-store")].iter().chain(&document.headers) {
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
        let Some(buffer) = ngx_create_temp_buf(request.pool, length).as_mut() else {
            return NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t;
        };
        ptr::copy_nonoverlapping(document.body.as_ptr(), buffer.last, length);
        buffer.last = buffer.last.add(length);
        buffer.set_last_buf(1);
        buffer.set_last_in_chain(1);
        let mut chain = ngx_chain_t { buf: buffer, next: ptr::null_mut() };
        ngx_http_output_filter(r, &mut chain)
    }
}
