//! Many measured values of one thing.

use std::time::Duration;

/// Values in order of size.
#[derive(Clone, Debug)]
pub struct Distribution(Vec<f64>);

impl Distribution {
    /// At least one value.
    pub fn new(mut values: Vec<f64>) -> Distribution {
        assert!(!values.is_empty(), "nothing was measured");
        values.sort_by(f64::total_cmp);
        Distribution(values)
    }

    /// In milliseconds.
    pub fn of_durations(durations: impl IntoIterator<Item = Duration>) -> Distribution {
        Distribution::new(durations.into_iter().map(|duration| duration.as_secs_f64() * 1e3).collect())
    }

    /// The smallest value that this share of all values does not exceed.
    pub fn quantile(&self, share: f64) -> f64 {
        let rank = (share * self.0.len() as f64).ceil() as usize;
        self.0[rank.clamp(1, self.0.len()) - 1]
    }

    /// The middle one.
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let distribution = Distribution::new((1..=100).rev().map(f64::from).collect());
        assert_eq!(
            [0.0, 0.5, 0.99, 0.999, 1.0].map(|share| distribution.quantile(share)),
            [1.0, 50.0, 99.0, 100.0, 100.0]
        );
    }
}
