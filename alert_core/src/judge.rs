//! From events to alerts: counts each request on the board and lets the state machines decide.
//!
//! A state machine is one packed word, changed by compare-and-swap. The worker whose swap succeeds owns the alert that
//! comes of it, so it exists exactly once, however many workers see the same traffic.

use std::sync::atomic::{AtomicU64, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed};

use crate::alert::{Alert, Kind, Missed, PoolLabel, Status, WindowFigures};
use crate::board::monitor::MonitorBoard;
use crate::board::sink::SinkId;
use crate::board::{Board, Plan};
use crate::event::Event;
use crate::failover::{self, Observation};
use crate::flapping;
use crate::log::{Level, Log};
use crate::notice::{Action, Message, Notice, Policy, Signal};
use crate::outbox::Delivery;
use crate::pool::{PoolId, PoolSet};
use crate::rule::Standing;
use crate::settings::{MonitorSettings, Settings};
use crate::window::{Outcome, Window};

/// Judges by one configuration.
pub struct Judge {
    board: Board,
    generation: u64,
    monitors: Vec<Monitor>,
    log: Log,
}

struct Monitor {
    settings: MonitorSettings,
    shared: &'static MonitorBoard,
    sinks: Vec<SinkId>,
    /// Its window, and the word of the board that said where it lies.
    window: (u64, Option<Window<'static>>),
    /// When this worker first saw a rival ripe to take over, in milliseconds since the Unix epoch; zero is not now.
    ripe_since_ms: AtomicU64,
}

/// How long a rival stays ripe before it takes over, in milliseconds: for a request whose answer is out and whose log
/// phase is still to come.
const SETTLE_MS: u64 = 1;
/// How long to wait at most for a worker that has not judged what it has seen.
const SETTLE_LIMIT_MS: u64 = 50;

/// What came of a look at the ripe rivals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// An alert was put into the outbox for delivery.
    pub told: bool,
    /// Some rival is ripe and has to wait.
    pub waiting: bool,
}

impl Judge {
    /// A judge for the configuration of this plan.
    pub fn new(board: Board, plan: &Plan, settings: &Settings, log: Log) -> Judge {
        let monitors = settings.monitors.iter().enumerate().filter_map(|(at, monitor)| {
            let shared = board.monitor(plan, at)?;
            Some(Monitor {
                settings: monitor.clone(),
                shared,
                window: (shared.window.load(Acquire), board.window(shared)),
                sinks: sinks_of(plan, settings, at),
                ripe_since_ms: AtomicU64::new(0),
            })
        });
        Judge { board, generation: plan.generation, monitors: monitors.collect(), log }
    }

    /// Counts a request and decides. Returns whether an alert was put into the outbox for delivery.
    #[inline]
    pub fn observe(&self, event: &Event, now_ms: u64) -> bool {
        let Some(monitor) = self.monitors.get(event.monitor as usize) else { return false };
        let Some(last) = event.last() else { return false };
        let shared = monitor.shared;
        let word = shared.failover.load(Relaxed);
        let steady = !last.failed && event.attempts().len() == 1 && failover::State::is_steady(word, last.pool);
        let outcome = if steady { Outcome::Answered } else { event.outcome(shared.is_failed_over()) };

        let Some(window) = self.window(monitor) else { return false };
        window.record(event.time_ms, event.latency_ms, outcome, last.pool);
        let before = Totals::of(shared);
        let failed = shared.count(event, outcome);
        if self.board.generation() != self.generation {
            // A worker of an earlier configuration, still draining: what it sees says nothing about who serves now.
            return false;
        }
        let judged = Judged { judge: self, monitor, now_ms };
        if steady {
            return judged.limits(&window);
        }
        // A request that began before the active pool was changed on purpose went where it had to go then.
        let began_ms = event.time_ms.saturating_sub(event.latency_ms.into());
        let is_late = began_ms < shared.switched_ms.load(Relaxed);
        if let Some(confirm) = monitor.settings.failover.filter(|_| !is_late) {
            let seen = Observation { last: last.pool, answered: !last.failed, failed, time_ms: event.time_ms };
            judged.who_serves(&seen, confirm, before);
        }
        judged.limits(&window)
    }

    /// The window of a monitor. Another configuration may have moved it.
    #[inline]
    fn window(&self, monitor: &Monitor) -> Option<Window<'static>> {
        let (word, window) = monitor.window;
        if monitor.shared.window.load(Acquire) == word { window } else { self.board.window(monitor.shared) }
    }

    /// Lets rivals that [`Judge::observe`] saw ripe take over, as soon as every worker has judged what it has seen: an
    /// answer of the serving pool that comes in between still stops them. Where nobody else judges, that is at once.
    /// Called after each batch of events, and again while something waits.
    pub fn settle(&self, now_ms: u64) -> Settled {
        let mut settled = Settled::default();
        for monitor in &self.monitors {
            let since_ms = monitor.ripe_since_ms.load(Relaxed);
            if since_ms == 0 {
                continue;
            }
            let waited_ms = now_ms.abs_diff(since_ms);
            let workers = || self.board.workers().of_generation(self.generation, now_ms);
            let is_alone = || workers().nth(1).is_none();
            let caught_up = || workers().all(|worker| worker.queue_depth() == 0);
            if waited_ms < SETTLE_LIMIT_MS && !is_alone() && (waited_ms < SETTLE_MS || !caught_up()) {
                settled.waiting = true;
                continue;
            }
            monitor.ripe_since_ms.store(0, Relaxed);
            if self.board.generation() == self.generation {
                settled.told |= Judged { judge: self, monitor, now_ms }.take_over();
            }
        }
        settled
    }

    /// What time alone changes: reminders, requests that grow too old, the end of maintenance and of flapping. Called
    /// about once a second. Returns whether an alert was put into the outbox for delivery.
    pub fn tick(&mut self, now_ms: u64) -> bool {
        if self.board.generation() != self.generation {
            return false;
        }
        let mut told = false;
        if let Some(lost) = self.board.outbox().newly_lost(now_ms) {
            let text = format!("{lost} alerts were lost: they made room for newer ones before all sinks had them");
            self.log.write(Level::Error, text);
        }
        for monitor in &self.monitors {
            let shared = monitor.shared;
            let Some(window) = self.board.window(shared) else { continue };
            shared.history.sample(shared, now_ms);
            self.look_after_maintenance(monitor, now_ms);
            if shared.serving().is_known() {
                // Where nobody saw it begin, it serves at least since now.
                let _ = shared.serving_since_ms.compare_exchange(0, now_ms, Relaxed, Relaxed);
            }
            if let Some(max_age_ms) = monitor.settings.max_age_ms {
                window.expire(now_ms.saturating_sub(max_age_ms));
            }
            let judged = Judged { judge: self, monitor, now_ms };
            told |= judged.limits(&window);
            told |= judged.rules_switched_off();
            told |= judged.flapping(|state| state.tick(now_ms));
            told |= judged.signal(Kind::Failover, judged.failover_goes_on(), None);
            told |= judged.signal(Kind::Flapping, Signal::Unchanged, None);
        }
        told
    }

    fn look_after_maintenance(&self, monitor: &Monitor, now_ms: u64) {
        let maintenance = &monitor.shared.maintenance;
        maintenance.look_up(&monitor.settings.maintenance);
        if maintenance.expire(now_ms) {
            let text = format!("the time of the maintenance of monitor \"{}\" is over", monitor.settings.name);
            self.log.write(Level::Notice, text);
        }
    }
}

/// The sinks of a monitor: its own, or those of the http level, which are the ones that no monitor has for itself.
pub(crate) fn sinks_of(plan: &Plan, settings: &Settings, monitor: usize) -> Vec<SinkId> {
    let own = |sink: &usize| settings.monitors.iter().flat_map(|monitor| &monitor.sinks).flatten().any(|at| at == sink);
    let sinks = match &settings.monitors[monitor].sinks {
        Some(sinks) => sinks.clone(),
        None => (0..settings.sinks.len()).filter(|sink| !own(sink)).collect(),
    };
    sinks.iter().filter_map(|sink| plan.sinks().get(*sink).copied()).chain(plan.poll()).collect()
}

impl Monitor {
    /// The limit of a kind as configured.
    fn limit(&self, kind: Kind) -> String {
        match kind {
            Kind::ErrorRate => self.settings.error_rate.map(|limit| limit.to_string()),
            Kind::RetryRate => self.settings.retry_rate.map(|limit| limit.to_string()),
            Kind::Latency => self.settings.latency.map(|limit| limit.to_string()),
            _ => None,
        }
        .unwrap_or_default()
    }
}

/// Totals of a monitor, to tell what an incident cost.
#[derive(Clone, Copy)]
struct Totals {
    failed: u64,
    retried: u64,
}

impl Totals {
    #[inline]
    fn of(shared: &MonitorBoard) -> Totals {
        Totals { failed: shared.failed.load(Relaxed), retried: shared.retried.load(Relaxed) }
    }
}

impl MonitorBoard {
    /// Counts a request in the totals and returns the pools of its failed attempts.
    #[inline]
    fn count(&self, event: &Event, outcome: Outcome) -> PoolSet {
        let mut failed = PoolSet::EMPTY;
        let Some((last, earlier)) = event.attempts().split_last() else { return failed };
        for attempt in earlier {
            let pool = self.pool(attempt.pool);
            if attempt.failed {
                failed.insert(attempt.pool);
                pool.failed_attempts.fetch_add(1, Relaxed);
                pool.remember_peer(attempt);
            } else {
                pool.passed_on.fetch_add(1, Relaxed);
            }
        }
        let pool = self.pool(last.pool);
        pool.remember_peer(last);
        if last.failed {
            failed.insert(last.pool);
            pool.failed_attempts.fetch_add(1, Relaxed);
            pool.failed_last.fetch_add(1, Relaxed);
        } else {
            pool.seen(event.time_ms);
            pool.count_answer(event.latency_ms);
        }
        match outcome {
            Outcome::Answered => (),
            Outcome::Failed => {
                self.failed.fetch_add(1, Relaxed);
            }
            Outcome::Retried | Outcome::RetriedWhileFailedOver => {
                self.retried.fetch_add(1, Relaxed);
            }
        }
        failed
    }
}

impl crate::board::monitor::PoolBoard {
    /// Notes an answer. The latest counts, unless the clock was set back since.
    #[inline]
    fn seen(&self, time_ms: u64) {
        let last_ms = self.last_seen_ms.load(Relaxed);
        if time_ms > last_ms || last_ms > time_ms + failover::DISORDER_MS {
            self.last_seen_ms.store(time_ms, Relaxed);
        }
    }

    #[inline]
    fn remember_peer(&self, attempt: &crate::event::Attempt) {
        if let Some(place) = attempt.peer.index() {
            self.last_peer.store(place as u64 + 1, Relaxed);
        }
    }
}

/// One monitor being judged at one instant.
struct Judged<'a> {
    judge: &'a Judge,
    monitor: &'a Monitor,
    now_ms: u64,
}

impl Judged<'_> {
    /// Steps the failover state machine.
    #[inline]
    fn who_serves(&self, seen: &Observation, confirm: u32, before: Totals) {
        let shared = self.monitor.shared;
        let mut word = shared.failover.load(Acquire);
        let (old, new) = loop {
            let old = failover::State::from_word(word);
            let served_ms = shared.pool(old.serving).last_seen_ms.load(Relaxed);
            let new = old.step(seen, &failover::Rules { active: shared.active(), confirm }, served_ms);
            if new.ripe && self.monitor.ripe_since_ms.load(Relaxed) == 0 {
                self.monitor.ripe_since_ms.store(self.now_ms, Relaxed);
            }
            if new == old {
                return;
            }
            match shared.failover.compare_exchange_weak(word, new.to_word(), AcqRel, Acquire) {
                Ok(_) => break (old, new),
                Err(current) => word = current,
            }
        };
        if !shared.active().is_known() {
            // The first pool seen serving is the one that should. Another worker may have been first.
            let _ = shared.active.compare_exchange(0, u64::from(new.serving.get()), AcqRel, Relaxed);
        }
        if new.struck && !old.struck {
            // What follows belongs to one incident, if it becomes one.
            let incident = shared.incident(Kind::Failover);
            if !Notice::from_word(incident.notice.load(Relaxed)).broken {
                incident.begin(seen.time_ms, before, shared.failed_attempts().saturating_sub(1));
            }
        }
    }

    /// Lets a ripe rival take over, if it still is ripe and no other worker was faster.
    fn take_over(&self) -> bool {
        let cell = &self.monitor.shared.failover;
        let mut word = cell.load(Acquire);
        while let Some((new, moved)) = failover::State::from_word(word).take_over() {
            match cell.compare_exchange_weak(word, new.to_word(), AcqRel, Acquire) {
                Ok(_) => return self.moved(&moved),
                Err(current) => word = current,
            }
        }
        false
    }

    /// Traffic moved: says so, unless it does so too often.
    fn moved(&self, moved: &failover::Move) -> bool {
        let shared = self.monitor.shared;
        let back = moved.to == shared.active();
        if !back && !moved.failure_seen {
            shared.incident(Kind::Failover).begin(self.now_ms, Totals::of(shared), shared.failed_attempts());
        }
        if !back {
            shared.stand_in.store(u64::from(moved.to.get()), Relaxed);
        }
        shared.serving_since_ms.store(self.now_ms, Relaxed);
        let told = self.flapping(|state| state.moved(!back, self.now_ms));
        let signal = if back { Signal::Mended } else { Signal::Broke };
        self.signal(Kind::Failover, signal, Some(moved)) | told
    }

    /// Changes the flapping state, and tells where that begins or ends.
    fn flapping(&self, change: impl Fn(flapping::State) -> flapping::State) -> bool {
        let cell = &self.monitor.shared.flapping;
        let changed = cell.fetch_update(AcqRel, Acquire, |word| {
            let old = flapping::State::from_word(word);
            let new = change(old);
            (new != old).then(|| new.to_word())
        });
        let Ok(old) = changed else { return false };
        let new = flapping::State::from_word(cell.load(Relaxed)).flapping;
        match (flapping::State::from_word(old).flapping, new) {
            (false, true) => self.signal(Kind::Flapping, Signal::Broke, None),
            (true, false) => self.signal(Kind::Flapping, Signal::Mended, None),
            _ => false,
        }
    }

    /// Holds the window against the limits.
    #[inline]
    fn limits(&self, window: &Window<'_>) -> bool {
        let settings = &self.monitor.settings;
        let size = window.size();
        let mut told = false;
        if let Some(limit) = settings.error_rate {
            told |= self.limit(Kind::ErrorRate, limit.judge(window.failed(), size));
        }
        if let Some(limit) = settings.retry_rate {
            let standing = match limit.judge(window.retried(), size) {
                // While failed over, retries are explained by what was told already.
                Standing::Broken if self.monitor.shared.is_failed_over() => Standing::Between,
                standing => standing,
            };
            told |= self.limit(Kind::RetryRate, standing);
        }
        if let Some(limit) = settings.latency {
            told |= self.limit(Kind::Latency, limit.judge(&window.counts(), size));
        }
        told
    }

    /// Ends what a rule told that a new configuration has switched off since: nothing else would.
    fn rules_switched_off(&self) -> bool {
        let settings = &self.monitor.settings;
        let off = [
            (Kind::ErrorRate, settings.error_rate.is_none()),
            (Kind::RetryRate, settings.retry_rate.is_none()),
            (Kind::Latency, settings.latency.is_none()),
        ];
        off.into_iter().filter(|(_, off)| *off).fold(false, |told, (kind, _)| self.limit(kind, Standing::Fine) | told)
    }

    #[inline]
    fn limit(&self, kind: Kind, standing: Standing) -> bool {
        let word = self.monitor.shared.incident(kind).notice.load(Relaxed);
        if word == 0 && standing != Standing::Broken {
            // Never broken: by far the most frequent case.
            return false;
        }
        let signal = match (Notice::from_word(word).broken, standing) {
            (false, Standing::Broken) => Signal::Broke,
            (true, Standing::Fine) => Signal::Mended,
            _ => Signal::Unchanged,
        };
        self.signal(kind, signal, None)
    }

    /// What time alone says about the failover: it is over when another pool became the active one meanwhile, or when
    /// nobody wants to know.
    fn failover_goes_on(&self) -> Signal {
        let shared = self.monitor.shared;
        let broken = Notice::from_word(shared.incident(Kind::Failover).notice.load(Relaxed)).broken;
        let over = self.monitor.settings.failover.is_none()
            || (shared.active().is_known() && !self.monitor.shared.is_failed_over());
        if broken && over { Signal::Mended } else { Signal::Unchanged }
    }

    /// Steps the notice of a kind, and puts what it decides into the outbox.
    fn signal(&self, kind: Kind, signal: Signal, moved: Option<&failover::Move>) -> bool {
        let shared = self.monitor.shared;
        let flaps = kind == Kind::Failover && flapping::State::from_word(shared.flapping.load(Relaxed)).flapping;
        let policy = Policy {
            cooldown_ms: self.monitor.settings.cooldown_ms,
            muted: shared.maintenance.is_on(self.now_ms) || flaps,
        };
        let incident = shared.incident(kind);
        let Some(action) = step(&incident.notice, signal, kind, self.now_ms, &policy) else { return false };
        if signal == Signal::Broke && kind != Kind::Failover {
            incident.begin(self.now_ms, Totals::of(shared), shared.failed_attempts());
        }
        match action {
            Action::Nothing => false,
            Action::Hold => {
                incident.held_back.fetch_add(1, Relaxed);
                let message = Message { resolved: false, reminder: false, held_back: 0 };
                self.publish(self.alert(kind, &message, moved), Delivery::HeldBack);
                false
            }
            Action::Tell(message) => {
                incident.fired.fetch_add(1, Relaxed);
                if message.resolved {
                    incident.resolved.fetch_add(1, Relaxed);
                }
                self.publish(self.alert(kind, &message, moved), Delivery::Pending);
                true
            }
        }
    }

    fn publish(&self, alert: Alert, state: Delivery) {
        let held_back = if state == Delivery::HeldBack { ", held back" } else { "" };
        let line = format!("{} (monitor \"{}\"{held_back})", alert.headline(), alert.monitor);
        self.judge.log.write(if alert.status == Status::Firing { Level::Warn } else { Level::Notice }, line);
        self.judge.board.outbox().publish(&alert, &self.monitor.sinks, state);
    }

    /// The alert with everything that is known at this instant.
    fn alert(&self, incident: Kind, message: &Message, moved: Option<&failover::Move>) -> Alert {
        let shared = self.monitor.shared;
        let began = shared.incident(incident);
        let (kind, status) = match (incident, message.resolved) {
            (Kind::Failover, true) => (Kind::Failback, Status::Resolved),
            (kind, true) => (kind, Status::Resolved),
            (kind, false) => (kind, Status::Firing),
        };
        let (active, serving) = (shared.active(), shared.serving());
        let (from, to) = match (kind, moved) {
            (_, Some(moved)) => (moved.from, moved.to),
            (Kind::Failover, None) => (active, serving),
            (Kind::Failback, None) => (shared.stand_in(), serving),
            (Kind::Flapping, None) => (active, shared.stand_in()),
            _ => (PoolId::NONE, serving),
        };
        let window = self.judge.board.window(shared);
        let counts = window.map(|window| window.counts()).unwrap_or_default();
        let latency = self.monitor.settings.latency.filter(|_| kind == Kind::Latency);
        let latency_ms = window.zip(latency).and_then(|(window, limit)| window.percentiles([limit.per_mille]));
        let since = |before: &AtomicU64, now: u64| now.saturating_sub(before.load(Relaxed));
        let (failed_attempts, retries_absorbed, errors_reached_users) = match incident {
            Kind::Failover | Kind::Flapping => (
                since(&began.failed_attempts_before, shared.failed_attempts()),
                since(&began.retried_before, shared.retried.load(Relaxed)),
                since(&began.failed_before, shared.failed.load(Relaxed)),
            ),
            _ => (0, u64::from(counts.retried), u64::from(counts.failed)),
        };
        Alert {
            id: 0,
            time_ms: self.now_ms,
            monitor: self.monitor.settings.name.clone(),
            host: String::new(),
            kind,
            status,
            reminder: message.reminder,
            since_ms: began.since_ms.load(Relaxed),
            limit: self.monitor.limit(kind),
            latency_ms: latency_ms.map_or(0, |[value]| value),
            from: label(shared, from),
            to: label(shared, to),
            no_failure_seen: kind == Kind::Failover && moved.is_some_and(|moved| !moved.failure_seen),
            window: WindowFigures {
                size: self.monitor.settings.window,
                filled: counts.filled,
                failed: counts.failed,
                retried: counts.retried,
            },
            failed_attempts,
            retries_absorbed,
            errors_reached_users,
            held_back: message.held_back,
            missed: Missed::default(),
        }
    }
}

/// Steps a notice by compare-and-swap; `None` where another worker was faster with the same step.
fn step(cell: &AtomicU64, signal: Signal, kind: Kind, now_ms: u64, policy: &Policy) -> Option<Action> {
    let mut word = cell.load(Acquire);
    loop {
        let old = Notice::from_word(word);
        // A limit breaks once: of several workers that see the same count, one says so. A failover is not a count: each
        // move is decided once already, and a second one is news.
        let stale = match signal {
            Signal::Broke => old.broken && kind != Kind::Failover,
            Signal::Mended => !old.broken,
            Signal::Unchanged => false,
        };
        if stale {
            return None;
        }
        let (new, action) = old.on(signal, now_ms, policy);
        if new == old {
            return Some(action);
        }
        match cell.compare_exchange_weak(word, new.to_word(), AcqRel, Acquire) {
            Ok(_) => return Some(action),
            Err(current) => word = current,
        }
    }
}

impl crate::board::monitor::IncidentBoard {
    fn begin(&self, now_ms: u64, before: Totals, failed_attempts: u64) {
        self.since_ms.store(now_ms, Relaxed);
        self.failed_attempts_before.store(failed_attempts, Relaxed);
        self.retried_before.store(before.retried, Relaxed);
        self.failed_before.store(before.failed, Relaxed);
    }
}

pub(crate) fn label(shared: &MonitorBoard, pool: PoolId) -> PoolLabel {
    if !pool.is_known() {
        return PoolLabel::default();
    }
    let board = shared.pool(pool);
    PoolLabel { name: board.name.load(), release: board.release.load(), address: shared.address_of(pool) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::region::Region;
    use crate::board::tests::settings;
    use crate::event::PeerId;
    use crate::sink::settings::{SinkSettings, SystemSource};

    const T0: u64 = 1_790_000_000_000;

    /// Workers that share a board, each with a judge of its own, and a clock that the test moves.
    struct Rig {
        board: Board,
        plan: Plan,
        settings: Settings,
        judges: Vec<Judge>,
        now_ms: u64,
        next: usize,
    }

    impl Rig {
        fn new(workers: usize, lines: &[&str]) -> Rig {
            let lines = [&["pool blue b:1", "pool green g:1", "active blue"], lines].concat();
            let board = Board::open(Region::private(1 << 20), T0).expect("a board");
            let mut rig = Rig {
                board,
                plan: Plan::default(),
                settings: settings(&lines),
                judges: Vec::new(),
                now_ms: T0,
                next: 0,
            };
            rig.reload(workers);
            rig
        }

        fn reload(&mut self, workers: usize) {
            let sink = SinkSettings::parse(&["slack", "http://127.0.0.1:9/"], &SystemSource).expect("a sink");
            self.settings.sinks = vec![sink];
            self.plan = self.board.reserve(&self.settings, self.now_ms).expect("room");
            self.board.activate(&mut self.plan, &self.settings);
            let (log, _) = crate::log::queue();
            self.judges =
                (0..workers).map(|_| Judge::new(self.board, &self.plan, &self.settings, log.clone())).collect();
        }

        /// One request, at the next worker, 10 ms after the last: its attempts as (pool, status), and what the client got.
        fn request(&mut self, attempts: &[(&str, u16)], client_status: u16) {
            self.now_ms += 10;
            let event = self.event(attempts, client_status);
            self.next += 1;
            let judge = &self.judges[self.next % self.judges.len()];
            judge.observe(&event, self.now_ms);
            judge.settle(self.now_ms);
        }

        fn event(&self, attempts: &[(&str, u16)], client_status: u16) -> Event {
            let mut event = Event::begin(0, self.now_ms);
            for (pool, status) in attempts {
                let pool = self.shared().find_pool(crate::name::NameKey::of(pool.as_bytes()));
                event.attempt(pool.unwrap_or(PoolId::NONE), PeerId::NONE, *status, 1);
            }
            event.finish(client_status)
        }

        fn requests(&mut self, count: usize, attempts: &[(&str, u16)]) {
            (0..count).for_each(|_| self.request(attempts, attempts.last().map_or(0, |(_, status)| *status)));
        }

        /// Lets time pass, with the ticks of every worker.
        fn pass(&mut self, seconds: u64) {
            for _ in 0..seconds {
                self.now_ms += 1000;
                for judge in &mut self.judges {
                    judge.tick(self.now_ms);
                }
            }
        }

        fn shared(&self) -> &'static MonitorBoard {
            self.board.monitor(&self.plan, 0).expect("a monitor")
        }

        /// The alerts so far, oldest first, as kind and status; held back ones are not among them.
        fn told(&self) -> Vec<(Kind, Status)> {
            let told = self.shared().notices.iter().map(|incident| incident.fired.load(Relaxed)).sum::<u64>();
            let held = self.shared().notices.iter().map(|incident| incident.held_back.load(Relaxed)).sum::<u64>();
            let mut alerts: Vec<Alert> = self.board.outbox().alerts().collect();
            assert_eq!(alerts.len() as u64, told + held);
            alerts.reverse();
            alerts.retain(|alert| !self.was_held_back(alert));
            alerts.iter().map(|alert| (alert.kind, alert.status)).collect()
        }

        fn was_held_back(&self, alert: &Alert) -> bool {
            self.board.outbox().delivery(alert.id, self.plan.sinks()[0]) == Delivery::HeldBack
        }

        fn last(&self) -> Alert {
            self.board.outbox().alerts().next().expect("an alert")
        }
    }

    const BLUE: &[(&str, u16)] = &[("blue", 200)];
    const GREEN: &[(&str, u16)] = &[("green", 200)];
    const RETRIED: &[(&str, u16)] = &[("blue", 500), ("green", 200)];
    const DOWN: &[(&str, u16)] = &[("blue", 502), ("green", 502)];
    const FIRING: Status = Status::Firing;
    const RESOLVED: Status = Status::Resolved;

    #[test]
    fn the_fifth_error_of_200_fires_once_however_many_workers_there_are() {
        for workers in [1, 4, 16] {
            let mut rig = Rig::new(workers, &["failover off"]);
            rig.requests(100, BLUE);
            (0..4).for_each(|_| rig.request(&[("blue", 500)], 500));
            assert_eq!(rig.told(), []);
            (0..20).for_each(|_| rig.request(&[("blue", 500)], 500));
            assert_eq!(rig.told(), [(Kind::ErrorRate, FIRING)]);
            let alert = rig.last();
            assert_eq!((alert.window.failed, alert.window.filled), (5, 105), "{workers} workers");
            rig.requests(400, BLUE);
            assert_eq!(rig.told(), [(Kind::ErrorRate, FIRING), (Kind::ErrorRate, RESOLVED)]);
            assert_eq!(rig.last().window.failed, 2);
        }
    }

    #[test]
    fn a_failover_and_its_way_back_are_one_alert_each() {
        for workers in [1, 4, 16] {
            let mut rig = Rig::new(workers, &[]);
            rig.requests(50, BLUE);
            rig.requests(16, RETRIED);
            rig.requests(50, GREEN);
            assert_eq!(rig.told(), [(Kind::Failover, FIRING)]);
            let alert = rig.last();
            assert_eq!((alert.from.name.as_str(), alert.to.name.as_str()), ("blue", "green"));
            assert_eq!((alert.failed_attempts, alert.retries_absorbed), (2, 2), "told at the second request");
            for _ in 0..10 {
                rig.requests(1, BLUE);
                rig.pass(1);
            }
            assert_eq!(rig.told(), [(Kind::Failover, FIRING), (Kind::Failback, RESOLVED)]);
            let alert = rig.last();
            assert_eq!((alert.from.name.as_str(), alert.to.name.as_str()), ("green", "blue"));
            assert_eq!((alert.failed_attempts, alert.retries_absorbed, alert.errors_reached_users), (16, 16, 0));
        }
    }

    #[test]
    fn retries_made_while_failed_over_never_count() {
        let mut rig = Rig::new(4, &["window 50", "retry_rate 10%"]);
        rig.requests(20, BLUE);
        rig.requests(30, RETRIED);
        let window = rig.board.window(rig.shared()).expect("a window");
        assert_eq!(window.counts().retried, 2, "the two that made it a failover");
        for _ in 0..12 {
            rig.requests(1, BLUE);
            rig.pass(1);
        }
        assert_eq!(rig.told(), [(Kind::Failover, FIRING), (Kind::Failback, RESOLVED)]);
        assert_eq!(window.counts().retried, 2);
    }

    #[test]
    fn retries_of_a_primary_that_goes_on_answering_fire_their_own_alert() {
        let mut rig = Rig::new(4, &["window 20", "retry_rate 10%"]);
        for _ in 0..3 {
            rig.requests(2, BLUE);
            rig.requests(1, RETRIED);
        }
        assert_eq!(rig.told(), [(Kind::RetryRate, FIRING)]);
        rig.requests(20, BLUE);
        assert_eq!(rig.told(), [(Kind::RetryRate, FIRING), (Kind::RetryRate, RESOLVED)]);
    }

    #[test]
    fn both_pools_down_is_an_error_rate_and_no_failover() {
        let mut rig = Rig::new(4, &[]);
        rig.requests(10, BLUE);
        rig.requests(100, DOWN);
        assert_eq!(rig.told(), [(Kind::ErrorRate, FIRING)]);
    }

    #[test]
    fn three_failovers_within_five_minutes_are_flapping_then_silence() {
        let mut rig = Rig::new(4, &["cooldown 0s"]);
        for _ in 0..5 {
            rig.requests(10, BLUE);
            rig.pass(3);
            rig.requests(1, BLUE);
            rig.requests(3, RETRIED);
        }
        assert_eq!(
            rig.told(),
            [
                (Kind::Failover, FIRING),
                (Kind::Failback, RESOLVED),
                (Kind::Failover, FIRING),
                (Kind::Failback, RESOLVED),
                (Kind::Flapping, FIRING),
            ]
        );
        rig.pass(301);
        assert_eq!(rig.told()[5..], [(Kind::Flapping, RESOLVED), (Kind::Failover, FIRING)], "green serves still");
    }

    #[test]
    fn latency_fires_and_resolves() {
        let mut rig = Rig::new(2, &["window 100", "latency p95 500ms"]);
        rig.requests(60, BLUE);
        for _ in 0..6 {
            rig.now_ms += 10;
            let mut event = Event::begin(0, rig.now_ms);
            event.attempt(PoolId::new(1), PeerId::NONE, 200, 900);
            rig.judges[0].observe(&event.finish(200), rig.now_ms);
        }
        assert_eq!(rig.told(), [(Kind::Latency, FIRING)]);
        assert_eq!((rig.last().latency_ms, rig.last().limit.as_str()), (900, "p95 500ms"));
        rig.requests(100, BLUE);
        assert_eq!(rig.told(), [(Kind::Latency, FIRING), (Kind::Latency, RESOLVED)]);
    }

    #[test]
    fn workers_of_an_earlier_configuration_count_and_do_not_judge() {
        let mut rig = Rig::new(2, &[]);
        rig.requests(20, BLUE);
        let old = std::mem::take(&mut rig.judges);
        rig.settings = settings(&["pool blue b:1", "pool green g:1", "active green"]);
        rig.reload(2);
        let event = rig.event(BLUE, 200);
        (0..100).for_each(|_| {
            old[0].observe(&event, rig.now_ms);
        });
        assert_eq!(rig.told(), []);
        assert_eq!(rig.board.window(rig.shared()).expect("a window").counts().filled, 120);
        rig.requests(50, GREEN);
        assert_eq!(rig.told(), [], "a planned switch is no failover");
        assert_eq!(crate::status::state(rig.shared(), false), "ok");
    }

    #[test]
    fn an_unlisted_pool_serves_where_none_is_set() {
        let mut rig = Rig::new(1, &[]);
        rig.settings = settings(&["window 50"]);
        rig.settings.monitors[0].name = "other".into();
        rig.reload(1);
        let shared = rig.shared();
        let (blue, green) = (shared.learn_pool(b"blue"), shared.learn_pool(b"green"));
        rig.requests(3, BLUE);
        assert_eq!((shared.active(), shared.serving()), (blue, blue));
        rig.requests(2, RETRIED);
        assert_eq!((shared.active(), shared.serving()), (blue, green));
        assert_eq!(rig.told(), [(Kind::Failover, FIRING)]);
    }

    #[test]
    fn maintenance_in_the_middle_of_an_incident_is_silent_and_what_is_left_is_told_after() {
        let directory = std::env::temp_dir().join(format!("alert_core-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory");
        let file = directory.join("maintenance");
        let line = format!("maintenance file={}", file.display());
        let mut rig = Rig::new(2, &[&line]);
        rig.requests(10, BLUE);
        std::fs::write(&file, "").expect("a file");
        rig.pass(1);
        rig.requests(5, RETRIED);
        assert_eq!(rig.shared().incident(Kind::Failover).held_back.load(Relaxed), 1);
        assert_eq!(rig.shared().incident(Kind::Failover).fired.load(Relaxed), 0);
        std::fs::remove_dir_all(&directory).expect("removed");
        rig.pass(1);
        assert_eq!(rig.shared().incident(Kind::Failover).fired.load(Relaxed), 1);
        assert_eq!((rig.last().kind, rig.last().held_back), (Kind::Failover, 0));
    }

    #[test]
    fn answers_in_flight_when_the_active_pool_is_changed_are_no_failover() {
        let mut rig = Rig::new(2, &[]);
        rig.requests(10, BLUE);
        let green = rig.shared().find_pool(crate::name::NameKey::of(b"green")).expect("a pool");
        let switched_ms = rig.now_ms;
        assert!(rig.shared().switch(green, switched_ms).is_some_and(|before| before != green));
        assert_eq!(rig.shared().switch(green, switched_ms + 1), None, "it is already");
        for _ in 0..100 {
            rig.now_ms += 50;
            let mut event = rig.event(BLUE, 200);
            event.latency_ms = u32::try_from(rig.now_ms - switched_ms).expect("seconds") + 1;
            rig.judges[0].observe(&event, rig.now_ms);
        }
        rig.requests(30, GREEN);
        rig.pass(5);
        assert_eq!(rig.told(), []);
        rig.requests(2, &[("green", 500), ("blue", 200)]);
        assert_eq!(rig.told(), [(Kind::Failover, FIRING)], "from now on green is the one that should serve");
    }

    #[test]
    fn a_change_of_the_active_pool_ends_a_failover_that_was_told() {
        let mut rig = Rig::new(2, &[]);
        rig.requests(10, BLUE);
        rig.requests(5, RETRIED);
        let green = rig.shared().find_pool(crate::name::NameKey::of(b"green")).expect("a pool");
        rig.shared().switch(green, rig.now_ms);
        rig.requests(5, GREEN);
        rig.pass(2);
        assert_eq!(rig.told(), [(Kind::Failover, FIRING), (Kind::Failback, RESOLVED)]);
        assert_eq!(rig.last().headline(), "Failover is over — pool green is the active one now");
        rig.pass(1000);
        assert_eq!(rig.told().len(), 2, "no reminders");
    }

    #[test]
    fn maintenance_ordered_at_run_time_holds_for_every_worker_until_its_time_is_over() {
        use crate::board::maintenance::Order;
        let mut rig = Rig::new(2, &[]);
        rig.requests(10, BLUE);
        rig.shared().maintenance.order(Order::Until(rig.now_ms + 5000));
        rig.requests(5, RETRIED);
        assert_eq!(rig.told(), []);
        rig.reload(2);
        rig.pass(4);
        assert_eq!(rig.told(), [], "a reload ends nothing");
        rig.pass(2);
        assert_eq!(rig.told(), [(Kind::Failover, FIRING)], "what is still wrong is told then");
    }

    #[test]
    fn what_was_told_before_flapping_is_ended_after_it() {
        for cooldown in ["cooldown 0s", "cooldown 10s", "cooldown 300s"] {
            let mut rig = Rig::new(4, &[cooldown]);
            for _ in 0..7 {
                rig.requests(10, BLUE);
                rig.pass(3);
                rig.requests(1, BLUE);
                rig.requests(3, RETRIED);
                rig.pass(5);
            }
            rig.requests(10, BLUE);
            rig.pass(3);
            rig.requests(10, BLUE);
            rig.pass(700);
            for incident in [Kind::Failover, Kind::Flapping] {
                let told = rig.told();
                let last = told.iter().rev().find(|(kind, _)| kind.incident() == incident);
                assert!(last.is_none_or(|(_, status)| *status == RESOLVED), "{cooldown}: {told:?}");
            }
        }
    }

    #[test]
    fn a_rule_that_is_switched_off_ends_what_it_told() {
        let mut rig = Rig::new(2, &["cooldown 10s"]);
        rig.requests(10, BLUE);
        rig.requests(5, RETRIED);
        rig.requests(30, DOWN);
        let told = rig.told();
        assert_eq!(told, [(Kind::Failover, FIRING), (Kind::ErrorRate, FIRING)]);
        let off = ["pool blue b:1", "pool green g:1", "active blue", "failover off", "error_rate off", "cooldown 10s"];
        rig.settings = settings(&off);
        rig.reload(2);
        rig.pass(1000);
        assert_eq!(rig.told()[2..], [(Kind::ErrorRate, RESOLVED), (Kind::Failback, RESOLVED)]);
    }
}
