//! The whole story once: nginx serves blue, blue breaks, green takes over and the alert arrives; blue is mended and the
//! recovery arrives. Then green takes over step by step: broken it is aborted, mended it gets all traffic. The proof is what
//! a local sink received.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};
use serde::de::DeserializeOwned;

use crate::app::{Chaos, Report};
use crate::client;
use crate::compose::Compose;
use crate::interruption::Interruption;
use crate::nginx::Program;
use crate::rollout;
use crate::runtime::{Breakdown, Pool, Runtime};
use crate::say;
use crate::settings::Settings;
use crate::sink::Message;
use crate::stack::Stack;
use crate::traffic::Traffic;

/// Apart from the stack's files and containers, so that a demo can run beside it.
const DIRECTORY: &str = "run/demo";
const PROJECT: &str = "nginx-alert-demo";
/// Locked while a demo runs.
const LOCK: &str = "run/demo.lock";
const WORKERS: usize = 4;
const CLIENTS: usize = 4;
const INTERVAL: Duration = Duration::from_millis(10);
const BASELINE: u64 = 200;
/// Far more than any step takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long nothing more may arrive at the end.
const QUIET: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(20);

const FAILOVER: &str = ":rotating_light: Failover detected";
const FAILBACK: &str = ":white_check_mark: Recovered";
const BEGUN: &str = ":rocket: Rollout begun";
const ABORTED: &str = ":rotating_light: Rollout aborted — green (green-v1) fails more than blue";
const DONE: &str = ":white_check_mark: Rollout done — green (green-v1) has all traffic";

/// Where the demo runs.
#[derive(Clone)]
pub enum Place {
    /// As processes of this machine.
    Native(Program),
    /// In containers.
    Docker,
}

/// Runs the demo in the repository at `root`. Success means that each alert arrived exactly once. Everything it started
/// is stopped when it returns.
pub fn run(root: &Path, place: Place) -> Result<()> {
    let interruption = Interruption::watch()?;
    let mut settings = Settings::load(root)?;
    let Some(_lock) = lock(root)? else { bail!("another demo runs here") };
    if settings.get("SLACK_WEBHOOK_URL").is_some() {
        say!(
            "SLACK_WEBHOOK_URL is set, but the demo sends to a local sink: it proves what arrived. `make up` uses it."
        );
    }
    set_the_stage(&mut settings)?;
    let stack = stage(root, place, settings)?;
    // One that was left by a demo that was killed would go on sending.
    stack.clean()?;
    let outcome = perform(&*stack, interruption);
    if outcome.is_err() {
        stack.logs()?;
    }
    stack.down()?;
    outcome.context("the demo failed")
}

/// Stops what a demo that was killed has left. Says whether there was anything; None where a demo runs, which cleans up
/// by itself.
pub fn stop_remains(root: &Path, place: Place, settings: Settings) -> Result<Option<bool>> {
    let Some(_lock) = lock(root)? else { return Ok(None) };
    stage(root, place, settings)?.down().map(Some)
}

fn stage(root: &Path, place: Place, settings: Settings) -> Result<Box<dyn Runtime>> {
    Ok(match place {
        Place::Native(program) => Box::new(Stack::new(root, Path::new(DIRECTORY), program, settings)),
        Place::Docker => Box::new(Compose::new(root, PROJECT, settings)?),
    })
}

/// Held until it is dropped, or this process ends in whatever way. None where a demo holds it.
fn lock(root: &Path) -> Result<Option<File>> {
    let path = root.join(LOCK);
    fs::create_dir_all(root.join("run"))?;
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok().then_some(file))
}

/// What the story relies on is fixed, whatever .env says.
fn set_the_stage(settings: &mut Settings) -> Result<()> {
    let mut addresses = vec![("SINK_ADDRESS", free_near(settings.address("SINK_ADDRESS", "127.0.0.1:8090")?)?)];
    for pool in Pool::ALL {
        addresses.push((pool.address_variable().0, free_near(pool.address(settings)?)?));
    }
    let port = free_near(SocketAddr::from(([0, 0, 0, 0], settings.port()?)))?.port();
    for (name, address) in addresses {
        settings.set(name, address.to_string());
    }
    for (name, value) in [
        ("SLACK_WEBHOOK_URL", String::new()),
        ("ACTIVE_POOL", Pool::Blue.name().to_owned()),
        ("ERROR_RATE_THRESHOLD", String::new()),
        ("WINDOW_SIZE", String::new()),
        ("ALERT_COOLDOWN_SEC", String::new()),
        ("MAINTENANCE_MODE", String::new()),
        ("ROLLOUT", "5% 25% 50% every=2s requests=20".into()),
        ("WORKER_PROCESSES", WORKERS.to_string()),
        ("PORT", port.to_string()),
    ] {
        settings.set(name, value);
    }
    Ok(())
}

fn perform(stack: &dyn Runtime, interruption: Interruption) -> Result<()> {
    stack.up()?;
    say!();
    let url = stack.url()?;
    say!("nginx     {url} with {WORKERS} workers, blue serves and green stands by");
    for pool in Pool::ALL {
        say!("{:<9} http://{}/", pool.name(), pool.address(stack.settings())?);
    }
    say!("sink      http://{}/ receives what Slack would\n", stack.sink_address()?);
    let traffic = Traffic::start(&url, CLIENTS, INTERVAL);
    Scene { stack, url, interruption, traffic }.play()
}

/// Everything that takes part in the story.
struct Scene<'a> {
    stack: &'a dyn Runtime,
    url: String,
    interruption: Interruption,
    traffic: Traffic,
}

impl Scene<'_> {
    fn play(&self) -> Result<()> {
        say!("[1/7] traffic: {CLIENTS} clients ask for {}", self.url);
        self.wait("answers of blue", || Ok(self.traffic.totals().of("blue") >= BASELINE))?;
        say!("      {}", self.traffic.totals());

        say!("[2/7] blue breaks: it answers 500");
        self.stack.chaos(Pool::Blue, Breakdown::Chaos(Chaos::Error))?;
        self.wait("the failover alert", || Ok(!self.messages()?.is_empty()))?;
        let failover = self.arrived(0, FAILOVER)?;
        let report: Report = ask(&format!("http://{}/chaos", Pool::Blue.address(self.stack.settings())?))?;
        let first_failure = report.first_failure_us.context("an alert arrived, but blue never failed")?;
        show(&failover);
        say!(
            "[3/7] {:.1} ms passed from blue's first 500 to the alert at the sink",
            failover.received_us.millis_since(first_failure)
        );
        let answered_by_green = self.traffic.totals().of("green");
        let enough = answered_by_green + BASELINE;
        self.wait("answers of green", || Ok(self.traffic.totals().of("green") >= enough))?;
        say!("      {}", self.traffic.totals());

        say!("[4/7] blue is mended");
        self.stack.recover()?;
        self.wait("the recovery alert", || Ok(self.messages()?.len() > 1))?;
        show(&self.arrived(1, FAILBACK)?);

        say!("[5/7] nothing more may arrive");
        let end = Instant::now() + QUIET;
        while Instant::now() < end {
            self.pause()?;
        }
        let messages = self.messages()?;
        if messages.len() != 2 {
            bail!("2 alerts were expected, {} arrived: {:#?}", messages.len(), texts(&messages));
        }
        say!("      {}", self.traffic.totals());

        say!("[6/7] a release that answers 500 takes over step by step from blue: it is aborted");
        self.stack.chaos(Pool::Green, Breakdown::Chaos(Chaos::Error))?;
        rollout::begin(self.stack, Pool::Green, "")?;
        self.wait("the abort of the rollout", || Ok(self.messages()?.len() > 3))?;
        show(&self.arrived(2, BEGUN)?);
        show(&self.arrived(3, ABORTED)?);
        let failed = self.traffic.totals().failed;
        if failed > 0 {
            bail!("{failed} requests of users failed, which blue could have answered");
        }

        say!("[7/7] it is mended and takes over once more");
        self.stack.recover()?;
        rollout::begin(self.stack, Pool::Green, "&again=1")?;
        self.wait("the end of the rollout", || Ok(self.messages()?.len() > 5))?;
        show(&self.arrived(5, DONE)?);
        say!("      {}", self.traffic.totals());
        say!(
            "\nPASS: one failover alert and one recovery alert, one rollout aborted and one done, each told exactly once, \
             and no user saw a failure"
        );
        Ok(())
    }

    fn arrived(&self, index: usize, beginning: &str) -> Result<Message> {
        let messages = self.messages()?;
        match messages.get(index) {
            Some(message) if message.text().starts_with(beginning) => Ok(message.clone()),
            _ => bail!("\"{beginning} …\" was expected as alert {}, these arrived: {:#?}", index + 1, texts(&messages)),
        }
    }

    /// What has arrived at the sink, oldest first.
    fn messages(&self) -> Result<Vec<Message>> {
        ask(&format!("http://{}/messages", self.stack.sink_address()?))
    }

    fn wait(&self, what: &str, condition: impl Fn() -> Result<bool>) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !condition()? {
            if Instant::now() > deadline {
                bail!("waited {PATIENCE:?} for {what}; traffic so far: {}", self.traffic.totals());
            }
            self.pause()?;
        }
        Ok(())
    }

    fn pause(&self) -> Result<()> {
        if self.interruption.within(POLL) {
            bail!("interrupted");
        }
        Ok(())
    }
}

/// The preferred address, or a free port where that one is taken: a demo should not fail because port 8080 is in use.
fn free_near(preferred: SocketAddr) -> Result<SocketAddr> {
    let listener = TcpListener::bind(preferred).or_else(|_| TcpListener::bind(SocketAddr::new(preferred.ip(), 0)))?;
    Ok(listener.local_addr()?)
}

fn ask<T: DeserializeOwned>(url: &str) -> Result<T> {
    let text = client::get(url)?.body_mut().read_to_string()?;
    serde_json::from_str(&text).with_context(|| format!("{url} answered {text}"))
}

fn show(message: &Message) {
    for line in message.text().lines() {
        say!("      | {line}");
    }
}

fn texts(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(Message::text).collect()
}
