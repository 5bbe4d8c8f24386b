//! A rollout, watched from its beginning to its end.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::client;
use crate::interruption::Interruption;
use crate::runtime::{Pool, Runtime};
use crate::{say, status};

const POLL: Duration = Duration::from_millis(500);

/// How a rollout ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The new pool has all traffic.
    Done,
    /// The old pool has it again.
    Aborted,
    /// It still waits, after the longest time that one is watched.
    Waits,
}

/// Lets a pool take over step by step and shows how it goes, for `patience` at most.
pub fn run(stack: &dyn Runtime, pool: Pool, release: Option<&str>, patience: Duration) -> Result<End> {
    let interruption = Interruption::watch()?;
    if !stack.runs("nginx")? {
        bail!("the stack does not run; `make up` starts it");
    }
    begin(stack, pool, &release.map(|release| format!("&release={release}")).unwrap_or_default())?;
    say!("{pool} takes over step by step; it needs traffic, such as that of `make traffic`");
    let (deadline, mut shown) = (Instant::now() + patience, String::new());
    loop {
        let rollout = stands(stack)?;
        let now = progress(&rollout);
        if now != shown {
            say!("{now}");
            shown = now;
        }
        if let Some(end) = end(&rollout) {
            say!("{}", rollout["last"]["reason"].as_str().unwrap_or_default());
            return Ok(end);
        }
        if Instant::now() > deadline {
            return Ok(End::Waits);
        }
        if interruption.within(POLL) {
            bail!("interrupted; the rollout goes on, `do=abort` ends it");
        }
    }
}

/// Begins a rollout of this pool, with further arguments of the command.
pub(crate) fn begin(stack: &dyn Runtime, pool: Pool, arguments: &str) -> Result<()> {
    let url = format!("{}alert/control/rollout?monitor=app&pool={pool}{arguments}", stack.url()?);
    let mut answer = client::post(&url).with_context(|| format!("nginx does not answer at {url}"))?;
    let body = answer.body_mut().read_to_string()?;
    if !answer.status().is_success() {
        let error = serde_json::from_str::<Value>(&body).ok().and_then(|body| Some(body["error"].as_str()?.to_owned()));
        bail!("{}", error.unwrap_or(body));
    }
    Ok(())
}

/// Where the rollout stands, as nginx reports it.
pub(crate) fn stands(stack: &dyn Runtime) -> Result<Value> {
    Ok(status::document(stack)?["monitors"]["app"]["rollout"].take())
}

/// How it ended; `None` while it goes on.
fn end(rollout: &Value) -> Option<End> {
    match (rollout["phase"].as_str(), rollout["last"]["outcome"].as_str()) {
        (Some("probing" | "step" | "held"), _) => None,
        (_, Some("done")) => Some(End::Done),
        _ => Some(End::Aborted),
    }
}

/// One line about where it stands.
fn progress(rollout: &Value) -> String {
    let errors = &rollout["compare"]["errors"];
    let evidence =
        errors["evidence"].as_f64().map(|evidence| format!(", evidence {evidence:.1} of {}", errors["needed"]));
    format!(
        "{} {} % {}{}",
        rollout["phase"].as_str().unwrap_or("?"),
        rollout["share"],
        rollout["holds"].as_str().unwrap_or_default(),
        evidence.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_end_is_seen_only_once_it_is_there() {
        let at = |phase: &str, outcome: Option<&str>| {
            end(&json!({ "phase": phase, "last": outcome.map(|o| json!({ "outcome": o })) }))
        };
        assert_eq!(at("probing", Some("done")), None, "that was an earlier one");
        assert_eq!(at("step", None), None);
        assert_eq!(at("held", None), None);
        assert_eq!(at("guard", Some("done")), Some(End::Done));
        assert_eq!(at("idle", Some("done")), Some(End::Done));
        assert_eq!(at("idle", Some("aborted")), Some(End::Aborted));
        assert_eq!(at("idle", Some("failed")), Some(End::Aborted));
    }
}
