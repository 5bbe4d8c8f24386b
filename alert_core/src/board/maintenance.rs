//! Whether a monitor is in maintenance: what the configuration says, and what was ordered at run time.
//!
//! An order holds for all workers at once and across reloads, until its time is over or the configuration's own value
//! changes. Whether a `file=` exists is looked up by the detectors and kept here, so that the event loop never asks a
//! file system.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::base::shared::shared;
use crate::base::word::Word;
use crate::board::cell::Packed;
use crate::settings::Maintenance;

shared! {
/// The maintenance of one monitor. All-zero is: off.
#[derive(Debug)]
pub struct MaintenanceBoard {
    /// Identity of the configured value, to see when it changes.
    setting: AtomicU64,
    /// What the configured value comes to.
    configured: Packed<bool>,
    order: Packed<Order>,
}
}

/// What was ordered at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Nothing: as configured.
    None,
    /// No maintenance, whatever is configured.
    Off,
    /// Maintenance until this time, in milliseconds since the Unix epoch.
    Until(u64),
    /// Maintenance until somebody ends it.
    On,
}

impl Word for Order {
    fn to_word(self) -> u64 {
        match self {
            Order::None => 0,
            Order::Off => 1,
            Order::Until(time_ms) => time_ms.clamp(2, u64::MAX - 1),
            Order::On => u64::MAX,
        }
    }

    fn from_word(word: u64) -> Order {
        match word {
            0 => Order::None,
            1 => Order::Off,
            u64::MAX => Order::On,
            time_ms => Order::Until(time_ms),
        }
    }
}

impl MaintenanceBoard {
    /// Takes over what the configuration says. A changed value ends what was ordered.
    pub fn configure(&self, setting: &Maintenance) {
        let mut hasher = DefaultHasher::new();
        setting.hash(&mut hasher);
        let identity = hasher.finish().max(1);
        if self.setting.swap(identity, Relaxed) != identity {
            self.order.store(Order::None);
        }
        self.look_up(setting);
    }

    /// Looks whether the configured maintenance is on at present. May ask the file system.
    pub fn look_up(&self, setting: &Maintenance) {
        let on = match setting {
            Maintenance::Off => false,
            Maintenance::On => true,
            Maintenance::File(path) => path.exists(),
        };
        self.configured.store(on);
    }

    /// Orders maintenance, or its end.
    pub fn order(&self, order: Order) {
        self.order.store(order);
    }

    /// Where the order lies.
    pub(super) fn ordered_cell(&self) -> &Packed<Order> {
        &self.order
    }

    /// What is ordered at this time.
    pub fn ordered(&self, now_ms: u64) -> Order {
        match self.order.load() {
            Order::Until(time_ms) if time_ms <= now_ms => Order::None,
            order => order,
        }
    }

    /// Whether the monitor is in maintenance at this time.
    pub fn is_on(&self, now_ms: u64) -> bool {
        match self.ordered(now_ms) {
            Order::None => self.configured.load(),
            Order::Off => false,
            Order::Until(_) | Order::On => true,
        }
    }

    /// Forgets an order whose time is over. Returns `true` to the one worker that did.
    pub fn expire(&self, now_ms: u64) -> bool {
        let order = self.order.load();
        matches!(order, Order::Until(time_ms) if time_ms <= now_ms) && self.order.replace(order, Order::None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::monitor::MonitorBoard;
    use crate::board::region::Region;

    const T0: u64 = 1_790_000_000_000;

    fn board() -> &'static MaintenanceBoard {
        let monitor: &MonitorBoard = Region::private(size_of::<MonitorBoard>()).get(0).expect("room");
        &monitor.maintenance
    }

    #[test]
    fn an_order_outlives_a_reload_and_not_a_changed_setting() {
        let board = board();
        board.configure(&Maintenance::Off);
        assert!(!board.is_on(T0));
        board.order(Order::On);
        board.configure(&Maintenance::Off);
        assert!(board.is_on(T0), "the setting is the same");
        board.configure(&Maintenance::File("/nonexistent/nginx-alert".into()));
        assert!(!board.is_on(T0), "the setting changed");
        board.configure(&Maintenance::On);
        assert!(board.is_on(T0));
        board.order(Order::Off);
        assert!(!board.is_on(T0), "an order beats the setting");
    }

    #[test]
    fn an_order_ends_by_itself_and_one_worker_says_so() {
        let board = board();
        board.configure(&Maintenance::Off);
        board.order(Order::Until(T0 + 1000));
        assert!(board.is_on(T0 + 999) && !board.expire(T0 + 999));
        assert!(!board.is_on(T0 + 1000), "whether or not anybody has looked yet");
        assert!(board.expire(T0 + 1000) && !board.expire(T0 + 1000));
    }
}
