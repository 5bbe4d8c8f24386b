//! Whether a pool is worse than the other one: what each vote does to the bets, and when they are enough.
//!
//! A vote is the first bad event of a bucket of clients, never a request: one client that always fails says one thing
//! once. If the pool of the share is no worse, the hash that made the buckets has caused none of the failures, so the
//! next vote is one of its own exactly as likely as a draw from the buckets that have not voted. Five bets against that,
//! each on other odds, neither win nor lose in the mean. So their mean reaches `1/risk` with a probability of at most
//! `risk`, however often one looks and whatever the traffic does (Ville's inequality). What is banked of a gain is capped,
//! which only makes it rarer.

/// The odds that the bets are on: how many times as often a client of the worse pool fails.
pub const ODDS: [f64; 5] = [1.5, 2.0, 4.0, 10.0, 40.0];
/// The bets against the pool of the share, then those against the other one.
pub const BETS: usize = 2 * ODDS.len();

/// After this time in a step the votes begin anew, in seconds: what happened then no longer weighs.
pub const PART_S: u64 = 300;
/// Fewer votes against a pool than this are no verdict, nor are votes in fewer seconds.
pub const VOTES_MIN: u16 = 4;
/// As above.
pub const SECONDS_MIN: u16 = 4;
/// Evidence from which on a rollout no longer goes up.
pub const DOUBT: f64 = 10.0;
/// How many times as often as at the other pool requests must be slow.
const SLOW_TIMES: f64 = 1.25;

/// What a bad event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measure {
    /// The first attempt failed.
    Errors,
    /// The first attempt took longer than nine tenths of those at the old pool did.
    Latency,
}

impl Measure {
    /// All of them, in the order of their ballots.
    pub const ALL: [Measure; 2] = [Measure::Errors, Measure::Latency];

    /// The name used in JSON and in metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Measure::Errors => "errors",
            Measure::Latency => "latency",
        }
    }
}

/// What the votes say against one pool.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence {
    /// The mean of the bets; one is nothing.
    pub value: f64,
    /// Votes against it.
    pub votes: u16,
    /// In how many seconds they came.
    pub seconds: u16,
}

impl Default for Evidence {
    fn default() -> Evidence {
        Evidence { value: 1.0, votes: 0, seconds: 0 }
    }
}

/// First attempts at one pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    /// All of them.
    pub requests: u64,
    /// Those that failed.
    pub failed: u64,
    /// Those that were slow.
    pub slow: u64,
}

impl Attempts {
    /// The share of those that were bad, from 0 to 1.
    pub fn rate(self, measure: Measure) -> f64 {
        let bad = match measure {
            Measure::Errors => self.failed,
            Measure::Latency => self.slow,
        };
        if self.requests == 0 { 0.0 } else { bad as f64 / self.requests as f64 }
    }

    /// How many got an answer.
    pub fn answered(self) -> u64 {
        self.requests.saturating_sub(self.failed)
    }
}

/// What each bet gains by a vote of the pool of the share, or of the other one, as natural logarithm. `chance` is how likely
/// the vote is one of the share if the pools are alike.
pub fn gains(chance: f64, of_share: bool) -> [f64; BETS] {
    let mut gains = [0.0; BETS];
    for (at, odds) in ODDS.into_iter().enumerate() {
        let won = odds.ln();
        gains[at] = if of_share { won } else { 0.0 } - (chance * (odds - 1.0)).ln_1p();
        gains[at + ODDS.len()] = if of_share { 0.0 } else { won } - ((1.0 - chance) * (odds - 1.0)).ln_1p();
    }
    gains
}

/// In which part of a step a time lies, from 1 on.
pub fn part(in_step_s: u64) -> u64 {
    1 + in_step_s / PART_S
}

/// The evidence that is enough in a part of a step of a rollout with so many steps, the one to 100 % included.
///
/// The risk is shared by the two measures and the steps. In the last one all traffic is at one pool, so that nothing is
/// compared: what is left of it is for the parts from the second on, the k-th of which has 1/(k(k−1)) of it. All of
/// them together have exactly `risk`.
pub fn needed(risk: f64, steps: u8, part: u64) -> f64 {
    let (steps, part) = (f64::from(steps.max(2)), part as f64);
    let first = 2.0 * steps / risk;
    if part < 2.0 { first } else { first * (steps - 1.0) * part * (part - 1.0) }
}

/// Whether a pool is worse than the other one: the evidence is enough, on enough clients and for long enough, and the
/// rate is worse by an amount that matters. `by` is the least difference between the rates of failures, from 0 to 1.
pub fn is_worse(measure: Measure, against: Evidence, needed: f64, by: f64, pool: Attempts, other: Attempts) -> bool {
    let (rate, of_other) = (pool.rate(measure), other.rate(measure));
    let matters = match measure {
        Measure::Errors => rate >= of_other + by,
        Measure::Latency => rate >= of_other * SLOW_TIMES,
    };
    let enough = against.value >= needed && against.votes >= VOTES_MIN && against.seconds >= SECONDS_MIN;
    enough && matters && other.requests > 0
}

/// The rate of failures (from 0 to 1) at the new pool that so many requests would probably tell from `base` at the old
/// one; `None` where not even a pool that fails always would be told. Each request counts as a client of its own.
pub fn detectable(requests: f64, edge: f64, base: f64, needed: f64) -> Option<f64> {
    let (new, old) = (requests * edge, requests * (1.0 - edge));
    let is_told = |rate: f64| {
        let (bad, bad_of_old) = (new * rate, old * base);
        let evidence = |odds: f64| bad * odds.ln() - (bad + bad_of_old) * (edge * (odds - 1.0)).ln_1p();
        let best = ODDS.into_iter().map(evidence).fold(f64::MIN, f64::max);
        bad >= f64::from(VOTES_MIN) && best >= (needed * ODDS.len() as f64).ln()
    };
    if !is_told(1.0) {
        return None;
    }
    let halves = (0..30).fold((base, 1.0), |(low, high), _| {
        let middle = (low + high) / 2.0;
        if is_told(middle) { (low, middle) } else { (middle, high) }
    });
    Some(halves.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempts(requests: u64, failed: u64, slow: u64) -> Attempts {
        Attempts { requests, failed, slow }
    }

    fn evidence(value: f64, votes: u16, seconds: u16) -> Evidence {
        Evidence { value, votes, seconds }
    }

    #[test]
    fn a_bet_neither_wins_nor_loses_in_the_mean_if_the_pools_are_alike() {
        for chance in [0.0, 0.01, 0.05, 0.25, 0.5, 0.8, 0.99, 1.0] {
            let (of_share, of_other) = (gains(chance, true), gains(chance, false));
            for bet in 0..BETS {
                let mean = chance * of_share[bet].exp() + (1.0 - chance) * of_other[bet].exp();
                assert!((mean - 1.0).abs() < 1e-12, "{chance}, bet {bet}: {mean}");
            }
        }
    }

    #[test]
    fn the_limits_of_all_parts_of_all_steps_have_the_whole_risk_and_no_more() {
        assert_eq!(needed(0.001, 4, 1), 8000.0);
        for (risk, steps) in [(0.001, 4), (0.01, 2), (0.05, 16)] {
            let of_parts: f64 = (1..200_000).map(|part| 1.0 / needed(risk, steps, part)).sum();
            let compared = f64::from(steps - 1);
            let all = of_parts * 2.0 * compared;
            assert!(all <= risk && all > risk * 0.999, "{all} of {risk}");
        }
        assert_eq!([part(0), part(299), part(300), part(601)], [1, 1, 2, 3]);
    }

    #[test]
    fn the_mean_over_all_orders_of_a_small_urn_is_one_and_at_most_one_where_a_gain_is_capped() {
        // All orders in which 6 of 12 buckets can vote, of which the first 4 belong to the share.
        fn mean(cast: u32, of_share: u32, left: u32, bet: usize, ln: f64, capped: bool) -> f64 {
            if left == 0 {
                return if capped { ln.exp().min(10.0) } else { ln.exp() };
            }
            let chance = f64::from(4 - of_share) / f64::from(12 - cast);
            let branch = |is_share: bool, probability: f64| {
                if probability == 0.0 {
                    return 0.0;
                }
                let ln = ln + gains(chance, is_share)[bet];
                probability * mean(cast + 1, of_share + u32::from(is_share), left - 1, bet, ln, capped)
            };
            branch(true, chance) + branch(false, 1.0 - chance)
        }
        for bet in 0..BETS {
            assert!((mean(0, 0, 6, bet, 0.0, false) - 1.0).abs() < 1e-12);
            assert!(mean(0, 0, 6, bet, 0.0, true) <= 1.0 + 1e-12);
        }
    }

    #[test]
    fn fewer_than_four_clients_or_four_seconds_are_no_verdict_whatever_the_evidence() {
        let (new, old) = (attempts(100, 50, 0), attempts(1000, 0, 0));
        let is_worse = |against| is_worse(Measure::Errors, against, 8000.0, 0.005, new, old);
        assert!(is_worse(evidence(8000.0, 4, 4)));
        assert!(!is_worse(evidence(7999.0, 4, 4)) && !is_worse(Evidence::default()));
        assert!(!is_worse(evidence(1e9, 3, 9)) && !is_worse(evidence(1e9, 9, 3)));
    }

    #[test]
    fn the_rate_must_be_worse_by_what_matters() {
        let sure = evidence(1e9, 99, 99);
        let errors = |new, old| is_worse(Measure::Errors, sure, 8000.0, 0.005, new, old);
        assert!(errors(attempts(1000, 15, 0), attempts(1000, 10, 0)));
        assert!(!errors(attempts(1000, 14, 0), attempts(1000, 10, 0)));
        assert!(!errors(attempts(1000, 15, 0), attempts(0, 0, 0)), "there is nothing to compare it with");
        let latency = |new, old| is_worse(Measure::Latency, sure, 8000.0, 0.005, new, old);
        assert!(latency(attempts(1000, 0, 125), attempts(1000, 0, 100)));
        assert!(!latency(attempts(1000, 0, 124), attempts(1000, 0, 100)));
    }

    #[test]
    fn what_can_be_told_depends_on_the_traffic() {
        // A step of a minute at 5 %, with requests by the second.
        let told = |per_second: f64, base: f64| detectable(60.0 * per_second, 0.05, base, 8000.0);
        assert_eq!(told(1.0, 0.0), None, "3 requests in a minute");
        let (slow, busy) = (told(10.0, 0.001).expect("a rate"), told(1000.0, 0.001).expect("a rate"));
        assert!((0.1..0.3).contains(&slow) && (0.004..0.02).contains(&busy), "{slow} and {busy}");
        assert!(told(1000.0, 0.01).expect("a rate") > busy);
    }
}
