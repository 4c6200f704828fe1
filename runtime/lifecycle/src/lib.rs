//! The kubelet's decisions about one pod as a pure state machine.
//!
//! [`Lifecycle`] is told what happened ([`Event`]) and when, and answers with what to do ([`Effect`]). It has no clock,
//! does no I/O and starts no task: whoever drives it performs the effects, reports how they went, and sends
//! [`Event::Tick`] at the time that [`Lifecycle::next_wake`] names. Kubernetes' documented behaviour is its
//! specification; where the documentation is silent the kubelet's is.
//!
//! # The pod
//!
//! ```text
//!         Start            all apps, or an init container, ended for good
//!   New ────────► Active ─── deadline, Delete, Evict, Preempt ──► Stopping
//!    │                                                              │
//!    │ Delete, Evict, Reject                the last live container ends
//!    └────────────────────────────────┐                             │
//!                                     ▼                             ▼
//!                                   Ended ◄─────────────────────────┘
//!                                     │ RemoveSandbox … SandboxRemoved
//!                                     ▼
//!                                  finished
//! ```
//!
//! - `New` lasts for as long as there is no room for the pod: `Unschedulable` says why. It then shows no containers.
//! - In `Active` the sandbox is made, init containers and sidecars take their turns, app containers follow.
//! - From `Stopping` on nothing is started. App and init containers are stopped together, then the sidecars one by one
//!   in reverse order, all within one grace period.
//! - The phase becomes terminal on `Ended`, not before: as long as a container lives, the pod is not done.
//!
//! # A container
//!
//! ```text
//!                       ┌──────────────── back-off over ────────────────┐
//!                       │                                               │
//!          turn comes   ▼   image there         turn      reports       │
//!   Idle ───────────► Pulling ────────► Pulled ────► Starting ──► Running
//!                      │   ▲                            │ │         │   │
//!                pull  │   │ back-off over     start    │ │ exits   │   │
//!                fails │   │                   fails    │ └────┐    │   │
//!                      ▼   │                            ▼      ▼    ▼   │
//!      PullFailed ─► PullBackOff                StartFailed    Exited ──┤
//!                                                    │            │     │
//!                                                    └────────────┼─────┘
//!                                                                 ▼
//!                                                            ended for good
//! ```
//!
//! `Starting` and `Running` are *live*; between them a `postStart` hook may run, and `stop` draws how a live one comes to
//! its end. When the pod stops, a container that is not live keeps its last exit, or is
//! `Abandoned` if it never ran; one that is live stays so until its end is reported.
//!
//! # Which modules do what
//!
//! `machine` takes events in and derives effects, with `probing`, `hooks`, `stopping` and `restart_all` for their parts;
//! `course` is the pod's diagram above, `container` the container's, `sandbox`, `scheduling` and `resize` have their own;
//! `ephemeral` is how those containers come;
//! `probe` is the arithmetic of probes, `stop` the way to a container's end, `restart` what follows from an exit; `order`
//! says whose turn it is; `backoff` counts delays; `status` renders; `words` phrases the events that users see. None of
//! them may depend on a runtime, a clock, or anything of the workspace but `nacelle-spec`.

mod backoff;
mod container;
mod course;
mod effect;
mod ephemeral;
mod event;
mod hooks;
mod machine;
mod order;
mod phase;
mod probe;
mod probing;
mod resize;
mod restart;
mod restart_all;
mod sandbox;
mod scheduling;
mod status;
mod stop;
mod stopping;
mod time;
mod words;

pub use effect::{Effect, EventKind, PodEvent, Subject};
pub use event::{
    ConditionStatus, ContainerExit, Event, Eviction, ExitReason, GateCondition, HookOutcome, ImageSource, ProbeOutcome,
    PullFailure, Rejection, ResizeVerdict, SandboxFailure, StartFailure,
};
pub use machine::Lifecycle;
pub use nacelle_spec::{HookKind, ProbeKind};
pub use phase::Phase;
