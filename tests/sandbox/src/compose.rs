//! The stack in containers: what `docker/compose.yml` describes, by whichever Compose there is.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::runtime::{Part, Pool, Runtime, wait_for};
use crate::say;
use crate::settings::Settings;

/// The stack's name among all of this machine's.
pub const PROJECT: &str = "nginx-alert";

/// The containers of one repository, running or not.
#[derive(Debug)]
pub struct Compose {
    root: PathBuf,
    settings: Settings,
    project: &'static str,
    /// `docker compose`, or `docker-compose` of old.
    program: Vec<&'static str>,
}

impl Compose {
    /// The containers that a project of this name has from the repository at `root`, with the settings' ports.
    pub fn new(root: &Path, project: &'static str, settings: Settings) -> Result<Compose> {
        let program = [vec!["docker", "compose"], vec!["docker-compose"]].into_iter().find(|program| {
            let mut version = Command::new(program[0]);
            version.args(&program[1..]).arg("version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            version.status().is_ok_and(|status| status.success())
        });
        let Some(program) = program else {
            bail!("neither \"docker compose\" nor \"docker-compose\" runs here: install Docker with Compose");
        };
        Ok(Compose { root: root.to_owned(), settings, project, program })
    }

    /// Compose with the settings as its environment, which is what it fills its file from.
    fn command(&self, settings: &Settings, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.program[0]);
        command
            .args(&self.program[1..])
            .args(["--project-name", self.project, "--file"])
            .arg(self.root.join("docker/compose.yml"))
            .args(arguments)
            .env_clear()
            .envs(settings.variables())
            .env("COMPOSE_PROFILES", "sink");
        command
    }

    /// Runs it; what it says is shown when it fails.
    fn run(&self, settings: &Settings, arguments: &[&str]) -> Result<String> {
        self.output(self.command(settings, arguments), arguments[0])
    }

    fn output(&self, mut command: Command, what: &str) -> Result<String> {
        let output = command.stdin(Stdio::null()).output().context("cannot run Compose")?;
        if !output.status.success() {
            bail!("{} {what} failed:\n{}", self.program.join(" "), String::from_utf8_lossy(&output.stderr).trim_end());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The services that are to run, in the order in which they start: the sink only where no webhook is set.
    fn services(&self) -> Vec<&'static str> {
        let sink = self.settings.get("SLACK_WEBHOOK_URL").is_none().then_some("sink");
        sink.into_iter().chain(Pool::ALL.map(service)).chain(["nginx"]).collect()
    }

    /// The running containers of a service, as Docker itself describes them.
    fn containers(&self, service: &str) -> Result<Vec<String>> {
        let mut command = Command::new("docker");
        command
            .args(["ps", "--format", "{{.Status}}"])
            .args(["--filter", &format!("label=com.docker.compose.project={}", self.project)])
            .args(["--filter", &format!("label=com.docker.compose.service={service}")])
            .env_clear()
            .envs(self.settings.variables());
        Ok(self.output(command, "docker ps")?.lines().map(str::to_owned).collect())
    }

    /// A wrong setting is told here and now, not by a container that does not stay up.
    fn check_settings(&self) -> Result<()> {
        let mut command = Command::new("sh");
        command
            .arg(self.root.join("docker/configure.sh"))
            .arg(self.root.join("nginx.conf"))
            .env_clear()
            .envs(self.settings.variables());
        let output = command.output().context("cannot run docker/configure.sh")?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim_end());
        }
        Ok(())
    }

    fn wait_until_it_answers(&self) -> Result<()> {
        for Part { name, url, .. } in self.parts()? {
            // Nothing that counts as traffic, or that an app which is broken on purpose does not answer.
            let path = match name.as_str() {
                "nginx" => "alert/status.json",
                "sink" => "",
                _ => "healthz",
            };
            wait_for(&name, &format!("{url}{path}")).or_else(|error| {
                let logs = self.run(&self.settings, &["logs", "--tail", "10"]).unwrap_or_default();
                Err(error).context(format!("the stack did not start, its last words are\n{logs}"))
            })?;
        }
        Ok(())
    }
}

/// The service that is a pool's app.
fn service(pool: Pool) -> &'static str {
    match pool {
        Pool::Blue => "app_blue",
        Pool::Green => "app_green",
    }
}

impl Runtime for Compose {
    fn settings(&self) -> &Settings {
        &self.settings
    }

    // When something cannot start where nothing ran, nothing is left.
    fn up(&self) -> Result<()> {
        self.check_settings()?;
        let ran = self.parts()?.iter().any(|part| part.running.is_some());
        let mut arguments = vec!["up", "--detach", "--no-build"];
        arguments.extend(self.services());
        let result = self.run(&self.settings, &arguments).and_then(|_| self.wait_until_it_answers());
        if result.is_err() && !ran {
            self.down()?;
        }
        result?;
        for part in self.parts()? {
            say!("{} {}", part.name, part.running.as_deref().unwrap_or("stopped"));
        }
        Ok(())
    }

    fn down(&self) -> Result<bool> {
        let ran = self.parts()?.iter().any(|part| part.running.is_some());
        self.run(&self.settings, &["down", "--volumes", "--remove-orphans", "--timeout", "10"])?;
        if ran {
            say!("the containers are stopped and removed");
        }
        Ok(ran)
    }

    // Containers write nothing outside of what `down` removes.
    fn clean(&self) -> Result<bool> {
        self.down()
    }

    fn parts(&self) -> Result<Vec<Part>> {
        let mut parts = Vec::new();
        for service in self.services() {
            let (name, url) = match Pool::ALL.into_iter().find(|pool| self::service(*pool) == service) {
                Some(pool) => (pool.name(), format!("http://{}/", pool.address(&self.settings)?)),
                None if service == "sink" => ("sink", format!("http://{}/", self.sink_address()?)),
                None => ("nginx", self.url()?),
            };
            let running = self.containers(service)?.into_iter().next();
            parts.push(Part { name: name.to_owned(), running, url });
        }
        Ok(parts)
    }

    fn logs(&self) -> Result<()> {
        let mut command = self.command(&self.settings, &["logs", "--tail", "20"]);
        if io::stdout().is_terminal() {
            command.arg("--follow");
        }
        command.status().context("cannot run Compose")?;
        Ok(())
    }

    fn kill(&self, pool: Pool) -> Result<()> {
        self.run(&self.settings, &["kill", service(pool)]).map(drop)
    }

    fn start_app(&self, pool: Pool) -> Result<()> {
        self.run(&self.settings, &["start", service(pool)])?;
        wait_for(pool.name(), &format!("http://{}/healthz", pool.address(&self.settings)?))?;
        // It may have another address now, and nginx looks names up when it reads its configuration.
        self.run(&self.settings, &["kill", "-s", "SIGHUP", "nginx"]).map(drop)
    }

    fn restart_nginx(&self, settings: &Settings) -> Result<()> {
        self.run(settings, &["up", "--detach", "--no-build", "--no-deps", "--force-recreate", "nginx"])?;
        wait_for("nginx", &format!("{}alert/status.json", self.url()?))
    }

    fn reload_nginx(&self, settings: &Settings) -> Result<()> {
        let active = format!("ACTIVE_POOL={}", settings.get("ACTIVE_POOL").unwrap_or_default());
        self.run(settings, &["exec", "-T", "-e", &active, "nginx", "nginx-alert", "reload"]).map(drop)
    }
}
