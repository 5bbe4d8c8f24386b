//! What is told of a rollout, in words: the story of its alerts.

use super::steer::Steer;
use crate::model::alert::{Kind, LINE_END};
use crate::model::ids::PoolId;
use crate::rollout::pilot::{Aborted, Act, COMPARING_RISK, Facts, Kept, Waits};
use crate::rollout::state::State;
use crate::rollout::verdict::{Attempts, Measure};

/// What an act says to people: the kind of its alert, and its story. `None` is for the log alone.
pub(super) struct Told {
    pub(super) kind: Kind,
    pub(super) story: String,
    /// Of the failed first attempts that it is about: those that a retry saved, and those that reached users.
    pub(super) users: [u64; 2],
}

impl Steer<'_> {
    /// What is told of an act, by what was known before it.
    pub(super) fn told(&self, act: Act, state: State, facts: &Facts, now_ms: u64) -> Option<Told> {
        let (old, new) = (self.of.name(state.from), self.of.name(state.to));
        let (old_full, new_full) = (self.with_release(state.from), self.with_release(state.to));
        let big_old = capitalized(&old);
        let share = self.share_of(state);
        let figures = |measure| self.figures(measure, facts);
        let figures_of_worse = |measure| {
            let (verb, figures) = figures(measure);
            format!("{new_full} {verb} {old_full}: {figures}")
        };
        let (kind, line) = match act {
            Act::Begin => {
                let steps = self.of.settings.rollout.rules.steps.iter().chain(&[10_000]).map(|step| percent(*step));
                let steps = steps.collect::<Vec<_>>().join(", ");
                (Kind::Rollout, format!(":rocket: Rollout begun — {new_full} takes over from {old_full}: {steps}"))
            }
            Act::Fail => {
                let why = self.why_down(state.to);
                let text = format!("{new_full} does not pass its probe{why}. {big_old} keeps all traffic");
                (Kind::Rollout, format!(":no_entry_sign: Rollout failed — {text}"))
            }
            Act::TellWaits(why) => {
                let lasted = duration(now_ms / 1000 - state.at_s.min(now_ms / 1000));
                let text = why.text(&self.of.settings.rollout.rules);
                let since = if matches!(why, Waits::Requests { .. }) { " in" } else { ", for" };
                (Kind::Rollout, format!(":hourglass_flowing_sand: Rollout waits at {share} — {text}{since} {lasted}"))
            }
            Act::Hold(measure) => {
                let text = figures_of_worse(measure);
                (Kind::Rollout, format!(":rotating_light: Rollout held — {text}. It keeps its {share}"))
            }
            Act::Abort(why) => {
                let text = match why {
                    Aborted::Worse(measure) => figures_of_worse(measure),
                    Aborted::ProbeFails => {
                        format!("{new_full} does not pass its probe any more{}", self.why_down(state.to))
                    }
                    Aborted::NothingArrives => format!(
                        "none of {} requests for {new} arrived there: is \"{new}\" in the map of $alert_pool?",
                        facts.assigned.max(facts.to.attempts.requests)
                    ),
                    Aborted::Unattended => "no worker looked after it for 30 seconds".into(),
                    Aborted::ByHand => "by hand".into(),
                };
                (Kind::Rollout, format!(":rotating_light: Rollout aborted — {text}. {big_old} has all traffic again"))
            }
            Act::Switch => {
                let begun_ms = self.of.rollout.begun_ms.load(std::sync::atomic::Ordering::Relaxed);
                let took = duration(now_ms.saturating_sub(begun_ms) / 1000);
                let text = format!("{new_full} has all traffic after {took}, no worse than {old_full}");
                (Kind::Rollout, format!(":white_check_mark: Rollout done — {text}"))
            }
            Act::Keep(why) => {
                let text = match why {
                    Kept::OldIsDown => format!("{old} does not pass its probe{}", self.why_down(state.from)),
                    Kept::OldIsRedeployed => format!("{old} has another release by now than the one that was good"),
                    Kept::HandsOff => "traffic was moved back a short while ago already".into(),
                    Kept::OldIsWorse | Kept::NoDifference => {
                        let [of_old, of_new] =
                            [facts.from.attempts, facts.to.attempts].map(|at| rate(at.rate(Measure::Errors)));
                        format!("{old} is no better: {of_old} failed there, {of_new} at {new}")
                    }
                };
                (Kind::Rollback, format!(":no_entry_sign: Not rolled back — {text}"))
            }
            Act::RollBack(measure) => {
                let side_by_side = side_by_side(measure, facts);
                let text = format!("Rolled back from {new_full} to {old_full} — {side_by_side}");
                (Kind::Rollback, format!(":leftwards_arrow_with_hook: {text}"))
            }
            Act::WouldRollBack(measure) => {
                let side_by_side = side_by_side(measure, facts);
                let text =
                    format!("Would roll back from {new_full} to {old_full} — {side_by_side}. Nothing moved: dry_run");
                (Kind::Rollback, format!(":leftwards_arrow_with_hook: {text}"))
            }
            Act::TellWorse(measure) => {
                let text = figures_of_worse(measure);
                (Kind::Comparison, format!(":warning: Compared by hand — {text}. It keeps its {share}"))
            }
            Act::Advance | Act::Anew | Act::Suspect | Act::Compare | Act::Done | Act::Cancel | Act::ShareOver => {
                return None;
            }
            Act::RollBackByHand => {
                let (active, before) = (facts.active, self.of.rollout.before(self.of.shared));
                let text = format!("{} to {} — by hand", self.with_release(active), self.with_release(before));
                (Kind::Rollback, format!(":leftwards_arrow_with_hook: Rolled back from {text}"))
            }
        };
        let mut story = line;
        let rows = self.rows(act, state, facts, now_ms);
        let users = if rows.is_empty() { [0, 0] } else { self.of.users_of_new(state) };
        for row in rows {
            story.push(LINE_END);
            story.push_str(&row);
        }
        Some(Told { kind, story, users })
    }

    /// Further details, as `label: value`.
    fn rows(&self, act: Act, state: State, facts: &Facts, now_ms: u64) -> Vec<String> {
        let judged = matches!(
            act,
            Act::Hold(_) | Act::Abort(Aborted::Worse(_)) | Act::RollBack(_) | Act::WouldRollBack(_) | Act::TellWorse(_)
        );
        if !judged {
            return Vec::new();
        }
        let of =
            |pool: PoolId, at: Attempts| format!("{} at {} ({} failed)", at.requests, self.of.name(pool), at.failed);
        let (risk, of_what) = match act {
            Act::RollBack(_) | Act::WouldRollBack(_) => (COMPARING_RISK[0], "comparisons"),
            _ => (self.of.settings.rollout.rules.risk, "rollouts"),
        };
        let decided_s = (now_ms / 1000).saturating_sub(self.of.began_s(state));
        vec![
            format!("Share: {}", self.share_of(state)),
            format!("Decided: after {} at this share", duration(decided_s)),
            format!("First attempts: {}, {}", of(state.to, facts.to.attempts), of(state.from, facts.from.attempts)),
            format!("Certainty: such evidence comes up by chance in at most 1 of {:.0} {of_what}", 1.0 / risk),
        ]
    }

    fn with_release(&self, pool: PoolId) -> String {
        let (name, release) = (self.of.name(pool), self.of.release(pool));
        if release.is_empty() { name } else { format!("{name} ({release})") }
    }

    fn share_of(&self, state: State) -> String {
        percent(self.of.settings.rollout.rules.share(state).map_or(0, |(_, share)| share))
    }

    /// Why the probes of a pool fail, in parentheses.
    fn why_down(&self, pool: PoolId) -> String {
        let probed =
            self.of.rollout.probes_of(self.of.shared, self.of.addresses(pool)).map(|probed| probed.error.load());
        let mut probed = probed;
        probed.find(|error| !error.is_empty()).map_or_else(String::new, |error| format!(" ({error})"))
    }

    fn figures(&self, measure: Measure, facts: &Facts) -> (&'static str, String) {
        let [new, old] = [facts.to.attempts, facts.from.attempts].map(|at| rate(at.rate(measure)));
        match measure {
            Measure::Errors => ("fails more than", format!("{new} against {old}")),
            Measure::Latency => {
                let slow_ms = self.of.rollout.slow_ms.load(std::sync::atomic::Ordering::Relaxed);
                ("is slower than", format!("{new} above {slow_ms} ms against {old}"))
            }
        }
    }
}

fn side_by_side(measure: Measure, facts: &Facts) -> String {
    let [new, old] = [facts.to.attempts, facts.from.attempts].map(|at| rate(at.rate(measure)));
    let what = if measure == Measure::Errors { "failed" } else { "slow" };
    format!("{new} {what} against {old} side by side")
}

/// A share in hundredths of a percent: `5 %`, `12.5 %`.
pub(crate) fn percent(hundredths: u32) -> String {
    format!("{} %", f64::from(hundredths) / 100.0)
}

/// A rate from 0 to 1, to a tenth of a point.
fn rate(rate: f64) -> String {
    format!("{:.1} %", rate * 100.0)
}

fn duration(seconds: u64) -> String {
    let (minutes, seconds) = (seconds / 60, seconds % 60);
    match (minutes, seconds) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, 0) => format!("{minutes} min"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}

fn capitalized(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
