//! What was expected and what was seen, row by row as it happens.

use std::time::{Duration, Instant};

use tests::wait;

/// The rows so far.
pub struct Table {
    failed: usize,
    rows: usize,
    began: Instant,
}

impl Table {
    /// An empty table.
    pub fn new() -> Table {
        println!("{:<6} {:>7}  {:<58} seen", "", "after", "expected");
        Table { failed: 0, rows: 0, began: Instant::now() }
    }

    /// Says what happens now; times count from here.
    pub fn act(&mut self, what: &str) {
        println!("\n{what}");
        self.began = Instant::now();
    }

    /// Waits until this is seen. `look` gives what it sees, and whether that is what was expected.
    pub fn expect(&mut self, expected: &str, limit: Duration, mut look: impl FnMut() -> (bool, String)) {
        let mut seen = String::new();
        let found = wait::find(limit, || {
            let (is_expected, text) = look();
            seen = text;
            if !is_expected {
                std::thread::sleep(Duration::from_millis(200));
            }
            is_expected.then_some(())
        });
        self.row(found.is_some(), expected, &seen);
    }

    /// Watches for this long, and fails at once when something else is seen.
    pub fn expect_throughout(&mut self, expected: &str, time: Duration, mut look: impl FnMut() -> (bool, String)) {
        let mut seen = String::new();
        let other = wait::find(time, || {
            let (is_expected, text) = look();
            seen = text;
            std::thread::sleep(Duration::from_millis(200));
            (!is_expected).then_some(())
        });
        self.row(other.is_none(), expected, &seen);
    }

    fn row(&mut self, passed: bool, expected: &str, seen: &str) {
        self.rows += 1;
        self.failed += usize::from(!passed);
        let verdict = if passed { "PASS" } else { "FAIL" };
        println!("{verdict:<6} {:>5.0} s  {expected:<58} {seen}", self.began.elapsed().as_secs_f64());
    }

    /// The sum of it; whether all was as expected.
    pub fn finish(self) -> bool {
        println!("\n{} of {} as expected", self.rows - self.failed, self.rows);
        self.failed == 0
    }
}
