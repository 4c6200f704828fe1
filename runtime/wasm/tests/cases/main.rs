//! The backend, run with small guests written inline in the text format, and with the guest samples where that is too
//! little.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking, as tests do")]

mod cache;
mod commands;
mod exec;
mod exits;
mod files;
mod fuel;
mod http;
mod limits;
mod memory;
mod pod_interface;
mod reference;
mod sockets;
mod stdio;
mod stop;
mod support;
