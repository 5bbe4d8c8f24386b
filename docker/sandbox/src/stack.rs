//! The native stack: blue, green, the local sink and nginx as background processes whose files lie in `run/`.

use std::env;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::app::Chaos;
use crate::client;
use crate::nginx::{Nginx, Program};
use crate::process::Daemon;
use crate::settings::Settings;

/// Where everything the stack writes lies, relative to the repository.
const DIRECTORY: &str = "run";

/// One of the two apps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// The blue one.
    Blue,
    /// The green one.
    Green,
}

impl Pool {
    /// Both.
    pub const ALL: [Pool; 2] = [Pool::Blue, Pool::Green];

    /// Its name, also as `X-App-Pool`.
    pub const fn name(self) -> &'static str {
        match self {
            Pool::Blue => "blue",
            Pool::Green => "green",
        }
    }

    const fn address_variable(self) -> (&'static str, &'static str) {
        match self {
            Pool::Blue => ("BLUE_ADDRESS", "127.0.0.1:8081"),
            Pool::Green => ("GREEN_ADDRESS", "127.0.0.1:8082"),
        }
    }

    /// Where its app listens, by the settings.
    pub fn address(self, settings: &Settings) -> Result<SocketAddr> {
        let (variable, default) = self.address_variable();
        settings.address(variable, default)
    }

    /// The release its app claims to be, by the settings.
    pub fn release(self, settings: &Settings) -> String {
        let (variable, default) = match self {
            Pool::Blue => ("RELEASE_ID_BLUE", "blue-v1"),
            Pool::Green => ("RELEASE_ID_GREEN", "green-v1"),
        };
        settings.get(variable).unwrap_or(default).to_owned()
    }
}

impl FromStr for Pool {
    type Err = String;

    fn from_str(name: &str) -> Result<Pool, String> {
        Pool::ALL
            .into_iter()
            .find(|pool| pool.name() == name)
            .ok_or_else(|| format!("no pool \"{name}\", it must be blue or green"))
    }
}

/// A way to break a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breakdown {
    /// The app goes on running and fails.
    Chaos(Chaos),
    /// The app is killed.
    Kill,
}

impl FromStr for Breakdown {
    type Err = String;

    fn from_str(name: &str) -> Result<Breakdown, String> {
        match name {
            "kill" => Ok(Breakdown::Kill),
            name => name
                .parse()
                .map(Breakdown::Chaos)
                .map_err(|_| format!("no chaos mode \"{name}\", it must be error, timeout or kill")),
        }
    }
}

/// The stack of one repository, running or not.
#[derive(Debug)]
pub struct Stack {
    root: PathBuf,
    directory: PathBuf,
    settings: Settings,
    nginx: Nginx,
}

impl Stack {
    /// The stack of the repository at `root`.
    pub fn new(root: &Path, program: Program) -> Result<Stack> {
        let settings = Settings::load(root)?;
        let nginx = Nginx::new(program, root, Path::new(DIRECTORY));
        Ok(Stack { root: root.to_owned(), directory: root.join(DIRECTORY), settings, nginx })
    }

    /// Its settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Where the local sink listens.
    pub fn sink_address(&self) -> Result<SocketAddr> {
        self.settings.address("SINK_ADDRESS", "127.0.0.1:8090")
    }

    /// Every process with its URL, in the order in which they start.
    pub fn processes(&self) -> Result<Vec<(Daemon, String)>> {
        let mut processes = vec![(self.daemon("sink"), format!("http://{}/", self.sink_address()?))];
        for pool in Pool::ALL {
            processes.push((self.daemon(pool.name()), format!("http://{}/", pool.address(&self.settings)?)));
        }
        processes.push((self.nginx.daemon().clone(), self.url()?));
        Ok(processes)
    }

    /// nginx's URL.
    pub fn url(&self) -> Result<String> {
        Ok(format!("http://127.0.0.1:{}/", self.settings.port()?))
    }

    /// Starts what does not run yet. When something cannot start, what this call started is stopped again.
    pub fn up(&self) -> Result<()> {
        fs::create_dir_all(&self.directory).with_context(|| format!("cannot make {}", self.directory.display()))?;
        if self.nginx.daemon().pid().is_none() {
            self.nginx.configure(&self.settings)?;
        }
        let mut started = Vec::new();
        let result = self.start_missing(&mut started);
        if result.is_err() {
            for daemon in started.iter().rev() {
                daemon.stop()?;
            }
        }
        result
    }

    fn start_missing(&self, started: &mut Vec<Daemon>) -> Result<()> {
        self.start_sink(started)?;
        for pool in Pool::ALL {
            self.start_app(pool, started)?;
        }
        self.start("nginx", SocketAddr::from(([0, 0, 0, 0], self.settings.port()?)), "PORT", started, || {
            self.nginx.start(&self.settings)
        })
    }

    fn start_sink(&self, started: &mut Vec<Daemon>) -> Result<()> {
        let address = self.sink_address()?;
        self.start("sink", address, "SINK_ADDRESS", started, || {
            let mut command = self.own_command()?;
            command.args(["sink", "--listen", &address.to_string()]);
            self.daemon("sink").start(command, || TcpStream::connect(address).is_ok())
        })
    }

    fn start_app(&self, pool: Pool, started: &mut Vec<Daemon>) -> Result<()> {
        let address = pool.address(&self.settings)?;
        self.start(pool.name(), address, pool.address_variable().0, started, || {
            let release = pool.release(&self.settings);
            let mut command = self.own_command()?;
            command.args(["app", "--pool", pool.name(), "--release", &release, "--listen", &address.to_string()]);
            self.daemon(pool.name()).start(command, || TcpStream::connect(address).is_ok())
        })
    }

    fn start(
        &self,
        name: &str,
        address: SocketAddr,
        variable: &str,
        started: &mut Vec<Daemon>,
        start: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let daemon = self.daemon(name);
        if daemon.pid().is_some() {
            println!("{name} is running already");
            return Ok(());
        }
        // Asked first, since otherwise the program that has the port would pass for the one that is to be started.
        if let Err(error) = TcpListener::bind(address) {
            let port = address.port();
            match error.kind() {
                io::ErrorKind::AddrInUse => bail!(
                    "port {port}, where {name} is to listen, is taken by another program: stop that one, or give \
                     {name} another port with {variable} (in .env or the environment)"
                ),
                _ => return Err(error).context(format!("{name} cannot listen on {address} (see {variable})")),
            }
        }
        start()?;
        started.push(daemon);
        println!("{name} started");
        Ok(())
    }

    /// Stops what runs, nginx first so that it never sees the apps go.
    pub fn down(&self) -> Result<()> {
        let mut ran = false;
        for name in ["nginx", Pool::Green.name(), Pool::Blue.name(), "sink"] {
            if self.daemon(name).stop()? {
                println!("{name} stopped");
                ran = true;
            }
        }
        if !ran {
            println!("nothing was running");
        }
        Ok(())
    }

    /// Stops everything and removes all it wrote.
    pub fn clean(&self) -> Result<()> {
        self.down()?;
        match fs::remove_dir_all(&self.directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", self.directory.display()))
            }
            _ => Ok(()),
        }
    }

    /// Breaks a pool.
    pub fn chaos(&self, pool: Pool, how: Breakdown) -> Result<()> {
        let daemon = self.daemon(pool.name());
        if daemon.pid().is_none() {
            bail!("{} does not run; `make up` starts the stack, `make recover` brings a killed app back", pool.name());
        }
        match how {
            Breakdown::Kill => daemon.kill().map(drop),
            Breakdown::Chaos(mode) => {
                let mode = match mode {
                    Chaos::Error => "error",
                    Chaos::Timeout => "timeout",
                };
                self.call_app(pool, &format!("chaos/start?mode={mode}"))
            }
        }
    }

    /// Mends both pools; a killed app starts again.
    pub fn recover(&self) -> Result<()> {
        if self.nginx.daemon().pid().is_none() {
            bail!("the stack does not run; `make up` starts it");
        }
        for pool in Pool::ALL {
            if self.daemon(pool.name()).pid().is_none() {
                self.start_app(pool, &mut Vec::new())?;
            } else {
                self.call_app(pool, "chaos/stop")?;
            }
        }
        Ok(())
    }

    /// Makes this pool the active one, without a lost request and without a failover alert. Returns what changed.
    pub fn switch(&self, pool: Pool) -> Result<String> {
        if self.nginx.daemon().pid().is_none() {
            bail!("the stack does not run; `make up` starts it");
        }
        let url = format!("{}alert/control/active?monitor=app&pool={}", self.url()?, pool.name());
        let mut answer = client::post(&url).with_context(|| format!("nginx does not answer at {url}"))?;
        let body = answer.body_mut().read_to_string()?;
        if !answer.status().is_success() {
            bail!("{url} answered {}: {}", answer.status(), body.trim());
        }
        let answer: Value = serde_json::from_str(&body).with_context(|| format!("{url} answered {body}"))?;
        Ok(match (answer["changed"].as_bool(), answer["previous"].as_str()) {
            (Some(true), Some(before)) => format!("{} is the active pool now, instead of {before}", pool.name()),
            (Some(true), None) => format!("{} is the active pool now", pool.name()),
            _ => format!("{} is the active pool already", pool.name()),
        })
    }

    fn call_app(&self, pool: Pool, path: &str) -> Result<()> {
        let url = format!("http://{}/{path}", pool.address(&self.settings)?);
        let answer = client::post(&url).with_context(|| format!("{} does not answer at {url}", pool.name()))?;
        if !answer.status().is_success() {
            bail!("{url} answered {}", answer.status());
        }
        Ok(())
    }

    /// The logs, nginx's own last.
    pub fn logs(&self) -> Result<Vec<PathBuf>> {
        let mut logs: Vec<PathBuf> = self.processes()?.iter().map(|(daemon, _)| daemon.log()).collect();
        logs.push(self.nginx.error_log());
        logs.retain(|log| log.exists());
        Ok(logs)
    }

    fn daemon(&self, name: &str) -> Daemon {
        Daemon::new(name, &self.directory)
    }

    fn own_command(&self) -> Result<Command> {
        let mut command = Command::new(env::current_exe().context("cannot find this program again")?);
        command.current_dir(&self.root);
        Ok(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_name_says_what_is_right() {
        assert_eq!("red".parse::<Pool>().unwrap_err(), "no pool \"red\", it must be blue or green");
        assert_eq!(
            "slow".parse::<Breakdown>().unwrap_err(),
            "no chaos mode \"slow\", it must be error, timeout or kill"
        );
        assert_eq!("timeout".parse(), Ok(Breakdown::Chaos(Chaos::Timeout)));
    }
}
