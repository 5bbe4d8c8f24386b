//! A board to report on, for the tests of all documents.

use super::view::{Scope, Source, View};
use crate::board::monitor::MonitorBoard;
use crate::board::region::Region;
use crate::board::tests::settings;
use crate::board::window::Window;
use crate::board::{Board, Plan};
use crate::settings::Settings;

/// When the board was made.
pub const T0: u64 = 1_790_000_000_000;

pub struct Rig {
    pub board: Board,
    pub plan: Plan,
    pub settings: Settings,
    pub now_ms: u64,
}

impl Rig {
    /// One monitor `app` of these directives.
    pub fn new(lines: &[&str]) -> Rig {
        Rig::of(settings(lines))
    }

    /// Monitors of these names, with the same directives.
    pub fn named(names: &[&str], lines: &[&str]) -> Rig {
        let template = settings(lines).monitors.remove(0);
        let monitors =
            names.iter().map(|name| crate::settings::MonitorSettings { name: (*name).into(), ..template.clone() });
        Rig::of(Settings { monitors: monitors.collect(), ..Settings::default() })
    }

    pub fn of(settings: Settings) -> Rig {
        let board = Board::open(Region::private(16 << 20), T0).expect("a board");
        let plan = board.activate(board.reserve(&settings, T0).expect("room"), &settings);
        Rig { board, plan, settings, now_ms: T0 + 60_000 }
    }

    pub fn monitor(&self, number: usize) -> &'static MonitorBoard {
        self.board.monitor(&self.plan, number).expect("a monitor")
    }

    pub fn window(&self, number: usize) -> Window<'static> {
        self.board.window(self.monitor(number)).expect("a window")
    }

    pub fn source(&self) -> Source<'_> {
        Source { board: self.board, plan: &self.plan, settings: &self.settings, now_ms: self.now_ms, step_ms: 0 }
    }

    pub fn view(&self) -> View<'_> {
        self.source().view(Scope { alerts: true, percentiles: true, rates: true })
    }
}
