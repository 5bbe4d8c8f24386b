//! The usual arrangement: nginx, a blue and a green upstream, a sink, a client, and one monitor named `app`.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use crate::address;
use crate::client::Client;
use crate::http::Request;
use crate::nginx::{Config, Nginx};
use crate::sink::Sink;
use crate::upstream::Upstream;
use crate::wait;

/// The detector works in milliseconds; this is for a machine under load.
const COUNT_LIMIT: Duration = Duration::from_secs(5);

/// The state is saved every three seconds if something changed.
const SAVED: Duration = Duration::from_secs(5);

/// Decided alerts arrive within milliseconds, so after this a message that should not come did not come.
const QUIET: Duration = Duration::from_millis(300);

/// For the http level: `$first` is the upstream of the pool that a request is assigned to, with the other pool as its backup.
/// No server rests after a failure, so that every request is tried where it is assigned.
pub const ASSIGNED_FIRST: &str = "
    map $alert_pool $first { green green_first; default blue_first; }
    upstream blue_first { server {blue} max_fails=0; server {green} backup max_fails=0; }
    upstream green_first { server {green} max_fails=0; server {blue} backup max_fails=0; }";

/// The parts of the configuration in which tests differ.
///
/// `{blue}`, `{green}`, `{sink}` and `{listen}` stand for the addresses, which are known only once all run.
#[derive(Clone, Debug)]
pub struct Setup<'a> {
    /// `worker_processes`.
    pub workers: usize,
    /// `master_process off`.
    pub single_process: bool,
    /// Whether each worker has a socket of its own, over which the kernel spreads connections. Without, one worker may
    /// take nearly all.
    pub reuseport: bool,
    /// Directives at http level, besides the monitor.
    pub http: &'a str,
    /// Where alerts go.
    pub notify: &'a str,
    /// The pools of the monitor.
    pub pools: &'a str,
    /// The other directives of the monitor.
    pub rules: &'a str,
    /// The servers of `upstream app`.
    pub upstream: &'a str,
    /// What stands in `server {}` besides the two locations.
    pub server: &'a str,
    /// What stands in `location / {}`.
    pub location: &'a str,
}

impl Default for Setup<'_> {
    /// Green is blue's backup, and blue is asked first every time.
    fn default() -> Self {
        Self {
            workers: 1,
            single_process: false,
            reuseport: true,
            http: "",
            notify: "alert_notify slack {sink};",
            pools: "pool blue {blue}; pool green {green};",
            rules: "",
            upstream: "server {blue} max_fails=0; server {green} backup max_fails=0;",
            server: "",
            location: "proxy_pass http://app;",
        }
    }
}

impl Setup<'_> {
    /// What stands in `http {}`, with the placeholders still in it.
    pub fn http(&self) -> String {
        let Setup { http, notify, pools, rules, upstream, server, location, .. } = self;
        let reuseport = if self.reuseport && !self.single_process { " reuseport" } else { "" };
        format!(
            "{notify}
             alert_monitor app {{ {pools} {rules} }}
             {http}
             upstream app {{ {upstream} }}
             proxy_connect_timeout 1s;
             proxy_read_timeout 1s;
             proxy_next_upstream error timeout invalid_header http_500 http_502 http_503 http_504;
             server {{
                 listen {{listen}}{reuseport};
                 alert app;
                 {server}
                 location / {{ {location} }}
                 location /alert {{ alert_status; }}
             }}"
        )
    }
}

/// Everything running. Fields are dropped in this order: nginx must go first.
pub struct Scene {
    /// nginx with the module.
    pub nginx: Nginx,
    /// The pool that serves first.
    pub blue: Upstream,
    /// The other pool.
    pub green: Upstream,
    /// Where alerts arrive.
    pub sink: Sink,
    /// The users.
    pub client: Client,
    listen: SocketAddr,
}

impl Scene {
    /// Starts everything.
    pub fn start(setup: &Setup) -> Self {
        Self::start_with(setup, |_| {})
    }

    /// Starts everything, with an nginx that differs from the usual one in what no [`Setup`] says.
    pub fn start_with(setup: &Setup, adjust: impl FnOnce(&mut Config)) -> Self {
        let (blue, green) = (Upstream::start("blue", "v1"), Upstream::start("green", "v2"));
        let (sink, listen) = (Sink::start(), address::free());
        let http = fill(&setup.http(), &blue, &green, &sink, listen);
        let mut config = Config {
            workers: setup.workers,
            single_process: setup.single_process,
            listen: Some(listen),
            ..Config::new(&http)
        };
        adjust(&mut config);
        let nginx = Nginx::start(config);
        Self { nginx, blue, green, sink, client: Client::new(listen), listen }
    }

    /// Reloads nginx with another setup of the same servers.
    #[track_caller]
    pub fn reload_with(&mut self, setup: &Setup) {
        self.rewrite(setup);
        self.nginx.reload();
    }

    /// Changes the configuration file to another setup of the same servers, and nothing that runs.
    pub fn rewrite(&mut self, setup: &Setup) {
        let http = fill(&setup.http(), &self.blue, &self.green, &self.sink, self.listen);
        self.nginx.rewrite(|config| config.http = Some(http));
    }

    /// Lets both pools fail from now on, and sends this many requests.
    pub fn fail(&self, requests: usize) {
        [&self.blue, &self.green].into_iter().for_each(|pool| pool.set_status(500));
        self.client.get_many(requests, "/");
    }

    /// Waits until this file holds the state of now, or of later.
    #[track_caller]
    pub fn wait_saved(&self, file: &str) {
        let file = self.nginx.directory().join(file);
        let saved = || fs::metadata(&file).and_then(|found| found.modified()).ok();
        let before = saved();
        // Where it is not written for so long, nothing has changed since the last time.
        wait::find(SAVED, || (saved() > before).then_some(()));
        assert!(file.exists(), "the state is not saved");
    }

    /// Where nginx listens.
    pub fn address(&self) -> SocketAddr {
        self.listen
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.listen)
    }

    /// The status JSON.
    #[track_caller]
    pub fn status(&self) -> Value {
        let reply = self.client.send(&Request::new("GET", "/alert/status.json"));
        assert_eq!(reply.status, 200, "{}", reply.text());
        serde_json::from_slice(&reply.body).unwrap_or_else(|error| panic!("{error}: {}", reply.text()))
    }

    /// The monitor's part of the status.
    #[track_caller]
    pub fn monitor(&self) -> Value {
        self.status()["monitors"]["app"].take()
    }

    /// Waits until the window holds this many requests: nginx answers before the detector has counted.
    #[track_caller]
    pub fn wait_filled(&self, requests: u64) -> Value {
        let mut monitor = Value::Null;
        let filled = wait::find(COUNT_LIMIT, || {
            monitor = self.monitor();
            (monitor["window"]["filled"] == requests).then_some(())
        });
        assert!(filled.is_some(), "the window does not fill to {requests}: {monitor:#}");
        monitor
    }

    /// Waits until the pools have answered this many requests without failing, also beyond the size of the window.
    #[track_caller]
    pub fn wait_answered(&self, requests: u64) -> Value {
        let mut monitor = Value::Null;
        let answered = wait::find(COUNT_LIMIT, || {
            monitor = self.monitor();
            let pools = monitor["pools"].as_object()?;
            let sum: u64 = pools.values().filter_map(|pool| pool["answered"].as_u64()).sum();
            (sum == requests).then_some(())
        });
        assert!(answered.is_some(), "the pools do not get to {requests} answers: {monitor:#}");
        monitor
    }

    /// One request of the status per pass, until every running worker has counted at least one event.
    #[track_caller]
    pub fn assert_all_workers_took_part(&self) {
        let pids = self.nginx.workers();
        wait::until("events of every worker", COUNT_LIMIT, || {
            let status = self.status();
            let workers = status["workers"].as_array().cloned().unwrap_or_default();
            let busy =
                |pid: &u32| workers.iter().any(|worker| worker["pid"] == *pid && worker["events"].as_u64() > Some(0));
            pids.iter().all(busy)
        });
    }

    /// Fails the test unless one message that begins like this has come, and no more follow.
    #[track_caller]
    pub fn assert_told_once(&self, beginning: &str) {
        self.sink.wait_for(1, COUNT_LIMIT);
        self.sink.assert_quiet_for(QUIET);
        let told = self.sink.headlines();
        assert!(told.len() == 1 && told[0].starts_with(beginning), "{told:?}");
    }

    /// Fails the test unless exactly these first lines have come, and no more follow.
    #[track_caller]
    pub fn assert_told(&self, headlines: &[&str]) {
        self.sink.wait_for(headlines.len(), COUNT_LIMIT);
        self.sink.assert_quiet_for(QUIET);
        assert_eq!(self.sink.headlines(), headlines);
    }
}

fn fill(text: &str, blue: &Upstream, green: &Upstream, sink: &Sink, listen: SocketAddr) -> String {
    text.replace("{blue}", &blue.address().to_string())
        .replace("{green}", &green.address().to_string())
        .replace("{sink}", &sink.url())
        .replace("{listen}", &listen.to_string())
}
