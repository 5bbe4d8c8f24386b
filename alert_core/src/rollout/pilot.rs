//! What happens next to a rollout: a pure function of where it stands, what is known and the time. Called once a second
//! by the one worker that leads.

pub use super::facts::{Facts, Health, Side};
use super::state::{Phase, State, Step, Watch};
use super::verdict::{self, DOUBT, Measure};
use crate::model::ids::PoolId;

/// How long the new pool has to pass its probes before it gets its first request, in seconds.
const PROBING_S: u64 = 60;
/// How long the old pool has to pass its probes before a comparison, in seconds.
const SUSPECT_S: u64 = 30;
/// How long a comparison lasts at most, in seconds.
const COMPARING_S: u64 = 60;
/// The share that the old pool gets in a comparison, in hundredths of a percent.
const COMPARING_SHARE: u32 = 2000;
/// How long the guard rests after a suspicion that came to nothing, in seconds; as often as there are times.
const REST_S: [u32; 3] = [300, 600, 1200];
/// After so many requests that were assigned to the new pool, one must have arrived there.
const ASSIGNED_MIN: u64 = 60;
/// After so many times the length of a step it is told that it waits.
const WAITS_TIMES: u64 = 10;
/// The risk of a comparison's verdict against the new pool, and against the old one.
pub(crate) const COMPARING_RISK: [f64; 2] = [0.001, 0.05];

/// What the directives say.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// The shares of the steps, in hundredths of a percent; 100 % follows them.
    pub steps: Vec<u32>,
    /// The least time of a step, in seconds.
    pub every_s: u64,
    /// The least answers of the new pool in a step.
    pub requests: u64,
    /// What happens to the share when the new pool is worse.
    pub on_worse: OnWorse,
    /// The most probable mistake in a whole rollout, from 0 to 1.
    pub risk: f64,
    /// What the guard may do.
    pub rollback: Rollback,
    /// How long the guard lasts, in seconds.
    pub within_s: u32,
}

/// What happens to the share when the new pool is worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnWorse {
    /// It ends.
    Return,
    /// It stays, and goes no further.
    Hold,
}

/// What a guard may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rollback {
    /// There is no guard.
    Off,
    /// Compare, and say what it would do.
    DryRun,
    /// Give the old pool its traffic back.
    On,
}

/// Why a rollout is over before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aborted {
    /// The new pool is worse.
    Worse(Measure),
    /// No address of the new pool passes its probe any more.
    ProbeFails,
    /// Requests for the new pool do not arrive there.
    NothingArrives,
    /// No worker looked after it.
    Unattended,
    /// An operator wanted it.
    ByHand,
}

/// Why a step does not end yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// Its time is not over: this many seconds are left.
    Time(u64),
    /// The new pool has answered too few requests.
    Requests {
        /// So many.
        answered: u64,
    },
    /// All requests have the same key.
    OneKey,
    /// The votes are neither for the new pool nor enough against it.
    Doubt,
    /// The old pool fails, or a rule of the monitor is broken.
    Alarm,
    /// Another pool than the active one serves.
    FailedOver,
    /// Traffic moves back and forth.
    Flapping,
    /// People work on it.
    Maintenance,
    /// Events were dropped, so that failures can have been missed.
    Dropped,
    /// No address of the new pool passes its probe.
    Probe,
}

impl Waits {
    /// The reason in words.
    pub fn text(self, rules: &Rules) -> String {
        match self {
            Waits::Time(left_s) => format!("{left_s} of {} seconds left", rules.every_s),
            Waits::Requests { answered } => format!("{answered} of {} requests", rules.requests),
            Waits::OneKey => "all requests have one key: split_by does not tell clients apart".into(),
            Waits::Doubt => "the votes say neither that it is worse nor that it is not".into(),
            Waits::Alarm => "a rule of the monitor is broken".into(),
            Waits::FailedOver => "traffic has failed over".into(),
            Waits::Flapping => "traffic moves back and forth".into(),
            Waits::Maintenance => "the monitor is in maintenance".into(),
            Waits::Dropped => "events were dropped".into(),
            Waits::Probe => "the new pool does not pass its probe".into(),
        }
    }
}

/// Why traffic stays where it is although a rule is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The old pool does not pass its probe.
    OldIsDown,
    /// The old pool has another release than the one that was good.
    OldIsRedeployed,
    /// Traffic was moved back a short while ago.
    HandsOff,
    /// The old pool is worse still.
    OldIsWorse,
    /// The comparison found no difference.
    NoDifference,
}

/// What is to be done, besides going over to the next state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Tell that it begins.
    Begin,
    /// Tell that the new pool did not pass its probes, so that nothing moved.
    Fail,
    /// Log that the next step begins.
    Advance,
    /// Log that the step begins anew, since a pool has another release.
    Anew,
    /// Tell that it waits, and why.
    TellWaits(Waits),
    /// Tell that the new pool is worse and the share stays.
    Hold(Measure),
    /// Tell that the share is gone, and why.
    Abort(Aborted),
    /// Make the new pool the active one, and tell that it has all traffic.
    Switch,
    /// Log that the guard suspects the new pool.
    Suspect,
    /// Log that the pools are compared.
    Compare,
    /// Tell why traffic stays.
    Keep(Kept),
    /// Make the old pool the active one, keep the hands off for a while, and tell it.
    RollBack(Measure),
    /// Make the pool before the active one, since an operator wants it.
    RollBackByHand,
    /// Tell that this would be the time for it.
    WouldRollBack(Measure),
    /// Log that the guard is over, or came to its end early.
    Done,
    /// Log that somebody else has decided.
    Cancel,
    /// Tell that the pool of a share set by hand is worse.
    TellWorse(Measure),
    /// Log that the time of a share set by hand is over.
    ShareOver,
}

impl Rules {
    /// The number of steps, the one to 100 % included.
    pub fn steps(&self) -> u8 {
        self.steps.len() as u8 + 1
    }

    /// The pool that has a share in this state, and how much, in hundredths of a percent.
    pub fn share(&self, state: State) -> Option<(PoolId, u32)> {
        if let Phase::ByHand { tenths, .. } = state.phase {
            return Some((state.to, u32::from(tenths) * 10));
        }
        if matches!(state.phase, Phase::Comparing(_)) {
            return Some((state.from, COMPARING_SHARE));
        }
        // A reload can leave fewer steps than there were: the share stays at the last.
        let at = usize::from(state.step()?).min(self.steps.len());
        Some((state.to, *self.steps.get(at.checked_sub(1)?)?))
    }

    /// The evidence that is needed against the new pool, and against the old one, where the share began at `began_s`.
    pub fn needed(&self, state: State, began_s: u64, now_s: u64) -> [f64; 2] {
        match state.phase {
            Phase::Comparing(_) => COMPARING_RISK.map(|risk| 2.0 / risk),
            _ => {
                let part = verdict::part(now_s.saturating_sub(began_s));
                [verdict::needed(self.risk, self.steps(), part); 2]
            }
        }
    }

    /// The guard of a pool that has just got all traffic.
    pub(super) fn guard(&self, state: State, now_s: u64) -> State {
        match self.rollback {
            Rollback::Off => State::default(),
            _ => state.enter(Phase::Guard(Watch { left_s: self.within_s, cleared: 0 }), now_s),
        }
    }
}

impl State {
    /// When its share began, in seconds since the Unix epoch: with the phase, or by hand at this time.
    pub fn began_s(self, by_hand_s: u64) -> u64 {
        if matches!(self.phase, Phase::ByHand { .. }) { by_hand_s } else { self.at_s }
    }

    /// What the votes are about: another term for each step, each part of it and each share.
    pub fn term(began_s: u64, now_s: u64) -> u16 {
        let part = verdict::part(now_s.saturating_sub(began_s));
        (began_s + (part - 1) * verdict::PART_S) as u16
    }

    pub(super) fn enter(self, phase: Phase, now_s: u64) -> State {
        State { phase, at_s: now_s, ..self }
    }

    /// Whether it rests on a share that somebody has to renew.
    fn has_share(self) -> bool {
        matches!(self.phase, Phase::Step(_) | Phase::Held { .. } | Phase::Comparing(_) | Phase::ByHand { .. })
    }

    /// After this look, and what is to be done.
    pub fn step_on(self, rules: &Rules, facts: &Facts, now_s: u64) -> (State, Option<Act>) {
        if self.phase == Phase::Idle {
            return (self, None);
        }
        if facts.active != self.active() {
            return (State::default(), Some(Act::Cancel));
        }
        if self.has_share() && facts.lapsed {
            return match self.phase {
                // It moved clients once; a second time would be one too many.
                Phase::Comparing(watch) => self.keep(watch, Kept::NoDifference, now_s),
                _ => (State::default(), Some(Act::Abort(Aborted::Unattended))),
            };
        }
        match self.phase {
            Phase::Idle => (self, None),
            Phase::Probing => self.probing(facts, now_s),
            Phase::Step(step) => self.in_step(step, rules, facts, now_s),
            Phase::Held { worse, .. } => self.held(worse, facts),
            Phase::Guard(watch) => self.guarding(watch, facts, now_s),
            Phase::Suspect(watch) => self.suspecting(watch, facts, now_s),
            Phase::Comparing(watch) => self.comparing(watch, rules, facts, now_s),
            Phase::ByHand { tenths, told } => self.by_hand(tenths, told, facts, now_s),
        }
    }

    fn probing(self, facts: &Facts, now_s: u64) -> (State, Option<Act>) {
        let is_calm = !facts.maintenance && !facts.failed_over && !facts.flapping;
        if facts.to.health == Health::Up && is_calm {
            return (self.enter(Phase::Step(Step { number: 1, told: false }), now_s), Some(Act::Begin));
        }
        if self.lasted_s(now_s) >= PROBING_S {
            return (State::default(), Some(Act::Fail));
        }
        (self, None)
    }

    fn in_step(self, step: Step, rules: &Rules, facts: &Facts, now_s: u64) -> (State, Option<Act>) {
        if facts.maintenance {
            return (self, None);
        }
        if facts.to.redeployed || facts.from.redeployed {
            // What was seen so far was another release.
            return (self.enter(Phase::Step(step), now_s), Some(Act::Anew));
        }
        if let Some(why) = self.must_end(facts) {
            return match (why, rules.on_worse) {
                (Aborted::Worse(measure), OnWorse::Hold) => {
                    (self.enter(Phase::Held { step: step.number, worse: true }, self.at_s), Some(Act::Hold(measure)))
                }
                _ => (State::default(), Some(Act::Abort(why))),
            };
        }
        let Some(why) = self.waits(rules, facts, now_s) else {
            let number = step.number + 1;
            if number < rules.steps() {
                return (self.enter(Phase::Step(Step { number, told: false }), now_s), Some(Act::Advance));
            }
            return (rules.guard(self, now_s), Some(Act::Switch));
        };
        // That all requests have one key does not change by waiting.
        let times = if why == Waits::OneKey { 1 } else { WAITS_TIMES };
        if !step.told && self.lasted_s(now_s) >= times * rules.every_s {
            return (State { phase: Phase::Step(Step { told: true, ..step }), ..self }, Some(Act::TellWaits(why)));
        }
        (self, None)
    }

    /// Why a share of the new pool has to end.
    fn must_end(self, facts: &Facts) -> Option<Aborted> {
        if facts.arrived == 0 && (facts.assigned >= ASSIGNED_MIN || facts.to_is_worse.is_some()) {
            return Some(Aborted::NothingArrives);
        }
        if let Some(measure) = facts.to_is_worse {
            return Some(Aborted::Worse(measure));
        }
        (facts.to.health == Health::Down).then_some(Aborted::ProbeFails)
    }

    /// Why the step does not end yet; `None` where it does.
    pub fn waits(self, rules: &Rules, facts: &Facts, now_s: u64) -> Option<Waits> {
        let left_s = rules.every_s.saturating_sub(self.lasted_s(now_s));
        let answered = facts.to.attempts.answered();
        [
            (facts.maintenance, Waits::Maintenance),
            (facts.flapping, Waits::Flapping),
            (facts.failed_over, Waits::FailedOver),
            (facts.alarm, Waits::Alarm),
            (facts.dropped, Waits::Dropped),
            (!facts.to.health.answers(), Waits::Probe),
            (facts.one_key, Waits::OneKey),
            (left_s > 0, Waits::Time(left_s)),
            (facts.evidence >= DOUBT, Waits::Doubt),
            (answered < rules.requests, Waits::Requests { answered }),
        ]
        .into_iter()
        .find_map(|(waits, why)| waits.then_some(why))
    }

    fn held(self, worse: bool, facts: &Facts) -> (State, Option<Act>) {
        match self.must_end(facts).filter(|_| !facts.maintenance) {
            // That is why it is held.
            Some(Aborted::Worse(_)) if worse => (self, None),
            Some(why) => (State::default(), Some(Act::Abort(why))),
            None => (self, None),
        }
    }

    fn guarding(self, watch: Watch, facts: &Facts, now_s: u64) -> (State, Option<Act>) {
        if now_s >= self.at_s + u64::from(watch.left_s) {
            return (State::default(), Some(Act::Done));
        }
        if facts.alarm && now_s >= self.at_s && !facts.maintenance && !facts.flapping {
            let ends_s = self.at_s + u64::from(watch.left_s);
            let watch = Watch { left_s: (ends_s - now_s) as u32, ..watch };
            return (self.enter(Phase::Suspect(watch), now_s), Some(Act::Suspect));
        }
        (self, None)
    }

    fn suspecting(self, watch: Watch, facts: &Facts, now_s: u64) -> (State, Option<Act>) {
        if facts.maintenance || facts.flapping || !facts.alarm {
            return (self.rest(watch, 0, now_s), None);
        }
        if facts.from.redeployed {
            return (State::default(), Some(Act::Keep(Kept::OldIsRedeployed)));
        }
        if facts.hands_off {
            return self.keep(watch, Kept::HandsOff, now_s);
        }
        if facts.from.health.answers() {
            return (self.enter(Phase::Comparing(watch), now_s), Some(Act::Compare));
        }
        if self.lasted_s(now_s) >= SUSPECT_S {
            return self.keep(watch, Kept::OldIsDown, now_s);
        }
        (self, None)
    }

    fn comparing(self, watch: Watch, rules: &Rules, facts: &Facts, now_s: u64) -> (State, Option<Act>) {
        if facts.maintenance || facts.flapping {
            return self.keep(watch, Kept::NoDifference, now_s);
        }
        if facts.from.redeployed {
            return (State::default(), Some(Act::Keep(Kept::OldIsRedeployed)));
        }
        if facts.from.health == Health::Down {
            return self.keep(watch, Kept::OldIsDown, now_s);
        }
        if let Some(measure) = facts.to_is_worse {
            let act = match rules.rollback {
                Rollback::On => Act::RollBack(measure),
                Rollback::DryRun | Rollback::Off => Act::WouldRollBack(measure),
            };
            return (State::default(), Some(act));
        }
        if facts.from_is_worse.is_some() {
            return self.keep(watch, Kept::OldIsWorse, now_s);
        }
        if self.lasted_s(now_s) >= COMPARING_S {
            return self.keep(watch, Kept::NoDifference, now_s);
        }
        (self, None)
    }

    fn by_hand(self, tenths: u16, told: bool, facts: &Facts, now_s: u64) -> (State, Option<Act>) {
        if self.at_s != 0 && now_s >= self.at_s {
            return (State::default(), Some(Act::ShareOver));
        }
        match facts.to_is_worse {
            Some(measure) if !told && !facts.maintenance => {
                (State { phase: Phase::ByHand { tenths, told: true }, ..self }, Some(Act::TellWorse(measure)))
            }
            _ => (self, None),
        }
    }

    /// Traffic stays, and the guard rests for a while; or for good after the last time.
    fn keep(self, watch: Watch, why: Kept, now_s: u64) -> (State, Option<Act>) {
        let next = match REST_S.get(usize::from(watch.cleared)) {
            Some(rest_s) => self.rest(Watch { cleared: watch.cleared + 1, ..watch }, *rest_s, now_s),
            None => State::default(),
        };
        (next, Some(Act::Keep(why)))
    }

    /// The guard goes on after a rest.
    fn rest(self, watch: Watch, rest_s: u32, now_s: u64) -> State {
        let ends_s = (self.at_s + u64::from(watch.left_s)).max(now_s);
        let at_s = (now_s + u64::from(rest_s)).min(ends_s);
        State { phase: Phase::Guard(Watch { left_s: (ends_s - at_s) as u32, ..watch }), at_s, ..self }
    }

    /// How long it has been in this phase, in seconds.
    pub fn lasted_s(self, now_s: u64) -> u64 {
        now_s.saturating_sub(self.at_s)
    }
}

#[cfg(test)]
mod tests;
