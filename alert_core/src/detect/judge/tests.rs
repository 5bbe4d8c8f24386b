//! The judge on a board of its own, with several workers and a clock that the test moves.

use super::*;
use crate::board::outbox::Delivery;
use crate::board::region::Region;
use crate::board::tests::settings;
use crate::detect::order::SETTLE;
use crate::model::alert::{Alert, Kind, Status};
use crate::model::ids::{PeerId, PoolId};
use crate::model::outcome::ClientGot;
use crate::rollout::probe::Streak;
use crate::rollout::share::{Share, edge};
use crate::rollout::state::{Phase, State};

use crate::sink::settings::{SinkSettings, SystemSource};

mod killed;

const T0: u64 = 1_790_000_000_000;

/// Workers that share a board, each with a judge of its own, and a clock that the test moves.
struct Rig {
    region: Region,
    board: Board,
    plan: Plan,
    settings: Settings,
    judges: Vec<Judge>,
    now_ms: u64,
    next: usize,
}

impl Rig {
    fn new(workers: usize, lines: &[&str]) -> Rig {
        let lines = [&["pool blue b:1", "pool green g:1", "active blue"], lines].concat();
        let region = Region::private(1 << 20);
        let board = Board::open(region, T0).expect("a board");
        let settings = settings(&lines);
        let plan = board.activate(board.reserve(&settings, T0).expect("room"), &settings);
        let mut rig = Rig { region, board, plan, settings, judges: Vec::new(), now_ms: T0, next: 0 };
        rig.reload(workers);
        rig
    }

    fn reload(&mut self, workers: usize) {
        let sink = SinkSettings::parse(&["slack", "http://127.0.0.1:9/"], &SystemSource).expect("a sink");
        self.reload_with(workers, vec![sink], vec![0]);
    }

    /// The same with these sinks, of which those with these numbers are the monitor's.
    fn reload_with(&mut self, workers: usize, sinks: Vec<SinkSettings>, own: Vec<usize>) {
        self.settings.sinks = sinks;
        self.settings.monitors[0].sinks = Some(own);
        let reservation = self.board.reserve(&self.settings, self.now_ms).expect("room");
        self.plan = self.board.activate(reservation, &self.settings);
        let (log, _) = crate::base::log::queue();
        self.judges = (0..workers).map(|_| Judge::new(self.board, &self.plan, &self.settings, log.clone())).collect();
    }

    /// One request, at the next worker, 10 ms after the last: its attempts as (pool, status), and what the client got.
    fn request(&mut self, attempts: &[(&str, u16)], client_status: u16) {
        self.now_ms += 10;
        let event = self.event(attempts, client_status);
        self.next += 1;
        let at = self.next % self.judges.len();
        let judge = &mut self.judges[at];
        judge.observe(&event, self.now_ms);
        judge.commit(self.now_ms, Instant::now());
    }

    /// A request of which more is known than statuses, at the first worker.
    fn observe(&mut self, event: &Event) {
        let (judge, now_ms) = (&mut self.judges[0], self.now_ms);
        judge.observe(event, now_ms);
        judge.commit(now_ms, Instant::now());
    }

    fn event(&self, attempts: &[(&str, u16)], client_status: u16) -> Event {
        let of_pool = |(pool, status): &(&str, u16)| {
            let pool = self.shared().find_pool(crate::base::name::NameKey::of(pool.as_bytes()));
            (pool.unwrap_or(PoolId::NONE), PeerId::NONE, *status)
        };
        let attempts: Vec<_> = attempts.iter().map(of_pool).collect();
        Event::of_statuses(0, self.now_ms, &attempts, client_status)
    }

    fn requests(&mut self, count: usize, attempts: &[(&str, u16)]) {
        (0..count).for_each(|_| self.request(attempts, attempts.last().map_or(0, |(_, status)| *status)));
    }

    /// Lets time pass, with the ticks of every worker.
    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now_ms += 1000;
            for judge in &mut self.judges {
                judge.tick(self.now_ms);
            }
        }
    }

    fn shared(&self) -> &'static MonitorBoard {
        self.board.monitor(&self.plan, 0).expect("a monitor")
    }

    /// The alerts so far, oldest first, as kind and status; held back ones are not among them.
    fn told(&self) -> Vec<(Kind, Status)> {
        let told = self.shared().throttles.iter().map(|incident| incident.fired.load(Relaxed)).sum::<u64>();
        let held = self.shared().throttles.iter().map(|incident| incident.held_back.load(Relaxed)).sum::<u64>();
        let mut alerts: Vec<Alert> = self.board.outbox().alerts().collect();
        assert_eq!(alerts.len() as u64, told + held);
        alerts.reverse();
        alerts.retain(|alert| !self.was_held_back(alert));
        alerts.iter().map(|alert| (alert.kind, alert.status)).collect()
    }

    fn was_held_back(&self, alert: &Alert) -> bool {
        self.board.outbox().delivery(alert.id, self.plan.sinks()[0]) == Delivery::HeldBack
    }

    fn last(&self) -> Alert {
        self.board.outbox().alerts().next().expect("an alert")
    }
}

const BLUE: &[(&str, u16)] = &[("blue", 200)];
const GREEN: &[(&str, u16)] = &[("green", 200)];
const RETRIED: &[(&str, u16)] = &[("blue", 500), ("green", 200)];
const DOWN: &[(&str, u16)] = &[("blue", 502), ("green", 502)];
const FIRING: Status = Status::Firing;
const RESOLVED: Status = Status::Resolved;

#[test]
fn the_fifth_error_of_200_fires_once_however_many_workers_there_are() {
    for workers in [1, 4, 16] {
        let mut rig = Rig::new(workers, &["failover off", "outage off"]);
        rig.requests(100, BLUE);
        (0..4).for_each(|_| rig.request(&[("blue", 500)], 500));
        assert_eq!(rig.told(), []);
        (0..20).for_each(|_| rig.request(&[("blue", 500)], 500));
        assert_eq!(rig.told(), [(Kind::ErrorRate, FIRING)]);
        let alert = rig.last();
        assert_eq!((alert.window.failed, alert.window.filled), (5, 105), "{workers} workers");
        rig.requests(400, BLUE);
        assert_eq!(rig.told(), [(Kind::ErrorRate, FIRING), (Kind::ErrorRate, RESOLVED)]);
        assert_eq!(rig.last().window.failed, 2);
    }
}

#[test]
fn a_failover_and_its_way_back_are_one_alert_each() {
    for workers in [1, 4, 16] {
        let mut rig = Rig::new(workers, &[]);
        rig.requests(50, BLUE);
        rig.requests(16, RETRIED);
        rig.requests(50, GREEN);
        assert_eq!(rig.told(), [(Kind::Failover, FIRING)]);
        let alert = rig.last();
        assert_eq!((alert.from.name.as_str(), alert.to.name.as_str()), ("blue", "green"));
        assert_eq!((alert.failed_attempts, alert.retries_absorbed), (2, 2), "told at the second request");
        for _ in 0..10 {
            rig.requests(1, BLUE);
            rig.pass(1);
        }
        assert_eq!(rig.told(), [(Kind::Failover, FIRING), (Kind::Failback, RESOLVED)]);
        let alert = rig.last();
        assert_eq!((alert.from.name.as_str(), alert.to.name.as_str()), ("green", "blue"));
        assert_eq!((alert.failed_attempts, alert.retries_absorbed, alert.errors_reached_users), (16, 16, 0));
    }
}

#[test]
fn retries_made_while_failed_over_never_count() {
    let mut rig = Rig::new(4, &["window 50", "retry_rate 10%"]);
    rig.requests(20, BLUE);
    rig.requests(30, RETRIED);
    let window = rig.board.window(rig.shared()).expect("a window");
    assert_eq!(window.counts().retried, 2, "the two that made it a failover");
    for _ in 0..12 {
        rig.requests(1, BLUE);
        rig.pass(1);
    }
    assert_eq!(rig.told(), [(Kind::Failover, FIRING), (Kind::Failback, RESOLVED)]);
    assert_eq!(window.counts().retried, 2);
}

#[test]
fn retries_of_a_primary_that_goes_on_answering_fire_their_own_alert() {
    let mut rig = Rig::new(4, &["window 20", "retry_rate 10%"]);
    for _ in 0..3 {
        rig.requests(2, BLUE);
        rig.requests(1, RETRIED);
    }
    assert_eq!(rig.told(), [(Kind::RetryRate, FIRING)]);
    rig.requests(20, BLUE);
    assert_eq!(rig.told(), [(Kind::RetryRate, FIRING), (Kind::RetryRate, RESOLVED)]);
}

#[test]
fn both_pools_down_is_an_error_rate_and_an_outage_and_no_failover() {
    let mut rig = Rig::new(4, &[]);
    rig.requests(10, BLUE);
    rig.requests(100, DOWN);
    assert_eq!(rig.told(), [(Kind::ErrorRate, FIRING), (Kind::Outage, FIRING)]);
}

#[test]
fn three_failovers_within_five_minutes_are_flapping_then_silence() {
    let mut rig = Rig::new(4, &["cooldown 0s"]);
    for _ in 0..5 {
        rig.requests(10, BLUE);
        rig.pass(3);
        rig.requests(1, BLUE);
        rig.requests(3, RETRIED);
    }
    assert_eq!(
        rig.told(),
        [
            (Kind::Failover, FIRING),
            (Kind::Failback, RESOLVED),
            (Kind::Failover, FIRING),
            (Kind::Failback, RESOLVED),
            (Kind::Flapping, FIRING),
        ]
    );
    rig.pass(301);
    assert_eq!(rig.told()[5..], [(Kind::Flapping, RESOLVED), (Kind::Failover, FIRING)], "green serves still");
}

#[test]
fn latency_fires_and_resolves() {
    let mut rig = Rig::new(2, &["window 100", "latency p95 500ms"]);
    rig.requests(60, BLUE);
    for _ in 0..6 {
        rig.now_ms += 10;
        let mut event = rig.event(BLUE, 200);
        event.latency_ms = 900;
        rig.judges[0].observe(&event, rig.now_ms);
    }
    assert_eq!(rig.told(), [(Kind::Latency, FIRING)]);
    assert_eq!((rig.last().latency_ms, rig.last().limit.as_str()), (900, "p95 500ms"));
    rig.requests(100, BLUE);
    assert_eq!(rig.told(), [(Kind::Latency, FIRING), (Kind::Latency, RESOLVED)]);
}

#[test]
fn workers_of_an_earlier_configuration_count_and_do_not_judge() {
    let mut rig = Rig::new(2, &[]);
    rig.requests(20, BLUE);
    let old = std::mem::take(&mut rig.judges);
    rig.settings = settings(&["pool blue b:1", "pool green g:1", "active green"]);
    rig.reload(2);
    let event = rig.event(BLUE, 200);
    (0..100).for_each(|_| {
        old[0].observe(&event, rig.now_ms);
    });
    assert_eq!(rig.told(), []);
    assert_eq!(rig.board.window(rig.shared()).expect("a window").counts().filled, 120);
    rig.requests(50, GREEN);
    assert_eq!(rig.told(), [], "a planned switch is no failover");
    assert_eq!(crate::report::view::State::of_traffic(rig.shared(), T0), crate::report::view::State::Ok);
}

#[test]
fn an_unlisted_pool_serves_where_none_is_set() {
    let mut rig = Rig::new(1, &[]);
    rig.settings = settings(&["window 50"]);
    rig.settings.monitors[0].name = "other".into();
    rig.reload(1);
    let shared = rig.shared();
    let (blue, green) = (shared.learn_pool(b"blue", 0), shared.learn_pool(b"green", 0));
    rig.requests(3, BLUE);
    assert_eq!((shared.active(), shared.serving()), (blue, blue));
    rig.requests(2, RETRIED);
    assert_eq!((shared.active(), shared.serving()), (blue, green));
    assert_eq!(rig.told(), [(Kind::Failover, FIRING)]);
}

#[test]
fn maintenance_in_the_middle_of_an_incident_is_silent_and_what_is_left_is_told_after() {
    let directory = std::env::temp_dir().join(format!("alert_core-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let file = directory.join("maintenance");
    let line = format!("maintenance file={}", file.display());
    let mut rig = Rig::new(2, &[&line]);
    rig.requests(10, BLUE);
    std::fs::write(&file, "").expect("a file");
    rig.pass(1);
    rig.requests(5, RETRIED);
    assert_eq!(rig.shared().incident(Kind::Failover).held_back.load(Relaxed), 1);
    assert_eq!(rig.shared().incident(Kind::Failover).fired.load(Relaxed), 0);
    std::fs::remove_dir_all(&directory).expect("removed");
    rig.pass(1);
    assert_eq!(rig.shared().incident(Kind::Failover).fired.load(Relaxed), 1);
    assert_eq!((rig.last().kind, rig.last().held_back), (Kind::Failover, 0));
}

#[test]
fn answers_in_flight_when_the_active_pool_is_changed_are_no_failover() {
    let mut rig = Rig::new(2, &[]);
    rig.requests(10, BLUE);
    let green = rig.shared().find_pool(crate::base::name::NameKey::of(b"green")).expect("a pool");
    let switched_ms = rig.now_ms;
    assert!(rig.shared().switch(green, switched_ms).is_some_and(|before| before != green));
    assert_eq!(rig.shared().switch(green, switched_ms + 1), None, "it is already");
    for _ in 0..100 {
        rig.now_ms += 50;
        let mut event = rig.event(BLUE, 200);
        event.began_ms = switched_ms;
        rig.observe(&event);
    }
    rig.requests(30, GREEN);
    rig.pass(5);
    assert_eq!(rig.told(), []);
    rig.requests(2, &[("green", 500), ("blue", 200)]);
    assert_eq!(rig.told(), [(Kind::Failover, FIRING)], "from now on green is the one that should serve");
}

#[test]
fn a_change_of_the_active_pool_ends_a_failover_that_was_told() {
    let mut rig = Rig::new(2, &[]);
    rig.requests(10, BLUE);
    rig.requests(5, RETRIED);
    let green = rig.shared().find_pool(crate::base::name::NameKey::of(b"green")).expect("a pool");
    rig.shared().switch(green, rig.now_ms);
    rig.requests(5, GREEN);
    rig.pass(2);
    assert_eq!(rig.told(), [(Kind::Failover, FIRING), (Kind::Failback, RESOLVED)]);
    assert_eq!(rig.last().headline(), "Failover is over — pool green is the active one now");
    rig.pass(1000);
    assert_eq!(rig.told().len(), 2, "no reminders");
}

#[test]
fn maintenance_ordered_at_run_time_holds_for_every_worker_until_its_time_is_over() {
    use crate::board::maintenance::Order;
    let mut rig = Rig::new(2, &[]);
    rig.requests(10, BLUE);
    rig.shared().maintenance.order(Order::Until(rig.now_ms + 5000));
    rig.requests(5, RETRIED);
    assert_eq!(rig.told(), []);
    rig.reload(2);
    rig.pass(4);
    assert_eq!(rig.told(), [], "a reload ends nothing");
    rig.pass(2);
    assert_eq!(rig.told(), [(Kind::Failover, FIRING)], "what is still wrong is told then");
}

#[test]
fn what_was_told_before_flapping_is_ended_after_it() {
    for cooldown in ["cooldown 0s", "cooldown 10s", "cooldown 300s"] {
        let mut rig = Rig::new(4, &[cooldown]);
        for _ in 0..7 {
            rig.requests(10, BLUE);
            rig.pass(3);
            rig.requests(1, BLUE);
            rig.requests(3, RETRIED);
            rig.pass(5);
        }
        rig.requests(10, BLUE);
        rig.pass(3);
        rig.requests(10, BLUE);
        rig.pass(700);
        for incident in [Kind::Failover, Kind::Flapping] {
            let told = rig.told();
            let last = told.iter().rev().find(|(kind, _)| kind.incident() == incident);
            assert!(last.is_none_or(|(_, status)| *status == RESOLVED), "{cooldown}: {told:?}");
        }
    }
}

const POOLS: [&str; 3] = ["pool blue b:1", "pool green g:1", "active blue"];

#[test]
fn a_rule_that_is_switched_off_ends_in_words_that_are_true_and_hides_no_later_alert() {
    let mut rig = Rig::new(2, &["outage on"]);
    rig.requests(10, BLUE);
    rig.requests(5, RETRIED);
    rig.requests(30, DOWN);
    let told = [Kind::Failover, Kind::ErrorRate, Kind::Outage];
    assert_eq!(rig.told(), told.map(|kind| (kind, FIRING)));
    let off = ["failover off", "error_rate off", "outage off"];
    rig.settings = settings(&[&POOLS[..], &off].concat());
    rig.reload(2);
    rig.pass(3);
    let ended = [Kind::Outage, Kind::ErrorRate, Kind::Failback];
    assert_eq!(rig.told()[3..], ended.map(|kind| (kind, RESOLVED)));
    let texts: Vec<String> = rig.board.outbox().alerts().take(3).map(|alert| alert.headline()).collect();
    assert!(texts.iter().all(|text| text.contains("is no longer watched")), "{texts:?}");

    rig.settings = settings(&POOLS);
    rig.reload(2);
    rig.requests(10, BLUE);
    rig.pass(1);
    assert_eq!(rig.told()[6..], [(Kind::ErrorRate, FIRING)], "that is so, within the cooldown of what was told before");
    rig.requests(2, RETRIED);
    assert_eq!(rig.told()[7..], [(Kind::Failover, FIRING)]);
}

#[test]
fn the_end_goes_also_to_a_sink_that_was_told_and_is_no_longer_the_monitors() {
    let mut rig = Rig::new(1, &["failover off", "outage off", "window 10", "error_rate 50%"]);
    let sinks = |rig: &Rig, at: usize| rig.board.outbox().delivery(rig.last().id, rig.plan.sinks()[at]);
    let parse = |name: &str| {
        let mut sink = SinkSettings::parse(&["slack", "http://127.0.0.1:9/"], &SystemSource).expect("a sink");
        sink.name = name.into();
        sink
    };
    rig.reload_with(1, vec![parse("before"), parse("after")], vec![0]);
    rig.requests(6, DOWN);
    assert_eq!((sinks(&rig, 0), sinks(&rig, 1)), (Delivery::Pending, Delivery::None));
    rig.reload_with(1, vec![parse("before"), parse("after")], vec![1]);
    rig.requests(10, BLUE);
    assert_eq!(rig.last().status, RESOLVED);
    assert_eq!((sinks(&rig, 0), sinks(&rig, 1)), (Delivery::Pending, Delivery::Pending));
    // Who was told the end waits for nothing more.
    rig.requests(6, DOWN);
    assert_eq!((sinks(&rig, 0), rig.last().status), (Delivery::None, FIRING));
}

#[test]
fn pools_that_are_renamed_are_neither_a_failover_nor_a_recovery() {
    let mut rig = Rig::new(2, &[]);
    rig.requests(10, BLUE);
    rig.requests(5, RETRIED);
    rig.settings = settings(&["pool red b:1", "pool black g:1", "active red"]);
    rig.reload(2);
    rig.requests(30, &[("red", 200)]);
    rig.pass(1);
    assert_eq!(rig.told(), [(Kind::Failover, FIRING), (Kind::Failback, RESOLVED)]);
    assert!(rig.last().headline().contains("is no longer watched"), "{}", rig.last().headline());
    rig.requests(2, &[("red", 500), ("black", 200)]);
    assert_eq!(rig.told()[2..], [(Kind::Failover, FIRING)]);
    let alert = rig.last();
    assert_eq!((alert.from.name.as_str(), alert.to.name.as_str()), ("red", "black"));
}

#[test]
fn renamed_pools_of_which_none_is_set_to_be_active_are_no_failover() {
    let mut rig = Rig::new(1, &[]);
    rig.settings = settings(&["pool blue b:1", "pool green g:1"]);
    rig.reload(1);
    rig.requests(10, BLUE);
    rig.settings = settings(&["pool red b:1", "pool black g:1"]);
    rig.reload(1);
    rig.requests(50, &[("red", 200)]);
    rig.pass(1);
    assert_eq!(rig.told(), []);
    assert_eq!(rig.shared().active(), rig.shared().serving());
    rig.requests(2, &[("red", 500), ("black", 200)]);
    assert_eq!(rig.told(), [(Kind::Failover, FIRING)]);
}

#[test]
fn an_outage_is_told_at_the_tenth_failure_in_a_row_and_its_end_after_ten_answers() {
    for workers in [1, 4] {
        let mut rig = Rig::new(workers, &["error_rate off"]);
        rig.requests(20, BLUE);
        rig.requests(9, DOWN);
        rig.requests(1, BLUE);
        rig.requests(9, DOWN);
        assert_eq!(rig.told(), []);
        rig.requests(1, DOWN);
        assert_eq!(rig.told(), [(Kind::Outage, FIRING)]);
        assert_eq!(rig.last().headline(), "Outage — the last 10 requests all failed; no pool answers");
        rig.requests(50, DOWN);
        rig.requests(9, BLUE);
        assert_eq!(rig.told().len(), 1);
        rig.requests(1, BLUE);
        assert_eq!(rig.told()[1..], [(Kind::Outage, RESOLVED)], "{workers} workers");
    }
}

#[test]
fn clients_that_give_up_are_an_outage_and_a_rate_of_their_own() {
    let mut rig = Rig::new(2, &["window 40", "abandon_rate 10%"]);
    rig.requests(20, BLUE);
    for _ in 0..20 {
        rig.now_ms += 2000;
        let mut event = rig.event(&[("blue", 0)], 499).finish(ClientGot::Nothing);
        event.began_ms = rig.now_ms - 1500;
        rig.observe(&event);
    }
    assert_eq!(rig.told(), [(Kind::AbandonRate, FIRING), (Kind::Outage, FIRING)]);
    let alert = rig.board.outbox().alerts().last().expect("the first");
    assert_eq!(
        alert.headline(),
        "Clients give up waiting — 20.00% over last 25 requests (5 abandoned). Threshold: 10%"
    );
    rig.requests(40, BLUE);
    let mut ends = rig.told().split_off(2);
    ends.sort_by_key(|(kind, _)| *kind as u8);
    assert_eq!(ends, [(Kind::Outage, RESOLVED), (Kind::AbandonRate, RESOLVED)]);
}

#[test]
fn old_downloads_that_break_off_are_no_outage() {
    let mut rig = Rig::new(1, &["error_rate off"]);
    rig.now_ms += 60_000;
    let began_ms = rig.now_ms;
    rig.requests(10, BLUE);
    for _ in 0..30 {
        let mut event = rig.event(&[("green", 502)], 200).finish(ClientGot::Failure);
        event.began_ms = began_ms;
        rig.observe(&event);
    }
    assert_eq!(rig.told(), [], "blue has answered since they began");
}

/// A request that got its header long before it ended: a WebSocket, a download.
fn long(rig: &Rig, pool: &'static str, header_ms: u64) -> Event {
    let mut event = rig.event(&[(pool, 200)], 200);
    (event.began_ms, event.header_ms) = (header_ms - 1, header_ms);
    event
}

#[test]
fn websockets_of_a_stand_in_that_end_after_the_way_back_are_no_failover() {
    let mut rig = Rig::new(1, &["cooldown 0s"]);
    rig.requests(10, BLUE);
    rig.requests(10, RETRIED);
    let opened_ms = rig.now_ms;
    for _ in 0..12 {
        rig.requests(1, BLUE);
        rig.pass(1);
    }
    let told = rig.told();
    assert_eq!(told, [(Kind::Failover, FIRING), (Kind::Failback, RESOLVED)]);
    for _ in 0..30 {
        let event = long(&rig, "green", opened_ms);
        rig.observe(&event);
    }
    rig.pass(3);
    assert_eq!((rig.told(), rig.shared().serving()), (told, rig.shared().active()));
}

#[test]
fn websockets_of_a_dying_primary_are_no_recovery() {
    let mut rig = Rig::new(1, &[]);
    rig.requests(10, BLUE);
    let opened_ms = rig.now_ms;
    rig.requests(2, RETRIED);
    for _ in 0..15 {
        rig.now_ms += 300;
        let event = long(&rig, "blue", opened_ms);
        rig.observe(&event);
    }
    rig.requests(5, GREEN);
    assert_eq!(rig.told(), [(Kind::Failover, FIRING)]);
}

/// Numbers from 0 to 99, as good as chance.
fn hundreds() -> impl FnMut() -> u64 {
    let mut seed: u64 = 0x9e37_79b9_7f4a_7c15;
    move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % 100
    }
}

#[test]
fn hiccups_of_a_primary_beside_a_canary_are_no_failover_and_its_death_is_one() {
    for (share_of_blue, workers) in [(50, 1), (50, 4), (90, 1), (90, 4), (99, 1)] {
        let mut rig = Rig::new(workers, &["retry_rate off"]);
        let mut hundred = hundreds();
        let mut split = |rig: &mut Rig, requests: usize, hiccups: u64| {
            for _ in 0..requests {
                match (hundred() < share_of_blue, hundred() < hiccups) {
                    (true, true) => rig.requests(1, RETRIED),
                    (true, false) => rig.requests(1, BLUE),
                    (false, _) => rig.requests(1, GREEN),
                }
            }
        };
        split(&mut rig, 1000, 0);
        split(&mut rig, 10_000, 1);
        assert_eq!(rig.told(), [], "{share_of_blue} %, {workers} workers");
        // Blue is dead: what was sent to it is retried at green.
        split(&mut rig, 200, 100);
        assert_eq!(rig.told(), [(Kind::Failover, FIRING)], "{share_of_blue} %");
        split(&mut rig, 1000, 0);
        assert_eq!(rig.told()[1..], [(Kind::Failback, RESOLVED)], "{share_of_blue} %");
        split(&mut rig, 2000, 0);
        assert_eq!(rig.told().len(), 2);
    }
}

#[test]
fn clients_that_send_much_at_once_to_the_pool_of_their_key_are_no_failover_and_a_move_of_all_is_one() {
    for (workers, moved) in [(1, GREEN), (4, GREEN), (1, RETRIED), (4, RETRIED)] {
        let mut rig = Rig::new(workers, &["retry_rate off"]);
        (0..100).for_each(|_| [BLUE, GREEN].into_iter().for_each(|pool| rig.requests(1, pool)));
        for burst in 0..20 {
            rig.requests(10 + 2 * burst, BLUE);
            rig.requests(1, RETRIED);
            rig.requests(10 + 2 * burst, BLUE);
            rig.requests(10 + 2 * burst, GREEN);
        }
        assert_eq!(rig.told(), [], "{workers} workers");
        rig.requests(300, moved);
        assert_eq!(rig.told(), [(Kind::Failover, FIRING)], "{workers} workers");
        assert_eq!(rig.last().no_failure_seen, moved == GREEN);
    }
}

#[test]
fn a_pool_that_sends_its_clients_on_to_a_storage_serves_and_another_that_does_takes_over() {
    // `X-Accel-Redirect` to a server that is in no pool.
    let sent_on = |pool: &'static str| vec![(pool, 200), ("storage", 200)];
    for workers in [1, 4] {
        let mut rig = Rig::new(workers, &[]);
        rig.requests(10, &sent_on("blue"));
        let failed_over = [vec![("blue", 502)], sent_on("green")].concat();
        rig.requests(1, &failed_over);
        rig.requests(10, &sent_on("blue"));
        rig.requests(1, &failed_over);
        assert_eq!(rig.told(), [], "a hiccup, {workers} workers");
        rig.requests(1, &failed_over);
        assert_eq!(rig.told(), [(Kind::Failover, FIRING)], "{workers} workers");
        // An error page of another service says nothing of blue.
        rig.requests(50, &[("green", 502), ("storage", 200)]);
        assert_eq!((rig.told().len(), rig.shared().serving()), (1, rig.shared().stand_in()), "{:?}", rig.told());
    }
}

#[test]
fn flapping_is_told_once_however_long_it_goes_on() {
    let mut rig = Rig::new(2, &["cooldown 10s", "retry_rate off"]);
    for _ in 0..60 {
        rig.requests(10, BLUE);
        rig.pass(3);
        rig.requests(1, BLUE);
        rig.requests(3, RETRIED);
        rig.pass(15);
    }
    let flapping = |rig: &Rig| rig.told().into_iter().filter(|(kind, _)| *kind == Kind::Flapping).collect::<Vec<_>>();
    assert_eq!(flapping(&rig), [(Kind::Flapping, FIRING)]);
    rig.pass(400);
    assert_eq!(flapping(&rig), [(Kind::Flapping, FIRING), (Kind::Flapping, RESOLVED)]);
}

#[test]
fn retries_while_failed_over_remind_nobody() {
    let mut rig = Rig::new(1, &["window 20", "retry_rate 10%", "cooldown 10s"]);
    rig.requests(10, BLUE);
    for _ in 0..3 {
        rig.requests(1, RETRIED);
        rig.requests(1, BLUE);
    }
    assert_eq!(rig.told(), [(Kind::RetryRate, FIRING)]);
    rig.requests(4, RETRIED);
    rig.pass(100);
    let reminders = rig.board.outbox().alerts().filter(|alert| alert.kind == Kind::RetryRate && alert.reminder).count();
    assert_eq!((reminders, rig.told()[1]), (0, (Kind::Failover, FIRING)));
}

#[test]
fn a_window_that_begins_anew_resolves_nothing_while_the_outage_goes_on() {
    let mut rig = Rig::new(2, &["outage off", "failover off"]);
    rig.requests(100, BLUE);
    rig.requests(20, DOWN);
    assert_eq!(rig.told(), [(Kind::ErrorRate, FIRING)]);
    rig.settings = settings(&[&POOLS[..], &["window 300", "outage off", "failover off"]].concat());
    rig.reload(2);
    rig.pass(5);
    rig.requests(49, BLUE);
    assert_eq!(rig.told().len(), 1, "too few to say that it is over");
    rig.requests(1, BLUE);
    assert_eq!(rig.told()[1..], [(Kind::ErrorRate, RESOLVED)]);
}

#[test]
fn what_is_too_old_leaves_before_anything_is_told() {
    let mut rig = Rig::new(1, &["window 200 max_age=10s", "outage off", "failover off"]);
    rig.requests(100, BLUE);
    rig.requests(4, DOWN);
    // No tick in between: the next request is the first to look.
    rig.now_ms += 60_000;
    rig.requests(4, DOWN);
    assert_eq!(rig.told(), []);
    rig.requests(1, DOWN);
    assert_eq!((rig.told().len(), rig.last().window.failed, rig.last().window.filled), (1, 5, 5));
    rig.pass(12);
    assert_eq!(rig.told()[1..], [(Kind::ErrorRate, RESOLVED)], "with an age, also without traffic");
}

#[test]
fn figures_that_one_pool_hides_of_another_are_in_the_message() {
    let mut rig = Rig::new(1, &["failover off", "error_rate 2%"]);
    rig.requests(1, &[("blue", 500)]);
    rig.requests(150, BLUE);
    rig.requests(30, GREEN);
    rig.requests(4, &[("green", 503)]);
    let figures: Vec<_> = rig.last().pools.into_iter().map(|pool| (pool.name, pool.count, pool.requests)).collect();
    assert_eq!(figures, [("green".to_string(), 4, 34), ("blue".to_string(), 1, 151)]);
}

#[test]
fn a_message_says_for_how_long_the_release_of_each_pool_has_been_there() {
    let mut rig = Rig::new(2, &["failover off", "outage off", "window 40"]);
    let release = |pool: usize, name: &str| rig.shared().pools[pool].release.store(name.as_bytes());
    release(1, "v41");
    rig.pass(300);
    let release = |pool: usize, name: &str| rig.shared().pools[pool].release.store(name.as_bytes());
    release(2, "v42");
    rig.pass(50);
    rig.requests(20, BLUE);
    rig.requests(5, GREEN);
    rig.requests(5, &[("green", 503)]);
    let text = rig.last().plain_text();
    let told = text.lines().find(|line| line.starts_with("By pool: ")).unwrap_or_default();
    assert!(told.starts_with("By pool: green (v42 for 49."), "{text}");
    assert!(told.contains(", blue (v41 for 5m 49s) 0.0% of 20"), "{text}");
}

#[test]
fn first_attempts_are_counted_where_they_were_made_and_retries_are_not() {
    let mut rig = Rig::new(2, PROBED);
    rig.requests(10, BLUE);
    rig.requests(5, RETRIED);
    let rollout = rig.board.rollout(&rig.plan, 0).expect("a rollout");
    let counts = |pool: usize| {
        let first = rollout.first_attempts(rig.plan.pools(0)[pool]);
        (first.answered.load(Relaxed), first.failed.load(Relaxed))
    };
    assert_eq!((counts(0), counts(1)), ((10, 5), (0, 0)));
}

#[test]
fn a_worker_alone_tells_at_the_second_request_whatever_the_ticks_of_the_clock() {
    let mut rig = Rig::new(1, &[]);
    let instant = rig.now_ms;
    for attempts in [BLUE, BLUE, RETRIED, RETRIED] {
        rig.now_ms = instant;
        rig.requests(1, attempts);
    }
    assert_eq!(rig.told(), [(Kind::Failover, FIRING)]);
}

#[test]
fn a_wait_for_one_row_lets_no_other_row_take_over() {
    let mut rig = Rig::new(2, &[]);
    for pid in [10, 11] {
        rig.board.workers().join(pid, rig.plan.generation, T0).expect("a place");
    }
    let mut now = Instant::now();
    let answers = |rig: &mut Rig, worker: usize, requests: &[&[(&str, u16)]]| {
        for attempts in requests {
            rig.now_ms += 1;
            rig.judges[worker].observe(&rig.event(attempts, 200), rig.now_ms);
        }
    };
    answers(&mut rig, 0, &[BLUE, RETRIED, RETRIED]);
    assert!(rig.judges[0].commit(rig.now_ms, now).waiting);
    // Blue goes on, and fails again, as another worker sees. The row that this confirms has not been waited for.
    answers(&mut rig, 1, &[BLUE, RETRIED, RETRIED]);
    now += 2 * SETTLE;
    assert!(rig.judges[0].commit(rig.now_ms, now).waiting);
    assert_eq!(rig.told(), []);
    assert!(rig.judges[0].commit(rig.now_ms, now).waiting);
    now += 2 * SETTLE;
    // Now it has, also where the other worker was killed.
    assert!(rig.judges[0].commit(rig.now_ms, now).told);
    assert_eq!(rig.told(), [(Kind::Failover, FIRING)]);
}

#[test]
fn what_a_killed_worker_left_half_done_is_mended_by_another() {
    // No process has so high a number.
    const KILLED: u32 = u32::MAX;
    let mut rig = Rig::new(1, &["window 3"]);
    let workers = rig.board.workers();
    let [killed, own] = [KILLED, std::process::id()].map(|pid| workers.join(pid, 1, rig.now_ms).expect("a place"));
    rig.requests(3, &[("blue", 500)]);
    let window = rig.board.window(rig.shared()).expect("a window");
    // Killed between the swap and the adjustment: three words say one thing and the counts another.
    let extent = rig.shared().window.load();
    let words = rig.region.slice(extent.offset as usize, extent.len as usize).expect("a window");
    words.last().expect("a ring").store(0, Relaxed);
    assert_eq!((window.counts().failed, window.samples().count()), (3, 2));
    let mend = || {
        own.begin_judging();
        rig.judges[0].mend(own, rig.now_ms);
        own.end_judging();
        window.counts().failed
    };
    assert_eq!(mend(), 3, "nobody says that it was killed");
    killed.begin_judging();
    assert_eq!((mend(), workers.torn().count()), (2, 0));
}

const PROBED: &[&str] = &["probe /healthz"];

impl Rig {
    /// Three probes of the address of a pool have ended like this.
    fn probed(&self, pool: usize, error: &str) {
        let rollout = self.board.rollout(&self.plan, 0).expect("a rollout");
        let addresses = &self.settings.monitors[0].pools[pool].1;
        let probed = rollout.probes_of(self.shared(), addresses).next().expect("an address");
        let passed = error.is_empty();
        probed.error.store(error.as_bytes());
        probed.streak.store(Streak { up: Some(passed), passed, length: 3, at_ms: self.now_ms });
    }
}

#[test]
fn a_standby_that_could_not_take_over_is_told_once_and_its_return_as_well() {
    let mut rig = Rig::new(2, PROBED);
    rig.requests(5, BLUE);
    rig.probed(0, "");
    rig.probed(1, "connection refused");
    rig.pass(1);
    let alert = rig.last();
    assert_eq!((alert.kind, alert.status, alert.to.name.as_str()), (Kind::Probe, Status::Firing, "green"));
    assert_eq!(
        alert.headline(),
        "Standby is down — green does not pass its probe (connection refused); nothing is left to fail over to"
    );
    assert!(alert.plain_text().contains("\nProbe of g:1: connection refused\n"), "{}", alert.plain_text());
    rig.probed(1, "connection refused");
    rig.pass(3);
    assert_eq!(rig.board.outbox().alerts().count(), 1);
    rig.probed(0, "");
    rig.probed(1, "");
    rig.pass(1);
    assert_eq!(
        (rig.last().status, rig.last().headline().as_str()),
        (Status::Resolved, "All pools pass their probes again")
    );
}

#[test]
fn a_pool_that_died_while_nobody_asked_is_told() {
    let mut rig = Rig::new(2, PROBED);
    rig.requests(5, BLUE);
    rig.probed(0, "answered 503");
    rig.probed(1, "");
    rig.pass(1);
    assert_eq!(rig.last().headline(), "Blue does not pass its probe — answered 503");
    assert_eq!(rig.last().symbol(), "⚠️");
}

#[test]
fn probes_say_nothing_of_what_traffic_has_told() {
    let mut rig = Rig::new(1, PROBED);
    rig.requests(5, BLUE);
    rig.requests(5, RETRIED);
    rig.pass(1);
    assert_eq!(rig.last().kind, Kind::Failover);
    rig.probed(0, "connection refused");
    rig.probed(1, "");
    rig.pass(1);
    assert_eq!(rig.last().kind, Kind::Failover, "that blue is down is known");
}

#[test]
fn what_probes_say_of_a_pool_that_takes_over_is_the_rollouts_to_tell() {
    let mut rig = Rig::new(1, PROBED);
    rig.requests(5, BLUE);
    let (from, to) = (rig.plan.pools(0)[0], rig.plan.pools(0)[1]);
    let rollout = rig.board.rollout(&rig.plan, 0).expect("a rollout");
    rollout.state.store(State { phase: Phase::Probing, from, to, at_s: T0 / 1000 });
    rig.probed(0, "");
    rig.probed(1, "connection refused");
    rig.pass(1);
    assert_eq!(rig.board.outbox().alerts().count(), 0);
}

#[test]
fn probes_that_are_switched_off_end_what_they_told() {
    let mut rig = Rig::new(1, PROBED);
    rig.requests(5, BLUE);
    rig.probed(1, "timed out");
    rig.pass(1);
    assert_eq!(rig.last().kind, Kind::Probe);
    rig.settings.monitors[0].rollout.probe = None;
    rig.reload(1);
    rig.pass(1);
    assert_eq!((rig.last().kind, rig.last().status), (Kind::Probe, Status::Resolved));
    assert_eq!(rig.last().headline(), "Probes are off — pools are no longer asked");
}

#[test]
fn the_end_of_what_probes_told_waits_for_the_end_of_maintenance() {
    use crate::board::maintenance::Order;
    let mut rig = Rig::new(1, PROBED);
    rig.requests(5, BLUE);
    rig.probed(0, "");
    rig.probed(1, "timed out");
    rig.pass(1);
    rig.shared().maintenance.order(Order::On);
    rig.probed(1, "");
    rig.pass(1);
    assert_eq!(rig.told(), [(Kind::Probe, FIRING)]);
    rig.shared().maintenance.order(Order::Off);
    rig.pass(1);
    assert_eq!(rig.told(), [(Kind::Probe, FIRING), (Kind::Probe, RESOLVED)]);
}

#[test]
fn only_a_first_attempt_that_failed_at_the_pool_of_its_client_is_a_vote() {
    let mut rig = Rig::new(1, PROBED);
    let (from, to) = (rig.plan.pools(0)[0], rig.plan.pools(0)[1]);
    let rollout = rig.board.rollout(&rig.plan, 0).expect("a rollout");
    let number = crate::rollout::state::Step { number: 1, told: false };
    rollout.state.store(State { phase: Phase::Step(number), from, to, at_s: T0 / 1000 });
    rollout.share.store(Share::new(to, 5000, T0));
    rollout.begin_votes(1, edge(5000));
    let mut bucket = 0;
    let mut votes = |attempts: &[(&str, u16)], client: u16| {
        bucket += 1;
        let event = rig.event(attempts, client).assigned_to(Some((to, bucket)));
        let before = rollout.ballots[0].tally().cast;
        rig.observe(&event);
        rollout.ballots[0].tally().cast - before
    };
    for (attempts, client) in [
        (&[("green", 200)][..], 200),
        (&[("green", 404)], 404),
        (&[("green", 0)], 499),
        (&[("green", 200), ("green", 500)], 500),
        // `max_fails` has sent it elsewhere, or what it was sent to first has failed and green is what is left.
        (&[("blue", 500)], 500),
        (&[("blue", 500), ("green", 500)], 502),
    ] {
        assert_eq!(votes(attempts, client), 0, "{attempts:?} {client}");
    }
    for (attempts, client) in [
        (&[("green", 500)][..], 500),
        (&[("green", 502), ("blue", 200)], 200),
        (&[("green", 504), ("green", 200)], 200),
        // No server was left to ask.
        (&[("", 502)], 502),
        (&[], 502),
    ] {
        assert_eq!(votes(attempts, client), 1, "{attempts:?} {client}");
    }
    let [of_green, of_blue] = rollout.attempts();
    assert_eq!((of_green.failed, of_blue.failed), (5, 0));
}
