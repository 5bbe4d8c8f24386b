//! The soak: two nginx under everything at once that can go wrong around them, with traffic and incidents of which every
//! one is known. `SOAK_SECONDS` says how long, `SOAK_SEED` which dice; at the end a table says what was tried and what
//! was lost, which must be nothing.
#![forbid(unsafe_code)]

mod clients;
mod dice;
mod fort;
mod growth;
mod incidents;
mod ledger;
mod operators;
mod siege;
mod sinks;
mod table;
mod traffic;
mod upstreams;
mod wild;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{env, fs, thread};

use tests::server::lock;
use tests::wait;

use crate::dice::Dice;
use crate::fort::{Fort, Kind};
use crate::growth::Growth;
use crate::ledger::Ledger;
use crate::table::Table;
use tests::clock::Clock;

const HALF_AN_HOUR: u64 = 1800;
/// The wall clock is set forwards and backwards by up to this.
const STEP_MAX_SECONDS: u64 = 3600;
/// The pause of a sink that failed again and again is a minute, a fifth more or less.
const DELIVERED: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(400);
const SAMPLE: Duration = Duration::from_secs(2);
const LIMIT: Duration = Duration::from_secs(20);

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|error| panic!("{name}: {error}: {text}")))
}

#[test]
fn nothing_is_lost_under_attack() {
    let seconds = number("SOAK_SECONDS").unwrap_or(HALF_AN_HOUR);
    let by_the_clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let seed = number("SOAK_SEED").unwrap_or_else(by_the_clock);
    println!("The soak takes {seconds} seconds: SECONDS={seconds} SEED={seed} repeats it");

    let (table, clock) = (Arc::new(Table::default()), Clock::default());
    let [steady, besieged] = [(Kind::Steady, 1), (Kind::Besieged, 2)]
        .map(|(kind, part)| Fort::start(kind, &clock, Dice::new(seed, part), &table));
    // nginx's own words for a channel to a worker that was just killed.
    for part in ["exited on signal 9", "sendmsg() failed"] {
        lock(&besieged.nginx).expect_in_log(part);
    }
    let forts = [&steady, &besieged];
    let (ledgers, growth) = ([Ledger::default(), Ledger::default()], Growth::default());
    attack(&forts, &clock, &ledgers, &growth, &table, seconds, seed);

    clock.set(0);
    forts.iter().for_each(|fort| fort.sinks.moody.calm_down());
    for (fort, ledger) in forts.iter().zip(&ledgers) {
        settle(fort, ledger, &table);
    }
    growth.settle(&table);
    println!("{table}");
    if !table.is_whole() {
        forts.iter().for_each(|fort| keep_log(fort));
    }
    // Each ends here, and says what its log should not hold.
    drop((steady, besieged));
    assert!(table.is_whole(), "something was lost (SEED={seed})");
}

/// Puts the error log where somebody can read it.
fn keep_log(fort: &Fort) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/soak");
    let path = directory.join(format!("{}.log", fort.name));
    let kept = fs::create_dir_all(&directory).and_then(|()| fs::write(&path, lock(&fort.nginx).log()));
    println!("the error log of {} is in {}: {kept:?}", fort.name, path.display());
}

/// Does everything at once for so long.
fn attack(
    forts: &[&Fort; 2],
    clock: &Clock,
    ledgers: &[Ledger; 2],
    growth: &Growth,
    table: &Arc<Table>,
    seconds: u64,
    seed: u64,
) {
    let (start, over) = (Instant::now(), AtomicBool::new(false));
    let mut part = 10;
    let mut dice = || {
        part += 1;
        Dice::new(seed, part)
    };
    thread::scope(|scope| {
        // Each of these does one thing after the other until the end, with a pause of up to so many milliseconds.
        let mut again = |pause_ms: u64, what: &'static (dyn Fn(&mut Dice, &Context) + Sync), at: usize| {
            let (over, mut dice) = (&over, dice());
            let context = Context { fort: forts[at], ledger: &ledgers[at], growth, clock, table };
            scope.spawn(move || {
                while !over.load(Relaxed) {
                    what(&mut dice, &context);
                    thread::sleep(dice.up_to(Duration::from_millis(pause_ms)));
                }
            });
        };
        for at in [0, 1] {
            for _ in 0..2 {
                again(20, &|_, on| traffic::request(on.fort, on.table), at);
                again(40, &|dice, on| clients::attack(on.fort, dice, on.table), at);
                again(60, &|dice, on| noise(on.fort, dice, on.table), at);
            }
            again(60, &|dice, on| operators::attempt(on.fort, dice, on.table), at);
            again(LOOK.as_millis() as u64, &|_, on| on.ledger.look(on.fort), at);
        }
        again(SAMPLE.as_millis() as u64, &|_, on| on.growth.look(on.fort), 0);
        again(3000, &step_the_clock, 0);
        for fort in forts {
            for monitor in &fort.troubled {
                let (over, mut dice) = (&over, dice());
                scope.spawn(move || {
                    while !over.load(Relaxed) {
                        incidents::incident(fort, monitor, table);
                        thread::sleep(dice.up_to(Duration::from_secs(2)));
                    }
                });
            }
        }
        let mut own = dice();
        // What fails here still has to end the others.
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            while start.elapsed() < Duration::from_secs(seconds) {
                siege::round(forts[1], &mut own, table);
                println!("{:5} s", start.elapsed().as_secs());
            }
        }));
        over.store(true, Relaxed);
        if let Err(cause) = ended {
            println!("{table}");
            std::panic::resume_unwind(cause);
        }
    });
}

/// What an attacker knows.
struct Context<'a> {
    fort: &'a Fort,
    ledger: &'a Ledger,
    growth: &'a Growth,
    clock: &'a Clock,
    table: &'a Table,
}

/// An orderly client of hostile upstreams.
fn noise(fort: &Fort, dice: &mut Dice, table: &Table) {
    let target = dice.word(&["/noise", "/names"]);
    table.count("Clients of hostile upstreams", target);
    let _ = fort.client.try_send(&tests::http::Request::new("GET", target));
}

fn step_the_clock(dice: &mut Dice, on: &Context) {
    let seconds = dice.below(2 * STEP_MAX_SECONDS + 1) as i64 - STEP_MAX_SECONDS as i64;
    on.clock.set(seconds);
    on.table.count("The wall clock", if seconds < 0 { "set behind the true time" } else { "set before the true time" });
}

/// Once all is quiet: everything is delivered, counted and shown as it is.
fn settle(fort: &Fort, ledger: &Ledger, table: &Table) {
    let waiting = |sink: &str| fort.status().and_then(|status| status["sinks"][sink]["pending"].as_u64());
    for sink in sinks::WORKING {
        let delivered = wait::find(DELIVERED, || (waiting(sink) == Some(0)).then_some(()));
        table.hold(
            delivered.is_some(),
            "alerts that wait though their sink works",
            format!("{} {sink}: {:?}", fort.name, waiting(sink)),
        );
    }
    ledger.look(fort);
    ledger.settle(fort, table);
    traffic::settle(fort, table);
    siege::settle_log(fort, table);
    let is_true = wait::find(LIMIT, || untruth(fort, table).is_none().then_some(()));
    table.hold(is_true.is_some(), "a status that is not true", format!("{}: {:?}", fort.name, untruth(fort, table)));
}

/// What the status says that is not so.
fn untruth(fort: &Fort, table: &Table) -> Option<String> {
    let Some(status) = fort.status() else { return Some("there is none".into()) };
    let mut shown: Vec<u64> =
        status["workers"].as_array()?.iter().filter_map(|worker| worker["pid"].as_u64()).collect();
    let mut workers: Vec<u64> = lock(&fort.nginx).workers().into_iter().map(u64::from).collect();
    shown.sort_unstable();
    workers.sort_unstable();
    if shown != workers {
        return Some(format!("workers {shown:?}, which are {workers:?}"));
    }
    let quiet = fort.troubled.iter().map(String::as_str).chain(["good", "exact"]);
    for monitor in quiet {
        let state = &status["monitors"][monitor]["state"];
        if state != "ok" {
            return Some(format!("{monitor} is {state}"));
        }
    }
    for sink in sinks::WORKING {
        if status["sinks"][sink]["failed"] != 0 {
            return Some(format!("{sink} is {}", status["sinks"][sink]));
        }
    }
    for sink in sinks::bad_names() {
        if status["sinks"][sink]["last_error"].is_null() || status["sinks"][sink]["sent"] != 0 {
            return Some(format!("{sink} is {}", status["sinks"][sink]));
        }
    }
    let (sent, taken) = (status["sinks"]["good"]["sent"].as_u64(), fort.sinks.good.taken().len() as u64);
    let summed_up = table.of("Alerts", &format!("{}: told with their end", fort.name));
    if fort.kind == Kind::Steady && sent != Some(taken + summed_up) {
        return Some(format!(
            "the good sink has {sent:?} alerts, which are {taken}, and {summed_up} told with their end"
        ));
    }
    None
}
