//! The native stack: blue, green, the local sink and nginx as background processes whose files lie in one directory.

use std::env;
use std::fs;
use std::io::{self, IsTerminal};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::nginx::{Nginx, Program};
use crate::process::Daemon;
use crate::runtime::{Part, Pool, Runtime};
use crate::say;
use crate::settings::Settings;

/// Where everything that the stack of `make up` writes lies, relative to the repository.
pub const DIRECTORY: &str = "run";

/// The native stack of one repository, running or not.
#[derive(Debug)]
pub struct Stack {
    root: PathBuf,
    directory: PathBuf,
    settings: Settings,
    nginx: Nginx,
}

impl Stack {
    /// The stack of the repository at `root` whose files lie in `directory`, relative to `root`.
    pub fn new(root: &Path, directory: &Path, program: Program, settings: Settings) -> Stack {
        let nginx = Nginx::new(program, root, directory);
        Stack { root: root.to_owned(), directory: root.join(directory), settings, nginx }
    }

    fn start_missing(&self, started: &mut Vec<Daemon>) -> Result<()> {
        self.start_sink(started)?;
        for pool in Pool::ALL {
            self.start_missing_app(pool, started)?;
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

    fn start_missing_app(&self, pool: Pool, started: &mut Vec<Daemon>) -> Result<()> {
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
            say!("{name} is running already");
            return Ok(());
        }
        if daemon.stop()? {
            say!("{name}: what an earlier run had left is stopped");
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
        say!("{name} started");
        Ok(())
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

impl Runtime for Stack {
    fn settings(&self) -> &Settings {
        &self.settings
    }

    // When something cannot start, what this call started is stopped again.
    fn up(&self) -> Result<()> {
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

    // nginx first, so that it never sees the apps go.
    fn down(&self) -> Result<bool> {
        let mut ran = false;
        for name in ["nginx", Pool::Green.name(), Pool::Blue.name(), "sink"] {
            if self.daemon(name).stop()? {
                say!("{name} stopped");
                ran = true;
            }
        }
        Ok(ran)
    }

    fn clean(&self) -> Result<bool> {
        let ran = self.down()?;
        match fs::remove_dir_all(&self.directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", self.directory.display()))
            }
            _ => Ok(ran),
        }
    }

    fn parts(&self) -> Result<Vec<Part>> {
        let mut parts = vec![("sink", format!("http://{}/", self.sink_address()?))];
        for pool in Pool::ALL {
            parts.push((pool.name(), format!("http://{}/", pool.address(&self.settings)?)));
        }
        parts.push(("nginx", self.url()?));
        let part = |(name, url): (&str, String)| {
            let daemon = self.daemon(name);
            let left_over = || daemon.left_over().map(|pid| format!("left over, pid {pid}"));
            let running = daemon.pid().map(|pid| format!("pid {pid}")).or_else(left_over);
            Part { name: name.to_owned(), running, url }
        };
        Ok(parts.into_iter().map(part).collect())
    }

    // nginx's own last.
    fn logs(&self) -> Result<()> {
        let mut logs: Vec<PathBuf> = self.parts()?.iter().map(|part| self.daemon(&part.name).log()).collect();
        logs.push(self.nginx.error_log());
        logs.retain(|log| log.exists());
        if logs.is_empty() {
            bail!("there are no logs yet; `make up` starts the stack");
        }
        let mut tail = Command::new("tail");
        tail.args(["-n", "20"]);
        if io::stdout().is_terminal() {
            tail.arg("-F");
        }
        tail.args(logs).status().context("cannot run tail")?;
        Ok(())
    }

    fn kill(&self, pool: Pool) -> Result<()> {
        self.daemon(pool.name()).kill().map(drop)
    }

    fn start_app(&self, pool: Pool) -> Result<()> {
        self.start_missing_app(pool, &mut Vec::new())
    }

    fn restart_nginx(&self, settings: &Settings) -> Result<()> {
        self.nginx.daemon().stop()?;
        self.nginx.configure(settings)?;
        self.nginx.start(settings)
    }

    fn reload_nginx(&self, settings: &Settings) -> Result<()> {
        self.nginx.configure(settings)?;
        self.nginx.daemon().hang_up()
    }
}
