//! A pod's sockets beside the kernel's: the same calls on both, and the same answers.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "a test may panic and print"
)]

mod attack;
mod outside;
mod pods;
mod readiness;
mod stack;
mod streams;
mod tcp;
mod traffic;
mod udp;
mod waiting;
