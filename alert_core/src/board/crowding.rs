//! Names, addresses and releases that are more than the board has places for: whose place is given away that was in use a
//! moment ago, so that somebody is told of it once.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::base::shared::shared;
use crate::board::peer::PEERS_MAX;
use crate::board::releases::RELEASES_MAX;
use crate::model::ids::POOLS_MAX;

/// What was in use so long ago makes room as a matter of course, in milliseconds: servers move, and releases grow old.
const LATELY_MS: u64 = 86_400_000;

shared! {
/// One registry of a monitor.
#[derive(Debug)]
pub struct Crowd {
    /// Whether somebody made room who was in use lately, since the configuration came into force.
    is_full: AtomicU64,
    /// Whether that was told since.
    told: AtomicU64,
}
}

shared! {
/// The registries of a monitor.
#[derive(Debug)]
pub struct Crowding {
    /// Names of pools.
    pub pools: Crowd,
    /// Addresses.
    pub addresses: Crowd,
    /// Releases.
    pub releases: Crowd,
}
}

impl Crowd {
    /// Notes that somebody makes room who was in use at this time.
    pub fn make_room(&self, used_ms: u64, now_ms: u64) {
        if now_ms.saturating_sub(used_ms) < LATELY_MS && self.is_full.load(Relaxed) == 0 {
            self.is_full.store(1, Relaxed);
        }
    }

    /// Whether that is to be told: for one caller.
    pub(super) fn is_news(&self) -> bool {
        self.is_full.load(Relaxed) != 0 && self.told.swap(1, Relaxed) == 0
    }

    /// Begins anew, since another configuration has come into force.
    pub(super) fn begin(&self) {
        [&self.is_full, &self.told].into_iter().for_each(|word| word.store(0, Relaxed));
    }
}

impl Crowding {
    /// All of them, with how many of what each has places for.
    pub(super) fn all(&self) -> [(&Crowd, String); 3] {
        [
            (&self.pools, format!("{POOLS_MAX} pools")),
            (&self.addresses, format!("{PEERS_MAX} addresses")),
            (&self.releases, format!("{RELEASES_MAX} releases")),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::log;
    use crate::base::name::NameKey;
    use crate::board::examples::FailedRequest;
    use crate::board::monitor::MonitorBoard;
    use crate::board::peer::PeerBoard;
    use crate::board::region::Region;
    use crate::board::rollout::RolloutBoard;
    use crate::board::tests::settings;
    use crate::board::{Board, Plan};
    use crate::detect::judge::Judge;
    use crate::model::event::Event;
    use crate::model::ids::{PeerId, PoolId};
    use crate::model::outcome::Outcome;
    use crate::observe::peers::PeerMap;
    use crate::settings::Settings;

    const T0: u64 = 1_790_000_000_000;

    struct Rig {
        board: Board,
        plan: Plan,
        settings: Settings,
        shared: &'static MonitorBoard,
    }

    /// A monitor without pools of its own, which has learned as many names as there are places, one a second.
    fn rig() -> Rig {
        let mut settings = settings(&["window 50"]);
        settings.monitors[0].pools.clear();
        let board = Board::open(Region::private(1 << 20), T0).expect("a board");
        let plan = board.activate(board.reserve(&settings, T0).expect("room"), &settings);
        let shared = board.monitor(&plan, 0).expect("a monitor");
        for at in 1..=POOLS_MAX {
            assert_eq!(shared.learn_pool(name(at).as_bytes(), seen_ms(at)), PoolId::new(at as u8));
        }
        Rig { board, plan, settings, shared }
    }

    fn name(at: usize) -> String {
        format!("pool-{at}")
    }

    fn seen_ms(at: usize) -> u64 {
        T0 + at as u64 * 1000
    }

    const NOW_MS: u64 = T0 + 100_000;

    fn place_of(shared: &MonitorBoard, name: &str) -> Option<PoolId> {
        shared.find_pool(NameKey::of(name.as_bytes()))
    }

    #[test]
    fn the_longest_unasked_name_makes_room_and_nothing_that_was_its_own_is_the_next_ones() {
        let Rig { board, plan, settings, shared } = rig();
        let (old, other) = (PoolId::new(1), PoolId::new(2));
        let peer = shared.learn_peer(b"10.0.0.1:80", old, T0);
        let window = board.window(shared).expect("a window");
        [old, other].into_iter().for_each(|pool| window.record(T0 + 5000, 1, Outcome::Failed, pool));
        let request = FailedRequest { time_ms: T0, status: 503, pool: old, method: b"GET", path: b"/", address: b"" };
        shared.examples.put(&request);
        shared.split.count(old, 50, 50);
        let waiting = Event::of_statuses(0, NOW_MS - 1, &[(old, peer, 200)], 200);

        assert_eq!(shared.learn_pool(b"blue", NOW_MS), old);
        assert_eq!((place_of(shared, "pool-1"), place_of(shared, "blue")), (None, Some(old)));
        let figures: Vec<_> = window.by_pool(Outcome::Failed, None, |sample| shared.sample_now(sample)).collect();
        assert_eq!(figures, [(PoolId::NONE, 1, 1, 0), (other, 1, 1, 0)], "of the unknown pool");
        assert_eq!(shared.peer(peer).map(|peer| peer.pool.load()), Some(PoolId::NONE));
        assert_eq!((shared.pool_then(old, T0), shared.split.row(old)), (PoolId::NONE, 0));

        // What was on its way to the detectors is not its own either, and what comes from now on is.
        let (log, _lines) = log::queue();
        let judge = Judge::new(board, &plan, &settings, log);
        judge.observe(&waiting, NOW_MS);
        assert_eq!(shared.pool(old).answered(), 0);
        judge.observe(&Event::of_statuses(0, NOW_MS, &[(old, PeerId::NONE, 200)], 200), NOW_MS);
        assert_eq!((shared.pool(old).answered(), shared.serving()), (1, old));
    }

    #[test]
    fn what_is_decided_or_was_asked_lately_does_not_make_room() {
        let Rig { shared, .. } = rig();
        let [active, serving, stand_in, failing] = [1, 2, 3, 4].map(PoolId::new);
        shared.active.store(active);
        shared.expect(serving, T0);
        shared.stand_in.store(stand_in);
        shared.count_failure(failing, PeerId::NONE, crate::model::outcome::Cause::Connect, NOW_MS);
        for at in 5..=POOLS_MAX {
            assert_eq!(shared.learn_pool(format!("new-{at}").as_bytes(), NOW_MS + at as u64), PoolId::new(at as u8));
        }
        for at in 1..=4 {
            assert!(place_of(shared, &name(at)).is_some(), "{}", name(at));
        }
        assert_eq!(shared.learn_pool(b"one more", NOW_MS + 999), failing);
    }

    #[test]
    fn that_there_is_no_room_is_told_once_for_each_configuration_and_not_of_what_is_long_gone() {
        const DAY_MS: u64 = 86_400_000;
        let Rig { board, settings, shared, .. } = rig();
        assert!(shared.warnings().is_empty());
        shared.learn_pool(b"late", seen_ms(1) + DAY_MS);
        assert!(shared.warnings().is_empty(), "it was gone for a day");
        for at in 0..99 {
            shared.learn_pool(format!("blue-{at}").as_bytes(), NOW_MS);
        }
        let said = "monitor \"app\" has seen more than 31 pools: the one that is unseen for longest makes room for each new one";
        assert_eq!(shared.warnings(), [said]);
        assert!(shared.warnings().is_empty());
        for at in 0..99 {
            shared.learn_peer(format!("10.0.0.{at}:80").as_bytes(), PoolId::NONE, NOW_MS);
        }
        assert_eq!(shared.warnings(), [said.replace("31 pools", "64 addresses")]);
        board.activate(board.reserve(&settings, NOW_MS).expect("room"), &settings);
        assert!(shared.warnings().is_empty());
        shared.learn_pool(b"green", NOW_MS);
        assert_eq!(shared.warnings(), [said]);
    }

    #[test]
    fn a_state_full_of_names_has_room_for_one_more() {
        let Rig { board, settings, .. } = rig();
        let bytes = board.snapshot(NOW_MS, NOW_MS).bytes;
        let board = Board::open(Region::private(1 << 20), NOW_MS).expect("a board");
        let reservation = board.reserve(&settings, NOW_MS).expect("room");
        board.restore(&reservation, &settings, &bytes, NOW_MS).expect("restored");
        let plan = board.activate(reservation, &settings);
        let shared = board.monitor(&plan, 0).expect("a monitor");
        assert_eq!(shared.learn_pool(b"blue", NOW_MS), PoolId::new(1));
        assert_eq!((place_of(shared, "pool-1"), shared.warnings().len()), (None, 1));
        assert!(place_of(shared, "pool-2").is_some());
    }

    #[test]
    fn an_address_that_made_room_is_no_pools_any_more_and_what_was_on_its_way_is_nobodys() {
        let Rig { shared, .. } = rig();
        let pool = PoolId::new(1);
        let first = shared.learn_peer(b"10.0.0.0:80", pool, T0);
        shared.pool(pool).remember_peer(first);
        let epoch = shared.epoch.load(Relaxed);
        for at in 1..=PEERS_MAX {
            shared.learn_peer(format!("10.0.0.{at}:80").as_bytes(), PoolId::NONE, NOW_MS + at as u64);
        }
        let last = NOW_MS + PEERS_MAX as u64;
        assert_eq!(shared.peer(first).map(PeerBoard::text).as_deref(), Some("10.0.0.64:80"));
        assert_eq!((shared.address_of(pool), shared.epoch.load(Relaxed) > epoch), (String::new(), true));
        assert_eq!([last - 1, last].map(|time_ms| shared.peer_then(first, time_ms)), [PeerId::NONE, first]);
        shared.count(&Event::of_statuses(0, last - 1, &[(pool, first, 200)], 200), None);
        assert_eq!(shared.peer(first).map(|peer| peer.answered.load(Relaxed)), Some(0));
    }

    #[test]
    fn a_release_that_goes_on_answering_never_makes_room() {
        let rollout: &RolloutBoard = Region::private(size_of::<RolloutBoard>()).get(0).expect("room");
        let Rig { shared, .. } = rig();
        let (blue, green) = (PoolId::new(1), PoolId::new(2));
        for at in 0..100 {
            rollout.see(shared, green, &format!("v{at}"), T0 + at);
            rollout.see(shared, blue, "stable", T0 + at);
        }
        let names: Vec<String> = rollout.seen.newest_first().map(|release| release.name.load()).collect();
        assert_eq!((names.len(), names[0].as_str(), names[1].as_str()), (RELEASES_MAX, "v99", "v98"));
        let stable = rollout.seen.of(shared, blue).expect("it is still there");
        assert_eq!((stable.name.load().as_str(), stable.first_seen_ms.load(Relaxed)), ("stable", T0));
        assert_eq!(shared.warnings().len(), 1);
        shared.learn_pool(b"another", NOW_MS);
        assert!(rollout.seen.of(shared, blue).is_none(), "its place is another pool's");
    }

    #[test]
    fn a_worker_that_drains_takes_no_place_for_what_it_listed_once() {
        let settings = settings(&["pool blue 10.0.0.1:80", "pool green 10.0.0.2:80"]);
        let mut other = settings.clone();
        other.monitors[0].pools.remove(0);
        let board = Board::open(Region::private(1 << 20), T0).expect("a board");
        let plan = board.activate(board.reserve(&settings, T0).expect("room"), &settings);
        let drains = PeerMap::of_monitors(board, &plan, &settings).remove(0);
        let blue = plan.pools(0)[0];
        let later = board.clock().now_ms() + 1000;
        assert_eq!(drains.server(b"10.0.0.1:80", b"", later).pool, blue);
        let plan = board.activate(board.reserve(&other, T0).expect("room"), &other);
        let shared = board.monitor(&plan, 0).expect("a monitor");
        shared.expect(PoolId::NONE, T0);
        for at in 0..POOLS_MAX + 2 {
            shared.learn_pool(name(at).as_bytes(), later);
        }
        assert_ne!(place_of(shared, "blue"), Some(blue));
        assert_eq!(drains.server(b"10.0.0.1:80", b"", later).pool, PoolId::NONE);
    }
}
