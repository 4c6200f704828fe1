//! The kubelet's decisions about one pod as a pure state machine.

mod effect;
mod event;
mod phase;

pub use effect::{Effect, EventKind, PodEvent, Subject};
pub use event::{ContainerExit, Event, ExitReason, ImageSource, PullFailure, SandboxFailure, StartFailure};
pub use phase::Phase;
