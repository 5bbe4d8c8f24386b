//! Libraries that change what nginx hears from the system, compiled where a test needs one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// Compiles this C text in this directory to a library for `LD_PRELOAD`.
pub fn library(directory: &Path, name: &str, text: &str) -> PathBuf {
    let (source, library) = (directory.join(format!("{name}.c")), directory.join(format!("{name}.so")));
    fs::write(&source, text).expect("the test's directory is writable");
    let compiler = env::var_os("CC").unwrap_or_else(|| "cc".into());
    let status = Command::new(compiler).args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status();
    assert!(status.is_ok_and(|status| status.success()), "a C compiler is among the packages of a build");
    library
}
