//! The `sandbox` command; `make` offers most of it.

#![forbid(unsafe_code)]

use std::env;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand, ValueEnum};
use sandbox::app::{App, Identity};
use sandbox::compose::Compose;
use sandbox::demo::Place;
use sandbox::interruption::Interruption;
use sandbox::nginx::Program;
use sandbox::rollout::{self, End};
use sandbox::runtime::{Breakdown, Pool, Runtime};
use sandbox::settings::Settings;
use sandbox::sink::{Echo, Sink};
use sandbox::stack::Stack;
use sandbox::{compose, demo, say, stack, status, traffic, validate};

/// The blue/green world in which nginx-alert can be tried.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The repository.
    #[arg(long, global = true, default_value = ".")]
    root: PathBuf,
    /// Whether the stack is processes of this machine or containers.
    #[arg(long, global = true, env, value_enum, default_value_t = How::Native)]
    runtime: How,
    /// The nginx to run.
    #[arg(long, global = true, env, hide_env_values = true)]
    nginx: Option<PathBuf>,
    /// The module to load, instead of what nginx.conf says.
    #[arg(long, global = true)]
    module: Option<PathBuf>,
    #[command(subcommand)]
    task: Task,
}

#[derive(Clone, Copy, ValueEnum)]
enum How {
    Native,
    Docker,
}

#[derive(Subcommand)]
enum Task {
    /// Serve as one pool's app until SIGTERM.
    App {
        /// Sent as X-App-Pool.
        #[arg(long, env = "APP_POOL", default_value = "blue")]
        pool: String,
        /// Sent as X-Release-Id.
        #[arg(long, env = "RELEASE_ID", default_value = "v1")]
        release: String,
        /// Where to listen; without it, on PORT of every address.
        #[arg(long)]
        listen: Option<SocketAddr>,
        /// The port to listen on where no address is given.
        #[arg(long, env = "PORT", default_value_t = 8080)]
        port: u16,
    },
    /// Receive messages as Slack would, until SIGTERM.
    Sink {
        /// Where to listen.
        #[arg(long, default_value = "127.0.0.1:8090")]
        listen: SocketAddr,
    },
    /// Succeed where a URL answers 200, for the health checks of containers.
    Check {
        /// What to ask for.
        url: String,
    },
    /// Start the stack.
    Up,
    /// Stop the stack.
    Down,
    /// Stop the stack and start it again.
    Restart,
    /// Show what runs and what nginx reports.
    Status,
    /// Show the logs, and follow them in a terminal.
    Logs,
    /// Break a pool.
    Chaos {
        /// blue or green.
        #[arg(default_value = "blue")]
        pool: Pool,
        /// error, timeout or kill.
        #[arg(default_value = "error")]
        mode: Breakdown,
    },
    /// Mend both pools.
    Recover,
    /// Send requests to the stack until SIGINT or SIGTERM.
    Traffic {
        /// Requests a second.
        #[arg(default_value_t = 20)]
        rate: u32,
    },
    /// Let a pool serve from now on, as a planned change.
    Switch {
        /// blue or green.
        pool: Pool,
    },
    /// Let a pool take over step by step, and watch it: fails with 1 where it is aborted, with 2 where it takes too long.
    Rollout {
        /// blue or green.
        pool: Pool,
        /// The release that the pool has to answer with.
        release: Option<String>,
        /// How long to watch it, in seconds.
        #[arg(long, default_value_t = 1800)]
        patience: u64,
    },
    /// The blue/green acceptance run against the running stack.
    Validate,
    /// Stop the stack and remove what it wrote.
    Clean,
    /// Tell the whole story once, unattended.
    Demo,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("sandbox: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<ExitCode> {
    if let Task::Rollout { pool, release, patience } = &arguments.task {
        // An argument of make that is not given is empty.
        let release = release.as_deref().filter(|release| !release.is_empty());
        let end = rollout::run(&*arguments.stack()?, *pool, release, Duration::from_secs(*patience))?;
        return Ok(ExitCode::from(match end {
            End::Done => 0,
            End::Aborted => 1,
            End::Waits => 2,
        }));
    }
    carry_out(arguments).map(|()| ExitCode::SUCCESS)
}

fn carry_out(arguments: Arguments) -> Result<()> {
    match &arguments.task {
        Task::App { pool, release, listen, port } => {
            let listen = listen.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::UNSPECIFIED, *port)));
            serve_app(&Identity { pool: pool.clone(), release: release.clone() }, listen)
        }
        Task::Sink { listen } => serve_sink(*listen),
        Task::Check { url } => check(url),
        Task::Demo => {
            let (root, place) = arguments.place()?;
            demo::run(&root, place)
        }
        Task::Down => {
            let ran = arguments.stack()?.down()?;
            let left = arguments.stop_demo_remains()?.unwrap_or_default();
            report_stop(ran || left)
        }
        Task::Clean => {
            let Some(left) = arguments.stop_demo_remains()? else {
                bail!("a demo runs here: Ctrl-C in its terminal ends it, and it cleans up by itself");
            };
            let ran = arguments.stack()?.clean()?;
            report_stop(ran || left)
        }
        task => manage(&*arguments.stack()?, task),
    }
}

fn manage(stack: &dyn Runtime, task: &Task) -> Result<()> {
    match task {
        Task::Restart => {
            stack.down()?;
            up(stack)
        }
        Task::Status => {
            say!("{}", status::summary(stack)?.trim_end());
            Ok(())
        }
        Task::Logs => stack.logs(),
        Task::Chaos { pool, mode } => {
            say!("{}; `make recover` mends it", stack.chaos(*pool, *mode)?);
            Ok(())
        }
        Task::Recover => {
            say!("{}", stack.recover()?);
            Ok(())
        }
        Task::Traffic { rate } => traffic::run(stack, *rate),
        Task::Switch { pool } => {
            say!("{}", stack.switch(*pool)?);
            Ok(())
        }
        Task::Validate => validate::run(stack),
        _ => up(stack),
    }
}

fn up(stack: &dyn Runtime) -> Result<()> {
    stack.up()?;
    say!("\nnginx answers at {}, its alert status is {}alert/", stack.url()?, stack.url()?);
    match stack.settings().get("SLACK_WEBHOOK_URL") {
        Some(_) => say!("alerts go to SLACK_WEBHOOK_URL"),
        None => {
            say!("SLACK_WEBHOOK_URL is not set: alerts go to the local sink, http://{}/", stack.sink_address()?)
        }
    }
    Ok(())
}

fn report_stop(ran: bool) -> Result<()> {
    if !ran {
        say!("nothing was running");
    }
    Ok(())
}

fn check(url: &str) -> Result<()> {
    match ureq::get(url).call()?.status().as_u16() {
        200 => Ok(()),
        status => bail!("{url} answers {status}"),
    }
}

fn serve_app(identity: &Identity, listen: SocketAddr) -> Result<()> {
    let interruption = Interruption::watch()?;
    let app = App::start(identity, listen).with_context(|| format!("{identity} cannot listen on {listen}"))?;
    say!("{identity} listens on http://{}/", app.address());
    interruption.wait();
    Ok(())
}

fn serve_sink(listen: SocketAddr) -> Result<()> {
    let interruption = Interruption::watch()?;
    let sink = Sink::start(listen, Echo::Terminal).with_context(|| format!("the sink cannot listen on {listen}"))?;
    say!("the sink listens on {}", sink.url());
    interruption.wait();
    Ok(())
}

impl Arguments {
    fn stack(&self) -> Result<Box<dyn Runtime>> {
        let (root, place) = self.place()?;
        let settings = Settings::load(&root)?;
        Ok(match place {
            Place::Native(program) => Box::new(Stack::new(&root, Path::new(stack::DIRECTORY), program, settings)),
            Place::Docker => Box::new(Compose::new(&root, compose::PROJECT, settings)?),
        })
    }

    fn stop_demo_remains(&self) -> Result<Option<bool>> {
        let (root, place) = self.place()?;
        let settings = Settings::load(&root)?;
        demo::stop_remains(&root, place, settings)
    }

    fn place(&self) -> Result<(PathBuf, Place)> {
        let root = self.root.canonicalize().with_context(|| format!("no repository at {}", self.root.display()))?;
        let binary = match &self.nginx {
            Some(binary) => binary.clone(),
            None => find_nginx().unwrap_or_else(|| PathBuf::from("nginx")),
        };
        let place = match self.runtime {
            How::Native => Place::Native(Program { binary, module: self.module.clone() }),
            How::Docker => Place::Docker,
        };
        Ok((root, place))
    }
}

/// In PATH, or where distributions put it but a user's PATH does not look.
fn find_nginx() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let places = env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into(), "/sbin".into()]);
    places.map(|place| place.join("nginx")).find(|nginx| nginx.is_file())
}
