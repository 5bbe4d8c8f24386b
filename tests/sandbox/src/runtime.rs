//! What the blue/green stack can do, whether it runs as processes of this machine or in containers.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::app::{Chaos, Report};
use crate::client;
use crate::settings::Settings;
use crate::status;

/// Far more than a start takes on a slow machine.
const READY_WITHIN: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

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

    /// The one that steps in for it.
    pub const fn other(self) -> Pool {
        match self {
            Pool::Blue => Pool::Green,
            Pool::Green => Pool::Blue,
        }
    }

    pub(crate) const fn address_variable(self) -> (&'static str, &'static str) {
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

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
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

impl Breakdown {
    /// All of them.
    pub const ALL: [Breakdown; 3] = [Breakdown::Chaos(Chaos::Error), Breakdown::Chaos(Chaos::Timeout), Breakdown::Kill];
}

impl fmt::Display for Breakdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Breakdown::Chaos(mode) => mode.fmt(f),
            Breakdown::Kill => f.write_str("kill"),
        }
    }
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

/// A part of the stack, as `status` shows it.
#[derive(Clone, Debug)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// How it runs, if it does.
    pub running: Option<String>,
    /// Where it answers.
    pub url: String,
}

/// The stack of one repository, running or not.
pub trait Runtime {
    /// Its settings.
    fn settings(&self) -> &Settings;

    /// Starts what does not run yet, and returns when it answers.
    fn up(&self) -> Result<()>;

    /// Stops what runs. Says whether anything did.
    fn down(&self) -> Result<bool>;

    /// Stops everything and removes all it wrote. Says whether anything ran.
    fn clean(&self) -> Result<bool>;

    /// Its parts, nginx last.
    fn parts(&self) -> Result<Vec<Part>>;

    /// Shows the logs, and follows them in a terminal.
    fn logs(&self) -> Result<()>;

    /// Kills an app, as a crash would.
    fn kill(&self, pool: Pool) -> Result<()>;

    /// Starts an app that does not run.
    fn start_app(&self, pool: Pool) -> Result<()>;

    /// Stops nginx, so that it forgets what it counted, and starts it with other settings.
    fn restart_nginx(&self, settings: &Settings) -> Result<()>;

    /// Lets the running nginx take over the active pool of other settings, as an operator would: by a reload.
    fn reload_nginx(&self, settings: &Settings) -> Result<()>;

    /// nginx's URL.
    fn url(&self) -> Result<String> {
        Ok(format!("http://127.0.0.1:{}/", self.settings().port()?))
    }

    /// Where the local sink listens.
    fn sink_address(&self) -> Result<SocketAddr> {
        self.settings().address("SINK_ADDRESS", "127.0.0.1:8090")
    }

    /// Whether a part runs.
    fn runs(&self, name: &str) -> Result<bool> {
        Ok(self.parts()?.iter().any(|part| part.name == name && part.running.is_some()))
    }

    /// Breaks a pool. Returns what is wrong with it now.
    fn chaos(&self, pool: Pool, how: Breakdown) -> Result<String> {
        if !self.runs(pool.name())? {
            bail!("{pool} does not run; `make up` starts the stack, `make recover` brings a killed app back");
        }
        match how {
            Breakdown::Kill => self.kill(pool)?,
            Breakdown::Chaos(_) => self.call_app(pool, &format!("chaos/start?mode={how}"))?,
        }
        Ok(match how {
            Breakdown::Kill => format!("{pool} is killed: its port refuses connections"),
            Breakdown::Chaos(Chaos::Error) => format!("{pool} is broken: it answers every request with 500"),
            Breakdown::Chaos(Chaos::Timeout) => format!("{pool} is broken: it takes requests and does not answer"),
        })
    }

    /// Mends both pools; a killed app starts again. Returns what was done, a line for each pool.
    fn recover(&self) -> Result<String> {
        if !self.runs("nginx")? {
            bail!("the stack does not run; `make up` starts it");
        }
        let mut done = Vec::new();
        for pool in Pool::ALL {
            if !self.runs(pool.name())? {
                self.start_app(pool)?;
                done.push(format!("{pool} did not run and is started"));
                continue;
            }
            let before = status::chaos(&format!("http://{}/", pool.address(self.settings())?));
            self.call_app(pool, "chaos/stop")?;
            done.push(match before {
                Some(Report { mode: Some(mode), .. }) => format!("{pool} is mended, it was in chaos mode {mode}"),
                Some(Report { mode: None, .. }) => format!("{pool} was not broken"),
                None => format!("{pool} is mended"),
            });
        }
        Ok(done.join("\n"))
    }

    /// Makes this pool the active one, without a lost request and without a failover alert. Returns what changed.
    fn switch(&self, pool: Pool) -> Result<String> {
        if !self.runs("nginx")? {
            bail!("the stack does not run; `make up` starts it");
        }
        let url = format!("{}alert/control/active?monitor=app&pool={pool}", self.url()?);
        let mut answer = client::post(&url).with_context(|| format!("nginx does not answer at {url}"))?;
        let body = answer.body_mut().read_to_string()?;
        if !answer.status().is_success() {
            bail!("{url} answered {}: {}", answer.status(), body.trim());
        }
        let answer: Value = serde_json::from_str(&body).with_context(|| format!("{url} answered {body}"))?;
        Ok(match (answer["changed"].as_bool(), answer["previous"].as_str()) {
            (Some(true), Some(before)) => format!("{pool} is the active pool now, instead of {before}"),
            (Some(true), None) => format!("{pool} is the active pool now"),
            _ => format!("{pool} is the active pool already"),
        })
    }

    /// `POST`s to an app.
    fn call_app(&self, pool: Pool, path: &str) -> Result<()> {
        let url = format!("http://{}/{path}", pool.address(self.settings())?);
        let answer = client::post(&url).with_context(|| format!("{pool} does not answer at {url}"))?;
        if !answer.status().is_success() {
            bail!("{url} answered {}", answer.status());
        }
        Ok(())
    }
}

/// Waits until something answers HTTP at a URL, whatever it answers.
pub(crate) fn wait_for(name: &str, url: &str) -> Result<()> {
    let deadline = Instant::now() + READY_WITHIN;
    while let Err(error) = client::get(url) {
        if Instant::now() > deadline {
            return Err(error).with_context(|| format!("{name} did not answer at {url} within {READY_WITHIN:?}"));
        }
        thread::sleep(POLL);
    }
    Ok(())
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
    }

    #[test]
    fn every_breakdown_has_a_name() {
        for how in Breakdown::ALL {
            assert_eq!(how.to_string().parse(), Ok(how));
        }
    }
}
