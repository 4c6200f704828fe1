//! Creates a pod's infra and starts containers into it.
//!
//! ```text
//!   create_pod ──► pod ──start_container──► running ──(guest ends, stop, kill)──► ended ──remove_container──► gone
//!                   └──────────────────────────── remove_pod ─────────────────────────────────────────────────►
//! ```
//!
//! - Requests and events are plain data, so a pod can live in this process or in another one. What cannot cross a
//!   process boundary (a live watcher, a standard input) is in [`Attach`].
//! - A start that was asked for is finished even if nobody waits for it any more; a start that fails leaves nothing.
//! - A container's sockets end with it, before its end is told.
//! - [`HostEvent::ContainerExited`] comes once for each start that succeeded, after the last line of the log.
//! - A restart is a new container, with the next attempt in its id. Nothing of the former one is used again.
//! - [`Host::sweep`] removes what a process that was killed left behind.
//!
//! The host decides nothing about a pod's life and must not depend on `lifecycle` or on anything above it. It knows
//! no Kubernetes object and holds no global state.

mod balance;
mod container;
mod error;
mod event;
mod host;
mod kernel;
mod linux;
mod pod;
mod prepare;
mod program;
mod request;
mod sharing;
mod stats;
mod stdin;

pub use error::{ExecFailed, NoSuchContainer, PodError, RemoveError, StartError, UpdateFailed};
pub use event::{ContainerExited, HostEvent, MemoryUsage, PodCreated, Started};
pub use host::{Attach, Backends, Host};
pub use request::{ContainerRequest, HostConfig, ImageSource, PodRequest, PodResources, VolumeMount};
pub use stats::{ContainerStats, PodStats};
pub use stdin::Stdin;
