//! What an alert can be about, and how bad that is.

use std::fmt;

/// What an alert is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Too many requests ended in an upstream failure.
    ErrorRate = 1,
    /// Too many requests needed a retry.
    RetryRate,
    /// Upstream time is over its limit.
    Latency,
    /// Another pool than the active one took over.
    Failover,
    /// The active pool serves again.
    Failback,
    /// Failovers come too often to tell each.
    Flapping,
    /// The active pool was changed on purpose.
    Switched,
    /// Somebody asked for a test message.
    Test,
    /// Nothing works: the last requests in a row failed or were abandoned.
    Outage,
    /// Too many clients gave up waiting.
    AbandonRate,
    /// A release takes over step by step.
    Rollout,
    /// Traffic went back to the pool before, or stayed although a rule is broken.
    Rollback,
    /// The pool of a share set by hand is worse.
    Comparison,
    /// A pool does not pass its probe.
    Probe,
}

impl Kind {
    /// Every kind, by its number.
    pub const ALL: [Kind; 14] = [
        Kind::ErrorRate,
        Kind::RetryRate,
        Kind::Latency,
        Kind::Failover,
        Kind::Failback,
        Kind::Flapping,
        Kind::Switched,
        Kind::Test,
        Kind::Outage,
        Kind::AbandonRate,
        Kind::Rollout,
        Kind::Rollback,
        Kind::Comparison,
        Kind::Probe,
    ];

    /// The name used in JSON and in metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::ErrorRate => "error_rate",
            Kind::RetryRate => "retry_rate",
            Kind::Latency => "latency",
            Kind::Failover => "failover",
            Kind::Failback => "failback",
            Kind::Flapping => "flapping",
            Kind::Switched => "switched",
            Kind::Test => "test",
            Kind::Outage => "outage",
            Kind::AbandonRate => "abandon_rate",
            Kind::Rollout => "rollout",
            Kind::Rollback => "rollback",
            Kind::Comparison => "comparison",
            Kind::Probe => "probe",
        }
    }

    /// The incident this alert belongs to: a failback ends the incident that its failover opened.
    ///
    /// Receivers that tie a resolve to its trigger (Alertmanager, PagerDuty) build their key from this.
    pub const fn incident(self) -> Kind {
        match self {
            Kind::Failback => Kind::Failover,
            other => other,
        }
    }

    /// The kind with this number, as it lies in the board.
    pub fn from_u8(number: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| *kind as u8 == number)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How bad an alert is, in the words of Alertmanager and PagerDuty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Somebody should look at it today.
    Warning,
    /// Users get errors, or soon will.
    Critical,
}

impl Severity {
    /// Every severity, from the mildest on.
    pub const ALL: [Severity; 3] = [Severity::Info, Severity::Warning, Severity::Critical];

    /// Its word.
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }
}

impl Kind {
    /// How bad a kind of alert is. The same for all messages about an incident.
    pub const fn severity(self) -> Severity {
        match self.incident() {
            Kind::Outage | Kind::ErrorRate | Kind::Failover | Kind::Failback => Severity::Critical,
            Kind::RetryRate | Kind::AbandonRate | Kind::Latency | Kind::Flapping => Severity::Warning,
            Kind::Rollback | Kind::Probe => Severity::Warning,
            Kind::Switched | Kind::Test | Kind::Rollout | Kind::Comparison => Severity::Info,
        }
    }
}
