//! What probes tell that traffic cannot: that the standby could not take over, and that a pool died while nobody asked.

use super::verdict::Judged;
use crate::board::rollout::{ProbeBoard, RolloutBoard};
use crate::model::alert::{Kind, LINE_END};
use crate::model::ids::PoolId;
use crate::rollout::pilot::Health;
use crate::rollout::state::Phase;
use crate::rules::throttle::Signal;
use crate::settings::rollout::ProbeSettings;

/// A pool that is listed, and what its probes say.
struct Probed<'a> {
    pool: PoolId,
    name: &'a str,
    addresses: &'a [String],
    health: Health,
}

impl Judged<'_> {
    /// Tells of pools that do not pass their probe, where nothing else has told it, and when all pools do again.
    pub(super) fn probes(&self) -> bool {
        let Some((rollout, probe)) = self.probing() else {
            // Nothing else would end what probes told that a new configuration has switched off since.
            let raised = self.monitor.shared.is_raised(Kind::Probe);
            return self.signal(Kind::Probe, if raised { Signal::Cleared } else { Signal::Unchanged }, None);
        };
        let signal = if self.silent_pool(rollout, probe).is_some() {
            Signal::Raised
        } else if self.probed(rollout, probe).all(|probed| probed.health.answers()) {
            Signal::Cleared
        } else {
            Signal::Unchanged
        };
        let raised = self.monitor.shared.is_raised(Kind::Probe);
        let signal = match (signal, raised) {
            (Signal::Raised, true) | (Signal::Cleared, false) => Signal::Unchanged,
            _ => signal,
        };
        self.signal(Kind::Probe, signal, None)
    }

    fn probing(&self) -> Option<(&'static RolloutBoard, &ProbeSettings)> {
        Some((self.monitor.rollout?, self.monitor.settings.rollout.probe.as_ref()?))
    }

    fn probed<'a>(
        &'a self,
        rollout: &'a RolloutBoard,
        probe: &'a ProbeSettings,
    ) -> impl Iterator<Item = Probed<'a>> + 'a {
        let (shared, now_ms) = (self.monitor.shared, self.now_ms);
        self.monitor.settings.pools.iter().zip(&self.monitor.pools).map(move |((name, addresses), pool)| Probed {
            pool: *pool,
            name,
            addresses,
            health: rollout.health(shared, addresses, probe, now_ms),
        })
    }

    /// A pool of which no address passes, unless something else tells it.
    fn silent_pool<'a>(&'a self, rollout: &'a RolloutBoard, probe: &'a ProbeSettings) -> Option<Probed<'a>> {
        let shared = self.monitor.shared;
        let state = rollout.state.load();
        let takes_over = matches!(state.phase, Phase::Probing | Phase::Step(_) | Phase::Held { .. });
        let is_told = |pool: PoolId| {
            (takes_over && pool == state.to)
                || (pool == shared.active() && shared.is_failed_over())
                || (pool == shared.serving() && (shared.is_raised(Kind::Outage) || shared.is_raised(Kind::ErrorRate)))
        };
        self.probed(rollout, probe).find(|probed| probed.health == Health::Down && !is_told(probed.pool))
    }

    /// The pool that an alert of probes is about, and its story.
    pub(super) fn story_of_probes(&self, resolved: bool) -> (PoolId, String) {
        let Some((rollout, probe)) = self.probing() else {
            return (PoolId::NONE, ":white_check_mark: Probes are off — pools are no longer asked".into());
        };
        let down = self.silent_pool(rollout, probe).filter(|_| !resolved);
        let Some(Probed { pool, name, addresses, .. }) = down else {
            return (PoolId::NONE, ":white_check_mark: All pools pass their probes again".into());
        };
        let shared = self.monitor.shared;
        let errors: Vec<(&String, String)> = addresses
            .iter()
            .filter_map(|address| {
                let probed: &ProbeBoard = rollout.probes_of(shared, std::slice::from_ref(address)).next()?;
                Some((address, probed.error.load()))
            })
            .collect();
        let why = errors.first().map_or("", |(_, why)| why.as_str());
        let mut story = if pool == shared.serving() || pool == shared.active() {
            format!(":warning: {} does not pass its probe — {why}", capitalized(name))
        } else if self
            .probed(rollout, probe)
            .any(|other| other.pool != pool && other.pool != shared.serving() && other.health.answers())
        {
            format!(":warning: Standby is down — {name} does not pass its probe ({why})")
        } else {
            format!(
                ":warning: Standby is down — {name} does not pass its probe ({why}); nothing is left to fail over to"
            )
        };
        for (address, why) in errors.iter().take(4) {
            story.push(LINE_END);
            story.push_str(&format!("Probe of {address}: {why}"));
        }
        (pool, story)
    }
}

fn capitalized(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
