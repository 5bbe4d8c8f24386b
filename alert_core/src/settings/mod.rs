//! What an operator wrote, checked: the words of `alert_monitor { … }`, read the same way for nginx and for C.

pub mod text;

use std::fmt;
use std::path::PathBuf;

use crate::base::name::NAME_MAX;
use crate::base::units::{TIME_MAX_DAYS, parse_time_ms};
use crate::model::ids::POOLS_MAX;
use crate::rules::limit::{LatencyLimit, Percent};
use crate::sink::settings::SinkSettings;

/// Requests that a window may hold at most.
pub const WINDOW_MAX: u32 = 1_000_000;
/// The variables that name pool and release where nothing else is written.
const POOL_FROM: &str = "$upstream_http_x_app_pool";
const RELEASE_FROM: &str = "$upstream_http_x_release_id";
/// Answers that may be asked for to confirm a failover.
pub const CONFIRM_MAX: u32 = 200;

/// A whole configuration.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The monitors, in the order of the configuration.
    pub monitors: Vec<MonitorSettings>,
    /// All sinks, of every level.
    pub sinks: Vec<SinkSettings>,
    /// Name of this host, as alerts show it.
    pub host: String,
    /// Version of nginx, as the status shows it.
    pub nginx: String,
    /// The file that outlives a restart.
    pub state: Option<PathBuf>,
}

/// The rules of one monitor.
#[derive(Clone, Debug)]
pub struct MonitorSettings {
    /// Its name.
    pub name: String,
    /// The pools that are listed, each with its addresses as nginx writes them.
    pub pools: Vec<(String, Vec<String>)>,
    /// The variable that names the pool of an answer.
    pub pool_from: String,
    /// The variable that names the release that answered.
    pub release_from: String,
    /// The pool that should serve.
    pub active: Option<String>,
    /// Requests in the window.
    pub window: u32,
    /// Age at which a request leaves the window, in milliseconds.
    pub max_age_ms: Option<u64>,
    /// Limit on requests whose client got an upstream failure.
    pub error_rate: Option<Percent>,
    /// Limit on requests in which a retry hid a failure.
    pub retry_rate: Option<Percent>,
    /// Limit on upstream time.
    pub latency: Option<LatencyLimit>,
    /// Answers that confirm a failover; `None` where failover is off.
    pub failover: Option<u32>,
    /// Least time between two messages of a kind, in milliseconds.
    pub cooldown_ms: u64,
    /// When to count without sending.
    pub maintenance: Maintenance,
    /// The sinks of this monitor, as places in [`Settings::sinks`]; `None` for those of the http level.
    pub sinks: Option<Vec<usize>>,
}

/// When a monitor counts and sends nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Maintenance {
    /// Never.
    Off,
    /// Always.
    On,
    /// While this file exists.
    File(PathBuf),
}

/// What is wrong with a directive, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// There is no such directive in a monitor.
    UnknownDirective(String),
    /// A directive that stands once stands twice.
    Duplicate(String),
    /// A directive has too few or too many words.
    Arguments {
        /// The directive.
        directive: String,
        /// How it is written.
        usage: &'static str,
    },
    /// A value is not what it has to be.
    Value {
        /// The directive.
        directive: &'static str,
        /// The value.
        value: String,
        /// What would be right.
        expected: String,
    },
    /// A pool stands twice.
    DuplicatePool(String),
    /// An address belongs to two pools, or twice to one.
    DuplicateAddress {
        /// The address.
        address: String,
        /// The pool that has it.
        pool: String,
    },
    /// An address cannot be resolved.
    Address {
        /// The address.
        address: String,
        /// Why.
        cause: String,
    },
    /// `active` names a pool that is not listed.
    UnknownActive {
        /// The name.
        name: String,
        /// The pools that are listed.
        pools: String,
    },
    /// More pools than a monitor can tell apart.
    TooManyPools,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::UnknownDirective(name) => {
                let known: Vec<&str> = DIRECTIVES.iter().map(|(name, _)| *name).collect();
                write!(f, "unknown directive \"{name}\" in \"alert_monitor\", it takes: {}", known.join(", "))
            }
            Error::Duplicate(name) => write!(f, "\"{name}\" directive is duplicate"),
            Error::Arguments { directive, usage } => {
                write!(f, "invalid number of arguments in \"{directive}\" directive, write \"{usage}\"")
            }
            Error::Value { directive, value, expected } => {
                write!(f, "invalid value \"{value}\" in \"{directive}\" directive, expected {expected}")
            }
            Error::DuplicatePool(name) => {
                write!(f, "duplicate pool \"{name}\", list all its addresses in one \"pool\"")
            }
            Error::DuplicateAddress { address, pool } => {
                write!(f, "address \"{address}\" is already in pool \"{pool}\", an address belongs to one pool")
            }
            Error::Address { address, cause } => write!(
                f,
                "{cause} in \"{address}\" of the \"pool\" directive, expected HOST[:PORT], [IPV6][:PORT] or unix:/path"
            ),
            Error::UnknownActive { name, pools } => {
                write!(f, "unknown pool \"{name}\" in \"active\" directive, the pools of this monitor are: {pools}")
            }
            Error::TooManyPools => write!(f, "too many pools, a monitor can tell {POOLS_MAX} apart"),
        }
    }
}

impl std::error::Error for Error {}

/// Every directive of a monitor and how it is written. `notify` is read by the caller, who knows the sinks.
const DIRECTIVES: [(&str, &str); 12] = [
    ("pool", "pool NAME ADDRESS ...;"),
    ("pool_from", "pool_from $variable;"),
    ("release_from", "release_from $variable;"),
    ("active", "active NAME;"),
    ("window", "window N [max_age=TIME];"),
    ("error_rate", "error_rate PERCENT|off;"),
    ("retry_rate", "retry_rate PERCENT|off;"),
    ("latency", "latency PERCENTILE TIME|off;"),
    ("failover", "failover on [confirm=N]|off;"),
    ("cooldown", "cooldown TIME;"),
    ("maintenance", "maintenance on|off|file=PATH;"),
    ("notify", "notify SINK TARGET [name=N] [timeout=TIME] [ca=PATH] [secret=S] [url=URL];"),
];

/// Resolves an address as `server` in an `upstream` would; the error is the cause alone.
pub type Resolve<'a> = &'a mut dyn FnMut(&str) -> Result<Vec<String>, String>;

/// Reads the directives of one monitor, one after the other, in any order.
#[derive(Debug)]
pub struct MonitorReader {
    settings: MonitorSettings,
    seen: Vec<&'static str>,
}

impl MonitorReader {
    /// Begins a monitor.
    ///
    /// # Errors
    /// A name that is empty or too long.
    pub fn new(name: &str) -> Result<MonitorReader, Error> {
        let settings = MonitorSettings {
            name: checked_name("alert_monitor", name)?,
            pools: Vec::new(),
            pool_from: POOL_FROM.into(),
            release_from: RELEASE_FROM.into(),
            active: None,
            window: 200,
            max_age_ms: None,
            error_rate: Percent::parse("2%"),
            retry_rate: Percent::parse("10%"),
            latency: None,
            failover: Some(2),
            cooldown_ms: 300_000,
            maintenance: Maintenance::Off,
            sinks: None,
        };
        Ok(MonitorReader { settings, seen: Vec::new() })
    }

    /// Reads one directive: its name and its words.
    ///
    /// # Errors
    /// What is wrong with it; the monitor stays as it was.
    pub fn directive(&mut self, words: &[&str], resolve: Resolve) -> Result<(), Error> {
        let (name, args) = words.split_first().ok_or_else(|| Error::UnknownDirective(String::new()))?;
        let Some((directive, usage)) = DIRECTIVES.iter().find(|(known, _)| known == name) else {
            return Err(Error::UnknownDirective((*name).into()));
        };
        let wrong_count = || Error::Arguments { directive: (*name).into(), usage };
        if !matches!(*directive, "pool" | "notify") && self.seen.contains(directive) {
            return Err(Error::Duplicate((*name).into()));
        }
        let settings = &mut self.settings;
        match (*directive, args) {
            ("pool", [pool, addresses @ ..]) if !addresses.is_empty() => settings.add_pool(pool, addresses, resolve)?,
            ("pool_from", [variable]) => settings.pool_from = checked_variable("pool_from", variable, POOL_FROM)?,
            ("release_from", [variable]) => {
                settings.release_from = checked_variable("release_from", variable, RELEASE_FROM)?
            }
            ("active", [pool]) => settings.active = Some(checked_name("active", pool)?),
            ("window", [size, options @ ..]) if options.len() <= 1 => {
                settings.window = checked_number("window", size, "window N", WINDOW_MAX)?;
                settings.max_age_ms = match options.first() {
                    None => None,
                    Some(option) => Some(checked_max_age(option)?),
                };
            }
            ("error_rate", [limit]) => settings.error_rate = checked_share("error_rate", limit, "2%")?,
            ("retry_rate", [limit]) => settings.retry_rate = checked_share("retry_rate", limit, "10%")?,
            ("latency", ["off"]) => settings.latency = None,
            ("latency", [percentile, limit]) => settings.latency = Some(checked_latency(percentile, limit)?),
            ("failover", ["off"]) => settings.failover = None,
            ("failover", ["on"]) => settings.failover = Some(2),
            ("failover", ["on", confirm]) => settings.failover = Some(checked_confirm(confirm)?),
            ("failover", [other]) => {
                return Err(value("failover", other, "\"on\", \"on confirm=2\" or \"off\""));
            }
            ("cooldown", [time]) => settings.cooldown_ms = checked_cooldown(time)?,
            ("maintenance", [when]) => settings.maintenance = checked_maintenance(when)?,
            _ => return Err(wrong_count()),
        }
        self.seen.push(directive);
        Ok(())
    }

    /// Names the sinks of this monitor, as places in [`Settings::sinks`], in place of those of the http level.
    pub fn notify(&mut self, sink: usize) {
        self.settings.sinks.get_or_insert_default().push(sink);
    }

    /// Ends the monitor.
    ///
    /// # Errors
    /// Directives that do not fit each other.
    pub fn finish(self) -> Result<MonitorSettings, Error> {
        let settings = self.settings;
        if let Some(active) = &settings.active {
            let listed: Vec<&str> = settings.pools.iter().map(|(name, _)| name.as_str()).collect();
            if !listed.is_empty() && !listed.contains(&active.as_str()) {
                return Err(Error::UnknownActive { name: active.clone(), pools: listed.join(", ") });
            }
        }
        Ok(settings)
    }
}

impl MonitorSettings {
    fn add_pool(&mut self, name: &str, addresses: &[&str], resolve: Resolve) -> Result<(), Error> {
        let name = checked_name("pool", name)?;
        if self.pools.iter().any(|(other, _)| *other == name) {
            return Err(Error::DuplicatePool(name));
        }
        if self.pools.len() == POOLS_MAX {
            return Err(Error::TooManyPools);
        }
        let mut resolved: Vec<String> = Vec::new();
        for written in addresses {
            let found = resolve(written).map_err(|cause| Error::Address { address: (*written).into(), cause })?;
            for address in found {
                let mut pools = self.pools.iter().map(|(pool, addresses)| (pool, addresses.as_slice()));
                if let Some((pool, _)) = pools.find(|(_, addresses)| addresses.contains(&address)) {
                    return Err(Error::DuplicateAddress { address, pool: pool.clone() });
                }
                if resolved.contains(&address) {
                    return Err(Error::DuplicateAddress { address, pool: name });
                }
                resolved.push(address);
            }
        }
        self.pools.push((name, resolved));
        Ok(())
    }
}

fn value(directive: &'static str, value: &str, expected: impl Into<String>) -> Error {
    Error::Value { directive, value: value.into(), expected: expected.into() }
}

fn checked_name(directive: &'static str, name: &str) -> Result<String, Error> {
    if name.is_empty() || name.len() >= NAME_MAX || name.chars().any(char::is_control) {
        let expected = format!("a name of 1 to {} bytes without control characters", NAME_MAX - 1);
        return Err(value(directive, name, expected));
    }
    Ok(name.into())
}

fn checked_variable(directive: &'static str, text: &str, example: &str) -> Result<String, Error> {
    match text.strip_prefix('$') {
        Some(name) if !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') => {
            Ok(text.into())
        }
        _ => Err(value(directive, text, format!("one variable, such as \"{example}\""))),
    }
}

fn checked_number(directive: &'static str, text: &str, example: &str, max: u32) -> Result<u32, Error> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u32>() {
        Ok(number) if digits && (1..=max).contains(&number) => Ok(number),
        _ => Err(value(directive, text, format!("a whole number from 1 to {max} (\"{example}\")"))),
    }
}

fn checked_share(directive: &'static str, text: &str, example: &str) -> Result<Option<Percent>, Error> {
    match text {
        "off" => Ok(None),
        _ => Percent::parse(text).map(Some).ok_or_else(|| {
            value(directive, text, format!("a percentage from 0% to 100%, such as \"{example}\", or \"off\""))
        }),
    }
}

fn checked_latency(percentile: &str, limit: &str) -> Result<LatencyLimit, Error> {
    let per_mille = LatencyLimit::parse_percentile(percentile)
        .ok_or_else(|| value("latency", percentile, "a percentile from p1 to p99.9, as in \"latency p95 500ms\""))?;
    match parse_time_ms(limit) {
        // Longer times are not told apart in the window.
        Some(limit_ms @ 1..=1_000_000) => Ok(LatencyLimit { per_mille, limit_ms: limit_ms as u32 }),
        _ => Err(value("latency", limit, "a time from 1ms to 1000s, as in \"latency p95 500ms\"")),
    }
}

fn checked_confirm(text: &str) -> Result<u32, Error> {
    match text.strip_prefix("confirm=") {
        Some(number) => checked_number("failover", number, "failover on confirm=2", CONFIRM_MAX),
        None => Err(value("failover", text, "\"confirm=N\", as in \"failover on confirm=2\"")),
    }
}

fn checked_max_age(option: &str) -> Result<u64, Error> {
    match option.strip_prefix("max_age=") {
        Some(time) => parse_time_ms(time).filter(|ms| *ms > 0).ok_or_else(|| {
            let expected = format!("a time from 1ms to {TIME_MAX_DAYS}d, as in \"window 200 max_age=10m\"");
            value("window", option, expected)
        }),
        None => Err(value("window", option, "\"max_age=TIME\", as in \"window 200 max_age=10m\"")),
    }
}

fn checked_cooldown(text: &str) -> Result<u64, Error> {
    let expected = || format!("a time from 0s to {TIME_MAX_DAYS}d, such as \"300s\" or \"5m\"");
    parse_time_ms(text).ok_or_else(|| value("cooldown", text, expected()))
}

fn checked_maintenance(text: &str) -> Result<Maintenance, Error> {
    match (text, text.strip_prefix("file=")) {
        ("on", _) => Ok(Maintenance::On),
        ("off", _) => Ok(Maintenance::Off),
        (_, Some(path)) if path.starts_with('/') => Ok(Maintenance::File(path.into())),
        _ => Err(value("maintenance", text, "\"on\", \"off\" or \"file=/path\" with an absolute path")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Result<MonitorSettings, Error> {
        let mut reader = MonitorReader::new("app")?;
        for line in lines {
            let words: Vec<&str> = line.split_whitespace().collect();
            reader.directive(&words, &mut |address| Ok(vec![address.to_string()]))?;
        }
        reader.finish()
    }

    #[test]
    fn a_monitor_is_read_in_any_order() {
        let settings = read(&[
            "active blue",
            "cooldown 1m",
            "window 25 max_age=10m",
            "pool blue 10.0.0.1:80 10.0.0.2:80",
            "pool green 10.0.0.3:80",
            "latency p95 500ms",
            "failover on confirm=3",
            "maintenance file=/run/maintenance",
            "error_rate 0.5%",
            "retry_rate off",
        ])
        .expect("valid settings");
        assert_eq!(settings.window, 25);
        assert_eq!(settings.max_age_ms, Some(600_000));
        assert_eq!(settings.cooldown_ms, 60_000);
        assert_eq!(settings.failover, Some(3));
        assert_eq!(settings.retry_rate, None);
        assert_eq!(settings.pools[0].1.len(), 2);
        assert_eq!(settings.maintenance, Maintenance::File("/run/maintenance".into()));
    }

    #[test]
    fn every_mistake_says_what_would_be_right() {
        for (lines, expected) in [
            (
                &["error_rate 200%"][..],
                "invalid value \"200%\" in \"error_rate\" directive, expected a percentage from 0% to 100%, such as \"2%\", or \"off\"",
            ),
            (&["window 0"], "invalid value \"0\" in \"window\" directive, expected a whole number from 1 to 1000000"),
            (&["window 10 age=5"], "\"max_age=TIME\""),
            (&["window"], "write \"window N [max_age=TIME];\""),
            (&["windwo 10"], "unknown directive \"windwo\" in \"alert_monitor\", it takes: pool, "),
            (&["window 10", "window 20"], "\"window\" directive is duplicate"),
            (&["pool blue a:1", "pool blue b:1"], "duplicate pool \"blue\""),
            (&["pool blue a:1", "pool green a:1"], "address \"a:1\" is already in pool \"blue\""),
            (&["pool blue"], "write \"pool NAME ADDRESS ...;\""),
            (
                &["pool blue a:1", "active green"],
                "unknown pool \"green\" in \"active\" directive, the pools of this monitor are: blue",
            ),
            (&["pool_from blue"], "expected one variable"),
            (&["cooldown soon"], "expected a time from 0s to 3650d, such as \"300s\" or \"5m\""),
            (&["latency 95 1s"], "expected a percentile from p1 to p99.9"),
            (&["latency p95 0"], "expected a time from 1ms to 1000s"),
            (&["failover maybe"], "\"on confirm=2\" or \"off\""),
            (&["failover on confirm=0"], "a whole number from 1 to 200"),
            (&["maintenance file=relative"], "with an absolute path"),
        ] {
            let error = read(lines).expect_err("a mistake").to_string();
            assert!(error.contains(expected), "{lines:?}: {error}");
        }
    }
}
