//! The rollout: where it stands, what speaks against the new pool, why it waits; and what the probes say.

use std::fmt::{self, Write as _};

use super::colours::Colours;
use super::text::{ROWS, Since, Text, grouped, more};
use crate::report::rollout::{Probe, Rollout};
use crate::report::view::{Monitor, View};
use crate::rollout::state::Phase;
use crate::rollout::verdict::{Attempts, Measure};

/// Whether there is something to say of a rollout.
fn is_told(rollout: &Rollout) -> bool {
    rollout.state.phase != Phase::Idle || rollout.last.is_some()
}

/// Writes how it stands, if the monitor has rollouts and there was one.
pub fn write(html: &mut String, view: &View<'_>, monitor: &Monitor<'_>) -> fmt::Result {
    monitor.rollout.iter().filter(|rollout| is_told(rollout)).try_for_each(|rollout| stands(html, view, rollout))
}

/// Writes what goes on in one sentence, for the headline; nothing where nothing does.
pub fn sentence(html: &mut String, rollout: &Rollout) -> fmt::Result {
    let [_, to] = &rollout.pools;
    let phase = match rollout.state.phase {
        Phase::Idle => return Ok(()),
        Phase::Probing => format!("{to} has to pass its probes before it takes over"),
        Phase::Guard(_) | Phase::Suspect(_) | Phase::Comparing(_) => format!("{to} has taken over and is guarded"),
        Phase::Step(_) | Phase::Held { .. } | Phase::ByHand { .. } => String::new(),
    };
    let share = rollout.share.as_ref();
    let share = share.map(|(pool, share)| format!("{pool} has {} % of the clients", f64::from(*share) / 100.0));
    let parts: Vec<String> = [phase].into_iter().chain(share).filter(|part| !part.is_empty()).collect();
    write!(html, "<p><a class=badge href=#rollout>rollout</a> {}</p>", Text(&parts.join("; ")))
}

fn stands(html: &mut String, view: &View<'_>, rollout: &Rollout) -> fmt::Result {
    let [from, to] = &rollout.pools;
    html.push_str("<section class=half aria-labelledby=rollout><h2 id=rollout>Rollout</h2>");
    if rollout.state.phase != Phase::Idle {
        write!(html, "<p><span class=badge>{}</span> {}", rollout.state.phase.name(), Text(to))?;
        if !rollout.release.is_empty() {
            write!(html, " ({})", Text(&rollout.release))?;
        }
        write!(html, " instead of {}", Text(from))?;
        if let Some(holds) = &rollout.holds {
            write!(html, "<span class=soft>: {}</span>", Text(holds))?;
        }
        html.push_str("</p><dl class=tiles>");
        tile(html, "Share", &share(rollout))?;
        if let Some(step) = rollout.state.step() {
            tile(html, "Step", &format!("{step} of {}", rollout.steps))?;
        }
        html.push_str("</dl>");
    }
    compared(html, rollout)?;
    if let Some((outcome, at_ms, reason)) = &rollout.last {
        let since = Since { time_ms: Some(*at_ms), now_ms: view.now_ms };
        write!(html, "<p><span class=badge>{}</span> {}", outcome.name().replace('_', " "), Text(reason))?;
        write!(html, " <span class=soft>{since}</span></p>")?;
    }
    html.push_str("</section>");
    Ok(())
}

fn tile(html: &mut String, name: &str, value: &str) -> fmt::Result {
    write!(html, "<div><dt>{name}<dd>{value}</dd></div>")
}

fn share(rollout: &Rollout) -> String {
    let share = rollout.share.as_ref().map_or(0, |(_, share)| *share);
    format!("{}<span class=unit> %</span>", f64::from(share) / 100.0)
}

/// What the first attempts at both pools say, side by side.
fn compared(html: &mut String, rollout: &Rollout) -> fmt::Result {
    if rollout.compared.is_empty() {
        return Ok(());
    }
    html.push_str(
        "<table class=stack><caption class=vh>First attempts at both pools</caption><thead><tr><th scope=col>Compared\
         <th scope=col class=n>New<th scope=col class=n>Old<th scope=col class=n>Votes<th scope=col class=n>Evidence\
         </tr></thead><tbody>",
    );
    for compared in &rollout.compared {
        let bad = |at: &Attempts| {
            let bad = if compared.measure == Measure::Errors { at.failed } else { at.slow };
            format!("{} of {}", grouped(bad), grouped(at.requests))
        };
        let [new, old] = rollout.attempts.each_ref().map(bad);
        let [of_new, of_old] = compared.evidence;
        let name = if compared.measure == Measure::Errors { "failed" } else { "slow" };
        write!(
            html,
            "<tr><th scope=row>{name}<td class=n data-label=New>{new}<td class=n data-label=Old>{old}\
             <td class=n data-label=Votes>{} : {}<td class=n data-label=Evidence>{:.1} of {}</tr>",
            of_new.votes,
            of_old.votes,
            of_new.value.min(1e12),
            grouped(compared.needed[0] as u64),
        )?;
    }
    html.push_str("</tbody></table>");
    Ok(())
}

/// Writes what the probes say, if there are any.
pub fn probes(html: &mut String, view: &View<'_>, monitor: &Monitor<'_>, colours: &Colours) -> fmt::Result {
    let Some(rollout) = &monitor.rollout else { return Ok(()) };
    let probes: Vec<(&String, &Probe)> =
        rollout.probes.iter().flat_map(|(pool, probes)| probes.iter().map(move |probe| (pool, probe))).collect();
    if probes.is_empty() {
        return Ok(());
    }
    // Beside what can be done, unless the rollout is there.
    html.push_str(if is_told(rollout) { "<section" } else { "<section class=half" });
    html.push_str(
        " aria-labelledby=probes><h2 id=probes>Probes</h2><table class=stack><thead><tr>\
         <th scope=col>Address<th scope=col>Pool<th scope=col>Answer<th scope=col>Release<th scope=col>Asked</tr></thead><tbody>",
    );
    for (name, probe) in probes.iter().take(ROWS) {
        let pool = monitor.pools.iter().find(|pool| pool.name == **name);
        let (class, word) = match probe.up {
            None => ("", "asked"),
            Some(true) => ("ok", "up"),
            Some(false) => ("bad", "down"),
        };
        let answer = match (probe.error.is_empty(), probe.status) {
            (false, _) => probe.error.clone(),
            (true, Some(status)) => format!("{status} in {} ms", probe.took_ms),
            (true, None) => String::new(),
        };
        write!(
            html,
            "<tr><th scope=row>{}<td class=wide data-label=Pool><span><i class=\"dot {}\"></i>{}</span>\
             <td class=wide data-label=Answer><span><span class=\"badge {class}\">{word}</span> {}</span>\
             <td class=wide data-label=Release>{}<td class=wide data-label=Asked>{}</tr>",
            Text(&probe.address),
            pool.map_or("c0", |pool| colours.of(pool.id)),
            Text(name),
            Text(&answer),
            Text(if probe.release.is_empty() { "–" } else { &probe.release }),
            Since { time_ms: probe.at_ms, now_ms: view.now_ms },
        )?;
    }
    more(html, probes.len())?;
    html.push_str("</tbody></table></section>");
    Ok(())
}
