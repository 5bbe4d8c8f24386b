//! The fast half of the log phase runs without a guard against panics: nothing in it can panic.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use tests::nginx;

/// Where it begins, and where the slow half does, which has a guard. Names as they are in the module: without what makes them
/// readable, each is of one function.
const BEGIN: &str = "7request11log_handler";
const GUARDED: &str = "7request11look_closer";
/// Where a function lets no panic of what it calls through; none of these can panic either.
const NO_WAY_OUT: &str = "panic_cannot_unwind";

/// The output of a program of the binutils.
fn output(program: &str, arguments: &[&str]) -> String {
    let module = nginx::module();
    let output = Command::new(program).args(arguments).arg(module).output();
    let output = output.unwrap_or_else(|error| panic!("{program} (binutils): {error}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The functions of the module, and what each of them calls or goes on with.
fn calls() -> BTreeMap<String, BTreeSet<String>> {
    let symbols = output("nm", &[]);
    let by_address: BTreeMap<u64, &str> = symbols
        .lines()
        .filter_map(|line| Some((u64::from_str_radix(line.get(..16)?, 16).ok()?, line.get(19..)?)))
        .collect();
    // What is called through the table of places that the loader fills in.
    let places: BTreeMap<u64, String> = output("objdump", &["--dynamic-reloc"])
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (place, _, value) = (u64::from_str_radix(words.next()?, 16).ok()?, words.next()?, words.next()?);
            let address = value.strip_prefix("*ABS*+0x").and_then(|address| u64::from_str_radix(address, 16).ok());
            Some((place, address.and_then(|at| by_address.get(&at).copied()).unwrap_or(value).to_owned()))
        })
        .collect();
    let mut calls: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut function = String::new();
    for line in output("objdump", &["--disassemble", "--no-show-raw-insn"]).lines() {
        if let Some(name) = line.strip_suffix(">:").and_then(|line| line.split_once(" <")) {
            function = name.1.to_owned();
            calls.entry(function.clone()).or_default();
            continue;
        }
        let is_jump = |word: &str| word.starts_with("call") || word.starts_with('j');
        let Some(instruction) = line.split('\t').nth(1).filter(|instruction| is_jump(instruction)) else { continue };
        let indirect = instruction
            .split_once("# ")
            .and_then(|(_, place)| places.get(&u64::from_str_radix(place.split(' ').next()?, 16).ok()?).cloned());
        let named = || instruction.split_once('<').and_then(|(_, name)| Some(name.rsplit_once('>')?.0.to_owned()));
        if let Some(target) = indirect.or_else(named) {
            let target = target.rsplit_once("+0x").map_or(target.as_str(), |(name, _)| name).to_owned();
            calls.entry(function.clone()).or_default().insert(target);
        }
    }
    calls
}

#[test]
fn nothing_that_runs_for_every_request_without_a_guard_can_panic() {
    if nginx::module().components().any(|part| part.as_os_str() == "debug") {
        // That of the sanitizers has checks everywhere.
        return;
    }
    let calls = calls();
    let begin = calls.keys().find(|name| name.contains(BEGIN)).cloned();
    let mut ahead = vec![begin.expect("the module has its symbols")];
    let mut reached = BTreeSet::new();
    while let Some(function) = ahead.pop() {
        if function.contains(GUARDED) || function.contains(NO_WAY_OUT) || !reached.insert(function.clone()) {
            continue;
        }
        let panics = ["panick", "unwrap_failed", "expect_failed", "slice_index", "handle_alloc_error", "__rust_alloc"];
        assert!(!panics.iter().any(|part| function.contains(part)), "{function} is reached: {reached:#?}");
        ahead.extend(calls.get(&function).into_iter().flatten().cloned());
    }
    assert!(reached.len() > 1, "{reached:?}");
}
