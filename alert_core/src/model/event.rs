//! One finished request, as the log phase hands it to the detector: a plain copy of one cache line.

use crate::model::ids::{PeerId, PoolId};
use crate::model::outcome::Outcome;
use crate::model::success::{SourceId, Success};

/// Attempts of one request that are kept apart; of a request with more, the middle ones are not.
pub const ATTEMPTS_MAX: usize = 14;

/// One upstream attempt.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// The pool of the server.
    pub pool: PoolId,
    /// The server.
    pub peer: PeerId,
    /// Whether it failed: 5xx, or what nginx records as 502 or 504.
    pub failed: bool,
}

/// One finished request.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// When it ended, in milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// Upstream time of all its attempts, in milliseconds; saturates.
    pub latency_ms: u32,
    /// The place of its monitor among those of the configuration.
    pub monitor: u16,
    /// Answers that went ahead in the ring before it, counted from the start; wraps.
    pub(crate) answers_ahead: u32,
    /// Whether the client got an answer of the server class of errors.
    client_failed: bool,
    len: u8,
    attempts: [Attempt; ATTEMPTS_MAX],
}

impl Event {
    /// An event without attempts.
    #[inline]
    pub const fn begin(monitor: u16, time_ms: u64) -> Event {
        const NONE: Attempt = Attempt { pool: PoolId::NONE, peer: PeerId::NONE, failed: false };
        Event {
            time_ms,
            latency_ms: 0,
            monitor,
            answers_ahead: 0,
            client_failed: false,
            len: 0,
            attempts: [NONE; ATTEMPTS_MAX],
        }
    }

    /// Adds an attempt that ended with this status after this time.
    #[inline]
    pub fn attempt(&mut self, pool: PoolId, peer: PeerId, status: u16, time_ms: u32) {
        let at = (self.len as usize).min(ATTEMPTS_MAX - 1);
        self.attempts[at] = Attempt { pool, peer, failed: status >= 500 };
        self.len = at as u8 + 1;
        self.latency_ms = self.latency_ms.saturating_add(time_ms);
    }

    /// Completes the event with the status that the client got.
    #[inline]
    pub fn finish(mut self, client_status: u16) -> Event {
        self.client_failed = client_status >= 500;
        self
    }

    /// The attempts, in order.
    #[inline]
    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts[..self.len as usize]
    }

    /// The last attempt; `None` for an event without any.
    #[inline]
    pub fn last(&self) -> Option<&Attempt> {
        self.attempts().last()
    }

    /// The event as a mere answer, where it is one.
    #[inline]
    pub fn answer(&self) -> Option<Success> {
        match *self.attempts() {
            [Attempt { pool, peer, failed: false }] => {
                let origin = SourceId::new(self.monitor, pool, peer);
                Some(Success { time_ms: self.time_ms, latency_ms: self.latency_ms, origin })
            }
            _ => None,
        }
    }

    /// What became of the request, given whether traffic is failed over.
    #[inline]
    pub fn outcome(&self, failed_over: bool) -> Outcome {
        let Some((last, earlier)) = self.attempts().split_last() else { return Outcome::Answered };
        if last.failed {
            // Where an error page answered in place of the upstream's failure, the client saw none.
            return if self.client_failed { Outcome::Failed } else { Outcome::Answered };
        }
        match earlier.iter().any(|attempt| attempt.failed) {
            false => Outcome::Answered,
            true if failed_over => Outcome::RetriedWhileFailedOver,
            true => Outcome::Retried,
        }
    }
}

impl From<Success> for Event {
    fn from(answer: Success) -> Event {
        let Success { origin, time_ms, .. } = answer;
        let mut event = Event::begin(origin.monitor(), time_ms);
        event.attempts[0] = Attempt { pool: origin.pool(), peer: origin.peer(), failed: false };
        event.len = 1;
        event.latency_ms = answer.latency_ms;
        event
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(statuses: &[u16], client_status: u16) -> Event {
        let mut event = Event::begin(0, 0);
        statuses.iter().for_each(|status| event.attempt(PoolId::new(1), PeerId::NONE, *status, 10));
        event.finish(client_status)
    }

    #[test]
    fn an_event_is_one_cache_line() {
        assert_eq!(size_of::<Event>(), 64);
    }

    #[test]
    fn the_outcome_is_what_the_client_got() {
        assert_eq!(event(&[200], 200).outcome(false), Outcome::Answered);
        assert_eq!(event(&[404], 404).outcome(false), Outcome::Answered);
        assert_eq!(event(&[500, 200], 200).outcome(false), Outcome::Retried);
        assert_eq!(event(&[500, 200], 200).outcome(true), Outcome::RetriedWhileFailedOver);
        assert_eq!(event(&[500, 502], 502).outcome(false), Outcome::Failed);
        assert_eq!(event(&[502], 200).outcome(false), Outcome::Answered, "an error page answered instead");
        assert_eq!(event(&[500, 200], 200).latency_ms, 20);
    }

    #[test]
    fn more_attempts_than_fit_keep_the_last() {
        let event = event(&[[502; 40].as_slice(), &[200]].concat(), 200);
        assert_eq!(event.attempts().len(), ATTEMPTS_MAX);
        assert_eq!(event.outcome(false), Outcome::Retried);
    }
}
