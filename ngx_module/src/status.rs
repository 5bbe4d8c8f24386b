//! What a location with `alert_status` answers.

use alert_core::report::view::Source;
use alert_core::report::{json, page, prometheus};

use crate::control::{not_running, refused};
use crate::ffi::process;

/// What was asked for.
pub struct Query<'a> {
    /// The name of the location.
    pub location: &'a [u8],
    /// The path of the request.
    pub path: &'a [u8],
    /// The query string.
    pub arguments: &'a [u8],
    /// The header `Accept`; empty where there is none.
    pub accept: &'a [u8],
}

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
        Document { status, content_type: json::CONTENT_TYPE, headers: Vec::new(), body }
    }
}

impl<'a> Query<'a> {
    /// The part of the path below the location, without the slash between.
    pub fn below(&self) -> &'a [u8] {
        // The name of a regular expression's location is no part of the path.
        let rest = self.path.strip_prefix(self.location).unwrap_or(self.path);
        rest.strip_prefix(b"/").unwrap_or(rest)
    }

    /// Whether the client reads JSON rather than HTML.
    fn wants_json(&self) -> bool {
        let accepts = |wanted: &[u8]| self.accept.windows(wanted.len()).any(|part| part.eq_ignore_ascii_case(wanted));
        accepts(b"application/json") && !accepts(b"text/html")
    }
}

/// The document for a query; `None` where there is none of this name.
pub fn document(query: &Query<'_>) -> Option<Document> {
    process::with_engine(|engine| {
        let source = engine.source();
        match query.below() {
            b"" if query.wants_json() => Some(plain(json::CONTENT_TYPE, json::render(&source))),
            b"" => Some(html(&source, query)),
            b"status.json" => Some(plain(json::CONTENT_TYPE, json::render(&source))),
            b"metrics" => Some(plain(prometheus::CONTENT_TYPE, prometheus::render(&source))),
            _ => None,
        }
    })
    .unwrap_or_else(|| Some(refused(&not_running())))
}

fn plain(content_type: &'static str, body: Vec<u8>) -> Document {
    Document { status: 200, content_type, headers: Vec::new(), body }
}

fn html(source: &Source<'_>, query: &Query<'_>) -> Document {
    let arguments = String::from_utf8_lossy(query.arguments);
    let path = String::from_utf8_lossy(query.path);
    let body = page::render(source, &path, &arguments).into_bytes();
    Document { status: 200, content_type: page::CONTENT_TYPE, headers: page::headers().to_vec(), body }
}
