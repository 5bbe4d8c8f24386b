//! The engine of one worker process: its detector with everything that it looks after, and the ends that the event loop holds.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed, Ordering::Release};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};

use crate::base::log::{self, Level, Lines, Log};
use crate::base::on_demand::{Life, STACK};
use crate::base::task::{Look, Task};
use crate::board::doorbell::Doorbell;
use crate::board::worker::WorkerBoard;
use crate::board::{Board, Plan};
use crate::deliver::couriers::Couriers;
use crate::detect::detector::Detector;
use crate::detect::judge::Judge;
use crate::lead::leader::Leader;
use crate::lead::prober::Prober;
use crate::observe::event_clock::EventClock;
use crate::observe::event_loop::EventLoop;
use crate::observe::intake::Intake;
use crate::observe::names::Names;
use crate::observe::spsc::{CAPACITY, channel};
use crate::persist::saver::Saver;
use crate::persist::state_file::StateFile;
use crate::report::renderer::Renderer;
use crate::settings::Settings;
use crate::sink::Sink;

/// Events that wait for the detector at most: a tenth of a second of 40,000 failures a second.
const CHANNEL: usize = 4096;
/// Ticks between two regular calls of the event loop.
const CALL_TICKS: u32 = 2;

/// Between the death of a thread and its next life, at first and at most.
const RESTART_MIN: Duration = Duration::from_millis(10);
const RESTART_MAX: Duration = Duration::from_secs(30);

/// A running worker.
pub struct Engine {
    intake: Intake,
    lines: Lines,
    stop: Arc<AtomicBool>,
    detector: JoinHandle<()>,
    renderer: Renderer,
    doorbell: &'static Doorbell,
    sinks: Vec<Arc<Sink>>,
    wanted: Arc<AtomicBool>,
    /// Disconnected when all threads have ended.
    ended: Receiver<()>,
    place: Option<&'static WorkerBoard>,
}

impl Engine {
    /// Starts the detector of this worker, which starts other threads as there is work for them. They inherit the caller's
    /// signal mask, so the caller blocks all signals first. The end of an event loop is for a caller with one thread; others use
    /// [`Engine::intake`]. Whenever lines for the log wait, a thread makes the `call`; and every few seconds, where that is to be
    /// done `regularly`.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn start(
        board: Board,
        plan: &Plan,
        settings: &Settings,
        pid: u32,
        call: impl Fn() + Send + Sync + 'static,
        regularly: bool,
    ) -> io::Result<(Engine, EventLoop)> {
        let (log, lines) = log::queue();
        let log = log.calling(call);
        let (events, received) = bounded(CHANNEL);
        let (producer, consumer) = channel();
        let (alive, ended) = bounded(0);
        let life = Life { stop: Arc::default(), alive, log: log.clone() };
        let place = board.workers().join(pid, plan.generation, board.clock().now_ms());
        let doorbell = match place {
            Some(place) => &place.doorbell,
            // Nobody else can know it; it lives as long as the process.
            None => Box::leak(Box::default()),
        };

        let couriers = Couriers::new(board, plan, settings, pid, &life);
        let (sinks, wanted) = (couriers.sinks(), Arc::<AtomicBool>::default());
        let saver = settings.state.clone().map(StateFile::new);
        let saver = saver.map(|file| Saver::new(board, file, plan.generation, pid, &life));
        let tasks: [Option<Box<dyn Task>>; 6] = [
            regularly.then(|| boxed(RegularCall { log: log.clone(), ticks: 0 })),
            Leader::new(board, plan, settings, pid, log.clone()).map(boxed),
            Names::new(board, plan, settings, log.clone()).map(boxed),
            Prober::new(board, plan, settings, pid, &life).map(boxed),
            Some(boxed(couriers)),
            saver.map(boxed),
        ];
        let mut detector = Detector {
            clock: board.clock(),
            judge: Judge::new(board, plan, settings, log.clone()),
            tasks: tasks.into_iter().flatten().collect(),
            events: received,
            successes: consumer,
            event_clock: EventClock::new(board),
            answers: Vec::with_capacity(CAPACITY),
            doorbell,
            worker: place,
            wanted: wanted.clone(),
            stop: life.stop.clone(),
            log: log.clone(),
            rests: false,
        };
        let renderer = Renderer::new(board, plan, settings, &life);
        let stop = life.stop.clone();
        let body = move || {
            run_again_after_death("alert-detector", &life.stop, &life.log, || detector.run());
            drop((detector, life));
        };
        let detector = thread::Builder::new().name("alert-detector".into()).stack_size(STACK).spawn(body)?;
        if place.is_none() {
            log.write(Level::Warn, "too many workers share the zone, this one is not in the status".into());
        }
        let intake = Intake::new(events, doorbell, place);
        let event_loop = EventLoop::new(producer, intake.clone(), EventClock::new(board));
        let engine = Engine { intake, lines, stop, detector, renderer, doorbell, sinks, wanted, ended, place };
        Ok((engine, event_loop))
    }

    /// The end for callers with several threads.
    #[inline]
    pub fn intake(&self) -> &Intake {
        &self.intake
    }

    /// What makes the documents of the status.
    pub fn renderer(&self) -> &Renderer {
        &self.renderer
    }

    /// Gets done at once what somebody else than the detector has decided or ordered.
    pub fn wake(&self) {
        self.wanted.store(true, Release);
        self.doorbell.ring();
    }

    /// Lets the other workers know that the event loop has come around: called by it, first once the engine is started, and
    /// then whenever a thread has made the call.
    pub fn make_lap(&self) {
        if let Some(place) = self.place {
            place.make_lap();
        }
    }

    /// What the threads have to say to the error log.
    pub fn lines(&self) -> &Lines {
        &self.lines
    }

    /// Ends the threads within `limit`: the detector judges what waits, the couriers try once more, the state is saved.
    /// Returns whether all of them ended; one that did not is left to the end of the process.
    pub fn stop(self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        self.stop.store(true, Relaxed);
        self.doorbell.ring();
        let threads: Vec<_> = [self.detector].into_iter().chain(self.renderer.into_thread()).collect();
        threads.iter().for_each(|handle| handle.thread().unpark());
        // Each thread holds a sender and never sends: the channel is disconnected when the last one has ended.
        let grace = Instant::now() + limit / 2;
        if self.ended.recv_deadline(grace).is_err_and(|error| error.is_timeout()) {
            self.sinks.iter().for_each(|sink| sink.interrupt());
        }
        let ended = !self.ended.recv_deadline(deadline).is_err_and(|error| error.is_timeout());
        if ended {
            for handle in threads {
                // A panic was caught and told inside the thread.
                let _ = handle.join();
            }
        }
        if let Some(place) = self.place {
            place.leave();
        }
        ended
    }
}

fn boxed(task: impl Task + 'static) -> Box<dyn Task> {
    Box::new(task)
}

/// Calls the event loop every few seconds, for callers who have something to look after that nobody tells them.
struct RegularCall {
    log: Log,
    /// Ticks so far; wraps.
    ticks: u32,
}

impl Task for RegularCall {
    fn tick(&mut self, _look: Look) {
        self.ticks = self.ticks.wrapping_add(1);
        if self.ticks % CALL_TICKS == 0 {
            self.log.call();
        }
    }
}

/// What a thread does from top to bottom. What panics on its way is told once and begun again, with pauses that grow: a thread
/// that is gone would be missed by nobody.
fn run_again_after_death(name: &str, stop: &AtomicBool, log: &Log, mut body: impl FnMut()) {
    let (mut pause, mut told) = (RESTART_MIN, false);
    loop {
        let (was_stopping, began) = (stop.load(Relaxed), Instant::now());
        if catch_unwind(AssertUnwindSafe(&mut body)).is_ok() || was_stopping {
            return;
        }
        if began.elapsed() > RESTART_MAX {
            pause = RESTART_MIN;
        }
        if !told {
            told = true;
            log.write(Level::Error, format!("the thread {name} died of a panic; it is started again"));
        }
        let end = Instant::now() + pause;
        while let Some(left) = end.checked_duration_since(Instant::now()).filter(|_| !stop.load(Relaxed)) {
            thread::park_timeout(left);
        }
        pause = (pause * 2).min(RESTART_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::region::Region;
    use crate::board::tests::settings;
    use crate::model::event::Event;
    use crate::model::ids::PeerId;
    use crate::model::ids::PoolId;

    /// Longer than the detector takes for anything.
    const LIMIT: Duration = Duration::from_secs(5);

    fn until(what: &str, mut reached: impl FnMut() -> bool) {
        let end = Instant::now() + LIMIT;
        while !reached() {
            assert!(Instant::now() < end, "{what}");
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn answered(time_ms: u64) -> Event {
        Event::of_statuses(0, time_ms, &[(PoolId::new(1), PeerId::NONE, 200)], 200)
    }

    #[test]
    fn a_thread_that_dies_is_told_once_and_lives_again_until_the_engine_ends() {
        let (stop, (log, lines)) = (AtomicBool::new(false), log::queue());
        let (mut lives, began) = (0, Instant::now());
        run_again_after_death("alert-test", &stop, &log, || {
            lives += 1;
            assert!(lives == 4, "it dies");
        });
        assert!(lives == 4 && began.elapsed() >= RESTART_MIN * (1 + 2 + 4), "{lives} in {:?}", began.elapsed());
        let told: Vec<_> = lines.drain().map(|line| line.text().to_owned()).collect();
        assert_eq!(told, ["the thread alert-test died of a panic; it is started again"]);
        stop.store(true, Relaxed);
        let mut ends = 0;
        run_again_after_death("alert-test", &stop, &log, || {
            ends += 1;
            panic!("it dies at its end");
        });
        assert_eq!(ends, 1, "nobody waits for it");
    }

    #[test]
    fn a_detector_that_panics_goes_on_and_is_told() {
        let settings = settings(&["pool blue b:1"]);
        let board = Board::open(Region::private(1 << 20), 0).expect("a board");
        let plan = board.activate(board.reserve(&settings, 0).expect("room"), &settings);
        let (worker, _) = Engine::start(board, &plan, &settings, std::process::id(), || {}, false).expect("threads");
        let window = board.monitor(&plan, 0).and_then(|monitor| board.window(monitor)).expect("a window");
        let lines: Lines = worker.lines().clone();
        let mut told = Vec::new();
        worker.intake().push(Event::begin(crate::detect::judge::PANICS, 0));
        until("the panic is told", || {
            told.extend(lines.drain());
            told.iter().any(|line| line.text() == "the detector panicked; continuing")
        });
        let before = window.counts().filled;
        (0..10).for_each(|_| worker.intake().push(answered(board.clock().now_ms())));
        until("requests are counted", || window.counts().filled > before);
        let own = worker.place.expect("a place");
        until("nothing waits", || own.queue_depth() == 0);
        assert!(worker.stop(LIMIT), "every thread ends");
    }
}
