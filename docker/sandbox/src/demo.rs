//! The whole story once: nginx serves blue, blue breaks, green takes over and the alert arrives; blue is mended and the
//! recovery arrives. The proof is what a local sink received.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::app::{App, Chaos, Identity};
use crate::interruption::Interruption;
use crate::nginx::{Nginx, Program};
use crate::runtime::Pool;
use crate::settings::Settings;
use crate::sink::{Echo, Message, Sink};
use crate::traffic::Traffic;

/// Apart from the stack's files, so that a demo can run beside it.
const DIRECTORY: &str = "run/demo";
const WORKERS: usize = 4;
const CLIENTS: usize = 4;
const BASELINE: u64 = 200;
/// Far more than any step takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long nothing more may arrive at the end.
const QUIET: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(20);

const FAILOVER: &str = ":rotating_light: Failover detected";
const FAILBACK: &str = ":white_check_mark: Recovered";

/// Runs the demo in the repository at `root`. Success means that each alert arrived exactly once. Everything it started
/// is stopped when it returns.
pub fn run(root: &Path, program: Program) -> Result<()> {
    let interruption = Interruption::watch()?;
    let mut settings = Settings::load(root)?;
    if settings.get("SLACK_WEBHOOK_URL").is_some() {
        println!(
            "SLACK_WEBHOOK_URL is set, but the demo sends to a local sink: it proves what arrived. `make up` uses it."
        );
    }
    let scene = Scene::set(root, program, &mut settings, interruption)?;
    let error_log = scene.nginx.error_log();
    let outcome = scene.play();
    drop(scene);
    println!("everything is stopped");
    outcome.with_context(|| format!("the demo failed; nginx's log is {}", error_log.display()))
}

/// Everything that runs during the demo.
struct Scene {
    url: String,
    interruption: Interruption,
    traffic: Traffic,
    nginx: Nginx,
    blue: App,
    _green: App,
    sink: Sink,
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Err(error) = self.nginx.daemon().stop() {
            eprintln!("{error:#}");
        }
    }
}

impl Scene {
    fn set(root: &Path, program: Program, settings: &mut Settings, interruption: Interruption) -> Result<Scene> {
        let sink = Sink::start(free_near(settings.address("SINK_ADDRESS", "127.0.0.1:8090")?)?, Echo::Silent)?;
        let start_app = |pool: Pool| -> Result<App> {
            let identity = Identity { pool: pool.name().to_owned(), release: pool.release(settings) };
            Ok(App::start(&identity, free_near(pool.address(settings)?)?)?)
        };
        let (blue, green) = (start_app(Pool::Blue)?, start_app(Pool::Green)?);
        let port = free_near(SocketAddr::from(([0, 0, 0, 0], settings.port()?)))?.port();

        // What the story relies on is fixed, whatever .env says.
        for (name, value) in [
            ("SLACK_WEBHOOK_URL", String::new()),
            ("ACTIVE_POOL", Pool::Blue.name().to_owned()),
            ("ERROR_RATE_THRESHOLD", String::new()),
            ("WINDOW_SIZE", String::new()),
            ("ALERT_COOLDOWN_SEC", String::new()),
            ("MAINTENANCE_MODE", String::new()),
            ("WORKER_PROCESSES", WORKERS.to_string()),
            ("PORT", port.to_string()),
            ("BLUE_ADDRESS", blue.address().to_string()),
            ("GREEN_ADDRESS", green.address().to_string()),
            ("SINK_ADDRESS", sink.address().to_string()),
        ] {
            settings.set(name, value);
        }

        let directory = PathBuf::from(DIRECTORY);
        fs::create_dir_all(root.join(&directory))?;
        let nginx = Nginx::new(program, root, &directory);
        // One that was left by a demo that was killed would go on sending.
        nginx.daemon().stop()?;
        nginx.configure(settings)?;
        nginx.start(settings)?;
        let url = format!("http://127.0.0.1:{port}/");
        println!("nginx     {url} with {WORKERS} workers, blue serves and green stands by");
        println!("blue      http://{}/", blue.address());
        println!("green     http://{}/", green.address());
        println!("sink      {} receives what Slack would\n", sink.url());
        let traffic = Traffic::start(&url, CLIENTS);
        Ok(Scene { url, interruption, traffic, nginx, blue, _green: green, sink })
    }

    fn play(&self) -> Result<()> {
        println!("[1/5] traffic: {CLIENTS} clients ask for {}", self.url);
        self.wait("answers of blue", || self.traffic.totals().of("blue") >= BASELINE)?;
        println!("      {}", self.traffic.totals());

        println!("[2/5] blue breaks: it answers 500");
        self.blue.break_down(Chaos::Error);
        self.wait("the failover alert", || !self.sink.messages().is_empty())?;
        let failover = self.arrived(0, FAILOVER)?;
        let first_failure = self.blue.report().first_failure_us.context("an alert arrived, but blue never failed")?;
        show(&failover);
        println!(
            "[3/5] {:.1} ms passed from blue's first 500 to the alert at the sink",
            failover.received_us.millis_since(first_failure)
        );
        let answered_by_green = self.traffic.totals().of("green");
        self.wait("answers of green", || self.traffic.totals().of("green") >= answered_by_green + BASELINE)?;
        println!("      {}", self.traffic.totals());

        println!("[4/5] blue is mended");
        self.blue.mend();
        self.wait("the recovery alert", || self.sink.messages().len() > 1)?;
        show(&self.arrived(1, FAILBACK)?);

        println!("[5/5] nothing more may arrive");
        let end = Instant::now() + QUIET;
        while Instant::now() < end {
            self.pause()?;
        }
        let messages = self.sink.messages();
        if messages.len() != 2 {
            bail!("2 alerts were expected, {} arrived: {:#?}", messages.len(), texts(&messages));
        }
        println!("      {}", self.traffic.totals());
        println!("\nPASS: one failover alert and one recovery alert, each exactly once");
        Ok(())
    }

    fn arrived(&self, index: usize, beginning: &str) -> Result<Message> {
        let messages = self.sink.messages();
        match messages.get(index) {
            Some(message) if message.text().starts_with(beginning) => Ok(message.clone()),
            _ => bail!("\"{beginning} …\" was expected as alert {}, these arrived: {:#?}", index + 1, texts(&messages)),
        }
    }

    fn wait(&self, what: &str, condition: impl Fn() -> bool) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !condition() {
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

fn show(message: &Message) {
    for line in message.text().lines() {
        println!("      | {line}");
    }
}

fn texts(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(Message::text).collect()
}
