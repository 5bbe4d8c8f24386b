//! The directives of one monitor: `alert_monitor NAME { … }`.

use super::{Error, Host, MonitorSettings, WINDOW_MAX, rollout, values};
use crate::base::address;
use crate::model::ids::POOLS_MAX;

/// The variables that name pool and release where nothing else is written.
pub(super) const POOL_FROM: &str = "$upstream_http_x_app_pool";
pub(super) const RELEASE_FROM: &str = "$upstream_http_x_release_id";

/// Every directive of a monitor and how it is written. `notify` is read by the [`Reader`](super::reader::Reader), who
/// has the sinks.
const DIRECTIVES: [(&str, &str); 16] = [
    ("pool", "pool NAME ADDRESS ...;"),
    ("pool_from", "pool_from $variable;"),
    ("release_from", "release_from $variable;"),
    ("failure_if", "failure_if $variable;"),
    ("active", "active NAME;"),
    ("window", "window N [max_age=TIME];"),
    ("error_rate", "error_rate PERCENT|off;"),
    ("retry_rate", "retry_rate PERCENT|off;"),
    ("abandon_rate", "abandon_rate PERCENT|off;"),
    ("outage", "outage on [confirm=N]|off;"),
    ("latency", "latency PERCENTILE TIME|off [of=header|response];"),
    ("failover", "failover on [confirm=N]|off;"),
    ("cooldown", "cooldown TIME;"),
    ("maintenance", "maintenance on|off|file=PATH;"),
    ("runbook", "runbook URL;"),
    ("notify", "notify SINK TARGET [name=N] [timeout=TIME] [ca=PATH] [secret=S] [url=URL];"),
];

/// All directives of a monitor, those of rollouts included.
pub(super) fn directives() -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    DIRECTIVES.iter().chain(&rollout::DIRECTIVES)
}

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
        let name = values::name("alert_monitor", name)?;
        Ok(MonitorReader { settings: MonitorSettings::new(name), seen: Vec::new() })
    }

    /// Reads one directive: its name and its words.
    ///
    /// # Errors
    /// What is wrong with it; the monitor stays as it was.
    pub fn directive(&mut self, words: &[&str], resolve: Resolve) -> Result<(), Error> {
        let (name, args) = words.split_first().ok_or_else(|| Error::UnknownDirective(String::new()))?;
        let Some((directive, usage)) = directives().find(|(known, _)| known == name) else {
            return Err(Error::UnknownDirective((*name).into()));
        };
        let wrong_count = || Error::Arguments { directive: (*name).into(), usage };
        if !matches!(*directive, "pool" | "notify") && self.seen.contains(directive) {
            return Err(Error::Duplicate((*name).into()));
        }
        let settings = &mut self.settings;
        match (*directive, args) {
            ("pool", [pool, addresses @ ..]) if !addresses.is_empty() => settings.add_pool(pool, addresses, resolve)?,
            ("pool_from", [variable]) => settings.pool_from = values::variable("pool_from", variable, POOL_FROM)?,
            ("release_from", [variable]) => {
                settings.release_from = values::variable("release_from", variable, RELEASE_FROM)?;
            }
            ("failure_if", [variable]) => {
                settings.failure_if = Some(values::variable("failure_if", variable, "$failed")?);
            }
            ("active", [pool]) => settings.active = Some(values::name("active", pool)?),
            ("window", [size, options @ ..]) if options.len() <= 1 => {
                settings.window = values::number("window", size, "window N", WINDOW_MAX)?;
                settings.max_age_ms = match options.first() {
                    None => None,
                    Some(option) => Some(values::max_age(option)?),
                };
            }
            ("error_rate", [limit]) => settings.error_rate = values::percent("error_rate", limit, "2%")?,
            ("retry_rate", [limit]) => settings.retry_rate = values::percent("retry_rate", limit, "10%")?,
            ("abandon_rate", [limit]) => settings.abandon_rate = values::percent("abandon_rate", limit, "10%")?,
            ("outage", words) => {
                let confirm = values::confirm("outage", words, 10, "outage on confirm=10");
                settings.outage = confirm.ok_or_else(wrong_count)??;
            }
            ("latency", ["off"]) => settings.latency = None,
            ("latency", ["off", option]) => {
                (settings.latency, settings.latency_of) = (None, values::latency_of(option)?);
            }
            ("latency", [percentile, limit]) => settings.latency = Some(values::latency(percentile, limit)?),
            ("latency", [percentile, limit, option]) => {
                let of = values::latency_of(option)?;
                (settings.latency, settings.latency_of) = (Some(values::latency(percentile, limit)?), of);
            }
            ("failover", words) => {
                let confirm = values::confirm("failover", words, 2, "failover on confirm=2");
                settings.failover = confirm.ok_or_else(wrong_count)??;
            }
            ("cooldown", [time]) => settings.cooldown_ms = values::cooldown(time)?,
            ("maintenance", [when]) => settings.maintenance = values::maintenance(when)?,
            ("runbook", [url]) => {
                settings.runbook = Some(values::url("runbook", url, "https://wiki.example.com/runbook")?);
            }
            (name, words) => settings.rollout.directive(name, words).ok_or_else(wrong_count)??,
        }
        self.seen.push(directive);
        Ok(())
    }

    /// Gives this monitor sinks of its own, in place of those of the http level: this one too, as its place in
    /// [`Settings::sinks`](super::Settings::sinks), if it is there.
    pub fn notify(&mut self, sink: Option<usize>) {
        self.settings.sinks.get_or_insert_default().extend(sink);
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
        settings.rollout.check(settings.pools.len())?;
        Ok(settings)
    }
}

impl MonitorSettings {
    fn add_pool(&mut self, name: &str, addresses: &[&str], resolve: Resolve) -> Result<(), Error> {
        let name = values::name("pool", name)?;
        if self.pools.iter().any(|(other, _)| *other == name) {
            return Err(Error::DuplicatePool(name));
        }
        if self.pools.len() == POOLS_MAX {
            return Err(Error::TooManyPools);
        }
        let mut resolved: Vec<String> = Vec::new();
        for written in addresses {
            let found = resolve(written).map_err(|cause| Error::Address { address: (*written).into(), cause })?;
            if address::is_name(written) {
                let (pool, written) = (self.pools.len(), (*written).into());
                self.hosts.push(Host { pool, written, addresses: found.clone() });
            }
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::settings::{LatencyOf, Maintenance};

    /// A monitor of these lines, with addresses as they are written.
    pub(crate) fn read(lines: &[&str]) -> Result<MonitorSettings, Error> {
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
            "latency p95 500ms of=response",
            "abandon_rate 5%",
            "outage on confirm=20",
            "failure_if $failed",
            "runbook https://wiki.example.com/app",
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
        assert_eq!((settings.latency_of, settings.outage), (LatencyOf::Response, Some(20)));
        assert_eq!(settings.abandon_rate.map(|limit| limit.to_string()).as_deref(), Some("5%"));
        assert_eq!(settings.failure_if.as_deref(), Some("$failed"));
        assert_eq!(settings.runbook.as_deref(), Some("https://wiki.example.com/app"));
    }

    #[test]
    fn what_is_not_written_has_its_default() {
        let settings = read(&[]).expect("valid settings");
        let percents = [settings.error_rate, settings.retry_rate, settings.abandon_rate];
        assert_eq!(percents.map(|limit| limit.expect("on").to_string()), ["2%", "10%", "10%"]);
        assert_eq!((settings.outage, settings.failover, settings.latency), (Some(10), Some(2), None));
        assert_eq!((settings.latency_of, settings.failure_if, settings.runbook), (LatencyOf::Header, None, None));
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
            (&["latency p95 1s of=body"], "\"of=header\" or \"of=response\""),
            (&["latency p95 1s header"], "\"of=header\" or \"of=response\""),
            (&["abandon_rate 5"], "a percentage from 0% to 100%, such as \"10%\""),
            (&["outage maybe"], "\"on confirm=10\" or \"off\""),
            (&["outage on confirm=0"], "a whole number from 1 to 200 (\"outage on confirm=10\")"),
            (&["failure_if failed"], "one variable, such as \"$failed\""),
            (&["runbook wiki"], "a URL of at most 512 bytes, such as \"https://wiki.example.com/runbook\""),
            (&["failover maybe"], "\"on confirm=2\" or \"off\""),
            (&["failover on confirm=0"], "a whole number from 1 to 200"),
            (&["maintenance file=relative"], "with an absolute path"),
        ] {
            let error = read(lines).expect_err("a mistake").to_string();
            assert!(error.contains(expected), "{lines:?}: {error}");
        }
    }
}
