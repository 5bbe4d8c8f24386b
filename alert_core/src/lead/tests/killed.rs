//! Leaders that are killed behind each change that they make of the board: what they decided is done and told, once.

use super::*;
use crate::base::killed::Life;
use crate::model::alert::Kind;

/// What came of it so far.
#[derive(Debug, PartialEq)]
struct Outcome {
    told: Vec<String>,
    active: String,
    phase: Phase,
    has_share: bool,
    /// The pool that was active before.
    before: PoolId,
    ended: Option<crate::board::rollout::Outcome>,
}

impl Rig {
    fn outcome(&self) -> Outcome {
        let rollout = self.rollout();
        Outcome {
            told: self.told(),
            active: self.active(),
            phase: rollout.state.load().phase,
            has_share: rollout.share.load().counts(self.now_ms),
            before: rollout.before(self.board.monitor(&self.plan, 0).expect("a monitor")),
            ended: rollout.outcome(),
        }
    }

    /// Everything on the board.
    fn words(&self) -> Vec<u64> {
        let words = self.region.slice(0, self.region.words()).expect("the board");
        words.iter().map(|word| word.load(Relaxed)).collect()
    }

    fn set_words(&self, words: &[u64]) {
        let cells = self.region.slice(0, self.region.words()).expect("the board");
        cells.iter().zip(words).for_each(|(cell, word)| cell.store(*word, Relaxed));
    }

    /// What another worker does at its next ticks, right after somebody was killed.
    fn mend(&mut self) {
        for _ in 0..3 {
            let own = self.board.workers().of_process(std::process::id(), self.now_ms).expect("a place");
            own.begin_judging();
            self.judge.mend(own, self.now_ms);
            own.end_judging();
            self.leader_tick();
        }
    }

    /// Does this, and before that, again and again, what comes of it where a worker is killed behind the next change: the same,
    /// where an order is given again that was not carried out. Where traffic was moved by then, that is told as a change of the
    /// active pool.
    fn with_kills(&mut self, act: impl Fn(&mut Rig), is_order: bool) {
        let before = (self.words(), self.outcome());
        act(self);
        let words = self.words();
        if !is_order && self.told() == before.1.told {
            return;
        }
        self.mend();
        let expected = self.outcome();
        for changes in 0.. {
            self.set_words(&before.0);
            if !Life::of(changes).ends_in(|| act(self)) {
                assert!(changes > 1, "it changes next to nothing");
                break;
            }
            self.mend();
            let mut outcome = self.outcome();
            if is_order && outcome == before.1 {
                act(self);
                self.mend();
                outcome = self.outcome();
            }
            let last = self.board.outbox().alerts().next();
            let moved = last.is_some_and(|alert| alert.kind == Kind::Switched);
            if moved && expected.active != before.1.active {
                outcome.told.pop();
                outcome.told.extend(expected.told.last().cloned());
            }
            assert_eq!(outcome, expected, "killed behind change {changes}");
        }
        self.set_words(&words);
    }

    /// Lets seconds pass until the rollout is in this phase, with kills at each look.
    fn until_with_kills(&mut self, phase: &str, limit: u64, answers: impl Fn(usize, u32) -> bool) {
        for _ in 0..limit {
            if self.rollout().state.load().phase.name() == phase {
                return;
            }
            self.pass_to_look(&answers);
            self.judge_tick();
            self.with_kills(Rig::leader_tick, false);
        }
        panic!("not {phase} within {limit} s: {:?}, {:?}", self.rollout().state.load(), self.told());
    }

    fn command_with_kills(&mut self, path: &str, query: &str) {
        self.now_ms += 100;
        self.with_kills(|rig| assert_eq!(rig.command(path, query).err(), None), true);
    }
}

#[test]
fn a_rollout_goes_on_to_its_end_and_is_told_once() {
    let mut rig = Rig::new(&[]);
    rig.command_with_kills("rollout", "monitor=app&pool=green");
    rig.until_with_kills("guard", 60, FINE);
    assert_eq!((rig.told().len(), rig.active().as_str()), (2, "green"));
}

#[test]
fn a_release_that_is_worse_is_taken_back_and_told_once() {
    let mut rig = Rig::new(&[]);
    rig.command("rollout", "monitor=app&pool=green").expect("a rollout");
    rig.until("step", 5, FINE);
    rig.until_with_kills("idle", 10, |at, _| at == 0);
    assert!(rig.told()[1].contains("Rollout aborted"), "{:?}", rig.told());
}

#[test]
fn traffic_goes_back_and_that_is_told_once() {
    let mut rig = Rig::new(&["error_rate off"]);
    rig.command("rollout", "monitor=app&pool=green").expect("a rollout");
    rig.until("guard", 60, FINE);
    rig.until_with_kills("idle", 20, |at, _| at == 0);
    assert_eq!(rig.active(), "blue");
    assert!(rig.told().iter().any(|told| told.contains("Rolled back from green")), "{:?}", rig.told());
}

#[test]
fn that_traffic_stays_where_it_is_is_told_once() {
    let mut rig = Rig::new(&["outage off"]);
    rig.command("rollout", "monitor=app&pool=green").expect("a rollout");
    rig.until("guard", 60, FINE);
    rig.until_with_kills("comparing", 30, |_, client| client % 3 != 0);
    rig.until_with_kills("guard", 65, |_, client| client % 3 != 0);
    assert!(rig.told().last().is_some_and(|told| told.contains("Not rolled back")), "{:?}", rig.told());
}

#[test]
fn what_operators_order_is_done_and_told_once_or_not_at_all() {
    let mut rig = Rig::new(&[]);
    rig.command_with_kills("share", "monitor=app&pool=green&percent=50");
    rig.command_with_kills("share", "monitor=app&pool=green&percent=0");
    rig.command_with_kills("rollout", "monitor=app&pool=green");
    rig.until("step", 5, FINE);
    for order in ["do=pause", "do=resume", "do=promote"] {
        rig.command_with_kills("rollout", &format!("monitor=app&{order}"));
    }
    assert_eq!(rig.active(), "green");
    rig.command_with_kills("rollback", "monitor=app");
    assert_eq!(rig.active(), "blue");
    rig.command_with_kills("active", "monitor=app&pool=green");
    assert_eq!(rig.active(), "green");
    rig.command_with_kills("rollback", "monitor=app");
    assert_eq!(rig.active(), "blue");
}

#[test]
fn nobody_takes_for_left_undone_what_a_leader_is_at() {
    for changes in 0.. {
        let mut rig = Rig::new(&[]);
        rig.command("rollout", "monitor=app&pool=green").expect("a rollout");
        let workers = rig.board.workers();
        let mut life = Life::of(changes);
        life.is_interrupted_in(|| rig.leader_tick(), move || assert!(!workers.is_quiet(0)));
        assert!(workers.is_quiet(0));
        if !life.is_over {
            assert!(changes > 3 && rig.told().len() == 1, "{changes} {:?}", rig.told());
            return;
        }
    }
}
