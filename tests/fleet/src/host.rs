//! A host of the fleet: a real nginx under a name of its own, its blue and its green pool, and its users.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tests::address;
use tests::http::Reply;
use tests::nginx::{Config, Nginx};
use tests::process::{Signal, TIED};
use tests::server::{Answer, Server};

use crate::users::{POISON, Users};

/// What the host's pools do.
#[derive(Default)]
struct Faults {
    blue: AtomicBool,
    green: AtomicBool,
    poison: AtomicBool,
}

/// A running host. Fields are dropped in this order: users go first, then nginx, then what it asks.
pub struct Host {
    /// What it calls itself.
    pub name: String,
    /// Where nginx listens.
    pub address: SocketAddr,
    _users: Users,
    nginx: Nginx,
    faults: Arc<Faults>,
    _pools: [Server; 2],
}

impl Host {
    /// Starts a host that tells its alerts to this Alertmanager. A user asks it once in `pause`.
    pub fn start(name: &str, alertmanager: &str, pause: Duration) -> Host {
        let faults = Arc::new(Faults::default());
        let pools = [pool("blue", &faults), pool("green", &faults)];
        let address = address::free();
        let [blue, green] = [pools[0].address(), pools[1].address()];
        let mut config = Config::new(&format!(
            "alert_instance {name};
             alert_notify alertmanager {alertmanager};
             alert_monitor shop {{ pool blue {blue}; pool green {green}; active blue; cooldown 0s; }}
             upstream shop {{ server {blue} max_fails=0; server {green} backup max_fails=0; keepalive 2; }}
             proxy_http_version 1.1;
             proxy_set_header Connection \"\";
             proxy_next_upstream error timeout http_500;
             keepalive_requests 1000000;
             server {{
                 listen {address};
                 alert shop;
                 location / {{ proxy_pass http://shop; }}
                 location /alert {{ alert_status; }}
             }}"
        ));
        config.listen = Some(address);
        config.log_level = "notice";
        config.wrapper = TIED.map(String::from).to_vec();
        let nginx = Nginx::start(config);
        let users = Users::start(address, pause);
        Host { name: name.into(), address, _users: users, nginx, faults, _pools: pools }
    }

    /// Lets the pool that serves answer 500 from now on, or work again.
    pub fn break_blue(&self, broken: bool) {
        self.faults.blue.store(broken, Ordering::Release);
    }

    /// Lets both pools answer 500 from now on, or work again.
    pub fn break_both(&self, broken: bool) {
        self.faults.green.store(broken, Ordering::Release);
        self.break_blue(broken);
    }

    /// Lets one request of 200 fail in both pools from now on, or none.
    pub fn poison(&self, on: bool) {
        self.faults.poison.store(on, Ordering::Release);
    }

    /// Stops nginx. Its users go on asking.
    pub fn go_silent(&mut self) {
        self.nginx.stop(Signal::TERM);
    }

    /// Starts nginx again.
    pub fn come_back(&mut self) {
        self.nginx.start_again();
    }
}

fn pool(name: &'static str, faults: &Arc<Faults>) -> Server {
    let faults = faults.clone();
    Server::start(move |request| {
        let is_broken = if name == "blue" { &faults.blue } else { &faults.green };
        let is_poisoned = request.target == POISON && faults.poison.load(Ordering::Acquire);
        let status = if is_poisoned || is_broken.load(Ordering::Acquire) { 500 } else { 200 };
        Answer::Reply(Reply::new(status, name).header("X-App-Pool", name).header("X-Release-Id", "v1"))
    })
}
