//! The worker that leads: at each tick of its detector it lets the pilot decide, for all workers.

use super::steer::Steer;
use crate::base::log::{Level, Log};
use crate::base::task::{Look, Task};
use crate::board::facts::RolloutOf;
use crate::board::worker::WorkerBoard;
use crate::board::{Board, Plan};
use crate::settings::Settings;

/// Leads the rollouts of a configuration, as far as no other worker does.
pub(crate) struct Leader {
    board: Board,
    plan: Plan,
    settings: Settings,
    pid: u32,
    log: Log,
}

impl Leader {
    /// A leader for the configuration of this plan; `None` where no monitor has rollouts.
    pub(crate) fn new(board: Board, plan: &Plan, settings: &Settings, pid: u32, log: Log) -> Option<Leader> {
        let wanted = (0..settings.monitors.len()).any(|number| board.rollout(plan, number).is_some());
        wanted.then(|| Leader { board, plan: plan.clone(), settings: settings.clone(), pid, log })
    }
}

impl Task for Leader {
    fn tick(&mut self, Look { now_ms, .. }: Look) {
        if self.board.generation() != self.plan.generation {
            return;
        }
        let workers = self.board.workers();
        let worker = workers.of_process(self.pid, now_ms);
        // Nobody takes for left undone what this is at.
        worker.into_iter().for_each(WorkerBoard::begin_judging);
        for number in 0..self.settings.monitors.len() {
            let Some(of) = RolloutOf::find(self.board, &self.plan, &self.settings, number) else { continue };
            if of.rollout.leading.take(self.pid, workers, now_ms) {
                let steered = Steer { of }.look(now_ms, || workers.is_quiet(self.pid.into()));
                if !steered.is_empty() {
                    self.log.write(Level::Notice, steered);
                }
            }
        }
        worker.into_iter().for_each(WorkerBoard::end_judging);
    }
}
