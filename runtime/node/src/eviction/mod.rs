//! Node-pressure eviction: when the node is short of something, and who has to go.
//!
//! ```text
//!   observations ──► Manager ──► conditions of the node
//!                       │
//!                       └──► Reclaim ──► rank ──► the one pod that goes ──► message
//! ```
//!
//! The kubelet's eviction manager as pure functions. A threshold that is met counts at once if it is hard, and after its
//! grace period if it is soft; it counts until `minimum_reclaim` more than it is left. One pod goes per round: whoever
//! drives this waits for that pod's end before it looks again.

mod manager;
mod rank;
mod threshold;
mod words;

pub use manager::{NodeConditions, Pressure};
pub use threshold::{EvictionConfig, Signal, Threshold, ThresholdError, ThresholdValue};

pub(crate) use manager::{Manager, Observation, Reclaim};
pub(crate) use rank::{Candidate, rank};
pub(crate) use words::message;
