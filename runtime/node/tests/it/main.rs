//! Whole pods, with everything real but the guests. Time stands still while anything is at work (tokio's paused clock),
//! so that grace periods and back-offs cost nothing; cases that speak to a socket use the real clock, and wait for
//! nothing but the pod.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod config;
mod delete;
mod fake;
mod front_end;
mod hooks;
mod images;
mod last_words;
mod live;
mod network;
mod order;
mod pressure;
mod probes;
mod resize;
mod restarts;
mod room;
mod server;
mod stats;
mod storage;
mod world;
