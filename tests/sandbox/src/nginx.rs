//! nginx as the sandbox runs it: the repository's `nginx.conf`, filled from the settings, in the foreground of a daemon.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::Daemon;
use crate::settings::Settings;

/// Which nginx to run, and with which module.
#[derive(Clone, Debug)]
pub struct Program {
    /// The nginx binary.
    pub binary: PathBuf,
    /// The module built for it; where unset, what `nginx.conf` loads.
    pub module: Option<PathBuf>,
}

/// One nginx, running or not.
#[derive(Debug)]
pub struct Nginx {
    program: Program,
    root: PathBuf,
    /// Holds everything it writes; below `root`, which is its prefix.
    directory: PathBuf,
    daemon: Daemon,
}

impl Nginx {
    /// The nginx of the repository at `root` whose files lie in `directory`, relative to `root`.
    pub fn new(program: Program, root: &Path, directory: &Path) -> Nginx {
        let daemon = Daemon::new("nginx", &root.join(directory));
        Nginx { program, root: root.to_owned(), directory: directory.to_owned(), daemon }
    }

    /// Its process.
    pub fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    /// Its error log.
    pub fn error_log(&self) -> PathBuf {
        self.root.join(&self.directory).join("error.log")
    }

    /// Writes the configuration that the settings ask for.
    pub fn configure(&self, settings: &Settings) -> Result<()> {
        let mut command = Command::new("sh");
        command
            .arg(self.root.join("docker/configure.sh"))
            .arg(self.root.join("nginx.conf"))
            .env_clear()
            .envs(settings.variables())
            .env("RUN_DIR", &self.directory);
        if let Some(module) = &self.program.module {
            command.env("MODULE", module);
        }
        let output = command.output().context("cannot run docker/configure.sh")?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim_end());
        }
        let path = self.root.join(self.configuration());
        fs::write(&path, output.stdout).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Starts it with the configuration written before. The settings are its environment, where `env:` is looked up.
    pub fn start(&self, settings: &Settings) -> Result<()> {
        let mut command = Command::new(&self.program.binary);
        command
            .arg("-p")
            .arg(&self.root)
            .arg("-c")
            .arg(self.configuration())
            // Complaints that come before the configuration's own log is open belong to whoever starts it.
            .args(["-e", "stderr", "-g", "daemon off;"])
            .env_clear()
            .envs(settings.variables());
        let address = SocketAddr::from(([127, 0, 0, 1], settings.port()?));
        self.daemon.start(command, || TcpStream::connect(address).is_ok())
    }

    fn configuration(&self) -> PathBuf {
        self.directory.join("nginx.conf")
    }
}
