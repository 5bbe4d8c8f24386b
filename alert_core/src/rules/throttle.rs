//! Whether to tell: one incident of one kind, its cooldown, its reminders, and what is held back meanwhile.
//!
//! A pure function of state, signal and time, shared by every kind of alert, so that they all keep the same promises:
//! an incident is told once; at most one message and one reminder per cooldown; its end is told exactly when its
//! beginning was; what was swallowed is counted and summed up in the next message; nothing is replayed.

use crate::base::word::Word;

/// What is known about the condition behind an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// It has just become true.
    Raised,
    /// It has just become false.
    Cleared,
    /// It is as it was.
    Unchanged,
    /// Nobody watches it any more.
    Unwatched,
}

/// How much may be said.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Least time between two messages of this kind, in milliseconds; zero is no cooldown and no reminders.
    pub cooldown_ms: u64,
    /// Whether nothing may be sent now (maintenance, or flapping for what flaps).
    pub muted: bool,
    /// Whether people are reminded at the end of each cooldown.
    pub reminds: bool,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    Nothing,
    /// A message was due and is not sent; it has been counted.
    Suppress,
    /// Send this message.
    Notify(Message),
}

/// The message to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// It tells the end of the incident.
    pub resolved: bool,
    /// It repeats that the incident goes on.
    pub reminder: bool,
    /// Messages swallowed since the last one, without this one.
    pub held_back: u32,
}

/// One kind's state, packed into a word of shared memory. Zero is: never anything to tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Throttle {
    /// The condition holds.
    pub raised: bool,
    /// Somebody was told and is owed the end.
    pub told: bool,
    /// Messages swallowed since the last one; saturates.
    held_back: u16,
    /// When the last firing message or reminder was sent, in milliseconds since the Unix epoch; zero is never.
    last_told_ms: u64,
}

const TIME_BITS: u32 = 42;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;

impl Word for Throttle {
    fn to_word(self) -> u64 {
        (self.last_told_ms & TIME_MASK)
            | (u64::from(self.held_back) << TIME_BITS)
            | (u64::from(self.told) << (TIME_BITS + 16))
            | (u64::from(self.raised) << (TIME_BITS + 17))
    }

    fn from_word(word: u64) -> Throttle {
        Throttle {
            last_told_ms: word & TIME_MASK,
            held_back: (word >> TIME_BITS) as u16,
            told: word >> (TIME_BITS + 16) & 1 != 0,
            raised: word >> (TIME_BITS + 17) & 1 != 0,
        }
    }
}

impl Throttle {
    /// When the last message that it fires, or a reminder, was sent, in milliseconds; zero is never.
    pub fn last_told_ms(self) -> u64 {
        self.last_told_ms
    }

    /// The same without that time.
    pub fn told_never(self) -> Throttle {
        Throttle { last_told_ms: 0, ..self }
    }

    /// The same where the last message, a beginning, never went out: it is still to be told.
    pub fn without_beginning(self) -> Throttle {
        Throttle { told: false, last_told_ms: 0, ..self }
    }

    /// The same where the last message, an end, never went out: it is still owed.
    pub fn without_end(self) -> Throttle {
        Throttle { told: true, ..self }
    }

    /// Whether a message now would come too soon after the last one.
    pub fn cooling_down(self, now_ms: u64, cooldown_ms: u64) -> bool {
        self.last_told_ms > 0 && now_ms < self.last_told_ms + cooldown_ms
    }

    /// The state after a signal, and what to do.
    pub fn on(self, signal: Signal, now_ms: u64, policy: &Policy) -> (Throttle, Action) {
        match signal {
            Signal::Raised => {
                let next = Throttle { raised: true, ..self };
                if policy.muted || self.cooling_down(now_ms, policy.cooldown_ms) {
                    next.suppress()
                } else {
                    next.notify(now_ms, false)
                }
            }
            Signal::Cleared => Throttle { raised: false, ..self }.clear(policy),
            // Neither a cooldown nor a count of before hides what is told once somebody watches again.
            Signal::Unwatched => Throttle { told: self.told, ..Throttle::default() }.clear(policy),
            Signal::Unchanged if !self.raised => self.clear(policy),
            Signal::Unchanged => self.notify_again(now_ms, policy),
        }
    }

    /// Tells the end where it is owed. Muted, the debt stands until the mute ends.
    fn clear(self, policy: &Policy) -> (Throttle, Action) {
        if !self.told || policy.muted {
            return (self, Action::Nothing);
        }
        let message = Message { resolved: true, reminder: false, held_back: u32::from(self.held_back) };
        (Throttle { told: false, held_back: 0, ..self }, Action::Notify(message))
    }

    /// While the condition goes on: the message that was held back, or a reminder, as soon as either may be sent.
    fn notify_again(self, now_ms: u64, policy: &Policy) -> (Throttle, Action) {
        let reminds = policy.reminds && policy.cooldown_ms > 0;
        if policy.muted || self.cooling_down(now_ms, policy.cooldown_ms) || (self.told && !reminds) {
            return (self, Action::Nothing);
        }
        if self.told {
            return self.notify(now_ms, true);
        }
        // The message that is sent now was counted when it was held back.
        Throttle { held_back: self.held_back.saturating_sub(1), ..self }.notify(now_ms, false)
    }

    fn notify(self, now_ms: u64, reminder: bool) -> (Throttle, Action) {
        let message = Message { resolved: false, reminder, held_back: u32::from(self.held_back) };
        (Throttle { told: true, held_back: 0, last_told_ms: now_ms & TIME_MASK, ..self }, Action::Notify(message))
    }

    fn suppress(self) -> (Throttle, Action) {
        (Throttle { held_back: self.held_back.saturating_add(1), ..self }, Action::Suppress)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Signal::{Cleared, Raised, Unchanged, Unwatched};

    const T0: u64 = 1_790_000_000_000;
    const POLICY: Policy = Policy { cooldown_ms: 300_000, muted: false, reminds: true };
    const MUTED: Policy = Policy { muted: true, ..POLICY };
    const NO_COOLDOWN: Policy = Policy { cooldown_ms: 0, ..POLICY };
    const NO_REMINDERS: Policy = Policy { reminds: false, ..POLICY };

    fn told(held_back: u32) -> Action {
        Action::Notify(Message { resolved: false, reminder: false, held_back })
    }

    fn resolved(held_back: u32) -> Action {
        Action::Notify(Message { resolved: true, reminder: false, held_back })
    }

    fn reminder(held_back: u32) -> Action {
        Action::Notify(Message { resolved: false, reminder: true, held_back })
    }

    /// Plays signals at seconds after T0 and returns the actions.
    fn play(steps: &[(u64, Signal, &Policy)]) -> Vec<Action> {
        let mut throttle = Throttle::default();
        steps
            .iter()
            .map(|(second, signal, policy)| {
                let (next, action) = throttle.on(*signal, T0 + second * 1000, policy);
                assert_eq!(Throttle::from_word(next.to_word()), next);
                throttle = next;
                action
            })
            .collect()
    }

    #[test]
    fn an_incident_is_told_once_and_so_is_its_end() {
        let actions =
            play(&[(0, Raised, &POLICY), (1, Unchanged, &POLICY), (2, Cleared, &POLICY), (3, Unchanged, &POLICY)]);
        assert_eq!(actions, [told(0), Action::Nothing, resolved(0), Action::Nothing]);
    }

    #[test]
    fn a_second_incident_within_the_cooldown_is_held_back_and_so_is_its_end() {
        let actions = play(&[
            (0, Raised, &POLICY),
            (1, Cleared, &POLICY),
            (2, Raised, &POLICY),
            (3, Cleared, &POLICY),
            (301, Raised, &POLICY),
        ]);
        assert_eq!(actions, [told(0), resolved(0), Action::Suppress, Action::Nothing, told(1)]);
    }

    #[test]
    fn an_incident_held_back_is_told_when_the_cooldown_ends_with_it_still_there() {
        let actions = play(&[
            (0, Raised, &POLICY),
            (1, Cleared, &POLICY),
            (2, Raised, &POLICY),
            (299, Unchanged, &POLICY),
            (300, Unchanged, &POLICY),
            (301, Cleared, &POLICY),
        ]);
        assert_eq!(actions, [told(0), resolved(0), Action::Suppress, Action::Nothing, told(0), resolved(0)]);
    }

    #[test]
    fn one_reminder_each_time_the_cooldown_ends() {
        let actions = play(&[
            (0, Raised, &POLICY),
            (299, Unchanged, &POLICY),
            (300, Unchanged, &POLICY),
            (301, Unchanged, &POLICY),
            (600, Unchanged, &POLICY),
        ]);
        assert_eq!(actions, [told(0), Action::Nothing, reminder(0), Action::Nothing, reminder(0)]);
    }

    #[test]
    fn no_cooldown_means_every_incident_and_no_reminders() {
        let actions = play(&[
            (0, Raised, &NO_COOLDOWN),
            (0, Cleared, &NO_COOLDOWN),
            (0, Raised, &NO_COOLDOWN),
            (9999, Unchanged, &NO_COOLDOWN),
        ]);
        assert_eq!(actions, [told(0), resolved(0), told(0), Action::Nothing]);
    }

    #[test]
    fn what_is_still_wrong_when_maintenance_ends_is_told_then() {
        let actions = play(&[(0, Raised, &MUTED), (50, Unchanged, &MUTED), (60, Unchanged, &POLICY)]);
        assert_eq!(actions, [Action::Suppress, Action::Nothing, told(0)]);
        let actions = play(&[(0, Raised, &MUTED), (50, Cleared, &MUTED), (60, Unchanged, &POLICY)]);
        assert_eq!(actions, [Action::Suppress, Action::Nothing, Action::Nothing]);
    }

    #[test]
    fn the_end_of_a_told_incident_waits_for_the_end_of_maintenance() {
        let actions = play(&[(0, Raised, &POLICY), (50, Cleared, &MUTED), (60, Unchanged, &POLICY)]);
        assert_eq!(actions, [told(0), Action::Nothing, resolved(0)]);
    }

    #[test]
    fn what_reminds_nobody_is_told_once_however_long_it_goes_on() {
        let actions = play(&[
            (0, Raised, &NO_REMINDERS),
            (300, Unchanged, &NO_REMINDERS),
            (9000, Unchanged, &NO_REMINDERS),
            (9001, Cleared, &NO_REMINDERS),
        ]);
        assert_eq!(actions, [told(0), Action::Nothing, Action::Nothing, resolved(0)]);
        let held = play(&[
            (0, Raised, &NO_REMINDERS),
            (1, Cleared, &NO_REMINDERS),
            (2, Raised, &NO_REMINDERS),
            (300, Unchanged, &NO_REMINDERS),
        ]);
        assert_eq!(held[3], told(0), "what the cooldown held back is no reminder");
    }

    #[test]
    fn what_is_no_longer_watched_ends_once_and_hides_no_later_alert() {
        let actions = play(&[
            (0, Raised, &POLICY),
            (1, Unwatched, &POLICY),
            (2, Unwatched, &POLICY),
            (3, Raised, &POLICY),
            (4, Cleared, &POLICY),
            (5, Raised, &POLICY),
            (6, Unwatched, &POLICY),
            (7, Raised, &POLICY),
        ]);
        let (held, nothing) = (Action::Suppress, Action::Nothing);
        assert_eq!(actions, [told(0), resolved(0), nothing, told(0), resolved(0), held, nothing, told(0)]);
    }

    #[test]
    fn the_end_of_what_is_no_longer_watched_waits_for_the_end_of_maintenance() {
        let actions = play(&[(0, Raised, &POLICY), (1, Unwatched, &MUTED), (2, Unwatched, &POLICY)]);
        assert_eq!(actions, [told(0), Action::Nothing, resolved(0)]);
    }
}
