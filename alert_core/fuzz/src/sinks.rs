//! What stands behind `alert_notify`, with the environment and the files that it is read from.
//!
//! The first line is the words; each further one is `NAME=VALUE` of the environment, or `/path=CONTENT` of a file.

use std::io;
use std::path::Path;

use alert_core::base::address::{self, Written};
use alert_core::sink::Sink;
use alert_core::sink::settings::{SinkSettings, Source, name_sinks};

/// What no error may show. It is longer than any word that is quoted.
const SECRET: &str = "s3cr3t-t0k3n-0123456789";

/// Words that mean something here.
pub const WORDS: &[&str] = &[
    "slack ",
    "webhook ",
    "alertmanager ",
    "pagerduty ",
    "teams ",
    "discord ",
    "ntfy ",
    "slack_bot ",
    "telegram ",
    "googlechat ",
    "grafana ",
    "email ",
    "smtp://",
    "smtps://",
    " channel=C1",
    " chat=-1",
    " from=a@example.com",
    " to=b@example.com",
    " tls=off",
    " mention=<!here>",
    " header=X:1",
    " token=",
    " body={{text}}",
    "https://",
    "http://",
    "env:",
    "file:/a",
    " name=",
    " timeout=",
    " ca=/a",
    " cert=/a",
    " key=/a",
    " kinds=failover,outage",
    " severity=critical",
    "http+unix://%2Frun%2Fa.sock/x",
    " secret=",
    " url=",
    "\nA=",
    "\n/a=",
    "\nHTTPS_PROXY=",
    "\nHTTP_PROXY=",
    "\nALL_PROXY=",
    "\nNO_PROXY=",
    "\nno_proxy=",
    "socks5://",
    "user:pass@",
    "[::1]",
    ":65535",
    "10.0.0.0/8",
    "*",
    "$",
    "0123456789abcdef0123456789abcdef",
    "-----BEGIN CERTIFICATE-----",
    "-----END CERTIFICATE-----",
    SECRET,
];

/// Environment and files made up of text.
pub struct Made<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Made<'a> {
    /// The lines that have a name and a value.
    pub fn of(lines: impl Iterator<Item = &'a str>) -> Made<'a> {
        Made(lines.filter_map(|line| line.split_once('=')).collect())
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }
}

impl Source for Made<'_> {
    fn env(&self, name: &str) -> Option<String> {
        self.get(name).map(str::to_owned)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let found = path.to_str().and_then(|path| self.get(path));
        found.map(|content| content.replace('\x1f', "\n").into_bytes()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Looks no name up.
    fn resolve(&self, written: &str) -> Result<Vec<String>, String> {
        Ok(vec![match address::parse(written)? {
            Written::Socket(_) => written.to_owned(),
            Written::Host(host, port) => format!("{host}:{port}"),
        }])
    }
}

/// Reads a sink and makes it.
pub fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split('\n');
    let words: Vec<&str> = lines.next().unwrap_or_default().split(' ').filter(|word| !word.is_empty()).collect();
    match SinkSettings::parse(&words, &Made::of(lines)) {
        Ok(settings) => {
            let shown = settings.display_target();
            assert!(
                ["http", "smtp"].iter().any(|scheme| shown.starts_with(scheme)) && shown.ends_with("/…"),
                "{shown}"
            );
            let _ = format!("{settings:?} {:?}", Sink::new(&settings));
            let mut named = [settings.clone(), settings];
            if name_sinks(&mut named).is_ok() {
                assert!(!named[0].name.is_empty() && named[0].name != named[1].name);
            }
        }
        Err(error) => {
            // Names of variables and files are no secret.
            let places =
                ["env:", "file:", "ca=", "cert=", "key=", "secret=env:", "secret=file:", "url=env:", "url=file:"];
            let is_place = |word: &&&str| places.iter().any(|place| word.starts_with(place));
            let shown = words.iter().filter(is_place).any(|word| word.contains(SECRET));
            let error = format!("{error} {error:?}");
            assert!(shown || !error.contains(SECRET), "{text:?} gives {error}");
        }
    }
}
