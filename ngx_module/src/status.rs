//! What a location with `alert_status` answers.

use alert_core::report::view::Source;
use alert_core::report::{json, page, prometheus};
use ngx::ffi::{NGX_HTTP_NOT_ALLOWED, NGX_HTTP_NOT_FOUND, ngx_int_t};

use crate::engine::Main;
use crate::nginx::request::{Document, Request};

/// Answers a request.
pub fn answer(request: Request<'_>, main: &Main) -> ngx_int_t {
    if !request.is_get_or_head() {
        return NGX_HTTP_NOT_ALLOWED as ngx_int_t;
    }
    let document = match main.with_engine(|engine| document(&request, &engine.source(), main)) {
        Ok(Some(document)) => document,
        Ok(None) => return NGX_HTTP_NOT_FOUND as ngx_int_t,
        Err(refusal) => Document::json(refusal.status, &refusal.to_json()),
    };
    request.discard_body().map_or_else(|rc| rc, |()| request.send(document))
}

/// The document that is asked for; `None` where there is none of this name.
fn document(request: &Request<'_>, source: &Source<'_>, main: &Main) -> Option<Document> {
    match request.path_below()? {
        b"" if wants_json(request.header(b"accept").unwrap_or_default()) => {
            Some(plain(json::CONTENT_TYPE, json::render(source)))
        }
        b"" => Some(html(source, request, main)),
        b"status.json" => Some(plain(json::CONTENT_TYPE, json::render(source))),
        b"metrics" => Some(plain(prometheus::CONTENT_TYPE, prometheus::render(source))),
        _ => None,
    }
}

/// Whether the client reads JSON rather than HTML.
fn wants_json(accept: &[u8]) -> bool {
    let accepts = |wanted: &[u8]| accept.windows(wanted.len()).any(|part| part.eq_ignore_ascii_case(wanted));
    accepts(b"application/json") && !accepts(b"text/html")
}

fn plain(content_type: &'static str, body: Vec<u8>) -> Document {
    Document { status: 200, content_type, headers: Vec::new(), body }
}

fn html(source: &Source<'_>, request: &Request<'_>, main: &Main) -> Document {
    let server = request.server();
    let control = main.configuration.get().and_then(|configuration| configuration.control_of(server?));
    let query = String::from_utf8_lossy(request.arguments());
    let path = String::from_utf8_lossy(request.path());
    let asked = page::Asked { path: &path, query: &query, control };
    let body = page::render(source, &asked).into_bytes();
    Document { status: 200, content_type: page::CONTENT_TYPE, headers: page::headers().to_vec(), body }
}
