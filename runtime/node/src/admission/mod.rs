//! Who gets room on the node: the scheduler's decisions for a cluster of one node, and the kubelet's for pods that no
//! scheduler was asked about.
//!
//! ```text
//!   arrive ──► Scheduler ──► Bind     there is room
//!   leave  ──►    │     ───► Wait     there is none: by priority, then by arrival
//!   pressure ─►   │     ───► Preempt  pods of lower priority make some
//!                 └─────────► Reject  a pod that is bound already (`spec.nodeName`), and does not fit
//! ```
//!
//! Pure: [`Scheduler`] is told what happens and answers with decisions. What a pod asks for is
//! [`Requests`](nacelle_spec::Requests); what it really uses is the eviction's concern.

mod fit;
mod preemption;
mod pressure;
mod resize;
mod scheduler;
mod words;

pub(crate) use pressure::Pressures;
pub(crate) use resize::ResizeFit;
pub(crate) use scheduler::{Applicant, Decision, Scheduler, Wait};
