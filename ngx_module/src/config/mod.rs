//! What the operator wrote, between reading and running. Knows neither the module's tables nor its engine.

pub mod directives;
mod outside;

use std::path::PathBuf;
use std::rc::Rc;

use alert_core::settings::reader::Reader;
use alert_core::settings::{self, Settings};

use crate::nginx::conf::{Handler, Mistake, Place};
use crate::nginx::core_conf::Server;
use crate::nginx::headers::HeaderName;

/// The http level while it is read.
#[derive(Default)]
pub struct Draft {
    /// Name and size of the zone, and where that stands.
    zone: Option<(String, Option<usize>, Place)>,
    /// The monitors that are mentioned, in the order of their first mention; their places are their numbers.
    mentioned: Vec<Mentioned>,
    reader: Reader,
    /// Whether some location serves the status or takes commands.
    has_handler: bool,
    /// The file of `alert_state`, and where that stands.
    state: Option<(PathBuf, Place)>,
    /// The locations that take commands: their servers, and their paths.
    controls: Vec<(Server, String)>,
}

/// The http level once it is read.
pub struct Configuration {
    /// What the engine works by.
    pub settings: Settings,
    /// Where the variables of each monitor come from.
    pub sources: Vec<Sources>,
    /// The zone; `None` where nothing needs one.
    pub zone: Option<ZoneConf>,
    /// Where `alert_state` stands.
    pub state_place: Place,
    /// The files that `maintenance` looks for, and where that stands.
    pub maintenance_files: Vec<(PathBuf, Place)>,
    /// The locations that take commands: their servers, and their paths.
    controls: Vec<(Server, String)>,
}

impl Configuration {
    /// The path below which this server takes commands; `None` where it takes none.
    pub fn control_of(&self, server: Server) -> Option<&str> {
        self.controls.iter().find(|(of, _)| *of == server).map(|(_, path)| path.as_str())
    }
}

/// The zone as configured.
pub struct ZoneConf {
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub size: usize,
    /// Where `alert_zone` stands, if it does.
    pub place: Option<Place>,
}

impl ZoneConf {
    /// What is wrong where nginx gives no such zone, beside what it says itself.
    pub fn taken(&self) -> Mistake {
        let name = &self.name;
        let text =
            format!("there is no zone \"{name}\" for alerts, write \"alert_zone zone=NAME:SIZE;\" with another name");
        Mistake::from(text).at(self.place.as_ref())
    }
}

/// A monitor that was mentioned: used, defined, or both, in any order.
struct Mentioned {
    name: String,
    /// Where it was mentioned first.
    place: Place,
    /// Where its directives stand that are checked only at the end.
    late: Vec<(&'static str, Place)>,
    /// Whether its rules are read.
    defined: bool,
}

impl Draft {
    /// The number of the monitor of this name.
    fn mention(&mut self, name: &str, place: Place) -> usize {
        if let Some(known) = self.mentioned.iter().position(|monitor| monitor.name == name) {
            return known;
        }
        self.mentioned.push(Mentioned { name: name.into(), place, late: Vec::new(), defined: false });
        self.mentioned.len() - 1
    }
}

/// What stands in a location.
#[derive(Default)]
pub struct LocationConf {
    /// Which monitor watches it.
    watch: Watch,
    /// What of the module answers its requests, and where that is written.
    answers: Option<(Answerer, Place)>,
}

/// What of the module answers the requests of a location.
#[derive(Clone, Copy)]
pub struct Answerer {
    /// The directive that asks for it.
    pub directive: &'static str,
    /// What nginx calls.
    pub handler: Handler,
}

/// Which monitor watches a location.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Watch {
    /// As the level above says.
    #[default]
    Inherited,
    /// None.
    Off,
    /// The one of this number.
    By(usize),
}

impl LocationConf {
    /// The number of the monitor that watches it.
    pub fn monitor(&self) -> Option<usize> {
        match self.watch {
            Watch::By(number) => Some(number),
            Watch::Inherited | Watch::Off => None,
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
    pub failure: Option<Source>,
    /// What tells clients apart, and where the pool of a request is kept; `None` where none is to be assigned.
    pub assignment: Option<Assignment>,
}

/// How requests are assigned to pools.
#[derive(Clone)]
pub struct Assignment {
    /// The key of a client, in parts.
    pub key: Vec<KeyPart>,
    /// The index of `$alert_pool`.
    pub variable: isize,
}

/// A part of the key of a client.
#[derive(Clone)]
pub enum KeyPart {
    /// Text.
    Text(Vec<u8>),
    /// The value of a variable, by its index.
    Variable(isize),
}

/// Where a value comes from.
#[derive(Clone)]
pub enum Source {
    /// A header of the upstream's answer, read directly: the usual case, and cheaper than the variable.
    Header(Rc<HeaderName>),
    /// A variable of nginx, by its index.
    Variable(isize),
}

impl From<settings::Error> for Mistake {
    fn from(error: settings::Error) -> Mistake {
        Mistake::Here(error.to_string())
    }
}
