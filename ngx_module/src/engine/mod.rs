//! The life of the engine: the board when a configuration comes into force, the threads when a worker starts.

mod files;
mod monitor;

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use alert_core::base::clock::wall_ms;
use alert_core::base::log::{Level, Line};
use alert_core::board::region::Region;
use alert_core::board::{Board, Error, HEADER_BYTES, Plan, Reservation};
use alert_core::engine;
use alert_core::observe::event_loop::EventLoop;
use alert_core::observe::recorder::Recorder;
use alert_core::operate::control::Refusal;
use alert_core::persist::state_file::StateFile;
use alert_core::report::view::Source;
use alert_core::settings::Settings;

pub use monitor::{Monitor, Shared, Watch, Watched};

use crate::config::{Configuration, Draft, LocationConf};
use crate::nginx::blocks::Blocks;
use crate::nginx::cycle::Cycle;
use crate::nginx::log::{Log, Severity};
use crate::nginx::process::{self, Purpose};
use crate::nginx::waker::Registration;
use crate::nginx::zone::Zone;

/// How long the end of a process may wait for the threads.
const STOP_LIMIT: Duration = Duration::from_millis(900);

/// The module's configuration of the http level.
#[derive(Default)]
pub struct Main {
    /// What is read so far.
    pub draft: RefCell<Draft>,
    /// All of it, once it is read.
    pub configuration: OnceCell<Configuration>,
    /// The monitors that watch a location, by their places.
    monitors: RefCell<Vec<Rc<Monitor>>>,
    /// The board and the room for it, once the zone is mapped and until it is in force.
    reserved: Cell<Option<(Board, Reservation)>>,
    /// Where it lies, once it is in force.
    in_force: OnceCell<(Board, Plan)>,
    engine: Rc<Slot>,
}

/// The module's configuration of a location.
#[derive(Default)]
pub struct Location {
    /// What stands there.
    pub conf: LocationConf,
    /// What watches it.
    pub monitor: Option<Rc<Monitor>>,
    /// What the log phase works with: that of the monitor.
    pub watch: Rc<Watch>,
}

impl Location {
    /// It is watched by this monitor.
    pub fn watched_by(&mut self, monitor: Rc<Monitor>) {
        self.watch = monitor.watch.clone();
        self.monitor = Some(monitor);
    }
}

/// The place of the engine that works by a configuration; empty where none runs.
pub type Slot = RefCell<Option<Engine>>;

thread_local! {
    /// The place of the engine that runs in this process.
    static RUNNING: RefCell<Option<Rc<Slot>>> = const { RefCell::new(None) };
}

/// The engine of this process.
pub struct Engine {
    /// Its threads.
    pub worker: engine::Engine,
    /// What all workers share.
    pub board: Board,
    plan: Plan,
    settings: Settings,
    /// The end of the event loop, which the monitors share.
    event_loop: Rc<EventLoop>,
    /// By which its threads wake the event loop.
    _registration: Registration,
}

impl Engine {
    /// Gets done at once what was ordered.
    pub fn wake(&self) {
        self.worker.wake();
    }

    /// What the status is made of.
    pub fn source(&self) -> Source<'_> {
        Source::now(self.board, &self.plan, &self.settings)
    }
}

impl Main {
    /// The monitor with this place.
    pub fn monitor(&self, number: usize) -> Rc<Monitor> {
        let mut monitors = self.monitors.borrow_mut();
        while monitors.len() <= number {
            let next = Rc::new(Monitor::new(monitors.len()));
            monitors.push(next);
        }
        monitors[number].clone()
    }

    /// Does something with the engine that works by this configuration.
    ///
    /// # Errors
    /// It does not run, and nothing is known here.
    pub fn with_engine<T>(&self, body: impl FnOnce(&Engine) -> T) -> Result<T, Refusal> {
        self.engine.borrow().as_ref().map(body).ok_or_else(not_running)
    }

    /// Does something with the engine later, which may have ended by then.
    pub fn engine_for_later(&self) -> Rc<Slot> {
        self.engine.clone()
    }

    /// Finds room for the configuration on the board in this zone, and sees to it that workers can save the state.
    ///
    /// # Errors
    /// What is wrong with either, and where that stands.
    pub fn reserve(&self, zone: &mut Zone<'_>) -> Result<(), String> {
        let Some(configuration) = self.configuration.get() else { return Ok(()) };
        let reserved = match zone.region(HEADER_BYTES) {
            Some(region) => reserve(region, &configuration.settings, zone.log()),
            None => Err("is too small".into()),
        };
        let reserved = reserved.map_err(|cause| match &configuration.zone {
            Some(zone) => {
                let place = zone.place.as_ref().map(|place| format!(" in {}:{}", place.file, place.line));
                format!("alert_zone \"{}\" {cause}{}", zone.name, place.unwrap_or_default())
            }
            None => cause,
        });
        self.reserved.set(Some(reserved?));
        files::warn_of_maintenance(configuration, zone.core(), zone.log());
        files::prepare_state(configuration, zone.core())
    }

    /// Puts it into force on its board. A board that is new takes what the zone of this name held before, if a reload
    /// gave that another size or the module another version; else what outlived a restart.
    fn activate(&self, before: Cycle<'_>, log: Log<'_>) {
        let Some(Configuration { settings, sources, zone, .. }) = self.configuration.get() else { return };
        let Some((board, reservation)) = self.reserved.take() else { return };
        if board.is_new() {
            let old = zone.as_ref().and_then(|zone| before.zone_memory(&zone.name));
            if old.is_some_and(|old| board.succeed(&reservation, settings, old, wall_ms())) {
                log.write(Severity::Notice, "the state of the zone before is taken over");
            } else if let Some(file) = settings.state.clone().map(StateFile::new) {
                file.load(&board, &reservation, settings, wall_ms()).iter().for_each(|line| write(log, line));
            }
        }
        let plan = board.activate(reservation, settings);
        for monitor in self.monitors.borrow().iter() {
            let Some(settings) = settings.monitors.get(monitor.number) else { continue };
            let names = settings.pools.iter().map(|(name, _)| name.as_str());
            let pools = plan.pools(monitor.number).iter().copied().zip(names);
            let assignment = sources.get(monitor.number).and_then(|sources| sources.assignment.clone());
            let (shared, rollout) = (board.monitor(&plan, monitor.number), board.rollout(&plan, monitor.number));
            monitor.configure(shared, rollout, assignment, board.clock(), pools);
        }
        let _ = self.in_force.set((board, plan));
    }
}

/// What is answered where the threads could not be started.
pub fn not_running() -> Refusal {
    Refusal { status: 503, text: "monitoring is not running in this worker, see the error log".into() }
}

fn reserve(region: Region, settings: &Settings, log: Log<'_>) -> Result<(Board, Reservation), String> {
    let board = match Board::open(region, wall_ms()) {
        Err(Error::Foreign) => {
            // nginx maps a zone of the module's own: something has written there that had no business to.
            log.write(Severity::Warn, "the head of the zone was overwritten, what it held is lost; it begins anew");
            Board::begin_anew(region, wall_ms())
        }
        opened => opened,
    };
    let board = board.map_err(|error| error.to_string())?;
    let reservation = board.reserve(settings, board.clock().now_ms()).map_err(|error| error.to_string())?;
    Ok((board, reservation))
}

/// Puts a configuration into force. In single-process mode a reload comes here while the engine of the one before runs.
pub fn configuration_in_force(main: Option<&Main>, cycle: Cycle<'_>, on_wake: fn()) {
    if process::purpose() != Purpose::Serve {
        return;
    }
    let was_running = stop(cycle.log());
    let Some(main) = main else { return };
    // nginx lets go of the cycle before only after this.
    Cycle::in_force(|before| main.activate(before, cycle.log()));
    if was_running {
        start(main, cycle, on_wake);
    }
}

/// Starts the engine of this process, whose threads get `on_wake` called by the event loop.
pub fn start(main: &Main, cycle: Cycle<'_>, on_wake: fn()) {
    let (Some(configuration), Some((board, plan))) = (main.configuration.get(), main.in_force.get()) else {
        return;
    };
    let Configuration { settings, sources, .. } = configuration;
    process::refuse_cancellation();
    let started = Registration::new(cycle, on_wake).and_then(|registration| {
        let (waker, pid) = (registration.waker(), std::process::id());
        let wake = move || waker.wake();
        // In a single process a reload can drop the module, and tells nobody: it has to look.
        let looks = process::is_single();
        let started = process::with_signals_blocked(|| engine::Engine::start(*board, plan, settings, pid, wake, looks));
        Ok((registration, started?))
    });
    match started {
        Ok((registration, (worker, event_loop))) => {
            worker.make_lap();
            let (event_loop, blocks) = (Rc::new(event_loop), Rc::new(Blocks::of(cycle)));
            let recorders = Recorder::of_monitors(*board, plan, settings).into_iter().zip(sources);
            for (monitor, (recorder, sources)) in main.monitors.borrow().iter().zip(recorders) {
                monitor.begin(recorder, sources.clone(), event_loop.clone(), blocks.clone());
            }
            *main.engine.borrow_mut() = Some(Engine {
                worker,
                board: *board,
                plan: plan.clone(),
                settings: settings.clone(),
                event_loop,
                _registration: registration,
            });
            RUNNING.set(Some(main.engine.clone()));
        }
        Err(error) => {
            let text = format!("cannot start its threads, requests go on unwatched ({error})");
            cycle.log().write(Severity::Alert, &text);
        }
    }
}

/// Stops the engine of this process. Returns whether there was one.
pub fn stop(log: Log<'_>) -> bool {
    let Some(slot) = RUNNING.take() else { return false };
    let Some(engine) = slot.take() else { return false };
    engine.event_loop.close();
    let lines = engine.worker.lines().clone();
    let ended = engine.worker.stop(STOP_LIMIT);
    lines.drain().for_each(|line| write(log, &line));
    if !ended {
        log.write(Severity::Warn, "a thread did not end in time");
    }
    true
}

/// Does what threads have called for: says that the event loop has come around, and writes their lines to the error log.
pub fn look_after(log: Log<'_>) {
    RUNNING.with_borrow(|slot| {
        let Some(slot) = slot else { return };
        if let Some(engine) = &*slot.borrow() {
            engine.worker.make_lap();
            engine.worker.lines().drain().for_each(|line| write(log, &line));
        }
    });
}

fn write(log: Log<'_>, line: &Line) {
    let severity = match line.level {
        Level::Error => Severity::Error,
        Level::Warn => Severity::Warn,
        Level::Notice => Severity::Notice,
    };
    log.write(severity, line.text());
}
