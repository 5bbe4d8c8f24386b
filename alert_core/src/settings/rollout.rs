//! The directives by which a release takes over step by step: `split_by`, `probe`, `rollout`, `compare`, `rollback`.

use std::ops::RangeInclusive;

use super::{Error, values};
use crate::base::units::{TIME_MAX_DAYS, parse_time_ms};
use crate::rollout::pilot::{OnWorse, Rollback, Rules};
use crate::rollout::probe::Needed;
use crate::rollout::state::{GUARD_MAX_S, STEPS_MAX};
use crate::rules::limit::{LatencyLimit, Percent};

/// These directives and how they are written.
pub(super) const DIRECTIVES: [(&str, &str); 5] = [
    ("split_by", "split_by STRING;"),
    (
        "probe",
        "probe URI [interval=2s] [timeout=1s] [passes=3] [fails=3] [status=200-399] [host=NAME] [port=N]; or probe off;",
    ),
    ("rollout", "rollout PERCENT ... [every=60s] [requests=200] [on_worse=return|hold];"),
    ("compare", "compare errors|off [latency[=p90]|latency=off] [risk=0.1%] [by=0.5%] [warmup=30s];"),
    ("rollback", "rollback off|dry_run|on [within=30m] [cooldown=1h];"),
];

/// How a release takes over in a monitor.
#[derive(Clone, Debug, PartialEq)]
pub struct RolloutSettings {
    /// Whether any of the directives is written, without which the monitor has no room for a rollout.
    pub is_written: bool,
    /// Whether requests are to be routed by `$alert_pool`: any of them but `probe` is written.
    pub is_routed: bool,
    /// What tells clients apart: text with variables.
    pub split_by: String,
    /// How addresses are asked whether they would answer; `None` where they are not.
    pub probe: Option<ProbeSettings>,
    /// What the pilot goes by.
    pub rules: Rules,
    /// Whether failed first attempts are compared.
    pub compare_errors: bool,
    /// The percentile of the old pool, in thousandths, above which a first attempt is slow; `None` where these are not
    /// compared.
    pub compare_latency: Option<u32>,
    /// By how much the rate of failures must be higher, from 0 to 1.
    pub by: f64,
    /// How long a new pool may be slow at first, in milliseconds.
    pub warmup_ms: u64,
    /// How long a release is not tried again that was left, in milliseconds.
    pub cooldown_ms: u64,
}

/// How the addresses of pools are asked whether they would answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeSettings {
    /// The path and query that is asked for.
    pub uri: String,
    /// Time between two probes of an address while something depends on them, in milliseconds.
    pub interval_ms: u64,
    /// How long one may take, in milliseconds.
    pub timeout_ms: u64,
    /// Passes in a row after which an address is up.
    pub passes: u8,
    /// Failures in a row after which it is down.
    pub fails: u8,
    /// The statuses that pass.
    pub status: RangeInclusive<u16>,
    /// The host that is asked for; `None` for the address.
    pub host: Option<String>,
    /// The port that is asked; `None` for that of the address.
    pub port: Option<u16>,
}

impl ProbeSettings {
    /// Time between two probes of an address, in milliseconds: shorter while something depends on them.
    pub fn pace_ms(&self, busy: bool) -> u64 {
        const IDLE_MS: u64 = 10_000;
        if busy { self.interval_ms } else { self.interval_ms.max(IDLE_MS) }
    }

    /// How many results in a row decide, and how long they say something.
    pub fn needed(&self, busy: bool) -> Needed {
        // A probe waits for the nearest tick, and a busy machine.
        const SLACK_MS: u64 = 2000;
        let fresh_ms = self.pace_ms(busy) * 11 / 10 + self.timeout_ms + SLACK_MS;
        Needed { passes: self.passes, fails: self.fails, fresh_ms }
    }
}

impl Default for RolloutSettings {
    fn default() -> RolloutSettings {
        RolloutSettings {
            is_written: false,
            is_routed: false,
            split_by: "$remote_addr".into(),
            probe: None,
            rules: Rules {
                steps: vec![500, 2500, 5000],
                every_s: 60,
                requests: 200,
                on_worse: OnWorse::Return,
                risk: 0.001,
                rollback: Rollback::Off,
                within_s: 1800,
            },
            compare_errors: true,
            compare_latency: Some(900),
            by: 0.005,
            warmup_ms: 30_000,
            cooldown_ms: 3_600_000,
        }
    }
}

impl RolloutSettings {
    /// Reads one of [`DIRECTIVES`]. `None` says that it has too few or too many words.
    pub(super) fn directive(&mut self, name: &str, words: &[&str]) -> Option<Result<(), Error>> {
        self.is_written = true;
        self.is_routed |= name != "probe";
        match (name, words) {
            ("split_by", [text]) => Some(self.split_by(text)),
            ("probe", ["off"]) => {
                self.probe = None;
                Some(Ok(()))
            }
            ("probe", [uri, options @ ..]) => Some(probe(uri, options).map(|probe| self.probe = Some(probe))),
            ("rollout", [_, ..]) => Some(self.rollout(words)),
            ("compare", [what, options @ ..]) => Some(self.compare(what, options)),
            ("rollback", [when, options @ ..]) => Some(self.rollback(when, options)),
            _ => None,
        }
    }

    /// Whether directives that need each other are all there; `pools` is how many the monitor lists.
    pub(super) fn check(&self, pools: usize) -> Result<(), Error> {
        if self.probe.is_some() && pools == 0 {
            return Err(Error::Needs {
                directive: "probe",
                what: "\"pool NAME ADDRESS ...;\", whose addresses it asks",
            });
        }
        if self.rules.rollback == Rollback::Off {
            return Ok(());
        }
        let needs = |what| Err(Error::Needs { directive: "rollback", what });
        match (&self.probe, pools) {
            (None, _) => needs("\"probe URI;\", to know whether the pool before would answer"),
            (_, ..2) => needs("two pools, of which one can take over from the other"),
            _ => Ok(()),
        }
    }

    fn split_by(&mut self, text: &str) -> Result<(), Error> {
        if !text.contains('$') {
            let expected = "text with a variable that tells clients apart, such as \"$remote_addr\"";
            return Err(values::value("split_by", text, expected));
        }
        self.split_by = text.into();
        Ok(())
    }

    fn rollout(&mut self, words: &[&str]) -> Result<(), Error> {
        let mut steps: Vec<u32> = Vec::new();
        for word in words {
            match word.split_once('=') {
                None => {
                    let step = Percent::parse(word).map(|percent| (percent.percent() * 100.0).round() as u32);
                    let least = steps.last().map_or(99, |last| *last);
                    match step.filter(|step| (100..=9900).contains(step) && *step > least) {
                        Some(step) if steps.len() < STEPS_MAX => steps.push(step),
                        _ => {
                            let expected = format!(
                                "at most {STEPS_MAX} percentages that rise within 1% and 99%, as in \"rollout 5% 25% 50%\""
                            );
                            return Err(values::value("rollout", word, expected));
                        }
                    }
                }
                Some(("every", time)) => self.rules.every_s = seconds("rollout", word, time, "every=60s")?,
                Some(("requests", number)) => {
                    self.rules.requests = values::number("rollout", number, "requests=200", 1_000_000)?.into();
                }
                Some(("on_worse", "return")) => self.rules.on_worse = OnWorse::Return,
                Some(("on_worse", "hold")) => self.rules.on_worse = OnWorse::Hold,
                Some(_) => {
                    let expected = "\"every=TIME\", \"requests=N\" or \"on_worse=return|hold\"";
                    return Err(values::value("rollout", word, expected));
                }
            }
        }
        if !steps.is_empty() {
            self.rules.steps = steps;
        }
        Ok(())
    }

    fn compare(&mut self, what: &str, options: &[&str]) -> Result<(), Error> {
        self.compare_errors = match what {
            "errors" => true,
            "off" if options.is_empty() => {
                self.compare_latency = None;
                false
            }
            "off" => return Err(values::value("compare", options[0], "nothing after \"compare off\"")),
            _ => return Err(values::value("compare", what, "\"errors\" or \"off\"")),
        };
        for word in options {
            match word.split_once('=') {
                None if *word == "latency" => self.compare_latency = Some(900),
                Some(("latency", "off")) => self.compare_latency = None,
                Some(("latency", percentile)) => {
                    let per_mille = LatencyLimit::parse_percentile(percentile);
                    let expected = "a percentile from p1 to p99.9, as in \"latency=p90\", or \"latency=off\"";
                    self.compare_latency = Some(per_mille.ok_or_else(|| values::value("compare", word, expected))?);
                }
                Some(("risk", percent)) => {
                    let risk = fraction(percent).filter(|risk| (0.000_01..=0.05).contains(risk));
                    let expected = "a risk from 0.001% to 5%, as in \"risk=0.1%\"";
                    self.rules.risk = risk.ok_or_else(|| values::value("compare", word, expected))?;
                }
                Some(("by", percent)) => {
                    let by = fraction(percent).filter(|by| (0.0..=1.0).contains(by));
                    let expected = "a percentage from 0% to 100%, as in \"by=0.5%\"";
                    self.by = by.ok_or_else(|| values::value("compare", word, expected))?;
                }
                Some(("warmup", time)) => self.warmup_ms = time_ms("compare", word, time, "warmup=30s")?,
                _ => {
                    let expected =
                        "\"latency[=p90]\", \"latency=off\", \"risk=PERCENT\", \"by=PERCENT\" or \"warmup=TIME\"";
                    return Err(values::value("compare", word, expected));
                }
            }
        }
        Ok(())
    }

    fn rollback(&mut self, when: &str, options: &[&str]) -> Result<(), Error> {
        self.rules.rollback = match when {
            "off" => Rollback::Off,
            "dry_run" => Rollback::DryRun,
            "on" => Rollback::On,
            _ => return Err(values::value("rollback", when, "\"off\", \"dry_run\" or \"on\"")),
        };
        for word in options {
            match word.split_once('=') {
                Some(("within", time)) => {
                    let within_s = seconds("rollback", word, time, "within=30m")?;
                    self.rules.within_s =
                        u32::try_from(within_s).ok().filter(|within_s| *within_s <= GUARD_MAX_S).ok_or_else(|| {
                            values::value("rollback", word, "a time from 1s to 36h, as in \"within=30m\"")
                        })?;
                }
                Some(("cooldown", time)) => self.cooldown_ms = time_ms("rollback", word, time, "cooldown=1h")?,
                _ => return Err(values::value("rollback", word, "\"within=TIME\" or \"cooldown=TIME\"")),
            }
        }
        Ok(())
    }
}

fn probe(uri: &str, options: &[&str]) -> Result<ProbeSettings, Error> {
    if !uri.starts_with('/') || !uri.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(values::value("probe", uri, "a path, such as \"/healthz\", or \"off\""));
    }
    let mut probe = ProbeSettings {
        uri: uri.into(),
        interval_ms: 2000,
        timeout_ms: 1000,
        passes: 3,
        fails: 3,
        status: 200..=399,
        host: None,
        port: None,
    };
    for word in options {
        let (name, text) = word.split_once('=').unwrap_or((word, ""));
        let wrong = |expected: &str| values::value("probe", word, expected);
        match name {
            "interval" | "timeout" => {
                let ms = parse_time_ms(text).filter(|ms| (10..=60_000).contains(ms));
                let ms = ms.ok_or_else(|| wrong("a time from 10ms to 60s, as in \"interval=2s timeout=1s\""))?;
                *(if name == "interval" { &mut probe.interval_ms } else { &mut probe.timeout_ms }) = ms;
            }
            "passes" | "fails" => {
                let number = text.parse::<u8>().ok().filter(|number| (1..=100).contains(number));
                let number = number.ok_or_else(|| wrong("a number from 1 to 100, as in \"passes=3 fails=3\""))?;
                *(if name == "passes" { &mut probe.passes } else { &mut probe.fails }) = number;
            }
            "status" => {
                let (first, last) = text.split_once('-').unwrap_or((text, text));
                let number = |text: &str| text.parse::<u16>().ok().filter(|status| (100..=599).contains(status));
                let range = number(first).zip(number(last)).filter(|(first, last)| first <= last);
                let (first, last) = range.ok_or_else(|| wrong("a status or two, as in \"status=200-399\""))?;
                probe.status = first..=last;
            }
            "host" if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) => {
                probe.host = Some(text.into());
            }
            "host" => return Err(wrong("a name, as in \"host=app.example.com\"")),
            "port" => {
                let port = text.parse::<u16>().ok().filter(|port| *port > 0);
                probe.port = Some(port.ok_or_else(|| wrong("a port from 1 to 65535, as in \"port=8081\""))?);
            }
            _ => {
                let expected =
                    "\"interval=\", \"timeout=\", \"passes=\", \"fails=\", \"status=\", \"host=\" or \"port=\"";
                return Err(wrong(expected));
            }
        }
    }
    Ok(probe)
}

fn time_ms(directive: &'static str, word: &str, time: &str, example: &str) -> Result<u64, Error> {
    parse_time_ms(time).ok_or_else(|| {
        values::value(directive, word, format!("a time from 0s to {TIME_MAX_DAYS}d, as in \"{example}\""))
    })
}

fn seconds(directive: &'static str, word: &str, time: &str, example: &str) -> Result<u64, Error> {
    let ms = time_ms(directive, word, time, example)?;
    match ms {
        1000.. => Ok(ms / 1000),
        _ => Err(values::value(directive, word, format!("a time of at least 1s, as in \"{example}\""))),
    }
}

/// Reads a percentage of any precision, from 0 to 1.
fn fraction(percent: &str) -> Option<f64> {
    let number = percent.strip_suffix('%')?;
    let plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    number.parse::<f64>().ok().filter(|_| plain).map(|percent| percent / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::monitor::tests::read;

    const POOLS: [&str; 2] = ["pool blue b:1", "pool green g:1"];

    #[test]
    fn a_rollout_is_read_in_any_order() {
        let lines = [
            "rollback on within=10m cooldown=2h",
            "probe /healthz interval=1s timeout=500ms passes=2 fails=4 status=200 host=app.example.com port=81",
            "compare errors latency=p95 risk=1% by=0.25% warmup=0s",
            "rollout 1% 12.5% 99% every=10s requests=50 on_worse=hold",
            "split_by $http_x_client$remote_addr",
        ];
        let settings = read(&[&lines[..], &POOLS].concat()).expect("valid settings").rollout;
        let rules = &settings.rules;
        assert_eq!(settings.split_by, "$http_x_client$remote_addr");
        assert_eq!((rules.steps.as_slice(), rules.every_s, rules.requests), (&[100, 1250, 9900][..], 10, 50));
        assert_eq!((rules.on_worse, rules.rollback, rules.within_s), (OnWorse::Hold, Rollback::On, 600));
        assert_eq!((settings.compare_errors, settings.compare_latency), (true, Some(950)));
        assert_eq!((rules.risk, settings.by, settings.warmup_ms), (0.01, 0.0025, 0));
        assert_eq!(settings.cooldown_ms, 7_200_000);
        let probe = settings.probe.expect("a probe");
        assert_eq!((probe.interval_ms, probe.timeout_ms, probe.passes, probe.fails), (1000, 500, 2, 4));
        assert_eq!((probe.status, probe.host.as_deref(), probe.port), (200..=200, Some("app.example.com"), Some(81)));
    }

    #[test]
    fn nothing_written_is_no_rollout_and_off_is_off() {
        assert_eq!(read(&POOLS).expect("valid settings").rollout, RolloutSettings::default());
        let settings = read(&["compare off", "probe off", "rollback off"]).expect("valid settings").rollout;
        assert!(settings.is_written && !settings.compare_errors);
        assert_eq!((settings.compare_latency, settings.probe), (None, None));
        let errors = read(&["compare errors latency=off"]).expect("valid settings").rollout;
        assert_eq!((errors.compare_errors, errors.compare_latency), (true, None));
    }

    #[test]
    fn every_mistake_says_what_would_be_right() {
        for (line, expected) in [
            ("split_by client", "text with a variable that tells clients apart"),
            ("split_by", "write \"split_by STRING;\""),
            ("probe healthz", "a path, such as \"/healthz\", or \"off\""),
            ("probe / interval=1h", "a time from 10ms to 60s"),
            ("probe / passes=0", "a number from 1 to 100"),
            ("probe / status=399-200", "a status or two, as in \"status=200-399\""),
            ("probe / host=", "a name, as in \"host=app.example.com\""),
            ("probe / port=0", "a port from 1 to 65535"),
            ("probe / every=1s", "\"interval=\", \"timeout=\""),
            ("rollout 5", "percentages that rise within 1% and 99%"),
            ("rollout 25% 5%", "invalid value \"5%\" in \"rollout\" directive"),
            ("rollout 5% 5%", "percentages that rise"),
            ("rollout 0.5%", "percentages that rise within 1% and 99%"),
            ("rollout 100%", "percentages that rise within 1% and 99%"),
            ("rollout 5% every=0s", "a time of at least 1s, as in \"every=60s\""),
            ("rollout 5% requests=0", "a whole number from 1 to 1000000 (\"requests=200\")"),
            ("rollout 5% on_worse=stop", "\"on_worse=return|hold\""),
            ("rollout 1% 2% 3% 4% 5% 6% 7% 8% 9% 10% 11% 12% 13% 14% 15% 16%", "at most 15 percentages"),
            ("compare latency", "\"errors\" or \"off\""),
            ("compare off latency", "nothing after \"compare off\""),
            ("compare errors latency=95", "a percentile from p1 to p99.9"),
            ("compare errors risk=6%", "a risk from 0.001% to 5%"),
            ("compare errors risk=0.0001%", "a risk from 0.001% to 5%"),
            ("compare errors by=200%", "a percentage from 0% to 100%"),
            ("compare errors sure", "\"risk=PERCENT\""),
            ("rollback maybe", "\"off\", \"dry_run\" or \"on\""),
            ("rollback off within=2d", "a time from 1s to 36h"),
            ("rollback off cooldown=never", "as in \"cooldown=1h\""),
            ("rollback off after=1h", "\"within=TIME\" or \"cooldown=TIME\""),
            ("probe /", "\"probe\" directive needs \"pool NAME ADDRESS ...;\""),
            ("rollback on", "\"rollback\" directive needs \"probe URI;\""),
            ("rollback dry_run", "\"rollback\" directive needs \"probe URI;\""),
        ] {
            let error = read(&[line]).expect_err("a mistake").to_string();
            assert!(error.contains(expected), "{line:?}: {error}");
        }
        let one_pool = read(&["pool blue b:1", "probe /", "rollback on"]).expect_err("a mistake").to_string();
        assert!(one_pool.contains("needs two pools"), "{one_pool}");
    }
}
