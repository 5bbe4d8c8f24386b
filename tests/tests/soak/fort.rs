//! One nginx under attack, with its upstreams, its sinks and what is known of it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, RwLock};

use serde_json::Value;
use tests::address;
use tests::client::Client;
use tests::http::Request;
use tests::nginx::{Config, Nginx};
use tests::server::lock;

use crate::dice::Dice;
use crate::sinks::Sinks;
use crate::table::Table;
use crate::upstreams;
use crate::wild::Wild;
use tests::clock::Clock;

/// The window of the monitors that have incidents: its first error fires, and as many good answers later that is over.
pub const WINDOW: usize = 10;

/// How a fort is attacked besides what all are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// None of its processes is touched: every figure is exact, and what it holds does not grow.
    Steady,
    /// Workers and masters are killed, reloaded and replaced.
    Besieged,
}

/// A running one.
pub struct Fort {
    /// How it is attacked.
    pub kind: Kind,
    /// What it is called in the table.
    pub name: &'static str,
    /// nginx with the module.
    pub nginx: Mutex<Nginx>,
    /// Its users.
    pub client: Client,
    /// Where it listens.
    pub address: SocketAddr,
    /// Where its alerts go.
    pub sinks: Sinks,
    /// The monitors that have incidents.
    pub troubled: Vec<String>,
    /// How many boards there were. It is odd while one takes over from another.
    pub epoch: Arc<AtomicU64>,
    /// Held by whoever takes a step of an incident, and taken whole by who replaces the board.
    pub gate: RwLock<()>,
    /// Set for the time in which whoever answers may be killed.
    pub in_storm: AtomicBool,
    _healthy: Nginx,
    _hostile: [Wild; 2],
}

impl Fort {
    /// Starts everything.
    pub fn start(kind: Kind, clock: &Clock, mut dice: Dice, table: &Arc<Table>) -> Fort {
        let (name, workers, troubled) = match kind {
            Kind::Steady => ("steady", 2, 3),
            Kind::Besieged => ("besieged", 3, 4),
        };
        let epoch = Arc::new(AtomicU64::new(0));
        let sinks = Sinks::start(&mut dice, table, &epoch);
        let hostile = [(); 2].map(|()| upstreams::start(dice.split(), table));
        let (healthy, listen) = (address::free(), address::free());
        let troubled: Vec<String> = (0..troubled).map(|number| format!("app{number}")).collect();
        let http = http(kind, &sinks, &troubled, healthy, &hostile, listen);
        let healthy = Nginx::start(Config {
            with_module: false,
            listen: Some(healthy),
            ..Config::new(&format!(
                "server {{ listen {healthy}; location / {{ return 200 ok; }} location ~ /broken$ {{ return 500; }} }}"
            ))
        });
        let mut env = clock.environment();
        if kind == Kind::Steady {
            // Else glibc gives threads up to eight heaps a processor, which take half an hour to fill up: with one, a leak
            // shows at once.
            env.push(("MALLOC_ARENA_MAX".into(), "1".into()));
        }
        let nginx = Nginx::start(Config {
            workers,
            daemon: true,
            listen: Some(listen),
            log_level: "notice",
            main: Clock::directives(),
            env,
            ..Config::new(&http)
        });
        Fort {
            kind,
            name,
            nginx: Mutex::new(nginx),
            client: Client::new(listen),
            address: listen,
            sinks,
            troubled,
            epoch,
            gate: RwLock::default(),
            in_storm: AtomicBool::new(false),
            _healthy: healthy,
            _hostile: hostile,
        }
    }

    /// The status JSON, where it is answered.
    pub fn status(&self) -> Option<Value> {
        let reply = self.client.try_send(&Request::new("GET", "/alert/status.json")).ok()?;
        if reply.status != 200 {
            return None;
        }
        serde_json::from_slice(&reply.body).ok()
    }

    /// The sum of the samples of a metric that have this in their labels, where it is answered.
    pub fn metric(&self, name: &str, label: &str) -> Option<u64> {
        let text = self.client.try_send(&Request::new("GET", "/alert/metrics")).ok()?.text();
        let samples = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
        let values: Vec<u64> = samples.filter_map(|line| line.rsplit_once(' ')?.1.parse().ok()).collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// How many requests of a monitor were counted.
    pub fn counted(&self, monitor: &str) -> Option<u64> {
        self.metric("nginx_alert_requests_total{", &format!("monitor=\"{monitor}\""))
    }

    /// The workers, and the master behind them.
    pub fn processes(&self) -> Vec<u32> {
        let nginx = lock(&self.nginx);
        nginx.workers().into_iter().chain([nginx.master()]).collect()
    }

    /// Whether an answer may fail to come.
    pub fn may_stay_silent(&self) -> bool {
        self.kind == Kind::Besieged && self.in_storm.load(Relaxed)
    }
}

fn http(
    kind: Kind,
    sinks: &Sinks,
    troubled: &[String],
    healthy: SocketAddr,
    hostile: &[Wild; 2],
    listen: SocketAddr,
) -> String {
    let [first, second] = hostile.each_ref().map(Wild::address);
    let monitors: String = troubled
        .iter()
        .map(|name| {
            format!(
                "alert_monitor {name} {{
                    pool blue {healthy}; window {WINDOW}; cooldown 0s;
                    failover off; retry_rate off; abandon_rate off; outage off;
                }}
                "
            )
        })
        .collect();
    let locations: String =
        troubled.iter().map(|name| format!("location /{name}/ {{ alert {name}; proxy_pass http://app; }}\n")).collect();
    // A socket for each worker spreads requests over them, and takes those that wait with it when it is killed.
    let reuseport = if kind == Kind::Steady { " reuseport" } else { "" };
    let notify = sinks.directives();
    format!(
        "alert_state own/state;
         {notify}
         alert_monitor good {{ pool blue {healthy}; }}
         alert_monitor exact {{ pool blue {healthy}; }}
         {monitors}
         alert_monitor noise {{
             pool a {first}; pool b {second}; active a; window 50 max_age=10s; cooldown 5s; latency p95 500ms;
         }}
         alert_monitor names {{ window 50 max_age=10s; cooldown 10s; }}
         upstream app {{ server {healthy}; }}
         upstream wild {{ server {first} max_fails=0; server {second} backup max_fails=0; }}
         proxy_connect_timeout 1s;
         proxy_read_timeout 1s;
         proxy_next_upstream error timeout invalid_header http_500 http_502 http_503 http_504;
         client_header_timeout 3s;
         client_body_timeout 3s;
         send_timeout 3s;
         gzip on;
         gzip_types application/json text/plain;
         server {{
             listen {listen}{reuseport};
             location /good {{ alert good; proxy_pass http://app; }}
             location /exact {{ alert exact; proxy_pass http://app; }}
             {locations}
             location /noise {{ alert noise; proxy_pass http://wild; add_header X-Alert \"$alert_serving_pool/$alert_state\"; }}
             location /names {{ alert names; proxy_pass http://wild; }}
             location /alert {{ alert_status; }}
             location /control {{ alert_control; }}
         }}"
    )
}
