//! Whether a command may come from a browser: only where its user sent it from a page of the same origin, or by hand.
//!
//! A browser says by `Sec-Fetch-Site` whose page sent a request, but only where it takes the connection for a secure one.
//! By `Origin` it always says so for a `POST`. Programs send neither. Whatever is doubtful is refused.

use super::control::Refusal;

/// Refuses a command that a page of another origin can have sent. Names and values are as the client sent them.
///
/// # Errors
/// What the client is answered.
pub fn refuse_other_sites<'a>(headers: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Result<(), Refusal> {
    let (mut origin, mut site, mut host) = (Said::Nothing, Said::Nothing, Said::Nothing);
    for (name, value) in headers {
        for (known, said) in [("origin", &mut origin), ("sec-fetch-site", &mut site), ("host", &mut host)] {
            if name.eq_ignore_ascii_case(known.as_bytes()) {
                said.hear(value);
            }
        }
    }
    let is_same_site = match site {
        Said::Nothing => false,
        Said::Once(site) if site.eq_ignore_ascii_case(b"same-origin") => true,
        Said::Once(site) if site.eq_ignore_ascii_case(b"none") => false,
        Said::Once(_) | Said::Twice => return Err(refused()),
    };
    match (origin, host) {
        (Said::Nothing, _) => Ok(()),
        (Said::Once(origin), Said::Once(host)) if is_of(origin, host) => Ok(()),
        // HTTP/3 has no such header, and only browsers that say what matters.
        (Said::Once(origin), Said::Nothing) if is_same_site && Place::of_origin(origin).is_some() => Ok(()),
        _ => Err(refused()),
    }
}

/// What a client says in headers of one name.
enum Said<'a> {
    Nothing,
    Once(&'a [u8]),
    /// More than once, so that nobody knows which one others go by.
    Twice,
}

impl<'a> Said<'a> {
    fn hear(&mut self, value: &'a [u8]) {
        *self = if matches!(self, Said::Nothing) { Said::Once(value) } else { Said::Twice };
    }
}

fn refused() -> Refusal {
    Refusal { status: 403, text: "requests from pages of other sites are refused".into() }
}

/// Whether this `Origin` is that of a page from this `Host`.
fn is_of(origin: &[u8], host: &[u8]) -> bool {
    let Some(page) = Place::of_origin(origin) else { return false };
    Place::parse(host, page.port_of_scheme).is_some_and(|host| host == page)
}

/// A host and a port.
#[derive(Debug)]
struct Place<'a> {
    host: &'a str,
    port: u16,
    port_of_scheme: u16,
}

impl PartialEq for Place<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.host.eq_ignore_ascii_case(other.host) && self.port == other.port
    }
}

impl<'a> Place<'a> {
    /// The place that an `Origin` names; `None` for `null`, and for what is none of http.
    fn of_origin(origin: &'a [u8]) -> Option<Place<'a>> {
        let (scheme, rest) = std::str::from_utf8(origin).ok()?.split_once("://")?;
        let port = match scheme {
            _ if scheme.eq_ignore_ascii_case("http") => 80,
            _ if scheme.eq_ignore_ascii_case("https") => 443,
            _ => return None,
        };
        Place::parse(rest.as_bytes(), port)
    }

    /// A host and perhaps a port. Whoever ends TLS in front of nginx leaves the scheme to be known from the origin alone.
    fn parse(text: &'a [u8], port_of_scheme: u16) -> Option<Place<'a>> {
        let text = std::str::from_utf8(text).ok()?;
        // An IPv6 address is in brackets.
        let end = if text.starts_with('[') { text.find(']')? + 1 } else { text.find(':').unwrap_or(text.len()) };
        let (host, rest) = text.split_at(end);
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_[]:".contains(&byte);
        if host.is_empty() || !host.bytes().all(is_host) {
            return None;
        }
        let port = match rest.strip_prefix(':') {
            None if rest.is_empty() => port_of_scheme,
            Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok()?
            }
            _ => return None,
        };
        Some(Place { host, port, port_of_scheme })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_let_through(headers: &[(&str, &str)]) -> bool {
        let headers = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        match refuse_other_sites(headers) {
            Ok(()) => true,
            Err(refusal) => {
                assert_eq!(refusal.status, 403);
                false
            }
        }
    }

    #[test]
    fn programs_and_pages_of_the_same_origin_are_let_through() {
        for headers in [
            &[][..],
            &[("Host", "app.example")],
            &[("Host", "app.example"), ("Origin", "http://app.example")],
            &[("Host", "app.example:80"), ("Origin", "http://app.example")],
            &[("Host", "app.example"), ("Origin", "http://app.example:80")],
            &[("Host", "app.example"), ("Origin", "https://app.example")],
            &[("Host", "app.example:443"), ("Origin", "https://app.example")],
            &[("hOsT", "APP.example:8080"), ("oRIGIN", "HTTP://app.EXAMPLE:8080")],
            &[("Host", "[::1]:8080"), ("Origin", "http://[::1]:8080")],
            &[("Host", "[::1]"), ("Origin", "http://[::1]")],
            &[("Host", "app.example"), ("Origin", "http://app.example"), ("Sec-Fetch-Site", "same-origin")],
            &[("Host", "app.example"), ("Sec-Fetch-Site", "none")],
            &[("Host", "app.example"), ("sec-fetch-site", "Same-Origin")],
            &[("Origin", "https://app.example"), ("Sec-Fetch-Site", "same-origin")],
        ] {
            assert!(is_let_through(headers), "{headers:?}");
        }
    }

    #[test]
    fn whatever_another_page_can_have_sent_is_refused() {
        for headers in [
            &[("Host", "app.example"), ("Origin", "http://evil.example")][..],
            &[("Host", "app.example"), ("ORIGIN", "http://evil.example")],
            &[("Host", "app.example"), ("Origin", "null")],
            &[("Host", "app.example"), ("Origin", "NULL")],
            &[("Host", "app.example"), ("Origin", "")],
            &[("Host", "app.example"), ("Origin", "app.example")],
            &[("Host", "app.example"), ("Origin", "http://")],
            &[("Host", ""), ("Origin", "http://")],
            &[("Host", "app.example"), ("Origin", "http://app.example.evil.example")],
            &[("Host", "app.example"), ("Origin", "http://evil.example/app.example")],
            &[("Host", "app.example"), ("Origin", "http://app.example@evil.example")],
            &[("Host", "app.example"), ("Origin", "http://app.example:8080")],
            &[("Host", "app.example:8080"), ("Origin", "http://app.example")],
            &[("Host", "app.example:8080"), ("Origin", "http://app.example:8081")],
            &[("Host", "app.example:80"), ("Origin", "https://app.example")],
            &[("Host", "app.example:443"), ("Origin", "http://app.example")],
            &[("Host", "app.example"), ("Origin", "http://app.example:+80")],
            &[("Host", "app.example"), ("Origin", "http://app.example:65616")],
            &[("Host", "app.example"), ("Origin", "http://app.example:")],
            &[("Host", "app.example"), ("Origin", "ftp://app.example")],
            &[("Host", "app.example"), ("Origin", "chrome-extension://app.example")],
            &[("Host", "app.example"), ("Origin", "http://app.example http://evil.example")],
            &[("Host", "app.example"), ("Origin", "http://app.example, http://evil.example")],
            &[("Host", "[::1]:8080"), ("Origin", "http://[::2]:8080")],
            &[("Host", "app.example"), ("Origin", "http://app.example"), ("Origin", "http://app.example")],
            &[("Host", "app.example"), ("Origin", "http://app.example"), ("origin", "http://evil.example")],
            &[("Host", "app.example"), ("Host", "evil.example"), ("Origin", "http://evil.example")],
            &[("Origin", "http://app.example")],
            &[("Origin", "null"), ("Sec-Fetch-Site", "same-origin")],
            &[("Host", "app.example"), ("Origin", "http://evil.example"), ("Sec-Fetch-Site", "same-origin")],
            &[("Host", "app.example"), ("Sec-Fetch-Site", "cross-site")],
            &[("Host", "app.example"), ("Sec-Fetch-Site", "same-site")],
            &[("Host", "app.example"), ("SEC-FETCH-SITE", "Cross-Site")],
            &[("Host", "app.example"), ("Sec-Fetch-Site", "")],
            &[("Host", "app.example"), ("Sec-Fetch-Site", "something-new")],
            &[("Host", "app.example"), ("Sec-Fetch-Site", "none"), ("Sec-Fetch-Site", "none")],
            &[("Host", "app.example"), ("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "cross-site")],
        ] {
            assert!(!is_let_through(headers), "{headers:?}");
        }
    }
}
