//! Why attempts failed, in words, and some of the requests: since the monitor was last calm.
//!
//! A monitor is calm while nothing is told of it and no failure is in its window. What has failed since is the cause of
//! whatever is told next.

use std::sync::atomic::Ordering::Relaxed;

use crate::board::alert::EXAMPLES_MAX;
use crate::board::monitor::{MonitorBoard, PoolBoard};
use crate::model::alert::Example;
use crate::model::ids::PoolId;
use crate::model::outcome::{Cause, Counts};

const CAUSES: usize = Cause::ALL.len();

/// Begins to count causes anew where the monitor is calm. Called about once a second.
pub(super) fn look(shared: &MonitorBoard, window: &Counts, now_ms: u64) {
    let told = shared.throttles.iter().any(|incident| incident.throttle.load().raised);
    if told || window.failed > 0 || window.retried > 0 || window.abandoned > 0 {
        return;
    }
    // Nothing is written while nothing happens: the board is saved when it has changed.
    let mut has_news = shared.examples.newest_ms().is_some_and(|time_ms| time_ms >= shared.calm_ms.load(Relaxed));
    for pool in &shared.pools {
        for (before, now) in pool.causes_before.iter().zip(&pool.causes) {
            let now = now.load(Relaxed);
            if before.load(Relaxed) != now {
                before.store(now, Relaxed);
                has_news = true;
            }
        }
    }
    if has_news {
        shared.calm_ms.store(now_ms, Relaxed);
    }
}

/// "blue: connection refused, 12 times; answered 503, 4 times"; empty where nothing failed.
pub(super) fn words(shared: &MonitorBoard) -> String {
    let examples = shared.examples.recent();
    let calm_ms = shared.calm_ms.load(Relaxed);
    let pools = shared.pools.iter().enumerate().filter_map(|(at, pool)| {
        let id = PoolId::new(at as u8);
        let counts = since_calm(pool);
        let statuses =
            examples.iter().filter(|kept| shared.pool_then(kept.pool, kept.time_ms) == id && kept.time_ms >= calm_ms);
        let statuses: Vec<u16> = statuses.map(|kept| kept.example.status).collect();
        let causes = of_pool(&counts, &statuses, id.is_known());
        let name = if id.is_known() { pool.name.load() } else { "no pool".into() };
        (!causes.is_empty()).then(|| format!("{name}: {}", causes.join("; ")))
    });
    pools.collect::<Vec<_>>().join(". ")
}

/// Some of the requests that failed, newest first.
pub(super) fn examples(shared: &MonitorBoard) -> Vec<Example> {
    let calm_ms = shared.calm_ms.load(Relaxed);
    let mut examples: Vec<Example> = Vec::new();
    for kept in shared.examples.recent().into_iter().filter(|kept| kept.time_ms >= calm_ms) {
        // The same request many times says no more than once.
        if examples.len() < EXAMPLES_MAX && !examples.contains(&kept.example) {
            examples.push(kept.example);
        }
    }
    examples
}

fn since_calm(pool: &PoolBoard) -> [u64; CAUSES] {
    let since = |at: usize| pool.causes[at].load(Relaxed).saturating_sub(pool.causes_before[at].load(Relaxed));
    std::array::from_fn(since)
}

/// The causes of one pool, most frequent first, given the statuses of some of the requests that failed there.
fn of_pool(counts: &[u64; CAUSES], statuses: &[u16], is_known: bool) -> Vec<String> {
    let mut causes: Vec<(Cause, u64)> = Cause::ALL.into_iter().zip(*counts).filter(|(_, count)| *count > 0).collect();
    causes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    // Where nothing else failed there, the status that clients got is the one that the pool gave.
    let status = match (causes.as_slice(), statuses) {
        ([_], [first, rest @ ..]) if rest.iter().all(|status| status == first) => Some(*first),
        _ => None,
    };
    let words = |(cause, count): (Cause, u64)| {
        let what = match (cause, status) {
            (Cause::Connect, _) if !is_known => "no server was left to ask".to_owned(),
            (Cause::Connect, _) => "connection refused".to_owned(),
            (Cause::Timeout, _) => "no answer in time".to_owned(),
            (Cause::Status, Some(status @ 500..=599)) => format!("answered {status}"),
            (Cause::Status, _) => "answered with an error".to_owned(),
            (Cause::Cut, _) => "broke off".to_owned(),
            (Cause::Local, _) => "nginx could not ask".to_owned(),
        };
        if count == 1 { format!("{what}, once") } else { format!("{what}, {count} times") }
    };
    causes.into_iter().map(words).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::examples::FailedRequest;
    use crate::board::region::Region;

    const BLUE: PoolId = PoolId::new(1);

    fn monitor() -> &'static MonitorBoard {
        let shared: &MonitorBoard = Region::private(size_of::<MonitorBoard>()).get(0).expect("room");
        shared.pools[1].name.store(b"blue");
        shared
    }

    fn fail(shared: &MonitorBoard, cause: Cause, times: u64) {
        shared.pool(BLUE).causes[cause as usize].fetch_add(times, Relaxed);
    }

    fn failed_request(path: &'static [u8], time_ms: u64) -> FailedRequest<'static> {
        FailedRequest { time_ms, status: 503, pool: BLUE, method: b"GET", path, address: b"10.0.0.1:80" }
    }

    #[test]
    fn causes_are_told_with_their_counts_since_all_was_well() {
        let shared = monitor();
        fail(shared, Cause::Timeout, 7);
        look(shared, &Counts::default(), 1000);
        assert_eq!(words(shared), "", "what failed before is another story");
        fail(shared, Cause::Status, 4);
        fail(shared, Cause::Connect, 12);
        look(shared, &Counts { failed: 1, ..Counts::default() }, 2000);
        assert_eq!(words(shared), "blue: connection refused, 12 times; answered with an error, 4 times");
        shared.pools[0].causes[Cause::Connect as usize].fetch_add(1, Relaxed);
        assert!(words(shared).starts_with("no pool: no server was left to ask, once. blue: "), "{}", words(shared));
    }

    #[test]
    fn a_monitor_at_which_nothing_happens_leaves_the_board_as_it_is() {
        let shared = monitor();
        let calm_ms = |now_ms| {
            look(shared, &Counts::default(), now_ms);
            shared.calm_ms.load(Relaxed)
        };
        assert_eq!((calm_ms(1000), calm_ms(2000)), (0, 0));
        fail(shared, Cause::Timeout, 1);
        assert_eq!((calm_ms(3000), calm_ms(4000)), (3000, 3000));
        shared.examples.put(&failed_request(b"/cart", 4500));
        assert_eq!((calm_ms(5000), calm_ms(6000)), (5000, 5000));
    }

    #[test]
    fn a_status_is_named_where_it_is_the_only_one() {
        let shared = monitor();
        fail(shared, Cause::Status, 4);
        shared.examples.put(&failed_request(b"/cart", 3000));
        assert_eq!(words(shared), "blue: answered 503, 4 times");
    }

    #[test]
    fn the_latest_requests_are_shown_each_once_and_none_from_before() {
        let shared = monitor();
        shared.examples.put(&failed_request(b"/old", 500));
        look(shared, &Counts::default(), 1000);
        for path in [&b"/a"[..], b"/b", b"/b", b"/c", b"/d", b"/d"] {
            shared.examples.put(&failed_request(path, 3000));
        }
        let paths: Vec<String> = examples(shared).into_iter().map(|example| example.path).collect();
        assert_eq!(paths, ["/d", "/c", "/b"]);
    }
}
