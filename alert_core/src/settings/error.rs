//! What is wrong with a directive, and what would be right: the sentences that an operator reads.

use std::fmt;

use super::monitor::directives;
use crate::model::ids::POOLS_MAX;
use crate::settings::LABELS_MAX;
use crate::sink::settings::SettingsError;

/// What is wrong with a directive, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// There is no such directive in a monitor.
    UnknownDirective(String),
    /// A directive that stands once stands twice.
    Duplicate(String),
    /// A directive has too few or too many words.
    Arguments {
        /// The directive.
        directive: String,
        /// How it is written.
        usage: &'static str,
    },
    /// A value is not what it has to be.
    Value {
        /// The directive.
        directive: &'static str,
        /// The value.
        value: String,
        /// What would be right.
        expected: String,
    },
    /// A variable of the environment is not set, or set to nothing.
    Env {
        /// The directive.
        directive: &'static str,
        /// The variable.
        variable: String,
    },
    /// A sink is wrong.
    Sink {
        /// The directive.
        directive: String,
        /// What is wrong with it.
        error: SettingsError,
    },
    /// A label stands twice.
    DuplicateLabel(String),
    /// More labels than alerts can have.
    TooManyLabels,
    /// A monitor stands twice.
    DuplicateMonitor(String),
    /// A pool stands twice.
    DuplicatePool(String),
    /// An address belongs to two pools, or twice to one.
    DuplicateAddress {
        /// The address.
        address: String,
        /// The pool that has it.
        pool: String,
    },
    /// An address cannot be resolved.
    Address {
        /// The address.
        address: String,
        /// Why.
        cause: String,
    },
    /// `active` names a pool that is not listed.
    UnknownActive {
        /// The name.
        name: String,
        /// The pools that are listed.
        pools: String,
    },
    /// More pools than a monitor can tell apart.
    TooManyPools,
    /// A directive does not go without something else.
    Needs {
        /// The directive.
        directive: &'static str,
        /// What it needs.
        what: &'static str,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::UnknownDirective(name) => {
                let known: Vec<&str> = directives().map(|(name, _)| *name).collect();
                write!(f, "unknown directive \"{name}\" in \"alert_monitor\", it takes: {}", known.join(", "))
            }
            Error::Duplicate(name) => write!(f, "\"{name}\" directive is duplicate"),
            Error::Arguments { directive, usage } => {
                write!(f, "invalid number of arguments in \"{directive}\" directive, write \"{usage}\"")
            }
            Error::Value { directive, value, expected } => {
                write!(f, "invalid value \"{value}\" in \"{directive}\" directive, expected {expected}")
            }
            Error::Env { directive, variable } => write!(
                f,
                "the environment variable \"{variable}\" of the \"{directive}\" directive is not set or empty where \
                 nginx starts"
            ),
            Error::Sink { directive, error } => write!(f, "{error} in \"{directive}\" directive"),
            Error::DuplicateLabel(name) => {
                write!(f, "duplicate label \"{name}\", write one \"alert_label\" with its value")
            }
            Error::TooManyLabels => write!(f, "too many labels, alerts can have {LABELS_MAX}"),
            Error::DuplicateMonitor(name) => {
                write!(f, "duplicate monitor \"{name}\", put all its rules into one \"alert_monitor\"")
            }
            Error::DuplicatePool(name) => {
                write!(f, "duplicate pool \"{name}\", list all its addresses in one \"pool\"")
            }
            Error::DuplicateAddress { address, pool } => {
                write!(f, "address \"{address}\" is already in pool \"{pool}\", an address belongs to one pool")
            }
            Error::Address { address, cause } => write!(
                f,
                "{cause} in \"{address}\" of the \"pool\" directive, expected HOST[:PORT], [IPV6][:PORT] or unix:/path"
            ),
            Error::UnknownActive { name, pools } => {
                write!(f, "unknown pool \"{name}\" in \"active\" directive, the pools of this monitor are: {pools}")
            }
            Error::Needs { directive, what } => write!(f, "\"{directive}\" directive needs {what}"),
            Error::TooManyPools => write!(f, "too many pools, a monitor can tell {POOLS_MAX} apart"),
        }
    }
}

impl std::error::Error for Error {}
