//! Endurance: a million requests and a thousand alerts, then many reloads. Nothing is lost or doubled, and what nginx
//! holds at the end is what it held when it was warm.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tests::client::Client;
use tests::http::Reply;
use tests::nginx::{Config, Nginx};
use tests::process::{self, Footprint};
use tests::server::Answer;
use tests::sink::Sink;
use tests::{address, wait};

/// Requests of the load, of which the first part warms nginx up.
const WARM_UP: u64 = 160_000;
const REQUESTS: u64 = 840_000;
/// In a round each of these monitors has an outage and its end: two alerts. The warm-up has more than the board keeps, so
/// that the pages are as long as they get.
const MONITORS: usize = 10;
const WARM_UP_ROUNDS: usize = 8;
const ROUNDS: usize = 42;
/// The window of these monitors: its first error fires, and as many good answers later that is over.
const WINDOW: usize = 10;

/// What memory may vary by: a process comes to rest in steps of half a megabyte, after more requests than warm it up. That
/// is a byte a request, where the smallest allocation takes 32.
const SLACK_KIB: u64 = 1024;
const LIMIT: Duration = Duration::from_secs(20);
/// Far slower than any machine that can run the other tests.
const LOAD_LIMIT: Duration = Duration::from_secs(600);

/// nginx with the module before an nginx that stands for both pools.
struct Soak {
    nginx: Nginx,
    _upstream: Nginx,
    sink: Sink,
    client: Client,
    listen: SocketAddr,
}

impl Soak {
    fn start() -> Soak {
        let (blue, green, listen) = (address::free(), address::free(), address::free());
        let sink = Sink::start();
        // A connection that is kept would be a descriptor more in the one worker or the other.
        sink.set(Answer::Reply(Reply::new(200, "ok").header("Connection", "close")));
        let servers: String = [blue, green]
            .iter()
            .map(|listen| {
                format!("server {{ listen {listen}; location / {{ return 200 ok; }} location ~ /broken$ {{ return 500; }} }}")
            })
            .collect();
        let kept_alive = "keepalive_requests 10000000;";
        let upstream =
            Config { with_module: false, listen: Some(green), ..Config::new(&format!("{kept_alive} {servers}")) };
        let monitors: String = (0..MONITORS)
            .map(|number| {
                format!(
                    "alert_monitor app{number} {{
                        pool blue {blue}; pool green {green};
                        window {WINDOW}; cooldown 0s; failover off; retry_rate off;
                    }}"
                )
            })
            .collect();
        let locations: String = (0..MONITORS)
            .map(|number| format!("location /app{number}/ {{ alert app{number}; proxy_pass http://app; }}"))
            .collect();
        let http = format!(
            "alert_notify webhook {};
             alert_state own/state;
             alert_monitor load {{ pool blue {blue}; pool green {green}; }}
             {monitors}
             {kept_alive}
             upstream app {{ server {blue}; server {green} backup; keepalive 32; keepalive_requests 10000000; keepalive_timeout 1s; }}
             proxy_http_version 1.1;
             proxy_set_header Connection \"\";
             proxy_next_upstream error timeout;
             server {{
                 listen {listen} reuseport;
                 location / {{ alert load; proxy_pass http://app; }}
                 {locations}
                 location /alert {{ alert_status; }}
             }}",
            sink.url()
        );
        let upstream = Nginx::start(upstream);
        let nginx = Nginx::start(Config { workers: 2, listen: Some(listen), ..Config::new(&http) });
        Soak { nginx, _upstream: upstream, sink, client: Client::new(listen), listen }
    }

    /// Both at once: so many requests, and over their time so many rounds of outages.
    fn run(&self, requests: u64, rounds: usize) {
        let counted_before = self.counted("load");
        let told_before = self.sink.posts().len();
        let mut load = self.load(requests);
        for round in 0..rounds {
            let due = requests * round as u64 / rounds as u64;
            wait::until("the load to go on", LOAD_LIMIT, || self.counted("load") >= counted_before + due);
            let told = told_before + round * 2 * MONITORS;
            self.every_app(1, "broken", 500);
            self.sink.wait_for(told + MONITORS, LIMIT);
            self.every_app(WINDOW, "", 200);
            self.sink.wait_for(told + 2 * MONITORS, LIMIT);
            // Often enough that each worker makes a page.
            self.client.get_many(4, "/alert");
            self.client.get_many(4, "/alert/status.json");
        }
        wait::until("the end of the load", LOAD_LIMIT, || load.try_wait().is_ok_and(|ended| ended.is_some()));
        let output = load.wait_with_output().expect("ab has ended");
        let report = String::from_utf8_lossy(&output.stdout);
        let figure = |name: &str| {
            let line = report.lines().find_map(|line| line.strip_prefix(name));
            line.map(|figure| figure.trim().to_owned())
        };
        assert_eq!(figure("Complete requests:"), Some(requests.to_string()), "{report}");
        assert_eq!((figure("Failed requests:"), figure("Non-2xx responses:")), (Some("0".into()), None), "{report}");
    }

    fn load(&self, requests: u64) -> Child {
        let mut command = Command::new("ab");
        command.args(["-q", "-k", "-c", "32", "-n", &requests.to_string(), &format!("http://{}/", self.listen)]);
        let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        started.unwrap_or_else(|error| panic!("ab (apache2-utils): {error}"))
    }

    fn every_app(&self, count: usize, target: &str, status: u16) {
        for number in 0..MONITORS {
            let answers = self.client.get_many(count, &format!("/app{number}/{target}"));
            assert_eq!(answers, vec![status; count]);
        }
    }

    /// The sum of the samples of a metric that have this in their labels.
    fn metric(&self, name: &str, label: &str) -> u64 {
        let text = self.client.get("/alert/metrics").text();
        let samples = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
        samples.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
    }

    fn counted(&self, monitor: &str) -> u64 {
        self.metric("nginx_alert_requests_total{", &format!("monitor=\"{monitor}\""))
    }

    /// What each process holds once no connection is open any more, the master first.
    fn holdings(&self, descriptors: &[usize]) -> Vec<Footprint> {
        wait::until("the end of all connections", LIMIT, || self.descriptors() == descriptors);
        self.processes().into_iter().map(process::footprint).collect()
    }

    fn descriptors(&self) -> Vec<usize> {
        self.processes().into_iter().map(|pid| process::footprint(pid).descriptors).collect()
    }

    fn processes(&self) -> Vec<u32> {
        let mut workers = self.nginx.workers();
        workers.sort_unstable();
        [self.nginx.master()].into_iter().chain(workers).collect()
    }
}

#[track_caller]
fn assert_flat(before: &[Footprint], after: &[Footprint]) {
    let flat = |(before, after): (&Footprint, &Footprint)| {
        after.threads == before.threads && after.resident <= before.resident + SLACK_KIB
    };
    assert!(before.len() == after.len() && before.iter().zip(after).all(flat), "{before:#?} became {after:#?}");
}

#[test]
fn a_million_requests_and_a_thousand_alerts_leave_nothing_behind() {
    let soak = Soak::start();
    let idle = soak.descriptors();
    soak.run(WARM_UP, WARM_UP_ROUNDS);
    let warm = soak.holdings(&idle);
    soak.run(REQUESTS, ROUNDS);
    assert_flat(&warm, &soak.holdings(&idle));

    let rounds = WARM_UP_ROUNDS + ROUNDS;
    let posts = soak.sink.posts();
    let of_all = rounds * 2 * MONITORS;
    assert_eq!(posts.len(), of_all);
    for number in 0..MONITORS {
        let monitor = format!("app{number}");
        let told: Vec<_> = posts.iter().filter(|post| post.body["monitor"] == *monitor).collect();
        let statuses: Vec<_> = told.iter().filter_map(|post| post.body["status"].as_str()).collect();
        assert_eq!(statuses, ["firing", "resolved"].repeat(rounds), "{monitor}");
        assert_eq!(soak.counted(&monitor), (rounds * (1 + WINDOW)) as u64);
    }
    let ids: BTreeSet<_> = posts.iter().filter_map(|post| post.body["id"].as_u64()).collect();
    assert_eq!(ids.len(), of_all, "an alert was told twice");
    assert_eq!(soak.metric("nginx_alert_deliveries_total{", "result=\"sent\""), of_all as u64);
    assert_eq!(soak.counted("load") + soak.metric("nginx_alert_events_dropped_total", ""), WARM_UP + REQUESTS);
}

#[test]
fn a_hundred_reloads_leave_nothing_behind() {
    let soak = Soak::start();
    let idle = soak.descriptors();
    let reload = |times: usize| {
        for _ in 0..times {
            soak.every_app(1, "broken", 500);
            soak.every_app(WINDOW, "", 200);
            let old = soak.nginx.workers();
            soak.nginx.reload();
            wait::until("the end of the old workers", LIMIT, || old.iter().all(|pid| !process::is_alive(*pid)));
        }
        soak.holdings(&idle)
    };
    let warm = reload(10);
    assert_flat(&warm, &reload(90));
}
