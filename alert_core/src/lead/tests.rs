//! Rollouts on a board of their own: requests are judged, a leader looks once a second, and the clock is the test's.

use std::sync::atomic::Ordering::Relaxed;

use super::leader::Leader;
use crate::base::clock::wall_ms;
use crate::base::task::{Look, Task};
use crate::board::facts::RolloutOf;
use crate::board::region::Region;
use crate::board::rollout::{Outcome, RolloutBoard};
use crate::board::tests::settings;
use crate::board::{Board, Plan};
use crate::detect::judge::Judge;
use crate::model::alert::Alert;
use crate::model::event::{Attempt, Event};
use crate::model::ids::{PeerId, PoolId};
use crate::model::outcome::{AttemptEnd, ClientGot};
use crate::operate::control::Command;
use crate::report::view::Source;
use crate::rollout::probe::Streak;
use crate::rollout::share::Bucket;
use crate::rollout::state::Phase;
use crate::settings::Settings;

mod killed;

const LINES: [&str; 7] = [
    "pool blue b:1",
    "pool green g:1",
    "active blue",
    "window 1000",
    "probe /healthz",
    "rollout 5% 25% 50% every=10s requests=50",
    "rollback on within=30m",
];
const CLIENTS: u32 = 3000;

struct Rig {
    region: Region,
    board: Board,
    plan: Plan,
    settings: Settings,
    judge: Judge,
    leader: Leader,
    now_ms: u64,
    next: u32,
    /// Whether the map of `$alert_pool` names another pool.
    misnamed: bool,
    /// Time between two requests, in milliseconds.
    pace_ms: u64,
    /// What the pools answer with.
    releases: [&'static str; 2],
}

impl Rig {
    fn new(more: &[&str]) -> Rig {
        Rig::of(&[&LINES, more].concat())
    }

    fn of(lines: &[&str]) -> Rig {
        let settings = settings(lines);
        let now_ms = wall_ms();
        let region = Region::private(1 << 21);
        let board = Board::open(region, now_ms).expect("a board");
        let plan = board.activate(board.reserve(&settings, now_ms).expect("room"), &settings);
        let (log, _) = crate::base::log::queue();
        let judge = Judge::new(board, &plan, &settings, log.clone());
        let leader = Leader::new(board, &plan, &settings, std::process::id(), log).expect("a leader");
        board.workers().join(std::process::id(), plan.generation, now_ms).expect("a place");
        let mut rig = Rig {
            region,
            board,
            plan,
            settings,
            judge,
            leader,
            now_ms,
            next: 0,
            misnamed: false,
            pace_ms: 10,
            releases: ["v41", "v42"],
        };
        rig.pass(3, |_, _| true);
        rig
    }

    fn pool(&self, at: usize) -> PoolId {
        self.plan.pools(0)[at]
    }

    fn rollout(&self) -> &'static RolloutBoard {
        self.board.rollout(&self.plan, 0).expect("a rollout")
    }

    fn active(&self) -> String {
        let shared = self.board.monitor(&self.plan, 0).expect("a monitor");
        shared.pool(shared.active()).name.load()
    }

    fn command(&self, path: &str, query: &str) -> Result<u16, String> {
        let source =
            Source { board: self.board, plan: &self.plan, settings: &self.settings, now_ms: self.now_ms, step_ms: 0 };
        let command = Command::parse(path, query).map_err(|refusal| refusal.text)?;
        command.carry_out(&source).map(|done| done.status).map_err(|refusal| refusal.text)
    }

    fn probed(&self, pool: usize, error: &str) {
        let rollout = self.rollout();
        let of = RolloutOf::find(self.board, &self.plan, &self.settings, 0).expect("a rollout");
        for (at, probed) in rollout.probes_of(of.shared, of.addresses(self.pool(pool))).enumerate() {
            // Of several addresses, the first one is what is said of.
            let error = if at == 0 { error } else { "" };
            let passed = error.is_empty();
            probed.release.store(self.releases[pool].as_bytes());
            probed.error.store(error.as_bytes());
            probed.streak.store(Streak { up: Some(passed), passed, length: 3, at_ms: self.now_ms });
        }
    }

    /// One request, as nginx would route it; `answers` says whether a pool answers this client.
    fn request(&mut self, answers: &impl Fn(usize, u32) -> bool) {
        // Far apart, so that no two hundred in a row are the same clients.
        self.next = (self.next + 1) % (CLIENTS * 7);
        let client = self.next * 1009 % CLIENTS;
        let key = if self.settings.monitors[0].rollout.split_by == "$host" { 0 } else { client };
        let (rollout, shared) = (self.rollout(), self.board.monitor(&self.plan, 0).expect("a monitor"));
        let share = rollout.share.load();
        let bucket = Bucket::of(rollout.salt.load(Relaxed) as u32, &key.to_le_bytes());
        let is_of_share = share.counts(self.now_ms) && share.holds(bucket);
        let pool = if is_of_share { share.pool } else { shared.active() };
        rollout.note(bucket, is_of_share);
        let at = usize::from(pool == self.pool(1));
        let mut event = Event::begin(0, self.now_ms);
        event.assigned = Some((pool, bucket.get()));
        if self.misnamed && at == 1 {
            self.judge.observe(&event.finish(ClientGot::Failure), self.now_ms);
            return;
        }
        let mut attempt = |at: usize| {
            let answered = answers(at, client);
            let end = if answered { AttemptEnd::of_status(200) } else { AttemptEnd::of_status(500) };
            event.attempt(Attempt { pool: self.pool(at), peer: PeerId::NONE, end });
            answered
        };
        // A failed attempt is tried again at the other pool.
        let got = if attempt(at) || attempt(1 - at) { ClientGot::Answer } else { ClientGot::Failure };
        self.judge.observe(&event.finish(got), self.now_ms);
        self.judge.commit(self.now_ms, std::time::Instant::now());
    }

    /// Lets seconds pass with traffic, probes that pass, and a look in each.
    fn pass(&mut self, seconds: u64, answers: impl Fn(usize, u32) -> bool) {
        for _ in 0..seconds {
            self.pass_to_look(&answers);
            self.look();
        }
    }

    /// One second, up to its look.
    fn pass_to_look(&mut self, answers: &impl Fn(usize, u32) -> bool) {
        for _ in 0..100 {
            self.now_ms += 10;
            if self.now_ms / 10 % (self.pace_ms / 10) == 0 {
                self.request(answers);
            }
        }
        self.probed(0, "");
        self.probed(1, "");
    }

    fn look(&mut self) {
        self.judge_tick();
        self.leader_tick();
    }

    fn leader_tick(&mut self) {
        self.leader.tick(Look { now_ms: self.now_ms, next_ms: self.now_ms + 1000 });
    }

    fn judge_tick(&mut self) {
        self.board
            .workers()
            .of_generation(self.plan.generation, self.now_ms)
            .for_each(|worker| worker.renew(self.now_ms));
        self.judge.tick(self.now_ms);
    }

    /// Lets seconds pass until the rollout is in this phase.
    fn until(&mut self, phase: &str, limit: u64, answers: impl Fn(usize, u32) -> bool) -> u64 {
        for seconds in 0..limit {
            if self.rollout().state.load().phase.name() == phase {
                return seconds;
            }
            self.pass(1, &answers);
        }
        panic!("not {phase} within {limit} s: {:?}, {:?}", self.rollout().state.load(), self.told());
    }

    /// The first lines so far, oldest first.
    fn told(&self) -> Vec<String> {
        let mut told: Vec<Alert> = self.board.outbox().alerts().collect();
        told.reverse();
        told.iter().map(|alert| format!(":{}: {}", alert.shortcode(), alert.headline())).collect()
    }
}

const FINE: fn(usize, u32) -> bool = |_, _| true;

#[test]
fn a_good_release_takes_over_and_two_messages_tell_it() {
    let mut rig = Rig::new(&[]);
    let refused = rig.command("rollout", "monitor=app&pool=green&release=v43").expect_err("not what it answers with");
    assert_eq!(refused, "the pool answers with another release than the one named: \"v42\"");
    assert_eq!(rig.command("rollout", "monitor=app&pool=green&release=v42"), Ok(202));
    rig.until("guard", 60, FINE);
    assert_eq!(rig.active(), "green");
    let [begun, done] = &rig.told()[..] else { panic!("{:?}", rig.told()) };
    assert_eq!(begun, ":rocket: Rollout begun — green (v42) takes over from blue (v41): 5 %, 25 %, 50 %, 100 %");
    assert!(done.starts_with(":white_check_mark: Rollout done — green (v42) has all traffic after "), "{done}");
    assert!(done.ends_with(" s, no worse than blue (v41)"), "{done}");
    assert_eq!(rig.rollout().outcome(), Some(Outcome::Done));
    assert!(!rig.rollout().share.load().counts(rig.now_ms));
}

#[test]
fn a_broken_release_is_aborted_in_seconds_and_no_client_sees_it() {
    let mut rig = Rig::new(&[]);
    rig.command("rollout", "monitor=app&pool=green").expect("a rollout");
    rig.until("step", 5, FINE);
    let seconds = rig.until("idle", 10, |at, _| at == 0);
    assert!((4..=8).contains(&seconds), "{seconds} s");
    assert_eq!(rig.active(), "blue");
    let aborted = rig.told().pop().expect("a message");
    let expected = ":rotating_light: Rollout aborted — green (v42) fails more than blue (v41): 100.0 % against 0.0 %. Blue has all traffic again";
    assert_eq!(aborted, expected);
    let alert = rig.board.outbox().alerts().next().expect("the same");
    let text = alert.plain_text();
    let failed = alert.retries_absorbed;
    assert_eq!(alert.errors_reached_users, 0);
    for part in [
        format!("Users saw: {failed} retries absorbed, 0 errors reached users"),
        "From: blue (release v41)".into(),
        "To: green (release v42)".into(),
        "Share: 5 %".into(),
        format!("Decided: after {seconds} s at this share"),
        format!("First attempts: {failed} at green ({failed} failed), "),
        "Certainty: such evidence comes up by chance in at most 1 of 1000 rollouts".into(),
    ] {
        assert!(text.contains(&part), "{part:?} is missing in {text}");
    }
    assert!(!rig.rollout().share.load().counts(rig.now_ms));
    assert_eq!(rig.rollout().outcome(), Some(Outcome::Aborted));
    let refused = rig.command("rollout", "monitor=app&pool=green").expect_err("left a short while ago");
    assert!(refused.contains("again=1"), "{refused}");
    assert_eq!(rig.command("rollout", "monitor=app&pool=green&again=1"), Ok(202));
}

#[test]
fn retries_that_it_gets_are_not_held_against_a_good_release() {
    let mut rig = Rig::new(&["error_rate off", "retry_rate off"]);
    rig.command("rollout", "monitor=app&pool=green").expect("a rollout");
    // One in a hundred clients fails everywhere: green gets blue's retries, and fails those too.
    rig.until("guard", 120, |_, client| client % 100 != 0);
    assert_eq!(rig.rollout().outcome(), Some(Outcome::Done));
}

#[test]
fn one_client_that_always_fails_aborts_nothing() {
    let mut rig = Rig::new(&["error_rate off"]);
    rig.command("rollout", "monitor=app&pool=green").expect("a rollout");
    rig.until("guard", 90, |at, client| at == 0 || client != 7);
}

#[test]
fn a_name_that_is_in_no_map_is_told_as_such() {
    let mut rig = Rig::new(&["error_rate off"]);
    rig.misnamed = true;
    rig.command("rollout", "monitor=app&pool=green").expect("a rollout");
    rig.until("step", 5, FINE);
    let seconds = rig.until("idle", 20, FINE);
    let aborted = rig.told().pop().expect("a message");
    assert!(aborted.contains(" for green arrived there: is \"green\" in the map of $alert_pool?"), "{aborted}");
    assert!(seconds <= 20, "{seconds} s");
}

#[test]
fn a_release_that_breaks_after_it_has_all_traffic_goes_back_by_itself() {
    let mut rig = Rig::new(&["error_rate off"]);
    rig.command("rollout", "monitor=app&pool=green").expect("a rollout");
    rig.until("guard", 60, FINE);
    rig.pass(60, FINE);
    let seconds = rig.until("idle", 20, |at, _| at == 0);
    assert!(seconds <= 15, "{seconds} s");
    assert_eq!(rig.active(), "blue");
    let expected = ":leftwards_arrow_with_hook: Rolled back from green (v42) to blue (v41) — 100.0 % failed against 0.0 % side by side";
    assert!(rig.told().iter().any(|told| told == expected), "{:?}", rig.told());
    assert_eq!(rig.rollout().outcome(), Some(Outcome::RolledBack));
}

#[test]
fn traffic_stays_where_the_old_pool_is_no_better() {
    let mut rig = Rig::new(&["outage off"]);
    rig.command("rollout", "monitor=app&pool=green").expect("a rollout");
    rig.until("guard", 60, FINE);
    rig.pass(10, |_, client| client % 3 != 0);
    assert!(matches!(rig.rollout().state.load().phase, Phase::Comparing(_)), "{:?}", rig.rollout().state.load());
    rig.until("guard", 65, |_, client| client % 3 != 0);
    assert_eq!(rig.active(), "green");
    let told = rig.told().pop().expect("a message");
    assert!(told.starts_with(":no_entry_sign: Not rolled back — blue is no better: 3"), "{told}");
}

#[test]
fn an_operator_ends_a_rollout_by_setting_the_active_pool() {
    let mut rig = Rig::new(&[]);
    rig.command("rollout", "monitor=app&pool=green").expect("a rollout");
    rig.until("step", 5, FINE);
    assert_eq!(rig.command("active", "monitor=app&pool=green"), Ok(200));
    assert_eq!(rig.rollout().state.load().phase, Phase::Idle);
    assert!(!rig.rollout().share.load().counts(rig.now_ms));
    assert_eq!((rig.active().as_str(), rig.rollout().outcome()), ("green", Some(Outcome::Cancelled)));
    assert_eq!(rig.command("rollback", "monitor=app"), Ok(200), "blue was active before and passes its probe");
    assert_eq!(rig.active(), "blue");
}

#[test]
fn a_share_that_nobody_looks_after_ends() {
    let mut rig = Rig::new(&[]);
    rig.command("rollout", "monitor=app&pool=green").expect("a rollout");
    rig.until("step", 5, FINE);
    assert!(rig.rollout().share.load().counts(rig.now_ms + 29_000));
    rig.now_ms += 31_000;
    assert!(!rig.rollout().share.load().counts(rig.now_ms));
    rig.pass(1, FINE);
    let told = rig.told().pop().expect("a message");
    assert!(told.contains("Rollout aborted — no worker looked after it for 30 seconds"), "{told}");
}

#[test]
fn a_share_by_hand_follows_the_command_at_once_and_ends_in_time() {
    let mut rig = Rig::new(&[]);
    assert_eq!(rig.command("share", "monitor=app&pool=green&percent=50&for=1m"), Ok(200));
    let share = rig.rollout().share.load();
    assert!(share.counts(rig.now_ms) && share.edge == 8192, "before any look");
    rig.pass(59, FINE);
    assert!(rig.rollout().share.load().counts(rig.now_ms));
    rig.pass(3, FINE);
    assert!(!rig.rollout().share.load().counts(rig.now_ms));
    for (query, wrong) in [
        ("monitor=app&pool=green&percent=100", "for all traffic, switch with active"),
        ("monitor=app&pool=green&percent=0.55", "at most one digit behind the point"),
        ("monitor=app&pool=green", "\"percent\" is missing"),
        ("monitor=app&pool=blue&percent=5", "already has all traffic"),
        ("monitor=app&pool=red&percent=5", "unknown pool \"red\""),
    ] {
        let refused = rig.command("share", query).expect_err(query);
        assert!(refused.contains(wrong), "{query}: {refused}");
    }
}

#[test]
fn a_pool_that_is_down_gets_no_request() {
    let mut rig = Rig::new(&[]);
    rig.command("rollout", "monitor=app&pool=green").expect("a rollout");
    for _ in 0..62 {
        rig.now_ms += 1000;
        rig.probed(0, "");
        rig.probed(1, "answered 503");
        rig.look();
    }
    assert_eq!(rig.rollout().assigned.load(Relaxed), 0);
    let failed =
        ":no_entry_sign: Rollout failed — green (v42) does not pass its probe (answered 503). Blue keeps all traffic";
    assert!(rig.told().iter().any(|told| told == failed), "{:?}", rig.told());
    assert_eq!(rig.rollout().outcome(), Some(Outcome::Failed));
}

#[test]
fn a_monitor_without_the_directives_says_what_to_write() {
    let rig = Rig::new(&[]);
    let plain = settings(&["pool blue b:1", "pool green g:1"]);
    let board = Board::open(Region::private(1 << 20), rig.now_ms).expect("a board");
    let plan = board.activate(board.reserve(&plain, 0).expect("room"), &plain);
    let source = Source { board, plan: &plan, settings: &plain, now_ms: rig.now_ms, step_ms: 0 };
    let command = Command::parse("rollout", "monitor=app&pool=green").expect("a command");
    let refusal = command.carry_out(&source).expect_err("refused");
    assert_eq!((refusal.status, refusal.text.contains("write \"rollout 5% 25% 50%;\" in it")), (409, true));
}

#[test]
fn a_share_by_hand_is_compared_from_its_first_second_and_nothing_comes_of_it() {
    let mut rig = Rig::new(&["error_rate off", "retry_rate off"]);
    rig.command("share", "monitor=app&pool=green&percent=5").expect("a share");
    rig.pass(8, |at, _| at == 0);
    let told = rig.told();
    assert_eq!(
        told,
        [
            ":warning: Compared by hand — green (v42) fails more than blue (v41): 100.0 % against 0.0 %. It keeps its 5 %"
        ]
    );
    rig.pass(600, |at, _| at == 0);
    assert_eq!(rig.told(), told, "once");
    assert!(rig.rollout().share.load().counts(rig.now_ms));
}

#[test]
fn both_pools_that_fail_for_a_while_abort_nothing_and_no_step_is_taken_meanwhile() {
    let mut rig = Rig::new(&["outage off"]);
    rig.command("rollout", "monitor=app&pool=green").expect("a rollout");
    rig.until("step", 5, FINE);
    rig.pass(5, FINE);
    rig.pass(40, |_, client| client % 10 > 2);
    assert_eq!(rig.rollout().state.load().step(), Some(1), "{:?}", rig.told());
    rig.until("guard", 120, FINE);
    assert_eq!(rig.active(), "green");
}

#[test]
fn a_blip_of_a_second_aborts_nothing() {
    let mut rig = Rig::new(&["error_rate off", "retry_rate off"]);
    rig.command("rollout", "monitor=app&pool=green").expect("a rollout");
    rig.until("step", 5, FINE);
    rig.pass(4, FINE);
    rig.pass(1, |at, _| at == 0);
    rig.until("guard", 90, FINE);
}

#[test]
fn one_key_for_all_clients_holds_the_first_step_and_is_told_once() {
    let mut rig = Rig::new(&["split_by $host"]);
    rig.command("rollout", "monitor=app&pool=green").expect("a rollout");
    rig.until("step", 5, FINE);
    rig.pass(300, FINE);
    assert_eq!(rig.rollout().state.load().step(), Some(1));
    let told = rig.told();
    let waits = ":hourglass_flowing_sand: Rollout waits at 5 % — all requests have one key: split_by does not tell clients apart, for 10 s";
    assert_eq!(told[1..], [waits]);
}

#[test]
fn little_traffic_is_waited_for_and_never_judged() {
    let lines = LINES.map(|line| if line.starts_with("rollout ") { "rollout 50% every=10s requests=50" } else { line });
    let mut rig = Rig::of(&[&lines[..], &["error_rate off", "retry_rate off", "failover off"]].concat());
    rig.pace_ms = 2000;
    rig.command("rollout", "monitor=app&pool=green").expect("a rollout");
    rig.until("step", 5, FINE);
    rig.pass(150, FINE);
    assert_eq!(rig.rollout().state.load().step(), Some(1), "{:?}", rig.told());
    let told = rig.told();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[1].starts_with(":hourglass_flowing_sand: Rollout waits at 50 % — "), "{told:?}");
    assert!(told[1].ends_with(" of 50 requests in 1 min 40 s"), "{told:?}");
    rig.until("guard", 200, FINE);
    assert!(rig.told()[2].contains("Rollout done"), "{:?}", rig.told());
}

#[test]
fn no_client_goes_to_a_pool_of_which_an_address_does_not_pass() {
    let lines = LINES.map(|line| if line.starts_with("pool green") { "pool green g:1 g:2" } else { line });
    let mut rig = Rig::of(&lines);
    rig.command("rollout", "monitor=app&pool=green").expect("a rollout");
    for _ in 0..62 {
        rig.now_ms += 1000;
        rig.probed(0, "");
        rig.probed(1, "answered 503");
        (0..20).for_each(|_| rig.request(&FINE));
        rig.look();
    }
    assert_eq!(rig.rollout().assigned.load(Relaxed), 0);
    assert_eq!(rig.rollout().outcome(), Some(Outcome::Failed));
}

#[test]
fn nothing_goes_back_to_a_pool_that_was_redeployed_since() {
    let mut rig = Rig::new(&["error_rate off"]);
    rig.command("rollout", "monitor=app&pool=green").expect("a rollout");
    rig.until("guard", 60, FINE);
    rig.releases[0] = "v43";
    rig.pass(30, |at, _| at == 0);
    assert_eq!(rig.active(), "green");
    let kept = ":no_entry_sign: Not rolled back — blue has another release by now than the one that was good";
    assert_eq!(rig.told().iter().filter(|told| *told == kept).count(), 1, "{:?}", rig.told());
}

#[test]
fn in_maintenance_a_rollout_holds_and_only_an_operator_moves_clients() {
    let begun = || {
        let mut rig = Rig::new(&["error_rate off"]);
        rig.command("rollout", "monitor=app&pool=green").expect("a rollout");
        rig.until("step", 5, FINE);
        rig.command("maintenance", "monitor=app&on=1").expect("maintenance");
        rig.pass(60, |at, _| at == 0);
        assert_eq!(rig.rollout().state.load().step(), Some(1), "neither aborted nor a step on");
        rig
    };
    let rig = begun();
    assert_eq!(rig.command("rollout", "monitor=app&do=abort"), Ok(200));
    assert!(!rig.rollout().share.load().counts(rig.now_ms), "at once");
    assert_eq!(rig.command("share", "monitor=app&pool=green&percent=50"), Ok(200));
    assert!(rig.rollout().share.load().counts(rig.now_ms));
    assert_eq!(rig.command("active", "monitor=app&pool=green"), Ok(200));
    assert_eq!((rig.active().as_str(), rig.rollout().share.load().counts(rig.now_ms)), ("green", false));
    let mut rig = begun();
    rig.command("maintenance", "monitor=app&on=0").expect("its end");
    let seconds = rig.until("idle", 10, |at, _| at == 0);
    assert!(seconds <= 10, "what was held is judged once maintenance is over: {seconds} s");
}
