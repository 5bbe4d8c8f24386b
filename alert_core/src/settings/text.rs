//! A configuration as text, for programs that are not nginx: the same words, in nginx's syntax.
//!
//! ```text
//! alert_notify slack https://hooks.slack.com/services/…;
//! alert_monitor app { pool blue 127.0.0.1:8081; pool green 127.0.0.1:8082; error_rate 2%; }
//! ```
//!
//! This module splits the text into words; what the words mean is read by the [`Reader`], as it is for nginx.
//!
//! Source of the syntax: `ngx_conf_read_token()`.

use std::fmt;
use std::iter::Peekable;
use std::str::Chars;

use super::reader::Reader;
use super::{MonitorReader, Settings};
use crate::sink::settings::Source;

/// Where something stands in the text; both numbers begin at 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

/// What is wrong with the text, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Where the directive begins that is wrong, or the character that should not be there.
    pub place: Place,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.place.line, self.place.column, self.message)
    }
}

impl std::error::Error for Error {}

/// Reads a whole configuration. Names of hosts are looked up, which may take its time.
///
/// # Errors
/// The first mistake.
pub fn read(text: &str, source: &dyn Source) -> Result<Settings, Error> {
    let mut tokens = Tokens::new(text);
    let mut reader = Reader::default();
    while let Some(token) = tokens.next()? {
        let place = token.place;
        let error = |message: String| Error { place, message };
        let mistake = |mistake: super::Error| error(mistake.to_string());
        let words: Vec<&str> = token.words.iter().map(String::as_str).collect();
        match (words.as_slice(), token.end) {
            ([], _) => return Err(error("unexpected \"}\"".into())),
            (["alert_monitor", name], End::Brace) => {
                let mut monitor = reader.monitor(name).map_err(mistake)?;
                read_monitor(&mut tokens, &mut reader, &mut monitor, source)?;
                reader.end_monitor(monitor).map_err(mistake)?;
            }
            (["alert_monitor", ..], _) => return Err(error("write \"alert_monitor NAME { ... }\"".into())),
            ([name, ..], _) if !Reader::DIRECTIVES.contains(name) => {
                let known = Reader::DIRECTIVES.join(", ");
                return Err(error(format!("unknown directive \"{name}\", it must be one of alert_monitor, {known}")));
            }
            ([name, ..], End::Brace) => return Err(error(format!("unexpected \"{{\" after \"{name}\""))),
            (words, End::Semicolon) => reader.directive(words, source).map_err(mistake)?,
        }
    }
    reader.finish().map_err(|cause| Error { place: tokens.place, message: cause.to_string() })
}

/// Reads the directives of a monitor up to its closing brace.
fn read_monitor(
    tokens: &mut Tokens<'_>,
    reader: &mut Reader,
    monitor: &mut MonitorReader,
    source: &dyn Source,
) -> Result<(), Error> {
    while let Some(token) = tokens.next()? {
        let error = |message: String| Error { place: token.place, message };
        let words: Vec<&str> = token.words.iter().map(String::as_str).collect();
        match (words.as_slice(), token.end) {
            ([], _) => return Ok(()),
            ([name, ..], End::Brace) => return Err(error(format!("unexpected \"{{\" after \"{name}\""))),
            (words, End::Semicolon) => {
                reader.in_monitor(monitor, words, source).map_err(|mistake| error(mistake.to_string()))?;
            }
        }
    }
    Err(Error { place: tokens.place, message: "unexpected end of the text, expecting \"}\"".into() })
}

/// How a statement ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Semicolon,
    Brace,
}

/// Words up to `;` or `{`; no word at all is `}`.
struct Token {
    words: Vec<String>,
    end: End,
    place: Place,
}

struct Tokens<'a> {
    rest: Peekable<Chars<'a>>,
    place: Place,
}

impl<'a> Tokens<'a> {
    fn new(text: &'a str) -> Self {
        Tokens { rest: text.chars().peekable(), place: Place { line: 1, column: 1 } }
    }

    /// The next statement; `None` at the end of the text.
    fn next(&mut self) -> Result<Option<Token>, Error> {
        let mut words = Vec::new();
        let mut begin = None;
        loop {
            let place = self.place;
            let error = |message: &str| Err(Error { place, message: message.into() });
            let Some(next) = self.rest.peek().copied() else {
                return match words.is_empty() {
                    true => Ok(None),
                    false => error("unexpected end of the text, expecting \";\""),
                };
            };
            match next {
                _ if next.is_ascii_whitespace() => {
                    self.advance();
                }
                '#' => while self.advance().is_some_and(|skipped| skipped != '\n') {},
                ';' | '{' | '}' => {
                    // What comes before the last of these stands without its ";".
                    if words.is_empty() != (next == '}') {
                        return error(&format!("unexpected \"{next}\""));
                    }
                    self.advance();
                    let end = if next == '{' { End::Brace } else { End::Semicolon };
                    return Ok(Some(Token { words, end, place: begin.unwrap_or(place) }));
                }
                _ => {
                    begin.get_or_insert(place);
                    words.push(if matches!(next, '"' | '\'') { self.quoted()? } else { self.plain() });
                }
            }
        }
    }

    fn advance(&mut self) -> Option<char> {
        let next = self.rest.next()?;
        self.place = match next {
            '\n' => Place { line: self.place.line + 1, column: 1 },
            _ => Place { column: self.place.column + 1, ..self.place },
        };
        Some(next)
    }

    fn quoted(&mut self) -> Result<String, Error> {
        let begin = self.place;
        let quote = self.advance();
        let mut word = String::new();
        loop {
            match self.advance() {
                None => return Err(Error { place: begin, message: "a quote without its end".into() }),
                Some('\\') => self.escaped(&mut word),
                next if next == quote => break,
                Some(next) => word.push(next),
            }
        }
        match self.rest.peek() {
            Some(next) if !next.is_ascii_whitespace() && !matches!(next, ';' | '{') => {
                Err(Error { place: self.place, message: format!("unexpected \"{next}\" after a quoted word") })
            }
            _ => Ok(word),
        }
    }

    fn plain(&mut self) -> String {
        let mut word = String::new();
        while let Some(next) = self.rest.peek().copied() {
            // "${" begins the name of a variable, and no block.
            if next.is_ascii_whitespace() || next == ';' || (next == '{' && !word.ends_with('$')) {
                break;
            }
            self.advance();
            match next {
                '\\' => self.escaped(&mut word),
                _ => word.push(next),
            }
        }
        word
    }

    /// Takes what follows a backslash.
    fn escaped(&mut self, word: &mut String) {
        match self.advance() {
            Some(next @ ('"' | '\'' | '\\')) => word.push(next),
            Some('t') => word.push('\t'),
            Some('r') => word.push('\r'),
            Some('n') => word.push('\n'),
            other => {
                word.push('\\');
                word.extend(other);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::settings::SystemSource;
    use proptest::prelude::*;

    fn words(text: &str) -> Vec<Vec<String>> {
        let mut tokens = Tokens::new(text);
        std::iter::from_fn(|| tokens.next().expect("a token")).map(|token| token.words).collect()
    }

    #[test]
    fn words_are_split_as_nginx_splits_them() {
        for (text, expected) in [
            ("a b;c;", vec![vec!["a", "b"], vec!["c"]]),
            ("a # b;\n c;", vec![vec!["a", "c"]]),
            ("a 'b c' \"d;{}#\";", vec![vec!["a", "b c", "d;{}#"]]),
            (r#"a "b\"c\\\t" d\;e \q;"#, vec![vec!["a", "b\"c\\\t", "d\\;e", "\\q"]]),
            ("a{b c#d e'f;}", vec![vec!["a"], vec!["b", "c#d", "e'f"], vec![]]),
            ("a ${b}c d};", vec![vec!["a", "${b}c", "d}"]]),
            ("", vec![]),
        ] {
            assert_eq!(words(text), expected, "{text}");
        }
    }

    #[test]
    fn a_configuration_is_read() {
        let text = "
            alert_notify webhook http://127.0.0.1:1/x;   # for those without
            alert_notify webhook 'http://127.0.0.1:1/y' name=second;
            alert_instance web-7; alert_label env prod; alert_link https://example.com/alert;
            alert_monitor app { pool blue 127.0.0.1:8081 unix:/run/blue; window 10; }
            alert_monitor api { notify slack http://127.0.0.1:1/z; }";
        let settings = read(text, &SystemSource).expect("settings");
        assert_eq!((settings.instance.as_str(), settings.labels.len()), ("web-7", 1));
        let names: Vec<&str> = settings.sinks.iter().map(|sink| sink.name.as_str()).collect();
        assert_eq!(names, ["webhook", "second", "slack"]);
        assert_eq!(settings.monitors[0].pools[0].1, ["127.0.0.1:8081", "unix:/run/blue"]);
        assert_eq!((settings.monitors[0].window, &settings.monitors[1].sinks), (10, &Some(vec![2])));
    }

    #[test]
    fn every_mistake_has_its_place() {
        for (text, line, column, part) in [
            ("alert_monitor app {\n  windwo 10;\n}", 2, 3, "unknown directive \"windwo\""),
            ("alert_monitor app {\n  error_rate 200%; }", 2, 3, "from 0% to 100%"),
            ("alert_monitor app {\n", 2, 1, "expecting \"}\""),
            ("alert_monitor app { window 10 }", 1, 31, "unexpected \"}\""),
            ("alert_monitor app { window 10; } }", 1, 34, "unexpected \"}\""),
            ("alert_monitor app { window 10;", 1, 31, "expecting \"}\""),
            ("alert_monitor app { active x; pool a 127.0.0.1; }", 1, 1, "unknown pool \"x\""),
            ("alert_monitor app;", 1, 1, "alert_monitor NAME {"),
            ("alert_monitor {}", 1, 1, "alert_monitor NAME {"),
            ("alert_monitor a {} alert_monitor a {}", 1, 20, "duplicate monitor \"a\""),
            ("alert_monitor a { pool b 1.2.3.4:99999; }", 1, 19, "invalid port in \"1.2.3.4:99999\""),
            ("alert_monitor a { pool b { } }", 1, 19, "unexpected \"{\" after \"pool\""),
            ("alert_notify slack", 1, 19, "expecting \";\""),
            ("alert_notify slak http://h;", 1, 1, "unknown sink \"slak\""),
            ("alert_notify slack http://h; alert_notify { }", 1, 30, "unexpected \"{\""),
            ("alert_notify slack http://h name=a; alert_notify slack http://h name=a;", 1, 37, "the name \"a\""),
            ("alert_zone zone=a:1m;", 1, 1, "it must be one of alert_monitor, alert_notify, alert_instance"),
            ("\n 'ä b;", 2, 2, "a quote without its end"),
            ("a 'ä'b;", 1, 6, "unexpected \"b\" after a quoted word"),
            (";", 1, 1, "unexpected \";\""),
        ] {
            let error = read(text, &SystemSource).expect_err(text);
            assert!(error.message.contains(part), "{text}: {error}");
            assert_eq!((error.place.line, error.place.column), (line, column), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a-z0-9 ;{}#'\"\\\\$\n%]{0,200}") {
            let _ = read(&text, &SystemSource);
            let _ = read(&format!("alert_monitor a {{ {text} }}"), &SystemSource);
        }
    }
}
