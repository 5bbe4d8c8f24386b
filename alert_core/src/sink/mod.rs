//! Sinks: the services that alerts are sent to.
//!
//! One file a service, each behind the small `Service` trait: what to send, and what the answer means. Everything else
//! is shared: [`settings`] reads what the operator wrote, `http` sends, [`retry`] says when to try again.
//!
//! [`Sink::deliver`] blocks until the service has answered or the time is over, so it is called from a thread of its own.
//! A new sink is a file with a `Service`, a [`SinkKind`] and one line in [`Sink::new`].
#![forbid(unsafe_code)]

mod alertmanager;
mod digest;
mod discord;
mod endpoint;
mod http;
mod pagerduty;
mod proxy;
mod resolver;
pub mod retry;
mod secret;
pub mod settings;
mod slack;
mod teams;
mod text;
mod webhook;

#[cfg(test)]
mod server;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::model::alert::{Alert, Kind};
use endpoint::Endpoint;
use http::{Client, Reply};
pub use secret::Secret;
use settings::SinkSettings;

/// Sinks that one configuration can have.
pub const SINKS_MAX: usize = 16;

/// The services that alerts can be sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SinkKind {
    /// An incoming webhook of Slack, or of something that speaks its language.
    Slack,
    /// Any receiver of JSON.
    Webhook,
    /// Prometheus Alertmanager, API v2.
    Alertmanager,
    /// PagerDuty, Events API v2.
    PagerDuty,
    /// A Microsoft Teams workflow that takes adaptive cards.
    Teams,
    /// A Discord webhook.
    Discord,
}

impl SinkKind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [SinkKind; 6] = [
        SinkKind::Slack,
        SinkKind::Webhook,
        SinkKind::Alertmanager,
        SinkKind::PagerDuty,
        SinkKind::Teams,
        SinkKind::Discord,
    ];

    /// The word for it in the configuration, which is also the default name of such a sink.
    pub const fn name(self) -> &'static str {
        match self {
            SinkKind::Slack => "slack",
            SinkKind::Webhook => "webhook",
            SinkKind::Alertmanager => "alertmanager",
            SinkKind::PagerDuty => "pagerduty",
            SinkKind::Teams => "teams",
            SinkKind::Discord => "discord",
        }
    }

    /// The kind that this word names.
    pub fn from_name(name: &str) -> Option<SinkKind> {
        SinkKind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for SinkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What became of a delivery. The texts name the host and the cause, and never the URL or a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The service has the alerts, or they are none of its business.
    Sent,
    /// It may work later.
    Retry {
        /// How long the service asked to wait, more than zero and at most [`retry::LONGEST`]; `None` leaves it to
        /// [`retry::backoff`].
        after: Option<Duration>,
        /// What went wrong.
        error: String,
    },
    /// It will never work with this message and these settings.
    Permanent {
        /// What went wrong.
        error: String,
    },
}

/// What the answer of a service means for the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Sent,
    Retry,
    Permanent,
}

impl Verdict {
    /// What a status code means where the service has no rules of its own.
    fn of_status(status: u16) -> Verdict {
        match status {
            200..300 => Verdict::Sent,
            429 | 500.. => Verdict::Retry,
            _ => Verdict::Permanent,
        }
    }
}

/// One request: JSON, always by POST.
struct Message {
    body: String,
    /// Headers beside the usual ones.
    headers: Vec<(&'static str, String)>,
}

impl Message {
    fn json(body: &serde_json::Value) -> Message {
        Message { body: body.to_string(), headers: Vec::new() }
    }
}

/// How bad a kind of alert is, in the words of Alertmanager and PagerDuty. The same for all messages about an incident.
const fn severity(kind: Kind) -> &'static str {
    match kind.incident() {
        Kind::Outage | Kind::ErrorRate | Kind::Failover | Kind::Failback => "critical",
        Kind::RetryRate | Kind::AbandonRate | Kind::Latency | Kind::Flapping => "warning",
        Kind::Switched | Kind::Test => "info",
    }
}

/// A service: what to send to it, and what its answers mean.
trait Service: Send + Sync {
    /// Where to post, given the target that the operator wrote.
    fn endpoint(&self, target: &Endpoint) -> Endpoint {
        target.clone()
    }

    /// Whether the service has any use for this alert.
    fn applies(&self, _alert: &Alert) -> bool {
        true
    }

    /// The message for these alerts, oldest first: at least one, and one only unless [`Service::takes_digest`].
    /// Their strings are bounded and free of control characters, but not escaped. `now_ms` counts from the Unix epoch.
    fn message(&self, alerts: &[Alert], now_ms: u64) -> Message;

    /// What the answer means.
    fn verdict(&self, reply: &Reply) -> Verdict {
        Verdict::of_status(reply.status)
    }

    /// The least time between two messages.
    fn min_interval(&self) -> Duration {
        Duration::ZERO
    }

    /// Whether one message can hold several alerts.
    fn takes_digest(&self) -> bool {
        false
    }

    /// How often the service wants to hear of an alert that goes on firing.
    fn resend_every(&self) -> Option<Duration> {
        None
    }
}

/// A service ready to be sent to. Cheap to make: connections, certificates and name lookups wait for the first alert.
pub struct Sink {
    service: Box<dyn Service>,
    client: Client,
}

impl Sink {
    /// The sink that these settings describe. Nothing can fail here: the settings were checked when they were parsed.
    pub fn new(settings: &SinkSettings) -> Sink {
        let service: Box<dyn Service> = match settings.kind {
            SinkKind::Slack => Box::new(slack::Slack),
            SinkKind::Webhook => Box::new(webhook::Webhook::new(settings.key.clone())),
            SinkKind::Alertmanager => Box::new(alertmanager::Alertmanager),
            SinkKind::PagerDuty => Box::new(pagerduty::PagerDuty::new(settings.key.clone())),
            SinkKind::Teams => Box::new(teams::Teams),
            SinkKind::Discord => Box::new(discord::Discord),
        };
        let client = Client::new(service.endpoint(&settings.endpoint), settings);
        Sink { service, client }
    }

    /// Sends these alerts, oldest first, and waits for the answer, at most the sink's `timeout` for each message. Alerts
    /// that the service has no use for count as sent.
    ///
    /// Pass several only where [`Sink::takes_digest`]. Elsewhere they go one by one until the first that is not sent,
    /// so that a retry repeats those before it.
    pub fn deliver(&self, alerts: &[Alert]) -> Outcome {
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        for message in self.messages(alerts, now_ms) {
            match self.send(&message) {
                Outcome::Sent => {}
                other => return other,
            }
        }
        Outcome::Sent
    }

    /// The bodies that [`Sink::deliver`] posts for these alerts at this time.
    pub fn bodies(&self, alerts: &[Alert], now_ms: u64) -> Vec<String> {
        self.messages(alerts, now_ms).into_iter().map(|message| message.body).collect()
    }

    fn messages(&self, alerts: &[Alert], now_ms: u64) -> Vec<Message> {
        let alerts: Vec<Alert> =
            alerts.iter().filter(|alert| self.service.applies(alert)).map(text::bounded_alert).collect();
        let batch = if self.service.takes_digest() { alerts.len().max(1) } else { 1 };
        alerts.chunks(batch).map(|batch| self.service.message(batch, now_ms)).collect()
    }

    /// The least time between two messages to this sink.
    pub fn min_interval(&self) -> Duration {
        self.service.min_interval()
    }

    /// Whether several waiting alerts may go out as one message.
    pub fn takes_digest(&self) -> bool {
        self.service.takes_digest()
    }

    /// How often an alert that goes on firing has to be delivered again; `None` where once is enough.
    pub fn resend_every(&self) -> Option<Duration> {
        self.service.resend_every()
    }

    /// Ends a delivery under way in another thread, which then returns [`Outcome::Retry`], and lets no other begin: for
    /// a worker that has to stop. A connection being established is the exception: it ends by its own timeout of 3 s.
    pub fn interrupt(&self) {
        self.client.interrupt();
    }

    fn send(&self, message: &Message) -> Outcome {
        let reply = match self.client.post(message) {
            Ok(reply) => reply,
            Err(error) => return Outcome::Retry { after: None, error },
        };
        match self.service.verdict(&reply) {
            Verdict::Sent => Outcome::Sent,
            Verdict::Retry => {
                let after = reply.retry_after.as_deref().and_then(|value| retry::after(value, SystemTime::now()));
                Outcome::Retry { after, error: self.client.complaint(&reply) }
            }
            Verdict::Permanent => Outcome::Permanent { error: self.client.complaint(&reply) },
        }
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink").field("client", &self.client).finish_non_exhaustive()
    }
}
