//! Where a rollout stands, packed into one word of the board, so that no worker that is killed leaves half of it behind.

use crate::base::word::Word;
use crate::model::ids::PoolId;

/// Where a rollout stands. All-zero is idle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The phase.
    pub phase: Phase,
    /// The pool that is taken over from.
    pub from: PoolId,
    /// The pool that takes over.
    pub to: PoolId,
    /// When the phase began, in seconds since the Unix epoch; of [`Phase::Guard`], when it may suspect again; of
    /// [`Phase::ByHand`], when it ends, where zero is never.
    pub at_s: u64,
}

/// What goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Nothing.
    #[default]
    Idle,
    /// The new pool has to pass its probes before it gets its first request.
    Probing,
    /// The new pool has its share of this step.
    Step(Step),
    /// As in a step, and only an operator makes it go on.
    Held {
        /// The step.
        step: u8,
        /// Whether the new pool was found worse; else an operator wanted it.
        worse: bool,
    },
    /// The new pool has all traffic and can still lose it.
    Guard(Watch),
    /// A rule of the monitor is broken; the old pool has to pass its probes before it gets a request.
    Suspect(Watch),
    /// The old pool has a part of the traffic, to tell whether the new one is to blame.
    Comparing(Watch),
    /// An operator has set a share.
    ByHand {
        /// The share in tenths of a percent.
        tenths: u16,
        /// Whether it was told that the pool of the share is worse.
        told: bool,
    },
}

impl Phase {
    /// The names used in JSON and in metric labels.
    pub const NAMES: [&'static str; 6] = ["idle", "probing", "step", "held", "guard", "comparing"];

    /// The name used in JSON and in metric labels. A share that an operator set is one that is held.
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Idle => "idle",
            Phase::Probing => "probing",
            Phase::Step(_) => "step",
            Phase::Held { .. } | Phase::ByHand { .. } => "held",
            Phase::Guard(_) | Phase::Suspect(_) => "guard",
            Phase::Comparing(_) => "comparing",
        }
    }
}

/// One step of a rollout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Its number, from 1 on.
    pub number: u8,
    /// Whether it was told that it waits.
    pub told: bool,
}

/// What is left of a guard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watch {
    /// How long it lasts from [`State::at_s`] on, in seconds.
    pub left_s: u32,
    /// How many suspicions came to nothing.
    pub cleared: u8,
}

/// The longest guard, in seconds.
pub const GUARD_MAX_S: u32 = (1 << 17) - 1;
/// The most steps before the one to 100 %.
pub const STEPS_MAX: usize = 15;

const DETAIL_BITS: u32 = 19;

impl Word for State {
    fn to_word(self) -> u64 {
        let watch = |watch: Watch| u64::from(watch.left_s.min(GUARD_MAX_S)) | u64::from(watch.cleared & 3) << 17;
        let (phase, detail) = match self.phase {
            Phase::Idle => (0, 0),
            Phase::Probing => (1, 0),
            Phase::Step(Step { number, told }) => (2, u64::from(number & 15) | u64::from(told) << 4),
            Phase::Held { step, worse } => (3, u64::from(step & 15) | u64::from(worse) << 4),
            Phase::Guard(left) => (4, watch(left)),
            Phase::Suspect(left) => (5, watch(left)),
            Phase::Comparing(left) => (6, watch(left)),
            Phase::ByHand { tenths, told } => (7, u64::from(tenths & 0x3ff) | u64::from(told) << 10),
        };
        phase
            | detail << 3
            | u64::from(self.from.get()) << (3 + DETAIL_BITS)
            | u64::from(self.to.get()) << (8 + DETAIL_BITS)
            | (self.at_s & 0xffff_ffff) << 32
    }

    fn from_word(word: u64) -> State {
        let detail = (word >> 3) & ((1 << DETAIL_BITS) - 1);
        let watch = Watch { left_s: detail as u32 & GUARD_MAX_S, cleared: (detail >> 17) as u8 };
        let (number, flag) = (detail as u8 & 15, detail >> 4 & 1 == 1);
        let phase = match word & 7 {
            0 => Phase::Idle,
            1 => Phase::Probing,
            2 => Phase::Step(Step { number, told: flag }),
            3 => Phase::Held { step: number, worse: flag },
            4 => Phase::Guard(watch),
            5 => Phase::Suspect(watch),
            6 => Phase::Comparing(watch),
            _ => Phase::ByHand { tenths: detail as u16 & 0x3ff, told: detail >> 10 & 1 == 1 },
        };
        let pool = |shift: u32| PoolId::new((word >> shift) as u8 & 0x1f);
        State { phase, from: pool(3 + DETAIL_BITS), to: pool(8 + DETAIL_BITS), at_s: word >> 32 }
    }
}

impl State {
    /// The step that it is in, from 1 on.
    pub fn step(self) -> Option<u8> {
        match self.phase {
            Phase::Step(Step { number, .. }) => Some(number),
            Phase::Held { step, .. } => Some(step),
            _ => None,
        }
    }

    /// The pool that should have the traffic that is not of the share.
    pub fn active(self) -> PoolId {
        match self.phase {
            Phase::Guard(_) | Phase::Suspect(_) | Phase::Comparing(_) => self.to,
            _ => self.from,
        }
    }

    /// What is left of the guard.
    pub fn watch(self) -> Option<Watch> {
        match self.phase {
            Phase::Guard(watch) | Phase::Suspect(watch) | Phase::Comparing(watch) => Some(watch),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn phase() -> impl Strategy<Value = Phase> {
        let watch = || (0..=GUARD_MAX_S, 0..4_u8).prop_map(|(left_s, cleared)| Watch { left_s, cleared });
        prop_oneof![
            Just(Phase::Idle),
            Just(Phase::Probing),
            (1..=15_u8, any::<bool>()).prop_map(|(number, told)| Phase::Step(Step { number, told })),
            (1..=15_u8, any::<bool>()).prop_map(|(step, worse)| Phase::Held { step, worse }),
            watch().prop_map(Phase::Guard),
            watch().prop_map(Phase::Suspect),
            watch().prop_map(Phase::Comparing),
            (0..=1000_u16, any::<bool>()).prop_map(|(tenths, told)| Phase::ByHand { tenths, told }),
        ]
    }

    proptest! {
        #[test]
        fn a_state_survives_its_word(phase in phase(), from in 0..=31_u8, to in 0..=31_u8, at_s in 0..1_u64 << 32) {
            let state = State { phase, from: PoolId::new(from), to: PoolId::new(to), at_s };
            prop_assert_eq!(State::from_word(state.to_word()), state);
        }

        #[test]
        fn every_word_is_a_state(word: u64) {
            prop_assert_eq!(State::from_word(State::from_word(word).to_word()), State::from_word(word));
        }
    }

    #[test]
    fn nothing_is_idle() {
        assert_eq!(State::from_word(0), State::default());
        assert_eq!(State::default().to_word(), 0);
    }
}
