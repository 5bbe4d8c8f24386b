//! The prober thread of a worker: asks the addresses of pools whether they would answer, one worker for all of them.
//!
//! An address is asked every few seconds while a rollout or its guard goes by it, until enough is known of it, and every
//! ten seconds else.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use super::probe::{Found, probe};
use crate::base::log::{Level, Log};
use crate::base::name::NameKey;
use crate::board::monitor::MonitorBoard;
use crate::board::rollout::{ProbeBoard, RolloutBoard};
use crate::board::{Board, Plan};
use crate::rollout::probe::pause_ms;
use crate::rollout::state::Phase;
use crate::settings::Settings;
use crate::settings::rollout::ProbeSettings;

/// Between two looks at what is due.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// The same while another worker probes.
const IDLE_EVERY: Duration = Duration::from_secs(2);
/// Probes at the same time.
const AT_ONCE: usize = 16;
/// Enough for a socket and a few KiB.
const STACK: usize = 128 * 1024;

/// Everything that the prober works with.
pub(crate) struct Prober {
    board: Board,
    generation: u64,
    pid: u32,
    monitors: Vec<Monitor>,
    stop: Arc<AtomicBool>,
    log: Log,
}

struct Monitor {
    shared: &'static MonitorBoard,
    rollout: &'static RolloutBoard,
    settings: ProbeSettings,
    /// As variables of nginx name it.
    release_header: String,
    addresses: Vec<Address>,
}

struct Address {
    text: String,
    key: NameKey,
    next_ms: u64,
}

impl Prober {
    /// A prober of the monitors that want one; `None` where none does.
    pub(crate) fn new(
        board: Board,
        plan: &Plan,
        settings: &Settings,
        pid: u32,
        stop: Arc<AtomicBool>,
        log: Log,
    ) -> Option<Prober> {
        let monitors = settings.monitors.iter().enumerate().filter_map(|(at, monitor)| {
            let addresses = monitor.pools.iter().flat_map(|(_, addresses)| addresses).map(|text| Address {
                text: text.clone(),
                key: NameKey::of_whole(text.as_bytes()),
                next_ms: 0,
            });
            Some(Monitor {
                shared: board.monitor(plan, at)?,
                rollout: board.rollout(plan, at)?,
                settings: monitor.rollout.probe.clone()?,
                release_header: monitor.release_from.strip_prefix("$upstream_http_").unwrap_or_default().into(),
                addresses: addresses.collect(),
            })
        });
        let monitors: Vec<Monitor> = monitors.collect();
        (!monitors.is_empty()).then_some(Prober { board, generation: plan.generation, pid, monitors, stop, log })
    }

    /// Runs until it is told to stop, or until another configuration is in force.
    pub(crate) fn run(&mut self) {
        while !self.stop.load(Relaxed) && self.board.generation() == self.generation {
            let looked = catch_unwind(AssertUnwindSafe(|| self.look())).unwrap_or_else(|_| {
                self.log.write(Level::Error, "the prober panicked; continuing".into());
                false
            });
            thread::park_timeout(if looked { LOOK_EVERY } else { IDLE_EVERY });
        }
        self.monitors.iter().for_each(|monitor| monitor.rollout.probing.release(self.pid));
    }

    /// Asks the addresses that are due. Returns whether this worker is the one that does.
    fn look(&mut self) -> bool {
        let now_ms = self.board.clock().now_ms();
        let (board, pid) = (self.board, self.pid);
        let mut looked = false;
        for monitor in &mut self.monitors {
            if monitor.rollout.probing.take(pid, board.workers(), now_ms) {
                looked = true;
                monitor.ask(board, &self.stop);
            }
        }
        looked
    }
}

impl Monitor {
    fn ask(&mut self, board: Board, stop: &AtomicBool) {
        let now_ms = board.clock().now_ms();
        let Monitor { shared, rollout, settings, release_header, addresses } = self;
        let (settings, release_header) = (&*settings, release_header.as_str());
        let busy = rollout.state.load().phase != Phase::Idle;
        let mut due: Vec<(&mut Address, &'static ProbeBoard)> = Vec::new();
        for address in addresses {
            let peer = shared.find_peer(address.key);
            let place = peer.and_then(|peer| Some((shared.peer(peer)?, rollout.probes.get(peer.index()?)?)));
            let Some((board, probed)) = place else { continue };
            let at_ms = probed.streak.load().at_ms;
            if at_ms != 0 && at_ms < board.since_ms() {
                // What stands there is another address's.
                probed.clear();
            }
            // A rollout that has just begun does not wait for a pause of ten seconds to end.
            let is_due = now_ms >= address.next_ms.min(probed.streak.load().at_ms + settings.pace_ms(busy) * 11 / 10);
            if is_due || probed.streak.load().at_ms == 0 {
                due.push((address, probed));
            }
        }
        for some in due.chunks_mut(AT_ONCE) {
            if stop.load(Relaxed) {
                return;
            }
            thread::scope(|scope| {
                for (address, probed) in some {
                    let body = move || {
                        let Some(found) = probe(&address.text, settings, release_header, stop) else { return };
                        let now_ms = board.clock().now_ms();
                        probed.note(&found, settings, busy, now_ms);
                        let undecided = probed.streak.load().up.is_none();
                        // The microseconds of an answer are as good as chance.
                        let random = u64::from(found.took.subsec_nanos());
                        address.next_ms = now_ms + pause_ms(settings.pace_ms(busy || undecided), random);
                    };
                    // Where no thread can be started, the next look tries again.
                    let _ =
                        thread::Builder::new().name("alert-probe".into()).stack_size(STACK).spawn_scoped(scope, body);
                }
            });
        }
    }
}

impl ProbeBoard {
    fn note(&self, found: &Found, settings: &ProbeSettings, busy: bool, now_ms: u64) {
        let passed = found.error.is_empty();
        self.status.store(found.status.unwrap_or_default().into(), Relaxed);
        self.took_ms.store(found.took.as_millis() as u64, Relaxed);
        self.release.store(found.release.as_bytes());
        self.error.store(found.error.as_bytes());
        self.streak.store(self.streak.load().after(passed, settings.needed(busy), now_ms));
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::time::Instant;

    use super::*;
    use crate::board::region::Region;
    use crate::board::tests::settings;
    use crate::rollout::pilot::Health;

    /// Answers every connection; returns the address.
    fn server() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                let _ = stream
                    .read(&mut [0; 4096])
                    .and_then(|_| stream.write(b"HTTP/1.1 200 OK\r\nX-Release-Id: v7\r\n\r\n"));
            }
        });
        address
    }

    #[test]
    fn every_address_is_asked_until_it_is_known_and_one_worker_asks() {
        let (blue, dead) =
            (server(), TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address"));
        let lines = [&format!("pool blue {blue}"), &format!("pool green {dead}"), "probe / interval=20ms"];
        let settings = settings(&lines.map(|line| line.to_string()).each_ref().map(String::as_str));
        let board = Board::open(Region::private(1 << 20), crate::base::clock::wall_ms()).expect("a board");
        let plan = board.activate(board.reserve(&settings, 0).expect("room"), &settings);
        let (stop, pid) = (Arc::new(AtomicBool::new(false)), std::process::id());
        board.workers().join(pid, plan.generation, board.clock().now_ms()).expect("a place");
        let (log, _lines) = crate::base::log::queue();
        let mut prober = Prober::new(board, &plan, &settings, pid, stop.clone(), log).expect("a prober");
        let thread = thread::spawn(move || prober.run());
        let (monitor, rollout) =
            (board.monitor(&plan, 0).expect("a monitor"), board.rollout(&plan, 0).expect("a rollout"));
        let health = |at: usize| {
            let probe = settings.monitors[0].rollout.probe.as_ref().expect("a probe");
            rollout.health(monitor, &settings.monitors[0].pools[at].1, probe, board.clock().now_ms())
        };
        let end = Instant::now() + Duration::from_secs(10);
        while (health(0), health(1)) != (Health::Up, Health::Down) {
            assert!(Instant::now() < end, "{:?} and {:?}", health(0), health(1));
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(rollout.probes[0].release.load(), "v7");
        assert_eq!(rollout.probes[1].error.load(), "connection refused");
        let other = std::os::unix::process::parent_id();
        assert!(!rollout.probing.take(other, board.workers(), board.clock().now_ms()));
        stop.store(true, Relaxed);
        thread.thread().unpark();
        thread.join().expect("the prober");
        assert!(rollout.probing.take(other, board.workers(), board.clock().now_ms()), "it gives the right back");
    }
}
