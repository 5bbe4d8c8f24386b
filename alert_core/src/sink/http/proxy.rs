//! The HTTP proxy of the environment: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`, also in lower case.
//!
//! Read by the master together with the rest of the configuration, since workers have no environment. As with curl, the
//! lower case goes first and a variable that is set to nothing means no proxy; requests to `http` targets go through an
//! HTTP proxy by absolute URI, and those to `https` targets by CONNECT.

use std::fmt;
use std::net::IpAddr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::sink::endpoint::Endpoint;
use crate::sink::secret::Secret;
use crate::sink::settings::Source;

/// A proxy to go through.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::sink) struct Proxy {
    inner: ureq::Proxy,
}

/// The variable whose value is not the URL of a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sink) struct BadProxy {
    pub(in crate::sink) variable: String,
}

impl Proxy {
    /// The proxy that the environment wants for this target.
    pub(in crate::sink) fn for_target(target: &Endpoint, source: &dyn Source) -> Result<Option<Proxy>, BadProxy> {
        let either = |name: &str| {
            [name.to_ascii_lowercase(), name.to_owned()]
                .into_iter()
                .find_map(|name| source.env(&name).map(|value| (name, value.trim().to_owned())))
        };
        // Mail goes through no HTTP proxy.
        if target.socket().is_some() || target.is_mail() {
            return Ok(None);
        }
        let own = if target.is_https() { "HTTPS_PROXY" } else { "HTTP_PROXY" };
        let Some((variable, url)) = either(own).or_else(|| either("ALL_PROXY")) else { return Ok(None) };
        let exempt = either("NO_PROXY").is_some_and(|(_, list)| is_exempt(target, &list));
        if url.is_empty() || exempt {
            return Ok(None);
        }
        let inner = ureq::Proxy::new(&url).map_err(|_| BadProxy { variable: variable.clone() })?;
        if inner.host().is_empty() {
            return Err(BadProxy { variable });
        }
        Ok(Some(Proxy { inner }))
    }

    /// Whether the proxy itself is spoken to over TLS.
    pub(in crate::sink) fn is_https(&self) -> bool {
        self.inner.protocol() == ureq::ProxyProtocol::Https
    }

    /// Whether a request to this target goes to the proxy as it is, with its whole URL: what is not encrypted needs no
    /// tunnel, and many proxies make none to other ports than 443.
    pub(in crate::sink) fn takes_absolute_form(&self, target: &Endpoint) -> bool {
        !target.is_https() && self.inner.protocol() == ureq::ProxyProtocol::Http
    }

    pub(in crate::sink) fn host(&self) -> &str {
        self.inner.host()
    }

    pub(in crate::sink) fn port(&self) -> u16 {
        self.inner.port()
    }

    /// The value of the `Proxy-Authorization` header. Not to be shown.
    pub(in crate::sink) fn authorization(&self) -> Option<String> {
        Some(format!("Basic {}", BASE64_STANDARD.encode(self.user()?.reveal())))
    }

    /// Its user and password, with a colon between.
    pub(in crate::sink) fn user(&self) -> Option<Secret> {
        Some(Secret::new(format!("{}:{}", self.inner.username()?, self.inner.password().unwrap_or_default())))
    }

    /// What the client wants.
    pub(in crate::sink) fn for_client(&self) -> ureq::Proxy {
        self.inner.clone()
    }
}

/// Shows host and port, and not the user that may stand in the URL.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.inner.host(), self.inner.port())
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether a `NO_PROXY` list names this target: as a domain (which stands for its subdomains too, with or without a
/// leading dot or `*.`), an address, a network in CIDR notation, any of them with a port, or `*`.
fn is_exempt(target: &Endpoint, list: &str) -> bool {
    let host = target.host().trim_end_matches('.').to_ascii_lowercase();
    let address: Option<IpAddr> = host.parse().ok();
    list.split([',', ' ', '\t']).filter(|entry| !entry.is_empty()).any(|entry| {
        let entry = entry.to_ascii_lowercase();
        let (entry, port) = with_port(&entry);
        if port.is_some_and(|port| port != target.port()) {
            return false;
        }
        if entry == "*" {
            return true;
        }
        match address {
            Some(address) => network_holds(entry, address),
            None => {
                let domain = entry.trim_start_matches('*').trim_start_matches('.').trim_end_matches('.');
                let parent = host.strip_suffix(domain);
                !domain.is_empty() && parent.is_some_and(|parent| parent.is_empty() || parent.ends_with('.'))
            }
        }
    })
}

/// Takes a port off an entry. An IPv6 address has one only behind brackets.
fn with_port(entry: &str) -> (&str, Option<u16>) {
    if let Some((address, rest)) = entry.strip_prefix('[').and_then(|entry| entry.split_once(']')) {
        return (address, rest.strip_prefix(':').and_then(|port| port.parse().ok()));
    }
    match entry.split_once(':') {
        Some((name, port)) if !port.contains(':') => (name, port.parse().ok()),
        _ => (entry, None),
    }
}

fn network_holds(network: &str, address: IpAddr) -> bool {
    let (base, bits) = network.split_once('/').map_or((network, None), |(base, bits)| (base, Some(bits)));
    let Ok(base) = base.parse::<IpAddr>() else { return false };
    let (base, address, width) = match (base, address) {
        (IpAddr::V4(base), IpAddr::V4(address)) => (u128::from(base.to_bits()), u128::from(address.to_bits()), 32),
        (IpAddr::V6(base), IpAddr::V6(address)) => (base.to_bits(), address.to_bits(), 128),
        _ => return false,
    };
    let Some(bits) = bits.map_or(Some(width), |bits| bits.parse::<u32>().ok().filter(|bits| *bits <= width)) else {
        return false;
    };
    // A shift by the whole width is none that u128 knows: a network of no bits holds everything.
    (base ^ address).checked_shr(width - bits).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::settings::tests::FakeSource;

    fn proxy(url: &str, env: &[(&str, &str)]) -> Result<Option<String>, BadProxy> {
        let target = Endpoint::parse(url).expect("a valid URL");
        Ok(Proxy::for_target(&target, &FakeSource::with_env(env))?.map(|proxy| proxy.to_string()))
    }

    #[test]
    fn the_scheme_of_the_target_chooses_the_variable() {
        let env = [("HTTP_PROXY", "http://plain:3128"), ("https_proxy", "tls.example:3129")];
        assert_eq!(proxy("https://hooks.slack.com/", &env), Ok(Some("tls.example:3129".into())));
        assert_eq!(proxy("http://alertmanager/", &env), Ok(Some("plain:3128".into())));
        assert_eq!(proxy("http://alertmanager/", &env[1..]), Ok(None));
        let all = [("ALL_PROXY", "socks5h://any:1080")];
        assert_eq!(proxy("https://hooks.slack.com/", &all), Ok(Some("any:1080".into())));
    }

    #[test]
    fn a_variable_set_to_nothing_means_no_proxy() {
        let env = [("https_proxy", ""), ("HTTPS_PROXY", "http://proxy:1"), ("ALL_PROXY", "http://proxy:1")];
        assert_eq!(proxy("https://hooks.slack.com/", &env), Ok(None));
    }

    #[test]
    fn no_proxy_exempts_domains_addresses_and_networks() {
        for (list, url, exempt) in [
            ("example.com", "https://example.com/", true),
            ("example.com", "https://am.example.com/", true),
            (".example.com", "https://am.example.com/", true),
            ("*.example.com", "https://am.EXAMPLE.com/", true),
            ("example.com", "https://notexample.com/", false),
            ("localhost, 127.0.0.1", "https://127.0.0.1:1/", true),
            ("10.0.0.0/8", "https://10.9.8.7/", true),
            ("10.0.0.0/8", "https://11.9.8.7/", false),
            ("0.0.0.0/0", "https://11.9.8.7/", true),
            ("fd00::/8", "https://[fd12::1]/", true),
            ("::1", "https://[::1]:9/", true),
            ("10.0.0.0/99", "https://10.9.8.7/", false),
            ("example.com:8443", "https://example.com:8443/", true),
            ("example.com:8443", "https://example.com/", false),
            ("*", "https://anything/", true),
            ("", "https://anything/", false),
            (",. ,", "https://anything/", false),
        ] {
            let env = [("HTTPS_PROXY", "http://proxy:3128"), ("NO_PROXY", list)];
            assert_eq!(proxy(url, &env), Ok((!exempt).then(|| "proxy:3128".into())), "{list:?} and {url}");
        }
    }

    #[test]
    fn a_bad_proxy_is_named_by_its_variable_and_its_password_is_not_shown() {
        let env = [("HTTPS_PROXY", "gopher://me:s3cr3t@proxy")];
        assert_eq!(proxy("https://x/", &env), Err(BadProxy { variable: "HTTPS_PROXY".into() }));
        let env = FakeSource::with_env(&[("HTTPS_PROXY", "http://me:s3cr3t@proxy:1")]);
        let target = Endpoint::parse("https://x/").expect("valid");
        let shown = format!("{:?}", Proxy::for_target(&target, &env));
        assert!(shown.contains("proxy:1") && !shown.contains("s3cr3t"), "{shown}");
    }
}
