//! What the first attempts of requests say about the pools of a rollout: a good one is counted, a bad one is a vote.

use std::sync::atomic::Ordering::Relaxed;

use super::Monitor;
use crate::board::rollout::RolloutBoard;
use crate::model::event::Event;
use crate::model::ids::PoolId;
use crate::model::outcome::ClientGot;
use crate::rollout::share::Bucket;
use crate::rollout::state::Phase;
use crate::rollout::verdict::Measure;

/// In [`RolloutBoard::attempts`]: the pool of the share, and the other one.
const OF_SHARE: usize = 0;
const OF_OTHER: usize = 1;

impl Monitor {
    /// Counts answers of one server at the first attempt.
    #[inline]
    pub(super) fn count_first_answers(&self, pool: PoolId, count: u64) {
        let Some(rollout) = self.rollout else { return };
        rollout.first_attempts(pool).answered.fetch_add(count, Relaxed);
        if rollout.share.word() == 0 {
            return;
        }
        if let Some(at) = side(rollout, pool) {
            rollout.attempts[at].requests.fetch_add(count, Relaxed);
            rollout.attempts[at].arrived.fetch_add(count, Relaxed);
        }
    }

    /// Takes what a request says. What it got by a retry, or where it was sent to instead, says nothing about its pool.
    pub(super) fn count_first_attempt(&self, event: &Event, now_ms: u64) {
        let Some(rollout) = self.rollout else { return };
        let Some((pool, bucket)) = event.assigned else {
            // It went its way by other means than the share.
            match event.attempts().first().filter(|_| !event.is_part()) {
                Some(first) if first.failed() => drop(rollout.first_attempts(first.pool).failed.fetch_add(1, Relaxed)),
                Some(first) => self.count_first_answers(first.pool, 1),
                None => (),
            }
            return;
        };
        let (first, failed) = match event.attempts().first() {
            // No server of its pool was asked: it names none, or none was live.
            Some(first) if !first.pool.is_known() => (None, first.failed()),
            None => (None, event.client() == Some(ClientGot::Failure)),
            Some(first) => (Some(first), first.failed()),
        };
        match first {
            None if !failed => return,
            Some(first) if first.pool != pool => return,
            _ => (),
        }
        let ever = rollout.first_attempts(pool);
        if failed { &ever.failed } else { &ever.answered }.fetch_add(1, Relaxed);
        let (Some(at), true) = (side(rollout, pool), rollout.share.word() != 0) else { return };
        let attempts = &rollout.attempts[at];
        if first.is_some() {
            attempts.arrived.fetch_add(1, Relaxed);
        }
        attempts.requests.fetch_add(1, Relaxed);
        let is_slow = event.attempts().len() == 1 && self.is_slow(rollout, event.latency_ms, now_ms);
        let measure = if failed {
            attempts.failed.fetch_add(1, Relaxed);
            if event.client() == Some(ClientGot::Failure) {
                rollout.reached_users[at].fetch_add(1, Relaxed);
            }
            Measure::Errors
        } else if is_slow {
            attempts.slow.fetch_add(1, Relaxed);
            Measure::Latency
        } else {
            return;
        };
        rollout.ballots[measure as usize].cast(Bucket::new(bucket), at == OF_SHARE);
    }

    /// Whether a first attempt took longer than nearly all at the old pool did, once the new one is warm.
    fn is_slow(&self, rollout: &RolloutBoard, latency_ms: u32, now_ms: u64) -> bool {
        let warm_ms = rollout.begun_ms.load(Relaxed) + self.settings.rollout.warmup_ms;
        rollout.is_slow(latency_ms.into()) && now_ms >= warm_ms
    }
}

/// Which side of the comparison a pool is on.
fn side(rollout: &RolloutBoard, pool: PoolId) -> Option<usize> {
    let state = rollout.state.load();
    let of_share = if matches!(state.phase, Phase::Comparing(_)) { state.from } else { state.to };
    match pool {
        pool if pool == of_share => Some(OF_SHARE),
        pool if pool == state.from || pool == state.to => Some(OF_OTHER),
        _ => None,
    }
}
