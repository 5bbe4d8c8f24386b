//! Incidents that are known: an application breaks and is mended, and the good sink is told both.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use tests::http::Request;
use tests::wait;

use crate::fort::{Fort, Kind, WINDOW};
use crate::table::Table;

/// The subject of these figures in the table.
pub const SUBJECT: &str = "Incidents";

/// What a worker that died was about to tell another one tells within this; the rest is for a machine under load.
const TOLD: Duration = Duration::from_secs(20);
/// After this a step is tried again: its requests may have died with the worker that answered them.
const AGAIN: Duration = Duration::from_millis(500);

/// Breaks the application of a monitor and mends it.
pub fn incident(fort: &Fort, monitor: &str, table: &Table) {
    table.count(SUBJECT, &format!("{}: begun", fort.name));
    let broken = format!("/{monitor}/broken");
    step(fort, monitor, &broken, 1, "firing", table);
    step(fort, monitor, &format!("/{monitor}/"), WINDOW, "resolved", table);
}

/// Sends requests until the sink is told that the monitor is in this state.
fn step(fort: &Fort, monitor: &str, target: &str, requests: usize, status: &str, table: &Table) {
    let _here = fort.gate.read().unwrap_or_else(PoisonError::into_inner);
    let before = fort.sinks.good.last_of(monitor).map(|(at, _)| at);
    let start = Instant::now();
    let told = || {
        let (at, last) = fort.sinks.good.last_of(monitor)?;
        (Some(at) > before && last == status).then_some(())
    };
    while start.elapsed() < TOLD {
        for _ in 0..requests {
            // One that dies with its worker is sent again.
            let _ = fort.client.try_send(&Request::new("GET", target));
        }
        let limit = if fort.kind == Kind::Steady { TOLD } else { AGAIN };
        if wait::find(limit, told).is_some() {
            table.count(SUBJECT, &format!("{}: told {status}", fort.name));
            table.most(
                SUBJECT,
                &format!("{}: told within, at most (ms)", fort.name),
                start.elapsed().as_millis() as u64,
            );
            return;
        }
    }
    let said = fort.status().map(|status| {
        let newest: Vec<_> = status["alerts"].as_array().into_iter().flatten().take(3).cloned().collect();
        format!("rules {}, newest {newest:?}, sink {}", status["monitors"][monitor]["rules"], status["sinks"]["good"])
    });
    table.lose("an incident that is not told in time", format!("{} {monitor} {status}: {said:?}", fort.name));
}
