//! From events to alerts: finished requests go in, what the rules decide comes out on the board and in its outbox.

pub(crate) mod detector;
pub mod judge;
mod order;
