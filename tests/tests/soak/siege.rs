//! The siege: workers are killed every 200 ms, masters now and then, and nginx is reloaded and replaced in between.

use std::fs;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use tests::http::Request;
use tests::process::{self, Signal};
use tests::server::lock;
use tests::wait;

use crate::dice::Dice;
use crate::fort::Fort;
use crate::growth;
use crate::table::Table;

/// The subject of these figures in the table.
pub const SUBJECT: &str = "Siege";
const STORM: Duration = Duration::from_secs(8);
const BETWEEN_KILLS: Duration = Duration::from_millis(200);
const LIMIT: Duration = Duration::from_secs(20);
/// Good requests between two storms, all of which are counted, whatever reloads there are.
const EXACT: u64 = 60;

/// One round: a storm, a calm, and a new master in one way or the other.
pub fn round(fort: &Fort, dice: &mut Dice, table: &Table) {
    storm(fort, dice, table);
    calm(fort, table);
    // Whoever waits for an alert has it before the board is replaced.
    let alone = fort.gate.write().unwrap_or_else(PoisonError::into_inner);
    if dice.percent(60) && is_saved(fort, table) {
        fort.epoch.fetch_add(1, SeqCst);
        fort.in_storm.store(true, Relaxed);
        if dice.percent(50) {
            upgrade(fort, table);
        } else {
            kill_master(fort, dice, table);
        }
        fort.in_storm.store(false, Relaxed);
        fort.epoch.fetch_add(1, SeqCst);
    }
    drop(alone);
    growth::look_at_shared_memory(fort, table);
}

fn storm(fort: &Fort, dice: &mut Dice, table: &Table) {
    fort.in_storm.store(true, Relaxed);
    let start = Instant::now();
    while start.elapsed() < STORM {
        let nginx = lock(&fort.nginx);
        let workers = nginx.workers();
        if dice.percent(10) {
            table.count(SUBJECT, "all workers killed at once");
            workers.iter().for_each(|pid| kill(*pid, table));
        } else if !workers.is_empty() {
            kill(*dice.pick(&workers), table);
        }
        if dice.percent(15) {
            table.count(SUBJECT, "reloads amid the kills");
            nginx.signal(Signal::HUP);
        }
        drop(nginx);
        thread::sleep(BETWEEN_KILLS);
    }
    settle(fort);
    fort.in_storm.store(false, Relaxed);
}

fn kill(pid: u32, table: &Table) {
    table.count(SUBJECT, "workers killed");
    process::signal(pid, Signal::KILL);
}

/// Waits until the killed ones are replaced and the old ones are gone.
fn settle(fort: &Fort) {
    wait::until("all workers after a storm", LIMIT, || {
        let nginx = lock(&fort.nginx);
        let workers = nginx.workers();
        workers.len() == nginx.worker_processes() && nginx.helpers("worker process is shutting down").is_empty()
    });
}

/// Reloads, with good requests before and after, each of which must be counted.
fn calm(fort: &Fort, table: &Table) {
    let Some(before) = counted(fort) else {
        return table.lose("a metric that is not there", "exact, in a calm");
    };
    for _ in 0..2 {
        for _ in 0..EXACT / 2 {
            let reply = fort.client.try_send(&Request::new("GET", "/exact"));
            let is_good = reply.as_ref().is_ok_and(|reply| reply.status == 200);
            table.hold(is_good, "a good request that failed at a reload", format!("{reply:?}"));
        }
        lock(&fort.nginx).reload();
        table.count(SUBJECT, "reloads in a calm");
    }
    let due = before + EXACT;
    let exact = wait::find(LIMIT, || (counted(fort) >= Some(due)).then_some(()));
    table.hold(
        exact.is_some() && counted(fort) == Some(due),
        "an inexact count over reloads",
        format!("{:?} of {due}", counted(fort)),
    );
    table.add(crate::traffic::SUBJECT, "besieged: counted one by one, over reloads", EXACT);
    settle(fort);
}

/// None are there before the first.
fn counted(fort: &Fort) -> Option<u64> {
    wait::find(LIMIT, || fort.status()).map(|_| fort.counted("exact").unwrap_or(0))
}

/// Waits until the state of now is in the file: it is written every few seconds, for the hostile traffic changes it.
fn is_saved(fort: &Fort, table: &Table) -> bool {
    let file = lock(&fort.nginx).directory().join("own/state");
    let saved = || fs::metadata(&file).and_then(|found| found.modified()).ok();
    // The save that is under way may have begun before.
    for _ in 0..2 {
        let before = saved();
        if wait::find(LIMIT, || (saved() > before).then_some(())).is_none() {
            table.lose("a state that is not saved", format!("{before:?}"));
            return false;
        }
    }
    true
}

fn upgrade(fort: &Fort, table: &Table) {
    table.count(SUBJECT, "upgrades of the binary");
    let mut nginx = lock(&fort.nginx);
    let old = [vec![nginx.master()], nginx.workers()].concat();
    let new = nginx.upgrade();
    nginx.signal(Signal::WINCH);
    nginx.signal(Signal::QUIT);
    wait::until("the end of the old master", LIMIT, || !old.iter().any(|pid| process::is_alive(*pid)));
    nginx.adopt(new);
}

fn kill_master(fort: &Fort, dice: &mut Dice, table: &Table) {
    let mut nginx = lock(&fort.nginx);
    let orphans = nginx.kill_master();
    let signal = if dice.percent(50) { Signal::KILL } else { Signal::TERM };
    let how = if signal == Signal::KILL { "with all its workers" } else { "whose workers were stopped" };
    table.count(SUBJECT, &format!("masters killed {how}"));
    orphans.iter().for_each(|pid| process::signal(*pid, signal));
    process::wait_gone(&orphans);
    // A killed master leaves its number, which is not that of the next.
    let _ = fs::remove_file(nginx.directory().join("nginx.pid"));
    nginx.start_again();
}

/// Holds the error log against what was done.
pub fn settle_log(fort: &Fort, table: &Table) {
    let nginx = lock(&fort.nginx);
    let mut by_nine = 0;
    for line in nginx.log_lines("exited on signal") {
        if line.contains("exited on signal 9") {
            by_nine += 1;
        } else {
            table.lose("a worker that crashed", format!("{}: {line}", fort.name));
        }
    }
    let killed = table.of(SUBJECT, "workers killed");
    table.add(SUBJECT, &format!("{}: workers that ended by signal 9", fort.name), by_nine);
    table.hold(
        by_nine <= killed,
        "a worker that somebody else killed",
        format!("{}: {by_nine} of {killed}", fort.name),
    );
    for part in ["panicked", "exited with fatal code", "cannot be respawned", "set aside"] {
        nginx.log_lines(part).iter().for_each(|line| table.lose("a line that must not be in the log", line));
    }
    // nginx's own lines repeat what it was sent.
    let is_unclean = |line: &&String| line.chars().any(char::is_control);
    let lines = nginx.log_lines("alert: ");
    lines.iter().filter(is_unclean).for_each(|line| table.lose("control characters in a line of the module", line));
    table.add(SUBJECT, &format!("{}: lines of the module in the error log", fort.name), lines.len() as u64);
}
