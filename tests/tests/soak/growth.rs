//! What an nginx holds that nobody touches: as much at the end of a run as when it was warm.

use std::fs;
use std::sync::Mutex;

use tests::process::{self, Footprint};
use tests::server::lock;

use crate::fort::Fort;
use crate::table::Table;

const SUBJECT: &str = "Growth";
/// A process comes to rest in steps of half a megabyte.
const MEMORY_KIB: u64 = 1024;
/// A sink more or less is being told at this moment, a client more or less is there.
const DESCRIPTORS: usize = 8;
const THREADS: usize = 4;

/// A process, what it held, and its shared memory in KiB.
type Held = (u32, Footprint, u64);
/// One figure of that: what it is, how to get it, and by how much it may vary.
type Measure = (&'static str, fn(&Held) -> u64, u64);

/// What the processes held, sample by sample.
#[derive(Debug, Default)]
pub struct Growth {
    samples: Mutex<Vec<Vec<Held>>>,
}

impl Growth {
    /// Takes a sample of every process.
    pub fn look(&self, fort: &Fort) {
        let sample = fort.processes().into_iter().map(|pid| (pid, process::footprint(pid), shared_memory_kib(pid)));
        lock(&self.samples).push(sample.collect());
    }

    /// Compares the quarters of the run: what rises from each to the next, and by more than it may vary, grows.
    pub fn settle(&self, table: &Table) {
        let samples = lock(&self.samples);
        let quarter = samples.len() / 4;
        if quarter == 0 {
            return table.lose("a run too short to see growth", samples.len());
        }
        let processes = |sample: &[Held]| sample.iter().map(|(pid, ..)| *pid).collect::<Vec<u32>>();
        let first = processes(&samples[0]);
        for sample in samples.iter() {
            table.hold(processes(sample) == first, "a process that nobody replaced", format!("{first:?}"));
        }
        for place in 0..first.len() {
            let median = |part: &[Vec<Held>], of: fn(&Held) -> u64| {
                let mut values: Vec<u64> = part.iter().filter_map(|sample| sample.get(place)).map(of).collect();
                values.sort_unstable();
                values.get(values.len() / 2).copied().unwrap_or(0)
            };
            let who = if place + 1 == first.len() { "the master".to_owned() } else { format!("worker {place}") };
            let measures: [Measure; 4] = [
                ("memory of its own (KiB)", |sample| sample.1.resident, MEMORY_KIB),
                ("descriptors", |sample| sample.1.descriptors as u64, DESCRIPTORS as u64),
                ("threads", |sample| sample.1.threads as u64, THREADS as u64),
                ("shared memory (KiB)", |sample| sample.2, 0),
            ];
            for (what, of, slack) in measures {
                let parts: Vec<u64> = samples.chunks_exact(quarter).take(4).map(|part| median(part, of)).collect();
                table.note(SUBJECT, &format!("{who}: {what}, quarter by quarter"), format!("{parts:?}"));
                // The first is for warming up.
                let rises = parts.windows(2).skip(1).all(|pair| pair[0] < pair[1]);
                let is_more = parts.get(1).zip(parts.get(3)).is_some_and(|(warm, end)| *end > warm + slack);
                table.hold(!rises || !is_more, "growth", format!("{who}: {what}, {parts:?}"));
            }
        }
    }
}

/// The shared memory of a master stays what it was at first, whatever was killed and reloaded.
pub fn look_at_shared_memory(fort: &Fort, table: &Table) {
    let master = lock(&fort.nginx).master();
    let kib = shared_memory_kib(master);
    let what = format!("{}: shared memory of the master, at most (KiB)", fort.name);
    let known = table.of(SUBJECT, &what);
    table.hold(known == 0 || kib <= known, "shared memory that grows", format!("{kib} after {known}"));
    table.most(SUBJECT, &what, kib);
}

fn shared_memory_kib(pid: u32) -> u64 {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    let shared = maps.lines().filter(|line| line.contains(" rw-s "));
    let size = |line: &str| {
        let (from, to) = line.split(' ').next()?.split_once('-')?;
        Some(u64::from_str_radix(to, 16).ok()?.saturating_sub(u64::from_str_radix(from, 16).ok()?) / 1024)
    };
    shared.filter_map(size).sum()
}
