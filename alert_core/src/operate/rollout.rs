//! The commands of rollouts: `share`, `rollout`, `rollback`.

use std::sync::atomic::Ordering::Relaxed;

use serde_json::json;

use super::control::{Arguments, Done, Refusal, Target, duration};
use crate::base::clock::rfc3339;
use crate::board::facts::RolloutOf;
use crate::lead::steer::Steer;
use crate::model::ids::PoolId;
use crate::rollout::command::{self, Situation};
use crate::rollout::pilot::Act;
use crate::rollout::state::{Phase, State};

/// The commands and how they are written.
pub(super) const USAGES: [(&str, &str, &[&str]); 3] = [
    ("share", "share?monitor=NAME&pool=NAME&percent=5[&for=TIME]", &["monitor", "pool", "percent", "for"]),
    (
        "rollout",
        "rollout?monitor=NAME&pool=NAME[&release=NAME][&again=1] or rollout?monitor=NAME&do=pause|resume|promote|abort",
        &["monitor", "pool", "release", "again", "do"],
    ),
    ("rollback", "rollback?monitor=NAME[&force=1]", &["monitor", "force"]),
];

/// What was asked for, about the rollout of a monitor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// A share, set by hand.
    Share {
        /// The pool.
        pool: String,
        /// The share in tenths of a percent; zero ends it.
        tenths: u16,
        /// How long it lasts, in milliseconds; `None` until it is ended.
        for_ms: Option<u64>,
    },
    /// A pool that takes over.
    Rollout {
        /// The pool.
        pool: String,
        /// The release that it has to answer with.
        release: Option<String>,
        /// Although this release was left a short while ago.
        again: bool,
    },
    /// Stay at this share.
    Pause,
    /// Go on.
    Resume,
    /// All traffic at once.
    Promote,
    /// None at once.
    Abort,
    /// Back to the pool before.
    RollBack {
        /// Although it does not pass its probe.
        force: bool,
    },
}

impl Order {
    /// Reads the arguments of a command.
    pub(super) fn parse(path: &str, arguments: &Arguments<'_>) -> Result<Order, Refusal> {
        let flag = |name: &str| match arguments.get(name) {
            None | Some("0") => Ok(false),
            Some("1") => Ok(true),
            Some(other) => Err(Refusal::wrong(format!("{name}=\"{other}\" is wrong, expected 1 or 0"))),
        };
        match path {
            "share" => Ok(Order::Share {
                pool: arguments.required("pool")?,
                tenths: tenths(&arguments.required("percent")?)?,
                for_ms: arguments.get("for").map(duration).transpose()?,
            }),
            "rollback" => Ok(Order::RollBack { force: flag("force")? }),
            _ => match arguments.get("do") {
                None => Ok(Order::Rollout {
                    pool: arguments.required("pool")?,
                    release: arguments.get("release").map(str::to_owned),
                    again: flag("again")?,
                }),
                Some("pause") => Ok(Order::Pause),
                Some("resume") => Ok(Order::Resume),
                Some("promote") => Ok(Order::Promote),
                Some("abort") => Ok(Order::Abort),
                Some(other) => {
                    let text = format!("do=\"{other}\" is wrong, expected pause, resume, promote or abort");
                    Err(Refusal::wrong(text))
                }
            },
        }
    }
}

fn tenths(percent: &str) -> Result<u16, Refusal> {
    let number = percent.strip_suffix('%').unwrap_or(percent);
    let plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let tenths = number.parse::<f64>().ok().filter(|_| plain).map(|percent| percent * 10.0);
    match tenths {
        Some(tenths) if tenths <= 990.0 && tenths.fract().abs() < 1e-9 => Ok(tenths as u16),
        _ => Err(Refusal::wrong(format!(
            "percent=\"{percent}\" is wrong, expected 0 to 99 with at most one digit behind the point; \
             for all traffic, switch with active?monitor=NAME&pool=NAME"
        ))),
    }
}

impl Target<'_> {
    fn of_rollout(&self) -> Result<RolloutOf<'_>, Refusal> {
        RolloutOf::find(self.at.board, self.at.plan, self.at.settings, self.number).ok_or_else(|| Refusal {
            status: 409,
            text: format!("monitor \"{}\" has no rollouts, write \"rollout 5% 25% 50%;\" in it", self.name),
        })
    }

    /// Carries out an order.
    pub(super) fn order(&self, order: &Order) -> Result<Done, Refusal> {
        let of = self.of_rollout()?;
        let now_ms = self.at.now_ms;
        let state = of.rollout.state.load();
        let pool = match order {
            Order::Share { pool, .. } | Order::Rollout { pool, .. } => Some(self.pool(pool)?),
            _ => None,
        };
        let command = match order {
            Order::Share { tenths, for_ms, .. } => command::Command::Share {
                to: pool.unwrap_or_default(),
                tenths: *tenths,
                until_s: for_ms.map_or(0, |ms| (now_ms + ms).div_ceil(1000)),
            },
            Order::Rollout { again, .. } => command::Command::Rollout { to: pool.unwrap_or_default(), again: *again },
            Order::Pause => command::Command::Pause,
            Order::Resume => command::Command::Resume,
            Order::Promote => command::Command::Promote,
            Order::Abort => command::Command::Abort,
            Order::RollBack { force } => command::Command::RollBack { force: *force },
        };
        let situation = self.situation(&of, state, order, pool.unwrap_or(state.to));
        let refused = |refusal: command::Refusal| {
            let text = match (refusal, pool) {
                (command::Refusal::OtherRelease, Some(pool)) => format!("{refusal}: \"{}\"", of.release(pool)),
                _ => refusal.to_string(),
            };
            Refusal { status: 409, text }
        };
        let decided = state.command(command, &of.settings.rollout.rules, &situation, now_ms / 1000);
        let (next, act) = decided.map_err(refused)?;
        let steer = Steer { of };
        let gone = steer.go_over(state, next, act, &situation.facts, now_ms);
        let acted =
            gone.ok_or_else(|| Refusal { status: 409, text: "the rollout changed just now; try again".into() })?;
        let log = match acted.as_str() {
            "" => format!("{} (monitor \"{}\"), by control", said(order), self.name),
            acted => format!("{acted}, by control"),
        };
        let name = |pool: PoolId| Some(of.name(pool)).filter(|name| !name.is_empty());
        let share = of.settings.rollout.rules.share(next).map_or(0.0, |(_, share)| f64::from(share) / 100.0);
        let answer = json!({
            "monitor": self.name,
            "phase": next.phase.name(),
            "from": name(next.from),
            "to": name(next.to),
            "share": share,
            "active_pool": name(self.shared.active()),
            "until": match (next.phase, next.at_s) {
                (Phase::ByHand { .. }, 1..) => self.at.wall_ms(next.at_s * 1000).map(rfc3339),
                _ => None,
            },
        });
        let status = if matches!(order, Order::Rollout { .. }) { 202 } else { 200 };
        Ok(Done { status, answer, log, test: None })
    }

    fn situation(&self, of: &RolloutOf<'_>, state: State, order: &Order, to: PoolId) -> Situation {
        let (now_ms, active, before) = (self.at.now_ms, self.shared.active(), of.rollout.before(self.shared));
        let about = if state.phase == Phase::Idle { State { from: active, to, ..state } } else { state };
        let release = of.release(to);
        let named = match order {
            Order::Rollout { release: Some(named), .. } => Some(named),
            _ => None,
        };
        let rollout = of.rollout;
        Situation {
            facts: of.facts(about, now_ms),
            probed: of.settings.rollout.probe.is_some(),
            other_release: named.is_some_and(|named| !release.is_empty() && *named != release),
            left: rollout.left_pool.load() == to
                && now_ms < rollout.left_until_ms.load(Relaxed)
                && rollout.left_release.load() == release,
            before,
            before_health: of.health(before, now_ms),
        }
    }

    /// Ends whatever runs, since an operator sets the active pool.
    pub(super) fn end_rollout(&self, before: PoolId) {
        let Ok(of) = self.of_rollout() else { return };
        let state = of.rollout.state.load();
        if before != self.shared.active() {
            of.rollout.remember_before(before, self.at.now_ms);
        }
        if state.phase != Phase::Idle {
            let facts = of.facts(state, self.at.now_ms);
            // Where the pilot was faster, it has seen the same.
            let _ = Steer { of }.go_over(state, State::default(), Some(Act::Cancel), &facts, self.at.now_ms);
        }
    }
}

fn said(order: &Order) -> String {
    match order {
        Order::Share { pool, tenths, .. } => format!("pool {pool} gets {} % of the clients", f64::from(*tenths) / 10.0),
        Order::Rollout { pool, .. } => format!("rollout of pool {pool} begins with its probes"),
        Order::Pause => "the rollout is held".into(),
        Order::Resume => "the rollout goes on".into(),
        Order::Promote => "the rollout is promoted".into(),
        Order::Abort => "the rollout is aborted".into(),
        Order::RollBack { .. } => "traffic goes back".into(),
    }
}
