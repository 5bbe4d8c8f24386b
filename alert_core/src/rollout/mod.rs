//! A release that takes over step by step. In go what an operator asks for, what probes say and the first attempts of
//! requests at the pool that they were assigned to; out come a share of the clients, a switch of the active pool or the
//! way back.
//!
//! [`share`] assigns clients to pools; [`votes`] keeps who of them fared badly, and [`verdict`] says whether that is a
//! pool's fault; [`probe`] knows which pools would answer; [`pilot`] decides by the [`facts`] what happens to a [`state`]
//! next, and [`command`] what an operator can do to it. All of it is pure: time comes in as a number.

pub mod command;
pub mod facts;
pub mod pilot;
pub mod probe;
pub mod share;
pub mod state;
pub mod verdict;
pub mod votes;
