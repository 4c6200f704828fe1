//! What a front end is told while pods run.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodStatus;
use nacelle_container::log::LogLine;
use nacelle_image::ProgressEvent;
use nacelle_lifecycle::PodEvent;
use nacelle_spec::CheckedPod;

/// Which pod something is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PodRef {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
}

impl PodRef {
    /// The names of `pod`.
    pub fn of(pod: &CheckedPod) -> Self {
        Self { namespace: pod.namespace().to_owned(), name: pod.name().to_owned(), uid: pod.uid().to_owned() }
    }
}

/// One thing that happened.
///
/// - A container's lines come in order, and all of them before the `Status` that shows its end. Events and statuses
///   come in order. Lines and events that happen at the same time may come in either order.
/// - A reader that is slow holds up the guests that write logs, as a full pipe does, and nothing else. A container
///   that has ended counts as ended when its lines were taken.
/// - A reader that went away (the receiver was dropped) holds up nothing.
/// - A reader that takes nothing may not keep a pod from being deleted: from the end of the grace period on, once it
///   has taken none of the pod's notices for two seconds, the pod gives up on it. What was not taken by then is lost,
///   log lines and the last status alike; [`PodHandle::status`](crate::PodHandle::status) still has that status.
/// - Nothing else makes a pod give up on its reader, so that a pager that is left alone for an hour loses nothing.
#[derive(Clone, Debug)]
pub enum Notice {
    /// A container wrote a line.
    Log {
        /// The pod.
        pod: PodRef,
        /// The container's name.
        container: String,
        /// The line.
        line: LogLine,
    },
    /// What Kubernetes records as an Event.
    Event {
        /// The pod.
        pod: PodRef,
        /// When it happened.
        time: Timestamp,
        /// What happened.
        event: PodEvent,
    },
    /// The pod's status changed.
    Status {
        /// The pod.
        pod: PodRef,
        /// All of the new status.
        status: Arc<PodStatus>,
    },
    /// An image is on its way.
    Pull {
        /// The pod.
        pod: PodRef,
        /// The container that waits for it.
        container: String,
        /// The image as the manifest names it.
        image: String,
        /// How far it is.
        progress: ProgressEvent,
    },
}
