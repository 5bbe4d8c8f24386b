//! C programs that use the library, linked in both ways and run under valgrind.

use std::process::Command;
use std::time::Duration;

use tests::sink::Sink;

use crate::installed::{Installed, Link, run};

/// What to think of memory that is lost at the end.
#[derive(Clone, Copy, Debug)]
enum Leaks {
    Fail,
    /// A child cannot give back what belongs to threads that were not forked with it.
    Pass,
}

/// Compiles and runs a program, plainly and under memcheck. Returns what it printed.
#[track_caller]
fn check(name: &str, link: Link, arguments: &[String], leaks: Leaks) -> String {
    let installed = Installed::get();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let program = installed.compile(name, link, directory.path());
    let printed = run(Command::new(&program).args(arguments).env("LD_LIBRARY_PATH", installed.lib()));
    let leak_check: &[&str] = match leaks {
        Leaks::Fail => &["--leak-check=full", "--errors-for-leak-kinds=definite,indirect"],
        Leaks::Pass => &["--leak-check=no"],
    };
    run(Command::new("valgrind")
        .args(["--quiet", "--error-exitcode=99"])
        .args(leak_check)
        .arg(&program)
        .args(arguments)
        .env("LD_LIBRARY_PATH", installed.lib()));
    printed
}

#[test]
fn a_program_without_threads_polls_its_alerts() {
    for link in [Link::Shared, Link::Static] {
        assert_eq!(check("calls", link, &[], Leaks::Fail).trim(), env!("CARGO_PKG_VERSION"), "{link:?}");
    }
}

#[test]
fn a_program_with_threads_gets_its_alerts_delivered() {
    let sink = Sink::start();
    check("threads", Link::Shared, &[sink.url()], Leaks::Fail);
    // Once for the plain run and once for that under valgrind.
    let posts = sink.wait_for(2, Duration::from_secs(5));
    for post in posts {
        assert_eq!(post.headline(), ":rotating_light: Failover detected — pool changed from blue → green");
    }
    sink.assert_quiet_for(Duration::from_millis(300));
}

#[test]
fn several_processes_are_one_detector() {
    check("processes", Link::Shared, &[], Leaks::Fail);
}

#[test]
fn a_started_handle_does_not_cross_a_fork() {
    check("forked", Link::Shared, &[], Leaks::Pass);
}

#[test]
fn bad_input_is_an_error_code() {
    check("hostile", Link::Shared, &[], Leaks::Fail);
}
