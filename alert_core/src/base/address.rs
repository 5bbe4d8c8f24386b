//! Addresses of upstream servers, named as nginx names them in `$upstream_addr`.

use std::net::ToSocketAddrs as _;

/// The port of a server that is written without one.
const PORT_DEFAULT: u16 = 80;
/// Bytes that the path of a socket may have, its end included.
const UNIX_PATH_MAX: usize = 108;

/// An address as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written<'a> {
    /// The path of a socket.
    Socket(&'a str),
    /// A name or a numeric address, without brackets, and a port.
    Host(&'a str, u16),
}

/// Resolves an address as `server` in an `upstream` would.
///
/// # Errors
/// The cause.
pub fn resolve(written: &str) -> Result<Vec<String>, String> {
    let (host, port) = match parse(written)? {
        Written::Socket(_) => return Ok(vec![written.into()]),
        Written::Host(host, port) => (host, port),
    };
    let found = (host, port).to_socket_addrs().map_err(|_| "host not found".to_string())?;
    let mut addresses = Vec::new();
    for address in found.map(|address| address.to_string()) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() { Err("host not found".into()) } else { Ok(addresses) }
}

/// Whether an address is written by a name, whose addresses can change.
pub fn is_name(written: &str) -> bool {
    matches!(parse(written), Ok(Written::Host(host, _)) if host.parse::<std::net::IpAddr>().is_err())
}

/// Reads `HOST[:PORT]`, `[IPV6][:PORT]` or `unix:/path`, without looking a name up.
///
/// # Errors
/// The cause.
pub fn parse(written: &str) -> Result<Written<'_>, String> {
    if let Some(path) = written.strip_prefix("unix:") {
        return match path.len() {
            0 => Err("no path of the socket".into()),
            UNIX_PATH_MAX.. => Err("too long path of the socket".into()),
            _ => Ok(Written::Socket(path)),
        };
    }
    let (host, port) = match written.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or("no \"]\" after the address")?;
            let invalid = || "invalid host".to_string();
            let port = if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or_else(invalid)?) };
            // Brackets hold an address and never a name.
            host.parse::<std::net::Ipv6Addr>().map_err(|_| "invalid IPv6 address".to_string())?;
            (host, port)
        }
        None => match written.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (written, None),
        },
    };
    let port = match port {
        None => PORT_DEFAULT,
        Some(port) => {
            let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
            port.parse().ok().filter(|port| digits && *port > 0).ok_or("invalid port")?
        }
    };
    if host.is_empty() { Err("no host".into()) } else { Ok(Written::Host(host, port)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_named_as_nginx_names_them() {
        for (written, named) in [
            ("127.0.0.1:8081", "127.0.0.1:8081"),
            ("127.0.0.1", "127.0.0.1:80"),
            ("[::1]:8081", "[::1]:8081"),
            ("[0:0::1]", "[::1]:80"),
            ("unix:/run/app.sock", "unix:/run/app.sock"),
        ] {
            assert_eq!(resolve(written), Ok(vec![named.to_string()]), "{written}");
        }
        assert!(resolve("localhost:1").is_ok_and(|found| found.contains(&"127.0.0.1:1".to_string())));
    }

    #[test]
    fn only_names_of_hosts_are_names() {
        assert!(["app", "app.internal:8080", "localhost:1"].into_iter().all(is_name));
        assert!(!["127.0.0.1", "127.0.0.1:80", "[::1]:80", "unix:/run/app", ":80"].into_iter().any(is_name));
    }

    #[test]
    fn what_is_no_address_says_why() {
        for (written, cause) in [
            ("", "no host"),
            (":80", "no host"),
            ("127.0.0.1:", "invalid port"),
            ("127.0.0.1:0", "invalid port"),
            ("127.0.0.1:+1", "invalid port"),
            ("127.0.0.1:65536", "invalid port"),
            ("::1", "invalid port"),
            ("[::1", "no \"]\" after the address"),
            ("[::1]80", "invalid host"),
            ("[localhost]:80", "invalid IPv6 address"),
            ("unix:", "no path of the socket"),
            ("no such host", "host not found"),
        ] {
            assert_eq!(resolve(written), Err(cause.to_string()), "{written}");
        }
        assert!(resolve(&format!("unix:/{}", "x".repeat(107))).is_err());
    }
}
