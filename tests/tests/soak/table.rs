//! What was tried, and what was lost: the table at the end of a run.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;

use tests::server::lock;

/// Counts by subject, in the order of the subjects' names, and what went wrong, with the first example of each kind.
#[derive(Debug, Default)]
pub struct Table {
    tried: Mutex<BTreeMap<(&'static str, String), u64>>,
    notes: Mutex<BTreeMap<(&'static str, String), String>>,
    lost: Mutex<BTreeMap<String, (u64, String)>>,
}

impl Table {
    /// One more of these.
    pub fn count(&self, subject: &'static str, what: &str) {
        self.add(subject, what, 1);
    }

    /// So many more of these.
    pub fn add(&self, subject: &'static str, what: &str, count: u64) {
        *lock(&self.tried).entry((subject, what.to_owned())).or_default() += count;
    }

    /// How many of these there are.
    pub fn of(&self, subject: &'static str, what: &str) -> u64 {
        lock(&self.tried).get(&(subject, what.to_owned())).copied().unwrap_or(0)
    }

    /// The most that this ever was.
    pub fn most(&self, subject: &'static str, what: &str, value: u64) {
        let mut tried = lock(&self.tried);
        let most = tried.entry((subject, what.to_owned())).or_default();
        *most = value.max(*most);
    }

    /// Figures that are no count.
    pub fn note(&self, subject: &'static str, what: &str, figures: String) {
        lock(&self.notes).insert((subject, what.to_owned()), figures);
    }

    /// Something that must not be.
    pub fn lose(&self, what: &str, example: impl fmt::Display) {
        let mut lost = lock(&self.lost);
        let (count, _) = lost.entry(what.to_owned()).or_insert_with(|| (0, example.to_string()));
        *count += 1;
    }

    /// Loses this unless it holds.
    pub fn hold(&self, holds: bool, what: &str, example: impl fmt::Display) {
        if !holds {
            self.lose(what, example);
        }
    }

    /// Whether nothing was lost.
    pub fn is_whole(&self) -> bool {
        lock(&self.lost).is_empty()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let mut rows: BTreeMap<_, String> = lock(&self.notes).clone();
        rows.extend(lock(&self.tried).iter().map(|(row, count)| (row.clone(), count.to_string())));
        let mut last = "";
        for ((subject, what), figure) in rows {
            if subject != last {
                writeln!(f, "\n{subject}")?;
                last = subject;
            }
            writeln!(f, "  {figure:>9}  {what}")?;
        }
        writeln!(f, "\nLost")?;
        if self.is_whole() {
            writeln!(f, "          0  nothing")?;
        }
        for (what, (count, example)) in &*lock(&self.lost) {
            writeln!(f, "  {count:>9}  {what}, first: {example}")?;
        }
        Ok(())
    }
}
