//! What a service is to the rest: a word in the configuration, what it reads there, what it sends, and what its answers
//! mean. Each service implements this in a file of its own.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::endpoint::Endpoint;
use super::http::{Client, Reply};
use super::secret::Secret;
use super::settings::words::Words;
use super::settings::{SettingsError, SinkSettings};
use super::{Outcome, Threads, retry};
use crate::model::alert::Alert;

/// A service as the configuration knows it.
pub(super) struct Info {
    /// Its word, which is also the default name of such a sink.
    pub(super) name: &'static str,
    /// What its target is, as an error asks for it: "a URL".
    pub(super) target: &'static str,
    /// The parameters that it takes beside those of every sink.
    pub(super) parameters: &'static [&'static str],
    /// Makes it from what the operator wrote.
    pub(super) read: fn(&Words<'_>) -> Result<Configured, SettingsError>,
}

/// A service with its settings, and where it is.
pub(super) struct Configured {
    pub(super) service: Arc<dyn Service>,
    pub(super) endpoint: Endpoint,
    /// What its pace is for, and what tells it from another.
    pub(super) place: Secret,
}

impl Configured {
    pub(super) fn new(service: impl Service + 'static, endpoint: Endpoint) -> Configured {
        let place = Secret::new(format!("{endpoint} {}", endpoint.url()));
        Configured { service: Arc::new(service), endpoint, place }
    }
}

/// A service: what to send to it, and what its answers mean.
pub(super) trait Service: Send + Sync {
    /// Whether the service has any use for this alert.
    fn applies(&self, _alert: &Alert) -> bool {
        true
    }

    /// The message for these alerts, oldest first: at least one, and as many as [`Service::fitting`] says.
    /// Their strings are bounded and free of control characters, but not escaped. `now_ms` counts from the Unix epoch.
    fn message(&self, alerts: &[Alert], now_ms: u64) -> Message;

    /// Gets these alerts delivered: by one message, where a service needs no more.
    fn exchange(&self, alerts: &[Alert], now_ms: u64, line: &Line<'_>) -> Outcome {
        line.send(&self.message(alerts, now_ms)).map_or_else(|outcome| outcome, |_| Outcome::Sent)
    }

    /// What the answer means.
    fn verdict(&self, reply: &Reply) -> Verdict {
        Verdict::of(reply)
    }

    /// The pause that an answer asks for.
    fn pause(&self, reply: &Reply, now: SystemTime) -> Option<Duration> {
        reply.retry_after.as_deref().and_then(|value| retry::after(value, now))
    }

    /// The least time between two messages to its URL.
    fn min_interval(&self) -> Duration {
        Duration::ZERO
    }

    /// Whether people read its messages, so that several alerts are better told in one.
    fn digests(&self) -> bool {
        false
    }

    /// How many of these alerts, from the first on, one message names; at least one is sent in any case.
    fn fitting(&self, _alerts: &[Alert]) -> usize {
        1
    }

    /// How often the service wants to hear of an alert that goes on firing.
    fn resend_every(&self) -> Option<Duration> {
        None
    }

    /// What carries its messages.
    fn transport(&self, settings: &SinkSettings) -> Box<dyn Transport> {
        Box::new(Client::new(settings))
    }
}

/// What carries the messages of one sink. Cheap to make: connections and name lookups wait for the first message.
pub(super) trait Transport: Send + Sync {
    /// Sends a message and waits for the answer. An error is a sentence that names host and cause.
    fn send(&self, message: &Message) -> Result<Reply, String>;

    /// What is wrong with an answer that is no success, in words that hold no secret.
    fn complaint(&self, reply: &Reply) -> String;

    /// Ends the exchange under way and lets no other begin.
    fn interrupt(&self);
}

/// A service while it is spoken to.
pub(super) struct Line<'a> {
    pub(super) service: &'a dyn Service,
    pub(super) transport: &'a dyn Transport,
    /// The first messages of incidents.
    pub(super) threads: &'a dyn Threads,
}

impl Line<'_> {
    /// Sends one message. The answer, where it is a success; otherwise what becomes of the delivery.
    pub(super) fn send(&self, message: &Message) -> Result<Reply, Outcome> {
        let reply = self.transport.send(message).map_err(|error| Outcome::Retry { after: None, error })?;
        match self.service.verdict(&reply) {
            Verdict::Sent => Ok(reply),
            Verdict::Retry => {
                let after = self.service.pause(&reply, SystemTime::now());
                Err(Outcome::Retry { after, error: self.transport.complaint(&reply) })
            }
            Verdict::Permanent => Err(Outcome::Permanent { error: self.transport.complaint(&reply) }),
        }
    }
}

/// One request: by POST where it goes by HTTP.
pub(super) struct Message {
    pub(super) body: String,
    pub(super) content_type: &'static str,
    /// Behind the path of the endpoint; mostly empty.
    pub(super) below: &'static str,
    /// Headers beside the usual ones.
    pub(super) headers: Vec<(String, String)>,
}

impl Message {
    pub(super) fn json(body: &serde_json::Value) -> Message {
        Message::text("application/json", body.to_string())
    }

    pub(super) fn text(content_type: &'static str, body: String) -> Message {
        Message { body, content_type, below: "", headers: Vec::new() }
    }
}

/// What the answer of a service means for the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Sent,
    Retry,
    Permanent,
}

impl Verdict {
    /// What an answer means where the service has no rules of its own: what its status says, unless a success is denied
    /// by the JSON in its body. An empty body, and one that is no JSON, deny nothing: receivers that speak a service's
    /// language rarely speak it to the letter.
    pub(super) fn of(reply: &Reply) -> Verdict {
        match Verdict::of_status(reply.status) {
            Verdict::Sent if denies(&reply.body) => Verdict::Retry,
            verdict => verdict,
        }
    }

    /// What a status code means.
    pub(super) fn of_status(status: u16) -> Verdict {
        match status {
            200..300 => Verdict::Sent,
            408 | 429 | 500.. => Verdict::Retry,
            _ => Verdict::Permanent,
        }
    }
}

/// Whether JSON says that something failed.
fn denies(body: &str) -> bool {
    let json: Option<serde_json::Value> = serde_json::from_str(body).ok();
    json.is_some_and(|json| ["ok", "success"].iter().any(|key| json[key] == serde_json::Value::Bool(false)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(status: u16, body: &str) -> Verdict {
        Verdict::of(&Reply { status, retry_after: None, body: body.into() })
    }

    #[test]
    fn any_success_is_one_unless_its_json_denies_it() {
        for body in
            ["ok", "", "{\"success\":true}", "{\"ok\":true}", "no_service", "<html>", "[]", "{\"ok\":1}", "false"]
        {
            assert_eq!(verdict(200, body), Verdict::Sent, "{body}");
        }
        for body in ["{\"ok\":false}", "{\"success\": false}", "{\"ok\":true,\"success\":false}"] {
            assert_eq!(verdict(200, body), Verdict::Retry, "{body}");
            assert_eq!(verdict(404, body), Verdict::Permanent, "{body}");
        }
    }
}
