//! What the operator wrote, as the module keeps it between reading and running.

use std::cell::Cell;
use std::path::PathBuf;

use alert_core::board::{Board, Plan};
use alert_core::settings::Settings;
use alert_core::settings::reader::Reader;

use crate::ffi::user::CoreConf;

/// Where a directive stands.
#[derive(Clone, Default)]
pub struct Place {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
}

/// The configuration of the http level.
#[derive(Default)]
pub struct MainConf {
    /// The zone.
    pub zone: ZoneConf,
    /// The monitors that are mentioned, in the order of their first mention; their places are their numbers.
    pub mentioned: Vec<Mentioned>,
    /// What is read so far.
    pub reader: Reader,
    /// Whether some location serves the status or takes commands.
    pub has_handler: bool,
    /// The file of `alert_state`, and where that stands.
    pub state: Option<(PathBuf, Place)>,
    /// nginx's own configuration: the user of the workers, and whether there are any.
    pub core: Option<CoreConf>,
    /// All of it for the engine, once it is complete.
    pub settings: Settings,
    /// Where the variables of each monitor come from.
    pub sources: Vec<Sources>,
    /// The board, once the zone is mapped.
    pub board: Option<Board>,
    /// Where this configuration lies on the board.
    pub plan: Plan,
}

/// The zone as configured.
#[derive(Clone, Default)]
pub struct ZoneConf {
    /// Its name.
    pub name: String,
    /// Its size in bytes; zero where there is no `alert_zone`.
    pub size: usize,
    /// Where `alert_zone` stands.
    pub place: Option<Place>,
}

/// A monitor that was mentioned: used, defined, or both, in any order.
pub struct Mentioned {
    /// Its name.
    pub name: String,
    /// Where it was mentioned first.
    pub place: Place,
    /// Where its directives stand that are checked only at the end.
    pub late: Vec<(&'static str, Place)>,
    /// Whether its rules are read.
    pub defined: bool,
}

impl MainConf {
    /// The number of the monitor of this name.
    pub fn mention(&mut self, name: &str, place: Place) -> usize {
        if let Some(known) = self.mentioned.iter().position(|monitor| monitor.name == name) {
            return known;
        }
        self.mentioned.push(Mentioned { name: name.into(), place, late: Vec::new(), defined: false });
        self.mentioned.len() - 1
    }
}

/// The configuration of a location.
#[derive(Default)]
pub struct LocationConf {
    /// Which monitor watches it.
    pub monitor: Watch,
    /// What of the module answers its requests, and where that is written.
    pub answers: Option<(Handler, Place)>,
}

/// What answers the requests of a location.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Handler {
    /// `alert_status`.
    Status,
    /// `alert_control`.
    Control,
}

impl Handler {
    /// The handler that a directive asks for.
    pub fn of_directive(name: &str) -> Option<Handler> {
        [Handler::Status, Handler::Control].into_iter().find(|handler| handler.directive() == name)
    }

    /// The directive that asks for it.
    pub const fn directive(self) -> &'static str {
        match self {
            Handler::Status => "alert_status",
            Handler::Control => "alert_control",
        }
    }
}

/// Which monitor watches a location.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Watch {
    /// As the level above says.
    #[default]
    Inherited,
    /// None.
    Off,
    /// The one of this number.
    By(u16),
}

impl LocationConf {
    /// Takes over what is not set here.
    pub fn inherit(&mut self, above: &LocationConf) {
        if self.monitor == Watch::Inherited {
            self.monitor = above.monitor;
        }
    }
}

/// Where the names of an answer come from.
#[derive(Clone)]
pub struct Sources {
    /// The name of its pool.
    pub pool: Source,
    /// The release.
    pub release: Source,
    /// What says that an attempt failed all the same.
    #[expect(dead_code, reason = "until the log phase counts by it")]
    pub failure: Option<Source>,
}

/// Where a value comes from.
#[derive(Clone)]
pub enum Source {
    /// A header of the upstream's answer, read directly: the usual case, and cheaper than the variable.
    Header(HeaderName),
    /// A variable of nginx, by its index.
    Variable(isize),
}

/// The name of a header as variables spell it: lower case, with underscores for dashes.
#[derive(Clone)]
pub struct HeaderName {
    name: Vec<u8>,
    /// Where it was found last.
    pub found: Cell<Found>,
}

/// Where a header was among those of an answer, and nginx's hash of its name.
#[derive(Clone, Copy, Default)]
pub struct Found {
    /// Its place in the first part of the list.
    pub place: usize,
    /// The hash; zero while it was not found.
    pub hash: usize,
}

impl HeaderName {
    /// How long the header's name is, in bytes.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.name.len()
    }

    /// The header behind `$upstream_http_NAME`.
    pub fn of_variable(name: &str) -> Option<HeaderName> {
        let name = name.strip_prefix("upstream_http_")?.to_ascii_lowercase().into_bytes();
        (!name.is_empty()).then_some(HeaderName { name, found: Cell::default() })
    }

    /// Whether this is the header, by the rule of nginx's variables.
    pub fn is(&self, header: &[u8]) -> bool {
        let same = |(byte, wanted): (&u8, &u8)| match byte {
            b'-' => *wanted == b'_',
            byte => byte.to_ascii_lowercase() == *wanted,
        };
        header.len() == self.name.len() && header.iter().zip(&self.name).all(same)
    }
}
