//! The events that users see, in the words of the kubelet and the scheduler.

mod resize;

use nacelle_spec::{CheckedPod, HookKind, ProbeKind};

pub(crate) use resize::{resize_completed, resize_failed, resize_pending, resize_started};

use crate::backoff::go_duration;
use crate::container::Container;
use crate::course::DEADLINE_MESSAGE;
use crate::effect::{EventKind, PodEvent, Subject};
use crate::event::{EVICTED, ImageSource, ProbeOutcome, PullFailure, Rejection, SandboxFailure};
use crate::stop::KillReason;

fn about_pod(kind: EventKind, reason: &'static str, message: String) -> PodEvent {
    PodEvent { kind, reason, message, subject: Subject::Pod }
}

fn normal(container: &Container, reason: &'static str, message: String) -> PodEvent {
    PodEvent { kind: EventKind::Normal, reason, message, subject: container.subject() }
}

fn warning(container: &Container, reason: &'static str, message: String) -> PodEvent {
    PodEvent { kind: EventKind::Warning, reason, message, subject: container.subject() }
}

/// The pod as the kubelet writes it in messages: `name_namespace(uid)`.
pub(crate) fn pod_label(pod: &CheckedPod) -> String {
    format!("{}_{}({})", pod.name(), pod.namespace(), pod.uid())
}

pub(crate) fn scheduled(pod: &CheckedPod) -> PodEvent {
    let node = pod.spec().node_name.as_deref().unwrap_or("this node");
    let message = format!("Successfully assigned {}/{} to {node}", pod.namespace(), pod.name());
    about_pod(EventKind::Normal, "Scheduled", message)
}

pub(crate) fn unschedulable(message: &str) -> PodEvent {
    about_pod(EventKind::Warning, "FailedScheduling", message.to_owned())
}

pub(crate) fn preempted(pod: &CheckedPod, preemptor: &str) -> PodEvent {
    let node = pod.spec().node_name.as_deref().unwrap_or("this node");
    about_pod(EventKind::Normal, "Preempted", format!("Preempted by pod {preemptor} on node {node}"))
}

/// What the condition of a pod says that makes room for another.
pub(crate) fn preemption(scheduler: &str) -> String {
    format!("{scheduler}: preempting to accommodate a higher priority pod")
}

pub(crate) fn rejected(reason: Rejection, message: &str) -> PodEvent {
    about_pod(EventKind::Warning, reason.as_str(), message.to_owned())
}

/// `status.message` of a pod that the node will not have.
pub(crate) fn rejection(message: &str) -> String {
    format!("Pod was rejected: {message}")
}

pub(crate) fn sandbox_failed(reason: SandboxFailure, message: &str) -> PodEvent {
    let message = match reason {
        SandboxFailure::CreatePodSandBox => format!("Failed to create pod sandbox: {message}"),
        SandboxFailure::Mount => message.to_owned(),
    };
    about_pod(EventKind::Warning, reason.as_str(), message)
}

pub(crate) fn deadline_exceeded() -> PodEvent {
    about_pod(EventKind::Normal, "DeadlineExceeded", DEADLINE_MESSAGE.to_owned())
}

pub(crate) fn evicted(message: &str) -> PodEvent {
    about_pod(EventKind::Warning, EVICTED, message.to_owned())
}

pub(crate) fn pulling(container: &Container) -> PodEvent {
    normal(container, "Pulling", format!("Pulling image {:?}", container.image_ref))
}

pub(crate) fn pulled(container: &Container, source: ImageSource) -> PodEvent {
    let image = &container.image_ref;
    let message = match source {
        ImageSource::Present => format!("Container image {image:?} already present on machine"),
        ImageSource::Fetched { took, bytes } => {
            let millis = took.as_millis();
            let (seconds, millis) = (millis / 1000, millis % 1000);
            format!("Successfully pulled image {image:?} in {seconds}.{millis:03}s. Image size: {bytes} bytes.")
        }
    };
    normal(container, "Pulled", message)
}

/// A failed pull makes two events: what happened, and the state that it led to.
pub(crate) fn pull_failed(container: &Container, reason: PullFailure, message: &str) -> [PodEvent; 2] {
    let image = &container.image_ref;
    let what = match reason {
        PullFailure::ErrImagePull | PullFailure::RegistryUnavailable => {
            warning(container, "Failed", format!("Failed to pull image {image:?}: {message}"))
        }
        // The message is a whole sentence with the image in it.
        PullFailure::InvalidImageName | PullFailure::ImageInspectError => {
            warning(container, "InspectFailed", message.to_owned())
        }
        PullFailure::ErrImageNeverPull => {
            let message = format!("Container image {image:?} is not present with pull policy of Never");
            warning(container, "ErrImageNeverPull", message)
        }
    };
    [what, warning(container, "Failed", format!("Error: {}", reason.as_str()))]
}

pub(crate) fn pull_back_off(container: &Container) -> [PodEvent; 2] {
    [
        normal(container, "BackOff", format!("Back-off pulling image {:?}", container.image_ref)),
        warning(container, "Failed", "Error: ImagePullBackOff".to_owned()),
    ]
}

pub(crate) fn created_and_started(container: &Container) -> [PodEvent; 2] {
    let name = &container.name;
    [
        normal(container, "Created", format!("Created container: {name}")),
        normal(container, "Started", format!("Started container {name}")),
    ]
}

pub(crate) fn start_failed(container: &Container, message: &str) -> PodEvent {
    warning(container, "Failed", format!("Error: {message}"))
}

pub(crate) fn restart_back_off(container: &Container, pod: &CheckedPod) -> PodEvent {
    let message = format!("Back-off restarting failed container {} in pod {}", container.name, pod_label(pod));
    warning(container, "BackOff", message)
}

/// `state.waiting.message` of a container in `CrashLoopBackOff`.
pub(crate) fn crash_loop(container: &Container, delay: std::time::Duration, pod_label: &str) -> String {
    format!("back-off {} restarting failed container={} pod={pod_label}", go_duration(delay), container.name)
}

/// A container begins to be stopped. `restarts` says whether one that is stopped for a probe starts again.
pub(crate) fn killing(container: &Container, restarts: bool) -> PodEvent {
    let name = &container.name;
    let again = if restarts { ", will be restarted" } else { "" };
    let message = match container.killed().map(|kill| kill.reason) {
        Some(KillReason::Liveness) => format!("Container {name} failed liveness probe{again}"),
        Some(KillReason::Startup) => format!("Container {name} failed startup probe{again}"),
        Some(KillReason::Resize) => format!("Container {name} resize requires restart"),
        Some(KillReason::PostStart) => "FailedPostStartHook".to_owned(),
        Some(KillReason::RestartAll) | None => format!("Stopping container {name}"),
    };
    normal(container, "Killing", message)
}

/// What a probe found, where users should know.
pub(crate) fn probed(container: &Container, kind: ProbeKind, outcome: &ProbeOutcome) -> Option<PodEvent> {
    let kind = kind.as_str();
    let (reason, message) = match outcome {
        ProbeOutcome::Success => return None,
        ProbeOutcome::Warning(why) => ("ProbeWarning", format!("{kind} probe warning: {why}")),
        ProbeOutcome::Failure(why) => ("Unhealthy", format!("{kind} probe failed: {why}")),
        ProbeOutcome::Unknown(why) => {
            ("Unhealthy", format!("{kind} probe errored and resulted in unknown state: {why}"))
        }
    };
    Some(warning(container, reason, message))
}

pub(crate) fn hook_failed(container: &Container, hook: HookKind) -> PodEvent {
    match hook {
        HookKind::PostStart => warning(container, "FailedPostStartHook", "PostStartHook failed".to_owned()),
        HookKind::PreStop => warning(container, "FailedPreStopHook", "PreStopHook failed".to_owned()),
    }
}
