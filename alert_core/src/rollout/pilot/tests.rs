use proptest::prelude::*;

use super::super::command::{Command, Refusal, Situation};
use super::super::verdict::Attempts;
use super::*;
use crate::base::word::Word;

const BLUE: PoolId = PoolId::new(1);
const GREEN: PoolId = PoolId::new(2);

/// `rollout 5% 25% 50% every=10s requests=50`, `rollback on within=30m`.
fn rules() -> Rules {
    Rules {
        steps: vec![500, 2500, 5000],
        every_s: 10,
        requests: 50,
        on_worse: OnWorse::Return,
        risk: 0.001,
        rollback: Rollback::On,
        within_s: 1800,
    }
}

/// Everything is well, and enough has been answered.
fn fine() -> Facts {
    let side =
        Side { health: Health::Up, redeployed: false, attempts: Attempts { requests: 1000, failed: 0, slow: 0 } };
    Facts { active: BLUE, from: side, to: side, assigned: 1000, arrived: 1000, evidence: 1.0, ..Facts::default() }
}

/// The new pool has all traffic, and the old one would answer.
fn guarded() -> Facts {
    Facts { active: GREEN, ..fine() }
}

fn situation() -> Situation {
    Situation { facts: fine(), probed: true, before: GREEN, before_health: Health::Up, ..Situation::default() }
}

/// A rollout under an injected clock.
struct Flight {
    rules: Rules,
    state: State,
    now_s: u64,
    /// What was done, and after how many seconds.
    acts: Vec<(u64, Act)>,
}

const BEGIN_S: u64 = 1_790_000_000;

impl Flight {
    fn at(phase: Phase) -> Flight {
        let state = State { phase, from: BLUE, to: GREEN, at_s: BEGIN_S };
        Flight { rules: rules(), state, now_s: BEGIN_S, acts: Vec::new() }
    }

    fn in_step(number: u8) -> Flight {
        Flight::at(Phase::Step(Step { number, told: false }))
    }

    fn in_guard() -> Flight {
        Flight::at(Phase::Guard(Watch { left_s: 1800, cleared: 0 }))
    }

    fn begun() -> Flight {
        let mut flight = Flight::at(Phase::Idle);
        flight.command(Command::Rollout { to: GREEN, again: false }).expect("a rollout");
        flight
    }

    fn command(&mut self, command: Command) -> Result<Option<Act>, Refusal> {
        let at = Situation { facts: Facts { active: self.state.active(), ..fine() }, ..situation() };
        let at = if self.state.phase == Phase::Idle { situation() } else { at };
        let (state, act) = self.state.command(command, &self.rules, &at, self.now_s)?;
        self.state = State::from_word(state.to_word());
        assert_eq!(self.state, state);
        Ok(act)
    }

    /// Lets so many seconds pass with these facts, and returns what was done in them.
    fn pass(&mut self, seconds: u64, facts: &Facts) -> Vec<Act> {
        let from = self.acts.len();
        for _ in 0..seconds {
            self.now_s += 1;
            let (state, act) = self.state.step_on(&self.rules, facts, self.now_s);
            assert_eq!(State::from_word(state.to_word()), state);
            self.state = state;
            self.acts.extend(act.map(|act| (self.now_s - BEGIN_S, act)));
        }
        self.acts[from..].iter().map(|(_, act)| *act).collect()
    }

    fn share(&self) -> Option<(PoolId, u32)> {
        self.rules.share(self.state)
    }
}

fn worse(facts: Facts) -> Facts {
    Facts { to_is_worse: Some(Measure::Errors), evidence: 1e5, ..facts }
}

fn alarmed(facts: Facts) -> Facts {
    Facts { alarm: true, ..facts }
}

fn old_pool(side: Side) -> Facts {
    alarmed(Facts { from: side, ..guarded() })
}

// The states.

#[test]
fn a_good_rollout_takes_its_steps_and_then_all_traffic() {
    let mut flight = Flight::begun();
    assert_eq!((flight.state.phase, flight.share()), (Phase::Probing, None));
    flight.pass(1, &fine());
    assert_eq!(flight.share(), Some((GREEN, 500)));
    flight.pass(30, &fine());
    assert_eq!(flight.acts, [(1, Act::Begin), (11, Act::Advance), (21, Act::Advance), (31, Act::Switch)]);
    assert!(matches!(flight.state.phase, Phase::Guard(_)));
    assert_eq!(flight.share(), None);
    flight.pass(1800, &guarded());
    assert_eq!(flight.acts.last(), Some(&(31 + 1800, Act::Done)));
    assert_eq!(flight.state, State::default());
}

#[test]
fn a_new_pool_that_does_not_pass_its_probes_within_a_minute_gets_no_request() {
    for health in [Health::Unknown, Health::Partly, Health::Down] {
        let mut flight = Flight::begun();
        let facts = Facts { to: Side { health, ..fine().to }, ..fine() };
        assert_eq!(flight.pass(59, &facts), []);
        assert_eq!(flight.pass(1, &facts), [Act::Fail]);
        assert_eq!(flight.state, State::default());
    }
}

#[test]
fn a_worse_pool_loses_its_share_or_keeps_it_as_configured() {
    let mut flight = Flight::in_step(2);
    assert_eq!(flight.pass(1, &worse(fine())), [Act::Abort(Aborted::Worse(Measure::Errors))]);
    assert_eq!((flight.state, flight.share()), (State::default(), None));
    let mut flight = Flight::in_step(2);
    flight.rules.on_worse = OnWorse::Hold;
    assert_eq!(flight.pass(1, &worse(fine())), [Act::Hold(Measure::Errors)]);
    assert_eq!(flight.share(), Some((GREEN, 2500)));
    assert_eq!(flight.pass(1000, &worse(fine())), [], "told once");
    assert_eq!(flight.pass(1000, &fine()), [], "and only an operator makes it go on");
    flight.command(Command::Resume).expect("resumed");
    assert_eq!(flight.pass(10, &fine()), [Act::Advance]);
}

#[test]
fn a_pool_whose_addresses_all_fail_their_probes_loses_its_share() {
    for mut flight in [Flight::in_step(1), Flight::at(Phase::Held { step: 1, worse: false })] {
        let facts = |health| Facts { to: Side { health, ..fine().to }, evidence: 11.0, ..fine() };
        assert_eq!(flight.pass(5, &facts(Health::Partly)), []);
        assert_eq!(flight.pass(1, &facts(Health::Down)), [Act::Abort(Aborted::ProbeFails)]);
    }
}

#[test]
fn a_share_of_which_nothing_arrives_ends_after_60_requests() {
    let facts = |assigned, arrived| Facts { assigned, arrived, evidence: 11.0, ..fine() };
    let mut flight = Flight::in_step(1);
    assert_eq!(flight.pass(5, &facts(59, 0)), []);
    assert_eq!(flight.pass(5, &facts(600, 1)), []);
    assert_eq!(flight.pass(1, &facts(60, 0)), [Act::Abort(Aborted::NothingArrives)]);
    let mut flight = Flight::in_step(1);
    let misnamed = worse(facts(20, 0));
    assert_eq!(
        flight.pass(1, &misnamed),
        [Act::Abort(Aborted::NothingArrives)],
        "a name that is no upstream fails too"
    );
}

#[test]
fn a_step_that_waits_says_why_once_after_ten_times_its_length() {
    let few = Facts { to: Side { attempts: Attempts { requests: 12, ..Attempts::default() }, ..fine().to }, ..fine() };
    let mut flight = Flight::in_step(1);
    assert_eq!(flight.pass(99, &few), []);
    assert_eq!(flight.pass(1, &few), [Act::TellWaits(Waits::Requests { answered: 12 })]);
    assert_eq!(flight.pass(1000, &few), []);
    assert_eq!(flight.pass(1, &fine()), [Act::Advance]);
    let mut flight = Flight::in_step(1);
    let one_key = Facts { one_key: true, ..fine() };
    assert_eq!(flight.pass(10, &one_key), [Act::TellWaits(Waits::OneKey)], "waiting does not change that");
    assert_eq!(flight.pass(1000, &one_key), []);
}

#[test]
fn a_new_release_begins_the_step_anew() {
    for redeployed in [
        Facts { to: Side { redeployed: true, ..fine().to }, ..fine() },
        Facts { from: Side { redeployed: true, ..fine().from }, ..fine() },
        worse(Facts { to: Side { redeployed: true, ..fine().to }, ..fine() }),
    ] {
        let mut flight = Flight::in_step(2);
        flight.pass(5, &fine());
        let term = |flight: &Flight| State::term(flight.state.at_s, flight.now_s);
        let before = term(&flight);
        assert_eq!(flight.pass(1, &redeployed), [Act::Anew]);
        assert_ne!(term(&flight), before, "what was seen so far was another release");
        assert_eq!(flight.pass(9, &fine()), []);
        assert_eq!(flight.pass(1, &fine()), [Act::Advance]);
    }
}

#[test]
fn a_guard_that_finds_the_new_pool_worse_side_by_side_rolls_back() {
    let mut flight = Flight::in_guard();
    flight.pass(60, &guarded());
    assert_eq!(flight.pass(2, &alarmed(guarded())), [Act::Suspect, Act::Compare]);
    assert_eq!(flight.share(), Some((BLUE, 2000)));
    assert_eq!(flight.pass(3, &alarmed(guarded())), []);
    assert_eq!(flight.pass(1, &worse(guarded())), [Act::RollBack(Measure::Errors)]);
    assert_eq!((flight.state, flight.share()), (State::default(), None));
}

#[test]
fn a_comparison_ends_without_a_rollback_when_the_old_pool_is_worse_or_after_a_minute() {
    let mut flight = Flight::in_guard();
    let old_is_worse = Facts { from_is_worse: Some(Measure::Errors), ..alarmed(guarded()) };
    assert_eq!(flight.pass(3, &old_is_worse), [Act::Suspect, Act::Compare, Act::Keep(Kept::OldIsWorse)]);
    let mut flight = Flight::in_guard();
    assert_eq!(flight.pass(61, &alarmed(guarded())), [Act::Suspect, Act::Compare]);
    assert_eq!(flight.pass(1, &alarmed(guarded())), [Act::Keep(Kept::NoDifference)]);
    assert_eq!(flight.share(), None);
}

#[test]
fn a_comparison_is_repeated_after_5_10_and_20_minutes_and_then_no_more() {
    let mut flight = Flight::in_guard();
    flight.rules.within_s = 36_000;
    flight.state.phase = Phase::Guard(Watch { left_s: 36_000, cleared: 0 });
    flight.pass(36_000, &alarmed(guarded()));
    let begun: Vec<u64> = flight.acts.iter().filter(|(_, act)| *act == Act::Compare).map(|(at, _)| *at).collect();
    let rests: Vec<u64> = begun.windows(2).map(|pair| pair[1] - pair[0] - COMPARING_S - 1).collect();
    assert_eq!(rests, [300, 600, 1200]);
    assert_eq!(flight.state, State::default(), "hands off after the last");
}

#[test]
fn a_suspicion_that_is_over_before_the_comparison_costs_nothing() {
    let mut flight = Flight::in_guard();
    let unclear = Side { health: Health::Unknown, ..fine().from };
    flight.pass(2, &old_pool(unclear));
    assert!(matches!(flight.state.phase, Phase::Suspect(_)));
    flight.pass(1, &guarded());
    assert_eq!(flight.state.watch(), Some(Watch { left_s: 1797, cleared: 0 }));
}

#[test]
fn another_active_pool_ends_everything() {
    for phase in [
        Phase::Probing,
        Phase::Step(Step { number: 2, told: false }),
        Phase::Held { step: 1, worse: true },
        Phase::ByHand { tenths: 50, told: false },
    ] {
        assert_eq!(Flight::at(phase).pass(1, &Facts { active: GREEN, ..fine() }), [Act::Cancel]);
    }
    let watch = Watch { left_s: 1000, cleared: 1 };
    for phase in [Phase::Guard(watch), Phase::Suspect(watch), Phase::Comparing(watch)] {
        assert_eq!(Flight::at(phase).pass(1, &alarmed(fine())), [Act::Cancel]);
    }
}

#[test]
fn a_share_by_hand_is_told_about_once_and_never_acted_upon() {
    let mut flight = Flight::at(Phase::Idle);
    let until_s = flight.now_s + 600;
    flight.command(Command::Share { to: GREEN, tenths: 55, until_s }).expect("a share");
    assert_eq!(flight.share(), Some((GREEN, 550)));
    assert_eq!(flight.pass(300, &worse(fine())), [Act::TellWorse(Measure::Errors)]);
    assert_eq!(flight.share(), Some((GREEN, 550)));
    assert_eq!(flight.pass(300, &worse(fine())), [Act::ShareOver]);
    assert_eq!(flight.share(), None);
    flight.command(Command::Share { to: GREEN, tenths: 55, until_s: 0 }).expect("a share");
    assert_eq!(flight.pass(100_000, &fine()), [], "without a time it lasts");
    assert_eq!(flight.command(Command::Share { to: GREEN, tenths: 0, until_s: 0 }), Ok(Some(Act::ShareOver)));
    assert_eq!(flight.state, State::default());
}

#[test]
fn without_rollback_there_is_no_guard_and_a_dry_run_moves_nothing_for_good() {
    let mut flight = Flight::in_step(3);
    flight.rules.rollback = Rollback::Off;
    assert_eq!(flight.pass(10, &fine()), [Act::Switch]);
    assert_eq!(flight.state, State::default());
    let mut flight = Flight::in_guard();
    flight.rules.rollback = Rollback::DryRun;
    flight.pass(2, &alarmed(guarded()));
    assert_eq!(flight.pass(1, &worse(guarded())), [Act::WouldRollBack(Measure::Errors)]);
    assert_eq!(flight.state, State::default());
}

// The commands.

#[test]
fn a_rollout_is_refused_where_it_could_not_be_judged_or_is_not_wanted() {
    let command = Command::Rollout { to: GREEN, again: false };
    let refused =
        |situation: Situation| State::default().command(command, &rules(), &situation, BEGIN_S).expect_err("refused");
    let with = |facts: Facts| Situation { facts, ..situation() };
    assert_eq!(refused(Situation { probed: false, ..situation() }), Refusal::NoProbe);
    assert_eq!(refused(with(Facts { active: PoolId::NONE, ..fine() })), Refusal::NoActive);
    assert_eq!(refused(with(Facts { active: GREEN, ..fine() })), Refusal::IsActive);
    assert_eq!(refused(with(Facts { maintenance: true, ..fine() })), Refusal::Maintenance);
    assert_eq!(refused(with(Facts { failed_over: true, ..fine() })), Refusal::FailedOver);
    assert_eq!(refused(Situation { other_release: true, ..situation() }), Refusal::OtherRelease);
    assert_eq!(refused(Situation { left: true, ..situation() }), Refusal::Left);
    let again = Command::Rollout { to: GREEN, again: true };
    assert!(State::default().command(again, &rules(), &Situation { left: true, ..situation() }, BEGIN_S).is_ok());
    for mut running in [Flight::begun(), Flight::in_step(1), Flight::at(Phase::Comparing(Watch::default()))] {
        assert_eq!(running.command(command), Err(Refusal::Runs));
    }
}

#[test]
fn commands_on_a_rollout_need_one() {
    for command in [Command::Pause, Command::Resume, Command::Promote, Command::Abort] {
        assert_eq!(Flight::at(Phase::Idle).command(command), Err(Refusal::RunsNot));
    }
    assert_eq!(Flight::begun().command(Command::Promote), Err(Refusal::NotNow), "it has not passed its probes");
}

#[test]
fn an_operator_pauses_resumes_promotes_and_aborts() {
    let mut flight = Flight::in_step(2);
    assert_eq!(flight.command(Command::Pause), Ok(None));
    assert_eq!(flight.command(Command::Pause), Ok(None), "twice is once");
    assert_eq!(flight.pass(1000, &fine()), []);
    assert_eq!(flight.share(), Some((GREEN, 2500)));
    assert_eq!(flight.command(Command::Resume), Ok(Some(Act::Anew)));
    assert_eq!(flight.command(Command::Resume), Ok(None));
    assert_eq!(flight.command(Command::Promote), Ok(Some(Act::Switch)));
    assert!(matches!(flight.state.phase, Phase::Guard(_)));
    assert_eq!(flight.command(Command::Abort), Ok(Some(Act::Cancel)), "the guard ends and traffic stays");
    let mut flight = Flight::in_step(2);
    assert_eq!(flight.command(Command::Abort), Ok(Some(Act::Abort(Aborted::ByHand))));
    assert_eq!(flight.share(), None);
}

#[test]
fn a_paused_pool_that_gets_worse_loses_its_share() {
    let mut flight = Flight::in_step(1);
    flight.command(Command::Pause).expect("paused");
    assert_eq!(flight.pass(1, &worse(fine())), [Act::Abort(Aborted::Worse(Measure::Errors))]);
}

#[test]
fn an_operator_rolls_back_to_a_pool_that_passes_its_probe_or_by_force() {
    let roll_back = |force, situation: &Situation| {
        State::default().command(Command::RollBack { force }, &rules(), situation, BEGIN_S).map(|(_, act)| act)
    };
    let down = Situation { before_health: Health::Down, ..situation() };
    assert_eq!(roll_back(false, &situation()), Ok(Some(Act::RollBackByHand)));
    assert_eq!(roll_back(false, &down), Err(Refusal::Down));
    assert_eq!(roll_back(true, &down), Ok(Some(Act::RollBackByHand)));
    assert_eq!(roll_back(true, &Situation { before: PoolId::NONE, ..situation() }), Err(Refusal::NoBefore));
    let abort = Ok(Some(Act::Abort(Aborted::ByHand)));
    assert_eq!(Flight::in_step(1).command(Command::RollBack { force: false }), abort);
}

// What must never happen.

#[test]
fn never_1_no_first_traffic_and_none_back_without_passed_probes() {
    let mut flight = Flight::begun();
    let unproven = Facts { to: Side { health: Health::Partly, ..fine().to }, ..fine() };
    flight.pass(1000, &unproven);
    assert_eq!((flight.acts.as_slice(), flight.share()), (&[(60, Act::Fail)][..], None));
    for health in [Health::Unknown, Health::Down] {
        let mut flight = Flight::in_guard();
        let acts = flight.pass(1700, &worse(old_pool(Side { health, ..fine().from })));
        assert!(!acts.contains(&Act::Compare) && acts.contains(&Act::Keep(Kept::OldIsDown)), "{acts:?}");
    }
}

#[test]
fn never_2_no_rollback_on_history_alone() {
    let mut flight = Flight::in_guard();
    let acts = flight.pass(2, &worse(alarmed(guarded())));
    assert_eq!(acts, [Act::Suspect, Act::Compare], "however bad it looks, the pools are compared first");
    assert_eq!(flight.pass(1, &alarmed(guarded())), [], "and what was is no part of that");
}

#[test]
fn never_3_no_rollback_to_a_pool_that_is_no_better_dead_or_unknown() {
    for (facts, why) in [
        (Facts { from_is_worse: Some(Measure::Errors), ..alarmed(guarded()) }, Kept::OldIsWorse),
        (old_pool(Side { health: Health::Down, ..fine().from }), Kept::OldIsDown),
        (old_pool(Side { health: Health::Unknown, ..fine().from }), Kept::OldIsDown),
        (alarmed(guarded()), Kept::NoDifference),
    ] {
        let acts = Flight::in_guard().pass(100, &facts);
        assert_eq!(acts.last(), Some(&Act::Keep(why)));
    }
    let mut flight = Flight::in_guard();
    flight.pass(2, &alarmed(guarded()));
    let died = worse(old_pool(Side { health: Health::Down, ..fine().from }));
    assert_eq!(flight.pass(1, &died), [Act::Keep(Kept::OldIsDown)], "it died in the comparison");
}

#[test]
fn never_4_no_rollback_to_a_pool_whose_release_changed() {
    let mut flight = Flight::in_guard();
    let redeployed = worse(old_pool(Side { redeployed: true, ..fine().from }));
    assert_eq!(flight.pass(1800, &redeployed), [Act::Suspect, Act::Keep(Kept::OldIsRedeployed)]);
    assert_eq!(flight.state, State::default());
}

#[test]
fn never_5_no_second_automatic_move_and_none_while_flapping() {
    let mut flight = Flight::in_guard();
    let acts = flight.pass(1800, &Facts { hands_off: true, ..worse(alarmed(guarded())) });
    assert!(acts.contains(&Act::Keep(Kept::HandsOff)) && !acts.contains(&Act::Compare), "{acts:?}");
    let mut flight = Flight::in_guard();
    assert_eq!(flight.pass(1000, &Facts { flapping: true, ..worse(alarmed(guarded())) }), []);
    let mut flight = Flight::in_guard();
    flight.pass(2, &alarmed(guarded()));
    let flapping = Facts { flapping: true, ..worse(alarmed(guarded())) };
    assert_eq!(flight.pass(1, &flapping), [Act::Keep(Kept::NoDifference)]);
    let mut flight = Flight::in_step(1);
    flight.pass(1000, &Facts { flapping: true, ..fine() });
    assert_eq!(flight.state.step(), Some(1));
}

#[test]
fn never_6_nothing_against_an_operator_and_nothing_in_maintenance() {
    let maintenance = |facts: Facts| Facts { maintenance: true, ..facts };
    let mut flight = Flight::in_step(1);
    assert_eq!(flight.pass(1000, &maintenance(worse(fine()))), [], "a rollout holds");
    assert_eq!(flight.share(), Some((GREEN, 500)));
    let mut flight = Flight::in_guard();
    assert_eq!(flight.pass(1000, &maintenance(worse(alarmed(guarded())))), [], "the guard sleeps");
    flight.pass(2, &alarmed(guarded()));
    assert!(matches!(flight.state.phase, Phase::Comparing(_)));
    flight.pass(1, &maintenance(worse(alarmed(guarded()))));
    assert!(matches!(flight.state.phase, Phase::Guard(_)));
    let mut flight = Flight::in_guard();
    flight.pass(2, &alarmed(guarded()));
    assert_eq!(flight.pass(1, &worse(Facts { active: BLUE, ..guarded() })), [Act::Cancel], "the operator was faster");
}

#[test]
fn never_8_no_step_up_on_silence_doubt_trouble_or_dropped_events() {
    let silent = Attempts { requests: 60, failed: 11, slow: 0 };
    for (facts, why) in [
        (Facts { to: Side { attempts: silent, ..fine().to }, ..fine() }, Waits::Requests { answered: 49 }),
        (Facts { evidence: 10.0, ..fine() }, Waits::Doubt),
        (alarmed(fine()), Waits::Alarm),
        (Facts { failed_over: true, ..fine() }, Waits::FailedOver),
        (Facts { flapping: true, ..fine() }, Waits::Flapping),
        (Facts { maintenance: true, ..fine() }, Waits::Maintenance),
        (Facts { dropped: true, ..fine() }, Waits::Dropped),
        (Facts { one_key: true, ..fine() }, Waits::OneKey),
        (Facts { to: Side { health: Health::Unknown, ..fine().to }, ..fine() }, Waits::Probe),
    ] {
        for number in 1..=3 {
            let mut flight = Flight::in_step(number);
            flight.pass(500, &facts);
            assert_eq!(flight.state.waits(&flight.rules, &facts, flight.now_s), Some(why));
            assert_eq!(flight.state.step(), Some(number), "{why:?}");
        }
    }
}

#[test]
fn never_10_no_client_back_and_forth() {
    let mut flight = Flight::begun();
    let mut last = 0;
    while !flight.acts.contains(&(31, Act::Switch)) {
        flight.pass(1, &fine());
        if let Some((_, share)) = flight.share() {
            assert!(share >= last);
            last = share;
        }
    }
    assert_eq!(last, 5000);
}

#[test]
fn never_11_no_share_that_nobody_looks_after() {
    let lapsed = Facts { lapsed: true, ..fine() };
    for phase in [
        Phase::Step(Step { number: 1, told: false }),
        Phase::Held { step: 1, worse: true },
        Phase::ByHand { tenths: 50, told: false },
    ] {
        let mut flight = Flight::at(phase);
        assert_eq!(flight.pass(1, &lapsed), [Act::Abort(Aborted::Unattended)]);
        assert_eq!(flight.share(), None);
    }
    let mut comparing = Flight::at(Phase::Comparing(Watch { left_s: 900, cleared: 0 }));
    assert_eq!(comparing.pass(1, &Facts { lapsed: true, ..worse(guarded()) }), [Act::Keep(Kept::NoDifference)]);
}

#[test]
fn never_12_no_message_a_step() {
    let mut flight = Flight::begun();
    flight.pass(1000, &fine());
    let told = |act: &Act| !matches!(act, Act::Advance | Act::Anew | Act::Suspect | Act::Compare | Act::Done);
    let told: Vec<Act> = flight.acts.iter().map(|(_, act)| *act).filter(told).collect();
    assert_eq!(told[..2], [Act::Begin, Act::Switch]);
}

fn health() -> impl Strategy<Value = Health> {
    prop_oneof![1 => Just(Health::Unknown), 6 => Just(Health::Up), 2 => Just(Health::Partly), 1 => Just(Health::Down)]
}

prop_compose! {
    fn side()(health in health(), redeployed in prop::bool::weighted(0.05), requests in 0..200_u64, failed in 0..40_u64)
        -> Side {
        Side { health, redeployed, attempts: Attempts { requests, failed: failed.min(requests), slow: 0 } }
    }
}

prop_compose! {
    fn facts()(
        from in side(), to in side(), assigned in 0..100_u64, evidence in prop_oneof![Just(1.0), Just(20.0)],
        verdicts in prop::array::uniform2(prop::option::weighted(0.1, Just(Measure::Errors))),
        flags in prop::array::uniform8(prop::bool::weighted(0.1)),
    ) -> Facts {
        let [one_key, alarm, failed_over, flapping, maintenance, dropped, hands_off, lapsed] = flags;
        Facts {
            active: BLUE, from, to, assigned, arrived: to.attempts.requests, evidence,
            to_is_worse: verdicts[0], from_is_worse: verdicts[1],
            one_key, alarm, failed_over, flapping, maintenance, dropped, hands_off, lapsed,
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_traffic_moves_only_where_it_may(
        facts in prop::collection::vec((facts(), 1..40_u64), 1..120), steps in 1..=15_usize,
    ) {
        let mut flight = Flight::begun();
        flight.rules.steps = (1..=steps as u32).map(|step| step * 600).collect();
        let mut active = BLUE;
        let mut rolled_back = false;
        for (facts, seconds) in facts {
            for _ in 0..seconds {
                let (before, share_before) = (flight.state, flight.share());
                let facts = Facts { active, ..facts };
                let act = flight.pass(1, &facts).pop();
                let share = flight.share();
                prop_assert_eq!(share.is_some(), flight.state.has_share());
                let is_up = match (share_before, share) {
                    (None, Some(_)) => true,
                    (Some((_, before)), Some((_, after))) => after > before,
                    _ => false,
                } || act == Some(Act::Switch);
                if is_up {
                    prop_assert!(!facts.maintenance && !facts.flapping);
                    prop_assert!(!facts.lapsed || !before.has_share());
                }
                if is_up && share.is_none_or(|(pool, _)| pool == GREEN) {
                    prop_assert!(facts.to.health.answers() && !facts.failed_over);
                    if before.phase != Phase::Probing {
                        prop_assert!(!facts.alarm && !facts.dropped && !facts.one_key && facts.evidence < DOUBT);
                        prop_assert!(facts.to.attempts.answered() >= 50 && before.lasted_s(flight.now_s) >= 10);
                        prop_assert!(facts.to_is_worse.is_none() && !facts.to.redeployed);
                    } else {
                        prop_assert!(facts.to.health == Health::Up);
                    }
                }
                if is_up && share.is_some_and(|(pool, _)| pool == BLUE) {
                    prop_assert!(facts.alarm && facts.from.health.answers() && !facts.from.redeployed && !facts.hands_off);
                }
                match act {
                    Some(Act::Switch) => {
                        prop_assert!(!rolled_back);
                        active = GREEN;
                    }
                    Some(Act::RollBack(_)) => {
                        prop_assert!(matches!(before.phase, Phase::Comparing(_)) && facts.to_is_worse.is_some());
                        prop_assert!(facts.from.health != Health::Down && !facts.maintenance && !facts.flapping);
                        rolled_back = true;
                        active = BLUE;
                    }
                    _ => (),
                }
            }
        }
        let told = |wanted: Act| flight.acts.iter().filter(|(_, act)| *act == wanted).count();
        prop_assert!(told(Act::Begin) <= 1 && told(Act::Switch) <= 1 && told(Act::Fail) <= 1);
    }
}
