//! What it costs the event loop to report on a hundred monitors: `cargo bench --package alert_core --bench reports`.

use std::hint::black_box;
use std::time::Instant;

use alert_core::base::log;
use alert_core::board::region::Region;
use alert_core::board::{Board, Plan, needed_bytes};
use alert_core::detect::judge::Judge;
use alert_core::model::event::Event;
use alert_core::model::ids::PeerId;
use alert_core::report::view::{Scope, Source};
use alert_core::report::{json, page, prometheus};
use alert_core::settings::{Settings, text};
use alert_core::sink::settings::SystemSource;
use criterion::Criterion;

const MONITORS: usize = 100;
const NOW: u64 = 1_790_000_000_000;

/// A board on which every monitor has a full window, both pools have answered, and a failover was told.
struct Bench {
    settings: Settings,
    board: Board,
    plan: Plan,
}

impl Bench {
    fn new() -> Bench {
        let monitor = |number: usize| {
            format!(
                "alert_monitor service-{number} {{ pool blue 10.0.0.1:{0}; pool green 10.0.0.2:{0}; active blue;
                 latency p95 500ms; }}\n",
                8000 + number
            )
        };
        let monitors: String = (0..MONITORS).map(monitor).collect();
        let text = format!("alert_notify slack http://127.0.0.1:9/;\n{monitors}");
        let settings = text::read(&text, &SystemSource).expect("a configuration");
        let board = Board::open(Region::private(needed_bytes(&settings)), NOW).expect("a board");
        let plan = board.activate(board.reserve(&settings, NOW).expect("room"), &settings);
        let mut bench = Bench { settings, board, plan };
        bench.work();
        bench
    }

    fn work(&mut self) {
        let mut judge = Judge::new(self.board, &self.plan, &self.settings, log::queue().0);
        for number in 0..300_u64 {
            let now_ms = NOW + number * 100;
            for monitor in 0..MONITORS {
                let pools = self.plan.pools(monitor);
                let (blue, green) = ((pools[0], PeerId::new(0)), (pools[1], PeerId::new(1)));
                let attempts: &[_] = match number > 200 && monitor % 10 == 0 {
                    true => &[(blue.0, blue.1, 502), (green.0, green.1, 200)],
                    false => &[(blue.0, blue.1, 200)],
                };
                let mut event = Event::of_statuses(monitor as u16, now_ms, attempts, 200);
                event.latency_ms = (number * 7 % 90) as u32;
                judge.observe(&event, now_ms);
            }
            judge.commit(now_ms, Instant::now());
            judge.tick(now_ms);
        }
    }

    fn source(&self) -> Source<'_> {
        Source { board: self.board, plan: &self.plan, settings: &self.settings, now_ms: NOW + 30_000, step_ms: 0 }
    }
}

fn asked(query: &str) -> page::Asked<'_> {
    page::Asked { path: "/alert", query, control: Some("/alert/control") }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let bench = Bench::new();
    let source = bench.source();
    let sizes =
        [json::render(&source).len(), prometheus::render(&source).len(), page::render(&source, &asked("")).len()];
    println!("bytes of JSON, metrics, overview: {sizes:?}; alerts: {}", bench.board.outbox().alerts().count());
    let scopes =
        [("figures", Scope::default()), ("everything", Scope { alerts: true, percentiles: true, rates: true })];
    for (name, scope) in scopes {
        criterion.bench_function(&format!("view/{name}"), |b| b.iter(|| black_box(source.view(scope)).monitors.len()));
    }
    criterion.bench_function("json", |b| b.iter(|| json::render(black_box(&source))));
    criterion.bench_function("metrics", |b| b.iter(|| prometheus::render(black_box(&source))));
    criterion.bench_function("page/overview", |b| b.iter(|| page::render(black_box(&source), &asked(""))));
    let query = "monitor=service-0";
    criterion.bench_function("page/monitor", |b| b.iter(|| page::render(black_box(&source), &asked(query))));
    criterion.final_summary();
}
