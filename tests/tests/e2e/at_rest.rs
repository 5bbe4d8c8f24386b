//! What a worker costs that has nothing to do: one clock that wakes it, and no thread but the one that keeps it.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use tests::http::Request;
use tests::process::{self, Thread};
use tests::scene::{ASSIGNED_FIRST, Scene, Setup};

/// By then the last requests are saved, alerts are delivered or wait for long, and probes know every address.
const SETTLED: Duration = Duration::from_secs(15);
const SPAN: Duration = Duration::from_secs(30);
/// Wake-ups of a worker, a second.
const WAKE_UPS_MAX: f64 = 1.0;
/// A thread that is there for a moment is seen, and so is nearly all that it does.
const LOOK: Duration = Duration::from_millis(20);

const STATE: &str = "alert_state own/state;";
const SINKS: &str = "alert_notify slack {sink}; alert_notify teams {sink}; alert_notify discord {sink};
    alert_notify webhook {sink}; alert_notify alertmanager {sink};";
const ROUTED: &str = "proxy_pass http://$first;";
const CONTROL: &str = "location /control/ { alert_control; }";

/// A worker, and its threads at the first look and at the last one of each.
struct Watched {
    pid: u32,
    first: BTreeMap<u32, Thread>,
    last: BTreeMap<u32, Thread>,
}

impl Watched {
    fn new(pid: u32) -> Watched {
        let first = process::sleeps(pid);
        Watched { pid, last: first.clone(), first }
    }

    fn look(&mut self) {
        self.last.extend(process::sleeps(self.pid));
    }

    fn wake_ups(&self) -> u64 {
        let before = |id: &u32| self.first.get(id).map_or(0, |thread| thread.sleeps);
        self.last.iter().map(|(id, thread)| thread.sleeps - before(id)).sum()
    }

    /// The names of those that are there all the time.
    fn lasting(&self) -> Vec<&str> {
        let now = process::sleeps(self.pid);
        let lasting = self.first.iter().filter(|(id, _)| now.contains_key(id));
        lasting.map(|(_, thread)| thread.name.as_str()).collect()
    }
}

#[test]
fn a_worker_at_rest_is_woken_at_most_once_a_second_and_has_no_thread_without_work() {
    let http = &format!("{STATE} {ASSIGNED_FIRST}");
    let everything = Setup {
        http,
        notify: SINKS,
        pools: "pool blue {blue}; pool green {green} localhost:1;",
        rules: "active blue; probe /healthz; rollout 5% 25% 50%; rollback on;",
        server: CONTROL,
        location: ROUTED,
        ..Setup::default()
    };
    let saves = || Setup { http: STATE, ..Setup::default() };
    type Prepare = fn(&Scene);
    let states: [(&str, Setup, Prepare); 9] = [
        ("the defaults", Setup { workers: 4, ..Setup::default() }, |_| ()),
        ("a state", saves(), |_| ()),
        ("everything", Setup { workers: 1, ..everything.clone() }, |_| ()),
        ("everything, many workers", Setup { workers: 32, ..everything }, |_| ()),
        ("an alert that is told again", Setup { notify: "alert_notify alertmanager {sink};", ..saves() }, |scene| {
            scene.fail(20);
        }),
        ("an alert that nobody takes", Setup { notify: SINKS, ..saves() }, |scene| {
            scene.sink.go_away();
            scene.fail(20);
        }),
        ("maintenance", Setup { rules: "maintenance file=/etc/hostname;", ..saves() }, |scene| scene.fail(20)),
        ("failed over", Setup { rules: "active blue;", ..saves() }, |scene| {
            scene.blue.set_status(500);
            scene.client.get_many(20, "/");
        }),
        (
            "a share set by hand",
            Setup { http, rules: "active blue; rollout 5%;", server: CONTROL, location: ROUTED, ..Setup::default() },
            |scene| {
                let share = "/control/share?monitor=app&pool=green&percent=5";
                assert_eq!(scene.client.send(&Request::new("POST", share)).status, 200);
            },
        ),
    ];
    let scenes = states.map(|(name, setup, prepare)| {
        let scene = Scene::start(&setup);
        scene.client.get_many(20, "/");
        prepare(&scene);
        (name, scene)
    });
    thread::sleep(SETTLED);
    let begun = Instant::now();
    let mut watched: Vec<(&str, Watched)> = Vec::new();
    for (name, scene) in &scenes {
        watched.extend(scene.nginx.workers().into_iter().map(|pid| (*name, Watched::new(pid))));
    }
    while begun.elapsed() < SPAN {
        thread::sleep(LOOK);
        watched.iter_mut().for_each(|(_, worker)| worker.look());
    }
    let seconds = begun.elapsed().as_secs_f64();
    for (name, worker) in &watched {
        let threads: Vec<_> = worker.last.values().map(|thread| (&thread.name, thread.sleeps)).collect();
        let wake_ups = worker.wake_ups() as f64 / seconds;
        assert!(wake_ups <= WAKE_UPS_MAX, "{name}: {wake_ups:.2} a second, threads and their sleeps: {threads:?}");
        assert_eq!(worker.lasting(), ["nginx", "alert-detector"], "{name}: {threads:?}");
    }
}
