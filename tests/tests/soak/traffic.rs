//! Good traffic, of which each request is known: users of monitors that never have a reason to alert.

use tests::http::Request;

use crate::fort::{Fort, Kind};
use crate::siege;
use crate::table::Table;

/// The subject of these figures in the table.
pub const SUBJECT: &str = "Good traffic";

/// What a worker may have answered and not counted when it is killed: the last answers to each of the two clients.
const LAST_ANSWERS: u64 = 4;

/// One good request, and what became of it.
pub fn request(fort: &Fort, table: &Table) {
    let could_stay_silent = fort.may_stay_silent();
    match fort.client.try_send(&Request::new("GET", "/good")) {
        Ok(reply) if reply.status == 200 => table.count(SUBJECT, &format!("{}: answered", fort.name)),
        Ok(reply) => table.lose("a good request that got an error", format!("{}: {}", fort.name, reply.status)),
        Err(_) if could_stay_silent || fort.may_stay_silent() => {
            table.count(SUBJECT, &format!("{}: unanswered, for nginx was killed", fort.name));
        }
        Err(error) => table.lose("a good request that is not answered", format!("{}: {error}", fort.name)),
    }
}

/// Compares what was answered with what was counted. Only workers that were killed may make a difference: a request that
/// such a worker answered last is not counted.
pub fn settle(fort: &Fort, table: &Table) {
    let of = |what: &str| table.of(SUBJECT, &format!("{}: {what}", fort.name));
    let (answered, unanswered) = (of("answered"), of("unanswered, for nginx was killed"));
    let Some(counted) = fort.counted("good") else {
        return table.lose("a metric that is not there", "nginx_alert_requests_total of good");
    };
    table.add(SUBJECT, &format!("{}: counted", fort.name), counted);
    match fort.kind {
        Kind::Steady => table.hold(counted == answered, "an inexact count", format!("{counted} of {answered}")),
        Kind::Besieged => {
            let missed = answered.saturating_sub(counted);
            table.add(SUBJECT, "besieged: answered by a worker that was killed, not counted", missed);
            let most = LAST_ANSWERS * table.of(siege::SUBJECT, "workers killed");
            table.hold(
                missed <= most,
                "more uncounted requests than workers killed",
                format!("{missed} of {answered}"),
            );
            let most = answered + unanswered;
            table.hold(counted <= most, "a request that was counted twice", format!("{counted} of {most}"));
        }
    }
}
