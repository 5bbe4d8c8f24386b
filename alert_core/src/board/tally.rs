//! What a finished request adds to the totals of its monitor: those of the pools, of the addresses, and its own.

use std::sync::atomic::Ordering::Relaxed;

use crate::board::monitor::MonitorBoard;
use crate::board::peer::PeerBoard;
use crate::model::event::Attempt;
use crate::model::event::Event;
use crate::model::ids::{PeerId, PoolId, PoolSet};
use crate::model::outcome::{AttemptEnd, Outcome};
use crate::model::success::{SourceId, Success};

impl MonitorBoard {
    /// Counts a request, or a part of one, and returns the pools of its failed attempts.
    pub fn count(&self, event: &Event, outcome: Option<Outcome>) -> PoolSet {
        let mut failed = PoolSet::EMPTY;
        let answer = event.answered_by().and(event.attempts().len().checked_sub(1));
        let served_by = event.served_by();
        for (at, attempt) in event.attempts().iter().enumerate() {
            match attempt.end {
                AttemptEnd::Failed(cause) => {
                    failed.insert(attempt.pool);
                    self.count_failure(attempt.pool, attempt.peer, cause, event.time_ms);
                }
                AttemptEnd::Answered if answer == Some(at) => {
                    let header_ago_ms = event.time_ms.saturating_sub(event.header_ms).try_into().unwrap_or(u32::MAX);
                    let origin = SourceId::new(event.monitor, attempt.pool, attempt.peer);
                    let Event { time_ms, latency_ms, .. } = *event;
                    self.count_run(&[Success { time_ms, header_ago_ms, latency_ms, origin }], origin);
                }
                AttemptEnd::Answered => {
                    let pool = self.pool(attempt.pool);
                    pool.passed_on.fetch_add(1, Relaxed);
                    if served_by == Some(attempt.pool) {
                        pool.last_seen_ms.fetch_max(event.header_ms, Relaxed);
                    }
                }
                AttemptEnd::Abandoned => (),
            }
        }
        if let Some(cause) = event.unasked() {
            self.pool(PoolId::NONE).causes[cause as usize].fetch_add(1, Relaxed);
        }
        if let Some(outcome) = outcome {
            self.count_outcome(event, outcome);
            self.count_unmatched(event.attempts().iter().rfind(is_unmatched).map(|attempt| attempt.peer), 1);
        }
        failed
    }

    /// Counts requests that one server answered.
    pub fn count_answers(&self, run: &[Success]) {
        let Some(Success { origin, .. }) = run.first() else { return };
        self.count_run(run, *origin);
        if !origin.pool().is_known() {
            self.count_unmatched(Some(origin.peer()), run.len() as u64);
        }
    }

    fn count_run(&self, run: &[Success], origin: SourceId) {
        let peer = self.peer_then(origin.peer(), run.last().map_or(0, |last| last.time_ms));
        if let Some(board) = self.peer(peer) {
            board.count_answers(run);
        }
        self.pool(origin.pool()).remember_peer(peer);
        self.pool(origin.pool()).count_answers(run);
    }

    /// Counts requests that went to an address of no pool, where pools are listed.
    fn count_unmatched(&self, peer: Option<PeerId>, requests: u64) {
        let Some(peer) = peer.and_then(|peer| self.peer(peer)) else { return };
        if self.peers.iter().any(PeerBoard::is_listed) {
            self.unmatched.requests.fetch_add(requests, Relaxed);
            if self.unmatched.address.key() != peer.key() {
                self.unmatched.address.store(peer.text().as_bytes());
            }
        }
    }

    fn count_outcome(&self, event: &Event, outcome: Outcome) {
        let pool = self.pool(event.pool());
        if event.answered_by().is_none() {
            pool.failed_last.fetch_add(1, Relaxed);
        }
        match outcome {
            Outcome::Answered => (),
            Outcome::Failed => {
                self.failed.fetch_add(1, Relaxed);
                pool.failed_requests.fetch_add(1, Relaxed);
            }
            Outcome::Retried | Outcome::RetriedWhileFailedOver => {
                self.retried.fetch_add(1, Relaxed);
            }
            Outcome::Abandoned => {
                self.abandoned.fetch_add(1, Relaxed);
            }
        }
    }
}

/// Whether an attempt went to an address of no pool.
fn is_unmatched(attempt: &&Attempt) -> bool {
    !attempt.pool.is_known() && attempt.peer != PeerId::NONE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::region::Region;
    use crate::model::event::Attempt;
    use crate::model::ids::PeerId;
    use crate::model::outcome::{Cause, ClientGot};

    const BLUE: PoolId = PoolId::new(1);
    const GREEN: PoolId = PoolId::new(2);

    fn monitor() -> &'static MonitorBoard {
        Region::private(size_of::<MonitorBoard>()).get(0).expect("room")
    }

    fn event(attempts: &[(PoolId, AttemptEnd)], client: Option<ClientGot>) -> Event {
        let mut event = Event::begin(0, 1000);
        for (pool, end) in attempts {
            assert!(event.attempt(Attempt { pool: *pool, peer: PeerId::NONE, end: *end }));
        }
        client.map_or(event, |client| event.finish(client))
    }

    fn count(monitor: &MonitorBoard, event: &Event) -> PoolSet {
        monitor.count(event, event.outcome(false))
    }

    #[test]
    fn every_attempt_counts_with_its_cause_and_the_request_once() {
        let monitor = monitor();
        let (refused, cut) = (AttemptEnd::Failed(Cause::Connect), AttemptEnd::Failed(Cause::Cut));
        let part = event(&[(BLUE, refused); 20], None);
        let rest = event(&[(BLUE, cut), (GREEN, AttemptEnd::Answered)], Some(ClientGot::Answer));
        assert!([part, rest].iter().all(|event| count(monitor, event).contains(BLUE)));
        let blue = monitor.pool(BLUE);
        let causes = [Cause::Connect, Cause::Cut].map(|cause| blue.causes[cause as usize].load(Relaxed));
        assert_eq!((blue.failed_attempts.load(Relaxed), causes), (21, [20, 1]));
        assert_eq!((monitor.retried.load(Relaxed), monitor.pool(GREEN).answered()), (1, 1));
    }

    #[test]
    fn a_failed_request_is_booked_to_the_pool_that_failed_and_not_to_its_error_page() {
        let monitor = monitor();
        let failed = AttemptEnd::Failed(Cause::Status);
        count(monitor, &event(&[(BLUE, failed), (GREEN, AttemptEnd::Answered)], Some(ClientGot::Failure)));
        let [blue, green] = [BLUE, GREEN].map(|pool| monitor.pool(pool));
        assert_eq!((blue.failed_requests.load(Relaxed), blue.failed_last.load(Relaxed)), (1, 1));
        assert_eq!((green.failed_requests.load(Relaxed), green.answered(), green.passed_on.load(Relaxed)), (0, 0, 1));
    }

    #[test]
    fn a_request_that_nobody_was_asked_for_and_one_that_was_given_up_count() {
        let monitor = monitor();
        let mut unasked = event(&[], Some(ClientGot::Failure));
        unasked.failed_unasked(Cause::Local);
        count(monitor, &unasked);
        count(monitor, &event(&[(BLUE, AttemptEnd::Abandoned)], Some(ClientGot::Nothing)));
        let unknown = monitor.pool(PoolId::NONE);
        assert_eq!(
            (unknown.causes[Cause::Local as usize].load(Relaxed), unknown.failed_attempts.load(Relaxed)),
            (1, 0)
        );
        assert_eq!((monitor.failed.load(Relaxed), monitor.abandoned.load(Relaxed)), (1, 1));
        assert_eq!((monitor.failed_attempts(), monitor.pool(BLUE).failed_last.load(Relaxed)), (0, 1));
    }
}
