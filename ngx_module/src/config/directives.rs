//! The directives: what their words mean, and what is wrong with them.

use std::mem::take;
use std::rc::Rc;

use alert_core::base::units::parse_size;
use alert_core::board;
use alert_core::settings::{Maintenance, RolloutSettings, Settings};

use super::outside::Outside;
use super::{Answerer, Assignment, Configuration, Draft, KeyPart, LocationConf, Source, Sources, Watch, ZoneConf};
use crate::nginx::conf::{Conf, Mistake, Place};
use crate::nginx::headers::HeaderName;
use crate::nginx::process::{self, Purpose};
use crate::nginx::zone::zone_bytes;

/// The name of the zone where there is no `alert_zone`.
const DEFAULT_ZONE: &str = "alert";
/// The variable by which requests are routed, without its dollar sign.
pub const ALERT_POOL: &str = "alert_pool";
/// The least size of a zone where none is written.
const DEFAULT_SIZE: usize = 1 << 20;
/// The directives of a monitor that can be found wrong only later: at its end, at that of the http level, or when the
/// user of the workers is known.
const LATE: [&str; 9] =
    ["active", "pool", "pool_from", "release_from", "failure_if", "maintenance", "split_by", "rollout", "rollback"];

/// Reads a directive of the http level.
///
/// # Errors
/// What is wrong with it.
pub fn http_level(cf: &mut Conf<'_>, draft: &mut Draft) -> Result<(), Mistake> {
    let words = cf.words()?;
    match words[0].as_str() {
        "alert_zone" => zone(cf, draft, &words),
        "alert_state" => state(cf, draft, &words),
        "alert_monitor" => monitor(cf, draft, &words),
        _ => {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            Ok(draft.reader.directive(&words, &Outside(cf))?)
        }
    }
}

/// Reads `alert`.
///
/// # Errors
/// As above.
pub fn watch(cf: &mut Conf<'_>, draft: &mut Draft, location: &mut LocationConf) -> Result<(), Mistake> {
    let words = cf.words()?;
    let [_, name] = words.as_slice() else {
        return Err(wrong_count("alert NAME|off;"));
    };
    if location.watch != Watch::Inherited {
        return Err("\"alert\" directive is duplicate".into());
    }
    location.watch = match name.as_str() {
        "" => return Err(wrong_value("alert", name, "the name of a monitor or \"off\"")),
        "off" => Watch::Off,
        name => Watch::By(draft.mention(name, cf.place())),
    };
    Ok(())
}

/// Reads a directive by which the module answers the requests of a location.
///
/// # Errors
/// As above.
pub fn answer(
    cf: &mut Conf<'_>,
    draft: &mut Draft,
    location: &mut LocationConf,
    answerer: Answerer,
) -> Result<(), Mistake> {
    let Answerer { directive, handler } = answerer;
    draft.has_handler = true;
    if cf.words()?.len() > 1 {
        return Err(wrong_count(&format!("{directive};")));
    }
    if location.answers.as_ref().is_some_and(|(other, _)| other.directive == directive) {
        return Err(format!("\"{directive}\" directive is duplicate").into());
    }
    if cf.has_handler() {
        return Err(shared_location(answerer));
    }
    cf.set_handler(handler);
    location.answers = Some((answerer, cf.place()));
    Ok(())
}

/// Reads `alert_control`: the status page of the same server finds it.
///
/// # Errors
/// As above.
pub fn control(
    cf: &mut Conf<'_>,
    draft: &mut Draft,
    location: &mut LocationConf,
    answerer: Answerer,
) -> Result<(), Mistake> {
    answer(cf, draft, location, answerer)?;
    draft.controls.extend(cf.location_path());
    Ok(())
}

/// Takes over what is not set at a level from the one above, and looks whether a later directive took the location away.
///
/// # Errors
/// As above.
pub fn merge(cf: &mut Conf<'_>, above: &LocationConf, location: &mut LocationConf) -> Result<(), Mistake> {
    if location.watch == Watch::Inherited {
        location.watch = above.watch;
    }
    match &location.answers {
        Some((answerer, place)) if !cf.answers_by(answerer.handler) => Err(shared_location(*answerer).at(Some(place))),
        _ => Ok(()),
    }
}

fn shared_location(answerer: Answerer) -> Mistake {
    let directive = answerer.directive;
    let text = "shares its location with another handler (proxy_pass, say), give it a location of its own";
    format!("\"{directive}\" {text}").into()
}

/// What is said of a directive with too few or too many words, which is written like this.
fn wrong_count(usage: &str) -> Mistake {
    let directive = usage.split([' ', ';']).next().unwrap_or_default();
    format!("invalid number of arguments in \"{directive}\" directive, write \"{usage}\"").into()
}

fn wrong_value(directive: &str, value: &str, expected: &str) -> Mistake {
    format!("invalid value \"{value}\" in \"{directive}\" directive, expected {expected}").into()
}

/// Ends the http level: everything that can be checked only now. `before` is the configuration that is in force.
///
/// # Errors
/// As above.
pub fn finish(cf: &mut Conf<'_>, draft: &mut Draft, before: Option<&Configuration>) -> Result<Configuration, Mistake> {
    check_mentioned(draft)?;
    let mut settings = take(&mut draft.reader).finish().map_err(|error| error.to_string())?;
    // Locations know their monitor by its number.
    let number = |name: &str| draft.mentioned.iter().position(|monitor| monitor.name == name);
    settings.monitors.sort_by_key(|monitor| number(&monitor.name));
    let mut sources = Vec::with_capacity(settings.monitors.len());
    let mut maintenance_files = Vec::new();
    for (monitor, mentioned) in settings.monitors.iter().zip(&draft.mentioned) {
        let mut source = |directive, variable| source(cf, variable, directive, &mentioned.late);
        sources.push(Sources {
            pool: source("pool_from", &monitor.pool_from)?,
            release: source("release_from", &monitor.release_from)?,
            failure: monitor.failure_if.as_ref().map(|variable| source("failure_if", variable)).transpose()?,
            assignment: match monitor.rollout.is_written {
                true => Some(assignment(cf, &monitor.rollout, &mentioned.late)?),
                false => None,
            },
        });
    }
    for (monitor, mentioned) in settings.monitors.iter().zip(&draft.mentioned) {
        if let Maintenance::File(path) = &monitor.maintenance {
            let place = place_of("maintenance", &mentioned.late).cloned().unwrap_or_default();
            maintenance_files.push((path.clone(), place));
        }
    }
    warn_of_pools(cf, &settings, draft);
    let (state, state_place) = draft.state.take().unzip();
    settings.state = state;
    if settings.instance.is_empty() {
        settings.instance = cf.hostname();
    }
    settings.nginx = ngx::ffi::NGINX_VERSION.to_string_lossy().into_owned();
    let is_needed = !settings.monitors.is_empty() || draft.has_handler;
    let default = is_needed.then(|| (DEFAULT_ZONE.to_owned(), None, None));
    let written = draft.zone.take().map(|(name, size, place)| (name, size, Some(place)));
    let zone = written.or(default).map(|(name, size, place)| {
        let size = size.unwrap_or_else(|| default_size(&settings, &name, before));
        ZoneConf { name, size, place }
    });
    zone.iter().try_for_each(|zone| check_zone(zone, &settings))?;
    Ok(Configuration {
        settings,
        sources,
        zone,
        state_place: state_place.unwrap_or_default(),
        maintenance_files,
        controls: take(&mut draft.controls),
    })
}

/// Warns of pools to which no request can go: a wrong port, say. Their monitor would see traffic of no pool.
fn warn_of_pools(cf: &Conf<'_>, settings: &Settings, draft: &Draft) {
    if process::purpose() == Purpose::Signal || settings.monitors.iter().all(|monitor| monitor.pools.is_empty()) {
        return;
    }
    let known = cf.upstream_addresses();
    for (monitor, mentioned) in settings.monitors.iter().zip(&draft.mentioned) {
        let places = mentioned.late.iter().filter(|(name, _)| *name == "pool").map(|(_, place)| place);
        for ((pool, addresses), place) in monitor.pools.iter().zip(places) {
            if !addresses.iter().any(|address| known.contains(address)) {
                let addresses = addresses.join(", ");
                let text = format!("no server of any \"upstream\" has an address of pool \"{pool}\" ({addresses})");
                cf.warn(Mistake::from(text).at(Some(place)));
            }
        }
    }
}

fn check_mentioned(draft: &Draft) -> Result<(), Mistake> {
    let mentioned = || draft.mentioned.iter();
    let Some(unknown) = mentioned().find(|monitor| !monitor.defined) else { return Ok(()) };
    let defined: Vec<&str> =
        mentioned().filter(|monitor| monitor.defined).map(|monitor| monitor.name.as_str()).collect();
    let hint = match defined.as_slice() {
        [] => format!("there is no monitor, write \"alert_monitor {} {{ ... }}\" at the http level", unknown.name),
        names => format!("the monitors are: {}", names.join(", ")),
    };
    let text = format!("unknown monitor \"{}\" in \"alert\" directive, {hint}", unknown.name);
    Err(Mistake::At(unknown.place.clone(), text))
}

/// With room for the configuration twice, as a reload that changes all of it needs. What workers that drain count is lost
/// where a zone gets another size, so the zone in force stays as it is while both configurations fit.
fn default_size(settings: &Settings, name: &str, before: Option<&Configuration>) -> usize {
    let default = zone_bytes(2 * board::needed_bytes(settings)).next_power_of_two().max(DEFAULT_SIZE);
    let in_force =
        before.and_then(|before| Some((before, before.zone.as_ref()?))).filter(|(_, zone)| zone.name == name);
    match in_force {
        Some((before, zone)) if zone_bytes(board::needed_bytes_beside(settings, &before.settings)) <= zone.size => {
            zone.size
        }
        _ => default,
    }
}

fn check_zone(zone: &ZoneConf, settings: &Settings) -> Result<(), Mistake> {
    let needed = zone_bytes(board::needed_bytes(settings));
    if zone.size >= needed {
        return Ok(());
    }
    let ZoneConf { name, size, place } = zone;
    let text = format!(
        "alert_zone \"{name}\" of {}k is too small for these monitors and their windows, write \"zone={name}:{}k\"",
        size >> 10,
        needed >> 10
    );
    Err(Mistake::from(text).at(place.as_ref()))
}

fn zone(cf: &Conf<'_>, draft: &mut Draft, words: &[String]) -> Result<(), Mistake> {
    if draft.zone.is_some() {
        return Err("\"alert_zone\" directive is duplicate".into());
    }
    let [_, zone] = words else {
        return Err(wrong_count("alert_zone zone=NAME[:SIZE];"));
    };
    let invalid = || wrong_value("alert_zone", zone, "\"zone=NAME[:SIZE]\", such as \"zone=alert:1m\"");
    let zone = zone.strip_prefix("zone=").ok_or_else(invalid)?;
    let (name, size) = zone.split_once(':').map_or((zone, None), |(name, size)| (name, Some(size)));
    let size = size.map(|size| parse_size(size).ok_or_else(invalid)).transpose()?;
    if name.is_empty() {
        return Err(invalid());
    }
    draft.zone = Some((name.into(), size, cf.place()));
    Ok(())
}

fn state(cf: &Conf<'_>, draft: &mut Draft, words: &[String]) -> Result<(), Mistake> {
    if draft.state.is_some() {
        return Err("\"alert_state\" directive is duplicate".into());
    }
    let path = match words {
        [_, path] if !path.is_empty() && !path.ends_with('/') => cf.full_path(path)?,
        [_, path] => return Err(wrong_value("alert_state", path, "a file, such as \"/var/lib/nginx/alert/state\"")),
        _ => return Err(wrong_count("alert_state PATH;")),
    };
    draft.state = Some((path, cf.place()));
    Ok(())
}

fn monitor(cf: &mut Conf<'_>, draft: &mut Draft, words: &[String]) -> Result<(), Mistake> {
    let [_, name] = words else {
        return Err(wrong_count("alert_monitor NAME { ... }"));
    };
    if name == "off" {
        return Err("a monitor cannot be named \"off\", since \"alert off\" means none".into());
    }
    let number = draft.mention(name, cf.place());
    if number >= board::MONITORS_MAX {
        return Err(format!("too many monitors, at most {} fit", board::MONITORS_MAX).into());
    }
    let reader = &mut draft.reader;
    let mut monitor = reader.monitor(name)?;
    let mut late = Vec::new();
    cf.block(&mut |cf| {
        let words = cf.words()?;
        late.extend(LATE.into_iter().filter(|name| words[0] == *name).map(|name| (name, cf.place())));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Ok(reader.in_monitor(&mut monitor, &words, &Outside(cf))?)
    })?;
    // Only `active` can contradict the other directives, and only once all of them are read.
    reader.end_monitor(monitor).map_err(|error| Mistake::from(error).at(place_of("active", &late)))?;
    (draft.mentioned[number].late, draft.mentioned[number].defined) = (late, true);
    Ok(())
}

fn place_of<'a>(directive: &str, late: &'a [(&'static str, Place)]) -> Option<&'a Place> {
    late.iter().find(|(name, _)| *name == directive).map(|(_, place)| place)
}

/// How requests are assigned to the pools of a monitor.
fn assignment(
    cf: &mut Conf<'_>,
    rollout: &RolloutSettings,
    late: &[(&'static str, Place)],
) -> Result<Assignment, Mistake> {
    let place = ["rollout", "split_by", "rollback"].iter().find_map(|name| place_of(name, late));
    if rollout.is_routed && !cf.uses_variable(ALERT_POOL) {
        let text = "nothing uses $alert_pool, so that a share would move nobody: choose the upstream by it, as in \
                    \"map $alert_pool $upstream { green green_first; default blue_first; }\"";
        cf.warn(Mistake::from(text).at(place));
    }
    let key = key_parts(&rollout.split_by).map(|part| match part {
        Ok(text) => Ok(KeyPart::Text(text.into())),
        Err(name) => {
            let index = cf.variable(name)?;
            if cf.knows_variable(index) {
                return Ok(KeyPart::Variable(index));
            }
            let text = format!("unknown variable \"${name}\" in \"split_by\" directive, nginx has none of this name");
            Err(Mistake::from(text).at(place_of("split_by", late)))
        }
    });
    Ok(Assignment { key: { key }.collect::<Result<_, _>>()?, variable: cf.variable(ALERT_POOL)? })
}

/// The parts of a text with variables: texts, and as errors the names of variables, written `$name` or `${name}`.
fn key_parts(text: &str) -> impl Iterator<Item = Result<&str, &str>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let at = rest.find('$').unwrap_or(rest.len());
        if at > 0 {
            let (part, after) = rest.split_at(at);
            rest = after;
            return Some(Ok(part));
        }
        let after = rest.strip_prefix('$')?;
        if let Some((name, behind)) = after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            rest = behind;
            return Some(Err(name));
        }
        let len = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
        let (name, behind) = after.split_at(len);
        rest = behind;
        Some(Err(name))
    })
}

/// Where the value of this variable comes from.
fn source(
    cf: &mut Conf<'_>,
    variable: &str,
    directive: &str,
    late: &[(&'static str, Place)],
) -> Result<Source, Mistake> {
    let name = variable.trim_start_matches('$');
    if let Some(header) = HeaderName::of_variable(name) {
        return Ok(Source::Header(Rc::new(header)));
    }
    let index = cf.variable(name)?;
    if cf.knows_variable(index) {
        return Ok(Source::Variable(index));
    }
    let text = format!("unknown variable \"{variable}\" in \"{directive}\" directive, nginx has none of this name");
    Err(Mistake::from(text).at(place_of(directive, late)))
}
