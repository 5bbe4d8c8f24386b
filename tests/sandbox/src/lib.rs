//! The world around nginx in which alerts can be seen and tested: a blue and a green [`app`], a Slack-like [`sink`],
//! the [`runtime`] of `make up`, which is the native [`stack`] or one in containers ([`compose`]), the
//! [`demo`], and the acceptance run ([`validate`]).
//!
//! Apps and the sink are processes of their own in every stack, and here values that stop when they are dropped.

#![forbid(unsafe_code)]
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod app;
pub mod clock;
pub mod compose;
pub mod demo;
pub mod interruption;
pub mod nginx;
pub mod output;
pub mod process;
pub mod rollout;
pub mod runtime;
pub mod settings;
pub mod sink;
pub mod stack;
pub mod status;
pub mod traffic;
pub mod validate;

mod client;
mod server;
