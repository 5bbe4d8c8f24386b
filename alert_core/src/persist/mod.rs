//! What outlives a restart: the board goes in, a file comes out, and the other way round.

pub(crate) mod saver;
pub mod state_file;
