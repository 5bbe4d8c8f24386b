//! The directives: what their words mean, and what is wrong with them.

use std::io;
use std::path::Path;

use alert_core::base::units::parse_size;
use alert_core::board;
use alert_core::sink::settings::{Source as ValueSource, SystemSource};

use crate::conf::{Handler, HeaderName, LocationConf, MainConf, Place, Source, Sources, Watch, ZoneConf};
use crate::ffi::conf::Conf;
use crate::ffi::zone::zone_bytes;

/// The zone where there is no `alert_zone`.
const DEFAULT_ZONE: (&str, usize) = ("alert", 1 << 20);
/// The directives of a monitor that only the end of the http level, or of the monitor, can find wrong.
const LATE: [&str; 4] = ["active", "pool_from", "release_from", "failure_if"];

/// Reads a directive of the http level.
///
/// # Errors
/// What is wrong with it; empty where it is logged already.
pub fn http_level(cf: &mut Conf) -> Result<(), String> {
    let words = cf.words()?;
    cf.main_conf(|cf, main| match words[0].as_str() {
        "alert_zone" => zone(cf, main, &words),
        "alert_state" => state(cf, main, &words),
        "alert_monitor" => monitor(cf, main, &words),
        _ => {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            main.reader.directive(&words, &Here(cf)).map_err(|error| error.to_string())
        }
    })
}

/// Where settings come from beside the configuration file.
struct Here<'a>(&'a Conf);

impl ValueSource for Here<'_> {
    fn env(&self, name: &str) -> Option<String> {
        SystemSource.env(name)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        SystemSource.read(path)
    }

    fn resolve(&self, written: &str) -> Result<Vec<String>, String> {
        self.0.resolve(written)
    }
}

/// Reads a directive of a location (or a level above).
///
/// # Errors
/// As above.
pub fn location_level(cf: &mut Conf, location: &mut LocationConf) -> Result<(), String> {
    let words = cf.words()?;
    if let Some(handler) = Handler::of_directive(&words[0]) {
        cf.main_conf(|_, main| main.has_handler = true);
        return answer(cf, location, handler, &words);
    }
    let [_, name] = words.as_slice() else {
        return Err(wrong_count("alert NAME|off;"));
    };
    if location.monitor != Watch::Inherited {
        return Err("\"alert\" directive is duplicate".into());
    }
    location.monitor = match name.as_str() {
        "" => return Err(wrong_value("alert", name, "the name of a monitor or \"off\"")),
        "off" => Watch::Off,
        name => {
            let place = cf.place();
            let number = cf.main_conf(|_, main| main.mention(name, place));
            Watch::By(u16::try_from(number).map_err(|_| "too many monitors")?)
        }
    };
    Ok(())
}

fn answer(cf: &mut Conf, location: &mut LocationConf, handler: Handler, words: &[String]) -> Result<(), String> {
    let directive = handler.directive();
    if words.len() > 1 {
        return Err(wrong_count(&format!("{directive};")));
    }
    if location.answers.as_ref().is_some_and(|(other, _)| *other == handler) {
        return Err(format!("\"{directive}\" directive is duplicate"));
    }
    if cf.has_handler() {
        return Err(shared_location(handler));
    }
    cf.set_handler(handler);
    location.answers = Some((handler, cf.place()));
    Ok(())
}

/// Takes over what is not set at a level from the one above, and looks whether a later directive took the location away.
///
/// # Errors
/// As above.
pub fn merge(cf: &mut Conf, above: &LocationConf, location: &mut LocationConf) -> Result<(), String> {
    location.inherit(above);
    match &location.answers {
        Some((handler, place)) if !cf.answers_by(*handler) => {
            cf.error_at(place, &shared_location(*handler));
            Err(String::new())
        }
        _ => Ok(()),
    }
}

fn shared_location(handler: Handler) -> String {
    let directive = handler.directive();
    format!("\"{directive}\" shares its location with another handler (proxy_pass, say), give it a location of its own")
}

/// What is said of a directive with too few or too many words, which is written like this.
fn wrong_count(usage: &str) -> String {
    let directive = usage.split([' ', ';']).next().unwrap_or_default();
    format!("invalid number of arguments in \"{directive}\" directive, write \"{usage}\"")
}

fn wrong_value(directive: &str, value: &str, expected: &str) -> String {
    format!("invalid value \"{value}\" in \"{directive}\" directive, expected {expected}")
}

/// Ends the http level: everything that can be checked only now.
///
/// # Errors
/// As above.
pub fn finish(cf: &mut Conf) -> Result<(), String> {
    cf.main_conf(|cf, main| {
        check_mentioned(cf, main)?;
        main.settings = std::mem::take(&mut main.reader).finish().map_err(|error| error.to_string())?;
        // Locations know their monitor by its number.
        let number = |name: &str| main.mentioned.iter().position(|monitor| monitor.name == name);
        main.settings.monitors.sort_by_key(|monitor| number(&monitor.name));
        for (monitor, mentioned) in main.settings.monitors.iter().zip(&main.mentioned) {
            let mut source = |directive, variable| source(cf, variable, directive, &mentioned.late);
            main.sources.push(Sources {
                pool: source("pool_from", &monitor.pool_from)?,
                release: source("release_from", &monitor.release_from)?,
                failure: monitor.failure_if.as_ref().map(|variable| source("failure_if", variable)).transpose()?,
            });
        }
        main.settings.state = main.state.as_ref().map(|(path, _)| path.clone());
        main.core = Some(cf.core());
        if main.settings.instance.is_empty() {
            main.settings.instance = cf.hostname();
        }
        main.settings.nginx = ngx::ffi::NGINX_VERSION.to_string_lossy().into_owned();
        if main.zone.place.is_none() {
            if main.settings.monitors.is_empty() && !main.has_handler {
                return Ok(());
            }
            (main.zone.name, main.zone.size) = (DEFAULT_ZONE.0.into(), DEFAULT_ZONE.1);
        }
        check_zone(cf, main)?;
        let ZoneConf { name, size, place } = main.zone.clone();
        cf.add_zone(&name, size, main).map_err(|cause| {
            let text = format!(
                "there is no zone \"{name}\" for alerts, write \"alert_zone zone=NAME:SIZE;\" with another name"
            );
            error_at(cf, place.as_ref(), if cause.is_empty() { text } else { cause })
        })
    })
}

fn check_mentioned(cf: &mut Conf, main: &mut MainConf) -> Result<(), String> {
    let defined: Vec<&str> =
        main.mentioned.iter().filter(|monitor| monitor.defined).map(|monitor| monitor.name.as_str()).collect();
    if let Some(unknown) = main.mentioned.iter().find(|monitor| !monitor.defined) {
        let hint = match defined.as_slice() {
            [] => format!("there is no monitor, write \"alert_monitor {} {{ ... }}\" at the http level", unknown.name),
            names => format!("the monitors are: {}", names.join(", ")),
        };
        let text = format!("unknown monitor \"{}\" in \"alert\" directive, {hint}", unknown.name);
        cf.error_at(&unknown.place.clone(), &text);
        return Err(String::new());
    }
    Ok(())
}

fn check_zone(cf: &mut Conf, main: &MainConf) -> Result<(), String> {
    let needed = zone_bytes(board::needed_bytes(&main.settings));
    if main.zone.size >= needed {
        return Ok(());
    }
    let ZoneConf { name, size, place } = &main.zone;
    let text = format!(
        "alert_zone \"{name}\" of {}k is too small for these monitors and their windows, write \"zone={name}:{}k\"",
        size >> 10,
        needed >> 10
    );
    Err(error_at(cf, place.as_ref(), text))
}

/// Logs an error about another place; without one it is left to be logged about the present place.
fn error_at(cf: &mut Conf, place: Option<&Place>, text: String) -> String {
    match place {
        Some(place) => {
            cf.error_at(place, &text);
            String::new()
        }
        None => text,
    }
}

fn zone(cf: &Conf, main: &mut MainConf, words: &[String]) -> Result<(), String> {
    if main.zone.place.is_some() {
        return Err("\"alert_zone\" directive is duplicate".into());
    }
    let [_, zone] = words else {
        return Err(wrong_count("alert_zone zone=NAME:SIZE;"));
    };
    let invalid = || wrong_value("alert_zone", zone, "\"zone=NAME:SIZE\", such as \"zone=alert:1m\"");
    let (name, size) = zone.strip_prefix("zone=").and_then(|zone| zone.split_once(':')).ok_or_else(invalid)?;
    let size = parse_size(size).filter(|_| !name.is_empty()).ok_or_else(invalid)?;
    main.zone = ZoneConf { name: name.into(), size, place: Some(cf.place()) };
    Ok(())
}

fn state(cf: &Conf, main: &mut MainConf, words: &[String]) -> Result<(), String> {
    if main.state.is_some() {
        return Err("\"alert_state\" directive is duplicate".into());
    }
    let path = match words {
        [_, path] if !path.is_empty() && !path.ends_with('/') => cf.full_path(path)?,
        [_, path] => return Err(wrong_value("alert_state", path, "a file, such as \"/var/lib/nginx/alert/state\"")),
        _ => return Err(wrong_count("alert_state PATH;")),
    };
    main.state = Some((path, cf.place()));
    Ok(())
}

fn monitor(cf: &mut Conf, main: &mut MainConf, words: &[String]) -> Result<(), String> {
    let [_, name] = words else {
        return Err(wrong_count("alert_monitor NAME { ... }"));
    };
    if name == "off" {
        return Err("a monitor cannot be named \"off\", since \"alert off\" means none".into());
    }
    let number = main.mention(name, cf.place());
    if number >= board::MONITORS_MAX {
        return Err(format!("too many monitors, at most {} fit", board::MONITORS_MAX));
    }
    let reader = &mut main.reader;
    let mut monitor = reader.monitor(name).map_err(|error| error.to_string())?;
    let mut late = Vec::new();
    cf.block(&mut |cf| {
        let words = cf.words()?;
        late.extend(LATE.into_iter().filter(|name| words[0] == *name).map(|name| (name, cf.place())));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        reader.in_monitor(&mut monitor, &words, &Here(cf)).map_err(|error| error.to_string())
    })
    .map_err(|_| String::new())?;
    // Only `active` can contradict the other directives, and only once all of them are read.
    let ended = reader.end_monitor(monitor);
    ended.map_err(|error| error_at(cf, place_of("active", &late), error.to_string()))?;
    (main.mentioned[number].late, main.mentioned[number].defined) = (late, true);
    Ok(())
}

fn place_of<'a>(directive: &str, late: &'a [(&'static str, Place)]) -> Option<&'a Place> {
    late.iter().find(|(name, _)| *name == directive).map(|(_, place)| place)
}

/// Where the value of this variable comes from.
fn source(cf: &mut Conf, variable: &str, directive: &str, late: &[(&'static str, Place)]) -> Result<Source, String> {
    let name = variable.trim_start_matches('$');
    if let Some(header) = HeaderName::of_variable(name) {
        return Ok(Source::Header(header));
    }
    let index = cf.variable(name).ok_or_else(String::new)?;
    if cf.knows_variable(index) {
        return Ok(Source::Variable(index));
    }
    let text = format!("unknown variable \"{variable}\" in \"{directive}\" directive, nginx has none of this name");
    Err(error_at(cf, place_of(directive, late), text))
}
