//! The state of everything for Prometheus, in its text format 0.0.4.
//!
//! All label values are bounded in number: pools, monitors, sinks, kinds and causes are. Names come from upstreams, so they
//! are escaped, and two that would read the same are told apart: a repeated set of labels makes Prometheus refuse the
//! whole scrape.
//!
//! It is written straight into one buffer, from pieces that are made once: the event loop waits for it.

use super::rollout::{Rollout, TOLD};
use super::view::{Limit, Monitor, Pool, Rule, RuleState, Scope, Sink, Source, View};
use crate::base::name::plain;
use crate::board::monitor::bounds_ms;
use crate::board::rollout::Outcome;
use crate::model::alert::{Kind, Status};
use crate::model::outcome::Cause;
use crate::rollout::state::Phase;

/// The media type of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The label of what is of no known pool.
const UNKNOWN: &str = "unknown";

/// The metrics of this instant.
pub fn render(source: &Source<'_>) -> Vec<u8> {
    let view = source.view(Scope::default());
    let monitors: Vec<Labelled<'_>> = view.monitors.iter().map(Labelled::new).collect();
    let pools: usize = monitors.iter().map(|monitor| monitor.pools.len()).sum();
    let mut page = Page { text: Vec::with_capacity(8192 + 4096 * monitors.len() + 4096 * pools) };
    page.requests(&monitors);
    page.attempts(&monitors);
    page.latencies(&monitors);
    page.states(&monitors);
    page.rules(&monitors);
    page.alerts(&monitors);
    page.rollouts(&monitors);
    page.sinks(&view.sinks);
    page.process(&view);
    page.text
}

/// A monitor with the labels of its samples.
struct Labelled<'a> {
    monitor: &'a Monitor<'a>,
    /// `{monitor="NAME"`, to which more can be added.
    labels: String,
    /// The same for its pools, the unknown one in front where it is needed.
    pools: Vec<(String, &'a Pool)>,
}

impl<'a> Labelled<'a> {
    fn new(monitor: &'a Monitor<'a>) -> Labelled<'a> {
        let labels = label("{monitor=\"", monitor.name());
        let pool = |pool: &'a Pool| {
            let name = match pool.id.is_known() {
                false => UNKNOWN.into(),
                true if pool.name == UNKNOWN => format!("{UNKNOWN}~{}", pool.id.get()),
                true => pool.name.clone(),
            };
            (labels.clone() + &label(",pool=\"", &name), pool)
        };
        let pools = monitor.unknown.iter().chain(&monitor.pools).map(pool).collect();
        Labelled { monitor, labels, pools }
    }
}

/// What was told of rollouts: with the labels of the monitor, how often, and how often it was held back.
fn told_of_rollouts<'a>(monitors: &'a [Labelled<'_>]) -> impl Iterator<Item = (&'a str, Kind, [u64; 2])> {
    let with = monitors.iter().filter_map(|at| Some((at.labels.as_str(), at.monitor.rollout.as_ref()?)));
    with.flat_map(|(labels, rollout)| {
        TOLD.into_iter().zip(rollout.told).map(move |(kind, count)| (labels, kind, count))
    })
}

/// A label: its name with what is before it, and its value, escaped.
fn label(name: &str, value: &str) -> String {
    let mut text = String::with_capacity(name.len() + value.len() + 8);
    text.push_str(name);
    for char in value.chars().map(plain) {
        match char {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            other => text.push(other),
        }
    }
    text.push('"');
    text
}

/// The text so far.
struct Page {
    text: Vec<u8>,
}

/// The name of a metric.
macro_rules! name {
    ($name:literal) => {
        concat!("nginx_alert_", $name)
    };
}

/// The end of a set of labels, after which the value stands.
const END: &str = "} ";

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.put(&["# HELP ", name, " ", help, "\n# TYPE ", name, " ", kind, "\n"]);
    }

    #[inline]
    fn put(&mut self, parts: &[&str]) {
        parts.iter().for_each(|part| self.text.extend_from_slice(part.as_bytes()));
    }

    #[inline]
    fn sample(&mut self, name: &str, labels: &str, rest: &str, value: u64) {
        self.put(&[name, labels, rest, itoa::Buffer::new().format(value), "\n"]);
    }

    /// A sample for each monitor.
    fn by_monitor(&mut self, name: &str, monitors: &[Labelled<'_>], value: impl Fn(&Monitor<'_>) -> u64) {
        for Labelled { monitor, labels, .. } in monitors {
            self.sample(name, labels, END, value(monitor));
        }
    }

    /// A sample for each pool of each monitor.
    fn by_pool(&mut self, name: &str, monitors: &[Labelled<'_>], value: impl Fn(&Monitor<'_>, &Pool) -> u64) {
        for Labelled { monitor, pools, .. } in monitors {
            for (labels, pool) in pools {
                self.sample(name, labels, END, value(monitor, pool));
            }
        }
    }

    /// A sample for each rule of each monitor.
    fn by_rule(&mut self, name: &str, monitors: &[Labelled<'_>], value: impl Fn(&Rule) -> u64) {
        for Labelled { monitor, labels, .. } in monitors {
            for rule in &monitor.rules {
                let (kind, mut digits) = (rule.kind.name(), itoa::Buffer::new());
                self.put(&[name, labels, ",kind=\"", kind, "\"} ", digits.format(value(rule)), "\n"]);
            }
        }
    }

    fn requests(&mut self, monitors: &[Labelled<'_>]) {
        self.family(name!("requests_total"), "counter", "Watched requests, by the pool of their last attempt.");
        self.by_pool(name!("requests_total"), monitors, |_, pool| pool.requests());
        let help = "Requests whose client got an upstream failure, by the pool of their last attempt.";
        self.family(name!("failed_requests_total"), "counter", help);
        self.by_pool(name!("failed_requests_total"), monitors, |_, pool| pool.failed_requests);
        self.family(name!("retried_requests_total"), "counter", "Requests in which a retry hid a failed attempt.");
        self.by_monitor(name!("retried_requests_total"), monitors, |monitor| monitor.retried);
        let help = "Requests whose client gave up after a second or more without a header.";
        self.family(name!("abandoned_requests_total"), "counter", help);
        self.by_monitor(name!("abandoned_requests_total"), monitors, |monitor| monitor.abandoned);
        let help = "Requests whose address belongs to no pool although pools are listed.";
        self.family(name!("unmatched_requests_total"), "counter", help);
        self.by_monitor(name!("unmatched_requests_total"), monitors, |monitor| monitor.unmatched);
    }

    fn attempts(&mut self, monitors: &[Labelled<'_>]) {
        self.family(name!("attempts_total"), "counter", "Upstream attempts, retries included.");
        for (labels, pool) in monitors.iter().flat_map(|monitor| &monitor.pools) {
            let answered = pool.answered.saturating_add(pool.passed_on);
            self.sample(name!("attempts_total"), labels, ",result=\"answered\"} ", answered);
            self.sample(name!("attempts_total"), labels, ",result=\"failed\"} ", pool.failed_attempts);
        }
        self.family(name!("failed_attempts_total"), "counter", "Failed upstream attempts, by their cause.");
        let causes = Cause::ALL.map(|cause| label(",cause=\"", cause.name()) + END);
        for (labels, pool) in monitors.iter().flat_map(|monitor| &monitor.pools) {
            for (cause, count) in causes.iter().zip(pool.causes) {
                self.sample(name!("failed_attempts_total"), labels, cause, count);
            }
        }
    }

    fn latencies(&mut self, monitors: &[Labelled<'_>]) {
        let help = "Upstream time of answered requests, all attempts together.";
        self.family(name!("response_seconds"), "histogram", help);
        let bounds = bounds_ms().map(|ms| (f64::from(ms) / 1000.0).to_string()).chain(["+Inf".to_owned()]);
        let bounds: Vec<String> = bounds.map(|bound| label(",le=\"", &bound) + END).collect();
        for (labels, pool) in monitors.iter().flat_map(|monitor| &monitor.pools) {
            // Summed up here, so that the last bucket is the count whatever is counted meanwhile.
            let mut sum: u64 = 0;
            for (bound, count) in bounds.iter().zip(pool.buckets) {
                sum = sum.saturating_add(count);
                self.sample(name!("response_seconds_bucket"), labels, bound, sum);
            }
            let (seconds, ms) = (pool.latency_sum_ms / 1000, pool.latency_sum_ms % 1000);
            let fraction = format!(".{ms:03}\n");
            let seconds = itoa::Buffer::new().format(seconds).to_owned();
            self.put(&[name!("response_seconds_sum"), labels, END, &seconds, &fraction]);
            self.sample(name!("response_seconds_count"), labels, END, sum);
        }
    }

    fn states(&mut self, monitors: &[Labelled<'_>]) {
        let is = |pool: &Pool, other: Option<&Pool>| u64::from(other.is_some_and(|other| other.id == pool.id));
        self.family(name!("serving_pool"), "gauge", "Whether the pool serves.");
        self.by_pool(name!("serving_pool"), monitors, |monitor, pool| is(pool, monitor.serving_pool()));
        self.family(name!("active_pool"), "gauge", "Whether the pool should serve.");
        self.by_pool(name!("active_pool"), monitors, |monitor, pool| is(pool, monitor.active_pool()));
        self.family(name!("maintenance"), "gauge", "Whether the monitor holds its alerts back.");
        self.by_monitor(name!("maintenance"), monitors, |monitor| monitor.maintenance.into());
    }

    fn rollouts(&mut self, monitors: &[Labelled<'_>]) {
        let with: Vec<(&str, &Rollout)> =
            monitors.iter().filter_map(|at| Some((at.labels.as_str(), at.monitor.rollout.as_ref()?))).collect();
        if with.is_empty() {
            return;
        }
        self.family(name!("share"), "gauge", "The share of the clients that a pool has besides the active one.");
        for Labelled { monitor, pools, .. } in monitors {
            let Some(rollout) = &monitor.rollout else { continue };
            for (labels, pool) in pools.iter().filter(|(_, pool)| pool.id.is_known()) {
                let share =
                    rollout.share.as_ref().filter(|(name, _)| *name == pool.name).map_or(0, |(_, share)| *share);
                self.put(&[name!("share"), labels, END, &(f64::from(share) / 10_000.0).to_string(), "\n"]);
            }
        }
        let help = "First attempts of requests at the pool that they belong to: without retries.";
        self.family(name!("first_attempts_total"), "counter", help);
        for Labelled { monitor, pools, .. } in monitors {
            let Some(rollout) = &monitor.rollout else { continue };
            for (labels, pool) in pools {
                let [answered, failed] = rollout.first_attempts[usize::from(pool.id.get())];
                self.sample(name!("first_attempts_total"), labels, ",result=\"answered\"} ", answered);
                self.sample(name!("first_attempts_total"), labels, ",result=\"failed\"} ", failed);
            }
        }
        self.family(name!("rollout"), "gauge", "Whether the rollout is in this phase.");
        for (labels, rollout) in &with {
            for phase in Phase::NAMES {
                let is_in = if rollout.is_in(phase) { "1\n" } else { "0\n" };
                self.put(&[name!("rollout"), labels, ",phase=\"", phase, "\"} ", is_in]);
            }
        }
        self.family(name!("evidence"), "gauge", "What the votes say against the new pool; 1 is nothing.");
        for (labels, rollout) in &with {
            for compared in &rollout.compared {
                let value = compared.evidence[0].value.to_string();
                self.put(&[name!("evidence"), labels, ",kind=\"", compared.measure.name(), "\"} ", &value, "\n"]);
            }
        }
        self.family(name!("probe_up"), "gauge", "Whether an address passes its probe.");
        for (labels, rollout) in &with {
            for (pool, probes) in &rollout.probes {
                for probe in probes.iter().filter(|probe| probe.up.is_some()) {
                    let (pool, address) = (label(",pool=\"", pool), label(",address=\"", &probe.address));
                    let up = if probe.up == Some(true) { "1\n" } else { "0\n" };
                    self.put(&[name!("probe_up"), labels, &pool, &address, END, up]);
                }
            }
        }
        self.family(name!("release_info"), "gauge", "The release that a pool answers with; always 1.");
        for Labelled { pools, .. } in monitors.iter().filter(|at| at.monitor.rollout.is_some()) {
            for (labels, pool) in pools.iter().filter(|(_, pool)| pool.id.is_known() && !pool.release.is_empty()) {
                self.put(&[name!("release_info"), labels, &label(",release=\"", &pool.release), END, "1\n"]);
            }
        }
        self.family(name!("rollouts_total"), "counter", "Rollouts, by how they ended.");
        for (labels, rollout) in &with {
            for (outcome, count) in Outcome::ALL.iter().zip(rollout.outcomes) {
                let count = count.to_string();
                self.put(&[name!("rollouts_total"), labels, ",outcome=\"", outcome.name(), "\"} ", &count, "\n"]);
            }
        }
    }

    fn rules(&mut self, monitors: &[Labelled<'_>]) {
        self.family(name!("firing"), "gauge", "Whether the rule is broken.");
        self.by_rule(name!("firing"), monitors, |rule| u64::from(rule.state == RuleState::Firing));
        self.family(name!("held_back_total"), "counter", "Alerts that a cooldown or maintenance held back.");
        self.by_rule(name!("held_back_total"), monitors, |rule| rule.held_back);
        for (labels, kind, [_, held_back]) in told_of_rollouts(monitors) {
            self.put(&[
                name!("held_back_total"),
                labels,
                ",kind=\"",
                kind.name(),
                "\"} ",
                &held_back.to_string(),
                "\n",
            ]);
        }
        self.family(name!("limit_ratio"), "gauge", "The limit of a rule on a share of the requests.");
        for Labelled { monitor, labels, .. } in monitors {
            for rule in &monitor.rules {
                let Some(Limit::Rate(limit)) = rule.limit else { continue };
                let (kind, ratio) = (label(",kind=\"", rule.kind.name()), limit.ratio().to_string());
                self.put(&[name!("limit_ratio"), labels, &kind, END, &ratio, "\n"]);
            }
        }
    }

    fn alerts(&mut self, monitors: &[Labelled<'_>]) {
        self.family(name!("alerts_total"), "counter", "Alerts that were sent, without those held back.");
        let mut sample = |labels: &str, kind: Kind, status: Status, count: u64| {
            let (kind, status, mut digits) = (kind.name(), status.name(), itoa::Buffer::new());
            let labels = [name!("alerts_total"), labels, ",kind=\"", kind, "\",status=\"", status, "\"} "];
            self.put(&labels);
            self.put(&[digits.format(count), "\n"]);
        };
        for Labelled { monitor, labels, .. } in monitors {
            for rule in &monitor.rules {
                let end = if rule.kind == Kind::Failover { Kind::Failback } else { rule.kind };
                sample(labels, rule.kind, Status::Firing, rule.fired.saturating_sub(rule.resolved));
                sample(labels, end, Status::Resolved, rule.resolved);
            }
            sample(labels, Kind::Switched, Status::Info, monitor.switched);
            sample(labels, Kind::Test, Status::Info, monitor.tests);
        }
        for (labels, kind, [fired, _]) in told_of_rollouts(monitors) {
            sample(labels, kind, Status::Info, fired);
        }
    }

    fn sinks(&mut self, sinks: &[Sink<'_>]) {
        let sinks: Vec<_> = sinks.iter().map(|sink| (label("{sink=\"", &sink.settings.name), sink)).collect();
        let help = "Deliveries of alerts: sent, tried again, given up, or made obsolete.";
        self.family(name!("deliveries_total"), "counter", help);
        for (labels, sink) in &sinks {
            for (result, count) in [
                (",result=\"sent\"} ", sink.sent),
                (",result=\"retried\"} ", sink.retried),
                (",result=\"failed\"} ", sink.failed),
                (",result=\"left_out\"} ", sink.left_out),
            ] {
                self.sample(name!("deliveries_total"), labels, result, count);
            }
        }
        self.family(name!("deliveries_pending"), "gauge", "Alerts that wait for a sink.");
        for (labels, sink) in &sinks {
            self.sample(name!("deliveries_pending"), labels, END, sink.pending);
        }
        self.family(
            name!("resends_total"),
            "counter",
            "Messages that tell a sink again what fires, by what became of them.",
        );
        for (labels, sink) in &sinks {
            self.sample(name!("resends_total"), labels, ",result=\"sent\"} ", sink.resent);
            self.sample(name!("resends_total"), labels, ",result=\"failed\"} ", sink.resends_failed);
        }
        let help = "When a message last arrived at the sink; zero where none has.";
        self.family(name!("last_success_timestamp_seconds"), "gauge", help);
        for (labels, sink) in &sinks {
            let seconds = sink.last_success_ms.unwrap_or(0) / 1000;
            self.sample(name!("last_success_timestamp_seconds"), labels, END, seconds);
        }
    }

    fn process(&mut self, view: &View<'_>) {
        let queued = view.workers.iter().map(|worker| worker.queue_depth).fold(0, u64::saturating_add);
        let lost = "Alerts that made room for newer ones before all sinks had them.";
        for (name, kind, help, value) in [
            (name!("alerts_lost_total"), "counter", lost, view.lost),
            (name!("events_dropped_total"), "counter", "Requests that could not be counted.", view.dropped),
            (name!("queue_depth"), "gauge", "Requests that wait to be judged, of all workers.", queued),
            (name!("workers"), "gauge", "Workers that are alive.", view.workers.len() as u64),
            (name!("uptime_seconds"), "gauge", "How long the state has been kept.", view.uptime_seconds()),
        ] {
            self.family(name, kind, help);
            self.sample(name, "", " ", value);
        }
        self.family(
            name!("build_info"),
            "gauge",
            "Versions of the module and of nginx, and what this nginx is called.",
        );
        let labels = label("{version=\"", env!("CARGO_PKG_VERSION"))
            + &label(",nginx=\"", view.nginx)
            + &label(",instance=\"", view.instance);
        self.sample(name!("build_info"), &labels, END, 1);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;
    use crate::board::maintenance::Order;
    use crate::model::ids::{PeerId, PoolId};
    use crate::model::success::Success;
    use crate::report::rig::Rig;
    use crate::rollout::state::State;

    fn text(rig: &Rig) -> String {
        String::from_utf8(render(&rig.source())).expect("UTF-8")
    }

    #[test]
    fn counters_say_what_was_counted() {
        let rig = Rig::new(&["pool blue b:1", "pool green g:1", "active blue", "error_rate 0.07%", "retry_rate off"]);
        let (monitor, blue) = (rig.monitor(0), PoolId::new(1));
        monitor.pool(blue).count_answers(&[1, 3, 700, 60_000].map(Success::after_ms));
        monitor.count_failure(blue, PeerId::NONE, Cause::Connect, 5);
        monitor.count_failure(blue, PeerId::NONE, Cause::Cut, 5);
        monitor.pool(blue).failed_last.store(1, Relaxed);
        monitor.pool(blue).failed_requests.store(1, Relaxed);
        monitor.abandoned.store(3, Relaxed);
        monitor.unmatched.requests.store(4, Relaxed);
        monitor.maintenance.order(Order::On);
        monitor.incident(Kind::Outage).held_back.store(2, Relaxed);
        let text = text(&rig);
        for line in [
            "nginx_alert_requests_total{monitor=\"app\",pool=\"blue\"} 5",
            "nginx_alert_failed_requests_total{monitor=\"app\",pool=\"blue\"} 1",
            "nginx_alert_failed_requests_total{monitor=\"app\",pool=\"green\"} 0",
            "nginx_alert_abandoned_requests_total{monitor=\"app\"} 3",
            "nginx_alert_unmatched_requests_total{monitor=\"app\"} 4",
            "nginx_alert_attempts_total{monitor=\"app\",pool=\"blue\",result=\"answered\"} 4",
            "nginx_alert_attempts_total{monitor=\"app\",pool=\"blue\",result=\"failed\"} 2",
            "nginx_alert_failed_attempts_total{monitor=\"app\",pool=\"blue\",cause=\"cut\"} 1",
            "nginx_alert_failed_attempts_total{monitor=\"app\",pool=\"blue\",cause=\"local\"} 0",
            "nginx_alert_response_seconds_bucket{monitor=\"app\",pool=\"blue\",le=\"0.001\"} 1",
            "nginx_alert_response_seconds_bucket{monitor=\"app\",pool=\"blue\",le=\"0.002\"} 1",
            "nginx_alert_response_seconds_bucket{monitor=\"app\",pool=\"blue\",le=\"0.005\"} 2",
            "nginx_alert_response_seconds_bucket{monitor=\"app\",pool=\"blue\",le=\"30\"} 3",
            "nginx_alert_response_seconds_bucket{monitor=\"app\",pool=\"blue\",le=\"+Inf\"} 4",
            "nginx_alert_response_seconds_sum{monitor=\"app\",pool=\"blue\"} 60.704",
            "nginx_alert_response_seconds_count{monitor=\"app\",pool=\"blue\"} 4",
            "nginx_alert_serving_pool{monitor=\"app\",pool=\"blue\"} 1",
            "nginx_alert_serving_pool{monitor=\"app\",pool=\"green\"} 0",
            "nginx_alert_active_pool{monitor=\"app\",pool=\"blue\"} 1",
            "nginx_alert_maintenance{monitor=\"app\"} 1",
            "nginx_alert_firing{monitor=\"app\",kind=\"failover\"} 0",
            "nginx_alert_held_back_total{monitor=\"app\",kind=\"outage\"} 2",
            "nginx_alert_limit_ratio{monitor=\"app\",kind=\"error_rate\"} 0.0007",
            "nginx_alert_limit_ratio{monitor=\"app\",kind=\"abandon_rate\"} 0.1",
            "nginx_alert_events_dropped_total 0",
            "nginx_alert_workers 0",
            "nginx_alert_uptime_seconds 60",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
        assert!(!text.contains("kind=\"retry_rate\"} 0.1"), "a rule that is off has no limit");
    }

    #[test]
    fn no_name_breaks_the_text_or_repeats_a_set_of_labels() {
        let rig = Rig::new(&[]);
        for name in ["unknown", "a\"b\\c", "x\u{fffd}", "~1", "blue", "{}#,=", "  "]
            .into_iter()
            .map(str::as_bytes)
            .chain([&b"x\xff"[..], b"x\xfe", b"a\nb", b"a\rb", &[b'z'; 300]])
        {
            rig.monitor(0).learn_pool(name, 0);
        }
        rig.monitor(0).pools[0].count_answers(&[Success::after_ms(1)]);
        // What two workers leave that meet a name at once.
        rig.monitor(0).pools[20].name.store(b"blue");
        let text = text(&rig);
        let mut series = HashSet::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (labels, value) = line.rsplit_once(' ').expect("a value");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(series.insert(labels.to_string()), "{line} stands twice in\n{text}");
        }
        assert_eq!(text.matches("nginx_alert_serving_pool{").count(), 13, "twelve names and the unknown pool\n{text}");
    }

    #[test]
    fn a_monitor_with_rollouts_says_how_they_stand_and_what_was_told_of_them() {
        let rig = Rig::new(&["pool blue b:1", "pool green g:1", "active blue", "probe /healthz", "rollout 5%"]);
        let rollout = rig.board.rollout(&rig.plan, 0).expect("a rollout");
        let green = rig.plan.pools(0)[1];
        rollout.first_attempts(green).answered.store(7, Relaxed);
        rollout.first_attempts(green).failed.store(2, Relaxed);
        rig.monitor(0).incident(Kind::Rollout).fired.store(3, Relaxed);
        rig.monitor(0).incident(Kind::Rollback).held_back.store(1, Relaxed);
        rig.monitor(0).incident(Kind::Probe).fired.store(2, Relaxed);
        rig.monitor(0).incident(Kind::Probe).resolved.store(1, Relaxed);
        rollout.end(Outcome::Aborted, "why", 5);
        let state =
            State { phase: Phase::ByHand { tenths: 125, told: false }, from: PoolId::new(1), to: green, at_s: 0 };
        rollout.state.store(state);
        let text = text(&rig);
        for line in [
            "nginx_alert_first_attempts_total{monitor=\"app\",pool=\"green\",result=\"answered\"} 7",
            "nginx_alert_first_attempts_total{monitor=\"app\",pool=\"green\",result=\"failed\"} 2",
            "nginx_alert_alerts_total{monitor=\"app\",kind=\"rollout\",status=\"info\"} 3",
            "nginx_alert_alerts_total{monitor=\"app\",kind=\"comparison\",status=\"info\"} 0",
            "nginx_alert_alerts_total{monitor=\"app\",kind=\"probe\",status=\"firing\"} 1",
            "nginx_alert_alerts_total{monitor=\"app\",kind=\"probe\",status=\"resolved\"} 1",
            "nginx_alert_held_back_total{monitor=\"app\",kind=\"rollback\"} 1",
            "nginx_alert_firing{monitor=\"app\",kind=\"probe\"} 0",
            "nginx_alert_rollout{monitor=\"app\",phase=\"held\"} 1",
            "nginx_alert_rollouts_total{monitor=\"app\",outcome=\"aborted\"} 1",
            "nginx_alert_share{monitor=\"app\",pool=\"green\"} 0.125",
            "nginx_alert_share{monitor=\"app\",pool=\"blue\"} 0",
            "nginx_alert_evidence{monitor=\"app\",kind=\"errors\"} 1",
            "nginx_alert_evidence{monitor=\"app\",kind=\"latency\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
        let of_rollouts = |text: &str| text.lines().filter(|line| line.contains("monitor=\"app\"")).count();
        let without = self::text(&Rig::new(&["pool blue b:1", "pool green g:1", "active blue"]));
        assert_eq!(of_rollouts(&text) - of_rollouts(&without), 24 + 2 * 3, "ngx_module/REFERENCE.md says so\n{text}");
    }

    #[test]
    fn the_series_of_a_monitor_are_bounded() {
        let rig = Rig::new(&["pool blue b:1", "pool green g:1", "active blue", "latency p95 500ms"]);
        let text = text(&rig);
        let of_monitor = text.lines().filter(|line| line.contains("monitor=\"app\"")).count();
        let of_pools = text.lines().filter(|line| line.contains("pool=\"green\"")).count();
        assert_eq!((of_monitor - 2 * of_pools, of_pools), (37, 28), "ngx_module/REFERENCE.md says so\n{text}");
    }
}
