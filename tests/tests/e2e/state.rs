//! What `alert_state` keeps across a full restart, and that a bad file or directory is told and harms nobody.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tests::http::Reply;
use tests::nginx::{Check, Config};
use tests::process::Signal;
use tests::scene::{Scene, Setup};
use tests::server::Answer;
use tests::sink::SECRET;
use tests::wait;

const FAILOVER: &str = ":rotating_light: Failover detected — pool changed from blue → green";
const RECOVERED: &str = ":white_check_mark: Recovered — pool is back from green → blue";
/// What a restart may take until what was undelivered is delivered.
const RESUMED: Duration = Duration::from_secs(10);
/// It is saved every three seconds.
const SAVED: Duration = Duration::from_secs(8);

const SETUP: fn() -> Setup<'static> = || Setup { workers: 2, http: "alert_state own/state;", ..Setup::default() };

fn file(scene: &Scene, name: &str) -> PathBuf {
    scene.nginx.directory().join("own").join(name)
}

fn restart(scene: &mut Scene, signal: Signal) {
    scene.nginx.stop(signal);
    scene.nginx.start_again();
}

#[test]
fn a_restart_keeps_the_window_the_failover_and_who_was_told() {
    for signal in [Signal::TERM, Signal::QUIT] {
        let mut scene = Scene::start(&SETUP());
        scene.client.get_many(10, "/");
        scene.wait_filled(10);
        scene.blue.set_status(500);
        scene.client.get_many(5, "/");
        scene.assert_told(&[FAILOVER]);
        restart(&mut scene, signal);
        let monitor = scene.wait_filled(15);
        assert_eq!((&monitor["state"], &monitor["serving_pool"]), (&"failed_over".into(), &"green".into()));
        assert_eq!(monitor["pools"]["blue"]["failed_attempts"], 5);
        assert_eq!(scene.status()["alerts"][0]["delivery"]["slack"], "sent");
        scene.client.get_many(5, "/");
        scene.wait_filled(20);
        scene.assert_told(&[FAILOVER]);
        scene.blue.set_status(200);
        for _ in 0..12 {
            scene.client.get("/");
            std::thread::sleep(Duration::from_millis(200));
        }
        scene.assert_told(&[FAILOVER, RECOVERED]);
    }
}

#[test]
fn a_restart_delivers_what_was_undelivered() {
    let mut scene = Scene::start(&SETUP());
    scene.client.get_many(10, "/");
    scene.sink.go_away();
    scene.blue.set_status(500);
    scene.client.get_many(5, "/");
    scene.wait_filled(15);
    scene.nginx.stop(Signal::TERM);
    scene.sink.come_back();
    let started = Instant::now();
    scene.nginx.start_again();
    scene.sink.wait_for(1, RESUMED);
    println!("delivered {:?} after the start", started.elapsed());
    scene.assert_told(&[FAILOVER]);
}

#[test]
fn a_pause_that_the_sink_asked_for_does_not_outlive_a_restart() {
    let mut scene = Scene::start(&SETUP());
    scene.client.get_many(10, "/");
    scene.sink.queue(Answer::Reply(Reply::new(429, "").header("Retry-After", "600")), 1);
    scene.blue.set_status(500);
    scene.client.get_many(5, "/");
    scene.sink.wait_for(1, RESUMED);
    wait::until("the answer", RESUMED, || scene.status()["sinks"]["slack"]["retried"] == 1);
    restart(&mut scene, Signal::QUIT);
    let posts = scene.sink.wait_for(2, RESUMED);
    assert_eq!(posts[1].headline(), FAILOVER);
}

#[test]
fn a_single_process_keeps_its_state_too() {
    let mut scene = Scene::start(&Setup { workers: 1, single_process: true, ..SETUP() });
    scene.client.get_many(10, "/");
    scene.wait_filled(10);
    restart(&mut scene, Signal::TERM);
    scene.wait_filled(10);
}

#[test]
fn a_hung_sink_loses_no_alert_at_a_restart_and_delays_no_stop() {
    let mut scene = Scene::start(&SETUP());
    scene.client.get_many(10, "/");
    scene.sink.set(Answer::Hang);
    scene.blue.set_status(500);
    scene.client.get_many(5, "/");
    scene.sink.wait_for(1, Duration::from_secs(5));
    let took = scene.nginx.stop(Signal::TERM);
    assert!(took < Duration::from_millis(1500), "{took:?}");
    let tried = scene.sink.posts().len();
    scene.sink.set(Answer::Reply(Reply::new(200, "ok")));
    scene.nginx.start_again();
    let posts = scene.sink.wait_for(tried + 1, RESUMED);
    assert_eq!(posts[tried].headline(), FAILOVER);
    scene.sink.assert_quiet_for(Duration::from_millis(300));
}

#[test]
fn workers_killed_before_the_end_lose_at_most_seconds() {
    let mut scene = Scene::start(&SETUP());
    scene.client.get_many(10, "/");
    scene.blue.set_status(500);
    scene.client.get_many(5, "/");
    scene.assert_told(&[FAILOVER]);
    scene.wait_saved("own/state");
    // The last save has the alert as sent, whatever becomes of the workers.
    for pid in scene.nginx.workers() {
        scene.nginx.kill_worker(pid);
    }
    restart(&mut scene, Signal::TERM);
    scene.wait_filled(15);
    scene.assert_told(&[FAILOVER]);
}

#[test]
fn workers_of_another_user_save_and_nobody_else_can_read_it() {
    let mut scene = Scene::start_with(&SETUP(), |config| config.user = "www-data");
    scene.client.get_many(10, "/");
    scene.wait_filled(10);
    restart(&mut scene, Signal::QUIT);
    scene.wait_filled(10);
    let (directory, state) = (file(&scene, ""), file(&scene, "state"));
    let found = fs::metadata(&directory).unwrap();
    assert_eq!(found.permissions().mode() & 0o777, 0o700);
    assert_ne!(found.uid(), 0, "it belongs to the workers");
    let found = fs::metadata(&state).unwrap();
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
    assert_ne!(found.uid(), 0);
    let bytes = fs::read(&state).unwrap();
    assert!(!bytes.windows(SECRET.len()).any(|part| part == SECRET.as_bytes()), "the secret is in the state");
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "drafts are left behind");
}

#[test]
fn an_idle_nginx_does_not_save_again_and_again() {
    let scene = Scene::start(&SETUP());
    scene.client.get_many(10, "/");
    wait::until("a save", SAVED, || file(&scene, "state").exists());
    std::thread::sleep(Duration::from_secs(4));
    let modified = || fs::metadata(file(&scene, "state")).unwrap().modified().unwrap();
    let before = modified();
    std::thread::sleep(Duration::from_secs(7));
    assert_eq!(modified(), before);
}

#[test]
fn what_is_no_reason_to_save_is_saved_at_the_end() {
    let mut scene = Scene::start(&SETUP());
    scene.sink.go_away();
    scene.fail(5);
    let retried = |scene: &Scene| scene.status()["sinks"]["slack"]["retried"].as_u64().unwrap_or(0);
    wait::until("retries", SAVED, || retried(&scene) == 1);
    scene.wait_saved("own/state");
    let saved = fs::metadata(file(&scene, "state")).unwrap().modified().unwrap();
    wait::until("more of them", SAVED, || retried(&scene) >= 3);
    assert_eq!(fs::metadata(file(&scene, "state")).unwrap().modified().unwrap(), saved);
    let before = retried(&scene);
    scene.nginx.stop(Signal::TERM);
    scene.sink.come_back();
    scene.nginx.start_again();
    assert!(retried(&scene) >= before, "{before} are no more");
}

#[test]
fn a_worker_that_drains_keeps_nobody_from_saving() {
    let location = "proxy_pass http://app; proxy_read_timeout 30s;";
    let scene = Scene::start(&Setup { workers: 1, location, ..SETUP() });
    wait::until("a save", SAVED, || file(&scene, "state").exists());
    scene.blue.queue(Answer::Late(Duration::from_secs(15), Reply::new(200, "")), 1);
    std::thread::scope(|scope| {
        scope.spawn(|| scene.client.get("/"));
        wait::until("the long request", SAVED, || scene.blue.requests() == 1);
        let old = scene.nginx.workers();
        scene.nginx.reload();
        let modified = || fs::metadata(file(&scene, "state")).unwrap().modified().unwrap();
        for _ in 0..2 {
            let before = modified();
            scene.client.get_many(3, "/");
            wait::until("a save", Duration::from_secs(5), || modified() != before);
        }
        assert!(old.iter().all(|pid| tests::process::is_alive(*pid)), "it does not drain");
    });
}

#[test]
fn what_cannot_be_used_is_set_aside_with_one_warning() {
    for bad in ["", "user www-data;\n", "(cut off)"] {
        let mut scene = Scene::start(&SETUP());
        scene.client.get_many(3, "/");
        scene.wait_filled(3);
        scene.nginx.stop(Signal::QUIT);
        let good = fs::read(file(&scene, "state")).unwrap();
        // The last one is a state that was cut off.
        let bad = if bad == "(cut off)" { &good[..good.len() / 2] } else { bad.as_bytes() };
        fs::write(file(&scene, "state"), bad).unwrap();
        scene.nginx.start_again();
        assert_eq!(scene.client.get("/").status, 200);
        scene.wait_filled(1);
        // While it starts, nginx says everything to standard error too.
        let lines: Vec<_> = scene.nginx.log_lines("set aside");
        let lines: Vec<_> = lines.iter().filter(|line| !line.starts_with("nginx: ")).collect();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("[warn]") && lines[0].contains("is not loaded, it is"), "{}", lines[0]);
        assert_eq!(fs::read(file(&scene, "state.unusable")).unwrap(), bad);
        scene.nginx.reload();
        restart(&mut scene, Signal::TERM);
        scene.wait_filled(1);
        assert_eq!(scene.nginx.log_lines("set aside").len(), 2, "{}", scene.nginx.log());
    }
}

#[test]
fn what_is_no_state_file_is_one_warning_and_keeps_nobody_waiting() {
    let mut scene = Scene::start(&SETUP());
    let state = file(&scene, "state");
    type Put = fn(&Path);
    let kinds: [(Put, &str); 4] = [
        (|at| fs::File::create(at).and_then(|file| file.set_len(4 << 30)).unwrap(), "it is larger than"),
        (|at| mknodat(CWD, at, FileType::Fifo, Mode::RWXU, 0).unwrap(), "it is not a regular file"),
        (|at| std::os::unix::fs::symlink("/dev/zero", at).unwrap(), "it is not a regular file"),
        (|at| std::os::unix::fs::symlink("/etc/hostname", at).unwrap(), "it is not a regular file"),
    ];
    for (at, (put, cause)) in kinds.into_iter().enumerate() {
        scene.nginx.stop(Signal::QUIT);
        let _ = fs::remove_file(&state);
        put(&state);
        let begun = Instant::now();
        scene.nginx.start_again();
        assert!(begun.elapsed() < Duration::from_secs(5), "{cause}: {:?}", begun.elapsed());
        assert_eq!(scene.client.get("/").status, 200);
        let lines = scene.nginx.log_lines("cannot read the state");
        let lines: Vec<_> = lines.iter().filter(|line| !line.starts_with("nginx: ")).collect();
        assert_eq!(lines.len(), at + 1, "{lines:?}");
        assert!(lines[at].contains("[warn]") && lines[at].contains(cause), "{}", lines[at]);
    }
}

#[test]
fn a_directory_of_the_workers_can_not_lead_the_master_elsewhere() {
    let victim = tempfile::tempdir().unwrap();
    let http = "alert_state theirs/link/own/state; alert_monitor app { } server { alert app; }";
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("theirs")).unwrap();
    std::os::unix::fs::symlink(victim.path(), directory.path().join("theirs/link")).unwrap();
    std::os::unix::fs::lchown(directory.path().join("theirs/link"), Some(12_345), None).unwrap();
    let http = http.replace("theirs", &directory.path().join("theirs").display().to_string());
    let check = Check::of_start(&Config { user: "www-data", ..Config::new(&http) });
    assert!(!check.good && check.output.contains("\"link\" in it is a link of another user"), "{}", check.output);
    assert_eq!(fs::read_dir(victim.path()).unwrap().count(), 0, "root made a directory where a worker wanted it");
}

#[test]
fn a_reload_takes_nothing_from_the_file() {
    let mut scene = Scene::start(&SETUP());
    scene.client.get_many(3, "/");
    wait::until("a save", SAVED, || file(&scene, "state").exists());
    fs::write(file(&scene, "state"), "not a state").unwrap();
    scene.nginx.reload();
    scene.reload_with(&SETUP());
    scene.wait_filled(3);
    assert!(scene.nginx.log_lines("set aside").is_empty(), "{}", scene.nginx.log());
}

#[test]
fn a_test_of_the_configuration_changes_nothing() {
    let check = Check::run(&Config::new("alert_state own/state; alert_monitor app { } server { alert app; }"));
    assert!(check.good, "{}", check.output);
    assert!(!check.files.iter().any(|name| name == "own"), "{:?}", check.files);
}

#[test]
fn a_path_that_cannot_work_is_told_with_its_line() {
    let watched = "alert_monitor app { } server { alert app; }";
    for (directive, user, cause) in [
        ("alert_state;", "root", "write \"alert_state PATH;\""),
        ("alert_state a b;", "root", "write \"alert_state PATH;\""),
        ("alert_state own/;", "root", "invalid value \"own/\" in \"alert_state\" directive"),
        ("alert_state a; alert_state b;", "root", "\"alert_state\" directive is duplicate"),
        ("alert_state /nonexistent/a/state;", "root", "there is no directory \"/nonexistent\""),
        ("alert_state /etc/passwd/state;", "root", "\"/etc/passwd\" is not a directory"),
        ("alert_state /etc;", "root", "\"/etc\" is a directory, name a file in it"),
        (
            "alert_state /etc/alert-state;",
            "www-data",
            "user \"www-data\", as which workers run, cannot write to \"/etc\"",
        ),
    ] {
        let check = Check::run(&Config { user, ..Config::new(&format!("{directive}\n{watched}")) });
        assert!(!check.good, "{directive}");
        assert!(check.output.contains("[emerg]") && check.output.contains(cause), "{directive}: {}", check.output);
        assert!(check.output.contains(&check.place_of(directive)), "{directive}: {}", check.output);
    }
}
