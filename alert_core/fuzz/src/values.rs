//! The words in which people and services write numbers: times, sizes, shares, percentiles, addresses, pauses, names.

use std::time::{Duration, UNIX_EPOCH};

use alert_core::base::address::{self, Written};
use alert_core::base::name::{NAME_MAX, NameKey};
use alert_core::base::units::{parse_size, parse_time_ms};
use alert_core::board::text::NameCell;
use alert_core::rules::limit::{LatencyLimit, Percent};
use alert_core::sink::retry;

/// Words that mean something here.
pub const WORDS: &[&str] = &[
    "ms",
    "s",
    "m",
    "h",
    "d",
    "w",
    "k",
    "%",
    ".",
    "p",
    "99.9",
    "3650d",
    "18446744073709551615",
    "4294967296",
    "-1",
    "+1",
    "1e9",
    "inf",
    "nan",
    "[::1]",
    "unix:",
    ":80",
    "Sun, 06 Nov 1994 08:49:37 GMT",
    " GMT",
    "\0",
    "ä",
    "\u{202e}",
];

/// Every reader on the same text.
pub fn run(bytes: &[u8]) {
    name(bytes);
    let text = String::from_utf8_lossy(bytes);
    if let Some(ms) = parse_time_ms(&text) {
        assert!(ms <= 3650 * 86_400_000, "{text:?} is {ms} ms");
        assert_eq!(parse_time_ms(&format!("{ms}ms")), Some(ms));
        assert_eq!(ms, slow_time_ms(&text), "{text:?}");
    }
    if let Some(size) = parse_size(&text) {
        let (digits, unit) = text.split_at(text.trim_end_matches(['k', 'K', 'm', 'M']).len());
        let unit = if unit.is_empty() {
            1
        } else if unit.eq_ignore_ascii_case("k") {
            1 << 10
        } else {
            1 << 20
        };
        assert_eq!(digits.parse::<u128>().ok().map(|number| number * unit), Some(size as u128), "{text:?}");
    }
    if let Some(share) = Percent::parse(&text) {
        assert!((0.0..=100.0).contains(&share.percent()), "{text:?}");
        assert_eq!(Percent::parse(&share.to_string()), Some(share));
    }
    if let Some(per_mille) = LatencyLimit::parse_percentile(&text) {
        assert!((1..1000).contains(&per_mille), "{text:?}");
        let shown = LatencyLimit { per_mille, limit_ms: 1 }.to_string();
        assert_eq!(shown.split(' ').next().and_then(LatencyLimit::parse_percentile), Some(per_mille));
    }
    match address::parse(&text) {
        Ok(Written::Host(host, port)) => assert!(!host.is_empty() && port > 0 && text.contains(host)),
        Ok(Written::Socket(path)) => assert!((1..108).contains(&path.len())),
        Err(cause) => assert!(!cause.is_empty()),
    }
    let pause = retry::after(&text, UNIX_EPOCH + Duration::from_secs(784_111_777));
    assert!(pause.is_none_or(|pause| !pause.is_zero() && pause <= retry::LONGEST), "{text:?} is {pause:?}");
}

/// The same rule for times in other words: numbers with units from large to small, each unit once.
fn slow_time_ms(text: &str) -> u64 {
    let mut text = text.replace("ms", "f");
    if text.ends_with(|last: char| last.is_ascii_digit()) {
        text.push('s');
    }
    let mut units =
        [('w', 604_800_000), ('d', 86_400_000), ('h', 3_600_000), ('m', 60_000), ('s', 1000), ('f', 1)].iter();
    let mut total = 0;
    for part in text.split_inclusive(|c: char| !c.is_ascii_digit()) {
        let (number, unit) = part.split_at(part.len() - 1);
        let (_, ms) = units.find(|(name, _)| unit.starts_with(*name)).expect("units from large to small");
        total += number.parse::<u64>().expect("a number") * ms;
    }
    total
}

fn name(bytes: &[u8]) {
    let cell = NameCell::default();
    cell.store(bytes);
    let text = cell.load();
    assert!(text.chars().count() <= NAME_MAX + 1 && !text.chars().any(char::is_control), "{text:?}");
    assert_eq!(text.is_empty(), cell.is_empty());
    if !bytes.contains(&0) {
        assert_eq!(cell.key(), NameKey::of(bytes));
    }
    let again = NameCell::default();
    again.copy_from(&cell);
    assert_eq!(again.is_empty(), cell.is_empty());
}
