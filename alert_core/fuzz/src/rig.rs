//! A board on which things have happened, and everything that reads a board.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use alert_core::base::log;
use alert_core::base::name::NameKey;
use alert_core::board::outbox::Delivery;
use alert_core::board::region::Region;
use alert_core::board::sink::SinkId;
use alert_core::board::{Board, Plan};
use alert_core::deliver::coalesce::notifications;
use alert_core::detect::judge::Judge;
use alert_core::model::alert::{Alert, Kind};
use alert_core::model::event::Event;
use alert_core::model::ids::{PeerId, PoolId};
use alert_core::report::view::Source;
use alert_core::report::{json, page, prometheus};
use alert_core::settings::{MonitorReader, Settings};
use alert_core::sink::settings::{SinkSettings, SystemSource, name_sinks};

/// The time at which it begins.
pub const T0: u64 = 1_790_000_000_000;
/// Bytes of a board with room for two configurations.
const BYTES: usize = 512 << 10;

thread_local! {
    /// A region lives as long as its process, so every run of a thread uses the same.
    static REGION: Region = Region::private(BYTES);
}

/// A board with its configuration.
pub struct Rig {
    /// The memory below it.
    pub region: Region,
    /// The board.
    pub board: Board,
    /// Where the configuration lies.
    pub plan: Plan,
    /// The configuration.
    pub settings: Settings,
}

/// Two monitors and two sinks.
pub fn settings(window: u32) -> Settings {
    let lines = [
        &["pool blue b:1", "pool green g:1", "active blue", "latency p95 50ms", "cooldown 1s"][..],
        &["max_age", "error_rate 10%", "maintenance off"],
    ];
    let monitor = |(name, lines): (&str, &[&str])| {
        let mut reader = MonitorReader::new(name).expect("a name");
        for line in lines {
            let line = if *line == "max_age" { format!("window {window} max_age=1m") } else { (*line).to_owned() };
            let words: Vec<&str> = line.split(' ').collect();
            reader.directive(&words, &mut |address| Ok(vec![address.into()])).expect("a directive");
        }
        reader.finish().expect("a monitor")
    };
    let sink = |words: &[&str]| SinkSettings::parse(words, &SystemSource).expect("a sink");
    let mut sinks = [sink(&["slack", "http://127.0.0.1:9/"]), sink(&["alertmanager", "http://127.0.0.1:9/"])];
    name_sinks(&mut sinks).expect("no name twice");
    Settings {
        monitors: ["app", "api"].into_iter().zip(lines).map(monitor).collect(),
        sinks: sinks.into(),
        instance: "edge-1".into(),
        nginx: "1.28.0".into(),
        state: None,
        ..Settings::default()
    }
}

/// Memory that is all zero.
pub fn region() -> Region {
    let region = REGION.with(|region| *region);
    region.slice(0, region.words()).expect("all of it").iter().for_each(|word| word.store(0, Relaxed));
    region
}

impl Rig {
    /// A new board in force.
    pub fn new() -> Rig {
        let (region, settings) = (region(), settings(20));
        let board = Board::open(region, T0).expect("a board");
        let plan = board.activate(board.reserve(&settings, T0).expect("room"), &settings);
        Rig { region, board, plan, settings }
    }

    /// The same after some traffic.
    pub fn busy() -> Rig {
        let rig = Rig::new();
        rig.board.workers().join(1, rig.plan.generation, T0).expect("a place");
        rig.work(T0, 60);
        rig
    }

    /// What the status is made of.
    pub fn status(&self, now_ms: u64) -> Source<'_> {
        Source { board: self.board, plan: &self.plan, settings: &self.settings, now_ms, step_ms: 0 }
    }

    /// Judges traffic that moves between the pools.
    pub fn work(&self, from_ms: u64, events: u64) {
        let (log, lines) = log::queue();
        let mut judge = Judge::new(self.board, &self.plan, &self.settings, log);
        for number in 0..events {
            let now_ms = from_ms + number * 300;
            let pool = PoolId::new(if number / 25 % 2 == 0 { 1 } else { 2 });
            let status = if number % 7 == 0 { 503 } else { 200 };
            let attempts = [(PoolId::new(3 - pool.get()), PeerId::new(0), 502), (pool, PeerId::new(1), status)];
            let attempts = if number % 4 == 0 { &attempts[..] } else { &attempts[1..] };
            let mut event = Event::of_statuses((number % 3) as u16, now_ms, attempts, status);
            event.latency_ms = (number % 90) as u32;
            judge.observe(&event, now_ms);
            judge.commit(now_ms, Instant::now());
            if number % 8 == 0 {
                judge.tick(now_ms);
            }
        }
        lines.drain().for_each(drop);
    }

    /// Does once what a courier does at each look, with every answer that a service can give.
    pub fn deliver(&self, now_ms: u64) {
        let outbox = self.board.outbox();
        for (sink, state) in self.plan.sinks().iter().zip([Delivery::Sent, Delivery::Failed]) {
            let shared = self.board.sinks().get(*sink);
            shared.lease.take(2, self.board.workers(), now_ms);
            let alerts = |ids: &[u64]| -> Vec<Alert> { ids.iter().filter_map(|id| outbox.get(*id)).collect() };
            let firing = alerts(&outbox.firing(*sink));
            for notification in notifications(alerts(&outbox.pending(*sink))) {
                notification.told.iter().for_each(|id| outbox.mark(*id, *sink, state));
                notification.left_out.iter().for_each(|id| outbox.mark(*id, *sink, Delivery::HeldBack));
            }
            assert!(outbox.pending(*sink).is_empty(), "an alert would be told for ever");
            firing.iter().for_each(|alert| drop(alert.plain_text()));
            shared.lease.release(2);
        }
        outbox.newly_lost(now_ms);
    }

    /// Asks everything that reads a board.
    pub fn look(&self, now_ms: u64) {
        let status = self.status(now_ms);
        let page =
            page::render(&status, &page::Asked { path: "/alert", query: "monitor=api", control: Some("/control") })
                .into_bytes();
        let overview = page::render(&status, &page::Asked { path: "/alert/", ..page::Asked::default() }).into_bytes();
        for text in [json::render(&status), prometheus::render(&status), page, overview] {
            assert!(text.len() < 1 << 20, "{} bytes", text.len());
        }
        for number in 0..self.settings.monitors.len() {
            let Some(monitor) = self.board.monitor(&self.plan, number) else { continue };
            assert!(monitor.history.points(monitor, now_ms).len() <= alert_core::board::history::STEPS + 1);
            for kind in Kind::ALL {
                monitor.is_raised(kind);
            }
            for pool in 0..=u8::MAX {
                let pool = PoolId::new(pool);
                drop((monitor.pool(pool).name.load(), monitor.address_of(pool)));
            }
            monitor.find_peer(NameKey::of(b"b:1"));
            if let Some(window) = self.board.window(monitor) {
                let (counts, size) = (window.counts(), window.size());
                assert!([counts.failed, counts.retried, counts.slow, counts.filled].iter().all(|count| *count <= size));
                assert!(window.samples().count() <= size as usize);
            }
        }
        for sink in SinkId::all() {
            self.board.outbox().pending(sink);
            self.board.outbox().firing(sink);
        }
        self.board.outbox().alerts().for_each(|alert| drop((alert.plain_text(), alert.to_json())));
        let workers = self.board.workers();
        assert!(workers.alive(now_ms).count() <= alert_core::board::worker::WORKERS_MAX);
        workers.dropped();
        workers.oldest_generation(now_ms);
        self.board.fingerprint();
        assert!(self.board.snapshot(now_ms, now_ms).bytes.len() < 2 * BYTES);
    }

    /// Reads another configuration, as a reload does. One that finds no room leaves the board as it is.
    pub fn reload(&mut self, window: u32, now_ms: u64) {
        let settings = settings(window);
        if let Ok(reservation) = self.board.reserve(&settings, now_ms) {
            (self.plan, self.settings) = (self.board.activate(reservation, &settings), settings);
        }
    }
}

impl Default for Rig {
    fn default() -> Rig {
        Rig::new()
    }
}
