//! What the page says in every state, how it bounds what upstreams make up, and that nothing of it is markup.

use std::sync::atomic::Ordering::Relaxed;

use super::*;
use crate::board::maintenance::Order;
use crate::model::ids::{PeerId, PoolId};
use crate::model::outcome::{Cause, Outcome};
use crate::model::success::{SourceId, Success};
use crate::report::rig::{Rig, T0};
use crate::rollout::probe::Streak;
use crate::rollout::state::{Phase, State, Step};
use crate::rules::throttle::{Policy, Signal, Throttle};
use crate::rules::{failover, flapping};
use crate::settings::{MonitorSettings, Settings};

const POOLS: [&str; 3] = ["pool blue 10.0.0.1:80", "pool green 10.0.0.2:80", "active blue"];

impl Rig {
    fn page(&self, query: &str) -> String {
        render(&self.source(), &Asked { path: "/alert/", query, control: None })
    }

    /// The text of the first heading, without its markup.
    fn says(&self) -> String {
        let html = self.page("monitor=app");
        let (_, rest) = html.split_once("<h1").expect("a heading");
        let (heading, _) = rest.split_once("</h1>").expect("its end");
        bare(&heading[heading.find('>').map_or(0, |at| at + 1)..])
    }

    fn answer(&self, pool: u8, count: u32) {
        let (monitor, pool) = (self.monitor(0), PoolId::new(pool));
        for _ in 0..count {
            self.window(0).record(T0, 20, Outcome::Answered, pool);
            let origin = SourceId::new(0, pool, PeerId::NONE);
            monitor.count_answers(&[Success { time_ms: T0 + 1000, origin, ..Success::after_ms(20) }]);
        }
        if pool.is_known() {
            monitor.set_failover(failover::State::serving(pool));
        }
    }

    fn fail(&self, count: u32) {
        for _ in 0..count {
            self.window(0).record(T0, 20, Outcome::Failed, PoolId::new(1));
            self.monitor(0).pools[1].failed_last.fetch_add(1, Relaxed);
        }
    }

    fn raise(&self, number: usize, kind: Kind) {
        let (raised, _) =
            Throttle::default().on(Signal::Raised, T0, &Policy { cooldown_ms: 1, muted: false, reminds: true });
        self.monitor(number).incident(kind).throttle.store(raised);
    }
}

fn bare(html: &str) -> String {
    let mut text = String::new();
    let mut is_text = true;
    for char in html.chars() {
        match char {
            '<' => is_text = false,
            '>' => is_text = true,
            char if is_text => text.push(char),
            _ => (),
        }
    }
    text
}

#[test]
fn the_headline_says_what_is_so() {
    let rig = Rig::new(&POOLS);
    assert_eq!(rig.says(), "No requests yet");
    assert!(bare(&rig.page("")).contains("blue is expected to serve."));
    rig.answer(1, 5);
    assert_eq!(rig.says(), "blue serves");
    rig.answer(2, 5);
    assert_eq!(rig.says(), "green serves instead of blue");
    rig.raise(0, Kind::Outage);
    assert_eq!(rig.says(), "Nothing works: no pool answers");
    assert!(rig.page("").contains("last answer at"));

    let rig = Rig::new(&POOLS);
    rig.fail(3);
    assert_eq!(rig.says(), "No request is answered");
    assert!(!rig.page("").contains("<p>since"), "blue serves since nothing");

    let rig = Rig::new(&[]);
    rig.answer(0, 5);
    assert_eq!(rig.says(), "Requests are answered");
    assert!(bare(&rig.page("")).contains("No pool is known, so a failover cannot be seen"));

    let rig = Rig::new(&POOLS);
    rig.answer(0, 5);
    rig.monitor(0).unmatched.requests.store(5, Relaxed);
    rig.monitor(0).unmatched.address.store(b"10.0.0.9:80");
    assert_eq!(rig.says(), "No listed pool answers");
    let page = bare(&rig.page(""));
    assert!(page.contains("5 answers came from an address that no pool lists, the latest from 10.0.0.9:80"), "{page}");

    let mut rig = Rig::new(&POOLS);
    rig.answer(1, 5);
    rig.monitor(0).unmatched.requests.store(9, Relaxed);
    rig.monitor(0).unmatched.before.store(9, Relaxed);
    assert!(!rig.page("").contains("no pool</span>"), "that was before the configuration was mended");
    rig.now_ms += 3_600_000;
    assert!(bare(&rig.page("")).contains("last answer 1 h 0 min ago"));
    let late = Success { time_ms: rig.now_ms, ..Success::after_ms(5) };
    rig.monitor(0).count_answers(&[late]);
    assert_eq!(rig.says(), "Answers are of no known pool");

    let rig = Rig::new(&POOLS);
    rig.answer(1, 5);
    let moved = |state: flapping::State, second: u64| state.moved(true, rig.now_ms + second * 1000);
    rig.monitor(0).flapping.store((0..3).fold(flapping::State::default(), moved));
    assert_eq!(rig.says(), "Traffic keeps moving between pools");

    let rig = Rig::new(&[&POOLS[..], &["window 10 max_age=10m"]].concat());
    rig.answer(1, 5);
    rig.window(0).expire(T0 + 3_600_000);
    assert_eq!(rig.says(), "No requests in the last 10 min");
    assert!(bare(&rig.page("")).contains("blue answered last, at"));
}

#[test]
fn maintenance_hides_no_trouble() {
    let rig = Rig::new(&POOLS);
    rig.answer(1, 5);
    rig.monitor(0).maintenance.order(Order::Until(rig.now_ms + 600_000));
    let page = rig.page("");
    assert!(
        page.contains("class=\"state warn\"") && bare(&page).contains("alerts are held back until 2026-"),
        "{page}"
    );
    rig.raise(0, Kind::ErrorRate);
    let page = rig.page("");
    assert!(page.contains("class=\"state bad\"") && bare(&page).contains("Error rate is firing"), "{page}");
}

#[test]
fn every_colour_and_line_is_in_a_legend() {
    let rig = Rig::new(&[&POOLS[..], &["latency p95 500ms"]].concat());
    rig.answer(1, 3);
    rig.answer(0, 1);
    rig.window(0).record(T0, 1000, Outcome::Abandoned, PoolId::new(1));
    let page = bare(&rig.page(""));
    for text in [
        "pool unknown",
        "the client gave up waiting",
        "the client got the failure",
        "a retry hid a failure",
        "no request yet",
        "dashed: error limit 2%",
        "dashed: limit p95 500ms",
    ] {
        assert!(page.contains(text), "{text} is missing in {page}");
    }
}

#[test]
fn each_address_has_its_counts_and_its_last_failure() {
    let rig = Rig::new(&POOLS);
    let monitor = rig.monitor(0);
    let peer = monitor.learn_peer(b"10.0.0.1:80", PoolId::new(1), 0);
    monitor.count_answers(&[Success { origin: SourceId::new(0, PoolId::new(1), peer), ..Success::after_ms(3) }]);
    monitor.count_failure(PoolId::new(1), peer, Cause::Timeout, rig.now_ms - 5000);
    let page = bare(&rig.page(""));
    assert!(page.contains("10.0.0.1:80blue115 s ago, timeout"), "{page}");
    assert!(page.contains("10.0.0.2:80green00never"), "{page}");
}

#[test]
fn several_monitors_open_with_an_overview_that_begins_with_the_worst() {
    let rig = Rig::named(&["quiet", "fine", "muted", "broken & burning"], &POOLS);
    for number in 1..4 {
        rig.window(number).record(T0, 20, Outcome::Answered, PoolId::new(1));
        rig.monitor(number).pools[1].count_answers(&[Success::after_ms(5)]);
    }
    rig.monitor(2).maintenance.order(Order::On);
    rig.raise(3, Kind::ErrorRate);
    let html = rig.page("");
    let text = bare(&html);
    assert!(text.contains("1 of 4 monitors is in trouble"), "{text}");
    let at =
        |name: &str| html.find(&format!(">{name}</a><td")).unwrap_or_else(|| panic!("{name} is missing in {html}"));
    let order = [at("broken &amp; burning"), at("muted"), at("fine"), at("quiet")];
    assert!(order.is_sorted(), "{order:?}");
    assert!(html.contains("href=\"?monitor=broken%20%26%20burning\""), "{html}");
    assert!(html.starts_with("<!doctype html>") && html.contains("<title>firing · broken &amp; burning"), "{html}");
    assert!(!html.contains("id=window"), "the overview shows no single monitor");
}

#[test]
fn the_page_of_one_monitor_leads_back_and_to_others_in_trouble() {
    let rig = Rig::named(&["first", "second & last", "third"], &[]);
    let current = |query: &str| {
        let html = rig.page(query);
        let (_, rest) = html.split_once("aria-current=page>")?;
        Some(rest[..rest.find('<').unwrap_or(0)].to_owned())
    };
    assert_eq!(current("x=1&monitor=second+%26%20last").as_deref(), Some("second &amp; last"));
    assert_eq!((current("monitor=nobody"), current("")), (None, None), "these are the overview");
    rig.raise(2, Kind::RetryRate);
    let html = rig.page("monitor=first");
    assert!(
        html.contains("href=\"?\">All 3 monitors") && html.contains("third <span class=\"badge bad\">firing"),
        "{html}"
    );
}

/// A hundred monitors, a full window, an hour of history, and every pool that fits, all with the worst of names.
fn worst() -> Rig {
    let template = crate::board::tests::settings(&["window 1000", "latency p95 500ms"]).monitors.remove(0);
    let monitors = (0..100).map(|n| MonitorSettings { name: format!("<monitor & {n}>"), ..template.clone() });
    let mut rig = Rig::of(Settings { monitors: monitors.collect(), ..Settings::default() });
    rig.now_ms = T0 + 3_600_000;
    let monitor = rig.monitor(0);
    for place in 1..monitor.pools.len() {
        monitor.pools[place].name.store(format!("{place}{}", "<&>".repeat(20)).as_bytes());
        monitor.pools[place].release.store("\"'".repeat(30).as_bytes());
    }
    for (place, peer) in monitor.peers.iter().enumerate() {
        peer.address.store(format!("unix:/{place}{}", "<&>".repeat(20)).as_bytes());
    }
    let window = rig.window(0);
    for n in 0..3600_u64 {
        let outcome = if n % 7 == 0 { Outcome::Failed } else { Outcome::Answered };
        let pool = PoolId::new((n % 31) as u8);
        window.record(T0 + n * 1000, (n % 900) as u32, outcome, pool);
        monitor.pools[1].count_answers(&[Success::after_ms((n * n % 900) as u32)]);
        monitor.failed.fetch_add(u64::from(n % 13 == 0), Relaxed);
        monitor.history.sample(monitor, T0 + n * 1000);
    }
    rig
}

#[test]
fn the_page_is_small_whatever_upstreams_make_up() {
    let rig = worst();
    let html = rig.page("monitor=%3Cmonitor+%26+0%3E");
    assert!(html.len() < 64_000, "{} bytes", html.len());
    assert!(html.contains("and 19 more") && html.contains("and 52 more"), "{html}");
    let overview = rig.page("");
    assert!(overview.len() < 64_000, "{} bytes", overview.len());
}

#[test]
fn nothing_of_others_is_markup() {
    let rig = worst();
    for query in ["", "monitor=%3Cmonitor+%26+0%3E"] {
        let html = rig.page(query);
        assert!(!html.contains("<&") && !html.contains("<monitor"), "{html}");
    }
}

#[test]
fn the_policy_allows_this_style_and_this_script_and_no_other() {
    let (_, policy) = headers()[0];
    assert_eq!(policy.matches("'sha256-").count(), 2);
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe") && !policy.contains("http"));
}

#[test]
fn the_top_of_a_plot_is_round() {
    for (value, top) in [(0.7, 1.0), (2.4, 5.0), (5.0, 5.0), (11.0, 20.0), (500.0, 500.0), (501.0, 1000.0)] {
        assert!((chart::round_up(value) - top).abs() < 1e-9, "{value}: {}", chart::round_up(value));
    }
}

#[test]
fn no_two_pools_share_a_colour_while_there_are_enough() {
    let rig = Rig::new(&["pool green g:1", "pool canary c:1", "pool blue b:1", "pool other o:1"]);
    let view = rig.view();
    let colours = Colours::of_pools(&view.monitors[0].pools);
    let mut classes: Vec<&str> = view.monitors[0].pools.iter().map(|pool| colours.of(pool.id)).collect();
    assert_eq!((classes[0], classes[2]), ("green", "blue"));
    classes.sort_unstable();
    classes.dedup();
    assert_eq!(classes.len(), 4);
}

#[test]
fn the_page_shows_a_rollout_with_its_evidence_and_why_it_waits_and_what_probes_say() {
    let rig = Rig::new(&[&POOLS[..], &["probe /healthz", "rollout 5% 25%"]].concat());
    assert!(!rig.page("monitor=app").contains("id=rollout"), "nothing goes on, and nothing went on");
    let rollout = rig.board.rollout(&rig.plan, 0).expect("a rollout");
    let pools = rig.plan.pools(0);
    let (phase, at_s) = (Phase::Step(Step { number: 1, told: false }), T0 / 1000);
    rollout.state.store(State { phase, from: pools[0], to: pools[1], at_s });
    rollout.begin_votes(1, 819);
    rollout.attempts[0].requests.store(1234, Relaxed);
    rollout.attempts[0].failed.store(7, Relaxed);
    rollout.probes[1].error.store(b"<b>refused");
    rollout.probes[1].streak.store(Streak { up: Some(false), passed: false, length: 3, at_ms: T0 + 59_000 });
    let page = bare(&rig.page("monitor=app"));
    for shown in [
        "rollout green has 5 % of the clients",
        "step green instead of blue",
        "1 of 3",
        "7 of 1\u{202f}234",
        "1.0 of 6\u{202f}000",
        "down &lt;b&gt;refused",
    ] {
        assert!(page.contains(shown), "{shown:?} is missing in {page}");
    }
    rollout.state.store(State::default());
    rollout.end(crate::board::rollout::Outcome::NotRolledBack, "Not rolled back — <blue> is no better", T0 + 1000);
    let page = bare(&rig.page("monitor=app"));
    assert!(page.contains("not rolled back Not rolled back — &lt;blue&gt; is no better 59 s ago"), "{page}");
}

#[test]
fn what_can_be_done_depends_on_what_goes_on_and_is_offered_where_the_server_takes_commands() {
    let rig = Rig::new(&[&POOLS[..], &["probe /healthz", "rollout 5% 25%"]].concat());
    assert!(!rig.page("").contains("<form"), "nobody takes commands");
    let rollout = rig.board.rollout(&rig.plan, 0).expect("a rollout");
    let pools = rig.plan.pools(0);
    let operated = || render(&rig.source(), &Asked { path: "/alert/", query: "", control: Some("/alert/control/") });
    let watch = crate::rollout::state::Watch { left_s: 600, cleared: 0 };
    for (phase, offered, missing) in [
        (
            Phase::Idle,
            &["Roll out to green", "Switch to green", "Begin maintenance"][..],
            &["Abort the", "to blue"][..],
        ),
        (Phase::Probing, &["Abort the rollout", "Switch to green"], &["Roll out", "Hold the"]),
        (
            Phase::Step(Step { number: 1, told: false }),
            &["Hold the rollout", "Abort the rollout"],
            &["Roll out", "Go on"],
        ),
        (
            Phase::Held { step: 1, worse: false },
            &["Go on with the rollout", "Abort the rollout"],
            &["Roll out", "Hold the"],
        ),
        (Phase::Guard(watch), &["Roll back to blue", "End the guard", "Roll out to green"], &["Abort the", "Hold the"]),
    ] {
        rollout.state.store(State { phase, from: pools[0], to: pools[1], at_s: T0 / 1000 });
        let html = operated();
        let text = bare(&html);
        assert!(offered.iter().all(|words| text.contains(words)), "{phase:?}: {text}");
        assert!(!missing.iter().any(|words| text.contains(words)), "{phase:?}: {text}");
        assert!(html.contains("formaction=\"../alert/control/maintenance?monitor=app&amp;on=1\""), "{html}");
    }
    rig.monitor(0).maintenance.order(Order::On);
    assert!(bare(&operated()).contains("End maintenance"));
}
