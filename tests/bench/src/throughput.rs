//! Requests a second with the module and without, in turns, so that a machine that gets slower meets both.

use crate::report::{Section, Table, number};
use crate::rig::{Rig, Variant};
use crate::{traffic, variants};

const WARM_UP: u32 = 500;
const ROUNDS: usize = 12;
/// Student's t for a two-sided interval of 95 % with [`ROUNDS`] − 1 degrees of freedom.
const T: f64 = 2.201;

/// Compares with few and many workers.
pub fn compare() -> Section {
    let mut table = Table::new(&["workers", "requests/s without", "with", "ratio", "95 % of ratios"]);
    for workers in [1, 2, 4, 16] {
        eprintln!("  {workers} workers");
        let pairs: Vec<(f64, f64)> = (0..ROUNDS).map(|round| pair(workers, round % 2 == 0)).collect();
        let mean = |part: fn(&(f64, f64)) -> f64| number(pairs.iter().map(part).sum::<f64>() / ROUNDS as f64);
        let (low, ratio, high) = ratio(&pairs);
        let (ratio, interval) = (format!("{ratio:.3}"), format!("{low:.3} – {high:.3}"));
        table.row(&[&workers, &mean(|pair| pair.0), &mean(|pair| pair.1), &ratio, &interval]);
    }
    Section { title: "Throughput".into(), text: vec![ABOUT.into()], tables: vec![table], chart: None }
}

const ABOUT: &str = "\
    `wrk` with 32 connections for a second each, twelve pairs of a new nginx each, in alternating order; the ratio \
    is the geometric mean of those of the pairs, with its 95 % confidence interval. Client, upstream and nginx share \
    the processors, so this is the share of the whole way of a request. Where the interval includes 1, no difference \
    was seen.";

/// Two nginx that are new each time: how the memory of one process happens to lie is worth some percent by itself.
fn pair(workers: usize, without_first: bool) -> (f64, f64) {
    let run = |variant: &Variant| {
        let rig = Rig::start(variant, |config| config.workers = workers);
        traffic::send(rig.address, WARM_UP);
        traffic::throughput(rig.address)
    };
    let (plain, defaults) = (variants::plain(), variants::defaults());
    if without_first {
        let without = run(&plain);
        (without, run(&defaults))
    } else {
        let with = run(&defaults);
        (run(&plain), with)
    }
}

/// The geometric mean of with / without, between the ends of its confidence interval.
fn ratio(pairs: &[(f64, f64)]) -> (f64, f64, f64) {
    let logs: Vec<f64> = pairs.iter().map(|(without, with)| (with / without).ln()).collect();
    let count = logs.len() as f64;
    let mean = logs.iter().sum::<f64>() / count;
    let variance = logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / (count - 1.0);
    let half = T * (variance / count).sqrt();
    ((mean - half).exp(), mean.exp(), (mean + half).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_ratios_leave_no_doubt() {
        let (low, mean, high) = ratio(&[(100.0, 99.0), (200.0, 198.0), (50.0, 49.5)]);
        assert!((low - 0.99).abs() < 1e-9 && (mean - 0.99).abs() < 1e-9 && (high - 0.99).abs() < 1e-9);
    }

    #[test]
    fn noise_widens_the_interval() {
        let (low, mean, high) = ratio(&[(100.0, 90.0), (100.0, 110.0)]);
        assert!(low < 0.9 && (0.99..1.0).contains(&mean) && high > 1.1);
    }
}
