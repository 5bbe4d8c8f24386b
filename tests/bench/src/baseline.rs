//! The check that a request does not get dearer unnoticed: what the module costs, against what is recorded here.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::instructions::Cost;
use crate::report::number;
use crate::variants;

/// How much more than recorded is an error. What is inside the module is exact everywhere; what the libc adds for
/// having threads differs a little from one version to the next; what the threads do depends on the machine's speed.
const LIMITS: [(&str, f64); 3] = [("inside", 1.10), ("event_loop", 1.25), ("threads", 2.0)];

/// Counts with the defaults, and compares. Returns whether all is well.
pub fn check() -> bool {
    let recorded = fs::read_to_string(path()).expect("tests/bench/instructions.txt is readable");
    let mut good = true;
    for ((name, limit), now) in LIMITS.into_iter().zip(measure()) {
        let before = value(&recorded, name).unwrap_or_else(|| panic!("{name} is not in {}", path().display()));
        let fine = now <= before * limit;
        good &= fine;
        let verdict = if fine { "ok" } else { "TOO MUCH" };
        println!(
            "{name:>10}: {:>6} recorded: {:>6} limit: {:>6} {verdict}",
            number(now),
            number(before),
            number(before * limit)
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
# Instructions per request of the module with its defaults, above nginx alone. `make instructions` compares with this,
# `make instructions RECORD=1` writes it anew.
";

/// In the order of [`LIMITS`].
fn measure() -> [f64; 3] {
    let base = Cost::of(&variants::plain());
    let above = Cost::of(&variants::defaults()).above(base);
    [above.inside, above.event_loop, above.threads]
}

fn value(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.txt")
}
