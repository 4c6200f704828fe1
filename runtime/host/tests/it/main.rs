//! The host over a backend that does what a test tells it to.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod exec;
mod fake;
mod life;
mod programs;
mod sharing;
