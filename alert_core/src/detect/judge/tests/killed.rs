//! Workers that are killed behind each change that they make of the board: what they decided is told, once.

use super::*;
use crate::base::killed::Life;
use crate::board::maintenance::Order;
use crate::board::settled::Settled;
use crate::board::worker::WorkerBoard;
use crate::operate::control::Command;
use crate::report::view::Source;
use crate::rules::failover;
use crate::rules::throttle::{Policy, Signal};

/// Who does something.
#[derive(Clone, Copy, PartialEq)]
enum Who {
    /// The master, whom nobody kills here.
    Master,
    /// The detector of a worker.
    Detector,
    /// Its event loop.
    EventLoop,
}

/// What happens next.
#[derive(Clone, Copy)]
struct Step(Who, &'static dyn Fn(&mut Rig));

const fn worker(act: &'static dyn Fn(&mut Rig)) -> Step {
    Step(Who::Detector, act)
}

const fn master(act: &'static dyn Fn(&mut Rig)) -> Step {
    Step(Who::Master, act)
}

impl Rig {
    fn join(&self, pid: u32) -> &'static WorkerBoard {
        self.board.workers().join(pid, self.plan.generation, self.now_ms).expect("a place")
    }

    /// Another worker on the same board.
    fn other(&self) -> Rig {
        let (log, _) = crate::base::log::queue();
        let judges = vec![Judge::new(self.board, &self.plan, &self.settings, log)];
        let (plan, settings) = (self.plan.clone(), self.settings.clone());
        Rig { region: self.region, board: self.board, plan, settings, judges, now_ms: self.now_ms, next: 0 }
    }

    /// The worker is gone, in the middle of what it did, and another one is there.
    fn replace_killed(&mut self, at_it: Who) {
        let pid = std::process::id();
        let killed = self.board.workers().of_process(pid, self.now_ms).unwrap_or_else(|| self.join(pid));
        // No process has so high a number.
        killed.pid.store(u32::MAX.into(), Relaxed);
        match at_it {
            Who::EventLoop => std::mem::forget(killed.begin_order()),
            _ => killed.begin_judging(),
        }
        killed.leave();
        self.judges = self.other().judges;
    }

    /// A second passes, with what a detector does then.
    fn tick(&mut self) {
        self.tick_of(std::process::id());
    }

    fn tick_of(&mut self, pid: u32) {
        let own = self.join(pid);
        own.begin_judging();
        self.now_ms += 1000;
        own.renew(self.now_ms);
        self.judges[0].mend(own, self.now_ms);
        self.judges[0].tick(self.now_ms);
        own.end_judging();
        own.leave();
    }

    /// What people were told, oldest first.
    fn said(&self) -> Vec<(Kind, Status)> {
        let mut alerts: Vec<Alert> = self.board.outbox().alerts().filter(|alert| !self.was_held_back(alert)).collect();
        alerts.reverse();
        alerts.iter().map(|alert| (alert.kind, alert.status)).collect()
    }
}

/// Plays a story again and again, each time with a worker that is killed behind the next change of the board, and so is the one
/// that takes its place; and each time with another worker that comes in between there. `check` looks at the end.
fn play(lines: &[&str], story: &[Step], check: impl Fn(&Rig, &str)) {
    play_with_kills(lines, story, &check);
    play_with_others(lines, story, &check);
}

/// Clients whose worker is killed try again.
fn play_with_kills(lines: &[&str], story: &[Step], check: impl Fn(&Rig, &str)) {
    for first in 0.. {
        for second in 0.. {
            let mut rig = Rig::new(1, lines);
            let [mut life, mut next_life] = [first, second].map(Life::of);
            for Step(who, act) in story {
                if *who == Who::Master {
                    act(&mut rig);
                } else if life.ends_in(|| act(&mut rig)) {
                    rig.replace_killed(*who);
                    if next_life.ends_in(|| rig.tick()) {
                        rig.replace_killed(Who::Detector);
                    }
                    rig.tick();
                    act(&mut rig);
                }
            }
            rig.tick();
            rig.tick();
            check(&rig, &format!("killed behind changes {first} and {second}"));
            let epoch = || rig.shared().epoch.load(Relaxed);
            let noted = epoch();
            rig.shared().note_steady();
            assert_eq!(epoch(), noted, "the fast path knows the pool that serves: {first} {second}");
            if !life.is_over {
                assert!(first > story.len(), "it changes next to nothing");
                return;
            }
            if !next_life.is_over {
                break;
            }
        }
    }
}

fn play_with_others(lines: &[&str], story: &[Step], check: impl Fn(&Rig, &str)) {
    for changes in 0.. {
        let mut rig = Rig::new(1, lines);
        let mut life = Life::of(changes);
        for Step(who, act) in story {
            if *who == Who::Master {
                act(&mut rig);
                continue;
            }
            let own = rig.join(std::process::id());
            if *who == Who::Detector {
                own.begin_judging();
            }
            let mut other = rig.other();
            life.is_interrupted_in(|| act(&mut rig), move || other.tick_of(std::os::unix::process::parent_id()));
            own.end_judging();
            own.leave();
        }
        rig.tick();
        rig.tick();
        check(&rig, &format!("overtaken behind change {changes}"));
        if !life.is_over {
            return;
        }
    }
}

fn assert_told(lines: &[&str], story: &[Step], told: &[(Kind, Status)]) {
    play(lines, story, |rig, when| assert_eq!(of_each(rig.said()), of_each(told.to_vec()), "{when}"));
}

/// What is said of each incident; in what order different ones are told does not matter.
fn of_each(mut said: Vec<(Kind, Status)>) -> Vec<(Kind, Status)> {
    said.sort_by_key(|(kind, _)| kind.incident() as u8);
    said
}

const BLUE_ANSWERS: Step = worker(&|rig| rig.requests(20, BLUE));
const BLUE_FAILS: Step = worker(&|rig| rig.requests(5, RETRIED));
const ALL_FAIL: Step = worker(&|rig| rig.requests(12, DOWN));
const TICK: Step = worker(&Rig::tick);
const BLUE_IS_BACK: Step = worker(&|rig| {
    for _ in 0..4 {
        rig.requests(4, BLUE);
        rig.tick();
    }
});
const FAILED_OVER: (Kind, Status) = (Kind::Failover, FIRING);
const BACK: (Kind, Status) = (Kind::Failback, RESOLVED);

fn both(kind: Kind) -> [(Kind, Status); 2] {
    [(kind, FIRING), (kind, RESOLVED)]
}

#[test]
fn a_failover_and_its_way_back_are_told_once() {
    let told = [FAILED_OVER, BACK];
    for lines in [&["cooldown 0s"][..], &[]] {
        assert_told(lines, &[BLUE_ANSWERS, BLUE_FAILS, TICK], &told[..1]);
        play(lines, &[BLUE_ANSWERS, BLUE_FAILS, TICK, BLUE_IS_BACK], |rig, when| {
            assert_eq!(rig.said(), told, "{when}");
            let moved = |alert: Alert| (alert.from.name, alert.to.name, alert.no_failure_seen);
            let moves: Vec<_> = rig.board.outbox().alerts().map(moved).collect();
            let [blue, green] = ["blue", "green"].map(String::from);
            assert_eq!(moves, [(green.clone(), blue.clone(), false), (blue, green, false)], "{when}");
        });
    }
}

#[test]
fn limits_and_outages_and_their_ends_are_told_once() {
    let lines = ["window 20", "cooldown 0s", "failover off"];
    let told = [both(Kind::ErrorRate), both(Kind::Outage)].concat();
    assert_told(&lines, &[BLUE_ANSWERS, ALL_FAIL, TICK, BLUE_ANSWERS, BLUE_ANSWERS, TICK], &told);
}

#[test]
fn the_end_of_what_was_told_long_ago_is_told_once() {
    let lines = ["window 20", "cooldown 0s", "failover off", "outage off"];
    let long_after: Step = master(&|rig| rig.now_ms += 3_600_000);
    assert_told(&lines, &[BLUE_ANSWERS, ALL_FAIL, TICK, long_after, BLUE_ANSWERS, TICK], &both(Kind::ErrorRate));
}

#[test]
fn people_are_reminded_once() {
    let lines = ["window 20", "cooldown 20s", "failover off", "outage off"];
    let later: Step = master(&|rig| rig.now_ms += 20_000);
    let told = [(Kind::ErrorRate, FIRING); 3];
    assert_told(&lines, &[BLUE_ANSWERS, ALL_FAIL, later, TICK, later, TICK], &told);
}

#[test]
fn what_maintenance_held_back_is_told_once() {
    let lines = ["window 20", "outage off", "retry_rate off"];
    let on: Step = master(&|rig| rig.shared().maintenance.order(Order::On));
    let off: Step = master(&|rig| rig.shared().maintenance.order(Order::Off));
    let told = [FAILED_OVER, (Kind::ErrorRate, FIRING)];
    assert_told(&lines, &[BLUE_ANSWERS, on, BLUE_FAILS, ALL_FAIL, TICK, off, TICK], &told);
    assert_told(&lines, &[BLUE_ANSWERS, BLUE_FAILS, TICK, on, BLUE_IS_BACK, TICK, off, TICK], &[FAILED_OVER, BACK]);
}

#[test]
fn pools_that_flap_and_the_end_of_that_are_told_once() {
    let stable: Step = master(&|rig| rig.now_ms += 301_000);
    let thrice = [BLUE_ANSWERS, BLUE_FAILS, BLUE_IS_BACK, BLUE_FAILS, BLUE_IS_BACK, BLUE_FAILS, TICK];
    let told = [FAILED_OVER, BACK, FAILED_OVER, BACK, (Kind::Flapping, FIRING)];
    assert_told(&["cooldown 0s"], &thrice, &told);
    let then = [(Kind::Flapping, RESOLVED), FAILED_OVER];
    assert_told(&["cooldown 0s"], &[&thrice[..], &[stable, TICK]].concat(), &[&told[..], &then].concat());
}

#[test]
fn what_a_configuration_no_longer_watches_ends_once() {
    let switch_off = master(&|rig| {
        rig.settings = settings(
            &[&POOLS[..], &["failover off", "error_rate off", "outage off", "retry_rate off", "window 20"]].concat(),
        );
        rig.reload(1);
    });
    let rename = master(&|rig| {
        rig.settings = settings(&["pool red b:1", "pool black g:1", "active red"]);
        rig.reload(1);
    });
    let lines = ["window 20", "outage off", "retry_rate off"];
    let story = [BLUE_ANSWERS, ALL_FAIL, BLUE_FAILS, TICK, switch_off, TICK];
    let told = [(Kind::ErrorRate, FIRING), FAILED_OVER, (Kind::ErrorRate, RESOLVED), BACK];
    play(&lines, &story, |rig, when| {
        assert_eq!(of_each(rig.said()), of_each(told.to_vec()), "{when}");
        let ends: Vec<_> = rig.board.outbox().alerts().filter(|alert| alert.status == RESOLVED).collect();
        assert!(ends.iter().all(|alert| alert.unwatched), "{when}");
    });
    assert_told(&lines, &[BLUE_ANSWERS, BLUE_FAILS, TICK, rename, TICK], &[FAILED_OVER, BACK]);
}

#[test]
fn what_probes_say_is_told_once() {
    const DOWN: Step = master(&|rig| rig.probed(1, "connection refused"));
    const UP: Step = master(&|rig| [0, 1].into_iter().for_each(|pool| rig.probed(pool, "")));
    assert_told(PROBED, &[BLUE_ANSWERS, UP, DOWN, TICK, TICK, UP, TICK, TICK], &both(Kind::Probe));
}

#[test]
fn a_pool_that_is_set_active_by_an_order_is_told_once() {
    let order = Step(Who::EventLoop, &|rig| {
        let Rig { board, plan, settings, now_ms, .. } = rig;
        let source = Source { board: *board, plan, settings, now_ms: *now_ms, step_ms: 0 };
        let command = Command::parse("active", "monitor=app&pool=green").expect("a command");
        command.carry_out(&source).expect("a pool");
    });
    assert_told(&[], &[BLUE_ANSWERS, TICK, order, TICK], &[(Kind::Switched, Status::Info)]);
}

#[test]
fn the_first_pool_seen_serving_is_the_one_that_should() {
    let without = master(&|rig| {
        rig.settings = settings(&POOLS[..2]);
        rig.reload(1);
    });
    play(&[], &[without, BLUE_ANSWERS, TICK], |rig, when| {
        assert_eq!(rig.shared().active(), rig.plan.pools(0)[0], "{when}");
    });
    assert_told(&[], &[without, BLUE_ANSWERS, TICK, BLUE_FAILS], &[FAILED_OVER]);
}

#[test]
fn what_a_living_worker_is_about_to_tell_is_left_to_it() {
    let mut rig = Rig::new(1, &["cooldown 0s", "window 10", "outage off"]);
    rig.requests(20, BLUE);
    let (shared, workers) = (rig.shared(), rig.board.workers());
    let other = workers.join(std::os::unix::process::parent_id(), rig.plan.generation, rig.now_ms).expect("a place");
    rig.replace_killed(Who::Detector);
    other.begin_judging();
    let window = rig.board.window(shared).expect("a window");
    (0..10).for_each(|_| window.record(rig.now_ms, 1, Outcome::Failed, PoolId::NONE));
    let policy = Policy { cooldown_ms: 0, muted: false, reminds: true };
    shared.incident(Kind::ErrorRate).throttle.update(|throttle| throttle.on(Signal::Raised, rig.now_ms, &policy).0);
    shared.change_failover(|_| failover::State::serving(rig.plan.pools(0)[1]));
    rig.tick();
    rig.tick();
    assert_eq!(rig.said(), []);
    other.end_judging();
    rig.tick();
    assert_eq!(rig.said(), [FAILED_OVER, (Kind::ErrorRate, FIRING)], "now it is nobody's");
}

#[test]
fn nobody_is_told_an_end_again_since_it_made_room_and_its_beginning_did_not() {
    let mut rig = Rig::new(1, &["failover off", "outage off", "window 10", "error_rate 50%", "cooldown 0s"]);
    let named = |name: &str| {
        let mut sink = SinkSettings::parse(&["slack", "http://127.0.0.1:9/"], &SystemSource).expect("a sink");
        sink.name = name.into();
        sink
    };
    let outbox = rig.board.outbox();
    let send = |rig: &Rig| {
        let last = rig.last().id;
        rig.plan.sinks().iter().filter(|sink| outbox.take(last, **sink)).count()
    };
    rig.reload_with(1, vec![named("before"), named("after")], vec![0]);
    rig.requests(6, DOWN);
    assert_eq!(send(&rig), 1);
    rig.reload_with(1, vec![named("after")], vec![0]);
    rig.requests(10, BLUE);
    assert_eq!(send(&rig), 1);
    assert_eq!(rig.said(), both(Kind::ErrorRate));
    let other = Alert { monitor: "other".into(), ..rig.last() };
    for _ in 0..200 {
        outbox.publish(&other, &[], Delivery::Sent);
    }
    rig.replace_killed(Who::Detector);
    rig.tick();
    rig.tick();
    let own: Vec<_> = outbox.alerts().filter(|alert| alert.monitor == "app").map(|alert| alert.status).collect();
    assert_eq!(own, [FIRING]);
}

#[test]
fn a_board_that_does_not_say_how_far_it_was_told_is_taken_at_its_word() {
    let mut rig = Rig::new(1, &["cooldown 0s"]);
    rig.requests(20, BLUE);
    let shared = rig.shared();
    [&shared.serving_settled, &shared.active_settled].into_iter().for_each(|twin| twin.store(Settled::default()));
    shared.change_failover(|_| failover::State::serving(rig.plan.pools(0)[1]));
    rig.tick();
    rig.tick();
    assert_eq!(rig.said(), []);
    assert_eq!(
        (shared.serving_settled.load().pool, shared.active_settled.load().pool),
        (shared.serving(), shared.active())
    );
}
