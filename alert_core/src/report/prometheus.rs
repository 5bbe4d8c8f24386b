//! The state of everything for Prometheus, in its text format 0.0.4.
//!
//! All label values are bounded in number: pools, monitors, sinks and kinds are. Names come from upstreams, so they are
//! escaped, and two that would read the same are told apart: a repeated set of labels makes Prometheus refuse the
//! whole scrape.

use std::fmt::Write as _;
use std::sync::atomic::Ordering::Relaxed;

use crate::board::monitor::{MonitorBoard, PoolBoard};
use crate::model::alert::{Kind, Status as AlertStatus};
use crate::report::view::{RULES, Status};

/// The media type of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The label of what is of no known pool.
const UNKNOWN: &str = "unknown";

/// The metrics of this instant.
pub fn render(at: &Status<'_>) -> String {
    let monitors = Monitor::all(at);
    let mut page = Page { text: String::with_capacity(4096 + monitors.len() * 8192) };
    page.requests(&monitors);
    page.latencies(&monitors);
    page.states(&monitors);
    page.alerts(&monitors);
    page.deliveries(at);
    page.process(at);
    page.text
}

/// A monitor with its labels.
struct Monitor {
    /// Its name, escaped.
    label: String,
    shared: &'static MonitorBoard,
    /// The pools that have a name, and the unknown one once it is needed, in front.
    pools: Vec<Pool>,
}

struct Pool {
    /// Its name, escaped.
    label: String,
    shared: &'static PoolBoard,
    serves: bool,
}

impl Monitor {
    fn all(at: &Status<'_>) -> Vec<Monitor> {
        let monitor = |(number, settings): (usize, &crate::settings::MonitorSettings)| {
            let shared = at.board.monitor(at.plan, number)?;
            Some(Monitor { label: escaped(&settings.name), shared, pools: Pool::all(shared) })
        };
        at.settings.monitors.iter().enumerate().filter_map(monitor).collect()
    }
}

impl Pool {
    fn all(monitor: &'static MonitorBoard) -> Vec<Pool> {
        let serving = usize::from(monitor.serving().get());
        let mut pools: Vec<Pool> = Vec::new();
        for (place, shared) in monitor.pools.iter().enumerate() {
            // Two workers that met a new name at once gave it two places, of which only the first is used.
            let is_twin =
                || monitor.find_pool(shared.name.key()).is_some_and(|first| usize::from(first.get()) != place);
            let is_shown = if place == 0 { shared.has_counted() } else { !shared.name.is_empty() && !is_twin() };
            if !is_shown {
                continue;
            }
            let name = if place == 0 { UNKNOWN.into() } else { shared.name.load() };
            let mut label = escaped(&name);
            let is_taken = |label: &str| pools.iter().any(|pool| pool.label == label);
            while is_taken(&label) || (place > 0 && label == UNKNOWN) {
                let _ = write!(label, "~{place}");
            }
            pools.push(Pool { label, shared, serves: place == serving && place > 0 });
        }
        pools
    }
}

impl PoolBoard {
    fn has_counted(&self) -> bool {
        self.answered() | self.failed_attempts.load(Relaxed) | self.passed_on.load(Relaxed) > 0
    }
}

/// A name between the quotes of a label.
fn escaped(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for char in name.chars() {
        match char {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
    text
}

/// The text so far. Writing to a string cannot fail, so its results are dropped.
struct Page {
    text: String,
}

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.text, "# HELP nginx_alert_{name} {help}\n# TYPE nginx_alert_{name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        self.text.push_str("nginx_alert_");
        self.text.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            self.text.push(if at == 0 { '{' } else { ',' });
            self.text.push_str(label);
            self.text.push_str("=\"");
            self.text.push_str(text);
            self.text.push('"');
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{end} {value}");
    }

    /// A value for each pool of each monitor.
    fn by_pool(&mut self, name: &str, monitors: &[Monitor], value: impl Fn(&Pool) -> u64) {
        for monitor in monitors {
            for pool in &monitor.pools {
                self.sample(name, &[("monitor", &monitor.label), ("pool", &pool.label)], value(pool));
            }
        }
    }

    fn requests(&mut self, monitors: &[Monitor]) {
        self.family("requests_total", "counter", "Watched requests, by the pool of their last attempt.");
        self.by_pool("requests_total", monitors, |pool| {
            pool.shared.answered().saturating_add(pool.shared.failed_last.load(Relaxed))
        });
        self.family("failed_requests_total", "counter", "Requests whose client got an upstream failure.");
        for monitor in monitors {
            let failed = monitor.shared.failed.load(Relaxed);
            self.sample("failed_requests_total", &[("monitor", &monitor.label)], failed);
        }
        self.family("retried_requests_total", "counter", "Requests in which a retry hid a failed attempt.");
        for monitor in monitors {
            let retried = monitor.shared.retried.load(Relaxed);
            self.sample("retried_requests_total", &[("monitor", &monitor.label)], retried);
        }
        self.family("attempts_total", "counter", "Upstream attempts, retries included.");
        for monitor in monitors {
            for pool in &monitor.pools {
                let answered = pool.shared.answered().saturating_add(pool.shared.passed_on.load(Relaxed));
                for (result, count) in [("answered", answered), ("failed", pool.shared.failed_attempts.load(Relaxed))] {
                    let labels = [("monitor", &*monitor.label), ("pool", &*pool.label), ("result", result)];
                    self.sample("attempts_total", &labels, count);
                }
            }
        }
    }

    fn latencies(&mut self, monitors: &[Monitor]) {
        self.family("response_seconds", "histogram", "Upstream time of answered requests, all attempts together.");
        for monitor in monitors {
            for pool in &monitor.pools {
                let labels = [("monitor", &*monitor.label), ("pool", &*pool.label)];
                let mut sum = 0;
                for (bound_ms, count) in pool.shared.buckets() {
                    // Summed up here, so that the last bucket is the count whatever is counted meanwhile.
                    sum = count.saturating_add(sum);
                    let bound = bound_ms.map_or("+Inf".into(), |ms| (f64::from(ms) / 1000.0).to_string());
                    self.sample("response_seconds_bucket", &[labels[0], labels[1], ("le", &bound)], sum);
                }
                let seconds = pool.shared.latency_sum_ms.load(Relaxed) as f64 / 1000.0;
                let (monitor, pool) = (&monitor.label, &pool.label);
                let _ = writeln!(
                    self.text,
                    "nginx_alert_response_seconds_sum{{monitor=\"{monitor}\",pool=\"{pool}\"}} {seconds}"
                );
                self.sample("response_seconds_count", &labels, sum);
            }
        }
    }

    fn states(&mut self, monitors: &[Monitor]) {
        self.family("serving_pool", "gauge", "Whether the pool serves.");
        self.by_pool("serving_pool", monitors, |pool| u64::from(pool.serves));
        self.family("firing", "gauge", "Whether the rule is broken.");
        for monitor in monitors {
            for kind in RULES {
                let throttle = monitor.shared.incident(kind).throttle.load();
                let labels = [("monitor", &*monitor.label), ("kind", kind.name())];
                self.sample("firing", &labels, throttle.raised.into());
            }
        }
    }

    fn alerts(&mut self, monitors: &[Monitor]) {
        self.family("alerts_total", "counter", "Alerts that were sent, without those held back.");
        for monitor in monitors {
            for (kind, status, count) in RULES.into_iter().flat_map(|kind| alerts_of(monitor.shared, kind)) {
                let labels = [("monitor", &*monitor.label), ("kind", kind.name()), ("status", status.name())];
                self.sample("alerts_total", &labels, count);
            }
            for kind in [Kind::Switched, Kind::Test] {
                let labels = [("monitor", &*monitor.label), ("kind", kind.name()), ("status", "info")];
                self.sample("alerts_total", &labels, monitor.shared.incident(kind).fired.load(Relaxed));
            }
        }
    }

    fn deliveries(&mut self, at: &Status<'_>) {
        let outbox = at.board.outbox();
        let sinks = || {
            let sinks = at.settings.sinks.iter().zip(at.plan.sinks());
            sinks.map(|(settings, id)| (escaped(&settings.name), *id, at.board.sinks().get(*id)))
        };
        self.family(
            "deliveries_total",
            "counter",
            "Deliveries of alerts: sent, tried again, given up, or made obsolete.",
        );
        for (name, _, sink) in sinks() {
            for (result, count) in [
                ("sent", &sink.sent),
                ("retried", &sink.retried),
                ("failed", &sink.failed),
                ("left_out", &sink.left_out),
            ] {
                self.sample("deliveries_total", &[("sink", &name), ("result", result)], count.load(Relaxed));
            }
        }
        self.family("deliveries_pending", "gauge", "Alerts that wait for a sink.");
        for (name, id, _) in sinks() {
            self.sample("deliveries_pending", &[("sink", &name)], outbox.pending(id).len() as u64);
        }
    }

    fn process(&mut self, at: &Status<'_>) {
        self.family("alerts_lost_total", "counter", "Alerts that made room for newer ones before all sinks had them.");
        self.sample("alerts_lost_total", &[], at.board.outbox().lost());
        self.family("events_dropped_total", "counter", "Requests that could not be counted.");
        self.sample("events_dropped_total", &[], at.board.workers().dropped());
        self.family("build_info", "gauge", "Versions of the module and of nginx.");
        let labels = [("version", env!("CARGO_PKG_VERSION")), ("nginx", &*escaped(&at.settings.nginx))];
        self.sample("build_info", &labels, 1);
    }
}

/// What was told about a rule: its beginnings and reminders, and its ends.
fn alerts_of(monitor: &MonitorBoard, kind: Kind) -> [(Kind, AlertStatus, u64); 2] {
    let incident = monitor.incident(kind);
    let resolved = incident.resolved.load(Relaxed);
    let firing = incident.fired.load(Relaxed).saturating_sub(resolved);
    let end = if kind == Kind::Failover { Kind::Failback } else { kind };
    [(kind, AlertStatus::Firing, firing), (end, AlertStatus::Resolved, resolved)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::region::Region;
    use crate::board::tests::settings;
    use crate::board::{Board, Plan};
    use crate::model::success::Success;
    use crate::settings::Settings;
    use std::collections::HashSet;

    struct Rig {
        board: Board,
        plan: Plan,
        settings: Settings,
    }

    impl Rig {
        fn new(lines: &[&str]) -> Rig {
            let settings = settings(lines);
            let board = Board::open(Region::private(1 << 20), 1).expect("a board");
            let mut plan = board.reserve(&settings, 1).expect("room");
            board.activate(&mut plan, &settings);
            Rig { board, plan, settings }
        }

        fn monitor(&self) -> &'static MonitorBoard {
            self.board.monitor(&self.plan, 0).expect("a monitor")
        }

        fn render(&self) -> String {
            render(&Status { board: self.board, plan: &self.plan, settings: &self.settings, now_ms: 1 })
        }
    }

    #[test]
    fn counters_say_what_was_counted() {
        let rig = Rig::new(&["pool blue b:1", "pool green g:1", "active blue"]);
        let blue = &rig.monitor().pools[1];
        blue.count_answers(&[3, 3, 700, 60_000].map(Success::after_ms));
        blue.failed_attempts.store(2, Relaxed);
        blue.failed_last.store(1, Relaxed);
        rig.monitor().failed.store(1, Relaxed);
        let text = rig.render();
        for line in [
            "nginx_alert_requests_total{monitor=\"app\",pool=\"blue\"} 5",
            "nginx_alert_failed_requests_total{monitor=\"app\"} 1",
            "nginx_alert_attempts_total{monitor=\"app\",pool=\"blue\",result=\"answered\"} 4",
            "nginx_alert_attempts_total{monitor=\"app\",pool=\"blue\",result=\"failed\"} 2",
            "nginx_alert_response_seconds_bucket{monitor=\"app\",pool=\"blue\",le=\"0.001\"} 0",
            "nginx_alert_response_seconds_bucket{monitor=\"app\",pool=\"blue\",le=\"0.005\"} 2",
            "nginx_alert_response_seconds_bucket{monitor=\"app\",pool=\"blue\",le=\"30\"} 3",
            "nginx_alert_response_seconds_bucket{monitor=\"app\",pool=\"blue\",le=\"+Inf\"} 4",
            "nginx_alert_response_seconds_sum{monitor=\"app\",pool=\"blue\"} 60.706",
            "nginx_alert_response_seconds_count{monitor=\"app\",pool=\"blue\"} 4",
            "nginx_alert_serving_pool{monitor=\"app\",pool=\"blue\"} 1",
            "nginx_alert_serving_pool{monitor=\"app\",pool=\"green\"} 0",
            "nginx_alert_firing{monitor=\"app\",kind=\"failover\"} 0",
            "nginx_alert_events_dropped_total 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn no_name_breaks_the_text_or_repeats_a_set_of_labels() {
        let rig = Rig::new(&[]);
        for name in ["unknown", "a\"b\\c", "x\u{fffd}", "~1", "blue", "{}#,=", "  "]
            .into_iter()
            .map(str::as_bytes)
            .chain([&b"x\xff"[..], b"x\xfe", b"a\nb", b"a\rb", &[b'z'; 300]])
        {
            rig.monitor().learn_pool(name);
        }
        rig.monitor().pools[0].count_answers(&[Success::after_ms(1)]);
        // What two workers leave that meet a name at once.
        rig.monitor().pools[20].name.store(b"blue");
        let text = rig.render();
        let mut series = HashSet::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (labels, value) = line.rsplit_once(' ').expect("a value");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(series.insert(labels.to_string()), "{line} stands twice in\n{text}");
        }
        assert_eq!(text.matches("nginx_alert_serving_pool{").count(), 13, "twelve names and the unknown pool\n{text}");
    }
}
