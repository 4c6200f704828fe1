//! The machine from outside: named scenarios that read as a specification, and random histories against invariants.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers fail the test")]

mod harness;
mod histories;
mod scenarios;
