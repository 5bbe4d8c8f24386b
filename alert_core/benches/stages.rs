//! Each stage of the way from a finished request to a message, by itself: `cargo bench --package alert_core`.

use std::hint::black_box;
use std::time::Instant;

use alert_core::base::log;
use alert_core::board::monitor::MonitorBoard;
use alert_core::board::outbox::Delivery;
use alert_core::board::region::Region;
use alert_core::board::{Board, Plan, needed_bytes};
use alert_core::deliver::coalesce::notifications;
use alert_core::detect::judge::Judge;
use alert_core::model::alert::{Alert, Status};
use alert_core::model::event::Event;
use alert_core::model::ids::{PeerId, PoolId};
use alert_core::model::success::{Answered, SourceId, Success};
use alert_core::settings::text;

use alert_core::engine::Engine;
use alert_core::model::outcome::Outcome;
use alert_core::observe::fast_path::Address;
use alert_core::observe::peers::PeerMap;
use alert_core::rules::limit::Percent;
use alert_core::settings::Settings;
use alert_core::sink::settings::SystemSource;
use criterion::{BatchSize, BenchmarkId, Criterion};

const BLUE: &str = "127.0.0.1:8081";
/// The time by nginx's clock, which costs no system call.
const NOW: u64 = 1_790_000_000_000;

/// A board with one monitor, as one worker has it.
struct Bench {
    settings: Settings,
    board: Board,
    plan: Plan,
}

impl Bench {
    fn new(window: u32) -> Bench {
        let text = format!(
            "alert_notify slack http://127.0.0.1:9/;
             alert_monitor app {{ pool blue {BLUE}; pool green 127.0.0.1:8082; active blue; window {window}; }}"
        );
        let settings = text::read(&text, &SystemSource).expect("a configuration");
        let board = Board::open(Region::private(needed_bytes(&settings)), NOW).expect("a board");
        let plan = board.activate(board.reserve(&settings, NOW).expect("room"), &settings);
        Bench { settings, board, plan }
    }

    fn judge(&self) -> Judge {
        Judge::new(self.board, &self.plan, &self.settings, log::queue().0)
    }

    fn monitor(&self) -> &'static MonitorBoard {
        self.board.monitor(&self.plan, 0).expect("a monitor")
    }

    /// Requests with these attempts, each a place in the list of pools and a status.
    fn event(&self, attempts: &[(usize, u16)]) -> Event {
        let pools = self.plan.pools(0);
        let of_pool = |(pool, status): &(usize, u16)| (pools[*pool], PeerId::new(*pool as u8), *status);
        let client = attempts.last().map_or(0, |(_, status)| *status);
        Event::of_statuses(0, NOW, &attempts.iter().map(of_pool).collect::<Vec<_>>(), client)
    }

    /// The alert of a failover.
    fn alert(&self) -> Alert {
        let mut judge = self.judge();
        for attempts in [[(0, 200)].as_slice(), &[(0, 500), (1, 200)], &[(0, 500), (1, 200)], &[(0, 500), (1, 200)]] {
            judge.observe(&self.event(attempts), NOW);
            judge.commit(NOW, Instant::now());
        }
        self.board.outbox().alerts().next().expect("a failover is told")
    }
}

fn event(c: &mut Criterion) {
    let bench = Bench::new(200);
    c.bench_function("event", |b| b.iter(|| bench.event(black_box(&[(0, 200)]))));
}

/// A usual answer into the ring, and anything else into the channel, while the detector empties them; more than they
/// hold are dropped, which is part of the price.
fn intake(c: &mut Criterion) {
    let Bench { settings, board, plan } = &Bench::new(200);
    let (worker, event_loop) =
        Engine::start(*board, plan, settings, std::process::id(), || {}, false).expect("threads");
    let servers = PeerMap::of_monitors(*board, plan, settings).remove(0);
    let origin = SourceId::new(0, plan.pools(0)[0], PeerId::new(0));
    let usual = servers.usual::<()>();
    let address = Address { text: BLUE.as_bytes(), lies_at: BLUE.as_ptr().addr(), lasts: true };
    usual.remember(address, b"v1.2.3", None, origin);
    c.bench_function("usual", |b| {
        b.iter(|| {
            usual
                .find(black_box(address.lies_at), || Some(address.text))
                .is_some_and(|known| known.has_release(black_box(b"v1.2.3")))
        });
    });
    c.bench_function("server", |b| b.iter(|| servers.server(black_box(BLUE.as_bytes()), b"", 0)));
    let answer = Answered { time_ms: NOW, began_ago_ms: 1, header_ms: 1, origin };
    c.bench_function("producer", |b| b.iter(|| event_loop.answered(black_box(answer))));
    c.bench_function("channel", |b| b.iter(|| worker.intake().push(black_box(Success::from(answer).into()))));
    assert!(worker.stop(std::time::Duration::from_secs(5)));
}

fn judge(c: &mut Criterion) {
    for (name, attempts) in [("answered", [(0, 200)].as_slice()), ("retried", &[(0, 500), (1, 200)])] {
        let bench = Bench::new(200);
        let (judge, event) = (bench.judge(), bench.event(attempts));
        c.bench_with_input(BenchmarkId::new("judge", name), &event, |b, event| {
            b.iter(|| judge.observe(black_box(event), event.time_ms));
        });
    }
}

fn window(c: &mut Criterion) {
    for size in [200, 10_000, 100_000] {
        let bench = Bench::new(size);
        let window = bench.board.window(bench.monitor()).expect("a window");
        c.bench_with_input(BenchmarkId::new("window", size), &window, |b, window| {
            b.iter(|| window.record(black_box(NOW), 1, Outcome::Answered, PoolId::NONE));
        });
    }
}

fn rule(c: &mut Criterion) {
    let share = Percent::parse("2%").expect("a share");
    c.bench_function("rule", |b| b.iter(|| share.judge(black_box(3), black_box(200))));
    let bench = Bench::new(200);
    let pool = bench.plan.pools(0)[0];
    c.bench_function("failover", |b| b.iter(|| bench.monitor().is_steady(black_box(pool))));
}

fn outbox(c: &mut Criterion) {
    let bench = Bench::new(200);
    let alert = Alert { status: Status::Info, ..bench.alert() };
    let outbox = bench.board.outbox();
    c.bench_function("outbox/publish", |b| {
        b.iter(|| outbox.publish(black_box(&alert), bench.plan.sinks(), Delivery::Sent));
    });
    c.bench_function("outbox/pending", |b| b.iter(|| outbox.pending(bench.plan.sinks()[0])));
}

fn rendering(c: &mut Criterion) {
    let alert = Bench::new(200).alert();
    c.bench_function("notification", |b| b.iter_batched(|| vec![alert.clone()], notifications, BatchSize::SmallInput));
    c.bench_function("rendering", |b| b.iter(|| black_box(&alert).to_json().to_string()));
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for stage in [event, intake, judge, window, rule, outbox, rendering] {
        stage(&mut criterion);
    }
    criterion.final_summary();
}
