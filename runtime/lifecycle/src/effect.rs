//! What the machine asks of the driver.

use std::sync::Arc;
use std::time::Duration;

use nacelle_spec::{HookKind, ProbeKind};

/// One thing for the driver to do. Effects of one step are in order: the driver begins them in that order, and need
/// not wait for one to end before it begins the next.
///
/// | effect | is answered by exactly one |
/// |---|---|
/// | [`CreateSandbox`](Self::CreateSandbox) | `SandboxCreated` or `SandboxFailed` |
/// | [`PullImage`](Self::PullImage) | `ImagePulled` or `ImagePullFailed`; none is needed once the pod is stopping |
/// | [`StartContainer`](Self::StartContainer) | `ContainerStartFailed`, or `ContainerExited` after an optional `ContainerStarted` |
/// | [`StopContainer`](Self::StopContainer) | nothing of its own: it hastens the answer to `StartContainer` |
/// | [`Probe`](Self::Probe) | `Probed`; none is needed once the container is stopping or has ended |
/// | [`RunHook`](Self::RunHook) | `HookEnded`; none is needed once the container has ended |
/// | [`ConsiderResize`](Self::ConsiderResize) | `ResizeConsidered` |
/// | [`Reallocate`](Self::Reallocate) | nothing |
/// | [`ApplyResize`](Self::ApplyResize) | `ResizeApplied` |
/// | [`RemoveSandbox`](Self::RemoveSandbox) | `SandboxRemoved` |
/// | [`Emit`](Self::Emit) | nothing |
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Make the pod's infra: network, volumes.
    CreateSandbox,
    /// Make sure that the container's image is on the node, as its `imagePullPolicy` says. Asked before every start,
    /// restarts included.
    PullImage {
        /// The container.
        container: Arc<str>,
    },
    /// Resolve the container's environment and mounts, create it and start it.
    StartContainer {
        /// The container.
        container: Arc<str>,
        /// 0 for the first, one more for each later start of the same container. Not the restart count: starts that
        /// failed count here.
        attempt: u32,
    },
    /// Stop the container: ask it to end, and kill it when `grace` is over. May come while the start is still under
    /// way: the driver then gives the start up, or stops the container as soon as it runs. May come a second time
    /// with a shorter period, which then holds.
    StopContainer {
        /// The container.
        container: Arc<str>,
        /// Which start of it.
        attempt: u32,
        /// Counted from now; zero means kill at once.
        grace: Duration,
    },
    /// Carry out a probe once, within its timeout. When the next one comes is decided here.
    Probe {
        /// The container.
        container: Arc<str>,
        /// Which start of it.
        attempt: u32,
        /// Which of its probes.
        kind: ProbeKind,
    },
    /// Run a hook. It may take as long as it likes: what it may not take longer than is followed by a
    /// [`StopContainer`](Self::StopContainer).
    RunHook {
        /// The container.
        container: Arc<str>,
        /// Which start of it.
        attempt: u32,
        /// Which of its hooks.
        hook: HookKind,
    },
    /// Find out whether the node has room for [`Lifecycle::desired`](crate::Lifecycle::desired) in place of
    /// [`Lifecycle::pod`](crate::Lifecycle::pod).
    ConsiderResize,
    /// From now on, whatever is made for the pod has the resources of [`Lifecycle::pod`](crate::Lifecycle::pod), and the
    /// downward API shows them.
    Reallocate,
    /// Give the pod, and these containers while they run, the resources of [`Lifecycle::pod`](crate::Lifecycle::pod) in
    /// place of those of [`Lifecycle::present`](crate::Lifecycle::present): all of it or nothing.
    ApplyResize {
        /// The containers, and which start of each. One that has ended meanwhile needs nothing.
        containers: Vec<(Arc<str>, u32)>,
    },
    /// Remove the pod's infra. No container is left at this point, and nothing is started after it.
    RemoveSandbox,
    /// Tell users.
    Emit(PodEvent),
}

/// A Kubernetes event about the pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodEvent {
    /// Whether it is worth a look.
    pub kind: EventKind,
    /// A word in CamelCase, the kubelet's where it has one.
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// What in the pod it is about.
    pub subject: Subject,
}

/// `type` of a Kubernetes event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// Things as they should be.
    Normal,
    /// Something failed.
    Warning,
}

impl EventKind {
    /// The word in the object.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// What an event is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// The pod as a whole.
    Pod,
    /// One of `spec.initContainers`, by name.
    InitContainer(Arc<str>),
    /// One of `spec.containers`, by name.
    Container(Arc<str>),
    /// One of `spec.ephemeralContainers`, by name.
    EphemeralContainer(Arc<str>),
}

impl Subject {
    /// The container's name, when it is about one.
    pub fn container(&self) -> Option<&Arc<str>> {
        match self {
            Self::Pod => None,
            Self::InitContainer(name) | Self::Container(name) | Self::EphemeralContainer(name) => Some(name),
        }
    }

    /// `involvedObject.fieldPath`: `spec.containers{app}`.
    pub fn field_path(&self) -> Option<String> {
        match self {
            Self::Pod => None,
            Self::InitContainer(name) => Some(format!("spec.initContainers{{{name}}}")),
            Self::Container(name) => Some(format!("spec.containers{{{name}}}")),
            Self::EphemeralContainer(name) => Some(format!("spec.ephemeralContainers{{{name}}}")),
        }
    }
}
