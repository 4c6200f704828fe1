//! The backend, run with small guests written inline in the text format.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking, as tests do")]

mod cache;
mod commands;
mod exits;
mod files;
mod http;
mod limits;
mod stdio;
mod stop;
mod support;
