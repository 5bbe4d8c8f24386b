//! The engine against slow models that say the rules in other words, on traffic that nobody would think of.

use std::collections::VecDeque;

use alert_core::base::word::Word;
use alert_core::board::region::Region;
use alert_core::board::window::Window;
use alert_core::board::{Board, Plan};
use alert_core::detect::judge::Judge;
use alert_core::model::alert::{Kind, Status};
use alert_core::model::event::Event;
use alert_core::model::ids::PeerId;
use alert_core::model::ids::{PoolId, PoolSet};
use alert_core::model::outcome::Outcome;
use alert_core::rules::failover::{self, Observation, Rules};
use alert_core::rules::throttle::{Action, Policy, Signal, Throttle};
use alert_core::settings::{MonitorReader, Settings};
use proptest::prelude::*;

const T0: u64 = 1_790_000_000_000;
const YEAR_2026: u64 = 1_767_225_600_000;

fn settings(lines: &[String]) -> Settings {
    let mut reader = MonitorReader::new("app").expect("a name");
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        reader.directive(&words, &mut |address| Ok(vec![address.to_string()])).expect("a directive");
    }
    Settings { monitors: vec![reader.finish().expect("settings")], ..Settings::default() }
}

fn board(settings: &Settings) -> (Board, Plan) {
    let memory = Region::private(alert_core::board::needed_bytes(settings));
    let board = Board::open(memory, T0).expect("a board");
    let plan = board.activate(board.reserve(settings, T0).expect("room"), settings);
    (board, plan)
}

fn window(size: u32) -> Window<'static> {
    let (board, plan) = board(&settings(&[format!("window {size}")]));
    board.window(board.monitor(&plan, 0).expect("a monitor")).expect("a window")
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        6 => Just(Outcome::Answered),
        2 => Just(Outcome::Failed),
        1 => Just(Outcome::Retried),
        1 => Just(Outcome::RetriedWhileFailedOver),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Record { latency_ms: u32, outcome: Outcome },
    Expire { age_ms: u64 },
    Limit { slow_ms: u32 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (0_u32..2000, outcome()).prop_map(|(latency_ms, outcome)| Step::Record { latency_ms, outcome }),
        1 => (0_u64..5000).prop_map(|age_ms| Step::Expire { age_ms }),
        1 => prop_oneof![Just(u32::MAX), 1_u32..2000].prop_map(|slow_ms| Step::Limit { slow_ms }),
    ]
}

/// "The last N requests" as a list, with time in the same units of 64 ms since 2026.
struct Model {
    size: usize,
    slow_ms: u32,
    /// A place per request: an expired one stays as a hole until it is displaced, as in the ring.
    requests: VecDeque<Option<(u64, u32, Outcome)>>,
}

impl Model {
    fn apply(&mut self, step: &Step, now_ms: u64) {
        match step {
            Step::Record { latency_ms, outcome } => {
                self.requests.push_back(Some((now_ms, *latency_ms, *outcome)));
                if self.requests.len() > self.size {
                    self.requests.pop_front();
                }
            }
            Step::Expire { age_ms } => {
                for request in &mut self.requests {
                    request.take_if(|(time_ms, ..)| (*time_ms - YEAR_2026) / 64 * 64 + YEAR_2026 < now_ms - age_ms);
                }
            }
            Step::Limit { slow_ms } => self.slow_ms = *slow_ms,
        }
    }

    fn count(&self, wanted: impl Fn(&(u64, u32, Outcome)) -> bool) -> u32 {
        self.requests.iter().flatten().filter(|request| wanted(request)).count() as u32
    }
}

proptest! {
    #[test]
    fn the_window_is_the_last_n_requests(
        size in prop_oneof![Just(1_u32), Just(7), Just(25), Just(200), 1_u32..300],
        steps in prop::collection::vec(step(), 0..600),
    ) {
        let window = window(size);
        let mut model = Model { size: size as usize, slow_ms: u32::MAX, requests: VecDeque::new() };
        for (at, step) in steps.iter().enumerate() {
            let now_ms = T0 + at as u64 * 37;
            model.apply(step, now_ms);
            match step {
                Step::Record { latency_ms, outcome } => window.record(now_ms, *latency_ms, *outcome, PoolId::new(3)),
                Step::Expire { age_ms } => window.expire(now_ms - age_ms),
                Step::Limit { slow_ms } => window.set_slow_ms(*slow_ms),
            }
            let counts = window.counts();
            let limit = u64::from(model.slow_ms);
            prop_assert_eq!(counts.filled, model.count(|_| true));
            prop_assert_eq!(counts.failed, model.count(|(_, _, outcome)| *outcome == Outcome::Failed));
            prop_assert_eq!(counts.retried, model.count(|(_, _, outcome)| *outcome == Outcome::Retried));
            let slow = |ms: u64, outcome: &Outcome| outcome.is_answer() && ms > limit;
            prop_assert_eq!(counts.slow, model.count(|(_, ms, outcome)| slow((*ms).into(), outcome)));
            let nearly = |ms: u64, outcome: &Outcome| outcome.is_answer() && ms * 5 > limit * 4;
            prop_assert_eq!(counts.nearly_slow, model.count(|(_, ms, outcome)| nearly((*ms).into(), outcome)));
        }
    }

    #[test]
    fn several_writers_and_a_sweeper_leave_the_counts_of_the_ring(
        size in 1_u32..200,
        outcomes in prop::collection::vec(prop::collection::vec((0_u32..1000, outcome()), 100..400), 2..5),
    ) {
        let window = window(size);
        let total: usize = outcomes.iter().map(Vec::len).sum();
        std::thread::scope(|scope| {
            for outcomes in &outcomes {
                scope.spawn(move || {
                    for (latency_ms, outcome) in outcomes {
                        window.record(T0, *latency_ms, *outcome, PoolId::NONE);
                    }
                });
            }
            scope.spawn(move || {
                for slow_ms in [500, 100, u32::MAX, 300] {
                    window.set_slow_ms(slow_ms);
                    window.expire(T0 - 1000);
                }
            });
        });
        let count = |wanted| window.samples().filter(|sample| sample.outcome() == Some(wanted)).count();
        let counts = window.counts();
        prop_assert_eq!(counts.filled as usize, total.min(size as usize));
        prop_assert_eq!(counts.failed as usize, count(Outcome::Failed));
        prop_assert_eq!(counts.retried as usize, count(Outcome::Retried));
    }
}

/// One request of the failover model: the attempts before the last that failed, the last pool, whether it answered, and
/// the time since the request before.
type Request = (Vec<u8>, u8, bool, u64);

fn request() -> impl Strategy<Value = Request> {
    (prop::collection::vec(0_u8..4, 0..3), 0_u8..4, prop::bool::weighted(0.8), prop_oneof![Just(10), Just(300)])
}

/// Who serves, by reading the whole history again at each request.
struct History {
    active: u8,
    confirm: usize,
    serving: u8,
    /// Answers in a row that are no chance, where both pools serve anyway.
    row: usize,
    /// The longest row of before that ended by itself.
    usual_row: usize,
    /// Requests since the serving pool last answered or traffic last moved, oldest first.
    since: Vec<(Vec<u8>, u8, bool, u64)>,
}

impl History {
    fn observe(&mut self, failed: Vec<u8>, last: u8, answered: bool, now_ms: u64) -> Option<(u8, u8)> {
        let struck_here = failed.contains(&self.serving);
        if answered && last == self.serving {
            // What it failed in this very request it made good.
            self.since.clear();
            return None;
        }
        self.since.push((failed, last, answered, now_ms));
        if !answered || last == 0 {
            return None;
        }
        // The answers in a row of this pool: unknown pools do not interrupt, another pool's answer or its own failure do,
        // unless another of its servers made that good.
        let mut row: Vec<u64> = Vec::new();
        for (failed, pool, answered, time) in self.since.iter().rev() {
            if *pool != last && failed.contains(&last) {
                break;
            }
            match (*pool, *answered) {
                (0, _) => continue,
                (pool, true) if pool == last => row.push(*time),
                (pool, false) if pool != last => continue,
                _ => break,
            }
        }
        let struck = struck_here || self.since.iter().any(|(failed, ..)| failed.contains(&self.serving));
        // Where both pools serve anyway, rows come by themselves, too.
        let (anyway, lasted_ms) = (self.row > 0, row.last().map_or(0, |first| now_ms - first));
        let unusual = if anyway { 2 * self.usual_row } else { 0 };
        let moved = if last == self.active {
            row.len() >= 10 && lasted_ms >= 2000
        } else if struck {
            row.len() >= self.row.max(self.confirm).max(unusual.min(200))
        } else {
            row.len() >= self.row.max(20).max(unusual) && (!anyway || lasted_ms >= 2000)
        };
        if !moved {
            return None;
        }
        let from = std::mem::replace(&mut self.serving, last);
        self.since.clear();
        Some((from, last))
    }
}

proptest! {
    #[test]
    fn traffic_moves_exactly_when_the_history_says_so(
        confirm in 1_u32..5,
        row in prop_oneof![3 => Just(0_u16), 1 => Just(3), 1 => Just(30)],
        usual_row in prop_oneof![Just(0_u32), 1_u32..20],
        requests in prop::collection::vec(request(), 0..400),
        runs in prop::collection::vec((0_usize..400, 1_usize..30), 0..12),
    ) {
        // Real traffic comes in runs of the same; without them nothing would ever be steady.
        let mut traffic = requests.clone();
        for (at, length) in runs {
            if let Some(request) = traffic.get(at).cloned() {
                traffic.splice(at..at, std::iter::repeat_n(request, length));
            }
        }
        let rules = Rules { active: PoolId::new(1), confirm, row, usual_row, ..Rules::default() };
        let (confirm, row, usual_row) = (confirm as usize, row.into(), usual_row as usize);
        let mut history = History { active: 1, confirm, serving: 1, row, usual_row, since: Vec::new() };
        let mut state = failover::State::default();
        let (mut now_ms, mut last_answers) = (T0, [0; 4]);
        for (earlier, last, answered, pause_ms) in traffic {
            now_ms += pause_ms;
            let mut failed = earlier;
            if !answered {
                failed.push(last);
            }
            let mut set = PoolSet::EMPTY;
            failed.iter().for_each(|pool| set.insert(PoolId::new(*pool)));
            let failed: Vec<u8> = failed.into_iter().filter(|pool| *pool != 0).collect();
            let last_pool = PoolId::new(last);
            let seen = Observation { last: last_pool, answered, failed: set, began_ms: now_ms, header_ms: now_ms };
            let served_ms = last_answers[state.serving.get() as usize];
            if answered {
                last_answers[last as usize] = now_ms;
            }
            let next = state.step(&seen, &Rules { served_ms, ..rules });
            prop_assert_eq!(failover::State::from_word(next.to_word()), next);
            let taken_over = next.take_over();
            state = taken_over.map_or(next, |(after, _)| after);
            let moved = taken_over.map(|(_, moved)| moved);
            let expected = history.observe(failed, last, answered, now_ms);
            prop_assert_eq!(moved.map(|moved| (moved.from.get(), moved.to.get())), expected);
        }
    }

    #[test]
    fn a_notice_keeps_its_promises(
        cooldown_ms in prop_oneof![Just(0_u64), Just(300_000), 1_u64..1_000_000],
        reminds in any::<bool>(),
        steps in prop::collection::vec((0_u64..120_000, 0_u8..8, prop::bool::weighted(0.15)), 0..300),
    ) {
        let mut notice = Throttle::default();
        let (mut now_ms, mut broken) = (T0, false);
        let (mut last_firing_ms, mut owed, mut held) = (None, false, 0_u32);
        for (pause_ms, what, muted) in steps {
            now_ms += pause_ms;
            let signal = match what {
                0 if !broken => Signal::Raised,
                1 if broken => Signal::Cleared,
                2 => Signal::Unwatched,
                _ => Signal::Unchanged,
            };
            broken = match signal {
                Signal::Raised => true,
                Signal::Cleared | Signal::Unwatched => false,
                Signal::Unchanged => broken,
            };
            if signal == Signal::Unwatched {
                // Nothing of before hides what is told later.
                (held, last_firing_ms) = (0, None);
            }
            let (next, action) = notice.on(signal, now_ms, &Policy { cooldown_ms, muted, reminds });
            prop_assert_eq!(Throttle::from_word(next.to_word()), next);
            prop_assert_eq!(next.raised, broken);
            notice = next;
            match action {
                Action::Nothing => (),
                Action::Suppress => held += 1,
                Action::Notify(message) => {
                    prop_assert!(!muted, "nothing is sent while muted");
                    if message.resolved {
                        prop_assert!(owed && !broken, "an end is told only where the beginning was");
                        prop_assert_eq!(message.held_back, held);
                        owed = false;
                    } else {
                        prop_assert!(broken, "nothing is told that is not so");
                        let enough = last_firing_ms.is_none_or(|last: u64| now_ms - last >= cooldown_ms);
                        prop_assert!(enough, "one message and one reminder per cooldown");
                        prop_assert!(!message.reminder || (owed && reminds && cooldown_ms > 0));
                        // What was held back and is told now is no longer held back.
                        prop_assert!(message.held_back == held || message.held_back + 1 == held);
                        (owed, last_firing_ms) = (true, Some(now_ms));
                    }
                    held = 0;
                }
            }
        }
    }

    #[test]
    fn an_error_rate_fires_at_the_instant_at_which_the_count_exceeds_its_share_of_n(
        size in prop_oneof![Just(1_u32), Just(7), Just(25), Just(200)],
        hundredths in 1_u32..3000,
        failures in prop::collection::vec(prop::bool::weighted(0.1), 0..500),
    ) {
        let percent = format!("{}.{:02}%", hundredths / 100, hundredths % 100);
        let lines = [format!("window {size}"), format!("error_rate {percent}"), "failover off".into(), "outage off".into(), "cooldown 0".into()];
        let settings = settings(&lines);
        let (board, plan) = board(&settings);
        let judge = Judge::new(board, &plan, &settings, alert_core::base::log::queue().0);
        let (mut window, mut firing) = (VecDeque::new(), false);
        for (at, failed) in failures.into_iter().enumerate() {
            let now_ms = T0 + at as u64;
            let status = if failed { 502 } else { 200 };
            let event = Event::of_statuses(0, now_ms, &[(PoolId::NONE, PeerId::NONE, status)], status);
            let told = judge.observe(&event, now_ms);
            window.push_back(failed);
            if window.len() > size as usize {
                window.pop_front();
            }
            let count = window.iter().filter(|failed| **failed).count() as f64;
            let limit = f64::from(hundredths) / 10_000.0 * f64::from(size);
            let expected = if firing { count <= limit / 2.0 + 1e-9 } else { count > limit + 1e-9 };
            prop_assert_eq!(told, expected, "{} of {} at {}", count, size, &percent);
            if told {
                firing = !firing;
                let alert = board.outbox().alerts().next().expect("the alert");
                let status = if firing { Status::Firing } else { Status::Resolved };
                prop_assert_eq!((alert.kind, alert.status), (Kind::ErrorRate, status));
                prop_assert_eq!(f64::from(alert.window.failed), count);
            }
        }
    }

    #[test]
    fn workers_at_once_tell_each_incident_once(
        workers in 2_usize..8,
        failures in 5_u32..60,
    ) {
        let settings = settings(&["window 1000".into(), "error_rate 0.4%".into(), "failover off".into(), "outage off".into()]);
        let (board, plan) = board(&settings);
        let judges: Vec<Judge> =
            (0..workers).map(|_| Judge::new(board, &plan, &settings, alert_core::base::log::queue().0)).collect();
        let told: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = judges
                .iter()
                .map(|judge| {
                    scope.spawn(move || {
                        let event = Event::of_statuses(0, T0, &[(PoolId::NONE, PeerId::NONE, 502)], 502);
                        (0..failures).filter(|_| judge.observe(&event, T0)).count()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("a worker")).sum()
        });
        prop_assert_eq!(told, 1);
        prop_assert_eq!(board.outbox().alerts().count(), 1);
        let window = board.window(board.monitor(&plan, 0).expect("a monitor")).expect("a window");
        prop_assert_eq!(window.counts().failed, failures * workers as u32);
    }
}
