//! Limits over the window: when a count breaks them and when it is mended again.
//!
//! A share is always compared with the configured window size, however full the window is. So one error among the first
//! ten requests is silent, and a rule fires at the first instant at which the window of N must end above its limit.

use std::fmt;

use crate::model::outcome::Counts;

/// What a window has to hold (or as many as fit) before latency is judged, and before one that begins anew says that
/// something is over.
pub const ENOUGH_REQUESTS: u32 = 50;

/// Where a measured value stands against its limit. Between the two thresholds nothing changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Above the limit.
    Above,
    /// Neither.
    Hysteresis,
    /// At or below the point at which it is over.
    Below,
}

/// A share of the window in hundredths of a percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Percent(u32);

impl Percent {
    /// Reads `2%` or `0.25%`.
    pub fn parse(text: &str) -> Option<Percent> {
        let number = text.strip_suffix('%')?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || whole.len() > 3 || fraction.len() > 2 || (number.contains('.') && !digits(fraction)) {
            return None;
        }
        let hundredths = whole.parse::<u32>().ok()? * 100 + format!("{fraction:0<2}").parse::<u32>().ok()?;
        (hundredths <= 10_000).then_some(Percent(hundredths))
    }

    /// The share in percent.
    pub fn percent(self) -> f64 {
        f64::from(self.0) / 100.0
    }

    /// The share as a fraction.
    pub fn ratio(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }

    /// Where `count` of a window of `size` stands. It resolves at or below half of the limit.
    #[inline]
    pub fn judge(self, count: u32, size: u32) -> Standing {
        let count = u64::from(count) * 10_000;
        let limit = u64::from(self.0) * u64::from(size);
        if count > limit {
            Standing::Above
        } else if count * 2 <= limit {
            Standing::Below
        } else {
            Standing::Hysteresis
        }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 100, self.0 % 100) {
            (whole, 0) => write!(f, "{whole}%"),
            (whole, hundredths) if hundredths % 10 == 0 => write!(f, "{whole}.{}%", hundredths / 10),
            (whole, hundredths) => write!(f, "{whole}.{hundredths:02}%"),
        }
    }
}

/// A limit on a percentile of upstream time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatencyLimit {
    /// The percentile in thousandths: 950 is p95.
    pub per_mille: u32,
    /// The limit in milliseconds.
    pub limit_ms: u32,
}

impl LatencyLimit {
    /// Reads a percentile such as `p95` or `p99.9`.
    pub fn parse_percentile(text: &str) -> Option<u32> {
        let share = Percent::parse(&format!("{}%", text.strip_prefix('p')?))?;
        (share.0 % 10 == 0 && (1..1000).contains(&(share.0 / 10))).then_some(share.0 / 10)
    }

    /// Where the answers in the window stand. The nearest-rank percentile is above a value exactly when more requests than the
    /// remaining share are, so two counts say it, and no order is kept. It resolves at 80 % of the limit, and where every
    /// request grew too old.
    #[inline]
    pub fn judge(&self, counts: &Counts, size: u32) -> Standing {
        if counts.filled == 0 {
            return Standing::Below;
        }
        if counts.answers() < size.min(ENOUGH_REQUESTS) {
            return Standing::Hysteresis;
        }
        let allowed = u64::from(counts.answers()) * u64::from(1000 - self.per_mille) / 1000;
        if u64::from(counts.slow) > allowed {
            Standing::Above
        } else if u64::from(counts.nearly_slow) <= allowed {
            Standing::Below
        } else {
            Standing::Hysteresis
        }
    }
}

impl fmt::Display for LatencyLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", self.per_mille / 10)?;
        if self.per_mille % 10 != 0 {
            write!(f, ".{}", self.per_mille % 10)?;
        }
        match self.limit_ms {
            ms if ms % 1000 == 0 => write!(f, " {}s", ms / 1000),
            ms => write!(f, " {ms}ms"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_and_written_as_configured() {
        for text in ["0%", "2%", "2.5%", "0.25%", "10%", "100%"] {
            assert_eq!(Percent::parse(text).map(|share| share.to_string()).as_deref(), Some(text));
        }
        for text in ["", "2", "%", "-1%", "200%", "100.01%", "2.555%", "2.%", ".5%", "abc%", "2 %", "+2%"] {
            assert_eq!(Percent::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_limit_is_exceeded_by_the_fifth_error_of_200_at_2_percent_and_over_at_half() {
        let limit = Percent::parse("2%").expect("a share");
        assert_eq!(limit.judge(5, 200), Standing::Above);
        assert_eq!(limit.judge(4, 200), Standing::Hysteresis);
        assert_eq!(limit.judge(3, 200), Standing::Hysteresis);
        assert_eq!(limit.judge(2, 200), Standing::Below);
        assert_eq!(limit.judge(1, 7), Standing::Above);
        assert_eq!(limit.judge(0, 7), Standing::Below);
        assert_eq!(limit.judge(2000, 100_000), Standing::Hysteresis);
        assert_eq!(limit.judge(2001, 100_000), Standing::Above);
    }

    #[test]
    fn latency_waits_for_answers_then_judges_by_rank() {
        let limit = LatencyLimit { per_mille: 950, limit_ms: 500 };
        let counts = |filled, slow, nearly_slow| Counts { filled, slow, nearly_slow, ..Counts::default() };
        assert_eq!(limit.judge(&counts(0, 0, 0), 200), Standing::Below);
        assert_eq!(limit.judge(&counts(49, 49, 49), 200), Standing::Hysteresis);
        let failing = Counts { filled: 60, failed: 5, abandoned: 6, slow: 49, nearly_slow: 49, ..Counts::default() };
        assert_eq!(limit.judge(&failing, 200), Standing::Hysteresis, "49 answers");
        assert_eq!(limit.judge(&counts(50, 3, 3), 200), Standing::Above);
        assert_eq!(limit.judge(&counts(100, 5, 6), 200), Standing::Hysteresis);
        assert_eq!(limit.judge(&counts(100, 6, 6), 200), Standing::Above);
        assert_eq!(limit.judge(&counts(100, 0, 5), 200), Standing::Below);
        assert_eq!(limit.judge(&counts(7, 7, 7), 7), Standing::Above);
    }

    #[test]
    fn percentiles_are_read_and_written_as_configured() {
        assert_eq!(LatencyLimit::parse_percentile("p95"), Some(950));
        assert_eq!(LatencyLimit::parse_percentile("p99.9"), Some(999));
        for text in ["95", "p", "p0", "p100", "p99.99", "p-1", "px"] {
            assert_eq!(LatencyLimit::parse_percentile(text), None, "{text}");
        }
        assert_eq!(LatencyLimit { per_mille: 999, limit_ms: 500 }.to_string(), "p99.9 500ms");
        assert_eq!(LatencyLimit { per_mille: 950, limit_ms: 2000 }.to_string(), "p95 2s");
    }
}
