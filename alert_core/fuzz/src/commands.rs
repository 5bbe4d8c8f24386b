//! Commands as a client of `alert_control` sends them: the first line is the path, the second the query string.

use alert_core::operate::control::Command;

use crate::rig::{Rig, T0};

/// Words that mean something here.
pub const WORDS: &[&str] = &[
    "maintenance\n",
    "active\n",
    "test\n",
    "monitor=app",
    "&on=1",
    "&on=0",
    "&for=",
    "&pool=blue",
    "&pool=green",
    "30m",
    "365d",
    "%",
    "%00",
    "%ff",
    "%C3%A4",
    "+",
    "=",
    "&",
    "10y",
];

/// Reads a command and carries it out.
pub fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (path, query) = text.split_once('\n').unwrap_or((&text, ""));
    let command = match Command::parse(path, query) {
        Ok(command) => command,
        Err(refusal) => {
            assert!([400, 404].contains(&refusal.status) && !refusal.text.is_empty());
            refusal.to_json();
            return;
        }
    };
    if let Command::Maintenance { on, for_ms, .. } = &command {
        assert!(for_ms.is_none_or(|ms| *on && (1..=365 * 86_400_000).contains(&ms)), "{command:?}");
    }
    let rig = Rig::new();
    match command.carry_out(&rig.status(T0)) {
        Ok(done) => {
            assert!(!done.log.is_empty() && !done.log.contains('\n'), "{done:?}");
            if let Some(test) = done.test {
                test.outcomes(&rig.status(T0 + 1));
            }
        }
        Err(refusal) => assert_eq!(refusal.status, 404, "{refusal:?}"),
    }
    rig.look(T0 + 2);
}
