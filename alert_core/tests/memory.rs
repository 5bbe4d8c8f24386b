//! How much memory documents take: a worker asks for it before it makes one, so it has to know.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use alert_core::board::Board;
use alert_core::board::region::Region;
use alert_core::model::event::Event;
use alert_core::report::renderer::needed_bytes;
use alert_core::report::view::Source;
use alert_core::report::{json, page, prometheus};
use alert_core::settings::text;
use alert_core::sink::settings::SystemSource;

static USED: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// The system's memory, counted.
struct Counted;

// SAFETY: all is handed on to the system's.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let used = USED.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(used, Relaxed);
        // SAFETY: by the contract of this function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        USED.fetch_sub(layout.size(), Relaxed);
        // SAFETY: by the contract of this function.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTED: Counted = Counted;

/// The most that this takes beside what is taken already.
fn peak(body: impl FnOnce()) -> usize {
    let before = USED.load(Relaxed);
    PEAK.store(before, Relaxed);
    body();
    PEAK.load(Relaxed) - before
}

#[test]
fn no_document_takes_more_memory_than_is_asked_for_before_it_is_made() {
    for monitors in [1, 100] {
        let pools: String = (1..=31).map(|at| format!("pool {at:047} 10.0.0.{at}:80; ")).collect();
        let rules = "window 1000; latency p95 500ms; split_by $remote_addr;";
        let monitors: String =
            (0..monitors).map(|at| format!("alert_monitor monitor-{at:037} {{ {pools} {rules} }}\n")).collect();
        let settings = text::read(&format!("alert_notify slack http://127.0.0.1:9/;\n{monitors}"), &SystemSource);
        let settings = settings.expect("a configuration");
        let region = Region::private(alert_core::board::needed_bytes(&settings));
        let board = Board::open(region, 1_790_000_000_000).expect("a board");
        let plan = board.activate(board.reserve(&settings, 0).expect("room"), &settings);
        for at in 0..settings.monitors.len() {
            let monitor = board.monitor(&plan, at).expect("a monitor");
            for (number, pool) in plan.pools(at).iter().enumerate() {
                let peer = monitor.find_peer(alert_core::base::name::NameKey::of_whole(
                    format!("10.0.0.{}:80", number + 1).as_bytes(),
                ));
                let event = Event::of_statuses(
                    at as u16,
                    board.clock().now_ms(),
                    &[(*pool, peer.expect("listed"), 502), (*pool, peer.expect("listed"), 200)],
                    200,
                );
                monitor.count(&event, event.outcome(false));
            }
            (0..=361).for_each(|step| monitor.history.sample(monitor, board.clock().now_ms() + step * 10_000));
        }
        let source = Source::now(board, &plan, &settings);
        let source = Source { now_ms: source.now_ms + 3_600_000, ..source };
        let page = |query: &str| {
            drop(page::render(&source, &page::Asked { path: "/alert", query, control: Some("/control") }));
        };
        let one = format!("monitor=monitor-{:037}", 0);
        let taken = [
            peak(|| drop(json::render(&source))),
            peak(|| drop(prometheus::render(&source))),
            peak(|| page("")),
            peak(|| page(&one)),
        ];
        let asked = needed_bytes(&settings);
        assert!(taken.iter().all(|taken| taken * 5 / 4 < asked), "{taken:?} of {asked}");
        assert!(taken.iter().any(|taken| taken * 40 > asked), "{taken:?}, and {asked} is far too much");
    }
}
