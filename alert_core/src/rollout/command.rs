//! What an operator wants of a rollout, and why it may be refused. A pure function, as [`super::pilot`] is; the operator
//! wins over it.

use std::fmt;

use super::pilot::{Aborted, Act, Facts, Health, Rules};
use super::state::{Phase, State, Step};
use crate::model::ids::PoolId;

/// What an operator wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Let a pool take over step by step.
    Rollout {
        /// The pool.
        to: PoolId,
        /// Although its release was left a short while ago.
        again: bool,
    },
    /// Stay at this share.
    Pause,
    /// Go on.
    Resume,
    /// All traffic, now.
    Promote,
    /// No traffic, now.
    Abort,
    /// A share that nothing acts upon.
    Share {
        /// The pool.
        to: PoolId,
        /// The share in tenths of a percent; zero ends it.
        tenths: u16,
        /// When it ends, in seconds since the Unix epoch; zero is never.
        until_s: u64,
    },
    /// All traffic back to the pool before.
    RollBack {
        /// Although it does not pass its probe.
        force: bool,
    },
}

/// What is known when the command comes, besides [`Facts`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Situation {
    /// The facts about the pools that the command is about.
    pub facts: Facts,
    /// Whether the monitor has probes.
    pub probed: bool,
    /// Whether the pool answers with another release than the one that was named.
    pub other_release: bool,
    /// Whether this release was left a short while ago.
    pub left: bool,
    /// The pool that was active before.
    pub before: PoolId,
    /// What the probes say of it.
    pub before_health: Health,
}

/// Why a command is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A rollout runs.
    Runs,
    /// None does.
    RunsNot,
    /// In this phase there is nothing like it.
    NotNow,
    /// The monitor has no probes.
    NoProbe,
    /// People work on it.
    Maintenance,
    /// Another pool than the active one serves.
    FailedOver,
    /// No pool is active.
    NoActive,
    /// The pool is the active one.
    IsActive,
    /// It answers with another release.
    OtherRelease,
    /// Its release was left within the cooldown.
    Left,
    /// It does not pass its probe.
    Down,
    /// There is no pool before.
    NoBefore,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::Runs => "a rollout is running; end it with do=abort or do=promote first",
            Refusal::RunsNot => "no rollout is running",
            Refusal::NotNow => "this is not possible in the present phase of the rollout",
            Refusal::NoProbe => "a rollout needs \"probe URI;\" in this monitor, to know whether the pool answers",
            Refusal::Maintenance => "the monitor is in maintenance; end that first",
            Refusal::FailedOver => "traffic has failed over to another pool; wait until it is back",
            Refusal::NoActive => "no pool is known to be active; set \"active NAME;\" in this monitor",
            Refusal::IsActive => "this pool already has all traffic",
            Refusal::OtherRelease => "the pool answers with another release than the one named",
            Refusal::Left => {
                "this release was aborted or rolled back within the cooldown; repeat with again=1 to try it again"
            }
            Refusal::Down => "the pool does not pass its probe",
            Refusal::NoBefore => "no pool is known to have been active before",
        })
    }
}

impl State {
    /// After a command, and what is to be done.
    ///
    /// # Errors
    /// Why the command is refused; nothing changes then.
    pub fn command(
        self,
        command: Command,
        rules: &Rules,
        situation: &Situation,
        now_s: u64,
    ) -> Result<(State, Option<Act>), Refusal> {
        let facts = &situation.facts;
        match command {
            Command::Rollout { to, again } => self.rollout(to, again, situation, now_s),
            Command::Pause => match self.phase {
                Phase::Step(Step { number, .. }) => Ok((self.hold(number), None)),
                Phase::Held { step, .. } => Ok((self.hold(step), None)),
                _ => Err(self.nothing_like_it()),
            },
            Command::Resume => match self.phase {
                Phase::Step(_) => Ok((self, None)),
                Phase::Held { step, .. } => {
                    Ok((self.enter(Phase::Step(Step { number: step, told: false }), now_s), Some(Act::Anew)))
                }
                _ => Err(self.nothing_like_it()),
            },
            Command::Promote => match self.phase {
                Phase::Step(_) | Phase::Held { .. } if facts.to.health == Health::Down => Err(Refusal::Down),
                Phase::Step(_) | Phase::Held { .. } => Ok((rules.guard(self, now_s), Some(Act::Switch))),
                _ => Err(self.nothing_like_it()),
            },
            Command::Abort => match self.phase {
                Phase::Idle => Err(Refusal::RunsNot),
                Phase::ByHand { .. } => Ok((State::default(), Some(Act::ShareOver))),
                Phase::Guard(_) | Phase::Suspect(_) | Phase::Comparing(_) => Ok((State::default(), Some(Act::Cancel))),
                _ => Ok((State::default(), Some(Act::Abort(Aborted::ByHand)))),
            },
            Command::Share { to, tenths, until_s } => self.set_share(to, tenths, until_s, facts),
            Command::RollBack { force } => self.roll_back(force, situation),
        }
    }

    fn nothing_like_it(self) -> Refusal {
        match self.phase {
            Phase::Idle | Phase::ByHand { .. } => Refusal::RunsNot,
            _ => Refusal::NotNow,
        }
    }

    /// The votes go on: they are about this step all the same.
    fn hold(self, step: u8) -> State {
        State { phase: Phase::Held { step, worse: false }, ..self }
    }

    fn rollout(self, to: PoolId, again: bool, at: &Situation, now_s: u64) -> Result<(State, Option<Act>), Refusal> {
        let active = at.facts.active;
        let refusals = [
            (!at.probed, Refusal::NoProbe),
            // The guard of an earlier rollout ends when the next one begins.
            (!matches!(self.phase, Phase::Idle | Phase::ByHand { .. } | Phase::Guard(_)), Refusal::Runs),
            (!active.is_known(), Refusal::NoActive),
            (to == active, Refusal::IsActive),
            (at.facts.maintenance, Refusal::Maintenance),
            (at.facts.failed_over, Refusal::FailedOver),
            (at.other_release, Refusal::OtherRelease),
            (at.left && !again, Refusal::Left),
        ];
        match refusals.into_iter().find(|(refused, _)| *refused) {
            Some((_, refusal)) => Err(refusal),
            None => Ok((State { phase: Phase::Probing, from: active, to, at_s: now_s }, None)),
        }
    }

    fn set_share(self, to: PoolId, tenths: u16, until_s: u64, facts: &Facts) -> Result<(State, Option<Act>), Refusal> {
        let runs = !matches!(self.phase, Phase::Idle | Phase::ByHand { .. });
        let ended = if runs { Act::Cancel } else { Act::ShareOver };
        if tenths == 0 {
            return Ok((State::default(), (self.phase != Phase::Idle).then_some(ended)));
        }
        if !facts.active.is_known() {
            return Err(Refusal::NoActive);
        }
        if to == facts.active {
            return Err(Refusal::IsActive);
        }
        let phase = Phase::ByHand { tenths, told: false };
        Ok((State { phase, from: facts.active, to, at_s: until_s }, runs.then_some(Act::Cancel)))
    }

    fn roll_back(self, force: bool, at: &Situation) -> Result<(State, Option<Act>), Refusal> {
        if self.step().is_some() || self.phase == Phase::Probing {
            return Ok((State::default(), Some(Act::Abort(Aborted::ByHand))));
        }
        if !at.before.is_known() || at.before == at.facts.active {
            return Err(Refusal::NoBefore);
        }
        if !force && !at.before_health.answers() {
            return Err(Refusal::Down);
        }
        Ok((State::default(), Some(Act::RollBackByHand)))
    }
}
