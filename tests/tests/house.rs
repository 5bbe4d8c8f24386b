//! The plan of the house: a wing uses only what stands below it, files are short, and every wing says what it does.

use std::fs;
use std::path::{Path, PathBuf};

/// From top to bottom, as ARCHITECTURE.md has them.
const WINGS: [&str; 15] = [
    "engine", "operate", "lead", "detect", "observe", "deliver", "persist", "report", "board", "settings", "sink",
    "rollout", "rules", "model", "base",
];
/// The layers of the module.
const LAYERS: [&[&str]; 5] =
    [&["entry"], &["log_phase", "status", "control", "variable"], &["engine"], &["config"], &["nginx"]];
const LINES_MAX: usize = 500;

struct Source {
    /// The first part of its path below `src`, without an ending.
    wing: String,
    path: PathBuf,
    /// Its text without its tests.
    text: String,
}

fn sources(of: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(of).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                // Such a folder holds more of the tests beside it.
                folders.extend(Some(path).filter(|path| !path.ends_with("tests")));
            } else if path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with("tests.rs") {
                let text = fs::read_to_string(&path).expect("a source");
                let text = without_tests(&text).to_owned();
                let below = path.strip_prefix(&root).expect("below the root");
                let wing = below.iter().next().and_then(|part| part.to_str()).unwrap_or_default();
                found.push(Source { wing: wing.trim_end_matches(".rs").to_owned(), path: below.to_owned(), text });
            }
        }
    }
    assert!(found.len() > 3, "the sources of {of} are found");
    found
}

/// A source up to its tests; something else that only tests have may stand in it before.
fn without_tests(text: &str) -> &str {
    let ends = ["", "pub(crate) "].map(|visible| format!("#[cfg(test)]\n{visible}mod tests"));
    let end = ends.iter().filter_map(|end| text.find(end.as_str())).min();
    &text[..end.unwrap_or(text.len())]
}

/// The first names behind `crate::` in code, which stand alone: nobody groups them in braces.
fn used(text: &str) -> impl Iterator<Item = &str> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(|line| line.split("crate::").skip(1)).map(|rest| {
        assert!(!rest.starts_with('{'), "write one line for each wing: use crate::{rest}");
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        &rest[..end]
    })
}

fn assert_downwards(of: &str, rank: impl Fn(&str) -> Option<usize>) {
    for Source { wing, path, text } in sources(of) {
        let Some(own) = rank(&wing) else {
            assert!(wing == "lib", "{} belongs to no wing", path.display());
            continue;
        };
        for name in used(&text).filter(|name| *name != wing) {
            if let Some(other) = rank(name) {
                assert!(own < other, "{} uses crate::{name}, which stands above it", path.display());
            }
        }
    }
}

#[test]
fn a_wing_of_the_engine_uses_only_what_stands_below_it() {
    assert_downwards("alert_core", |name| WINGS.iter().position(|wing| *wing == name));
}

#[test]
fn a_layer_of_the_module_uses_only_what_stands_below_it() {
    assert_downwards("ngx_module", |name| LAYERS.iter().position(|layer| layer.contains(&name)));
}

#[test]
fn no_file_is_longer_than_a_few_screens() {
    for of in ["alert_core", "ngx_module", "alert_core/c"] {
        for Source { path, text, .. } in sources(of) {
            let lines = text.lines().count();
            assert!(lines <= LINES_MAX, "{} of {of} has {lines} lines: split it", path.display());
        }
    }
}

#[test]
fn every_file_opens_with_what_it_is() {
    for of in ["alert_core", "ngx_module", "alert_core/c"] {
        for Source { path, text, .. } in sources(of) {
            assert!(text.starts_with("//! "), "{} of {of} does not say what it is", path.display());
        }
    }
}
