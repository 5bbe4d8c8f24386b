//! The check that a request does not get dearer unnoticed: what the module costs, against what is recorded here.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::instructions::Cost;
use crate::report::number;
use crate::variants;

/// How much more than recorded is an error. What is inside the module is exact everywhere; what the libc adds for
/// having threads differs a little from one version to the next; what the threads do depends on the machine's speed.
const LIMITS: [(&str, f64); 13] = [
    ("inside", 1.10),
    ("inside_zone", 1.10),
    ("inside_named", 1.10),
    ("inside_bare", 1.10),
    ("inside_retried", 1.10),
    ("inside_unwatched", 1.10),
    ("active_pool", 1.25),
    ("serving_pool", 1.25),
    ("state", 1.25),
    ("pool", 1.25),
    ("pool_share", 1.25),
    ("event_loop", 1.25),
    ("threads", 2.0),
];
/// A difference of so many instructions is nothing, where they are counted outside of the module: two configurations differ
/// by some of them for no reason of ours.
const NOISE: f64 = 60.0;

/// Counts with the defaults, and compares. Returns whether all is well.
pub fn check() -> bool {
    let recorded = fs::read_to_string(path()).expect("tests/bench/instructions.txt is readable");
    let mut good = true;
    for ((name, limit), now) in LIMITS.into_iter().zip(measure()) {
        let before = value(&recorded, name).unwrap_or_else(|| panic!("{name} is not in {}", path().display()));
        let limit = if name.starts_with("inside") { before * limit } else { (before * limit).max(before + NOISE) };
        let fine = now <= limit;
        good &= fine;
        let verdict = if fine { "ok" } else { "TOO MUCH" };
        println!(
            "{name:>16}: {:>6} recorded: {:>6} limit: {:>6} {verdict}",
            number(now),
            number(before),
            number(limit)
        );
    }
    if !good {
        println!("If that is meant to be so: make instructions RECORD=1");
    }
    good
}

/// Counts, and records that.
pub fn record() {
    let mut text = String::from(HEAD);
    for ((name, _), now) in LIMITS.into_iter().zip(measure()) {
        let _ = writeln!(text, "{name} {now:.0}");
    }
    fs::write(path(), &text).expect("tests/bench is writable");
    print!("{text}");
}

const HEAD: &str = "\
# Instructions per request. `make instructions` compares with this, `make instructions RECORD=1` writes it anew.
# inside: in the module, for a usual answer; where its upstream has a zone; where only headers say which pool it is of; where
# there are neither pools nor headers; where the request is retried; where it is not watched. Variables: above a map of
# nginx's own, in all; pool_share while a pool has one. The last two: above nginx alone, with the defaults.
";

/// In the order of [`LIMITS`].
fn measure() -> [f64; 13] {
    let base = Cost::of(&variants::plain());
    let above = Cost::of(&variants::defaults()).above(base);
    let [zone, named, bare] =
        [variants::zone(), variants::named(), variants::bare()].map(|variant| Cost::of(&variant).inside);
    let [retried, unwatched] = [variants::retried(), variants::unwatched()].map(|variant| Cost::of(&variant).inside);
    let variable = |name: &str| Cost::of(&variants::with_variable(name)).event_loop;
    let stock = variable("stock");
    let [active, serving, state, pool] =
        ["alert_active_pool", "alert_serving_pool", "alert_state", "alert_pool"].map(|name| variable(name) - stock);
    let share = Cost::of(&variants::with_share()).event_loop - stock;
    [
        above.inside,
        zone,
        named,
        bare,
        retried,
        unwatched,
        active,
        serving,
        state,
        pool,
        share,
        above.event_loop,
        above.threads,
    ]
}

fn value(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.txt")
}
