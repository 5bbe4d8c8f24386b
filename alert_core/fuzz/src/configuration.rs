//! A whole configuration as text.

use alert_core::board::needed_bytes;
use alert_core::settings::text;
use alert_core::settings::{CONFIRM_MAX, WINDOW_MAX};

use crate::sinks::Made;

/// Words that mean something here.
pub const WORDS: &[&str] = &[
    "alert_monitor ",
    "alert_notify ",
    "slack http://a ",
    "pool ",
    "pool_from ",
    "release_from ",
    "active ",
    "window ",
    "max_age=",
    "error_rate ",
    "retry_rate ",
    "latency p95 ",
    "failover on ",
    "confirm=",
    "cooldown ",
    "maintenance ",
    "file=/a",
    "notify ",
    "off",
    "on",
    ";",
    "{",
    "}",
    "\"",
    "'",
    "\\",
    "#",
    "\n",
    "${",
    "127.0.0.1:1",
    "[::1]:1",
    "unix:/a",
    "1000000",
    "100%",
    "3650d",
];

/// Reads it.
pub fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match text::read(&text, &Made::of(std::iter::empty())) {
        Ok(settings) => {
            let mut names: Vec<&str> = settings.monitors.iter().map(|monitor| monitor.name.as_str()).collect();
            names.sort_unstable();
            assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
            for monitor in &settings.monitors {
                assert!((1..=WINDOW_MAX).contains(&monitor.window));
                assert!(monitor.failover.is_none_or(|confirm| (1..=CONFIRM_MAX).contains(&confirm)));
                let mut addresses: Vec<&String> = monitor.pools.iter().flat_map(|(_, addresses)| addresses).collect();
                let count = addresses.len();
                addresses.sort_unstable();
                addresses.dedup();
                assert_eq!(addresses.len(), count, "an address belongs to one pool");
                assert!(monitor.sinks.iter().flatten().all(|sink| *sink < settings.sinks.len()));
            }
            needed_bytes(&settings);
        }
        Err(error) => {
            assert!(error.place.line <= text.lines().count().max(1) + 1 && error.place.column > 0, "{error}");
            assert!(!error.message.is_empty());
        }
    }
}
