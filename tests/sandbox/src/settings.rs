//! The variables of `.env.example`: from the environment, else from `.env`, else their defaults. A name in `.env` that
//! nothing reads is an error.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};

const PROXIES: [&str; 4] = ["http_proxy", "https_proxy", "all_proxy", "no_proxy"];

/// What the environment and `.env` say. An empty value is the same as none.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    variables: BTreeMap<String, String>,
}

impl Settings {
    /// Reads `.env` in `root`, if there is one; the environment wins.
    pub fn load(root: &Path) -> Result<Settings> {
        let path = root.join(".env");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let mut settings = Settings::parse(&text).with_context(|| format!("in {}", path.display()))?;
        settings.check_names(root).with_context(|| format!("in {}", path.display()))?;
        // Names and values that are not UTF-8 are none of ours.
        settings.variables.extend(
            env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        );
        Ok(settings)
    }

    /// Reads `NAME=VALUE` lines, with comments, blank lines, quotes around the value and a leading `export`.
    fn parse(text: &str) -> Result<Settings> {
        let mut variables = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((name, value)) = line.strip_prefix("export ").unwrap_or(line).split_once('=') else {
                // The line itself may be a secret that lost its name.
                bail!("line {} is not NAME=VALUE", index + 1);
            };
            let value = value.trim();
            let unquoted = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
            variables.insert(name.trim().to_owned(), unquoted.unwrap_or(value).to_owned());
        }
        Ok(Settings { variables })
    }

    /// Known are the names of `.env.example`, those of which `nginx.conf` says `env:NAME`, and the proxies.
    fn check_names(&self, root: &Path) -> Result<()> {
        if self.variables.is_empty() {
            return Ok(());
        }
        let read = |name: &str| fs::read_to_string(root.join(name)).with_context(|| format!("cannot read {name}"));
        let (example, conf) = (read(".env.example")?, read("nginx.conf")?);
        let known: Vec<&str> = example
            .lines()
            .filter_map(|line| Some(line.split_once('=')?.0))
            .filter(|name| !name.starts_with('#'))
            .collect();
        for name in self.variables.keys() {
            let is_secret = || conf.contains(&format!("env:{name};")) || conf.contains(&format!("env:{name} "));
            let is_proxy = || PROXIES.iter().any(|proxy| name.eq_ignore_ascii_case(proxy));
            if !known.contains(&name.as_str()) && !is_proxy() && !is_secret() {
                bail!(
                    "there is no setting {name}, there are {}; another variable is taken where nginx.conf says env:NAME",
                    known.join(", ")
                );
            }
        }
        Ok(())
    }

    /// A variable, unless it is unset or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Sets a variable; an empty value unsets it.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.variables.insert(name.to_owned(), value.into());
    }

    /// Everything, as the environment of a child.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// nginx's port, from `PORT`.
    pub fn port(&self) -> Result<u16> {
        let value = self.get("PORT").unwrap_or("8080");
        value.parse().map_err(|_| anyhow!("PORT=\"{value}\" is wrong, it must be a port from 1 to 65535"))
    }

    /// An address of the native stack, from `BLUE_ADDRESS`, `GREEN_ADDRESS` or `SINK_ADDRESS`.
    pub fn address(&self, variable: &str, default: &str) -> Result<SocketAddr> {
        let value = self.get(variable).unwrap_or(default);
        value.parse().map_err(|_| anyhow!("{variable}=\"{value}\" is wrong, it must be IP:PORT, like {default}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_env_file_is_read() {
        let settings =
            Settings::parse("# comment\n\nPORT=9090\nexport ACTIVE_POOL = green\nA=\"x=y\"\nB=' z '\nEMPTY=\n")
                .unwrap();
        assert_eq!(settings.port().unwrap(), 9090);
        assert_eq!(settings.get("ACTIVE_POOL"), Some("green"));
        assert_eq!(settings.get("A"), Some("x=y"));
        assert_eq!(settings.get("B"), Some(" z "));
        assert_eq!(settings.get("EMPTY"), None);
    }

    #[test]
    fn a_broken_line_is_named_and_not_shown() {
        let error = Settings::parse("PORT=1\nhttps://hooks.example/secret\n").unwrap_err().to_string();
        assert!(error.contains("line 2") && !error.contains("secret"), "{error}");
    }

    #[test]
    fn a_name_that_nothing_reads_is_an_error() {
        let root = std::env::temp_dir().join(format!("sandbox-{}-names", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        fs::write(root.join(".env.example"), "# PORT of nginx\nPORT=8080\nACTIVE_POOL=blue\n").unwrap();
        fs::write(root.join("nginx.conf"), "alert_notify pagerduty env:PD_KEY;\n").unwrap();
        let check = |text: &str| Settings::parse(text).unwrap().check_names(&root);
        check("PORT=1\nACTIVE_POOL=green\nPD_KEY=secret\nHTTPS_PROXY=http://proxy:3128\n").unwrap();
        check("").unwrap();
        for name in ["ACTIV_POOL", "port", "PD_KE", "COMMENT"] {
            let error = check(&format!("{name}=secret\n")).unwrap_err().to_string();
            assert!(error.starts_with(&format!("there is no setting {name}, there are PORT, ACTIVE_POOL;")), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_wrong_address_names_its_variable() {
        let settings = Settings::parse("BLUE_ADDRESS=8081").unwrap();
        let error = settings.address("BLUE_ADDRESS", "127.0.0.1:8081").unwrap_err().to_string();
        assert!(error.contains("BLUE_ADDRESS=\"8081\"") && error.contains("127.0.0.1:8081"), "{error}");
    }
}
