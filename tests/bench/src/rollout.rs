//! A picture of two rollouts as they really went: a good release takes over, and a broken one loses its share.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

use tests::http::Request;
use tests::scene::{ASSIGNED_FIRST, Scene, Setup};
use tests::sink::Post;
use tests::wait;

/// The word that asks for it.
pub const COMMAND: &str = "draw-rollout";
const LIMIT: Duration = Duration::from_secs(90);
const THREADS: u64 = 4;
const PER_SECOND: u64 = 100;
const CLIENTS: u64 = 3000;

const SETUP: Setup = Setup {
    workers: 4,
    single_process: false,
    reuseport: true,
    http: ASSIGNED_FIRST,
    notify: "alert_notify slack {sink};",
    pools: "pool blue {blue}; pool green {green};",
    rules: "active blue; split_by $http_x_client; probe /healthz interval=500ms;
            rollout 5% 25% 50% every=10s requests=50;",
    upstream: "server {blue};",
    server: "location /control/ { alert_control; } add_header X-Assigned $alert_pool always;
             add_header X-Statuses $upstream_status always;",
    location: "proxy_pass http://$first;",
};

/// What a second of traffic was like.
#[derive(Default)]
struct Second {
    requests: AtomicU64,
    /// Of clients that were assigned to green.
    of_green: AtomicU64,
    /// Whose first attempt failed.
    failed_first: AtomicU64,
    /// Whose client got the failure.
    failed: AtomicU64,
}

impl Second {
    fn count(&self, scene: &Scene, client: u64) {
        let request = Request::new("GET", "/").header("X-Client", &format!("client-{client}"));
        let reply = scene.client.send(&request);
        let first = reply.get("X-Statuses").and_then(|statuses| statuses.split(',').next()).unwrap_or_default();
        for (count, is_so) in [
            (&self.requests, true),
            (&self.of_green, reply.get("X-Assigned") == Some("green")),
            (&self.failed_first, first.starts_with('5')),
            (&self.failed, reply.status >= 500),
        ] {
            count.fetch_add(u64::from(is_so), Ordering::Relaxed);
        }
    }
}

/// Lets both rollouts happen, and writes their picture.
pub fn draw() {
    let scene = Scene::start(&SETUP);
    let seconds: Vec<Second> = (0..2 * LIMIT.as_secs()).map(|_| Second::default()).collect();
    let (begun, over) = (Instant::now(), AtomicBool::new(false));
    let taken = thread::scope(|scope| {
        for thread in 0..THREADS {
            let (scene, seconds, over) = (&scene, &seconds, &over);
            scope.spawn(move || {
                for number in (thread..).step_by(THREADS as usize).take_while(|_| !over.load(Ordering::Relaxed)) {
                    let due = Duration::from_micros(number * 1_000_000 / PER_SECOND);
                    thread::sleep(due.saturating_sub(begun.elapsed()));
                    // Far apart, so that no clients in a row are alike.
                    seconds[due.as_secs() as usize].count(scene, number * 1009 % CLIENTS);
                }
            });
        }
        story(&scene);
        over.store(true, Ordering::Relaxed);
        begun.elapsed()
    });
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("rollout.svg");
    let seconds = &seconds[..taken.as_secs() as usize];
    fs::write(&place, svg(seconds, &scene.sink.posts(), begun)).expect("tests/bench is writable");
    eprintln!("wrote {}", place.display());
}

fn story(scene: &Scene) {
    let roll_out = |pool: &str, outcome: &str| {
        let target = format!("/control/rollout?monitor=app&pool={pool}");
        assert_eq!(scene.client.send(&Request::new("POST", &target)).status, 202, "{pool}");
        wait::until("its end", LIMIT, || {
            let rollout = scene.monitor()["rollout"].take();
            rollout["phase"] == "idle" && rollout["last"]["outcome"] == outcome
        });
    };
    thread::sleep(Duration::from_secs(4));
    roll_out("green", "done");
    thread::sleep(Duration::from_secs(3));
    scene.blue.set_headers(&[("X-App-Pool", "blue"), ("X-Release-Id", "v3")]);
    scene.blue.set_status(500);
    // Its probes pass, and have to tell the new release first.
    wait::until("the release", LIMIT, || {
        let probes = scene.monitor()["probes"]["blue"].take();
        probes[scene.blue.address().to_string()]["release"] == "v3"
    });
    roll_out("blue", "aborted");
    thread::sleep(Duration::from_secs(5));
}

const WIDTH: f64 = 840.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 820.0;
/// The panel of the shares, and below it that of the failures.
const TOP: f64 = 76.0;
const SHARES: f64 = 150.0;
const FAILURES: f64 = 40.0;
const GAP: f64 = 44.0;

const STYLE: &str = "
text { font: 14px system-ui, sans-serif; fill: #1f2328; }
rect { shape-rendering: crispEdges; }
.title { font-weight: 600; }
.tick { font-size: 11px; fill: #656d76; }
.end { text-anchor: end; } .middle { text-anchor: middle; }
.blue { fill: #2f6fde; } .green { fill: #23986a; } .failed { fill: #c4262e; }
.mark { stroke: #1f2328; stroke-dasharray: 2 3; } .in { fill: #fff; font-weight: 600; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; } .tick { fill: #9198a1; } .mark { stroke: #e6edf3; } .in { fill: #fff; }
}
";

fn svg(seconds: &[Second], posts: &[Post], begun: Instant) -> String {
    let x = |at: f64| LEFT + (RIGHT - LEFT) * at / seconds.len() as f64;
    let height = TOP + SHARES + GAP + FAILURES + 34.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         role=\"img\">\n<style>{STYLE}</style>\n\
         <text class=\"title\" x=\"12\" y=\"24\">Clients of each pool, second by second: {PER_SECOND} requests/s, a step at \
         least 10 s</text>\n"
    );
    let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let (bottom, floor) = (TOP + SHARES, TOP + SHARES + GAP + FAILURES);
    let most = seconds.iter().map(|second| get(&second.failed_first)).max().unwrap_or_default().max(1);
    for (at, second) in seconds.iter().enumerate() {
        let (from, width) = (x(at as f64), x(1.0) - x(0.0) + 0.3);
        let green = SHARES * get(&second.of_green) as f64 / get(&second.requests).max(1) as f64;
        let mut rect = |class: &str, top: f64, height: f64| {
            if height > 0.0 {
                let _ = writeln!(
                    svg,
                    "<rect class=\"{class}\" x=\"{from:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>"
                );
            }
        };
        rect("blue", TOP, SHARES - green);
        rect("green", bottom - green, green);
        let failed = FAILURES * get(&second.failed_first) as f64 / most as f64;
        rect("failed", floor - failed, failed);
    }
    for (level, text) in [(0.0, "100 %"), (0.5, "50 %"), (0.75, "25 %"), (1.0, "0")] {
        let y = TOP + SHARES * level + 4.0;
        let _ = writeln!(svg, "<text class=\"tick end\" x=\"{:.1}\" y=\"{y:.1}\">{text}</text>", LEFT - 8.0);
    }
    for (row, post) in posts.iter().enumerate() {
        let at = post.arrived.saturating_duration_since(begun).as_secs_f64();
        let headline = post.headline().split_once(": ").map_or(post.headline(), |(_, sentence)| sentence).to_owned();
        // "Rollout begun — green (v2)", without what follows.
        let words = headline.split_inclusive(')').next().unwrap_or_default();
        let (x, y) = (x(at), TOP - 10.0 - 16.0 * (row % 2) as f64);
        let _ = writeln!(svg, "<path class=\"mark\" d=\"M{x:.1} {:.1}V{bottom:.1}\"/>", y + 3.0);
        let anchor = if x > WIDTH / 2.0 { "end" } else { "middle" };
        let _ = writeln!(svg, "<text class=\"tick {anchor}\" x=\"{x:.1}\" y=\"{y:.1}\">{at:.0} s: {words}</text>");
    }
    let users: u64 = seconds.iter().map(|second| get(&second.failed)).sum();
    let tried: u64 = seconds.iter().map(|second| get(&second.failed_first)).sum();
    let _ = writeln!(
        svg,
        "<text class=\"in\" x=\"{:.1}\" y=\"{:.1}\">blue</text><text class=\"in\" x=\"{:.1}\" y=\"{:.1}\">green</text>\n\
         <text class=\"title\" x=\"12\" y=\"{:.1}\">First attempts that failed: {tried}, at most {most} a second; users saw \
         {users} failures</text>",
        LEFT + 10.0,
        TOP + 24.0,
        x(seconds.len() as f64 * 0.62),
        bottom - 14.0,
        bottom + GAP - 12.0,
    );
    svg + "</svg>\n"
}
