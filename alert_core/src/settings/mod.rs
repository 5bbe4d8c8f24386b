//! What an operator wrote, checked.
//!
//! [`reader`] assembles a configuration from its directives, whoever splits the text into words: nginx, or [`text`] for
//! programs that are not nginx. [`monitor`] knows the directives of `alert_monitor { … }`, [`rollout`] those of them by
//! which a release takes over, `values` what their words may be, and [`error`] what is said where they are not.

pub mod error;
pub mod monitor;
pub mod reader;
pub mod rollout;
pub mod text;
mod values;

use std::path::PathBuf;

pub use error::Error;
pub use monitor::MonitorReader;
pub use rollout::RolloutSettings;

use crate::model::alert::{Alert, Links};
use crate::rules::limit::{LatencyLimit, Percent};
use crate::sink::settings::SinkSettings;

/// Requests that a window may hold at most.
pub const WINDOW_MAX: u32 = 1_000_000;
/// Requests that may be asked for to confirm a failover or an outage.
pub const CONFIRM_MAX: u32 = 200;
/// Labels that alerts may have besides those of the module.
pub const LABELS_MAX: usize = 16;

/// A whole configuration.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The monitors, in the order of the configuration.
    pub monitors: Vec<MonitorSettings>,
    /// All sinks, of every level.
    pub sinks: Vec<SinkSettings>,
    /// What messages, keys and labels call this nginx: `alert_instance`, else the name of the host.
    pub instance: String,
    /// Names and values of the labels of every alert.
    pub labels: Vec<(String, String)>,
    /// The URL at which people reach the status page.
    pub link: Option<String>,
    /// Version of nginx, as the status shows it.
    pub nginx: String,
    /// The file that outlives a restart.
    pub state: Option<PathBuf>,
}

impl Settings {
    /// An alert of the board with what the configuration adds to it.
    pub fn complete(&self, mut alert: Alert) -> Alert {
        if alert.instance.is_empty() {
            // Left by a version that did not keep it.
            alert.instance.clone_from(&self.instance);
        }
        alert.labels.clone_from(&self.labels);
        let monitor = self.monitors.iter().find(|monitor| monitor.name == alert.monitor);
        let runbook = monitor.and_then(|monitor| monitor.runbook.clone()).unwrap_or_default();
        alert.links = Links { status: self.link.clone().unwrap_or_default(), runbook };
        alert
    }
}

/// The rules of one monitor.
#[derive(Clone, Debug)]
pub struct MonitorSettings {
    /// Its name.
    pub name: String,
    /// The pools that are listed, each with its addresses as nginx writes them.
    pub pools: Vec<(String, Vec<String>)>,
    /// The host names among those addresses, which are looked up again while nginx runs.
    pub hosts: Vec<Host>,
    /// The variable that names the pool of an answer.
    pub pool_from: String,
    /// The variable that names the release that answered.
    pub release_from: String,
    /// The variable by which an attempt also failed: where it is neither empty nor `0`.
    pub failure_if: Option<String>,
    /// The pool that should serve.
    pub active: Option<String>,
    /// Requests in the window.
    pub window: u32,
    /// Age at which a request leaves the window, in milliseconds.
    pub max_age_ms: Option<u64>,
    /// Limit on requests whose client got an upstream failure.
    pub error_rate: Option<Percent>,
    /// Limit on requests in which a retry hid a failure.
    pub retry_rate: Option<Percent>,
    /// Limit on requests whose client gave up while it waited for a header.
    pub abandon_rate: Option<Percent>,
    /// Failures in a row that are an outage; `None` where this is off.
    pub outage: Option<u32>,
    /// Limit on upstream time.
    pub latency: Option<LatencyLimit>,
    /// Which upstream time the window holds.
    pub latency_of: LatencyOf,
    /// Answers that confirm a failover; `None` where failover is off.
    pub failover: Option<u32>,
    /// Least time between two messages of a kind, in milliseconds.
    pub cooldown_ms: u64,
    /// When to count without sending.
    pub maintenance: Maintenance,
    /// The URL that every message of this monitor links to.
    pub runbook: Option<String>,
    /// How a release takes over step by step.
    pub rollout: RolloutSettings,
    /// The sinks of this monitor, as places in [`Settings::sinks`]; `None` for those of the http level.
    pub sinks: Option<Vec<usize>>,
}

/// A host name that is written as an address of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The place of the pool among those of the monitor.
    pub pool: usize,
    /// The name, as it is written: perhaps with a port.
    pub written: String,
    /// The addresses that it had when the configuration was read, which the pool lists.
    pub addresses: Vec<String>,
}

/// The end of the time that counts as a request's latency; it begins with the first attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LatencyOf {
    /// The upstream's header, so that WebSockets, event streams and slow clients do not count.
    #[default]
    Header,
    /// The whole response.
    Response,
}

/// When a monitor counts and sends nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Maintenance {
    /// Never.
    Off,
    /// Always.
    On,
    /// While this file exists.
    File(PathBuf),
}

impl MonitorSettings {
    /// A monitor of this name in which nothing is written.
    fn new(name: String) -> MonitorSettings {
        MonitorSettings {
            name,
            pools: Vec::new(),
            hosts: Vec::new(),
            pool_from: monitor::POOL_FROM.into(),
            release_from: monitor::RELEASE_FROM.into(),
            failure_if: None,
            active: None,
            window: 200,
            max_age_ms: None,
            error_rate: Percent::parse("2%"),
            retry_rate: Percent::parse("10%"),
            abandon_rate: Percent::parse("10%"),
            outage: Some(10),
            latency: None,
            latency_of: LatencyOf::Header,
            failover: Some(2),
            cooldown_ms: 300_000,
            maintenance: Maintenance::Off,
            runbook: None,
            rollout: RolloutSettings::default(),
            sinks: None,
        }
    }
}
