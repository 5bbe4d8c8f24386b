//! Where a sink is posted to: a URL, checked and taken apart so that its public part can be shown.

use std::ffi::OsString;
use std::fmt;
use std::net::IpAddr;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ureq::http::Uri;

use super::secret::Secret;

const UNIX: &str = "http+unix";
const SMTPS: &str = "smtps";
/// Pieces of path and query that the URLs of services have for everybody.
const PUBLIC: [&str; 13] = [
    "services",
    "webhooks",
    "workflows",
    "hooks",
    "api",
    "alerts",
    "annotations",
    "messages",
    "spaces",
    "enqueue",
    "sendMessage",
    "messageReplyOption",
    "REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD",
];

/// A URL that can be posted to.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// `http`, `https`, `http+unix`, `smtp` or `smtps`.
    scheme: &'static str,
    /// Host and port, as written.
    authority: String,
    /// Host alone; an IPv6 address without its brackets.
    host: String,
    /// Path without query, beginning with a slash.
    path: Secret,
    /// Query with its question mark; empty where there is none.
    query: Secret,
    /// User and password with a colon between, where the URL has them.
    user: Option<Secret>,
    /// Of `http+unix`: the socket, which the URL has percent-encoded in place of a host.
    socket: Option<PathBuf>,
    /// A bearer token, which goes before user and password.
    token: Option<Secret>,
}

/// What is wrong with a URL. Says nothing of its text, which may be secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlProblem {
    /// It does not begin with `http://` or `https://`.
    Scheme,
    /// It does not begin with `smtp://` or `smtps://`.
    MailScheme,
    /// What stands in place of a host is not the absolute path of a socket.
    Socket,
    /// There is no host in it.
    Host,
    /// The port is not a number from 1 to 65535.
    Port,
    /// It holds a character that URLs cannot hold.
    Character,
    /// It cannot be read as a URL for another reason.
    Malformed,
}

impl fmt::Display for UrlProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            UrlProblem::Scheme => "must begin with \"http://\" or \"https://\"",
            UrlProblem::MailScheme => "must begin with \"smtp://\" or \"smtps://\"",
            UrlProblem::Socket => "does not name a socket by its absolute path, percent-encoded in place of the host",
            UrlProblem::Host => "names no host",
            UrlProblem::Port => "has a port that is not a number from 1 to 65535",
            UrlProblem::Character => "holds a space or another character that must be percent-encoded",
            UrlProblem::Malformed => "is not a valid URL",
        })
    }
}

impl UrlProblem {
    /// What would be right.
    pub(super) const fn example(self) -> &'static str {
        match self {
            UrlProblem::MailScheme => "smtp://mail.example.com:587",
            UrlProblem::Socket => "http+unix://%2Frun%2Fapp.sock/path",
            _ => "https://example.com/path",
        }
    }
}

impl Endpoint {
    /// Takes a URL apart. Names are not resolved.
    pub(super) fn parse(url: &str) -> Result<Endpoint, UrlProblem> {
        Endpoint::parse_as(url, &["http", "https", UNIX], UrlProblem::Scheme)
    }

    /// The same for the URL of a mail server.
    pub(super) fn parse_mail(url: &str) -> Result<Endpoint, UrlProblem> {
        Endpoint::parse_as(url, &["smtp", SMTPS], UrlProblem::MailScheme)
    }

    fn parse_as(url: &str, schemes: &[&'static str], other: UrlProblem) -> Result<Endpoint, UrlProblem> {
        let (scheme, rest) = url.split_once("://").ok_or(other)?;
        let scheme = schemes.iter().copied().find(|known| known.eq_ignore_ascii_case(scheme)).ok_or(other)?;
        if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(UrlProblem::Character);
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (user, authority) = rest[..end].rsplit_once('@').map_or((None, &rest[..end]), |(u, a)| (Some(u), a));
        if authority.is_empty() || authority.starts_with(':') {
            return Err(UrlProblem::Host);
        }
        let socket = if scheme == UNIX { Some(socket(authority)?) } else { None };
        // HTTP wants some host all the same.
        let (written, authority) = (authority, if socket.is_some() { "localhost" } else { authority });
        let port = authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')).map(|(_, port)| port);
        if port.is_some_and(|port| !port.parse::<u16>().is_ok_and(|port| port > 0)) {
            return Err(UrlProblem::Port);
        }
        let uri: Uri = format!("http://{authority}{}", &rest[end..]).parse().map_err(|_| UrlProblem::Malformed)?;
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        if host.is_empty() {
            return Err(UrlProblem::Host);
        }
        Ok(Endpoint {
            scheme,
            authority: written.to_owned(),
            socket,
            host,
            path: Secret::new(uri.path()),
            query: Secret::new(uri.query().map(|query| format!("?{query}")).unwrap_or_default()),
            user: user.map(decoded_user),
            token: None,
        })
    }

    /// The same place with this path behind its own.
    pub(super) fn below(&self, path: &str) -> Endpoint {
        let own = self.path.reveal().trim_end_matches('/');
        // Somebody who wrote the whole URL means the same.
        let path = if own.ends_with(path) { own.to_owned() } else { format!("{own}{path}") };
        Endpoint { path: Secret::new(path), ..self.clone() }
    }

    /// The URL to post to. Not to be shown.
    pub(super) fn url(&self) -> String {
        format!("{}{}{}", self.origin(), self.path.reveal(), self.query.reveal())
    }

    /// Scheme, host and port of the URL to post to.
    pub(super) fn origin(&self) -> String {
        match self.socket {
            Some(_) => "http://localhost".to_owned(),
            None => format!("{}://{}", self.scheme, self.authority),
        }
    }

    /// The socket to connect to, where there is no host.
    pub(super) fn socket(&self) -> Option<&Path> {
        self.socket.as_deref()
    }

    /// The value of the `Authorization` header. Not to be shown.
    pub(super) fn authorization(&self) -> Option<String> {
        let token = self.token.as_ref().map(|token| format!("Bearer {}", token.reveal()));
        token.or_else(|| self.user.as_ref().map(|user| format!("Basic {}", BASE64_STANDARD.encode(user.reveal()))))
    }

    /// The same place, with this token to show there.
    pub(super) fn with_token(self, token: Option<Secret>) -> Endpoint {
        Endpoint { token, ..self }
    }

    /// The same place, with this behind its query.
    pub(super) fn with_query(self, more: &str) -> Endpoint {
        let separator = if self.query.reveal().is_empty() { '?' } else { '&' };
        Endpoint { query: Secret::new(format!("{}{separator}{more}", self.query.reveal())), ..self }
    }

    /// The last piece of the path and the place without it: an ntfy topic and its server.
    pub(super) fn split_last(&self) -> Option<(Endpoint, String)> {
        let (rest, last) = self.path.reveal().trim_end_matches('/').rsplit_once('/')?;
        let path = Secret::new(if rest.is_empty() { "/" } else { rest });
        (!last.is_empty()).then(|| (Endpoint { path, ..self.clone() }, last.to_owned()))
    }

    /// Host and port, for messages.
    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    /// The host alone.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// The port, also where it is not written.
    pub(super) fn port(&self) -> u16 {
        let written = self.authority.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        written.unwrap_or(match self.scheme {
            "https" => 443,
            "smtp" => 587,
            SMTPS => 465,
            _ => 80,
        })
    }

    pub(super) fn is_https(&self) -> bool {
        self.scheme == "https"
    }

    pub(super) fn is_mail(&self) -> bool {
        self.scheme.starts_with("smtp")
    }

    /// Whether TLS begins with the first byte of a mail server's connection.
    pub(super) fn is_smtps(&self) -> bool {
        self.scheme == SMTPS
    }

    /// Whether it is this machine, by an address or name that can be no other.
    pub(super) fn is_local(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// User and password of the URL. Not to be shown.
    pub(super) fn user(&self) -> Option<(&str, &str)> {
        self.user.as_ref().map(|user| user.reveal().split_once(':').unwrap_or((user.reveal(), "")))
    }

    /// Everything of it that must not be shown.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        let written = format!("{}{}", self.path.reveal(), self.query.reveal());
        let pieces = written.split(['/', '?', '&', '=']).filter(|piece| !PUBLIC.contains(piece));
        let place = pieces.collect::<Vec<_>>().join("/");
        // A short password counts as a whole, which it is not with the user's name in front.
        let user = self.user().into_iter().flat_map(|(name, password)| [name, password]).map(str::to_owned);
        let both = self.user.as_ref().map(|user| user.reveal().to_owned());
        let token = self.token.as_ref().map(|token| token.reveal().to_owned());
        [place].into_iter().chain(user).chain(both).chain(token).map(Secret::new).collect()
    }
}

/// The path that stands in place of a host.
fn socket(authority: &str) -> Result<PathBuf, UrlProblem> {
    let path: Vec<u8> = percent_encoding::percent_decode_str(authority).collect();
    let plain = path.first() == Some(&b'/') && path.len() > 1 && !path.contains(&0);
    plain.then(|| PathBuf::from(OsString::from_vec(path))).ok_or(UrlProblem::Socket)
}

/// Shows scheme and host, and that there is more.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}/…", self.scheme, self.authority)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `user:password` as it stands in a URL, where both are percent-encoded.
fn decoded_user(user: &str) -> Secret {
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    let decode = |text| percent_encoding::percent_decode_str(text).decode_utf8_lossy();
    Secret::new(format!("{}:{}", decode(name), decode(password)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_by_scheme_and_host_only() {
        let endpoint = Endpoint::parse("https://hooks.slack.com/services/T0/B0/abcdef?x=y").expect("valid");
        assert_eq!(endpoint.to_string(), "https://hooks.slack.com/…");
        assert_eq!(format!("{endpoint:?}"), "https://hooks.slack.com/…");
        assert_eq!(endpoint.url(), "https://hooks.slack.com/services/T0/B0/abcdef?x=y");
        assert_eq!((endpoint.host(), endpoint.port()), ("hooks.slack.com", 443));
    }

    #[test]
    fn a_user_in_the_url_becomes_a_header() {
        let endpoint = Endpoint::parse("http://me:p%40ss@am.example:9093").expect("valid");
        assert_eq!(endpoint.url(), "http://am.example:9093/");
        assert_eq!(endpoint.authorization().as_deref(), Some("Basic bWU6cEBzcw=="));
        assert_eq!(endpoint.to_string(), "http://am.example:9093/…");
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (url, problem) in [
            ("hooks.slack.com/x", UrlProblem::Scheme),
            ("ftp://example.com/", UrlProblem::Scheme),
            ("https://", UrlProblem::Host),
            ("https:///path", UrlProblem::Host),
            ("https://user@/path", UrlProblem::Host),
            ("https://example.com:x/", UrlProblem::Port),
            ("https://example.com:0/", UrlProblem::Port),
            ("https://example.com:/", UrlProblem::Port),
            ("https://example.com/a b", UrlProblem::Character),
            ("https://exämple.com/", UrlProblem::Character),
            ("https://exa[mple.com/", UrlProblem::Malformed),
        ] {
            assert_eq!(Endpoint::parse(url).err(), Some(problem), "{url}");
        }
    }

    #[test]
    fn addresses_of_both_families_are_hosts() {
        let v6 = Endpoint::parse("http://[::1]:8090/x").expect("valid");
        assert_eq!((v6.host(), v6.port(), v6.authority()), ("::1", 8090, "[::1]:8090"));
        let v6 = Endpoint::parse("http://[::1]").expect("valid");
        assert_eq!((v6.host(), v6.port(), v6.url().as_str()), ("::1", 80, "http://[::1]/"));
    }

    #[test]
    fn a_socket_stands_in_place_of_the_host() {
        let endpoint = Endpoint::parse("http+unix://%2Frun%2Fapp.sock/hook?x=1").expect("valid");
        assert_eq!(endpoint.socket(), Some(Path::new("/run/app.sock")));
        assert_eq!(endpoint.url(), "http://localhost/hook?x=1");
        assert_eq!(endpoint.to_string(), "http+unix://%2Frun%2Fapp.sock/…");
        assert_eq!(Endpoint::parse("http+unix://run/app.sock").err(), Some(UrlProblem::Socket));
        assert_eq!(Endpoint::parse("http://example.com/").expect("valid").socket(), None);
    }

    #[test]
    fn a_path_is_added_once() {
        for base in ["http://am:9093", "http://am:9093/", "http://am:9093/api/v2/alerts"] {
            let endpoint = Endpoint::parse(base).expect("valid").below("/api/v2/alerts");
            assert_eq!(endpoint.url(), "http://am:9093/api/v2/alerts");
        }
        let endpoint = Endpoint::parse("http://am/prefix/?x=1").expect("valid").below("/api/v2/alerts");
        assert_eq!(endpoint.url(), "http://am/prefix/api/v2/alerts?x=1");
    }

    #[test]
    fn what_everybody_has_in_a_url_is_no_secret_and_all_else_is() {
        let secrets =
            |url| Endpoint::parse(url).expect("valid").secrets().iter().map(|s| s.reveal().to_owned()).collect();
        let all: Vec<String> = secrets("https://me:p%40ss@hooks.example/services/T0/B0/s3cr3t?key=geheim");
        assert_eq!(all, ["/T0/B0/s3cr3t/key/geheim", "me", "p@ss", "me:p@ss"]);
        let all: Vec<String> = secrets("http://alertmanager:9093/api/alerts");
        assert_eq!(all, [""]);
    }
}
