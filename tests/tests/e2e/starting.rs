//! What nginx needs when it starts, and what it does not need when it is only signalled or tested.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use tests::nginx::{self, Check, Config, Nginx};
use tests::process::{self, Signal};
use tests::scene::{Scene, Setup};
use tests::wait;

const LIMIT: Duration = Duration::from_secs(5);
const OUTAGE: &str = ":warning: High upstream 5xx rate — ";
const VARIABLE: &str = "ALERT_TEST_HOOK";
/// The target and the instance's name come from the environment.
const SETUP: fn() -> Setup<'static> = || Setup {
    notify: "alert_notify slack env:ALERT_TEST_HOOK; alert_instance env:ALERT_TEST_NODE;",
    ..Setup::default()
};

/// An nginx whose master has the variables, which this process has not.
fn start(setup: &Setup, adjust: impl FnOnce(&mut Config)) -> Scene {
    let sink = tests::sink::Sink::start();
    let url = sink.url();
    let mut scene = Scene::start_with(setup, |config| {
        config.env.extend([(VARIABLE.into(), url), ("ALERT_TEST_NODE".into(), "web-7".into())]);
        config.env.push(("HTTP_PROXY".into(), String::new()));
        adjust(config);
    });
    scene.sink = sink;
    scene
}

#[test]
fn nginx_is_tested_and_signalled_without_the_variables_that_it_was_started_with() {
    let mut scene = start(&Setup { workers: 2, ..SETUP() }, |config| config.daemon = true);
    let (good, said) = scene.nginx.call(&["-t"]);
    assert!(good, "{said}");
    let place = format!("{}/nginx.conf:", scene.nginx.directory().display());
    for variable in [VARIABLE, "ALERT_TEST_NODE"] {
        let warned = |line: &str| line.contains("[warn]") && line.contains(variable) && line.contains(&place);
        assert!(said.lines().any(warned), "no warning of {variable} in {said}");
    }
    let old = scene.nginx.workers();
    for signal in ["reopen", "reload"] {
        let (good, said) = scene.nginx.call(&["-s", signal]);
        assert!(good && said.is_empty(), "-s {signal}: {said}");
    }
    process::wait_gone(&old);
    wait::until("new workers", LIMIT, || scene.nginx.workers().len() == 2);
    assert_eq!(scene.status()["instance"], "web-7");
    scene.fail(6);
    scene.assert_told_once(OUTAGE);
    let (good, said) = scene.nginx.call(&["-s", "quit"]);
    assert!(good && said.is_empty(), "-s quit: {said}");
    process::wait_gone(&[scene.nginx.master()]);
    scene.nginx.start_again();
}

#[test]
fn a_new_binary_has_the_variables_of_the_old_one() {
    // What nginx takes for its binary notes its environment and becomes nginx.
    let directory = tempfile::tempdir().unwrap();
    let (binary, noted) = (directory.path().join("nginx"), directory.path().join("environment"));
    let script = format!("#!/bin/sh\nenv > {}\nexec {} \"$@\"\n", noted.display(), nginx::binary().display());
    fs::write(&binary, script).unwrap();
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
    let mut scene = start(&Setup { workers: 1, ..SETUP() }, |config| {
        config.daemon = true;
        config.wrapper =
            ["bash", "-c", "exec -a \"$0\" \"$@\"", &binary.display().to_string()].map(String::from).into();
    });
    let old = scene.nginx.master();
    scene.nginx.signal(Signal::USR2);
    let mut new = None;
    wait::until("a second master", LIMIT, || {
        new = scene.nginx.pid_in("nginx.pid").filter(|pid| *pid != old);
        new.is_some_and(|pid| process::children(pid).iter().any(|pid| process::title(*pid) == "nginx: worker process"))
    });
    scene.nginx.signal(Signal::QUIT);
    process::wait_gone(&[old]);
    scene.nginx.adopt(new.expect("found above"));
    let kept = fs::read_to_string(noted).unwrap();
    for name in [VARIABLE, "ALERT_TEST_NODE", "HTTP_PROXY"] {
        assert!(kept.lines().any(|line| line.starts_with(&format!("{name}="))), "{name} is lost: {kept}");
    }
    scene.nginx.reload();
    scene.fail(6);
    scene.assert_told_once(OUTAGE);
}

#[test]
fn a_single_process_reads_the_variables_again_when_it_reloads() {
    let scene = start(&Setup { single_process: true, ..SETUP() }, |_| {});
    for reloads in 1..=2 {
        scene.nginx.signal(Signal::HUP);
        // Where one is unset, an [emerg] comes in its place.
        let reloaded = || scene.nginx.log_lines("using the \"epoll\" event method").len() == 1 + reloads;
        wait::until("a reload", LIMIT, reloaded);
    }
}

#[test]
fn a_reload_without_a_file_that_it_needs_is_refused_and_nginx_goes_on_as_before() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("hook");
    let sink = tests::sink::Sink::start();
    fs::write(&file, sink.url()).unwrap();
    let notify = format!("alert_notify slack file:{};", file.display());
    let mut scene = Scene::start(&Setup { notify: &notify, ..Setup::default() });
    scene.sink = sink;
    fs::remove_file(&file).unwrap();
    let workers = scene.nginx.workers();
    let sentence =
        "which gives the target, cannot be used: No such file or directory in \"alert_notify\" directive in ";
    scene.nginx.expect_in_log(sentence);
    scene.nginx.signal(Signal::HUP);
    wait::until("the error", LIMIT, || scene.nginx.log_lines(sentence).len() == 1);
    assert_eq!(scene.nginx.workers(), workers);
    scene.fail(6);
    scene.assert_told_once(OUTAGE);
}

#[test]
fn a_maintenance_file_that_workers_cannot_see_is_a_warning() {
    let directory = tempfile::tempdir().unwrap();
    let path = |below: &str| directory.path().join(below).display().to_string();
    fs::create_dir(path("closed")).unwrap();
    fs::set_permissions(path("closed"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for (user, file, warns) in [
        ("nobody nogroup", path("closed/flag"), true),
        ("nobody nogroup", path("flag"), false),
        ("nobody nogroup", path("missing/flag"), false),
        ("root", path("closed/flag"), false),
    ] {
        let http = format!("alert_monitor app {{\nmaintenance file={file};\n}}");
        let check = Check::run(&Config { user, ..Config::new(&http) });
        assert!(check.good, "{}", check.output);
        let sentence = format!(
            "nginx: [warn] the file \"{file}\" of \"maintenance\" has no effect, user \"nobody\", as which workers run, \
             cannot see it: Permission denied in "
        );
        let line = check.output.lines().find(|line| line.contains("\"maintenance\""));
        assert_eq!(line.is_some(), warns, "{user}, {file}: {}", check.output);
        let place = check.place_of("maintenance");
        assert!(line.is_none_or(|line| line.starts_with(&sentence) && line.ends_with(&place)), "{}", check.output);
    }
}

#[test]
fn a_state_on_a_read_only_file_system_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().display().to_string();
    let mount = format!("mount -t tmpfs -o ro none {root} && exec \"$@\"");
    for (state, sentence) in [
        (format!("{root}/state"), format!("\"{root}\": Read-only file system")),
        (format!("{root}/alert/state"), format!("\"{root}/alert\" cannot be made: Read-only file system")),
    ] {
        let mut config = Config::new(&format!("alert_monitor app {{ }}\nalert_state {state};"));
        config.wrapper = ["unshare", "--mount", "sh", "-c", &mount, "sh"].map(String::from).into();
        let check = Check::run(&config);
        let expected = format!("nginx: [emerg] \"alert_state\" cannot be used, {sentence} in ");
        let line = check.output.lines().find(|line| line.starts_with(&expected));
        assert!(
            !check.good && line.is_some_and(|line| line.ends_with(&check.place_of("alert_state"))),
            "{}",
            check.output
        );
    }
}

#[test]
fn a_pool_to_which_no_request_can_go_is_a_warning() {
    let upstreams = "upstream app {\nserver 127.0.0.1:8081;\nserver unix:/run/app.sock backup;\n}";
    for (pool, warned) in [
        ("pool blue 127.0.0.1:8081;", None),
        ("pool blue localhost:8081 127.0.0.1:8082;", None),
        ("pool blue unix:/run/app.sock;", None),
        ("pool blue 127.0.0.1:8083;", None),
        ("pool blue 127.0.0.1:8082;", Some("127.0.0.1:8082")),
        ("pool blue 127.0.0.1;", Some("127.0.0.1:80")),
    ] {
        let http = format!(
            "alert_monitor app {{\n{pool}\n}}\n{upstreams}
             server {{ listen 127.0.0.1:1; alert app; location / {{ proxy_pass http://app; }}
             location /other {{ fastcgi_pass 127.0.0.1:8083; }} }}"
        );
        let check = Check::run(&Config::new(&http));
        let line = check.output.lines().find(|line| line.contains("[warn]")).map(str::to_owned);
        let expected = warned.map(|address| {
            format!("nginx: [warn] no server of any \"upstream\" has an address of pool \"blue\" ({address}) in ")
        });
        assert!(check.good && line.is_some() == expected.is_some(), "{pool}: {}", check.output);
        let (line, expected) = (line.unwrap_or_default(), expected.unwrap_or_default());
        assert!(line.starts_with(&expected) && (line.is_empty() || line.ends_with(&check.place_of(pool))), "{line}");
    }
}

#[test]
fn a_large_zone_takes_memory_only_where_it_is_used() {
    let http = "alert_monitor app { }\nalert_zone zone=alert:64m;";
    let nginx = Nginx::start(Config::new(http));
    let status = fs::read_to_string(format!("/proc/{}/status", nginx.master())).unwrap();
    let shared = status.lines().find_map(|line| line.strip_prefix("RssShmem:")?.strip_suffix("kB")).unwrap();
    // nginx itself keeps a table of the pages in it.
    assert!(shared.trim().parse::<u64>().unwrap() < 2048, "{shared} kB of the zone are in use");
}
