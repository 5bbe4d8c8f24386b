//! What a configuration that comes into force changes in the state of a monitor.

use super::extent::Extent;
use super::monitor::MonitorBoard;
use super::plan::MonitorPlan;
use super::settled::Settled;
use crate::base::name::NameKey;
use crate::model::ids::{PoolId, PoolSet};
use crate::rules::outage;
use crate::settings::MonitorSettings;

impl MonitorBoard {
    /// Brings the shared state in line with its settings. What did not change goes on as it was.
    pub(super) fn configure(&self, place: &mut MonitorPlan, settings: &MonitorSettings, now_ms: u64) {
        if self.name.is_empty() {
            self.name.store(settings.name.as_bytes());
        }
        self.rollout.store(place.rollout.unwrap_or(Extent::NONE));
        place.pools.clear();
        let mut configured = PoolSet::EMPTY;
        let mut configure = |name: &str| {
            let pool = self.learn_pool_beside(name.as_bytes(), configured, now_ms);
            configured.insert(pool);
            pool
        };
        place.pools.extend(settings.pools.iter().map(|(name, _)| configure(name)));
        let active = settings.active.as_deref().map_or(PoolId::NONE, configure);
        let before = self.configured.swap(configured);
        self.unlist_peers();
        for ((_, addresses), pool) in settings.pools.iter().zip(&place.pools) {
            for address in addresses {
                self.list_peer(address.as_bytes(), *pool, now_ms);
            }
        }
        self.begin_warnings();
        let setting = settings.active.as_deref().map_or(NameKey::EMPTY, |name| NameKey::of(name.as_bytes()));
        if self.active_setting.swap(setting) != setting {
            // A planned switch: the pool that should serve is expected to, without an alert.
            self.set_active(active, now_ms);
            self.expect(active, now_ms);
        }
        if !place.pools.is_empty() {
            // One that lists none knows pools by their names alone.
            self.forget_pools_that_are_gone(before, configured, active, now_ms);
        }
        if settings.failover.is_none() && self.is_failed_over() {
            // Nobody looks any more whether it is over, and it would explain retries for ever.
            self.expect(self.active(), now_ms);
        }
        if settings.outage.is_none() {
            self.outage.store(outage::State::default());
        }
        self.maintenance.configure(&settings.maintenance);
    }

    /// Makes this pool the one that should serve, of which nobody is to be told.
    fn set_active(&self, pool: PoolId, now_ms: u64) {
        self.active_settled.store(Settled::default());
        self.active.store(pool);
        self.active_settled.store(Settled { pool, at_ms: now_ms });
    }

    /// Pools that the configuration named and does not any more (removed, or renamed) can neither serve nor be expected to.
    fn forget_pools_that_are_gone(&self, before: PoolSet, configured: PoolSet, active: PoolId, now_ms: u64) {
        let is_gone = |pool: PoolId| before.contains(pool) && !configured.contains(pool);
        if is_gone(self.active()) {
            // Without a setting, the first one seen serving takes its place.
            self.set_active(active, now_ms);
        }
        if is_gone(self.serving()) || is_gone(self.failed_over_from.load()) {
            self.expect(self.active(), now_ms);
            self.failed_over_from.store(PoolId::NONE);
        }
    }
}
