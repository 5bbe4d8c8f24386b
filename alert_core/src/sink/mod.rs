//! Sinks: the services that alerts are sent to.
//!
//! One file a service, each behind the small `Service` trait: what it takes in the configuration, what to send, and what
//! the answer means. Everything else is shared: [`settings`] reads what every sink takes, `http` sends, [`retry`] says
//! when to try again.
//!
//! [`Sink::deliver`] blocks until the service has answered or the time is over, so it is called from a thread of its own.
//! A new sink is a file with a `Service` and its `Info`, and one line in `SERVICES`.
#![forbid(unsafe_code)]

mod alertmanager;
mod digest;
mod discord;
mod email;
mod endpoint;
mod excerpt;
mod googlechat;
mod grafana;
mod http;
mod ntfy;
mod pagerduty;
pub mod retry;
mod secret;
mod service;
pub mod settings;
mod slack;
mod slack_bot;
mod smtp;
mod teams;
mod telegram;
mod template;
mod text;
mod webhook;

#[cfg(test)]
mod server;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::model::alert::Alert;
pub use secret::Secret;
use service::{Configured, Info, Line, Service, Transport};
use settings::words::Words;
use settings::{SettingsError, SinkSettings};

/// Sinks that one configuration can have.
pub const SINKS_MAX: usize = 16;

/// Every service, in the order of the documentation.
static SERVICES: &[&Info] = &[
    &slack::INFO,
    &webhook::INFO,
    &alertmanager::INFO,
    &pagerduty::INFO,
    &teams::INFO,
    &discord::INFO,
    &slack_bot::INFO,
    &telegram::INFO,
    &googlechat::INFO,
    &ntfy::INFO,
    &email::INFO,
    &grafana::INFO,
];

/// A service that alerts can be sent to.
#[derive(Clone, Copy)]
pub struct SinkKind(&'static Info);

impl SinkKind {
    /// Every kind, in the order of the documentation.
    pub fn all() -> impl Iterator<Item = SinkKind> {
        SERVICES.iter().map(|info| SinkKind(info))
    }

    /// The kind that this word names.
    pub fn from_name(name: &str) -> Option<SinkKind> {
        SinkKind::all().find(|kind| kind.name() == name)
    }

    /// The word for it in the configuration, which is also the default name of such a sink.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// What its target is: "a URL".
    pub fn target(self) -> &'static str {
        self.0.target
    }

    /// The parameters that it takes beside those of every sink.
    pub fn parameters(self) -> &'static [&'static str] {
        self.0.parameters
    }

    fn read(self, words: &Words<'_>) -> Result<Configured, SettingsError> {
        (self.0.read)(words)
    }
}

impl PartialEq for SinkKind {
    fn eq(&self, other: &SinkKind) -> bool {
        self.name() == other.name()
    }
}

impl Eq for SinkKind {}

impl fmt::Debug for SinkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
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

/// The first message of an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// What the service calls it.
    pub message: u64,
    /// What it told, where that is still known.
    pub began: Option<Alert>,
}

/// Where a service keeps the first message of each incident: what follows answers to it.
pub trait Threads {
    /// The first message of the incident that this alert is about.
    fn first(&self, alert: &Alert) -> Option<Thread>;

    /// Keeps the message that told this alert as the first one.
    fn begin(&self, alert: &Alert, message: u64);

    /// Forgets an incident that is over.
    fn end(&self, alert: &Alert);
}

/// Nothing is kept: every message stands for itself.
#[derive(Clone, Copy, Debug)]
struct NoThreads;

impl Threads for NoThreads {
    fn first(&self, _alert: &Alert) -> Option<Thread> {
        None
    }

    fn begin(&self, _alert: &Alert, _message: u64) {}

    fn end(&self, _alert: &Alert) {}
}

/// A service ready to be sent to. Cheap to make: connections, certificates and name lookups wait for the first alert.
pub struct Sink {
    service: Arc<dyn Service>,
    transport: Box<dyn Transport>,
    /// What it is, for debugging.
    shown: String,
}

impl Sink {
    /// The sink that these settings describe. Nothing can fail here: the settings were checked when they were parsed.
    pub fn new(settings: &SinkSettings) -> Sink {
        let service = settings.service.clone();
        Sink { transport: service.transport(settings), service, shown: format!("{settings:?}") }
    }

    /// Sends these alerts, oldest first, and waits for the answer, at most the sink's `timeout` for each message. Alerts
    /// that the service has no use for count as sent.
    ///
    /// Pass as many as [`Sink::fitting`] says. More go in several messages until the first that is not sent, so that a retry
    /// repeats those before it.
    pub fn deliver(&self, alerts: &[Alert]) -> Outcome {
        self.deliver_in(alerts, &NoThreads)
    }

    /// The same, with the first messages of incidents in view.
    pub fn deliver_in(&self, alerts: &[Alert], threads: &dyn Threads) -> Outcome {
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        let alerts = self.for_service(alerts);
        let line = Line { service: &*self.service, transport: &*self.transport, threads };
        for batch in self.batches(&alerts) {
            match self.service.exchange(batch, now_ms, &line) {
                Outcome::Sent => {}
                other => return other,
            }
        }
        Outcome::Sent
    }

    /// The bodies of the messages for these alerts at this time.
    pub fn bodies(&self, alerts: &[Alert], now_ms: u64) -> Vec<String> {
        let alerts = self.for_service(alerts);
        self.batches(&alerts).map(|batch| self.service.message(batch, now_ms).body).collect()
    }

    /// What the service has use for, with every string bounded.
    fn for_service(&self, alerts: &[Alert]) -> Vec<Alert> {
        alerts.iter().filter(|alert| self.service.applies(alert)).map(text::bounded_alert).collect()
    }

    /// What goes into one message each.
    fn batches<'a>(&self, alerts: &'a [Alert]) -> impl Iterator<Item = &'a [Alert]> {
        let mut rest = alerts;
        std::iter::from_fn(move || {
            let fitting = self.service.fitting(rest).max(1).min(rest.len());
            let (batch, more) = rest.split_at(fitting);
            rest = more;
            (!batch.is_empty()).then_some(batch)
        })
    }

    /// The least time between two messages to this sink.
    pub fn min_interval(&self) -> Duration {
        self.service.min_interval()
    }

    /// Whether people read its messages, so that what must not wait comes first.
    pub fn digests(&self) -> bool {
        self.service.digests()
    }

    /// How many of these waiting alerts, from the first on, go out as one message: at least one, where there is one.
    pub fn fitting(&self, alerts: &[Alert]) -> usize {
        let alerts: Vec<Alert> = alerts.iter().map(text::bounded_alert).collect();
        self.service.fitting(&alerts).max(1).min(alerts.len())
    }

    /// How often an alert that goes on firing has to be delivered again; `None` where once is enough.
    pub fn resend_every(&self) -> Option<Duration> {
        self.service.resend_every()
    }

    /// Ends a delivery under way in another thread, which then returns [`Outcome::Retry`], and lets no other begin: for
    /// a worker that has to stop. A connection being established is the exception: it ends by its own timeout of 3 s.
    pub fn interrupt(&self) {
        self.transport.interrupt();
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}
