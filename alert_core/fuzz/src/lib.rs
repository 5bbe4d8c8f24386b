//! What the engine must cope with: whatever people write, upstreams answer, and dying workers leave behind.
//!
//! A target takes bytes, makes input of them, and panics where the engine does not keep a promise. The same targets are
//! run two ways: `cargo test` replays the corpus and what a bounded [`search`] makes of it, the same each time;
//! `make fuzz` lets libFuzzer look for inputs that reach new code.
#![forbid(unsafe_code)]

pub mod board;
pub mod commands;
pub mod configuration;
pub mod hostile;
pub mod messages;
pub mod pages;
pub mod rig;
pub mod search;
pub mod sinks;
pub mod snapshot;
pub mod values;

/// One thing that takes input.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, which is also that of its corpus.
    pub name: &'static str,
    /// Runs it on an input.
    pub run: fn(&[u8]),
    /// Words that mean something to it.
    pub words: &'static [&'static str],
    /// Inputs that `cargo test` makes of the corpus.
    pub runs: u32,
}

/// Every target.
pub const TARGETS: [Target; 8] = [
    Target { name: "values", run: values::run, words: values::WORDS, runs: 100_000 },
    Target { name: "sinks", run: sinks::run, words: sinks::WORDS, runs: 50_000 },
    Target { name: "configuration", run: configuration::run, words: configuration::WORDS, runs: 50_000 },
    Target { name: "commands", run: commands::run, words: commands::WORDS, runs: 2000 },
    Target { name: "messages", run: messages::run, words: hostile::WORDS, runs: 500 },
    Target { name: "pages", run: pages::run, words: hostile::WORDS, runs: 150 },
    Target { name: "board", run: board::run, words: &[], runs: 150 },
    Target { name: "snapshot", run: snapshot::run, words: &[], runs: 150 },
];

/// The target of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
