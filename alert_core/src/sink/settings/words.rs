//! The words of one sink as services read them: target and parameters, given directly, as `env:VAR` or as `file:/path`.
//!
//! Environment and files are read here, by the master, since a worker could not do so later. What comes from there, or is
//! read as a secret, is kept from every text that is shown.

use std::cell::RefCell;
use std::path::Path;

use super::error::{Part, SettingsError};
use super::source::Source;
use crate::base::cause::reason;
use crate::sink::SinkKind;
use crate::sink::endpoint::Endpoint;
use crate::sink::secret::Secret;

/// The parameters of every sink.
pub(super) const COMMON: [&str; 7] = ["name", "timeout", "ca", "cert", "key", "kinds", "severity"];
/// Those that may stand more than once.
const REPEATED: [&str; 1] = ["header"];
/// A word of the operator is quoted in an error only up to this length: keys and tokens are longer.
const QUOTED_MAX: usize = 20;

/// The words behind `alert_notify` that belong to one sink.
pub(in crate::sink) struct Words<'a> {
    kind: SinkKind,
    target: &'a str,
    parameters: Vec<(&'static str, &'a str)>,
    source: &'a dyn Source,
    secrets: RefCell<Vec<Secret>>,
}

/// All parameters that a sink of this kind takes.
pub(super) fn known_parameters(kind: SinkKind) -> impl Iterator<Item = &'static str> {
    COMMON.into_iter().chain(kind.parameters().iter().copied())
}

impl<'a> Words<'a> {
    /// Tells the words apart; what they mean is read later.
    pub(super) fn split(words: &[&'a str], source: &'a dyn Source) -> Result<Words<'a>, SettingsError> {
        let (kind, words) = words.split_first().ok_or(SettingsError::NoSink)?;
        let kind = SinkKind::from_name(kind).ok_or_else(|| SettingsError::UnknownSink(quotable(kind)))?;
        let (target, words) = words.split_first().ok_or(SettingsError::NoTarget(kind))?;
        let mut parameters = Vec::with_capacity(words.len());
        for word in words {
            let unknown = |name| SettingsError::UnknownParameter { kind, name: quotable(name) };
            let (name, value) = word.split_once('=').ok_or_else(|| unknown(word))?;
            let known = |kind: SinkKind| known_parameters(kind).find(|known| *known == name);
            let Some(parameter) = known(kind) else {
                let elsewhere = SinkKind::all().find_map(known);
                return Err(match elsewhere {
                    Some(parameter) => SettingsError::NotForSink { parameter, kind },
                    None => unknown(name),
                });
            };
            if !REPEATED.contains(&parameter) && parameters.iter().any(|(given, _)| *given == parameter) {
                return Err(SettingsError::DuplicateParameter(parameter));
            }
            parameters.push((parameter, value));
        }
        Ok(Words { kind, target, parameters, source, secrets: RefCell::default() })
    }

    /// The kind of sink.
    pub(in crate::sink) fn kind(&self) -> SinkKind {
        self.kind
    }

    /// The target as text.
    pub(in crate::sink) fn target(&self) -> Result<String, SettingsError> {
        self.resolve(self.target, Part::Target)
    }

    /// The target as a key or token.
    pub(in crate::sink) fn secret_target(&self) -> Result<Secret, SettingsError> {
        Ok(self.note(self.target()?))
    }

    /// The target as a URL.
    pub(in crate::sink) fn url(&self) -> Result<Endpoint, SettingsError> {
        let part = Part::Target;
        Endpoint::parse(&self.target()?).map_err(|problem| SettingsError::Url { part, problem })
    }

    /// The target as the URL of a mail server.
    pub(in crate::sink) fn mail_url(&self) -> Result<Endpoint, SettingsError> {
        let part = Part::Target;
        Endpoint::parse_mail(&self.target()?).map_err(|problem| SettingsError::Url { part, problem })
    }

    /// The URL in `url=`, or this one.
    pub(in crate::sink) fn url_or(&self, default: &str) -> Result<Endpoint, SettingsError> {
        let part = Part::Parameter("url");
        let url = self.text("url")?;
        Endpoint::parse(url.as_deref().unwrap_or(default)).map_err(|problem| SettingsError::Url { part, problem })
    }

    /// The value of a parameter as it is written.
    pub(in crate::sink) fn written(&self, parameter: &'static str) -> Option<&'a str> {
        self.parameters.iter().find(|(name, _)| *name == parameter).map(|(_, value)| *value)
    }

    /// The target as a token for a header.
    pub(in crate::sink) fn header_target(&self) -> Result<Secret, SettingsError> {
        let token = self.secret_target()?;
        if token.reveal().bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(token);
        }
        Err(SettingsError::Target { expected: format!("{}, without spaces or other characters", self.kind.target()) })
    }

    /// The values of a parameter that may stand several times, none of which anything may show.
    pub(in crate::sink) fn secrets_of(&self, parameter: &'static str) -> Result<Vec<Secret>, SettingsError> {
        let values = self.parameters.iter().filter(|(name, _)| *name == parameter);
        values.map(|(_, value)| Ok(self.note(self.resolve(value, Part::Parameter(parameter))?))).collect()
    }

    /// The value of a parameter without which the service cannot work; the error shows how it is written.
    pub(in crate::sink) fn required(
        &self,
        parameter: &'static str,
        example: &'static str,
    ) -> Result<String, SettingsError> {
        self.text(parameter)?.ok_or(SettingsError::Missing { kind: self.kind, example })
    }

    /// The value of `token=`, for the `Authorization` header.
    pub(in crate::sink) fn token(&self) -> Result<Option<Secret>, SettingsError> {
        let token = self.secret("token")?;
        let plain = token.as_ref().is_none_or(|token| token.reveal().bytes().all(|byte| byte.is_ascii_graphic()));
        let expected = || "a token without spaces or other characters".to_owned();
        let wrong = || SettingsError::Value { parameter: "token", quoted: None, expected: expected() };
        if plain { Ok(token) } else { Err(wrong()) }
    }

    /// The value of a parameter that is no secret.
    pub(in crate::sink) fn text(&self, parameter: &'static str) -> Result<Option<String>, SettingsError> {
        self.written(parameter).map(|value| self.resolve(value, Part::Parameter(parameter))).transpose()
    }

    /// The value of a parameter that nothing may show.
    pub(in crate::sink) fn secret(&self, parameter: &'static str) -> Result<Option<Secret>, SettingsError> {
        Ok(self.text(parameter)?.map(|text| self.note(text)))
    }

    /// The content of the file that a parameter names.
    pub(in crate::sink) fn file(&self, parameter: &'static str) -> Result<Option<(&'a str, Vec<u8>)>, SettingsError> {
        let Some(path) = self.written(parameter) else { return Ok(None) };
        let error = |cause| SettingsError::Path { parameter, path: path.to_owned(), cause };
        read(path, self.source).map(|content| Some((path, content))).map_err(error)
    }

    /// Everything that was read as a secret.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        self.secrets.borrow().clone()
    }

    /// The environment and the files.
    pub(super) fn source(&self) -> &'a dyn Source {
        self.source
    }

    /// Keeps a text from everything that is shown.
    pub(in crate::sink) fn note(&self, text: String) -> Secret {
        let secret = Secret::new(text);
        self.secrets.borrow_mut().push(secret.clone());
        secret
    }

    /// A value that is given directly, by a variable of the environment, or by a file.
    fn resolve(&self, value: &str, part: Part) -> Result<String, SettingsError> {
        let found = if let Some(variable) = value.strip_prefix("env:") {
            if variable.is_empty() {
                return Err(SettingsError::Empty(part));
            }
            let set = self.source.env(variable).filter(|text| !text.trim().is_empty());
            set.ok_or_else(|| SettingsError::Env { part, variable: variable.to_owned() })?
        } else if let Some(path) = value.strip_prefix("file:") {
            let error = |cause| SettingsError::File { part, path: path.to_owned(), cause };
            let bytes = read(path, self.source).map_err(error)?;
            let text = String::from_utf8(bytes).map_err(|_| error("it is not UTF-8".into()))?;
            if text.trim().is_empty() {
                return Err(error("it is empty".into()));
            }
            text
        } else if part != Part::Parameter("secret") && has_variable(value) {
            return Err(SettingsError::Variable(part));
        } else {
            value.to_owned()
        };
        let found = found.trim_end_matches(['\r', '\n']);
        if found.is_empty() { Err(SettingsError::Empty(part)) } else { Ok(found.to_owned()) }
    }
}

/// The word, where it is certain to be a slip of the pen and not a secret in the wrong place.
pub(super) fn quotable(word: &str) -> Option<String> {
    let plain = word.chars().all(|c| c.is_ascii_alphabetic() || "_-".contains(c));
    (plain && !word.is_empty() && word.len() <= QUOTED_MAX).then(|| word.to_owned())
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
