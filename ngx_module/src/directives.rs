//! The directives: what their words mean, and what is wrong with them.

use alert_core::board;
use alert_core::settings::MonitorReader;
use alert_core::sink::settings::{SettingsError, SinkSettings, SystemSource, name_sinks};
use alert_core::state_file::StateFile;

use crate::conf::{HeaderName, MainConf, Source, Sources, Watch, ZoneConf};
use crate::ffi::conf::{Conf, Handler};

/// The zone where there is no `alert_zone`.
const DEFAULT_ZONE: (&str, usize) = ("alert", 1 << 20);
/// nginx has no room for its own tables in less.
const ZONE_MIN: usize = 8 << 12;

/// Reads a directive of the http level.
///
/// # Errors
/// What is wrong with it; empty where it is logged already.
pub fn http_level(cf: &mut Conf) -> Result<(), String> {
    let words = cf.words()?;
    cf.main_conf(|cf, main| match words[0].as_str() {
        "alert_zone" => zone(cf, main, &words),
        "alert_state" => state(cf, main, &words),
        "alert_notify" => add_sink(main, &words).map(drop),
        _ => monitor(cf, main, &words[1]),
    })
}

/// Reads a directive of a location (or a level above).
///
/// # Errors
/// As above.
pub fn location_level(cf: &mut Conf, location: &mut crate::conf::LocationConf) -> Result<(), String> {
    let words = cf.words()?;
    let handler = match words[0].as_str() {
        "alert_status" => Some(Handler::Status),
        "alert_control" => Some(Handler::Control),
        _ => None,
    };
    if let Some(handler) = handler {
        cf.main_conf(|_, main| main.has_handler = true);
        return cf.set_handler(handler);
    }
    if location.monitor != Watch::Inherited {
        return Err("\"alert\" directive is duplicate".into());
    }
    location.monitor = match words[1].as_str() {
        "off" => Watch::Off,
        name => {
            let place = cf.place();
            let number = cf.main_conf(|_, main| main.mention(name, place));
            Watch::By(u16::try_from(number).map_err(|_| "too many monitors")?)
        }
    };
    Ok(())
}

/// Ends the http level: everything that can be checked only now.
///
/// # Errors
/// As above.
pub fn finish(cf: &mut Conf) -> Result<(), String> {
    cf.main_conf(|cf, main| {
        check_mentioned(cf, main)?;
        for monitor in &main.settings.monitors {
            let sources =
                Sources { pool: source(cf, &monitor.pool_from)?, release: source(cf, &monitor.release_from)? };
            main.sources.push(sources);
        }
        main.settings.sinks = std::mem::take(&mut main.sinks);
        name_sinks(&mut main.settings.sinks).map_err(|error| error.to_string())?;
        main.core = Some(cf.core());
        main.settings.host = cf.hostname();
        main.settings.nginx = ngx::ffi::NGINX_VERSION.to_string_lossy().into_owned();
        if main.settings.monitors.is_empty() && !main.has_handler && main.zone.size == 0 {
            return Ok(());
        }
        if main.zone.size == 0 {
            (main.zone.name, main.zone.size) = (DEFAULT_ZONE.0.into(), DEFAULT_ZONE.1);
        }
        check_zone(cf, main)?;
        let (name, size) = (main.zone.name.clone(), main.zone.size);
        cf.add_zone(&name, size, main)
    })
}

fn check_mentioned(cf: &mut Conf, main: &mut MainConf) -> Result<(), String> {
    let defined: Vec<&str> = main
        .mentioned
        .iter()
        .filter(|monitor| monitor.settings.is_some())
        .map(|monitor| monitor.name.as_str())
        .collect();
    if let Some(unknown) = main.mentioned.iter().find(|monitor| monitor.settings.is_none()) {
        let hint = match defined.as_slice() {
            [] => format!("there is no monitor, write \"alert_monitor {} {{ ... }}\" at the http level", unknown.name),
            names => format!("the monitors are: {}", names.join(", ")),
        };
        let text = format!("unknown monitor \"{}\" in \"alert\" directive, {hint}", unknown.name);
        cf.error_at(&unknown.place.clone(), &text);
        return Err(String::new());
    }
    main.settings.monitors = main.mentioned.iter_mut().filter_map(|monitor| monitor.settings.take()).collect();
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
    match place {
        Some(place) => {
            cf.error_at(place, &text);
            Err(String::new())
        }
        None => Err(text),
    }
}

/// The size of a zone that has room for this many bytes: nginx keeps a table of the pages in the zone itself.
fn zone_bytes(needed: usize) -> usize {
    const PAGE: usize = 4096;
    const PAGE_ENTRY: usize = 32;
    let pages = needed.div_ceil(PAGE);
    (pages * (PAGE + PAGE_ENTRY)).next_multiple_of(PAGE) + 2 * PAGE
}

fn zone(cf: &Conf, main: &mut MainConf, words: &[String]) -> Result<(), String> {
    const USAGE: &str = "write \"alert_zone zone=NAME:SIZE;\", such as \"zone=alert:1m\"";
    if main.zone.size != 0 {
        return Err("\"alert_zone\" directive is duplicate".into());
    }
    let [_, zone] = words else {
        return Err(format!("invalid number of arguments in \"alert_zone\" directive, {USAGE}"));
    };
    let invalid = || format!("invalid value \"{zone}\" in \"alert_zone\" directive, {USAGE}");
    let (name, size) = zone.strip_prefix("zone=").and_then(|zone| zone.split_once(':')).ok_or_else(invalid)?;
    let size = parse_size(size).filter(|_| !name.is_empty()).ok_or_else(invalid)?;
    if size < ZONE_MIN {
        return Err(format!("alert_zone \"{name}\" is too small, it needs at least {}k", ZONE_MIN >> 10));
    }
    main.zone = ZoneConf { name: name.into(), size, place: Some(cf.place()) };
    Ok(())
}

fn state(cf: &Conf, main: &mut MainConf, words: &[String]) -> Result<(), String> {
    if main.state_place.is_some() {
        return Err("\"alert_state\" directive is duplicate".into());
    }
    let path = match words {
        [_, path] if !path.is_empty() && !path.ends_with('/') => cf.full_path(path)?,
        [_, path] => return Err(format!("invalid value \"{path}\" in \"alert_state\" directive, expected a file")),
        _ => {
            let usage = "write \"alert_state PATH;\", such as \"alert_state /var/lib/nginx/alert/state;\"";
            return Err(format!("invalid number of arguments in \"alert_state\" directive, {usage}"));
        }
    };
    main.state_place = Some(cf.place());
    main.settings.state = Some(StateFile::new(path));
    Ok(())
}

/// Reads a size in nginx's syntax: a number of bytes, or of `k`, or of `m`.
fn parse_size(text: &str) -> Option<usize> {
    let (digits, shift) = match text.as_bytes().last()? {
        b'k' | b'K' => (&text[..text.len() - 1], 10),
        b'm' | b'M' => (&text[..text.len() - 1], 20),
        _ => (text, 0),
    };
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse::<usize>().ok().filter(|_| plain)?.checked_mul(1 << shift)
}

/// Adds the sink of an `alert_notify` or `notify` and returns its number.
fn add_sink(main: &mut MainConf, words: &[String]) -> Result<usize, String> {
    let arguments: Vec<&str> = words[1..].iter().map(String::as_str).collect();
    let in_directive = |error: SettingsError| format!("{error} in \"{}\" directive", words[0]);
    main.sinks.push(SinkSettings::parse(&arguments, &SystemSource).map_err(in_directive)?);
    // The names are given when all sinks are known; a name that stands twice is told here, where the line is known.
    name_sinks(&mut main.sinks.clone()).map_err(in_directive)?;
    Ok(main.sinks.len() - 1)
}

fn monitor(cf: &mut Conf, main: &mut MainConf, name: &str) -> Result<(), String> {
    if name == "off" {
        return Err("a monitor cannot be named \"off\", since \"alert off\" means none".into());
    }
    let number = main.mention(name, cf.place());
    if main.mentioned[number].settings.is_some() {
        return Err(format!("duplicate monitor \"{name}\", put all its rules into one \"alert_monitor\""));
    }
    let mut reader = MonitorReader::new(name).map_err(|error| error.to_string())?;
    let mut active = None;
    cf.block(&mut |cf| {
        let words = cf.words()?;
        if words[0] == "active" {
            active = Some(cf.place());
        }
        if words[0] == "notify" {
            reader.notify(add_sink(main, &words)?);
            return Ok(());
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        reader.directive(&words, &mut |address| cf.resolve(address)).map_err(|error| error.to_string())
    })
    .map_err(|_| String::new())?;
    match reader.finish() {
        Ok(settings) => main.mentioned[number].settings = Some(settings),
        // Only `active` can contradict the other directives, and only once all of them are read.
        Err(error) => {
            cf.error_at(&active.unwrap_or_else(|| cf.place()), &error.to_string());
            return Err(String::new());
        }
    }
    Ok(())
}

fn source(cf: &mut Conf, variable: &str) -> Result<Source, String> {
    let name = variable.trim_start_matches('$');
    match HeaderName::of_variable(name) {
        Some(header) => Ok(Source::Header(header)),
        None => cf.variable(name).map(Source::Variable).ok_or_else(String::new),
    }
}
