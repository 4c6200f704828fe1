//! The backend, run with small guests written inline in the text format.

mod cache;
mod commands;
mod exits;
mod http;
mod limits;
mod stdio;
mod stop;
mod support;
