//! What an operator can change at run time: a command goes in, changes of the board and an answer come out.

pub mod control;
pub mod origin;
pub mod rollout;
