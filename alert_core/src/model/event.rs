//! One finished request, as the log phase hands it to the detector: a plain copy of two cache lines.

use crate::model::ids::{PeerId, PoolId};
use crate::model::outcome::{AttemptEnd, Cause, ClientGot, Outcome};
use crate::model::success::{SourceId, Success};

/// Attempts that an event has room for. Those of a request with more go ahead in events of their own
/// ([`Event::is_part`]), so that each of them counts.
pub const ATTEMPTS_MAX: usize = 24;

/// One upstream attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The pool of the server.
    pub pool: PoolId,
    /// The server; none where nobody was asked.
    pub peer: PeerId,
    /// How it ended.
    pub end: AttemptEnd,
}

impl Attempt {
    /// Whether it failed.
    #[inline]
    pub const fn failed(&self) -> bool {
        matches!(self.end, AttemptEnd::Failed(_))
    }
}

/// One finished request. All times are those of the board's clock.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// When it ended, in milliseconds.
    pub time_ms: u64,
    /// When the header of its last attempt came, in milliseconds: who answered says who serves as of then. Where no header
    /// came, when the request ended.
    pub header_ms: u64,
    /// When its last attempt began, in milliseconds; where there was none, when the request ended.
    pub began_ms: u64,
    /// Upstream time of all its attempts as the monitor's `latency` rule counts it, in milliseconds; saturates.
    pub latency_ms: u32,
    /// The place of its monitor among those of the configuration.
    pub monitor: u16,
    /// Answers that went ahead in the ring before it, counted from the start; wraps.
    pub(crate) answers_ahead: u32,
    /// What the client got; `None` for a part, the rest of which is to follow.
    client: Option<ClientGot>,
    /// Why a request failed that has no attempt.
    unasked: Option<Cause>,
    /// The pool that the request was assigned to, and the number of its bucket; `None` where it was not, and for a part.
    pub assigned: Option<(PoolId, u16)>,
    len: u8,
    attempts: [Attempt; ATTEMPTS_MAX],
}

impl Event {
    /// A part of a request: no attempts yet, and nothing that the client got.
    #[inline]
    pub const fn begin(monitor: u16, time_ms: u64) -> Event {
        // Nobody looks at it. All zeros, which is cheap to write.
        const NONE: Attempt =
            Attempt { pool: PoolId::NONE, peer: PeerId::new(0), end: AttemptEnd::Failed(Cause::Connect) };
        Event {
            time_ms,
            header_ms: time_ms,
            began_ms: time_ms,
            latency_ms: 0,
            monitor,
            answers_ahead: 0,
            client: None,
            unasked: None,
            assigned: None,
            len: 0,
            attempts: [NONE; ATTEMPTS_MAX],
        }
    }

    /// A request of which only statuses are known: of each attempt, and of the client. It took no time.
    pub fn of_statuses(monitor: u16, time_ms: u64, attempts: &[(PoolId, PeerId, u16)], client: u16) -> Event {
        let mut event = Event::begin(monitor, time_ms);
        for (pool, peer, status) in attempts {
            event.attempt(Attempt { pool: *pool, peer: *peer, end: AttemptEnd::of_status(*status) });
        }
        event.finish(ClientGot::of_status(client))
    }

    /// Adds an attempt, if there is room. Returns whether there was.
    #[inline]
    pub fn attempt(&mut self, attempt: Attempt) -> bool {
        let Some(free) = self.attempts.get_mut(self.len as usize) else { return false };
        *free = attempt;
        self.len += 1;
        true
    }

    /// Makes it the next part of the same request: no attempts yet.
    pub(crate) fn go_on(&mut self) {
        self.len = 0;
    }

    /// Says why a request without attempts failed.
    #[inline]
    pub fn failed_unasked(&mut self, cause: Cause) {
        self.unasked = Some(cause);
    }

    /// Completes the event with what the client got.
    #[inline]
    pub fn finish(mut self, client: ClientGot) -> Event {
        self.complete(client);
        self
    }

    /// The event with the pool that its request was assigned to, and the number of its bucket.
    #[inline]
    pub fn assigned_to(mut self, assigned: Option<(PoolId, u16)>) -> Event {
        self.assigned = assigned;
        self
    }

    /// Completes it in place.
    #[inline]
    pub(crate) fn complete(&mut self, client: ClientGot) {
        self.client = Some(client);
    }

    /// The attempts, in order.
    #[inline]
    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts[..self.len as usize]
    }

    /// The event with its attempts changed.
    pub(crate) fn with_attempts(&self, change: impl Fn(&Attempt) -> Attempt) -> Event {
        let mut event = *self;
        event.attempts[..event.len as usize].iter_mut().for_each(|attempt| *attempt = change(attempt));
        event
    }

    /// The last attempt; `None` for an event without any.
    #[inline]
    pub fn last(&self) -> Option<&Attempt> {
        self.attempts().last()
    }

    /// What the client got; `None` for a part.
    #[inline]
    pub fn client(&self) -> Option<ClientGot> {
        self.client
    }

    /// Why a request without attempts failed.
    #[inline]
    pub fn unasked(&self) -> Option<Cause> {
        self.unasked
    }

    /// Whether this is a part of a request that had more attempts than fit: its attempts count, and the request does with
    /// the event that follows.
    #[inline]
    pub fn is_part(&self) -> bool {
        self.client.is_none()
    }

    /// The pool whose answer the client got; `None` where the request failed, was abandoned, or is a part.
    #[inline]
    pub fn answered_by(&self) -> Option<PoolId> {
        let answered = self.client == Some(ClientGot::Answer);
        self.last().filter(|last| answered && last.end == AttemptEnd::Answered).map(|last| last.pool)
    }

    /// The pool that serves by the answer that the client got: the one that gave it, or, where nobody knows that one, the one
    /// that sent the request on there (`X-Accel-Redirect` to a storage).
    #[inline]
    pub fn served_by(&self) -> Option<PoolId> {
        let answered_by = self.answered_by()?;
        let known = self.attempts().iter().rfind(|attempt| attempt.pool.is_known());
        Some(known.filter(|known| known.end == AttemptEnd::Answered).map_or(answered_by, |known| known.pool))
    }

    /// The pool of the last attempt that failed, else the unknown one.
    #[inline]
    fn failed_at(&self) -> PoolId {
        self.attempts().iter().rfind(|attempt| attempt.failed()).map_or(PoolId::NONE, |attempt| attempt.pool)
    }

    /// The pool that a request is booked to: that which answered it, else that which failed it, else the last one asked.
    #[inline]
    pub fn pool(&self) -> PoolId {
        match self.client {
            Some(ClientGot::Nothing) => self.last().map_or(PoolId::NONE, |last| last.pool),
            _ => self.answered_by().unwrap_or_else(|| self.failed_at()),
        }
    }

    /// The event as a mere success, where it is one.
    #[inline]
    pub fn success(&self) -> Option<Success> {
        match *self.attempts() {
            [Attempt { pool, peer, end: AttemptEnd::Answered }] if self.client == Some(ClientGot::Answer) => {
                Some(Success {
                    time_ms: self.time_ms,
                    header_ago_ms: u32::try_from(self.time_ms.saturating_sub(self.header_ms)).ok()?,
                    latency_ms: self.latency_ms,
                    origin: SourceId::new(self.monitor, pool, peer),
                })
            }
            _ => None,
        }
    }

    /// What became of the request, given whether traffic is failed over; `None` for a part.
    #[inline]
    pub fn outcome(&self, failed_over: bool) -> Option<Outcome> {
        Some(match self.client? {
            ClientGot::Failure => Outcome::Failed,
            ClientGot::Nothing => Outcome::Abandoned,
            ClientGot::Answer if !self.attempts().iter().any(Attempt::failed) => Outcome::Answered,
            ClientGot::Answer if failed_over => Outcome::RetriedWhileFailedOver,
            ClientGot::Answer => Outcome::Retried,
        })
    }
}

impl From<Success> for Event {
    fn from(success: Success) -> Event {
        let Success { origin, time_ms, latency_ms, .. } = success;
        let mut event = Event::begin(origin.monitor(), time_ms);
        event.header_ms = success.header_ms();
        event.began_ms = success.began_ms();
        event.latency_ms = latency_ms;
        event.attempt(Attempt { pool: origin.pool(), peer: origin.peer(), end: AttemptEnd::Answered });
        event.finish(ClientGot::Answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(statuses: &[u16], client: u16) -> Event {
        let attempts: Vec<_> = statuses.iter().map(|status| (PoolId::new(1), PeerId::NONE, *status)).collect();
        Event::of_statuses(0, 0, &attempts, client)
    }

    #[test]
    fn an_event_is_two_cache_lines() {
        assert!(size_of::<Event>() <= 128, "{}", size_of::<Event>());
    }

    #[test]
    fn the_outcome_is_what_the_client_got() {
        assert_eq!(event(&[200], 200).outcome(false), Some(Outcome::Answered));
        assert_eq!(event(&[404], 404).outcome(false), Some(Outcome::Answered));
        assert_eq!(event(&[500, 200], 200).outcome(false), Some(Outcome::Retried));
        assert_eq!(event(&[500, 200], 200).outcome(true), Some(Outcome::RetriedWhileFailedOver));
        assert_eq!(event(&[500, 502], 502).outcome(true), Some(Outcome::Failed));
        assert_eq!(event(&[502, 200], 502).outcome(false), Some(Outcome::Failed), "an error page with its status");
        assert_eq!(event(&[502], 200).outcome(false), Some(Outcome::Retried), "an error page answered instead");
        assert_eq!(event(&[600], 600).outcome(false), Some(Outcome::Answered), "600 and above is no failure");
        assert_eq!(event(&[], 502).outcome(false), Some(Outcome::Failed));
        assert_eq!(Event::begin(0, 0).finish(ClientGot::Nothing).outcome(false), Some(Outcome::Abandoned));
    }

    #[test]
    fn attempts_that_do_not_fit_are_refused_and_a_part_has_no_outcome() {
        let mut event = Event::begin(0, 0);
        let failed = Attempt { pool: PoolId::new(1), peer: PeerId::NONE, end: AttemptEnd::of_status(502) };
        assert!((0..ATTEMPTS_MAX).all(|_| event.attempt(failed)));
        assert!(!event.attempt(failed));
        assert_eq!((event.attempts().len(), event.outcome(false), event.is_part()), (ATTEMPTS_MAX, None, true));
    }

    #[test]
    fn only_an_answer_that_the_client_got_says_who_answered() {
        assert_eq!(event(&[500, 200], 200).answered_by(), Some(PoolId::new(1)));
        assert_eq!(event(&[502, 200], 502).answered_by(), None, "the client got an error page");
        assert_eq!(event(&[502], 200).answered_by(), None);
        assert_eq!(event(&[], 502).answered_by(), None);
    }

    #[test]
    fn a_success_is_an_event_with_the_same_times_and_back() {
        let origin = SourceId::new(3, PoolId::new(2), PeerId::new(7));
        let success = Success { time_ms: 10_000, header_ago_ms: 40, latency_ms: 25, origin };
        let event = Event::from(success);
        assert_eq!((event.header_ms, event.began_ms), (9960, 9935));
        assert_eq!(event.success(), Some(success));
    }
}
