//! What a location with `alert_status` answers.

use crate::ffi::process;

/// What was asked for.
pub struct Query<'a> {
    /// The name of the location.
    pub location: &'a [u8],
    /// The path of the request.
    pub path: &'a [u8],
}

/// What is answered.
pub struct Document {
    /// Its media type.
    pub content_type: &'static str,
    /// Its bytes.
    pub body: Vec<u8>,
}

/// The document for a query; `None` where there is none of this name.
pub fn document(query: &Query<'_>) -> Option<Document> {
    match below(query) {
        b"" | b"status.json" => Some(json()),
        _ => None,
    }
}

/// The part of the path below the location, without the slash between.
fn below<'a>(query: &Query<'a>) -> &'a [u8] {
    // The name of a regular expression's location is no part of the path.
    let rest = query.path.strip_prefix(query.location).unwrap_or(query.path);
    rest.strip_prefix(b"/").unwrap_or(rest)
}

fn json() -> Document {
    let status = process::with_engine(|engine| engine.status().to_json());
    let body = status.map(|status| status.to_string()).unwrap_or_else(|| "{}".into());
    Document { content_type: "application/json", body: body.into_bytes() }
}
