//! What is wrong with a sink's settings, as a sentence for the operator that says what would be right.

use std::fmt;

use super::UrlProblem;
use super::source::Missing;
use super::words::known_parameters;
use crate::sink::{SINKS_MAX, SinkKind};

/// A part of the setting whose value may be given directly, as `env:VAR` or as `file:/path`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The second word.
    Target,
    /// The value of the parameter of this name.
    Parameter(&'static str),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::Target => f.write_str("the target"),
            Part::Parameter(name) => write!(f, "the value of \"{name}=\""),
        }
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
    /// A word is no parameter.
    UnknownParameter {
        /// The service.
        kind: SinkKind,
        /// Its name, where it is certain to be no secret.
        name: Option<String>,
    },
    /// A parameter stands twice.
    DuplicateParameter(&'static str),
    /// A parameter makes no sense with this service.
    NotForSink {
        /// The parameter.
        parameter: &'static str,
        /// The service.
        kind: SinkKind,
    },
    /// A parameter without which the service cannot work.
    Missing {
        /// The service.
        kind: SinkKind,
        /// How the parameter is written.
        example: &'static str,
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
    /// A URL is none that can be used.
    Url {
        /// Where it stands.
        part: Part,
        /// What is wrong.
        problem: UrlProblem,
    },
    /// The target is a URL of the right form that lacks something, or no such key.
    Target {
        /// What would be right, and where it helps how this differs.
        expected: String,
    },
    /// A parameter has a value that it cannot have.
    Value {
        /// The parameter.
        parameter: &'static str,
        /// The value, where it is certain to be no secret.
        quoted: Option<String>,
        /// What would be right.
        expected: String,
    },
    /// The file that a parameter names cannot be used.
    Path {
        /// The parameter.
        parameter: &'static str,
        /// Its path.
        path: String,
        /// Why not.
        cause: String,
    },
    /// Two sinks have this name.
    DuplicateName(String),
    /// More sinks than a board can hold.
    TooMany,
    /// A variable of the environment that names the proxy does not hold a proxy's URL.
    Proxy {
        /// Its name.
        variable: String,
    },
}

impl SettingsError {
    /// What could not be had, where it is this that is wrong and not what the operator wrote.
    pub fn missing(&self) -> Option<Missing> {
        match self {
            SettingsError::Env { .. } => Some(Missing::Value),
            SettingsError::File { path, .. } if path.starts_with('/') => Some(Missing::Value),
            SettingsError::Path { path, .. } if path.starts_with('/') => Some(Missing::File),
            _ => None,
        }
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |word: &Option<String>| word.as_ref().map_or_else(String::new, |word| format!(" \"{word}\""));
        match self {
            SettingsError::NoSink => write!(f, "no sink is given, it must be one of {}", known_sinks()),
            SettingsError::UnknownSink(word) => {
                write!(f, "unknown sink{}, it must be one of {}", quoted(word), known_sinks())
            }
            SettingsError::NoTarget(kind) => {
                write!(f, "no target is given, \"{kind}\" needs {}, or env:VAR or file:/path", kind.target())
            }
            SettingsError::UnknownParameter { kind, name } => {
                let known: Vec<String> = known_parameters(*kind).map(|name| format!("\"{name}=\"")).collect();
                write!(f, "unknown parameter{}, it must be one of {}", quoted(name), known.join(", "))
            }
            SettingsError::DuplicateParameter(parameter) => write!(f, "\"{parameter}=\" is given twice"),
            SettingsError::NotForSink { parameter, kind } => {
                write!(f, "\"{parameter}=\" is for {} only, \"{kind}\" does not take it", owners(parameter))
            }
            SettingsError::Missing { kind, example } => write!(f, "\"{kind}\" needs \"{example}\" too"),
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
                write!(f, "{part} {problem}; a URL such as {} is needed", problem.example())
            }
            SettingsError::Target { expected } => write!(f, "the target must be {expected}"),
            SettingsError::Value { parameter, quoted: value, expected } => {
                write!(f, "invalid value{} of \"{parameter}=\", it must be {expected}", quoted(value))
            }
            SettingsError::Path { parameter, path, cause } => {
                write!(f, "the file \"{path}\" of \"{parameter}=\" cannot be used: {cause}")
            }
            SettingsError::DuplicateName(name) => {
                write!(f, "two sinks have the name \"{name}\", set a different \"name=\" for each")
            }
            SettingsError::TooMany => write!(f, "too many sinks, at most {SINKS_MAX} fit"),
            SettingsError::Proxy { variable } => write!(
                f,
                "the environment variable \"{variable}\" must be the URL of a proxy, such as http://proxy.example:3128"
            ),
        }
    }
}

impl std::error::Error for SettingsError {}

fn known_sinks() -> String {
    SinkKind::all().map(SinkKind::name).collect::<Vec<_>>().join(", ")
}

/// The services that take a parameter.
fn owners(parameter: &str) -> String {
    let owners = SinkKind::all().filter(|kind| kind.parameters().contains(&parameter));
    let owners: Vec<String> = owners.map(|kind| format!("\"{kind}\"")).collect();
    match owners.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} and {last}", others.join(", ")),
        _ => owners.concat(),
    }
}
