//! Asks the addresses of pools whether they would answer, one worker for all of them.
//!
//! An address is asked every few seconds while a rollout or its guard goes by it, until enough is known of it, and every
//! ten seconds else. When one is asked next follows from what the board says of it, so that any worker can go on: the first
//! whose tick finds it due asks, in a thread that is there as long as something depends on it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use super::probe::{Found, probe};
use crate::base::name::NameKey;
use crate::base::on_demand::{Life, OnDemand};
use crate::base::task::{Look, Task};
use crate::board::monitor::MonitorBoard;
use crate::board::rollout::{ProbeBoard, RolloutBoard};
use crate::board::{Board, Plan};
use crate::rollout::probe::pause_ms;
use crate::settings::Settings;
use crate::settings::rollout::ProbeSettings;

/// Between two looks of the thread at what is due, at least and at most.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// Probes at the same time.
const AT_ONCE: usize = 16;
/// Enough for a socket and a few KiB.
const STACK: usize = 128 * 1024;

/// Everything that probing works with.
pub(crate) struct Prober {
    probing: Arc<Probing>,
    thread: OnDemand,
}

struct Probing {
    board: Board,
    generation: u64,
    pid: u32,
    monitors: Vec<Monitor>,
    life: Life,
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
}

/// When an address is to be asked next.
struct Due<'a> {
    address: &'a Address,
    probed: &'static ProbeBoard,
    /// In milliseconds.
    at_ms: u64,
    /// Whether something depends on it, or it is not known yet.
    is_urgent: bool,
}

impl Prober {
    /// A prober of the monitors that want one; `None` where none does.
    pub(crate) fn new(board: Board, plan: &Plan, settings: &Settings, pid: u32, life: &Life) -> Option<Prober> {
        let monitors = settings.monitors.iter().enumerate().filter_map(|(at, monitor)| {
            let addresses = monitor.pools.iter().flat_map(|(_, addresses)| addresses);
            let address = |text: &String| Address { text: text.clone(), key: NameKey::of_whole(text.as_bytes()) };
            Some(Monitor {
                shared: board.monitor(plan, at)?,
                rollout: board.rollout(plan, at)?,
                settings: monitor.rollout.probe.clone()?,
                release_header: monitor.release_from.strip_prefix("$upstream_http_").unwrap_or_default().into(),
                addresses: addresses.map(address).collect(),
            })
        });
        let monitors: Vec<Monitor> = monitors.collect();
        let thread = OnDemand::new("alert-prober", "probe pools".into(), life);
        let probing = Probing { board, generation: plan.generation, pid, monitors, life: life.clone() };
        (!probing.monitors.is_empty()).then(|| Prober { probing: Arc::new(probing), thread })
    }
}

impl Task for Prober {
    fn tick(&mut self, look: Look) {
        if !self.probing.is_wanted() || !self.thread.is_free() || !self.probing.take_what_is_due(look) {
            return;
        }
        let probing = self.probing.clone();
        if !self.thread.start(move || probing.run(look)) {
            self.probing.release();
        }
    }

    fn look(&mut self, look: Look) {
        self.tick(look);
    }

    fn finish(&mut self, deadline: Instant) {
        self.thread.finish(deadline);
        self.probing.release();
    }
}

impl Probing {
    /// Whether addresses are to be asked by this configuration.
    fn is_wanted(&self) -> bool {
        !self.life.stop.load(Relaxed) && self.board.generation() == self.generation
    }

    /// Takes the right to ask the addresses of the monitors of which some are due. Returns whether there is any.
    fn take_what_is_due(&self, look: Look) -> bool {
        let due = self.monitors.iter().filter(|monitor| monitor.due().any(|due| look.is_time(due.at_ms)));
        due.filter(|monitor| self.take(monitor, look.now_ms)).count() > 0
    }

    fn take(&self, monitor: &Monitor, now_ms: u64) -> bool {
        monitor.rollout.probing.take(self.pid, self.board.workers(), now_ms)
    }

    fn release(&self) {
        self.monitors.iter().for_each(|monitor| monitor.rollout.probing.release(self.pid));
    }

    /// Asks what is due, as long as something depends on it.
    fn run(&self, mut look: Look) {
        while self.is_wanted() {
            let next = self.monitors.iter().filter_map(|monitor| self.look_at(monitor, look)).min();
            let Some(next_ms) = next else { break };
            let pause = Duration::from_millis(next_ms.saturating_sub(self.board.clock().now_ms()));
            thread::park_timeout(pause.clamp(PAUSE_MIN, PAUSE_MAX));
            let now_ms = self.board.clock().now_ms();
            look = Look { now_ms, next_ms: now_ms };
        }
        self.release();
    }

    /// Asks what is due of a monitor. Returns when it has to go on, for which it keeps the right to ask.
    fn look_at(&self, monitor: &Monitor, look: Look) -> Option<u64> {
        let is_wanted = monitor.due().any(|due| due.is_urgent || look.is_time(due.at_ms));
        if !is_wanted || !self.take(monitor, look.now_ms) {
            return None;
        }
        monitor.ask(look, self.board, &self.life);
        let next = monitor.due().filter(|due| due.is_urgent).map(|due| due.at_ms).min();
        if next.is_none() {
            monitor.rollout.probing.release(self.pid);
        }
        next
    }
}

impl Monitor {
    /// When its addresses are to be asked.
    fn due(&self) -> impl Iterator<Item = Due<'_>> {
        let is_busy = self.rollout.goes_by_probes();
        self.addresses.iter().filter_map(move |address| {
            let peer = self.shared.find_peer(address.key)?;
            let (board, probed) = (self.shared.peer(peer)?, self.rollout.probes.get(peer.index()?)?);
            let streak = probed.streak.load();
            // What is older was another address's.
            let is_new = streak.at_ms < board.since_ms();
            let is_urgent = is_busy || is_new || streak.up.is_none();
            // The millisecond of an answer is as good as chance.
            let pause_ms = pause_ms(self.settings.pace_ms(is_urgent), streak.at_ms);
            let at_ms = if is_new || streak.at_ms == 0 { 0 } else { streak.at_ms + pause_ms };
            Some(Due { address, probed, at_ms, is_urgent })
        })
    }

    /// Asks the addresses for which it is time.
    fn ask(&self, look: Look, board: Board, life: &Life) {
        let due: Vec<Due<'_>> = self.due().filter(|due| look.is_time(due.at_ms)).collect();
        let ask = |due: &Due<'_>| {
            if let Some(found) = probe(&due.address.text, &self.settings, &self.release_header, &life.stop) {
                due.probed.note(&found, &self.settings, self.rollout.goes_by_probes(), board.clock().now_ms());
            }
        };
        due.iter().filter(|due| due.at_ms == 0).for_each(|due| due.probed.clear());
        for some in due.chunks(AT_ONCE) {
            let Some((own, others)) = some.split_first() else { continue };
            thread::scope(|scope| {
                for other in others {
                    // Where no thread can be started, it stays due.
                    let thread = thread::Builder::new().name("alert-probe".into()).stack_size(STACK);
                    let _ = thread.spawn_scoped(scope, || ask(other));
                }
                ask(own);
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
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::board::region::Region;
    use crate::board::tests::settings;
    use crate::rollout::pilot::Health;
    use crate::rollout::state::{Phase, State};

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

    struct Rig {
        settings: Settings,
        board: Board,
        prober: Prober,
        monitor: &'static MonitorBoard,
        rollout: &'static RolloutBoard,
        stop: Arc<AtomicBool>,
    }

    impl Rig {
        fn new(pools: [&str; 2]) -> Rig {
            let [blue, green] = pools.each_ref();
            let lines = [&format!("pool blue {blue}"), &format!("pool green {green}"), "probe / interval=20ms"];
            let settings = settings(&lines);
            let board = Board::open(Region::private(1 << 20), crate::base::clock::wall_ms()).expect("a board");
            let plan = board.activate(board.reserve(&settings, 0).expect("room"), &settings);
            let pid = std::process::id();
            board.workers().join(pid, plan.generation, board.clock().now_ms()).expect("a place");
            let (log, _) = crate::base::log::queue();
            let life = Life { stop: Arc::default(), alive: crossbeam_channel::bounded(0).0, log };
            let prober = Prober::new(board, &plan, &settings, pid, &life).expect("a prober");
            let (monitor, rollout) = (board.monitor(&plan, 0), board.rollout(&plan, 0));
            let (monitor, rollout) = (monitor.expect("a monitor"), rollout.expect("a rollout"));
            Rig { settings, board, prober, monitor, rollout, stop: life.stop }
        }

        /// A tick so long from now.
        fn tick_in(&mut self, ms: u64) {
            let now_ms = self.board.clock().now_ms() + ms;
            self.prober.tick(Look { now_ms, next_ms: now_ms });
        }

        fn is_probing(&mut self) -> bool {
            !self.prober.thread.is_free()
        }

        fn health(&self) -> [Health; 2] {
            let probe = self.settings.monitors[0].rollout.probe.as_ref().expect("a probe");
            [0, 1].map(|at| {
                let addresses = &self.settings.monitors[0].pools[at].1;
                self.rollout.health(self.monitor, addresses, probe, self.board.clock().now_ms())
            })
        }

        /// Another worker, as which the test asks.
        fn other_may_probe(&self) -> bool {
            let other = std::os::unix::process::parent_id();
            let taken = self.rollout.probing.take(other, self.board.workers(), self.board.clock().now_ms());
            self.rollout.probing.release(other);
            taken
        }

        fn wait(&mut self, what: &str, mut reached: impl FnMut(&mut Rig) -> bool) {
            let end = Instant::now() + Duration::from_secs(10);
            while !reached(self) {
                assert!(Instant::now() < end, "{what}: {:?}", self.health());
                thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// Where nobody listens.
    fn dead() -> String {
        TcpListener::bind("127.0.0.1:0").and_then(|dead| dead.local_addr()).expect("an address").to_string()
    }

    #[test]
    fn every_address_is_asked_until_it_is_known_and_then_every_ten_seconds() {
        let mut rig = Rig::new([&server(), &dead()]);
        rig.tick_in(0);
        assert!(rig.is_probing() && !rig.other_may_probe(), "one worker asks");
        rig.wait("all is known", |rig| rig.health() == [Health::Up, Health::Down]);
        assert_eq!(rig.rollout.probes[0].release.load(), "v7");
        assert_eq!(rig.rollout.probes[1].error.load(), "connection refused");
        rig.wait("the end of the thread", |rig| !rig.is_probing());
        assert!(rig.other_may_probe(), "whoever finds it due");
        rig.tick_in(8_900);
        assert!(!rig.is_probing(), "a tenth sooner at most");
        rig.tick_in(11_100);
        rig.wait("another probe", |rig| {
            rig.rollout.probes.iter().filter(|at| at.streak.load().length > 3).count() == 2
        });
        rig.wait("the end of the thread", |rig| !rig.is_probing());
    }

    #[test]
    fn it_goes_on_while_a_rollout_goes_by_it_and_rests_while_a_share_is_set_by_hand() {
        let mut rig = Rig::new([&server(), &server()]);
        rig.tick_in(0);
        rig.wait("all is known", |rig| !rig.is_probing());
        let state = |phase| State { phase, ..State::default() };
        rig.rollout.state.store(state(Phase::ByHand { tenths: 50, told: false }));
        rig.tick_in(8_900);
        assert!(!rig.is_probing(), "nothing depends on it");
        rig.rollout.state.store(state(Phase::Probing));
        rig.tick_in(100);
        rig.wait("more probes", |rig| rig.rollout.probes[0].streak.load().length > 6);
        assert!(rig.is_probing() && !rig.other_may_probe());
        rig.stop.store(true, Relaxed);
        rig.prober.finish(Instant::now() + Duration::from_secs(5));
        assert!(!rig.is_probing() && rig.other_may_probe(), "it gives the right back");
        rig.tick_in(20_000);
        assert!(!rig.is_probing(), "it is to end");
    }

    #[test]
    fn a_worker_asks_nothing_that_another_one_asks() {
        let mut rig = Rig::new([&server(), &dead()]);
        let other = std::os::unix::process::parent_id();
        assert!(rig.rollout.probing.take(other, rig.board.workers(), rig.board.clock().now_ms()));
        rig.tick_in(0);
        assert!(!rig.is_probing());
        rig.rollout.probing.release(other);
        rig.tick_in(0);
        assert!(rig.is_probing());
    }
}
