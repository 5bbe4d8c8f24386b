//! What a location with `alert_control` answers.

use alert_core::operate::control::{Command, Refusal, TestAlert};

use crate::ffi::process;
use crate::status::{Document, Query};

/// How a command was taken.
pub struct Taken {
    /// What is answered now, or what to wait for.
    pub answer: Answer,
    /// What to write to the error log.
    pub log: Option<String>,
}

/// The answer to a command.
pub enum Answer {
    /// Known at once.
    Now(Document),
    /// Known when the sinks have answered.
    Later(TestAlert),
}

/// Carries out a command.
pub fn command(query: &Query<'_>) -> Taken {
    let carried_out = process::with_engine(|engine| {
        let path = String::from_utf8_lossy(query.below());
        let arguments = String::from_utf8_lossy(query.arguments);
        let done = Command::parse(&path, &arguments)?.carry_out(&engine.source())?;
        engine.wake_couriers();
        Ok(done)
    });
    match carried_out.unwrap_or_else(|| Err(not_running())) {
        Ok(done) => {
            let now = || Answer::Now(Document::json(200, &done.answer));
            Taken { answer: done.test.map_or_else(now, Answer::Later), log: Some(done.log) }
        }
        Err(refusal) => Taken { answer: Answer::Now(refused(&refusal)), log: None },
    }
}

/// How a test alert fares; `None` while it is worth waiting.
pub fn outcome(test: &TestAlert) -> Option<Document> {
    let outcomes = process::with_engine(|engine| test.outcomes(&engine.source()));
    match outcomes {
        Some((answer, true)) => Some(Document::json(200, &answer)),
        Some((_, false)) => None,
        None => Some(refused(&not_running())),
    }
}

/// The answer to a method that changes nothing.
pub fn only_post() -> Document {
    let refusal = Refusal { status: 405, text: "only POST changes anything".into() };
    Document { headers: vec![("Allow", "POST")], ..refused(&refusal) }
}

/// The answer to a browser that a page of another site sent here: its user did not mean it.
pub fn only_same_site() -> Document {
    refused(&Refusal { status: 403, text: "requests from pages of other sites are refused".into() })
}

/// The document that says so.
pub fn refused(refusal: &Refusal) -> Document {
    Document::json(refusal.status, &refusal.to_json())
}

/// Nothing is known here: the threads could not be started.
pub fn not_running() -> Refusal {
    Refusal { status: 503, text: "this worker watches nothing, see the error log".into() }
}
