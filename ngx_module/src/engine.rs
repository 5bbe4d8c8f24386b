//! The life of the engine: the board when a configuration comes into force, the threads when a worker starts.

use std::cell::RefCell;
use std::time::Duration;

use alert_core::base::clock::{Clock, wall_ms};
use alert_core::base::log::{Level, Line};
use alert_core::board::monitor::MonitorBoard;
use alert_core::board::region::Region;
use alert_core::board::{Board, Plan};
use alert_core::engine;
use alert_core::observe::fast_path::FastPath;
use alert_core::observe::intake::Intake;
use alert_core::observe::peers::PeerMap;
use alert_core::observe::spsc::Producer;
use alert_core::persist::state_file::StateFile;
use alert_core::report::view::Source;
use alert_core::settings::Settings;
use ngx::ffi::ngx_log_t;

use crate::conf::{MainConf, Sources};
use crate::ffi::bell::Bell;
use crate::ffi::process;
use crate::ffi::user::{self, CoreConf};
use crate::ffi::{Severity, log_line};

/// How long the end of a process may wait for the threads.
const STOP_LIMIT: Duration = Duration::from_millis(900);

/// The engine of this process.
pub struct Engine {
    worker: engine::Engine,
    board: Board,
    plan: Plan,
    settings: Settings,
    /// What the log phase works with.
    pub log_phase: RefCell<LogPhase>,
    /// The configuration it works by, as an identity.
    configuration: *const (),
    /// By which threads call the event loop to look after them.
    _bell: Bell,
}

/// What the log phase works with.
pub struct LogPhase {
    /// The short way to the detector.
    pub producer: Producer,
    /// Of each monitor.
    pub watched: Vec<Watched>,
}

/// What the log phase needs of a monitor.
pub struct Watched {
    /// Where servers belong.
    pub servers: PeerMap,
    /// Where the names of its answers come from.
    pub sources: Sources,
    /// What its usual answers look like.
    pub usual: FastPath,
}

impl Engine {
    /// The event loop's end of the channel.
    #[inline]
    pub fn intake(&self) -> &Intake {
        self.worker.intake()
    }

    /// Whether it works by this configuration. In single-process mode a request of the configuration before a reload may
    /// end after it; its monitor's number means nothing here.
    #[inline]
    pub fn works_by(&self, configuration: *const ()) -> bool {
        configuration == self.configuration
    }

    /// The shared state of a monitor; `None` for a request of another configuration.
    pub fn monitor(&self, configuration: *const (), monitor: u16) -> Option<&'static MonitorBoard> {
        self.works_by(configuration).then(|| self.board.monitor(&self.plan, monitor as usize)).flatten()
    }

    /// The clock of everything that is counted.
    #[inline]
    pub fn clock(&self) -> Clock {
        self.board.clock()
    }

    /// Lets the couriers look for alerts at once.
    pub fn wake_couriers(&self) {
        self.worker.wake_couriers();
    }

    /// What the status is made of.
    pub fn source(&self) -> Source<'_> {
        Source::now(self.board, &self.plan, &self.settings)
    }
}

/// Finds room for a configuration on the board in this memory.
///
/// # Errors
/// What is wrong with the zone.
pub fn reserve(main: &mut MainConf, region: Region) -> Result<(), String> {
    let board = Board::open(region, wall_ms()).map_err(|error| error.to_string())?;
    main.plan = board.reserve(&main.settings, board.clock().now_ms()).map_err(|error| error.to_string())?;
    main.board = Some(board);
    Ok(())
}

/// Sees to it that workers can save the state. A configuration that is only tested changes nothing.
///
/// # Errors
/// Why they could not.
pub fn prepare_state(main: &MainConf) -> Result<(), String> {
    let Some(file) = main.settings.state.clone().map(StateFile::new) else { return Ok(()) };
    let user = main.core.and_then(CoreConf::worker_user);
    file.prepare(user.as_ref().map(|user| user.owner), process::tests_configuration())?;
    let directory = file.directory();
    if !directory.exists() || user::may_write(directory, user.as_ref()) {
        return Ok(());
    }
    let who = user.map_or("this user".into(), |user| format!("user \"{}\", as which workers run,", user.name));
    let hint = "give the file a directory of its own, which nginx makes";
    Err(format!("{who} cannot write to \"{}\", {hint}, such as \"{0}/alert/state\"", directory.display()))
}

/// Puts what outlived a restart on a board that is new.
fn load_state(board: Board, main: &MainConf, log: *mut ngx_log_t) {
    let file = main.settings.state.clone().map(StateFile::new);
    if let Some(line) = file.and_then(|file| file.load(&board, &main.plan, &main.settings, wall_ms())) {
        write(log, &line);
    }
}

/// Puts a configuration into force. In single-process mode a reload comes here while the engine runs.
pub fn configuration_in_force(main: Option<&mut MainConf>, log: *mut ngx_log_t) {
    if process::tests_configuration() {
        return;
    }
    if let Some((board, main)) = main.and_then(|main| Some((main.board?, main))) {
        let running = stop(log);
        if board.generation() == 0 {
            load_state(board, main, log);
        }
        board.activate(&mut main.plan, &main.settings);
        if running {
            start(main, log);
        }
    } else {
        stop(log);
    }
}

/// Starts the engine of this process.
pub fn start(main: &MainConf, log: *mut ngx_log_t) {
    let Some(board) = main.board else { return };
    process::refuse_cancellation();
    let started = Bell::hang(log, look_after).and_then(|bell| {
        let (rope, pid) = (bell.rope(), std::process::id());
        let ring = move || rope.pull();
        let started =
            process::with_signals_blocked(|| engine::Engine::start(board, &main.plan, &main.settings, pid, ring));
        Ok((bell, started?))
    });
    match started {
        Ok((bell, (worker, producer))) => process::set_engine(Engine {
            worker,
            board,
            plan: main.plan.clone(),
            settings: main.settings.clone(),
            log_phase: RefCell::new(LogPhase { producer, watched: watched(board, main) }),
            configuration: (&raw const *main).cast(),
            _bell: bell,
        }),
        Err(error) => {
            log_line(log, Severity::Alert, &format!("cannot start its threads, requests go on unwatched ({error})"));
        }
    }
}

fn watched(board: Board, main: &MainConf) -> Vec<Watched> {
    let servers = PeerMap::of_monitors(board, &main.plan, &main.settings);
    let watched = servers.into_iter().zip(main.sources.clone());
    watched.map(|(servers, sources)| Watched { usual: servers.usual(), servers, sources }).collect()
}

/// Stops the engine of this process. Returns whether there was one.
pub fn stop(log: *mut ngx_log_t) -> bool {
    let Some(engine) = process::take_engine() else { return false };
    let lines = engine.worker.lines().clone();
    let ended = engine.worker.stop(STOP_LIMIT);
    lines.drain().for_each(|line| write(log, &line));
    if !ended {
        log_line(log, Severity::Warn, "a thread did not end in time");
    }
    true
}

/// Writes what the threads have to say to the error log, and ends them where the module is gone.
fn look_after() {
    if !process::is_in_force() {
        stop(process::log());
    }
    process::with_engine(|engine| {
        engine.worker.lines().drain().for_each(|line| write(process::log(), &line));
    });
}

fn write(log: *mut ngx_log_t, line: &Line) {
    let severity = match line.level {
        Level::Error => Severity::Error,
        Level::Warn => Severity::Warn,
        Level::Notice => Severity::Notice,
    };
    log_line(log, severity, &line.text);
}
