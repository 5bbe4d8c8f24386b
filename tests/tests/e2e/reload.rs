//! Reloads: what they keep, what they must not leak, and that the module comes and goes with one.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::{Duration, Instant};

use tests::client::Client;
use tests::http::Reply;
use tests::load::Load;
use tests::nginx::{Config, Nginx};
use tests::process::{self, Footprint, Signal};
use tests::scene::{Scene, Setup};
use tests::server::Answer;
use tests::upstream::Upstream;
use tests::{address, nginx, wait};

const LIMIT: Duration = Duration::from_secs(5);
/// How many errors it names depends on how many came at once.
const OUTAGE: &str = ":warning: High upstream 5xx rate — 100.00% 5xx over last ";

/// What comes and goes in the storm: a monitor whose window has another size each time, and up to two more. The zone keeps
/// its size: what old workers still count in a zone whose place another took is no part of its state.
fn passing_monitors(round: usize) -> String {
    let more: String =
        (0..round % 3).map(|at| format!("alert_monitor extra{} {{ window 50; }} ", (round + at) % 5)).collect();
    format!(
        "alert_zone zone=alert:4m; alert_monitor changing {{ window {}; error_rate off; }} alert_monitor broken {{ failover off; outage off; }} {more}",
        100 + round % 7
    )
}

/// Reloads and waits for the end of the workers before; how long all of that took.
fn time_to_replace(nginx: &Nginx) -> Duration {
    let (old, start) = (nginx.workers(), Instant::now());
    nginx.reload();
    process::wait_gone(&old);
    start.elapsed()
}

/// What master and workers hold while nothing is under way.
fn footprints(nginx: &Nginx) -> Vec<Footprint> {
    wait::until("the end of workers that drain", LIMIT, || process::children(nginx.master()) == nginx.workers());
    [vec![nginx.master()], nginx.workers()].concat().into_iter().map(process::footprint).collect()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[test]
fn a_hundred_reloads_under_load_lose_nothing_leak_nothing_and_double_nothing() {
    let slow = Upstream::start("slow", "v1");
    slow.set(Answer::Late(Duration::from_millis(150), Reply::new(200, "late")));
    let server = format!(
        "location /slow {{ alert changing; proxy_pass http://{}; }}
         location /broken {{ alert broken; proxy_pass http://{{green}}; }}",
        slow.address()
    );
    let setup = Setup { workers: 2, server: &server, upstream: "server {blue};", ..Setup::default() };
    let mut scene = Scene::start(&Setup { http: &passing_monitors(0), ..setup.clone() });
    scene.green.set_status(500);
    // The same without the module, to compare with.
    let listen = address::free();
    let http =
        format!("server {{ listen {listen} reuseport; location / {{ proxy_pass http://{}; }} }}", slow.address());
    let plain = Nginx::start(Config { workers: 2, with_module: false, listen: Some(listen), ..Config::new(&http) });

    let (mut answered, mut broken) = (0, 0);
    let (mut with_module, mut without) = (Vec::new(), Vec::new());
    let mut held = Vec::new();
    for rounds in [1..11, 11..101] {
        let load = Load::start(scene.client, &["/", "/", "/broken", "/slow", "/slow"]);
        let load_of_plain = Load::start(Client::new(listen), &["/", "/"]);
        for round in rounds {
            if round % 10 == 0 {
                thread::scope(|scope| {
                    let other = scope.spawn(|| time_to_replace(&plain));
                    with_module.push(time_to_replace(&scene.nginx));
                    without.push(other.join().expect("nginx without the module reloads"));
                });
            } else {
                scene.reload_with(&Setup { http: &passing_monitors(round), ..setup.clone() });
            }
        }
        let tallies = load.stop();
        answered += tallies[0].all(200) + tallies[1].all(200);
        broken += tallies[2].all(500);
        tallies[3..].iter().chain(&load_of_plain.stop()).for_each(|tally| assert!(tally.all(200) > 0));
        held.push(footprints(&scene.nginx));
    }

    let monitor = scene.wait_answered(answered);
    assert_eq!((&monitor["window"]["filled"], &monitor["window"]["failed"]), (&200.into(), &0.into()));
    let status = scene.status();
    assert_eq!(status["monitors"]["broken"]["pools"]["green"]["failed_attempts"], broken, "{status:#}");
    assert!(scene.client.get("/alert/metrics").text().contains("\nnginx_alert_events_dropped_total 0\n"));
    scene.assert_told_once(OUTAGE);

    println!("replaced in {:?}, without the module in {:?}", median(with_module.clone()), median(without.clone()));
    assert!(median(with_module) < median(without) + Duration::from_millis(300));
    for (early, late) in held[0].iter().zip(&held[1]) {
        println!("after 10 reloads {early:?}, after 100 {late:?}");
        assert_eq!((early.threads, early.descriptors), (late.threads, late.descriptors));
        assert!(late.mappings <= early.mappings + 2, "{early:?} {late:?}");
        assert!(late.resident <= early.resident + 1024, "{early:?} {late:?}");
    }
}

#[test]
fn a_refused_reload_leaves_the_configuration_in_force_judging() {
    let taken = TcpListener::bind((address::free().ip(), 0)).unwrap();
    let taken = format!("server {{ listen {}; }}", taken.local_addr().unwrap());
    for (http, complaint) in [
        ("no_such_directive on;", "unknown directive \"no_such_directive\""),
        ("alert_zone zone=alert:100k; alert_monitor wide { window 100000; }", "is too small"),
        ("alert_monitor app { }", "duplicate monitor"),
        (&taken, "still could not bind()"),
    ] {
        let mut scene = Scene::start(&Setup { workers: 2, ..Setup::default() });
        scene.client.get_many(3, "/");
        scene.wait_filled(3);
        let workers = scene.nginx.workers();
        scene.rewrite(&Setup { workers: 2, rules: "window 10;", http, ..Setup::default() });
        scene.nginx.expect_in_log("[emerg]");
        scene.nginx.signal(Signal::HUP);
        wait::until(complaint, LIMIT, || !scene.nginx.log_lines(complaint).is_empty());
        scene.fail(5);
        let window = scene.wait_filled(8)["window"].take();
        assert_eq!((&window["size"], &window["failed"]), (&200.into(), &5.into()));
        scene.assert_told(&[
            ":warning: High upstream 5xx rate — 62.50% 5xx over last 8 requests (5 errors). Threshold: 2%",
        ]);
        assert_eq!(scene.nginx.workers(), workers);
    }
}

#[test]
fn the_module_goes_with_one_reload_and_comes_back_with_another() {
    let server = "location /elsewhere { return 204; }";
    let setup = Setup { workers: 2, http: "alert_state own/state;", server, ..Setup::default() };
    let mut scene = Scene::start(&setup);
    let shared = |scene: &Scene| process::footprint(scene.nginx.master()).mappings;
    scene.client.get_many(10, "/");
    scene.wait_filled(10);
    let mappings = shared(&scene);
    let load = Load::start(scene.client, &["/elsewhere", "/elsewhere"]);
    let without = format!("server {{ listen {} reuseport; return 204; }}", scene.address());
    for round in 0..3 {
        let old = scene.nginx.workers();
        scene.nginx.rewrite(|config| config.with_module = false);
        scene.nginx.reload_with(&without);
        process::wait_gone(&old);
        assert!(scene.nginx.workers().iter().all(|pid| process::threads(*pid) == 1));
        assert!(shared(&scene) < mappings, "the zone is still there");
        scene.nginx.rewrite(|config| config.with_module = true);
        scene.reload_with(&setup);
        // What was counted before is in the file.
        scene.wait_filled(10 + round);
        scene.client.get("/");
        scene.wait_filled(11 + round);
    }
    load.stop()
        .iter()
        .for_each(|tally| assert!(!tally.answered.contains_key(&500) && tally.unanswered.is_empty(), "{tally:?}"));
    scene.assert_told(&[]);
}

/// Waits until only the threads of the module that now is in force are left, so many at most.
fn wait_for_threads(nginx: &Nginx, old: &[u32], count: usize) {
    process::wait_gone(old);
    wait::until("the end of the threads", LIMIT, || {
        let workers = nginx.workers();
        let serving = if workers.is_empty() { vec![nginx.master()] } else { workers };
        serving.iter().all(|pid| process::threads(*pid) <= count)
    });
}

#[test]
fn a_reload_that_drops_the_module_leaves_no_thread_of_it() {
    for workers in [1, 2] {
        let mut scene = Scene::start(&Setup { workers, single_process: workers == 1, ..Setup::default() });
        scene.client.get_many(3, "/");
        scene.wait_filled(3);
        let old = scene.nginx.workers();
        scene.nginx.rewrite(|config| {
            config.with_module = false;
            config.http = Some(String::new());
        });
        scene.nginx.signal(Signal::HUP);
        wait_for_threads(&scene.nginx, &old, 1);
        assert!(scene.nginx.stop(Signal::TERM) < Duration::from_secs(1));
    }
}

#[test]
fn a_reload_with_another_build_of_the_module_goes_on_with_the_state() {
    for workers in [1, 2] {
        // Of another path: the linker takes what it has loaded from one path for what is there now.
        let copies = tempfile::tempdir().unwrap();
        let load = |name: &str| {
            let path = copies.path().join(name);
            fs::copy(nginx::module(), &path).unwrap();
            format!("load_module {};\n", path.display())
        };
        let http = "alert_state own/state;";
        let setup = Setup { workers, single_process: workers == 1, http, ..Setup::default() };
        let mut scene = Scene::start_with(&setup, |config| {
            config.with_module = false;
            config.main = load("one.so");
        });
        scene.client.get_many(3, "/");
        scene.wait_filled(3);
        scene.wait_saved("own/state");
        scene.nginx.rewrite(|config| config.main = load("other.so"));
        let old = scene.nginx.workers();
        scene.nginx.signal(Signal::HUP);
        // A single process keeps its state in memory of its own, where another build does not look.
        let state = if workers > 1 { "the state of the zone before is taken over" } else { "is loaded from" };
        wait::until("the state", LIMIT, || scene.nginx.log_lines(state).len() == 1);
        // The detector and nginx itself.
        wait_for_threads(&scene.nginx, &old, 2);
        if workers > 1 {
            // Without a master nginx itself answers no request after a reload.
            scene.wait_filled(3);
        }
        assert!(scene.nginx.stop(Signal::TERM) < Duration::from_secs(2));
    }
}

#[test]
fn a_zone_whose_size_a_reload_changes_goes_on_with_what_it_held() {
    let setup = |zone: &'static str, rules: &'static str| Setup { workers: 2, http: zone, rules, ..Setup::default() };
    let mut scene = Scene::start(&setup("alert_zone zone=alert:1m;", ""));
    scene.client.get_many(3, "/");
    scene.fail(6);
    scene.wait_filled(9);
    scene.assert_told_once(":warning: High upstream 5xx rate — ");
    for zone in ["alert_zone zone=alert:4m;", "alert_zone zone=alert;"] {
        let old = scene.nginx.workers();
        scene.reload_with(&setup(zone, ""));
        process::wait_gone(&old);
        assert_eq!(scene.wait_filled(9)["window"]["failed"], 6, "{zone}");
    }
    scene.assert_told_once(":warning: High upstream 5xx rate — ");
    // The zone without a size grows with what is in it.
    scene.reload_with(&setup("alert_zone zone=alert;", "window 900000;"));
    assert_eq!(scene.monitor()["window"]["size"], 900_000);
    assert_eq!(scene.nginx.log_lines("the state of the zone before is taken over").len(), 2);
}

/// Overwrites this many bytes of the board from its head on, through the memory of a worker that shares it.
fn overwrite_board(worker: u32, bytes: usize) {
    let maps = fs::read_to_string(format!("/proc/{worker}/maps")).unwrap();
    let memory = fs::File::options().read(true).write(true).open(format!("/proc/{worker}/mem")).unwrap();
    let head = u64::from_be_bytes(*b"alertbrd").to_ne_bytes();
    let ranges = maps.lines().filter(|line| line.contains(" rw-s ")).filter_map(|line| line.split(' ').next());
    for range in ranges {
        let (from, to) = range.split_once('-').unwrap();
        let [from, to] = [from, to].map(|end| u64::from_str_radix(end, 16).unwrap());
        let mut content = vec![0; (to - from) as usize];
        memory.read_exact_at(&mut content, from).unwrap();
        if let Some(at) = content.chunks_exact(8).position(|word| word == head) {
            return memory.write_all_at(&vec![0xff; bytes], from + at as u64 * 8).unwrap();
        }
    }
    panic!("no board in {maps}");
}

#[test]
fn a_board_whose_head_was_overwritten_begins_anew_with_one_warning() {
    let scene = Scene::start(&Setup { workers: 2, ..Setup::default() });
    scene.client.get_many(20, "/");
    scene.wait_filled(20);
    for (round, bytes) in [8, 16, 4096].into_iter().enumerate() {
        overwrite_board(scene.nginx.workers()[0], bytes);
        time_to_replace(&scene.nginx);
        assert_eq!(scene.nginx.log_lines("the head of the zone was overwritten").len(), round + 1);
        scene.client.get_many(5, "/");
        scene.wait_filled(5);
    }
    scene.fail(6);
    scene.sink.wait_for(1, LIMIT);
    assert!(scene.sink.headlines()[0].contains("High upstream 5xx rate"), "{:?}", scene.sink.headlines());
}
