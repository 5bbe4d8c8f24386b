//! What an operator wrote about a sink: `SINK TARGET [name=N] [timeout=10s] [ca=PATH] …`.
//!
//! Everything that a worker could not read later (environment, files, the proxy to use) is read here, by the master.
//! What one service alone takes is read by that service. No error shows a value that may be secret, also where it stands
//! in the wrong place.

mod error;
mod route;
mod source;
mod tls;
pub(super) mod words;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ring::digest;
use ureq::tls::ClientCert;

use super::endpoint::Endpoint;
pub use super::endpoint::UrlProblem;
use super::http::proxy::{BadProxy, Proxy};
use super::secret::Secret;
use super::service::Service;
use super::{SINKS_MAX, SinkKind};
use crate::base::units::parse_time_ms;
pub use error::{Part, SettingsError};
pub use route::Route;
pub use source::{Missing, Source, SystemSource};
use words::Words;

const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
const TIMEOUT_RANGE: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60);
const NAME_MAX: usize = 48;
/// A time is quoted in an error only up to this length.
const TIME_QUOTED_MAX: usize = 10;

/// One sink, checked and complete.
#[derive(Clone)]
pub struct SinkSettings {
    /// Its name in status and metrics; empty until [`name_sinks`] has given the default.
    pub name: String,
    /// The service.
    pub kind: SinkKind,
    /// Time for one message in all, from name lookup to answer.
    pub timeout: Duration,
    pub(super) service: Arc<dyn Service>,
    pub(super) endpoint: Endpoint,
    /// What its pace is for, and what tells it from another: its URL, or a channel behind it.
    place: Secret,
    /// What a service could repeat in its answers.
    pub(super) secrets: Vec<Secret>,
    /// Certificates (DER) that are trusted beside the system's.
    pub(super) extra_roots: Vec<Vec<u8>>,
    /// What this side shows of itself where a server asks for it.
    pub(super) client_cert: Option<ClientCert>,
    pub(super) proxy: Option<Proxy>,
    /// Which alerts it is for.
    pub route: Route,
}

impl SinkSettings {
    /// Reads the words behind `alert_notify`.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, as a sentence for the operator.
    pub fn parse(words: &[&str], source: &dyn Source) -> Result<SinkSettings, SettingsError> {
        let words = Words::split(words, source)?;
        let name = words.written("name").map(name).transpose()?.unwrap_or_default();
        let timeout = words.written("timeout").map(timeout).transpose()?.unwrap_or(TIMEOUT_DEFAULT);
        let route = Route::read(&words)?;
        let configured = words.kind().read(&words)?;
        let proxy = Proxy::for_target(&configured.endpoint, words.source())
            .map_err(|BadProxy { variable }| SettingsError::Proxy { variable })?;
        let mut secrets = words.secrets();
        secrets.extend(configured.endpoint.secrets());
        secrets.extend(proxy.as_ref().and_then(Proxy::user));
        Ok(SinkSettings {
            name,
            kind: words.kind(),
            timeout,
            service: configured.service,
            place: configured.place,
            endpoint: configured.endpoint,
            secrets,
            extra_roots: tls::root_certs(&words)?,
            client_cert: tls::client_cert(&words)?,
            proxy,
            route,
        })
    }

    /// Differs where the sink is another place, and is the same in all versions of this module. Never zero.
    pub fn fingerprint(&self) -> u64 {
        let place = digest::digest(&digest::SHA256, format!("{} {}", self.kind, self.place.reveal()).as_bytes());
        place.as_ref().first_chunk().map_or(1, |bytes| u64::from_le_bytes(*bytes).max(1))
    }

    /// Where the sink is, without what is secret: `https://hooks.slack.com/…`.
    pub fn display_target(&self) -> String {
        self.endpoint.to_string()
    }
}

impl fmt::Debug for SinkSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SinkSettings { name, kind, timeout, endpoint, proxy, .. } = self;
        let target = endpoint.to_string();
        f.debug_struct("SinkSettings")
            .field("name", name)
            .field("kind", kind)
            .field("target", &target)
            .field("timeout", timeout)
            .field("proxy", proxy)
            .finish_non_exhaustive()
    }
}

/// Whether this is a URL of a place on the web.
pub(crate) fn is_url(text: &str) -> bool {
    Endpoint::parse(text).is_ok()
}

/// Gives each sink that has no name the default: its kind, then `slack_2` and so on, whatever is free.
///
/// # Errors
///
/// Two sinks were given the same name, or there are too many.
pub fn name_sinks(sinks: &mut [SinkSettings]) -> Result<(), SettingsError> {
    if sinks.len() > SINKS_MAX {
        return Err(SettingsError::TooMany);
    }
    let mut taken: Vec<String> = Vec::with_capacity(sinks.len());
    for sink in sinks.iter().filter(|sink| !sink.name.is_empty()) {
        if taken.contains(&sink.name) {
            return Err(SettingsError::DuplicateName(sink.name.clone()));
        }
        taken.push(sink.name.clone());
    }
    for sink in sinks.iter_mut().filter(|sink| sink.name.is_empty()) {
        let kind = sink.kind.name();
        let mut name = kind.to_owned();
        let mut number = 1;
        while taken.contains(&name) {
            number += 1;
            name = format!("{kind}_{number}");
        }
        taken.push(name.clone());
        sink.name = name;
    }
    Ok(())
}

fn name(name: &str) -> Result<String, SettingsError> {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    if plain && (1..=NAME_MAX).contains(&name.len()) {
        return Ok(name.to_owned());
    }
    let expected = format!("1 to {NAME_MAX} letters, digits, \"_\", \"-\" or \".\"");
    Err(SettingsError::Value { parameter: "name", quoted: None, expected })
}

fn timeout(value: &str) -> Result<Duration, SettingsError> {
    let time = parse_time_ms(value).map(Duration::from_millis).filter(|time| TIMEOUT_RANGE.contains(time));
    time.ok_or_else(|| SettingsError::Value {
        parameter: "timeout",
        quoted: (value.len() <= TIME_QUOTED_MAX).then(|| value.to_owned()),
        expected: format!(
            "a time from {}ms to {}s, such as 10s",
            TIMEOUT_RANGE.start().as_millis(),
            TIMEOUT_RANGE.end().as_secs()
        ),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::HashMap;
    use std::io;
    use std::path::Path;

    use super::*;

    /// An environment and files that exist for a test only.
    #[derive(Default)]
    pub(crate) struct FakeSource {
        pub(crate) env: HashMap<String, String>,
        pub(crate) files: HashMap<String, Vec<u8>>,
    }

    impl FakeSource {
        pub(crate) fn with_env(env: &[(&str, &str)]) -> FakeSource {
            let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            FakeSource { env, ..FakeSource::default() }
        }

        pub(crate) fn with_file(path: &str, content: impl Into<Vec<u8>>) -> FakeSource {
            FakeSource { files: HashMap::from([(path.to_owned(), content.into())]), ..FakeSource::default() }
        }
    }

    impl Source for FakeSource {
        fn env(&self, name: &str) -> Option<String> {
            self.env.get(name).cloned()
        }

        fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
            let found = path.to_str().and_then(|path| self.files.get(path));
            found.cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
        }
    }

    /// Settings without environment or files; the words are separated by spaces.
    pub(crate) fn settings(words: &str) -> SinkSettings {
        parse(words, &FakeSource::default()).expect("valid settings")
    }

    fn parse(words: &str, source: &FakeSource) -> Result<SinkSettings, SettingsError> {
        SinkSettings::parse(&words.split_whitespace().collect::<Vec<_>>(), source)
    }

    pub(crate) fn error(words: &str) -> String {
        parse(words, &FakeSource::default()).expect_err("must be refused").to_string()
    }

    const SECRET: &str = "s3cr3t-t0k3n-0123456789abcdefghi";

    #[test]
    fn a_url_is_enough() {
        let slack = settings("slack https://hooks.slack.com/services/T/B/x");
        assert_eq!((slack.kind.name(), slack.timeout), ("slack", Duration::from_secs(10)));
        assert_eq!(slack.display_target(), "https://hooks.slack.com/…");
    }

    #[test]
    fn a_target_comes_from_the_environment_or_a_file_without_its_line_end() {
        let url = "https://example.com/hook";
        let source = FakeSource::with_env(&[("HOOK", url)]);
        assert_eq!(parse("webhook env:HOOK", &source).expect("valid").endpoint.url(), url);
        let source = FakeSource::with_file("/run/secrets/hook", format!("{url}\r\n"));
        assert_eq!(parse("webhook file:/run/secrets/hook", &source).expect("valid").endpoint.url(), url);
    }

    #[test]
    fn what_is_unset_empty_or_unreadable_is_named() {
        for source in [FakeSource::default(), FakeSource::with_env(&[("HOOK", " ")])] {
            let error = parse("slack env:HOOK", &source).expect_err("refused").to_string();
            assert!(error.contains("\"HOOK\"") && error.contains("not set or empty"), "{error}");
        }
        let error = error("webhook https://example.com/ secret=file:/run/secrets/key");
        assert!(error.contains("\"/run/secrets/key\"") && error.contains("\"secret=\""), "{error}");
        for content in [&b"\n"[..], b"\xff\xfe"] {
            let source = FakeSource::with_file("/k", content);
            assert!(parse("slack file:/k", &source).is_err());
        }
    }

    #[test]
    fn mistakes_are_told_with_what_would_be_right() {
        for (words, parts) in [
            (
                "",
                &[
                    "no sink",
                    "slack, webhook, alertmanager, pagerduty, teams, discord, slack_bot, telegram, googlechat, ntfy, email, grafana",
                ][..],
            ),
            ("slak https://example.com", &["unknown sink \"slak\"", "slack, webhook"]),
            ("slack", &["no target", "URL", "env:VAR"]),
            ("pagerduty", &["routing key"]),
            ("slack https://example.com nmae=x", &["unknown parameter \"nmae\"", "\"name=\"", "\"timeout=\""]),
            ("slack https://example.com name=x name=y", &["\"name=\" is given twice"]),
            ("slack https://example.com name=ä", &["\"name=\"", "letters"]),
            ("slack https://example.com name=", &["\"name=\"", "letters"]),
            ("slack https://example.com secret=x", &["\"secret=\" is for \"webhook\" only"]),
            (
                "slack https://example.com url=x",
                &["\"url=\" is for \"pagerduty\", \"slack_bot\" and \"telegram\" only"],
            ),
            ("slack https://example.com timeout=0", &["value \"0\" of \"timeout=\"", "100ms to 60s"]),
            ("slack https://example.com timeout=2h", &["value \"2h\""]),
            ("slack https://example.com timeout=99999999999999999999s", &["timeout"]),
            ("slack https://example.com ca=none.pem", &["\"none.pem\"", "must be absolute"]),
            ("slack https://example.com/$token", &["holds a variable", "env:VAR"]),
            ("slack ${hook}", &["holds a variable"]),
            ("slack env:", &["the target is empty"]),
            ("slack https://example.com ca=/none.pem", &["\"/none.pem\"", "not found"]),
            ("slack ftp://example.com", &["the target must begin with \"http://\""]),
            ("webhook https://example.com secret=", &["\"secret=\" is empty"]),
            ("pagerduty abc", &["32 letters and digits", "3 characters"]),
        ] {
            let error = error(words);
            assert!(parts.iter().all(|part| error.contains(part)), "{words:?} gives {error:?}");
        }
    }

    #[test]
    fn times_are_read_as_nginx_writes_them() {
        for (word, milliseconds) in [("5s", 5000), ("250ms", 250), ("1m", 60_000), ("7", 7000)] {
            let settings = settings(&format!("slack https://example.com timeout={word}"));
            assert_eq!(settings.timeout, Duration::from_millis(milliseconds));
        }
    }

    #[test]
    fn a_secret_is_shown_neither_by_an_error_nor_by_the_settings() {
        let url = format!("https://me:{SECRET}@example.com/{SECRET}?key={SECRET}");
        let env = FakeSource::with_env(&[("BAD", &format!("htps://example.com/{SECRET}")), ("KEY", SECRET)]);
        for words in [
            format!("{url} slack"),
            format!("{SECRET} slack"),
            format!("slack htps://example.com/{SECRET}"),
            format!("slack https://example.com:port/{SECRET}"),
            format!("slack https://exam[ple.com/{SECRET}"),
            "slack env:BAD".to_owned(),
            "pagerduty env:KEY".to_owned(),
            format!("pagerduty {SECRET} url=ftp://{SECRET}"),
            format!("slack https://example.com/ {SECRET}"),
            format!("slack https://example.com/ {SECRET}=x"),
            format!("slack https://example.com/ {url}"),
            format!("slack https://example.com/ secret={SECRET}"),
            format!("slack https://example.com/ name=/{SECRET}"),
            format!("webhook https://example.com/ secret={SECRET} secret={SECRET}"),
        ] {
            let error = parse(&words, &env).expect_err("refused");
            assert!(!format!("{error} {error:?}").contains(SECRET), "{words} gives {error}");
        }
        let settings = parse(&format!("webhook {url} secret=env:KEY"), &env).expect("valid");
        let shown = format!("{settings:?} {}", settings.display_target());
        assert!(!shown.contains(SECRET), "{shown}");
        assert!(settings.secrets.iter().any(|secret| secret.reveal() == SECRET));
    }

    #[test]
    fn default_names_are_numbered_and_take_what_is_free() {
        let words =
            ["slack http://a", "teams http://a", "slack http://b", "slack http://c name=slack_2", "slack http://d"];
        let mut sinks = words.map(settings);
        name_sinks(&mut sinks).expect("no name twice");
        let names = sinks.map(|sink| sink.name);
        assert_eq!(names, ["slack", "teams", "slack_3", "slack_2", "slack_4"]);
    }

    #[test]
    fn a_name_stands_for_one_sink() {
        let mut sinks = ["slack http://a name=ops", "teams http://a name=ops"].map(settings);
        assert_eq!(name_sinks(&mut sinks), Err(SettingsError::DuplicateName("ops".into())));
    }

    #[test]
    fn a_ca_file_must_hold_certificates() {
        for content in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            let source = FakeSource::with_file("/ca.pem", content);
            let error = parse("slack https://example.com ca=/ca.pem", &source).expect_err("refused");
            assert!(matches!(error, SettingsError::Path { parameter: "ca", .. }), "{error}");
        }
    }

    #[test]
    fn the_proxy_of_the_environment_is_carried_along() {
        let source = FakeSource::with_env(&[("HTTPS_PROXY", "http://proxy:3128")]);
        assert!(parse("slack https://example.com", &source).expect("valid").proxy.is_some());
        assert!(parse("slack http://example.com", &source).expect("valid").proxy.is_none());
        let source = FakeSource::with_env(&[("HTTPS_PROXY", "gopher://proxy")]);
        let error = parse("slack https://example.com", &source).expect_err("refused").to_string();
        assert!(error.contains("\"HTTPS_PROXY\""), "{error}");
    }
}
