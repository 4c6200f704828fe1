//! What the driver tells the machine.
//!
//! Every effect that starts something is answered: see the table at [`Effect`](crate::Effect). An event about a container
//! that the pod does not have, about an attempt that is over, or in a state where it means nothing, is ignored.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use nacelle_spec::{CheckedPod, HookKind, ProbeKind};

use crate::probe::Verdict;

/// Something that happened to the pod, or the passing of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The node accepted the pod: work begins, and `activeDeadlineSeconds` counts from here.
    Start,
    /// There is no room for the pod: it stays `Pending` until its [`Start`](Self::Start), after which this means nothing.
    Unschedulable {
        /// Shown in the condition `PodScheduled`, and told in an event when it is another one than before.
        message: String,
        /// The node that pods of lower priority are leaving for this one: `status.nominatedNodeName`.
        nominated_node: Option<String>,
    },
    /// The pod was bound to the node without being asked, and the node will not have it: it fails. Means nothing after
    /// its [`Start`](Self::Start).
    Reject {
        /// Shown as `status.reason`.
        reason: Rejection,
        /// Shown as `status.message`, after the kubelet's introduction.
        message: String,
    },
    /// A pod of higher priority takes the place of this one, which stops as if it were deleted. The status gets the
    /// condition `DisruptionTarget` at once.
    Preempt {
        /// The `metadata.uid` of the other pod.
        preemptor: String,
        /// The `spec.schedulerName` of the other pod.
        scheduler: String,
    },
    /// Another pod has less than before: a resize that waits for room may have it now.
    RoomFreed,
    /// The time given by [`Lifecycle::next_wake`](crate::Lifecycle::next_wake) has come. Harmless at any other time.
    Tick,
    /// The pod's infra (network, volumes) stands.
    SandboxCreated {
        /// The pod's own addresses, the primary one first.
        pod_ips: Vec<IpAddr>,
        /// The node's addresses, the primary one first.
        host_ips: Vec<IpAddr>,
    },
    /// The pod's infra could not be made; nothing of it is left behind.
    SandboxFailed {
        /// What kind of work failed.
        reason: SandboxFailure,
        /// What failed, for people.
        message: String,
    },
    /// The image of a container is not on the node and is being fetched. Optional: it only makes an event for users.
    ImagePulling {
        /// The container whose image it is.
        container: Arc<str>,
    },
    /// The image of a container is on the node.
    ImagePulled {
        /// The container whose image it is.
        container: Arc<str>,
        /// The image's name as resolved; shown as `containerStatuses[].image`.
        image: String,
        /// The image's name with its digest; shown as `containerStatuses[].imageID`.
        image_id: String,
        /// Whether it had to be fetched.
        source: ImageSource,
    },
    /// The image of a container could not be had.
    ImagePullFailed {
        /// The container whose image it is.
        container: Arc<str>,
        /// The kubelet's word for it.
        reason: PullFailure,
        /// What failed, for people.
        message: String,
    },
    /// A container runs.
    ContainerStarted {
        /// The container.
        container: Arc<str>,
        /// As in the [`StartContainer`](crate::Effect::StartContainer) that this answers.
        attempt: u32,
        /// Shown as `containerStatuses[].containerID`: `nacelle://…`.
        container_id: String,
    },
    /// A container could not be started; nothing of this attempt is left behind.
    ContainerStartFailed {
        /// The container.
        container: Arc<str>,
        /// As in the [`StartContainer`](crate::Effect::StartContainer) that this answers.
        attempt: u32,
        /// How far the start came.
        reason: StartFailure,
        /// What failed, for people.
        message: String,
    },
    /// A container that was started has ended, by itself or because it was stopped.
    ContainerExited {
        /// The container.
        container: Arc<str>,
        /// As in the [`StartContainer`](crate::Effect::StartContainer) that began it.
        attempt: u32,
        /// How it ended.
        exit: ContainerExit,
    },
    /// A probe has been carried out, or could not be; answers [`Probe`](crate::Effect::Probe).
    Probed {
        /// The container.
        container: Arc<str>,
        /// As in the effect that this answers.
        attempt: u32,
        /// Which of its probes.
        kind: ProbeKind,
        /// What it found.
        outcome: ProbeOutcome,
    },
    /// A hook has come to its end; answers [`RunHook`](crate::Effect::RunHook).
    HookEnded {
        /// The container.
        container: Arc<str>,
        /// As in the effect that this answers.
        attempt: u32,
        /// Which of its hooks.
        hook: HookKind,
        /// How it ended.
        outcome: HookOutcome,
    },
    /// Somebody else's condition of the pod: what `readinessGates` wait for. One of the kubelet's own is ignored.
    ConditionSet(GateCondition),
    /// The pod shall go. A later one with a shorter period shortens the first; a longer one changes nothing.
    Delete {
        /// How long containers may take to stop; `None` means the pod's own `terminationGracePeriodSeconds`. Zero
        /// kills all of them at once, in no order.
        grace: Option<Duration>,
    },
    /// The node puts the pod out: it shall stop, whatever its restart policy, and counts as failed, with the reason
    /// `Evicted`.
    Evict {
        /// What for.
        cause: Eviction,
        /// Shown as `status.message`.
        message: String,
    },
    /// The pod shall have other resources. It differs from what it was in nothing but these and `metadata.generation`.
    Resize {
        /// The pod as it shall be.
        pod: CheckedPod,
    },
    /// The pod has got ephemeral containers. It differs from what it was, or shall be, in nothing but these and
    /// `metadata.generation`.
    EphemeralContainersAdded {
        /// The pod with them.
        pod: CheckedPod,
    },
    /// The node has looked whether it has room for the pod as it shall be; answers
    /// [`ConsiderResize`](crate::Effect::ConsiderResize).
    ResizeConsidered {
        /// `metadata.generation` of the pod that it looked at.
        generation: Option<i64>,
        /// Whether it has.
        verdict: ResizeVerdict,
    },
    /// What the pod was given has been carried out; answers [`ApplyResize`](crate::Effect::ApplyResize).
    ResizeApplied {
        /// Why it could not be, for people: nothing was changed then.
        result: Result<(), String>,
    },
    /// The pod's infra is gone; answers [`RemoveSandbox`](crate::Effect::RemoveSandbox).
    SandboxRemoved,
}

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeOutcome {
    /// The container is as it should be.
    Success,
    /// It is, but users should know something.
    Warning(String),
    /// It is not, because.
    Failure(String),
    /// The probe could not be carried out, because; it counts as none.
    Unknown(String),
}

impl ProbeOutcome {
    /// What it counts as.
    pub(crate) fn verdict(&self) -> Option<Verdict> {
        match self {
            Self::Success | Self::Warning(_) => Some(Verdict::Success),
            Self::Failure(_) => Some(Verdict::Failure),
            Self::Unknown(_) => None,
        }
    }
}

/// How a hook ended. Why it failed is not for the pod's events: a server's answer may hold secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookOutcome {
    /// It did what it was for.
    Succeeded,
    /// It did not.
    Failed,
}

/// A condition of the pod that somebody else keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateCondition {
    /// `type`.
    pub kind: String,
    /// `status`.
    pub status: ConditionStatus,
    /// A word in CamelCase.
    pub reason: Option<String>,
    /// For people.
    pub message: Option<String>,
}

/// `status` of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Nobody can say.
    Unknown,
}

impl ConditionStatus {
    /// The word in the status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// Why a node does not take a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rejection {
    /// Not enough of the CPU is left.
    OutOfCpu,
    /// Not enough memory is left.
    OutOfMemory,
    /// Not enough local storage is left.
    OutOfEphemeralStorage,
    /// There are as many pods as there may be.
    OutOfPods,
    /// The node is under pressure.
    NodeCondition,
}

impl Rejection {
    /// The word in the status, and the reason of the event.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OutOfCpu => "OutOfcpu",
            Self::OutOfMemory => "OutOfmemory",
            Self::OutOfEphemeralStorage => "OutOfephemeral-storage",
            Self::OutOfPods => "OutOfpods",
            Self::NodeCondition => EVICTED,
        }
    }
}

/// The word for pods that go, or do not come, because the node is short of something.
pub(crate) const EVICTED: &str = "Evicted";

/// Why the node puts a pod out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eviction {
    /// The pod uses more local storage than its own limits allow. Its containers get a second to stop.
    StorageExceeded,
    /// The node is short of something that the pod uses. The status gets the condition `DisruptionTarget`, which says
    /// that the pod itself did nothing wrong.
    NodePressure {
        /// How long containers may take to stop; `None` means the pod's own `terminationGracePeriodSeconds`.
        grace: Option<Duration>,
    },
}

/// Whether the node has room for a pod of another size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResizeVerdict {
    /// It has.
    Fits,
    /// Not while other pods have what they have.
    Deferred {
        /// For people.
        message: String,
    },
    /// It never will.
    Infeasible {
        /// For people.
        message: String,
    },
}

/// Where an image came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageSource {
    /// It was on the node already.
    Present,
    /// It was fetched.
    Fetched {
        /// How long that took.
        took: Duration,
        /// The image's size in bytes.
        bytes: u64,
    },
}

/// How a container ended, as its status shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerExit {
    /// Why.
    pub reason: ExitReason,
    /// 0 is success, whatever the reason says.
    pub code: u8,
    /// For people: a trap's first line, the termination message.
    pub message: Option<String>,
}

impl ContainerExit {
    /// The end of a program that returned `code` by itself.
    pub fn code(code: u8) -> Self {
        let reason = if code == 0 { ExitReason::Completed } else { ExitReason::Error };
        Self { reason, code, message: None }
    }

    /// Whether the container did what it was made for.
    pub fn is_success(&self) -> bool {
        self.code == 0
    }
}

/// `state.terminated.reason`, in the words that Kubernetes users know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExitReason {
    /// Exit code 0.
    Completed,
    /// Any other exit code, a trap, or a container that was killed.
    Error,
    /// The container wanted more memory than its limit.
    OomKilled,
    /// It executed as much as its fuel budget allows.
    FuelExhausted,
    /// The container was made but its program could not be started.
    StartError,
    /// The container was lost sight of: the node cannot say how it ended.
    ContainerStatusUnknown,
}

impl ExitReason {
    /// The word in the status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "Completed",
            Self::Error => "Error",
            Self::OomKilled => "OOMKilled",
            Self::FuelExhausted => "FuelExhausted",
            Self::StartError => "StartError",
            Self::ContainerStatusUnknown => "ContainerStatusUnknown",
        }
    }
}

/// Which part of making the pod's infra failed. It names the event that users see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SandboxFailure {
    /// The network or anything else of the sandbox itself.
    CreatePodSandBox,
    /// A volume: most often a ConfigMap or Secret that does not exist yet.
    Mount,
}

impl SandboxFailure {
    /// The reason of the event.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CreatePodSandBox => "FailedCreatePodSandBox",
            Self::Mount => "FailedMount",
        }
    }
}

/// Why an image could not be had: `state.waiting.reason` until the back-off takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PullFailure {
    /// The registry, the network or the image's content.
    ErrImagePull,
    /// The reference cannot be parsed.
    InvalidImageName,
    /// `imagePullPolicy: Never` and the image is not on the node.
    ErrImageNeverPull,
    /// The image is on the node but cannot be read.
    ImageInspectError,
    /// No registry answers under that name.
    RegistryUnavailable,
}

impl PullFailure {
    /// The word in the status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ErrImagePull => "ErrImagePull",
            Self::InvalidImageName => "InvalidImageName",
            Self::ErrImageNeverPull => "ErrImageNeverPull",
            Self::ImageInspectError => "ImageInspectError",
            Self::RegistryUnavailable => "RegistryUnavailable",
        }
    }

    /// Whether a fetch was tried: only then does the status go on to `ImagePullBackOff`, as the kubelet's does. The
    /// other failures are looked at again after the same back-off, under their own name.
    pub(crate) fn was_fetched(self) -> bool {
        matches!(self, Self::ErrImagePull | Self::RegistryUnavailable)
    }
}

/// How far the start of a container came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StartFailure {
    /// Something it refers to (a ConfigMap, a Secret, a field) is missing. Tried again, whatever the restart policy.
    CreateContainerConfigError,
    /// It could not be made. Tried again, whatever the restart policy.
    CreateContainerError,
    /// It was made, but its program could not be run. Counts as an exit with code 128, so the restart policy decides.
    RunContainerError,
}

impl StartFailure {
    /// The word in the status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CreateContainerConfigError => "CreateContainerConfigError",
            Self::CreateContainerError => "CreateContainerError",
            Self::RunContainerError => "RunContainerError",
        }
    }
}
