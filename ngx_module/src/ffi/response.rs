//! Answering a request with a body that was made in memory.

use std::ptr;

use ngx::core::Status;
use ngx::ffi::{
    NGX_HTTP_GET, NGX_HTTP_HEAD, NGX_HTTP_INTERNAL_SERVER_ERROR, NGX_HTTP_NOT_ALLOWED, NGX_HTTP_NOT_FOUND, ngx_chain_t,
    ngx_create_temp_buf, ngx_http_discard_request_body, ngx_http_output_filter, ngx_http_request_t,
    ngx_http_send_header, ngx_int_t, ngx_list_push, ngx_str_t, ngx_table_elt_t, ngx_uint_t,
};
use ngx::http::{HttpModuleLocationConf, NgxHttpCoreModule};
use ngx::ngx_string;

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
    // SAFETY: the request is live; all that is read of it belongs to it.
    let (method, document) = unsafe {
        let request = &*r;
        if request.method & (NGX_HTTP_GET | NGX_HTTP_HEAD) as ngx_uint_t == 0 {
            return NGX_HTTP_NOT_ALLOWED as ngx_int_t;
        }
        let location = NgxHttpCoreModule::location_conf(request).map(|core| bytes_of(&core.name)).unwrap_or_default();
        (request.method, crate::status::document(&Query { location, path: bytes_of(&request.uri) }))
    };
    let Some(document) = document else { return NGX_HTTP_NOT_FOUND as ngx_int_t };
    // SAFETY: the request is live.
    unsafe {
        let rc = ngx_http_discard_request_body(r);
        if rc != Status::NGX_OK.0 { rc } else { send(r, &document, method == NGX_HTTP_HEAD as ngx_uint_t) }
    }
}

/// # Safety
/// `r` is live, in its content phase, and nothing was sent yet.
unsafe fn send(r: *mut ngx_http_request_t, document: &Document, head: bool) -> ngx_int_t {
    // SAFETY: the request is live; buffers come from its pool and are filled within their bounds.
    unsafe {
        let request = &mut *r;
        let length = document.body.len();
        request.headers_out.status = 200;
        request.headers_out.content_length_n = length as i64;
        request.headers_out.content_type = ngx_str_t::from_str(request.pool, document.content_type);
        request.headers_out.content_type_len = document.content_type.len();
        let no_store = ngx_list_push(&mut request.headers_out.headers).cast::<ngx_table_elt_t>();
        if let Some(no_store) = no_store.as_mut() {
            *no_store = std::mem::zeroed();
            no_store.hash = 1;
            no_store.key = ngx_string!("Cache-Control");
            no_store.value = ngx_string!("no-store");
        }
        if head {
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
