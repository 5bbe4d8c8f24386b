//! The blue/green acceptance run: breaks the running stack in every way that its users are promised not to notice, and
//! checks what they got and what was told.
//!
//! Every scenario begins with an nginx that has counted nothing yet. So no alert of one keeps the next quiet, whatever
//! the cooldown, and the failovers of the run are no flapping.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::app::Chaos;
use crate::client;
use crate::interruption::Interruption;
use crate::rollout;
use crate::runtime::{Breakdown, Pool, Runtime};
use crate::say;
use crate::settings::Settings;
use crate::status;
use crate::traffic::{Totals, Traffic};

const CLIENTS: usize = 4;
const INTERVAL: Duration = Duration::from_millis(10);
const BASELINE: usize = 20;
/// How long users go on asking while a pool is broken.
const TRAFFIC: Duration = Duration::from_secs(10);
/// How long they go on after a planned flip.
const AFTER_FLIP: Duration = Duration::from_secs(3);
const SLOWEST: Duration = Duration::from_secs(10);
/// What is told when both pools break.
const BOTH_BROKEN: [&str; 2] = ["error_rate", "outage"];
const TOLD_WITHIN: Duration = Duration::from_secs(5);
/// Far more than a recovery or a flip takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);
/// Share of the traffic that the pool that stepped in must have answered.
const STEPPED_IN: f64 = 0.95;

/// Runs every check against the running stack. Success means that all passed. At the end both pools are mended and
/// nginx has the settings it had.
pub fn run(stack: &dyn Runtime) -> Result<()> {
    let interruption = Interruption::watch()?;
    if !stack.runs("nginx")? {
        bail!("the stack does not run; `make up` starts it");
    }
    say!(
        "Breaks the running stack and mends it again. nginx is started anew for every scenario, with the limits and\n\
         the cooldown of nginx.conf; at the end it gets its own settings back. This takes about two minutes.\n"
    );
    if stack.settings().get("SLACK_WEBHOOK_URL").is_some() {
        say!("SLACK_WEBHOOK_URL is set: each alert of this run goes there.\n");
    }
    let mut acceptance = Acceptance { stack, url: stack.url()?, interruption, passed: 0, failed: 0 };
    let outcome = acceptance.play();
    let restored = stack.recover().and_then(|_| stack.restart_nginx(stack.settings()));
    let Acceptance { passed, failed, .. } = acceptance;
    say!("\n{passed} passed, {failed} failed");
    outcome?;
    restored.context("cannot give the stack its own settings back")?;
    if failed > 0 {
        bail!("{failed} of {} checks failed", passed + failed);
    }
    Ok(())
}

struct Acceptance<'a> {
    stack: &'a dyn Runtime,
    url: String,
    interruption: Interruption,
    passed: u32,
    failed: u32,
}

/// What one user got.
struct Answer {
    status: u16,
    pool: String,
    release: String,
    took: Duration,
}

impl Answer {
    fn is_good(&self, pool: Pool, release: &str) -> bool {
        self.status == 200 && self.pool == pool.name() && self.release == release
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Answer { status, pool, release, took } = self;
        write!(f, "{status} from {pool} ({release}) after {:.3} s", took.as_secs_f64())
    }
}

/// An alert of the status document.
#[derive(PartialEq, Eq)]
struct Alert {
    kind: String,
    status: String,
    /// Whether every sink has taken it.
    sent: bool,
}

impl Acceptance<'_> {
    fn play(&mut self) -> Result<()> {
        for active in Pool::ALL {
            for how in Breakdown::ALL {
                self.failover(active, how)?;
            }
            self.outage(active)?;
            self.takes_over(active)?;
            self.flip(active, "reload", |acceptance, settings, _| acceptance.stack.reload_nginx(settings))?;
            self.flip(active, "make switch", |acceptance, _, pool| acceptance.stack.switch(pool).map(drop))?;
        }
        Ok(())
    }

    /// One pool breaks, the other steps in, the first one comes back.
    fn failover(&mut self, active: Pool, how: Breakdown) -> Result<()> {
        say!("{active} serves, chaos mode {how}");
        let settings = self.begin(active)?;
        let standby = active.other();
        self.baseline(active, &settings)?;

        self.stack.chaos(active, how)?;
        let broken = Instant::now();
        let next = self.ask()?;
        let release = standby.release(&settings);
        self.check("the next request is answered by the other pool", next.is_good(standby, &release), &next);

        let traffic = Traffic::start(&self.url, CLIENTS, INTERVAL);
        let told =
            self.wait_until(TOLD_WITHIN, |alerts| alerts.iter().any(|alert| alert.is("failover") && alert.sent))?;
        let told_after = broken.elapsed();
        self.pause(TRAFFIC.saturating_sub(broken.elapsed()))?;
        let totals = traffic.finish();
        self.check_no_failure(&totals);
        let share = totals.of(standby.name()) as f64 / totals.requests().max(1) as f64;
        self.check(&format!("{standby} answers"), share >= STEPPED_IN, format!("{:.1} % of them", share * 100.0));
        let slowest = format!("the slowest took {:.3} s", totals.slowest.as_secs_f64());
        self.check("no request takes over 10 s", totals.slowest <= SLOWEST && next.took <= SLOWEST, slowest);
        let alerts = self.alerts()?;
        let alone = alerts.iter().map(Alert::name).collect::<Vec<_>>() == ["failover"];
        let seen = format!("{} within {:.1} s", names(&alerts), told_after.as_secs_f64());
        self.check("one failover alert within 5 s, and no other", told && alone, seen);

        self.stack.recover()?;
        let traffic = Traffic::start(&self.url, CLIENTS, INTERVAL);
        let told = self.wait_until(PATIENCE, |alerts| alerts.iter().any(|alert| alert.is("failback") && alert.sent))?;
        let totals = traffic.finish();
        let alerts = self.alerts()?;
        let alone = alerts.iter().filter(|alert| alert.is("failback")).count() == 1 && alerts.len() == 2;
        self.check("one recovery alert, and no other", told && alone, names(&alerts));
        self.check_no_failure(&totals);
        say!();
        Ok(())
    }

    /// Both pools break, and users see it.
    fn outage(&mut self, active: Pool) -> Result<()> {
        say!("{active} serves, both pools break");
        let settings = self.begin(active)?;
        self.baseline(active, &settings)?;
        // The standby first: it must not step in for a moment.
        for pool in [active.other(), active] {
            self.stack.chaos(pool, Breakdown::Chaos(Chaos::Error))?;
        }
        let broken = Instant::now();
        let traffic = Traffic::start(&self.url, CLIENTS, INTERVAL);
        let told = self.wait_until(TOLD_WITHIN, |alerts| {
            BOTH_BROKEN.iter().all(|kind| alerts.iter().any(|alert| alert.is(kind) && alert.sent))
        })?;
        let told_after = broken.elapsed();
        // Stays broken for as long as a second alert would take.
        self.pause(Duration::from_secs(2))?;
        traffic.finish();
        let alerts = self.alerts()?;
        let alone = alerts.len() == BOTH_BROKEN.len();
        let seen = format!("{} within {:.1} s", names(&alerts), told_after.as_secs_f64());
        self.check("one error and one outage alert within 5 s, and no other", told && alone, seen);

        self.stack.recover()?;
        let traffic = Traffic::start(&self.url, CLIENTS, INTERVAL);
        let is_over = |kind: &str, alert: &Alert| alert.kind == kind && alert.status == "resolved" && alert.sent;
        let ends = |alerts: &[Alert], kind: &str| alerts.iter().filter(|alert| is_over(kind, alert)).count();
        let told = self.wait_until(PATIENCE, |alerts| BOTH_BROKEN.iter().all(|kind| ends(alerts, kind) > 0))?;
        traffic.finish();
        let alerts = self.alerts()?;
        let once = BOTH_BROKEN.iter().all(|kind| ends(&alerts, kind) == 1);
        self.check("the end of both is told", told && once, names(&alerts));
        say!();
        Ok(())
    }

    /// The other pool is made the active one while users go on asking.
    fn flip(&mut self, active: Pool, how: &str, flip: impl FnOnce(&Self, &Settings, Pool) -> Result<()>) -> Result<()> {
        let next = active.other();
        say!("{active} serves, {next} is made the active pool by {how} under load");
        let mut settings = self.begin(active)?;
        settings.set("ACTIVE_POOL", next.name());
        let traffic = Traffic::start(&self.url, CLIENTS, INTERVAL);
        self.pause(Duration::from_secs(1))?;
        let before = traffic.totals();
        flip(self, &settings, next)?;
        let flipped = Instant::now();
        while traffic.totals().of(next.name()) == 0 && flipped.elapsed() < PATIENCE {
            self.pause(POLL)?;
        }
        let took = flipped.elapsed();
        // What the old workers were answering then is theirs; what follows is not.
        self.pause(Duration::from_secs(1))?;
        let flipped = traffic.totals();
        self.pause(AFTER_FLIP)?;
        let totals = traffic.finish();
        self.check(
            &format!("{active} answers before"),
            before.of(active.name()) == before.requests() && before.requests() > 0,
            format!("{} of {} requests", before.of(active.name()), before.requests()),
        );
        let (answered, requests) =
            (totals.of(next.name()) - flipped.of(next.name()), totals.requests() - flipped.requests());
        self.check(
            &format!("{next} answers after"),
            answered == requests && requests > 0,
            format!("{answered} of {requests} requests, the first after {:.1} s", took.as_secs_f64()),
        );
        self.check_no_failure(&totals);
        let alerts = self.alerts()?;
        let planned = alerts.iter().all(|alert| alert.is("switched"));
        self.check("no failover alert", planned, names(&alerts));
        say!();
        Ok(())
    }

    /// The other pool takes over step by step: broken it is aborted, mended it gets all traffic.
    fn takes_over(&mut self, active: Pool) -> Result<()> {
        let next = active.other();
        say!("{active} serves, {next} takes over step by step, broken first and then mended");
        let settings = self.begin(active)?;
        self.baseline(active, &settings)?;
        self.stack.chaos(next, Breakdown::Chaos(Chaos::Error))?;
        let traffic = Traffic::start(&self.url, CLIENTS, INTERVAL);
        let begun = Instant::now();
        rollout::begin(self.stack, next, "")?;
        let aborted = self.wait_for_outcome("aborted")?;
        let seen = format!("after {:.1} s", begun.elapsed().as_secs_f64());
        self.check("broken it is aborted", aborted, seen);
        self.stack.recover()?;
        let begun = Instant::now();
        rollout::begin(self.stack, next, "&again=1")?;
        let done = self.wait_for_outcome("done")?;
        let seen = format!("after {:.1} s", begun.elapsed().as_secs_f64());
        self.check("mended it gets all traffic", done, seen);
        let totals = traffic.finish();
        self.check_no_failure(&totals);
        let told = self.wait_until(TOLD_WITHIN, |alerts| alerts.len() == 4 && alerts.iter().all(|alert| alert.sent))?;
        let alerts = self.alerts()?;
        let alone = alerts.iter().all(|alert| alert.is("rollout"));
        self.check("begun, aborted, begun, done, and no other alert", told && alone, names(&alerts));
        say!();
        Ok(())
    }

    /// Says whether a rollout ended so in time.
    fn wait_for_outcome(&self, outcome: &str) -> Result<bool> {
        let deadline = Instant::now() + PATIENCE;
        while rollout::stands(self.stack)?["last"]["outcome"] != *outcome {
            if Instant::now() > deadline {
                return Ok(false);
            }
            self.pause(POLL)?;
        }
        Ok(true)
    }

    /// Mends everything and starts an nginx with this active pool that has counted nothing yet.
    fn begin(&self, active: Pool) -> Result<Settings> {
        self.stack.recover()?;
        let mut settings = self.stack.settings().clone();
        for name in ["ERROR_RATE_THRESHOLD", "WINDOW_SIZE", "ALERT_COOLDOWN_SEC", "MAINTENANCE_MODE"] {
            settings.set(name, "");
        }
        settings.set("ROLLOUT", "5% 25% 50% every=2s requests=20");
        settings.set("ACTIVE_POOL", active.name());
        self.stack.restart_nginx(&settings)?;
        Ok(settings)
    }

    fn baseline(&mut self, active: Pool, settings: &Settings) -> Result<()> {
        let release = active.release(settings);
        let answers = (0..BASELINE).map(|_| self.ask()).collect::<Result<Vec<_>>>()?;
        let wrong = answers.iter().find(|answer| !answer.is_good(active, &release));
        let what = format!("{BASELINE} answers of {active}, release {release}");
        match wrong {
            None => self.check(&what, true, "all of them 200"),
            Some(answer) => self.check(&what, false, answer),
        }
        Ok(())
    }

    fn ask(&self) -> Result<Answer> {
        let start = Instant::now();
        let answer = client::get(&self.url).with_context(|| format!("nginx does not answer at {}", self.url))?;
        let header = |name: &str| {
            answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("nobody").to_owned()
        };
        Ok(Answer {
            status: answer.status().as_u16(),
            pool: header("x-app-pool"),
            release: header("x-release-id"),
            took: start.elapsed(),
        })
    }

    /// The alerts since nginx started, oldest first.
    fn alerts(&self) -> Result<Vec<Alert>> {
        let document = status::document(self.stack)?;
        let alerts = document["alerts"].as_array().context("the status has no alerts")?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let alert = |alert: &Value| Alert {
            kind: text(&alert["kind"]),
            status: text(&alert["status"]),
            sent: alert["delivery"].as_object().is_some_and(|sinks| sinks.values().all(|state| state == "sent")),
        };
        Ok(alerts.iter().rev().map(alert).collect())
    }

    /// Says whether the alerts came to be as wanted in time.
    fn wait_until(&self, time: Duration, condition: impl Fn(&[Alert]) -> bool) -> Result<bool> {
        let deadline = Instant::now() + time;
        loop {
            if condition(&self.alerts()?) {
                return Ok(true);
            }
            if Instant::now() > deadline {
                return Ok(false);
            }
            self.pause(POLL)?;
        }
    }

    fn pause(&self, time: Duration) -> Result<()> {
        if self.interruption.within(time) {
            bail!("interrupted");
        }
        Ok(())
    }

    fn check_no_failure(&mut self, totals: &Totals) {
        let seen = format!("{} of {} requests failed", totals.failed, totals.requests());
        self.check("every answer is 200", totals.failed == 0 && totals.requests() > 0, seen);
    }

    fn check(&mut self, what: &str, passed: bool, seen: impl fmt::Display) {
        if passed {
            self.passed += 1;
        } else {
            self.failed += 1;
        }
        say!("  {}  {what:<48} {seen}", if passed { "PASS" } else { "FAIL" });
    }
}

impl Alert {
    fn is(&self, kind: &str) -> bool {
        self.kind == kind
    }

    fn name(&self) -> &str {
        &self.kind
    }
}

fn names(alerts: &[Alert]) -> String {
    match alerts.iter().map(|alert| format!("{} {}", alert.kind, alert.status)).collect::<Vec<_>>() {
        names if names.is_empty() => "none".to_owned(),
        names => names.join(", "),
    }
}
