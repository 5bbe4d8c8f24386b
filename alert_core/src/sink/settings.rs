//! What an operator wrote about a sink: `SINK TARGET [name=N] [timeout=10s] [ca=PATH] [secret=…] [url=URL]`.
//!
//! Everything that a worker could not read later (environment, files, the proxy to use) is read here, by the master.
//! No error shows a value that may be secret, also where it stands in the wrong place.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::SinkKind;
use super::endpoint::Endpoint;
pub use super::endpoint::UrlProblem;
use super::pagerduty;
use super::proxy::{BadProxy, Proxy};
use super::secret::Secret;
use crate::base::address;
use crate::base::cause::reason;
use crate::base::units::parse_time_ms;
use crate::sink::SINKS_MAX;

const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
const TIMEOUT_RANGE: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60);
const NAME_MAX: usize = 48;
/// A word of the operator is quoted in an error only up to this length: keys and tokens are longer.
const QUOTED_MAX: usize = 20;

/// Where settings come from beside the configuration file.
pub trait Source {
    /// The variable of the environment, `None` where it is not set or not UTF-8.
    fn env(&self, name: &str) -> Option<String>;

    /// The content of a file.
    ///
    /// # Errors
    ///
    /// Whatever kept the file from being read.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// The addresses of a server that is written like this.
    ///
    /// # Errors
    ///
    /// The cause.
    fn resolve(&self, written: &str) -> Result<Vec<String>, String> {
        address::resolve(written)
    }
}

/// The environment and the files of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemSource;

impl Source for SystemSource {
    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }
}

/// One sink, checked and complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkSettings {
    /// Its name in status and metrics; empty until [`name_sinks`] has given the default.
    pub name: String,
    /// The service.
    pub kind: SinkKind,
    /// Time for one message in all, from name lookup to answer.
    pub timeout: Duration,
    pub(super) endpoint: Endpoint,
    /// PagerDuty: the routing key. Webhook: the secret of the signature.
    pub(super) key: Option<Secret>,
    /// Certificates (DER) that are trusted beside the system's.
    pub(super) extra_roots: Vec<Vec<u8>>,
    pub(super) proxy: Option<Proxy>,
}

impl SinkSettings {
    /// Reads the words behind `alert_notify`.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, as a sentence for the operator.
    pub fn parse(words: &[&str], source: &dyn Source) -> Result<SinkSettings, SettingsError> {
        let (kind, words) = words.split_first().ok_or(SettingsError::NoSink)?;
        let kind = SinkKind::from_name(kind).ok_or_else(|| SettingsError::UnknownSink(quotable(kind)))?;
        let (target, words) = words.split_first().ok_or(SettingsError::NoTarget(kind))?;
        let parameters = Parameters::parse(words)?;
        for (parameter, value, owner) in [
            (Parameter::Secret, parameters.secret, SinkKind::Webhook),
            (Parameter::Url, parameters.url, SinkKind::PagerDuty),
        ] {
            if value.is_some() && kind != owner {
                return Err(SettingsError::NotForSink { parameter, kind, owner });
            }
        }
        let target = resolve(target, Part::Target, source)?;
        let (url, key) = if kind == SinkKind::PagerDuty {
            let url = parameters.url.map(|url| resolve(url, Part::Url, source)).transpose()?;
            (url.unwrap_or_else(|| pagerduty::ENDPOINT.to_owned()), Some(routing_key(&target)?))
        } else {
            let secret = parameters.secret.map(|secret| resolve(secret, Part::Secret, source)).transpose()?;
            (target, secret.map(Secret::new))
        };
        let part = if kind == SinkKind::PagerDuty { Part::Url } else { Part::Target };
        let endpoint = Endpoint::parse(&url).map_err(|problem| SettingsError::Url { part, problem })?;
        let proxy =
            Proxy::for_target(&endpoint, source).map_err(|BadProxy { variable }| SettingsError::Proxy { variable })?;
        Ok(SinkSettings {
            name: parameters.name.map(name).transpose()?.unwrap_or_default(),
            kind,
            timeout: parameters.timeout.map(timeout).transpose()?.unwrap_or(TIMEOUT_DEFAULT),
            endpoint,
            key,
            extra_roots: parameters.ca.map(|path| root_certs(path, source)).transpose()?.unwrap_or_default(),
            proxy,
        })
    }

    /// Where the sink is, without what is secret: `https://hooks.slack.com/…`.
    pub fn display_target(&self) -> String {
        self.endpoint.to_string()
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

/// The optional words, as `name=value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// The sink's name.
    Name,
    /// Time for one message.
    Timeout,
    /// A file with further root certificates.
    Ca,
    /// The secret of the webhook's signature.
    Secret,
    /// PagerDuty's endpoint.
    Url,
}

impl Parameter {
    const ALL: [Parameter; 5] = [Parameter::Name, Parameter::Timeout, Parameter::Ca, Parameter::Secret, Parameter::Url];

    const fn name(self) -> &'static str {
        match self {
            Parameter::Name => "name",
            Parameter::Timeout => "timeout",
            Parameter::Ca => "ca",
            Parameter::Secret => "secret",
            Parameter::Url => "url",
        }
    }
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}=\"", self.name())
    }
}

/// The values of the optional words.
#[derive(Default)]
struct Parameters<'a> {
    name: Option<&'a str>,
    timeout: Option<&'a str>,
    ca: Option<&'a str>,
    secret: Option<&'a str>,
    url: Option<&'a str>,
}

impl<'a> Parameters<'a> {
    fn parse(words: &[&'a str]) -> Result<Parameters<'a>, SettingsError> {
        let mut parameters = Parameters::default();
        for word in words {
            let unknown = |name| SettingsError::UnknownParameter(quotable(name));
            let (name, value) = word.split_once('=').ok_or_else(|| unknown(word))?;
            let parameter =
                Parameter::ALL.into_iter().find(|known| known.name() == name).ok_or_else(|| unknown(name))?;
            let place = match parameter {
                Parameter::Name => &mut parameters.name,
                Parameter::Timeout => &mut parameters.timeout,
                Parameter::Ca => &mut parameters.ca,
                Parameter::Secret => &mut parameters.secret,
                Parameter::Url => &mut parameters.url,
            };
            if place.replace(value).is_some() {
                return Err(SettingsError::DuplicateParameter(parameter));
            }
        }
        Ok(parameters)
    }
}

/// A part of the setting whose value may be given directly, as `env:VAR` or as `file:/path`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The second word.
    Target,
    /// The value of `secret=`.
    Secret,
    /// The value of `url=`.
    Url,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Target => "the target",
            Part::Secret => "the value of \"secret=\"",
            Part::Url => "the value of \"url=\"",
        })
    }
}

/// What is wrong with a sink's settings, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingsError {
    /// There is no word at all.
    NoSink,
    /// The first word names no service; the word, where it is certain to be no secret.
    UnknownSink(Option<String>),
    /// There is no second word.
    NoTarget(SinkKind),
    /// A word is no parameter; its name, where it is certain to be no secret.
    UnknownParameter(Option<String>),
    /// A parameter stands twice.
    DuplicateParameter(Parameter),
    /// A parameter makes no sense with this service.
    NotForSink {
        /// The parameter.
        parameter: Parameter,
        /// The service.
        kind: SinkKind,
        /// The service that it is for.
        owner: SinkKind,
    },
    /// A variable of the environment is not set, or set to nothing.
    Env {
        /// What it was to give.
        part: Part,
        /// Its name.
        variable: String,
    },
    /// A file cannot be read.
    File {
        /// What it was to give.
        part: Part,
        /// Its path.
        path: String,
        /// Why not.
        cause: String,
    },
    /// A value is empty.
    Empty(Part),
    /// A variable of nginx where none is replaced.
    Variable(Part),
    /// A URL is none that can be posted to.
    Url {
        /// Where it stands.
        part: Part,
        /// What is wrong.
        problem: UrlProblem,
    },
    /// PagerDuty's routing key does not have its form; its length in characters.
    RoutingKey(usize),
    /// The timeout is no time, or out of range; its value, where it is certain to be no secret.
    Timeout(Option<String>),
    /// The name holds other characters than it may, or too many.
    Name,
    /// Two sinks have this name.
    DuplicateName(String),
    /// More sinks than a board can hold.
    TooMany,
    /// The file of `ca=` cannot be used.
    Ca {
        /// Its path.
        path: String,
        /// Why not.
        cause: String,
    },
    /// A variable of the environment that names the proxy does not hold a proxy's URL.
    Proxy {
        /// Its name.
        variable: String,
    },
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |word: &Option<String>| word.as_ref().map_or_else(String::new, |word| format!(" \"{word}\""));
        match self {
            SettingsError::NoSink => write!(f, "no sink is given, it must be one of {}", known_sinks()),
            SettingsError::UnknownSink(word) => {
                write!(f, "unknown sink{}, it must be one of {}", quoted(word), known_sinks())
            }
            SettingsError::NoTarget(SinkKind::PagerDuty) => {
                write!(f, "no target is given, \"pagerduty\" needs its routing key, or env:VAR or file:/path")
            }
            SettingsError::NoTarget(kind) => {
                write!(f, "no target is given, \"{kind}\" needs a URL, or env:VAR or file:/path")
            }
            SettingsError::UnknownParameter(name) => {
                let known: Vec<String> = Parameter::ALL.iter().map(Parameter::to_string).collect();
                write!(f, "unknown parameter{}, it must be one of {}", quoted(name), known.join(", "))
            }
            SettingsError::DuplicateParameter(parameter) => write!(f, "{parameter} is given twice"),
            SettingsError::NotForSink { parameter, kind, owner } => {
                write!(f, "{parameter} is for \"{owner}\" only, \"{kind}\" does not take it")
            }
            SettingsError::Env { part, variable } => write!(
                f,
                "the environment variable \"{variable}\", which gives {part}, is not set or empty where nginx starts"
            ),
            SettingsError::File { part, path, cause } => {
                write!(f, "the file \"{path}\", which gives {part}, cannot be used: {cause}")
            }
            SettingsError::Empty(part) => write!(f, "{part} is empty"),
            SettingsError::Variable(part) => {
                write!(
                    f,
                    "{part} holds a variable, and none is replaced here; write env:VAR, file:/path, or %24 for \"$\""
                )
            }
            SettingsError::Url { part, problem } => {
                write!(f, "{part} {problem}; a URL such as https://example.com/path is needed")
            }
            SettingsError::RoutingKey(length) => write!(
                f,
                "the target must be a routing key of {} letters and digits, this has {length} characters",
                pagerduty::ROUTING_KEY_LENGTH
            ),
            SettingsError::Timeout(value) => write!(
                f,
                "invalid value{} of \"timeout=\", it must be a time from {}ms to {}s, such as 10s",
                quoted(value),
                TIMEOUT_RANGE.start().as_millis(),
                TIMEOUT_RANGE.end().as_secs()
            ),
            SettingsError::Name => write!(
                f,
                "invalid value of \"name=\", it must be 1 to {NAME_MAX} letters, digits, \"_\", \"-\" or \".\""
            ),
            SettingsError::DuplicateName(name) => {
                write!(f, "two sinks have the name \"{name}\", give each another with \"name=\"")
            }
            SettingsError::TooMany => write!(f, "too many sinks, at most {SINKS_MAX} fit"),
            SettingsError::Ca { path, cause } => write!(f, "the file \"{path}\" of \"ca=\" cannot be used: {cause}"),
            SettingsError::Proxy { variable } => write!(
                f,
                "the environment variable \"{variable}\" must be the URL of a proxy, such as http://proxy.example:3128"
            ),
        }
    }
}

impl std::error::Error for SettingsError {}

fn known_sinks() -> String {
    SinkKind::ALL.map(SinkKind::name).join(", ")
}

/// The word, where it is certain to be a slip of the pen and not a secret in the wrong place.
fn quotable(word: &str) -> Option<String> {
    let plain = word.chars().all(|c| c.is_ascii_alphabetic() || "_-".contains(c));
    (plain && !word.is_empty() && word.len() <= QUOTED_MAX).then(|| word.to_owned())
}

/// A value that is given directly, by a variable of the environment, or by a file.
fn resolve(value: &str, part: Part, source: &dyn Source) -> Result<String, SettingsError> {
    let found = if let Some(variable) = value.strip_prefix("env:") {
        if variable.is_empty() {
            return Err(SettingsError::Empty(part));
        }
        let set = source.env(variable).filter(|text| !text.trim().is_empty());
        set.ok_or_else(|| SettingsError::Env { part, variable: variable.to_owned() })?
    } else if let Some(path) = value.strip_prefix("file:") {
        let error = |cause| SettingsError::File { part, path: path.to_owned(), cause };
        let bytes = read(path, source).map_err(error)?;
        let text = String::from_utf8(bytes).map_err(|_| error("it is not UTF-8".into()))?;
        if text.trim().is_empty() {
            return Err(error("it is empty".into()));
        }
        text
    } else if part != Part::Secret && has_variable(value) {
        return Err(SettingsError::Variable(part));
    } else {
        value.to_owned()
    };
    let found = found.trim_end_matches(['\r', '\n']);
    if found.is_empty() { Err(SettingsError::Empty(part)) } else { Ok(found.to_owned()) }
}

/// Whether a word looks as if nginx were to put the value of a variable into it.
fn has_variable(word: &str) -> bool {
    let begins = |rest: &str| rest.starts_with(|c: char| c.is_ascii_alphabetic() || "{_".contains(c));
    word.split('$').skip(1).any(begins)
}

/// The content of a file. A relative path would mean another file each time nginx is started elsewhere.
fn read(path: &str, source: &dyn Source) -> Result<Vec<u8>, String> {
    if !path.starts_with('/') {
        return Err("its path must be absolute".into());
    }
    source.read(Path::new(path)).map_err(|error| reason(&error))
}

fn routing_key(key: &str) -> Result<Secret, SettingsError> {
    if key.len() != pagerduty::ROUTING_KEY_LENGTH || !key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(SettingsError::RoutingKey(key.chars().count()));
    }
    Ok(Secret::new(key))
}

fn name(name: &str) -> Result<String, SettingsError> {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    if plain && (1..=NAME_MAX).contains(&name.len()) { Ok(name.to_owned()) } else { Err(SettingsError::Name) }
}

fn timeout(value: &str) -> Result<Duration, SettingsError> {
    parse_time_ms(value)
        .map(Duration::from_millis)
        .filter(|time| TIMEOUT_RANGE.contains(time))
        .ok_or_else(|| SettingsError::Timeout((value.len() <= QUOTED_MAX / 2).then(|| value.to_owned())))
}

/// The certificates in a PEM file, as DER.
fn root_certs(path: &str, source: &dyn Source) -> Result<Vec<Vec<u8>>, SettingsError> {
    let error = |cause: String| SettingsError::Ca { path: path.to_owned(), cause };
    let pem = read(path, source).map_err(error)?;
    let mut store = RootCertStore::empty();
    let mut certs = Vec::new();
    for cert in CertificateDer::pem_slice_iter(&pem) {
        let cert = cert.map_err(|_| error("it is not valid PEM".into()))?;
        store.add(cert.clone()).map_err(|_| error(format!("certificate {} in it cannot be read", certs.len() + 1)))?;
        certs.push(cert.to_vec());
    }
    if certs.is_empty() {
        return Err(error("there is no PEM certificate (\"-----BEGIN CERTIFICATE-----\") in it".into()));
    }
    Ok(certs)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::HashMap;

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

    fn error(words: &str) -> String {
        parse(words, &FakeSource::default()).expect_err("must be refused").to_string()
    }

    const SECRET: &str = "s3cr3t-t0k3n-0123456789abcdefghi";

    #[test]
    fn a_url_is_enough() {
        let slack = settings("slack https://hooks.slack.com/services/T/B/x");
        assert_eq!((slack.kind, slack.timeout), (SinkKind::Slack, Duration::from_secs(10)));
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
            ("", &["no sink", "slack, webhook, alertmanager, pagerduty, teams, discord"][..]),
            ("slak https://example.com", &["unknown sink \"slak\"", "slack, webhook"]),
            ("slack", &["no target", "URL", "env:VAR"]),
            ("pagerduty", &["routing key"]),
            ("slack https://example.com nmae=x", &["unknown parameter \"nmae\"", "\"name=\"", "\"timeout=\""]),
            ("slack https://example.com name=x name=y", &["\"name=\" is given twice"]),
            ("slack https://example.com name=ä", &["\"name=\"", "letters"]),
            ("slack https://example.com name=", &["\"name=\"", "letters"]),
            ("slack https://example.com secret=x", &["\"secret=\" is for \"webhook\" only"]),
            ("slack https://example.com url=x", &["\"url=\" is for \"pagerduty\" only"]),
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
        assert!(settings.key.expect("a key").reveal() == SECRET);
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
            assert!(matches!(error, SettingsError::Ca { .. }), "{error}");
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
