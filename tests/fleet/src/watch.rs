//! What watches the fleet, as it is shipped: Prometheus with its rules, Alertmanager, and the service that it notifies.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tests::alertmanager::Alertmanager;
use tests::prometheus::{Prometheus, SHIPPED};
use tests::sink::Sink;

use crate::host::Host;

/// What takes days in the shipped rules, and how long it takes here. Longer words come first, so that none is part of
/// another one.
const SHORTENED: [(&str, &str); 16] = [
    ("interval: 1m", "interval: 1s"),
    ("interval: 5s", "interval: 1s"),
    ("for: 15s", "for: 2s"),
    ("for: 15m", "for: 3s"),
    ("for: 10m", "for: 10s"),
    ("for: 3m", "for: 5s"),
    ("for: 2m", "for: 2s"),
    ("[30m]", "[5s]"),
    ("[5m]", "[5s]"),
    ("[1h]", "[15s]"),
    ("[2h]", "[10s]"),
    ("[6h]", "[20s]"),
    ("[1d]", "[40s]"),
    ("[3d]", "[60s]"),
    ("offset 6h", "offset 10s"),
    ("offset 1d", "offset 20s"),
];

/// What runs besides the hosts. Fields are dropped in this order.
pub struct Watch {
    /// It scrapes the hosts and applies the rules.
    pub prometheus: Prometheus,
    /// It gets alerts from the hosts and from Prometheus.
    pub alertmanager: Alertmanager,
    receiver: Sink,
}

/// A notification as it reached those on call.
#[derive(Clone, Debug)]
pub struct Notification {
    /// Its first line.
    pub title: String,
    /// The rest.
    pub text: String,
}

impl Notification {
    /// Whether it says that something is over, and nothing else fires.
    pub fn is_over(&self) -> bool {
        self.title.contains("Resolved:")
    }
}

impl Watch {
    /// Starts Alertmanager and a Prometheus that has no hosts yet.
    pub fn start() -> Watch {
        let receiver = Sink::start();
        let configuration = shipped("alertmanager.yml");
        let address = receiver.address().to_string();
        assert!(
            configuration.contains("127.0.0.1:8090"),
            "alertmanager.yml notifies somebody else than the local sink"
        );
        let configuration = configuration.replace("127.0.0.1:8090", &address);
        let templates = shipped("alertmanager.tmpl");
        let alertmanager = Alertmanager::start_with(&configuration, &[("alertmanager.tmpl", &templates)]);
        Watch { prometheus: Prometheus::start("{}"), alertmanager, receiver }
    }

    /// Lets Prometheus watch these hosts with the shipped configuration and rules.
    pub fn scrape(&self, hosts: &[Host]) {
        let rules = self.prometheus.file("rules.yml", &shipped("rules.yml"));
        self.prometheus.reload_with(&self.configuration(&rules, hosts));
    }

    /// As [`Watch::scrape`], every second and with rules by which a day takes less than a minute.
    pub fn scrape_in_haste(&self, hosts: &[Host]) {
        let rules = SHORTENED.iter().fold(shipped("rules.yml"), |rules, (long, short)| rules.replace(long, short));
        let rules = self.prometheus.file("hasty.yml", &rules);
        self.prometheus.reload_with(&self.configuration(&rules, hosts).replace("15s", "1s"));
    }

    fn configuration(&self, rules: &Path, hosts: &[Host]) -> String {
        let target = |host: &Host| {
            format!("      - {{ targets: ['{}'], labels: {{ instance: {} }} }}\n", host.address, host.name)
        };
        let targets: String = hosts.iter().map(target).collect();
        let local = "      - targets: ['127.0.0.1:8080']\n";
        let configuration = shipped("prometheus.yml");
        assert!(configuration.contains(local), "prometheus.yml scrapes something else than the local nginx");
        configuration
            .replace(local, &targets)
            .replace("127.0.0.1:9093", &self.alertmanager.address().to_string())
            .replace("rules.yml", &rules.display().to_string())
    }

    /// All notifications so far.
    pub fn notifications(&self) -> Vec<Notification> {
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let posts = self.receiver.posts();
        let attachments = posts.iter().map(|post| &post.body["attachments"][0]);
        attachments.map(|one| Notification { title: text(&one["title"]), text: text(&one["text"]) }).collect()
    }

    /// Whether this alert of the rules fires, for these labels.
    pub fn fires(&self, name: &str, labels: &str) -> bool {
        let asked = format!("ALERTS{{alertname=\"{name}\", alertstate=\"firing\"{labels}}}");
        self.prometheus.ask(&asked).is_ok_and(|found| !found.is_empty())
    }
}

/// For how long Alertmanager may wait until it says what it knows: the longest wait of its configuration, and some.
pub const NOTIFIED: Duration = Duration::from_secs(75);

fn shipped(name: &str) -> String {
    fs::read_to_string(Path::new(SHIPPED).join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}
