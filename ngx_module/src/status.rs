//! What a location with `alert_status` answers.

use alert_core::operate::control::Refusal;
use alert_core::report::renderer::{Failure, Question, Rendered};
use alert_core::report::{json, page, prometheus};
use ngx::ffi::{NGX_HTTP_NOT_ALLOWED, NGX_HTTP_NOT_FOUND, ngx_int_t};

use crate::engine::{self, Main};
use crate::nginx::process;
use crate::nginx::request::{Document, Request};

/// Answers a request as soon as a thread has made its document.
pub fn answer(request: Request<'_>, main: &Main) -> ngx_int_t {
    if !request.is_get_or_head() {
        return NGX_HTTP_NOT_ALLOWED as ngx_int_t;
    }
    let Some(question) = question(&request, main) else { return NGX_HTTP_NOT_FOUND as ngx_int_t };
    if let Err(rc) = request.discard_body() {
        return rc;
    }
    let is_page = matches!(question, Question::Page { .. });
    let content_type = match question {
        Question::Json => json::CONTENT_TYPE,
        Question::Metrics => prometheus::CONTENT_TYPE,
        Question::Page { .. } => page::CONTENT_TYPE,
    };
    let headers = if is_page { page::headers().to_vec() } else { Vec::new() };
    let ask = |engine: &engine::Engine| process::with_signals_blocked(|| engine.worker.renderer().ask(question));
    let ticket = match main.with_engine(ask) {
        Ok(Ok(ticket)) => ticket,
        Ok(Err(failure)) => return request.send(none(failure)),
        Err(refusal) => return request.send(refused(&refusal)),
    };
    let document = move |rendered: Rendered| match rendered {
        Ok(body) => Document { status: 200, content_type, headers: headers.clone(), body },
        Err(failure) => none(failure),
    };
    request.answer_later(Box::new(move || ticket.document().map(&document)))
}

/// What is asked for; `None` where there is no document of this name.
fn question(request: &Request<'_>, main: &Main) -> Option<Question> {
    match request.path_below()? {
        b"" if wants_json(request.header(b"accept").unwrap_or_default()) => Some(Question::Json),
        b"" => Some(page_of(request, main)),
        b"status.json" => Some(Question::Json),
        b"metrics" => Some(Question::Metrics),
        _ => None,
    }
}

fn page_of(request: &Request<'_>, main: &Main) -> Question {
    let server = request.server();
    let control = main.configuration.get().and_then(|configuration| configuration.control_of(server?));
    Question::Page {
        path: String::from_utf8_lossy(request.path()).into_owned(),
        query: String::from_utf8_lossy(request.arguments()).into_owned(),
        control: control.map(str::to_owned),
    }
}

/// The answer where there is no document.
fn none(failure: Failure) -> Document {
    let status = if failure == Failure::Internal { 500 } else { 503 };
    refused(&Refusal { status, text: failure.text().into() })
}

fn refused(refusal: &Refusal) -> Document {
    Document::json(refusal.status, &refusal.to_json())
}

/// Whether the client reads JSON rather than HTML.
fn wants_json(accept: &[u8]) -> bool {
    let accepts = |wanted: &[u8]| accept.windows(wanted.len()).any(|part| part.eq_ignore_ascii_case(wanted));
    accepts(b"application/json") && !accepts(b"text/html")
}
