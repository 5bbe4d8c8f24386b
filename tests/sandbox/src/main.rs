//! The `sandbox` command; `make` offers most of it.

#![forbid(unsafe_code)]

use std::env;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand, ValueEnum};
use sandbox::app::{App, Identity};
use sandbox::compose::Compose;
use sandbox::interruption::Interruption;
use sandbox::nginx::Program;
use sandbox::runtime::{Breakdown, Pool, Runtime};
use sandbox::settings::Settings;
use sandbox::sink::{Echo, Sink};
use sandbox::stack::Stack;
use sandbox::{compose, demo, stack, status, validate};

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
    /// Let a pool serve from now on, as a planned change.
    Switch {
        /// blue or green.
        pool: Pool,
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
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sandbox: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<()> {
    match &arguments.task {
        Task::App { pool, release, listen, port } => {
            let listen = listen.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::UNSPECIFIED, *port)));
            serve_app(&Identity { pool: pool.clone(), release: release.clone() }, listen)
        }
        Task::Sink { listen } => serve_sink(*listen),
        Task::Check { url } => check(url),
        Task::Demo => {
            let (root, program) = arguments.place()?;
            demo::run(
                &root,
                match arguments.runtime {
                    How::Native => demo::Place::Native(program),
                    How::Docker => demo::Place::Docker,
                },
            )
        }
        task => manage(&*arguments.stack()?, task),
    }
}

fn manage(stack: &dyn Runtime, task: &Task) -> Result<()> {
    match task {
        Task::Down => report_stop(stack.down()?),
        Task::Restart => {
            stack.down()?;
            up(stack)
        }
        Task::Status => {
            print!("{}", status::summary(stack)?);
            Ok(())
        }
        Task::Logs => stack.logs(),
        Task::Chaos { pool, mode } => stack.chaos(*pool, *mode),
        Task::Recover => stack.recover(),
        Task::Switch { pool } => {
            println!("{}", stack.switch(*pool)?);
            Ok(())
        }
        Task::Validate => validate::run(stack),
        Task::Clean => report_stop(stack.clean()?),
        _ => up(stack),
    }
}

fn up(stack: &dyn Runtime) -> Result<()> {
    stack.up()?;
    println!("\nnginx answers at {}, its alert status is {}alert/", stack.url()?, stack.url()?);
    match stack.settings().get("SLACK_WEBHOOK_URL") {
        Some(_) => println!("alerts go to SLACK_WEBHOOK_URL"),
        None => {
            println!("SLACK_WEBHOOK_URL is not set: alerts go to the local sink, http://{}/", stack.sink_address()?)
        }
    }
    Ok(())
}

fn report_stop(ran: bool) -> Result<()> {
    if !ran {
        println!("nothing was running");
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
    println!("{identity} listens on http://{}/", app.address());
    interruption.wait();
    Ok(())
}

fn serve_sink(listen: SocketAddr) -> Result<()> {
    let interruption = Interruption::watch()?;
    let sink = Sink::start(listen, Echo::Terminal).with_context(|| format!("the sink cannot listen on {listen}"))?;
    println!("the sink listens on {}", sink.url());
    interruption.wait();
    Ok(())
}

impl Arguments {
    fn stack(&self) -> Result<Box<dyn Runtime>> {
        let (root, program) = self.place()?;
        let settings = Settings::load(&root)?;
        Ok(match self.runtime {
            How::Native => Box::new(Stack::new(&root, Path::new(stack::DIRECTORY), program, settings)),
            How::Docker => Box::new(Compose::new(&root, compose::PROJECT, settings)?),
        })
    }

    fn place(&self) -> Result<(PathBuf, Program)> {
        let root = self.root.canonicalize().with_context(|| format!("no repository at {}", self.root.display()))?;
        let binary = match &self.nginx {
            Some(binary) => binary.clone(),
            None => find_nginx().unwrap_or_else(|| PathBuf::from("nginx")),
        };
        Ok((root, Program { binary, module: self.module.clone() }))
    }
}

/// In PATH, or where distributions put it but a user's PATH does not look.
fn find_nginx() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let places = env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into(), "/sbin".into()]);
    places.map(|place| place.join("nginx")).find(|nginx| nginx.is_file())
}
