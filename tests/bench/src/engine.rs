//! The engine without nginx: a board with one monitor, and events for it.

use std::num::NonZeroU64;

use alert_core::base::clock::wall_ms;
use alert_core::base::log;
use alert_core::board::region::Region;
use alert_core::board::{Board, Plan};
use alert_core::detect::judge::Judge;
use alert_core::engine;
use alert_core::model::event::Event;
use alert_core::model::ids::PeerId;
use alert_core::model::success::{Answered, SourceId};
use alert_core::observe::event_loop;
use alert_core::observe::fast_path::{Address, FastPath};
use alert_core::observe::peers::PeerMap;
use alert_core::settings::Settings;
use alert_core::settings::text;
use alert_core::sink::settings::SystemSource;

const BLUE: &str = "127.0.0.1:8081";
/// It, as nginx keeps it.
const ADDRESS: Address<'_> = Address { text: BLUE.as_bytes(), lies_at: 0x1000, lasts: true };
const RELEASE: &[u8] = b"v1.2.3";
/// All processes of a board have the same settings, so any key will do.
const KEY: NonZeroU64 = NonZeroU64::MIN;

/// What one process knows of a board.
pub struct Engine {
    /// The board.
    pub board: Board,
    /// Where its configuration lies.
    pub plan: Plan,
    settings: Settings,
}

impl Engine {
    /// Takes part in the board in this memory, which is empty or has these settings.
    pub fn join(region: Region, settings: Settings) -> Engine {
        let board = Board::open(region, wall_ms()).expect("a board");
        let reservation = board.reserve(&settings, wall_ms()).expect("room");
        let plan = board.activate_or_join(reservation, &settings, KEY);
        Engine { board, plan, settings }
    }

    /// Starts the threads of a worker, with what an event loop has of it.
    pub fn start(&self) -> EventLoop {
        let Engine { board, plan, settings } = self;
        let started = engine::Engine::start(*board, plan, settings, std::process::id(), || {}, false);
        let (worker, event_loop) = started.expect("threads can be started");
        let usual = PeerMap::of_monitors(*board, plan, settings).remove(0).usual();
        usual.remember(ADDRESS, RELEASE, None, SourceId::new(0, plan.pools(0)[0], PeerId::new(0)));
        EventLoop { worker, event_loop, usual }
    }

    /// What a detector thread judges with.
    pub fn judge(&self) -> Judge {
        Judge::new(self.board, &self.plan, &self.settings, log::queue().0)
    }

    /// An answer of the pool that serves.
    pub fn event(&self) -> Event {
        Event::of_statuses(0, wall_ms(), &[(self.plan.pools(0)[0], PeerId::new(0), 200)], 200)
    }
}

/// A monitor with its defaults and a window of this size.
pub fn settings(window: u32) -> Settings {
    let text = format!(
        "alert_notify slack http://127.0.0.1:9/;
         alert_monitor app {{ pool blue {BLUE}; pool green 127.0.0.1:8082; active blue; window {window}; }}"
    );
    text::read(&text, &SystemSource).expect("a configuration")
}

/// What an event loop has of a worker.
pub struct EventLoop {
    /// The worker.
    pub worker: engine::Engine,
    event_loop: event_loop::EventLoop,
    usual: FastPath<()>,
}

impl EventLoop {
    /// What the module does for a request that one upstream answered.
    pub fn answered(&mut self) {
        let known = self.usual.find(ADDRESS.lies_at, || Some(ADDRESS.text)).filter(|known| known.has_release(RELEASE));
        let origin = known.expect("blue serves").origin();
        self.event_loop.answered(Answered { time_ms: wall_ms(), began_ago_ms: 1, header_ms: 1, origin });
    }
}
