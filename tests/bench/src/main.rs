//! What nginx-alert costs and how fast it tells, measured on this machine.
//!
//! ```text
//! bench                          # everything; writes RESULTS.md and comparison.svg
//! bench instructions …           # these measurements only; prints what they found
//! bench check-instructions       # compares instructions per request with those of instructions.txt
//! bench record-instructions      # writes that file
//! bench draw-rollout             # writes rollout.svg, of two rollouts that happen in a minute
//! ```
//!
//! `TEST_NGINX_MODULE` is the module. To compare with, where they are given: `BENCH_BEFORE`, the module of the version before, and
//! `BENCH_VTS_SOURCE`, the source of nginx-module-vts, from which `make vts` built it.

#![deny(unsafe_code)]

mod account;
mod alternation;
mod baseline;
mod board;
mod callgrind;
mod chart;
mod distribution;
mod engine;
mod idle;
mod incident;
mod instructions;
mod log_phase;
mod machine;
mod mapping;
mod pace;
mod report;
mod rig;
mod rollout;
mod scrape;
mod services;
mod stages;
mod start;
mod throughput;
mod tied;
mod traffic;
mod trouble;
mod variants;
mod writer;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;
use std::{env, fs};

use report::Section;

type Measurement = fn() -> Section;

/// All measurements, in the order of the results.
const MEASUREMENTS: &[(&str, Measurement)] = &[
    ("instructions", instructions::compare),
    ("incident", incident::compare),
    ("alternation", alternation::measure),
    ("log_phase", log_phase::measure),
    ("throughput", throughput::compare),
    ("board", board::measure),
    ("scrape", scrape::measure),
    ("start", start::measure),
    ("idle", idle::measure),
    ("trouble", trouble::compare),
    ("stages", stages::measure),
];

fn main() -> ExitCode {
    let names: Vec<String> = env::args().skip(1).collect();
    match names.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["check-instructions"] => return if baseline::check() { ExitCode::SUCCESS } else { ExitCode::FAILURE },
        ["record-instructions"] => baseline::record(),
        [rollout::COMMAND] => rollout::draw(),
        [writer::COMMAND, words @ ..] => writer::run(words),
        [] => write(&measure(|_| true)),
        names => {
            if let Some(unknown) = names.iter().find(|name| MEASUREMENTS.iter().all(|(known, _)| known != *name)) {
                let known = MEASUREMENTS.iter().map(|(known, _)| *known).collect::<Vec<_>>().join(", ");
                eprintln!("there is no measurement \"{unknown}\", only: {known}");
                return ExitCode::FAILURE;
            }
            measure(|name| names.contains(&name)).iter().for_each(|section| println!("{section}"));
        }
    }
    ExitCode::SUCCESS
}

fn measure(wanted: impl Fn(&str) -> bool) -> Vec<Section> {
    let wanted = MEASUREMENTS.iter().filter(|(name, _)| wanted(name));
    wanted
        .map(|(name, measurement)| {
            eprintln!("{name}");
            let start = Instant::now();
            let section = measurement();
            eprintln!("{name}: {:.0} s", start.elapsed().as_secs_f64());
            section
        })
        .collect()
}

fn write(sections: &[Section]) {
    let place = Path::new(env!("CARGO_MANIFEST_DIR"));
    let charts: Vec<_> = sections.iter().filter_map(|section| section.chart.as_ref()).collect();
    fs::write(place.join("comparison.svg"), chart::svg(&charts)).expect("tests/bench is writable");
    fs::write(place.join("RESULTS.md"), report::document(sections)).expect("tests/bench is writable");
    eprintln!("wrote RESULTS.md and comparison.svg in {}", place.display());
}
