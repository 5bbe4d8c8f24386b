//! One alert as it lies in shared memory.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::base::shared::shared;
use crate::board::text::{NameCell, TextCell};
use crate::model::alert::{
    Alert, Example, Kind, Links, Missed, POOL_FIGURES_MAX, PoolFigures, PoolLabel, Status, WindowFigures,
};

const INSTANCE_WORDS: usize = 16;
const STORY_WORDS: usize = 56;
const CAUSE_WORDS: usize = 24;
/// Failing requests that go with an alert.
pub const EXAMPLES_MAX: usize = 3;

shared! {
#[derive(Debug)]
struct PoolCells {
    name: NameCell,
    release: NameCell,
    address: NameCell,
}
}

shared! {
/// One alert in shared memory.
#[derive(Debug)]
pub(super) struct AlertCell {
    /// The number of the alert; zero while it is written.
    pub(super) id: AtomicU64,
    pub(super) deliveries: AtomicU64,
    pub(super) time_ms: AtomicU64,
    since_ms: AtomicU64,
    /// Kind, status and flags.
    pub(super) what: AtomicU64,
    latency_ms: AtomicU64,
    window: [AtomicU64; 4],
    failed_attempts: AtomicU64,
    retries_absorbed: AtomicU64,
    errors_reached_users: AtomicU64,
    held_back: AtomicU64,
    pub(super) monitor: NameCell,
    limit: NameCell,
    from: PoolCells,
    to: PoolCells,
    abandoned: AtomicU64,
    story: TextCell<STORY_WORDS>,
    pub(super) instance: TextCell<INSTANCE_WORDS>,
    cause: TextCell<CAUSE_WORDS>,
    examples: [ExampleCells; EXAMPLES_MAX],
    pools: [FigureCells; POOL_FIGURES_MAX],
    releases: [ReleaseCells; POOL_FIGURES_MAX],
}
}

shared! {
/// The release of one of the pools that figures are of.
#[derive(Debug)]
struct ReleaseCells {
    name: NameCell,
    since_ms: AtomicU64,
}
}

shared! {
/// The figures of one pool.
#[derive(Debug)]
struct FigureCells {
    name: NameCell,
    /// Zero where there is no pool.
    requests: AtomicU64,
    count: AtomicU64,
    latency_ms: AtomicU64,
}
}

shared! {
/// A request that failed.
#[derive(Debug)]
struct ExampleCells {
    /// Zero where there is none.
    status: AtomicU64,
    method: TextCell<2>,
    path: TextCell<12>,
    address: TextCell<8>,
}
}

const REMINDER: u64 = 1 << 16;
const NO_FAILURE_SEEN: u64 = 1 << 17;
const UNWATCHED: u64 = 1 << 18;

impl AlertCell {
    /// Writes an alert, as one of this instance.
    pub(super) fn write(&self, alert: &Alert, instance: &str) {
        let flag = |set: bool, bit: u64| if set { bit } else { 0 };
        let what = u64::from(alert.kind as u8)
            | (u64::from(alert.status as u8) << 8)
            | flag(alert.reminder, REMINDER)
            | flag(alert.no_failure_seen, NO_FAILURE_SEEN)
            | flag(alert.unwatched, UNWATCHED);
        for (cell, value) in [
            (&self.time_ms, alert.time_ms),
            (&self.since_ms, alert.since_ms),
            (&self.what, what),
            (&self.latency_ms, u64::from(alert.latency_ms)),
            (&self.failed_attempts, alert.failed_attempts),
            (&self.retries_absorbed, alert.retries_absorbed),
            (&self.errors_reached_users, alert.errors_reached_users),
            (&self.held_back, u64::from(alert.held_back)),
        ] {
            cell.store(value, Relaxed);
        }
        let WindowFigures { size, filled, failed, retried, abandoned } = alert.window;
        let figures = self.window.iter().chain([&self.abandoned]);
        for (cell, value) in figures.zip([size, filled, failed, retried, abandoned]) {
            cell.store(u64::from(value), Relaxed);
        }
        self.monitor.store(alert.monitor.as_bytes());
        self.limit.store(alert.limit.as_bytes());
        self.story.store(alert.story.as_bytes());
        self.from.write(&alert.from);
        self.to.write(&alert.to);
        self.instance.store(instance.as_bytes());
        self.cause.store(alert.cause.as_bytes());
        for (at, cells) in self.examples.iter().enumerate() {
            cells.write(alert.examples.get(at).unwrap_or(&Example::default()));
        }
        for (at, cells) in self.pools.iter().enumerate() {
            cells.write(alert.pools.get(at).unwrap_or(&PoolFigures::default()), &self.releases[at]);
        }
    }

    pub(super) fn incident(&self) -> Option<Kind> {
        Kind::from_u8(self.what.load(Relaxed) as u8).map(Kind::incident)
    }

    pub(super) fn status(&self) -> Option<Status> {
        Status::from_u8((self.what.load(Relaxed) >> 8) as u8)
    }

    /// The alert, without what the configuration adds.
    pub(super) fn read(&self, id: u64) -> Option<Alert> {
        let what = self.what.load(Relaxed);
        let [size, filled, failed, retried] = [0, 1, 2, 3].map(|at| self.window[at].load(Relaxed) as u32);
        Some(Alert {
            id,
            time_ms: self.time_ms.load(Relaxed),
            monitor: self.monitor.load(),
            instance: self.instance.load(),
            labels: Vec::new(),
            links: Links::default(),
            kind: Kind::from_u8(what as u8)?,
            status: Status::from_u8((what >> 8) as u8)?,
            reminder: what & REMINDER != 0,
            since_ms: self.since_ms.load(Relaxed),
            limit: self.limit.load(),
            latency_ms: self.latency_ms.load(Relaxed) as u32,
            from: self.from.read(),
            to: self.to.read(),
            no_failure_seen: what & NO_FAILURE_SEEN != 0,
            unwatched: what & UNWATCHED != 0,
            pools: self.pools.iter().zip(&self.releases).filter_map(|(pool, release)| pool.read(release)).collect(),
            window: WindowFigures { size, filled, failed, retried, abandoned: self.abandoned.load(Relaxed) as u32 },
            failed_attempts: self.failed_attempts.load(Relaxed),
            retries_absorbed: self.retries_absorbed.load(Relaxed),
            errors_reached_users: self.errors_reached_users.load(Relaxed),
            story: self.story.load(),
            cause: self.cause.load(),
            examples: self.examples.iter().filter_map(ExampleCells::read).collect(),
            held_back: self.held_back.load(Relaxed) as u32,
            missed: Missed::default(),
        })
    }
}

impl ExampleCells {
    fn write(&self, example: &Example) {
        self.status.store(u64::from(example.status), Relaxed);
        self.method.store(example.method.as_bytes());
        self.path.store(example.path.as_bytes());
        self.address.store(example.address.as_bytes());
    }

    fn read(&self) -> Option<Example> {
        let (method, path, address) = (self.method.load(), self.path.load(), self.address.load());
        let status = self.status.load(Relaxed) as u16;
        (status != 0).then_some(Example { method, path, status, address })
    }
}

impl FigureCells {
    fn write(&self, figures: &PoolFigures, release: &ReleaseCells) {
        self.name.store(figures.name.as_bytes());
        self.requests.store(figures.requests.into(), Relaxed);
        self.count.store(figures.count.into(), Relaxed);
        self.latency_ms.store(figures.latency_ms.into(), Relaxed);
        release.name.store(figures.release.as_bytes());
        release.since_ms.store(figures.release_since_ms, Relaxed);
    }

    fn read(&self, release: &ReleaseCells) -> Option<PoolFigures> {
        let [requests, count, latency_ms] =
            [&self.requests, &self.count, &self.latency_ms].map(|figure| figure.load(Relaxed) as u32);
        (requests > 0).then(|| PoolFigures {
            name: self.name.load(),
            requests,
            count,
            latency_ms,
            release: release.name.load(),
            release_since_ms: release.since_ms.load(Relaxed),
        })
    }
}

impl PoolCells {
    fn write(&self, label: &PoolLabel) {
        self.name.store(label.name.as_bytes());
        self.release.store(label.release.as_bytes());
        self.address.store(label.address.as_bytes());
    }

    fn read(&self) -> PoolLabel {
        PoolLabel { name: self.name.load(), release: self.release.load(), address: self.address.load() }
    }
}
