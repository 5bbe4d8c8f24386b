//! Words and figures of the page, and the one place where text of others is escaped.

use std::fmt::{self, Write as _};

use crate::base::clock::rfc3339;
use crate::base::name::plain;
use crate::model::outcome::Cause;
use crate::report::view::Pool;

/// Text between tags or in quoted attributes.
pub struct Text<'a>(pub &'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for char in self.0.chars().map(plain) {
            match char {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// Text that is a link where it is a URL.
pub struct Linked<'a>(pub &'a str);

impl fmt::Display for Linked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_url = ["https://", "http://"].iter().any(|scheme| self.0.starts_with(scheme)) && !self.0.contains(' ');
        match is_url {
            true => write!(f, "<a href=\"{0}\" rel=noreferrer>{0}</a>", Text(self.0)),
            false => Text(self.0).fmt(f),
        }
    }
}

/// A point in time and how long ago that was.
pub struct Ago {
    /// The point, in milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// Now.
    pub now_ms: u64,
}

impl fmt::Display for Ago {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let full = rfc3339(self.time_ms);
        let seconds = self.now_ms.saturating_sub(self.time_ms) / 1000;
        // The day matters only where it is another one.
        let shown = if seconds < 43_200 { &full[11..19] } else { &full[..16] };
        let shown = shown.replace('T', " ");
        write!(f, "<time datetime={full}>{shown}</time> <span class=soft>UTC, {} ago</span>", Span(seconds))
    }
}

/// A time in seconds, in its largest fitting unit.
pub struct Span(pub u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            seconds @ ..60 => write!(f, "{seconds} s"),
            seconds @ 60..3600 => write!(f, "{} min", seconds / 60),
            seconds @ 3600..86_400 => write!(f, "{} h {} min", seconds / 3600, seconds / 60 % 60),
            seconds => write!(f, "{} d {} h", seconds / 86_400, seconds / 3600 % 24),
        }
    }
}

/// How long ago something happened, if ever.
pub struct Since {
    /// When, in milliseconds since the Unix epoch.
    pub time_ms: Option<u64>,
    /// Now.
    pub now_ms: u64,
}

impl fmt::Display for Since {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.time_ms {
            None => f.write_str("never"),
            Some(time_ms) => write!(f, "{} ago", Span(self.now_ms.saturating_sub(time_ms) / 1000)),
        }
    }
}

/// A pool's name with its colour in front.
pub struct Swatch<'a>(pub &'a Pool, pub &'static str);

impl fmt::Display for Swatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<i class=\"dot {}\"></i>{}", self.1, Text(&self.0.name))
    }
}

/// A share in percent.
pub fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "–".into(), |share| format!("{:.1}<span class=unit> %</span>", share * 100.0))
}

/// A time in milliseconds, in seconds where it is long.
pub fn milliseconds(value: Option<u64>) -> String {
    match value {
        None => "–".into(),
        Some(ms) if ms < 10_000 => format!("{ms}<span class=unit> ms</span>"),
        Some(ms) => format!("{:.1}<span class=unit> s</span>", ms as f64 / 1000.0),
    }
}

/// Requests per second.
pub fn per_second(rate: Option<f64>) -> String {
    match rate {
        None => "–".into(),
        Some(rate) if rate < 9.95 => format!("{rate:.1}<span class=unit>/s</span>"),
        Some(rate) => format!("{}<span class=unit>/s</span>", grouped(rate.round() as u64)),
    }
}

/// Why an attempt failed, in words.
pub fn words(cause: Cause) -> &'static str {
    match cause {
        Cause::Connect => "no connection",
        Cause::Timeout => "timeout",
        Cause::Status => "error answer",
        Cause::Cut => "cut off",
        Cause::Local => "not begun by nginx",
    }
}

/// A number with its digits in groups.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A number with the noun that goes with it.
pub fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(number), if number == 1 { one } else { many })
}

/// The rows of a table that are shown; the rest is counted. It keeps the page small whatever upstreams make up.
pub const ROWS: usize = 12;

/// Says how many rows of a table are left out.
pub fn more(html: &mut String, count: usize) -> fmt::Result {
    match count.checked_sub(ROWS) {
        None | Some(0) => Ok(()),
        Some(more) => write!(html, "<tr><td colspan=6 class=none>and {more} more</tr>"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        assert_eq!(grouped(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(per_second(Some(0.25)), "0.2<span class=unit>/s</span>");
        assert_eq!(per_second(Some(1234.5)), "1\u{202f}235<span class=unit>/s</span>");
        assert_eq!(counted(1, "request", "requests"), "1 request");
        assert_eq!((Span(59).to_string(), Span(3700).to_string()), ("59 s".into(), "1 h 1 min".into()));
    }

    #[test]
    fn only_what_is_a_url_is_a_link() {
        for text in ["javascript:alert(1)", "see https://x", "https://x y", ""] {
            assert_eq!(Linked(text).to_string(), text);
        }
        let url = Linked("https://x/?a=1&b=\"").to_string();
        let escaped = "https://x/?a=1&amp;b=&quot;";
        assert_eq!(url, format!("<a href=\"{escaped}\" rel=noreferrer>{escaped}</a>"));
    }

    #[test]
    fn text_of_others_is_no_markup() {
        assert_eq!(
            Text("<a href='x'>\"&\"\u{202e}").to_string(),
            "&lt;a href=&#39;x&#39;&gt;&quot;&amp;&quot;\u{fffd}"
        );
    }
}
