//! Looks host names of pools up again: their servers move, and nginx follows them where it resolves names while it runs.
//! What a name brings joins its pool; what it no longer brings stays there until another name has it.
//!
//! A lookup can hang for as long as the resolver likes and cannot be ended, so it runs in a thread of its own that holds
//! nothing but names, and what it brought is taken at a later tick. One worker looks up for all of them.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;

use crate::base::address;
use crate::base::log::{Level, Log};
use crate::base::name::NameKey;
use crate::base::task::{Look, Task};
use crate::board::monitor::MonitorBoard;
use crate::board::{Board, Plan};
use crate::model::ids::PoolId;
use crate::settings::Settings;

/// Between two lookups of a name, in milliseconds.
const INTERVAL_MS: u64 = 30_000;

/// Everything that looking up works with.
pub(crate) struct Names {
    board: Board,
    generation: u64,
    monitors: Vec<Monitor>,
    log: Log,
}

struct Monitor {
    shared: &'static MonitorBoard,
    name: String,
    hosts: Vec<Host>,
    /// What is being looked up: for each host, in their order.
    lookup: Option<Receiver<Vec<Vec<String>>>>,
}

struct Host {
    pool: PoolId,
    written: String,
}

impl Names {
    /// The names of all pools; `None` where every address is numeric.
    pub(crate) fn new(board: Board, plan: &Plan, settings: &Settings, log: Log) -> Option<Names> {
        let monitors = settings.monitors.iter().enumerate().filter(|(_, monitor)| !monitor.hosts.is_empty());
        let monitors: Vec<Monitor> = monitors
            .filter_map(|(at, monitor)| {
                let pools = plan.pools(at);
                let host = |host: &crate::settings::Host| {
                    Some(Host { pool: *pools.get(host.pool)?, written: host.written.clone() })
                };
                let hosts = monitor.hosts.iter().filter_map(host).collect();
                Some(Monitor { shared: board.monitor(plan, at)?, name: monitor.name.clone(), hosts, lookup: None })
            })
            .collect();
        (!monitors.is_empty()).then_some(Names { board, generation: plan.generation, monitors, log })
    }
}

impl Task for Names {
    fn tick(&mut self, Look { now_ms, .. }: Look) {
        if self.board.generation() != self.generation {
            return;
        }
        for monitor in &mut self.monitors {
            match monitor.lookup.as_ref().map(Receiver::try_recv) {
                Some(Ok(found)) => {
                    monitor.lookup = None;
                    monitor.apply(&found, now_ms, &self.log);
                }
                Some(Err(TryRecvError::Empty)) => {}
                Some(Err(TryRecvError::Disconnected)) => monitor.lookup = None,
                None if monitor.is_due(now_ms) => monitor.lookup = monitor.begin(),
                None => {}
            }
        }
    }
}

impl Monitor {
    /// Whether it is time, and no other worker was faster.
    fn is_due(&self, now_ms: u64) -> bool {
        let last_ms = self.shared.named_ms.load(Relaxed);
        now_ms.saturating_sub(last_ms) >= INTERVAL_MS
            && self.shared.named_ms.compare_exchange(last_ms, now_ms, Relaxed, Relaxed).is_ok()
    }

    fn begin(&self) -> Option<Receiver<Vec<Vec<String>>>> {
        let (sender, receiver) = channel();
        let hosts: Vec<String> = self.hosts.iter().map(|host| host.written.clone()).collect();
        let look_up = move || {
            // A name that does not resolve brings nothing, and takes nothing away.
            let _ = sender.send(hosts.iter().map(|host| address::resolve(host).unwrap_or_default()).collect());
        };
        thread::Builder::new().name("alert-lookup".into()).spawn(look_up).ok()?;
        Some(receiver)
    }

    /// Lets what was found join the pools. An address that the configuration itself lists is not looked for here.
    fn apply(&self, found: &[Vec<String>], now_ms: u64, log: &Log) {
        for (host, addresses) in self.hosts.iter().zip(found) {
            for address in addresses {
                let peer = self.shared.find_peer(NameKey::of_whole(address.as_bytes()));
                let board = peer.and_then(|peer| self.shared.peer(peer));
                if board.is_some_and(|board| board.is_listed() && board.pool.load() == host.pool) {
                    continue;
                }
                let holds = |(other, found): (&Host, &Vec<String>)| other.pool != host.pool && found.contains(address);
                if self.hosts.iter().zip(found).take_while(|(other, _)| !std::ptr::eq(*other, host)).any(holds) {
                    // Two pools share it: the first one has it, as it would at the next reload.
                    continue;
                }
                self.shared.list_peer(address.as_bytes(), host.pool, now_ms);
                let pool = self.shared.pool(host.pool).name.load();
                let Host { written, .. } = host;
                let text =
                    format!("\"{written}\" of monitor \"{}\" is also {address} now, which joins \"{pool}\"", self.name);
                log.write(Level::Notice, text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::log;
    use crate::board::region::Region;
    use crate::board::tests::settings;
    use crate::observe::peers::PeerMap;
    use crate::settings::Host as HostSettings;

    struct Rig {
        names: Names,
        peers: PeerMap,
        lines: log::Lines,
        blue: PoolId,
        green: PoolId,
    }

    fn rig() -> Rig {
        let mut settings = settings(&["pool blue 10.0.0.1:80", "pool green 10.0.0.2:80"]);
        let host = |pool, written: &str, address: &str| HostSettings {
            pool,
            written: written.into(),
            addresses: vec![address.into()],
        };
        settings.monitors[0].hosts = vec![host(0, "localhost", "10.0.0.1:80"), host(1, "green:80", "10.0.0.2:80")];
        let board = Board::open(Region::private(1 << 20), 0).expect("a board");
        let plan = board.activate(board.reserve(&settings, 0).expect("room"), &settings);
        let (log, lines) = log::queue();
        let names = Names::new(board, &plan, &settings, log).expect("names");
        let peers = PeerMap::of_monitors(board, &plan, &settings).remove(0);
        let [blue, green] = [0, 1].map(|at| plan.pools(0)[at]);
        Rig { names, peers, lines, blue, green }
    }

    #[test]
    fn addresses_that_appear_join_the_pool_of_their_name_and_move_with_it() {
        let Rig { names, peers, lines, blue, green } = rig();
        let monitor = &names.monitors[0];
        let apply = |blue: &[&str], green: &[&str]| {
            let found = [blue, green].map(|found| found.iter().map(|address| (*address).into()).collect());
            monitor.apply(&found, 0, &names.log);
        };
        let pool_of = |address: &str| peers.server(address.as_bytes(), b"elsewhere", 0);
        assert!(pool_of("10.0.0.1:80").listed && pool_of("10.0.0.1:80").pool == blue);
        apply(&["10.0.0.1:80"], &["10.0.0.2:80"]);
        assert_eq!(lines.drain().count(), 0, "nothing is new");
        apply(&["10.0.0.9:80"], &[]);
        assert!(pool_of("10.0.0.9:80").listed && pool_of("10.0.0.9:80").pool == blue);
        assert_eq!(lines.drain().count(), 1);
        assert_eq!(pool_of("10.0.0.1:80").pool, blue, "an answer may still be under way");
        apply(&["10.0.0.9:80"], &["10.0.0.1:80", "10.0.0.9:80"]);
        assert_eq!(pool_of("10.0.0.1:80").pool, green, "another container has the address now");
        assert_eq!(pool_of("10.0.0.9:80").pool, blue, "the first of two has it");
    }

    #[test]
    fn a_name_is_looked_up_by_one_worker_every_half_minute() {
        let Rig { mut names, .. } = rig();
        let monitor = &names.monitors[0];
        assert!(monitor.is_due(INTERVAL_MS));
        assert!(!monitor.is_due(INTERVAL_MS) && !monitor.is_due(2 * INTERVAL_MS - 1));
        assert!(monitor.is_due(2 * INTERVAL_MS));
        names.monitors[0].hosts.truncate(1);
        let found = names.monitors[0].begin().expect("a thread").recv().expect("an answer");
        assert!(found[0].contains(&"127.0.0.1:80".to_string()), "{found:?}");
    }
}
