//! What a location with `alert_control` answers.

use alert_core::operate::control::{Command, Done, Refusal, TestAlert};
use ngx::ffi::ngx_int_t;

use crate::engine::{self, Engine, Main};
use crate::nginx::log::Severity;
use crate::nginx::request::{Document, Request};

/// Answers a request: carries out its command, and waits for what the sinks say to a test alert.
pub fn answer(request: Request<'_>, main: &Main) -> ngx_int_t {
    if let Err(rc) = request.discard_body() {
        return rc;
    }
    if !request.is_post() {
        return request.send(only_post());
    }
    if request.header(b"sec-fetch-site").is_some_and(|site| site == b"cross-site" || site == b"same-site") {
        return request.send(only_same_site());
    }
    let done = match main.with_engine(|engine| carry_out(&request, engine)).and_then(|done| done) {
        Ok(done) => done,
        Err(refusal) => return request.send(refused(&refusal)),
    };
    request.log().write(Severity::Notice, &done.log);
    match done.test {
        None => request.send(Document::json(done.status, &done.answer)),
        Some(test) => {
            let slot = main.engine_for_later();
            request.answer_later(Box::new(move || outcome(&test, slot.borrow().as_ref())))
        }
    }
}

fn carry_out(request: &Request<'_>, engine: &Engine) -> Result<Done, Refusal> {
    let path = String::from_utf8_lossy(request.path_below());
    let arguments = String::from_utf8_lossy(request.arguments());
    let done = Command::parse(&path, &arguments)?.carry_out(&engine.source())?;
    engine.wake_couriers();
    Ok(done)
}

/// How a test alert fares; `None` while it is worth waiting.
fn outcome(test: &TestAlert, engine: Option<&Engine>) -> Option<Document> {
    let Some(engine) = engine else { return Some(refused(&engine::not_running())) };
    let (answer, is_final) = test.outcomes(&engine.source());
    is_final.then(|| Document::json(200, &answer))
}

/// The answer to a method that changes nothing.
fn only_post() -> Document {
    let refusal = Refusal { status: 405, text: "only POST changes anything".into() };
    Document { headers: vec![("Allow", "POST")], ..refused(&refusal) }
}

/// The answer to a browser that a page of another site sent here: its user did not mean it.
fn only_same_site() -> Document {
    refused(&Refusal { status: 403, text: "requests from pages of other sites are refused".into() })
}

/// The document that says so.
fn refused(refusal: &Refusal) -> Document {
    Document::json(refusal.status, &refusal.to_json())
}
