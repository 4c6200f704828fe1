//! Linux containers on this machine's kernel: busybox in a root filesystem of its own.
//!
//! They need root, control groups and a static busybox. Where one is missing a test says so and is skipped; with
//! `NACELLE_TEST_REQUIRE_ALL=1` it fails.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod adoption;
mod exec;
mod life;
mod limits;
mod pods;
mod security;
mod support;
mod users;
