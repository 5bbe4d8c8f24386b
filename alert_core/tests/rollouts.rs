//! Simulated rollouts through the engine's own share, ballots and pilot: how often a good one is aborted, and how soon a
//! bad one is. Chance comes from fixed seeds, so that each run is the same.

use std::thread;

use alert_core::model::ids::PoolId;
use alert_core::rollout::pilot::{Aborted, Act, Facts, Health, OnWorse, Rollback, Rules, Side};
use alert_core::rollout::share::{Bucket, edge};
use alert_core::rollout::state::{Phase, State, Step};
use alert_core::rollout::verdict;
use alert_core::rollout::verdict::{Attempts, Measure, is_worse};
use alert_core::rollout::votes::Ballot;

const BLUE: PoolId = PoolId::new(1);
const GREEN: PoolId = PoolId::new(2);
/// `by=0.5%`.
const BY: f64 = 0.005;
const CLIENTS: usize = 3000;

/// How probable it is, from 0 to 1, that a request at a pool is bad.
#[derive(Clone, Copy)]
struct Pool {
    fails: f64,
    is_slow: f64,
}

const fn pool(fails: f64) -> Pool {
    Pool { fails, is_slow: 0.1 }
}

/// What a rollout meets: how the old pool and the new one fare in a second since it began.
type Weather = fn(u64) -> (Pool, Pool);

/// Xorshift, which is plenty for chance in a test.
struct Chance(u64);

impl Chance {
    fn number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.number() >> 33) as usize % bound
    }

    /// From 0 to 1.
    fn fraction(&mut self) -> f64 {
        ((self.number() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// How many of `trials` succeed, by the gaps between those that do.
    fn successes(&mut self, trials: u64, probability: f64) -> u64 {
        if probability >= 1.0 {
            return trials;
        }
        let (mut at, mut count) = (0.0, 0);
        loop {
            at += 1.0 + (self.fraction().ln() / (-probability).ln_1p()).floor();
            if at > trials as f64 {
                return count;
            }
            count += 1;
        }
    }
}

struct Simulation {
    rules: Rules,
    per_second: u64,
    weather: Weather,
}

/// How a rollout ended, after how many seconds, and how many requests the new pool had got.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    act: Option<Act>,
    seconds: u64,
    requests: f64,
}

impl Outcome {
    fn is_aborted(&self) -> bool {
        matches!(self.act, Some(Act::Abort(Aborted::Worse(_))))
    }
}

impl Simulation {
    fn new(per_second: u64, weather: Weather) -> Simulation {
        let rules = Rules {
            steps: vec![500, 2500, 5000],
            every_s: 60,
            requests: 200,
            on_worse: OnWorse::Return,
            risk: 0.001,
            rollback: Rollback::Off,
            within_s: 1800,
        };
        Simulation { rules, per_second, weather }
    }

    /// One rollout, for an hour at most.
    fn run(&self, seed: u64) -> Outcome {
        let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        // A small seed takes a few numbers to spread.
        for _ in 0..8 {
            chance.number();
        }
        let salt = chance.number() as u32;
        let clients: Vec<Bucket> = (0..CLIENTS as u32).map(|id| Bucket::of(salt, &id.to_le_bytes())).collect();
        let phase = Phase::Step(Step { number: 1, told: false });
        let mut state = State { phase, from: BLUE, to: GREEN, at_s: 1_790_000_000 };
        let ballots = [Ballot::default(), Ballot::default()];
        let (mut old, mut new) = (Attempts::default(), Attempts::default());
        // Requests come in whole numbers, on average the part that the share is of the clients.
        let (mut part, mut of_new, mut requests) = (0.0, 0.0, 0.0);
        let begin_s = state.at_s;
        for seconds in 1..=3600 {
            let now_s = begin_s + seconds;
            let edge = self.rules.share(state).map_or(0, |(_, share)| edge(share));
            let term = State::term(state.at_s, now_s);
            if ballots[0].tally().term != term || ballots[0].tally().edge != edge {
                ballots.iter().for_each(|ballot| ballot.begin(term, edge));
                (old, new, of_new) = (Attempts::default(), Attempts::default(), 0.0);
                part = clients.iter().filter(|bucket| bucket.get() < edge).count() as f64 / CLIENTS as f64;
            }
            of_new += part * self.per_second as f64;
            requests += part * self.per_second as f64;
            old.requests += self.per_second;
            new.requests = of_new as u64;
            let (blue, green) = (self.weather)(seconds);
            for (measure, ballot) in Measure::ALL.into_iter().zip(&ballots) {
                let bad = |pool: Pool| if measure == Measure::Errors { pool.fails } else { pool.is_slow };
                let most = bad(blue).max(bad(green));
                for _ in 0..chance.successes(self.per_second, most) {
                    let bucket = clients[chance.below(CLIENTS)];
                    let is_new = bucket.get() < edge;
                    if chance.fraction() * most >= bad(if is_new { green } else { blue }) {
                        continue;
                    }
                    ballot.cast(bucket, is_new);
                    let attempts = if is_new { &mut new } else { &mut old };
                    match measure {
                        Measure::Errors => attempts.failed += 1,
                        Measure::Latency => attempts.slow += 1,
                    }
                }
                ballot.bank();
            }
            let old = Attempts { requests: old.requests - new.requests, ..old };
            let [needed, _] = self.rules.needed(state, state.at_s, now_s);
            let against = ballots.each_ref().map(|ballot| ballot.evidence()[0]);
            let worse = |measure: Measure| is_worse(measure, against[measure as usize], needed, BY, new, old);
            let side = |attempts| Side { health: Health::Up, redeployed: false, attempts };
            let facts = Facts {
                active: BLUE,
                from: side(old),
                to: side(new),
                assigned: new.requests,
                arrived: new.requests,
                evidence: against[0].value.max(against[1].value),
                to_is_worse: Measure::ALL.into_iter().find(|measure| worse(*measure)),
                ..Facts::default()
            };
            let (next, act) = state.step_on(&self.rules, &facts, now_s);
            state = next;
            if state.phase == Phase::Idle {
                return Outcome { act, seconds, requests };
            }
        }
        Outcome { act: None, seconds: 3600, requests }
    }

    /// Many rollouts, in the order of their seeds.
    fn run_many(&self, count: u64) -> Vec<Outcome> {
        let half = count / 2;
        thread::scope(|scope| {
            let first = scope.spawn(|| (0..half).map(|seed| self.run(seed)).collect::<Vec<_>>());
            let second: Vec<_> = (half..count).map(|seed| self.run(seed)).collect();
            [first.join().expect("the first half"), second].concat()
        })
    }
}

fn aborted(outcomes: &[Outcome]) -> usize {
    outcomes.iter().filter(|outcome| outcome.is_aborted()).count()
}

fn median(values: impl Iterator<Item = u64>) -> u64 {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    values[values.len() / 2]
}

#[test]
fn of_5000_good_rollouts_at_a_risk_of_1_percent_at_most_70_are_aborted() {
    let mut simulation = Simulation::new(100, |_| (pool(0.01), pool(0.01)));
    simulation.rules.risk = 0.01;
    let outcomes = simulation.run_many(5000);
    let aborted = aborted(&outcomes);
    println!("{aborted} of 5000 aborted");
    assert!(aborted <= 70, "{aborted} of 5000");
    let done = outcomes.iter().filter(|outcome| outcome.act == Some(Act::Switch)).count();
    assert!(done + aborted >= 4990, "{done} done within an hour");
}

#[test]
fn good_rollouts_are_done_and_blips_of_a_second_abort_none() {
    let good = Simulation::new(100, |_| (pool(0.005), pool(0.005))).run_many(200);
    assert_eq!(aborted(&good), 0);
    assert!(good.iter().all(|outcome| outcome.act == Some(Act::Switch)), "{good:?}");
    let blip = |weather: Weather| aborted(&Simulation::new(100, weather).run_many(200));
    let blips = [
        blip(|s| (pool(0.005), pool(if (30..31).contains(&s) { 1.0 } else { 0.005 }))),
        blip(|s| (pool(0.005), pool(if (30..32).contains(&s) { 1.0 } else { 0.005 }))),
        blip(|s| (pool(0.005), pool(if (30..33).contains(&s) { 1.0 } else { 0.005 }))),
    ];
    println!("blips of 1, 2 and 3 seconds abort {blips:?} of 200");
    assert!(blips[0] == 0 && blips[1] <= 2 && blips[2] <= 12, "{blips:?}");
}

#[test]
fn both_pools_failing_for_20_seconds_abort_nothing() {
    let outcomes =
        Simulation::new(100, |s| if (20..40).contains(&s) { (pool(0.3), pool(0.3)) } else { (pool(0.01), pool(0.01)) })
            .run_many(200);
    assert_eq!(aborted(&outcomes), 0);
}

#[test]
fn a_broken_pool_is_told_in_seconds() {
    let outcomes = Simulation::new(100, |_| (pool(0.005), pool(1.0))).run_many(200);
    assert_eq!(aborted(&outcomes), 200);
    let longest = outcomes.iter().map(|outcome| outcome.seconds).max();
    let median = median(outcomes.iter().map(|outcome| outcome.seconds));
    println!("all broken: {median} s, {longest:?} at most");
    assert!((4..=5).contains(&median) && longest <= Some(8), "{median} s, {longest:?} at most");
    assert!(outcomes.iter().all(|outcome| outcome.requests <= 45.0));
}

#[test]
fn five_percent_instead_of_a_half_are_told_within_a_minute_and_a_half() {
    let mut simulation = Simulation::new(100, |_| (pool(0.005), pool(0.05)));
    (simulation.rules.every_s, simulation.rules.requests) = (10, 50);
    let outcomes = simulation.run_many(200);
    assert_eq!(aborted(&outcomes), 200, "none reaches 100 %");
    let in_time = outcomes.iter().filter(|outcome| outcome.seconds <= 90).count();
    let seconds = median(outcomes.iter().map(|outcome| outcome.seconds));
    println!("0.5 -> 5 %: {seconds} s at the median, {in_time} of 200 within 90 s");
    assert!(seconds <= 30 && in_time >= 196, "{seconds} s, {in_time} in time");
}

#[test]
fn a_pool_of_twice_the_latency_is_told_in_seconds() {
    let told = |weather: Weather| {
        let outcomes = Simulation::new(100, weather).run_many(200);
        assert_eq!(aborted(&outcomes), 200);
        median(outcomes.iter().map(|outcome| outcome.seconds))
    };
    // Nearly all of times that differ little lie above the old p90 when they double; of exponential ones, the root of a
    // tenth.
    let (alike, spread) = (
        told(|_| (pool(0.005), Pool { fails: 0.005, is_slow: 0.9 })),
        told(|_| (pool(0.005), Pool { fails: 0.005, is_slow: 0.316 })),
    );
    println!("latency x 2: {alike} s at the median, {spread} s where times differ much");
    assert!(alike <= 7 && spread <= 30, "{alike} and {spread} s");
}

#[test]
fn what_little_traffic_cannot_tell_is_said() {
    let outcomes = Simulation::new(2, |_| (pool(0.001), pool(0.01))).run_many(200);
    let aborted = aborted(&outcomes);
    println!("2 requests a second, 0.1 -> 1 %: {aborted} of 200 aborted");
    assert!(aborted < 100, "{aborted} of 200");
    let told = verdict::detectable(2.0 * 60.0, 0.05, 0.001, 8000.0);
    assert!(told.is_none_or(|rate| rate > 0.01), "{told:?}");
}
