//! What a location with `alert_control` answers.

use alert_core::operate::control::{Command, Done, Refusal, TestAlert};
use alert_core::operate::origin::refuse_other_sites;
use ngx::ffi::ngx_int_t;

use crate::engine::{self, Engine, Main};
use crate::nginx::log::Severity;
use crate::nginx::request::{Document, Request};

/// What may be done.
const ALLOWED: [(&str, &str); 1] = [("Allow", "OPTIONS, POST")];

/// Answers a request: carries out its command, and waits for what the sinks say to a test alert.
pub fn answer(request: Request<'_>, main: &Main) -> ngx_int_t {
    if let Err(rc) = request.discard_body() {
        return rc;
    }
    if request.is_options() {
        // The status page asks so whether its viewer gets this far.
        return request.send(Document { headers: ALLOWED.to_vec(), ..Document::json(204, &"") });
    }
    if !request.is_post() {
        return request.send(only_post());
    }
    if let Err(refusal) = refuse_other_sites(request.headers()) {
        return request.send(refused(&refusal));
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
    // What only begins as the location does is no command of any name.
    let path = String::from_utf8_lossy(request.path_below().unwrap_or(request.path()));
    let arguments = String::from_utf8_lossy(request.arguments());
    let done = Command::parse(&path, &arguments)?.carry_out(&engine.source())?;
    engine.wake();
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
    Document { headers: ALLOWED.to_vec(), ..refused(&refusal) }
}

/// The document that says so.
fn refused(refusal: &Refusal) -> Document {
    let headers = if refusal.status == 429 { vec![("Retry-After", "1")] } else { Vec::new() };
    Document { headers, ..Document::json(refusal.status, &refusal.to_json()) }
}
