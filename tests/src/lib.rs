//! The harness of the end-to-end tests: real nginx between scripted upstreams, scripted sinks and a plain client.
//!
//! A test usually starts a [`scene::Scene`] and looks at what arrives at its [`sink::Sink`]. The nginx under test is
//! `TEST_NGINX` (default: the one of the system), the module is `TEST_NGINX_MODULE`, or `built-in` where that nginx has it; `make test` sets both.
#![forbid(unsafe_code)]

pub mod address;
pub mod alertmanager;
pub mod browser;
pub mod client;
pub mod clock;
pub mod debugger;
pub mod dns;
pub mod http;
pub mod load;
pub mod mail;
pub mod nginx;
pub mod preload;
pub mod process;
pub mod prometheus;
pub mod scene;
pub mod server;
pub mod sink;
pub mod upstream;
pub mod wait;
