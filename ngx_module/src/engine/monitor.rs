//! A monitor as locations refer to it: what a request needs of it, one pointer away.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;

use alert_core::base::clock::Clock;
use alert_core::board::monitor::MonitorBoard;
use alert_core::board::rollout::RolloutBoard;
use alert_core::model::ids::{POOLS_MAX, PoolId};
use alert_core::observe::event_loop::EventLoop;
use alert_core::observe::fast_path::{Address, FastPath};
use alert_core::observe::recorder::Recorder;
use alert_core::report::view::State;
use alert_core::rollout::share::Bucket;

use crate::config::{Assignment, KeyPart, Sources};
use crate::nginx::blocks::Blocks;
use crate::nginx::headers::Shape;
use crate::nginx::logged_request::LoggedRequest;
use crate::nginx::process::monotonic_ms;
use crate::nginx::variable::Text;

/// A monitor of a configuration. Locations that it watches refer to it from when they are merged.
pub struct Monitor {
    /// Its place among the monitors of the configuration.
    pub number: usize,
    /// What the log phase works with.
    pub watch: Rc<Watch>,
    shared: Cell<Option<Shared>>,
    names: [OnceCell<Text>; POOLS_MAX + 1],
    states: [Text; STATES.len()],
    rollout: Cell<Option<&'static RolloutBoard>>,
    assignment: OnceCell<Assignment>,
}

/// What `$alert_state` can be.
const STATES: [State; 4] = [State::Ok, State::FailedOver, State::Flapping, State::Maintenance];

/// Where each request looks for what the log phase works with. Empty where nothing is watched, and as long as the engine of
/// the configuration does not run in this process.
pub type Watch = OnceCell<Box<Watched>>;

/// What the log phase needs of a monitor.
#[repr(C)]
pub struct Watched {
    /// What its usual answers look like.
    pub usual: FastPath<Shape>,
    /// What takes longer can be slow, in milliseconds.
    fast_ms: u64,
    rollout: Option<&'static RolloutBoard>,
    /// Where the names of its answers come from.
    pub sources: Sources,
    /// What decides what is counted.
    pub recorder: Recorder,
    /// Where it goes.
    pub event_loop: Rc<EventLoop>,
    /// The memory of its configuration.
    blocks: Rc<Blocks>,
}

impl Watched {
    /// An address that a request has there in memory.
    pub fn address<'a>(&self, text: &'a [u8], lies_at: usize) -> Address<'a> {
        Address { text, lies_at, lasts: self.blocks.hold(lies_at) }
    }

    /// Whether the first attempt of a request, which took so long, is slow by what a rollout compares.
    #[inline(always)]
    pub fn is_slow(&self, latency_ms: u64) -> bool {
        latency_ms > self.fast_ms && self.rollout.is_some_and(|rollout| rollout.is_slow(latency_ms))
    }
}

/// What all workers share of a monitor.
#[derive(Clone, Copy)]
pub struct Shared {
    /// Its state.
    pub board: &'static MonitorBoard,
    /// The clock of all times in it.
    pub clock: Clock,
}

impl Shared {
    /// The name of a pool; `None` for one that is unknown.
    pub fn pool_name(self, pool: PoolId) -> Option<String> {
        Some(self.board.pool(pool).name.load()).filter(|name| !name.is_empty())
    }
}

impl Monitor {
    /// The monitor with this place.
    pub fn new(number: usize) -> Monitor {
        Monitor {
            number,
            watch: Rc::default(),
            shared: Cell::new(None),
            names: Default::default(),
            states: STATES.map(|state| Text::new(state.name())),
            rollout: Cell::new(None),
            assignment: OnceCell::new(),
        }
    }

    /// The engine of its configuration runs in this process now: what this recorder says goes to this end of the event loop.
    pub(super) fn begin(&self, recorder: Recorder, sources: Sources, event_loop: Rc<EventLoop>, blocks: Rc<Blocks>) {
        let (usual, rollout) = (recorder.peers().usual(), self.rollout.get());
        let fast_ms = if rollout.is_some() { 0 } else { u64::MAX };
        // A configuration comes into force once in a process.
        let _ = self.watch.set(Box::new(Watched { usual, fast_ms, rollout, sources, recorder, event_loop, blocks }));
    }

    /// What all workers share of it; also where no engine runs. `None` before its configuration is in force.
    #[inline(always)]
    pub fn shared(&self) -> Option<Shared> {
        self.shared.get()
    }

    /// The name of a pool that the configuration lists.
    #[inline(always)]
    pub fn listed_pool(&self, pool: PoolId) -> Option<&Text> {
        self.names.get(pool.get() as usize)?.get()
    }

    /// The name of one of the states that `$alert_state` can be.
    #[inline(always)]
    pub fn state(&self, state: State) -> Option<&Text> {
        self.states.get(STATES.iter().position(|known| *known == state)?)
    }

    /// The pool that a request is assigned to: the active one, or that of a share in which its client is.
    #[inline(always)]
    pub fn assign(&self, shared: Shared, request: LoggedRequest<'_>) -> PoolId {
        match self.rollout.get() {
            Some(rollout) if rollout.share.word() != 0 => self.assign_by_share(shared, rollout, request),
            _ => shared.board.active(),
        }
    }

    #[inline(never)]
    fn assign_by_share(&self, shared: Shared, rollout: &RolloutBoard, request: LoggedRequest<'_>) -> PoolId {
        let share = rollout.share.load();
        if !share.counts(shared.clock.at(monotonic_ms())) {
            return shared.board.active();
        }
        let Some(bucket) = self.bucket(rollout, request) else { return shared.board.active() };
        let is_of_share = share.holds(bucket);
        rollout.note(bucket, is_of_share);
        if is_of_share { share.pool } else { shared.board.active() }
    }

    /// The bucket of the client of a request.
    fn bucket(&self, rollout: &RolloutBoard, request: LoggedRequest<'_>) -> Option<Bucket> {
        let parts = self.assignment.get()?.key.iter().map(|part| match part {
            KeyPart::Text(text) => text.as_slice(),
            KeyPart::Variable(index) => request.variable(*index).unwrap_or_default(),
        });
        Some(Bucket::of_parts(rollout.salt.load(Relaxed) as u32, parts))
    }

    /// The pool that a finished request was assigned to, and the number of its client's bucket; `None` where nobody asked
    /// for it, and where there is no share.
    #[inline]
    pub fn assigned(&self, request: LoggedRequest<'_>) -> Option<(PoolId, u16)> {
        let rollout = self.rollout.get().filter(|rollout| rollout.share.word() != 0)?;
        self.assigned_by(rollout, request)
    }

    #[inline(never)]
    fn assigned_by(&self, rollout: &RolloutBoard, request: LoggedRequest<'_>) -> Option<(PoolId, u16)> {
        let name = request.kept_variable(self.assignment.get()?.variable)?;
        let is_named = |text: &OnceCell<Text>| text.get().is_some_and(|text| text.bytes() == name);
        let pool = self.names.iter().position(is_named)?;
        Some((PoolId::new(pool as u8), self.bucket(rollout, request)?.get()))
    }

    /// Takes over where its configuration lies on the board, which is in force now.
    pub(super) fn configure<'a>(
        &self,
        board: Option<&'static MonitorBoard>,
        rollout: Option<&'static RolloutBoard>,
        assignment: Option<Assignment>,
        clock: Clock,
        pools: impl Iterator<Item = (PoolId, &'a str)>,
    ) {
        self.shared.set(board.map(|board| Shared { board, clock }));
        self.rollout.set(rollout);
        if let Some(assignment) = assignment {
            let _ = self.assignment.set(assignment);
        }
        for (pool, name) in pools {
            if let Some(place) = self.names.get(pool.get() as usize) {
                let _ = place.set(Text::new(name));
            }
        }
    }
}
