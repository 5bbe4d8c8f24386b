//! A real Alertmanager with a configuration, a directory and an address of its own, alone or as one of a pair.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::address;
use crate::client::Client;
use crate::http::Request;
use crate::process::{self, Signal, TIED};
use crate::wait;

const START_LIMIT: Duration = Duration::from_secs(20);

/// It notifies nobody, and alerts of one name and monitor are one group: the tests ask it what it knows.
const SILENT: &str = "route: { receiver: nobody, group_by: [alertname, monitor] }\nreceivers: [{ name: nobody }]\n";

/// A running Alertmanager.
pub struct Alertmanager {
    child: Child,
    address: SocketAddr,
    /// Where it listens for others, and where the first of them does. Alone it has neither.
    cluster: Option<(SocketAddr, SocketAddr)>,
    url: String,
    directory: TempDir,
}

impl Alertmanager {
    /// Starts it and waits until it takes alerts. It notifies nobody. Alerts of one name and monitor are one group.
    pub fn start() -> Self {
        Self::start_with(SILENT, &[])
    }

    /// Starts it with this configuration and, beside it, the files that it names.
    pub fn start_with(configuration: &str, files: &[(&str, &str)]) -> Self {
        Self::start_one(configuration, files, None)
    }

    /// Starts two that know each other, and waits until they do.
    pub fn start_pair(configuration: &str, files: &[(&str, &str)]) -> [Self; 2] {
        let [first, second] = [address::free(), address::free()];
        let pair = [first, second].map(|own| Self::start_one(configuration, files, Some((own, first))));
        for one in &pair {
            wait::until("two Alertmanagers that know each other", START_LIMIT, || one.peers() == 2);
        }
        pair
    }

    fn start_one(configuration: &str, files: &[(&str, &str)], cluster: Option<(SocketAddr, SocketAddr)>) -> Self {
        let directory = tempfile::Builder::new().prefix("nginx-alert-test-").tempdir();
        let directory = directory.expect("a temporary directory can be made");
        for (name, text) in files.iter().chain([&("alertmanager.yml", configuration)]) {
            fs::write(directory.path().join(name), text).expect("the test's directory is writable");
        }
        let address = address::free();
        let child = spawn(directory.path(), address, cluster);
        let started = Self { child, address, cluster, url: format!("http://{address}"), directory };
        started.wait_until_it_works();
        started
    }

    /// Stops it, as a service is stopped, and starts it again. It remembers whom it notified, and no alert.
    pub fn restart(&mut self) {
        self.restart_after(Duration::ZERO);
    }

    /// As [`Alertmanager::restart`], with nobody there for a while.
    pub fn restart_after(&mut self, pause: Duration) {
        self.stop();
        thread::sleep(pause);
        self.child = spawn(self.directory.path(), self.address, self.cluster);
        self.wait_until_it_works();
    }

    fn stop(&mut self) {
        process::signal(self.child.id(), Signal::TERM);
        let _ = self.child.wait();
    }

    fn wait_until_it_works(&self) {
        let is_ready = || {
            let ready = Client::new(self.address).try_send(&Request::new("GET", "/-/ready"));
            ready.is_ok_and(|reply| reply.status == 200).then_some(())
        };
        if wait::find(START_LIMIT, is_ready).is_none() {
            let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
            panic!("prometheus-alertmanager (Debian's package of that name) does not start:\n{log}");
        }
    }

    /// Its base URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The alerts that it holds for firing.
    #[track_caller]
    pub fn firing(&self) -> Vec<Value> {
        self.list("/api/v2/alerts?active=true")
    }

    /// Its groups of such alerts.
    #[track_caller]
    pub fn groups(&self) -> Vec<Value> {
        self.list("/api/v2/alerts/groups?active=true")
    }

    /// How many it knows, itself among them.
    fn peers(&self) -> usize {
        let reply = Client::new(self.address).get("/api/v2/status");
        let status: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        status["cluster"]["peers"].as_array().map_or(0, Vec::len)
    }

    #[track_caller]
    fn list(&self, target: &str) -> Vec<Value> {
        let reply = Client::new(self.address).get(target);
        assert_eq!(reply.status, 200, "{}", reply.text());
        match serde_json::from_slice(&reply.body) {
            Ok(Value::Array(list)) => list,
            other => panic!("{other:?}: {}", reply.text()),
        }
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(directory: &Path, address: SocketAddr, cluster: Option<(SocketAddr, SocketAddr)>) -> Child {
    let log = File::options().create(true).append(true).open(directory.join("log"));
    let log = log.expect("the test's directory is writable");
    let mut command = Command::new(TIED[0]);
    command
        .args(&TIED[1..])
        .arg("prometheus-alertmanager")
        .arg(format!("--config.file={}", directory.join("alertmanager.yml").display()))
        .arg(format!("--storage.path={}", directory.join("data").display()))
        .arg(format!("--web.listen-address={address}"));
    match cluster {
        // Without a cluster: it would listen on all addresses.
        None => command.arg("--cluster.listen-address="),
        Some((own, first)) => command
            .arg(format!("--cluster.listen-address={own}"))
            .arg(format!("--cluster.advertise-address={own}"))
            .arg(format!("--cluster.peer={first}"))
            .args(["--cluster.settle-timeout=2s", "--cluster.gossip-interval=50ms"]),
    };
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a file can be shared"))
        .stderr(log)
        .spawn()
        .expect("setpriv is part of every Debian")
}
