//! One container's entry in the status.

use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus,
};
use nacelle_spec::{CheckedPod, ContainerKind};

use crate::container::{Container, Life, Live, Next, Run, Stage};
use crate::machine::{resources_of, restart_delay};
use crate::status::time;
use crate::words;

/// What a container's entry takes from its pod.
pub(super) struct Defaults<'a> {
    /// With the resources that the node has given it.
    pub(super) pod: &'a CheckedPod,
    /// `name_namespace(uid)`.
    pub(super) pod_label: &'a str,
    /// The pod has init containers or sidecars.
    pub(super) with_init: bool,
}

pub(super) fn status(container: &Container, defaults: &Defaults<'_>) -> ContainerStatus {
    let (state, last) = states(container, defaults);
    let allocated = container.was_created().then(|| resources_of(defaults.pod, &container.name));
    let has = if container.is_live() { Some(container.resources.clone()) } else { allocated.clone() };
    ContainerStatus {
        name: container.name.to_string(),
        image: container.image.as_ref().map_or_else(|| container.image_ref.clone(), |image| image.name.clone()),
        image_id: container.image.as_ref().map(|image| image.id.clone()).unwrap_or_default(),
        container_id: container_id(container),
        ready: is_ready(container),
        started: (!container.is_ephemeral()).then(|| container.is_started()),
        restart_count: i32::try_from(container.restart_count()).unwrap_or(i32::MAX),
        state: Some(state),
        last_state: last.map(terminated),
        allocated_resources: allocated.as_ref().and_then(|allocated| allocated.requests.clone()),
        resources: has.filter(|_| container.was_created()),
        stop_signal: stop_signal(container, defaults.pod),
        ..ContainerStatus::default()
    }
}

/// The signal that it was made to be stopped with (KEP-4960).
fn stop_signal(container: &Container, pod: &CheckedPod) -> Option<String> {
    let spec = pod.container(&container.name).filter(|_| container.was_created())?;
    spec.stop_signal().map(str::to_owned)
}

/// Whether a container counts for the conditions: an init container when it has succeeded, any other while it is up and,
/// as far as its readiness probe can tell, ready.
pub(super) fn is_ready(container: &Container) -> bool {
    match container.kind {
        ContainerKind::Init => container.final_exit().is_some_and(|exit| exit.is_success()),
        ContainerKind::Sidecar | ContainerKind::App => container.is_started() && container.probes.is_ready(),
        // As the kubelet has it: it serves nobody.
        ContainerKind::Ephemeral => false,
    }
}

/// The present state, and the run before it.
fn states<'a>(container: &'a Container, defaults: &Defaults<'_>) -> (ContainerState, Option<&'a Run>) {
    let last = container.last.as_ref();
    match &container.life {
        Life::Live(Live { stage: Stage::Running { started_at, .. }, .. }) => {
            let running = ContainerStateRunning { started_at: time(*started_at) };
            (ContainerState { running: Some(running), ..ContainerState::default() }, last)
        }
        Life::Exited { run, next } => match (restart_delay(container), next) {
            (None, Next::RestartAll { .. }) => {
                let message = "The container is removed because RestartAllContainers in place".to_owned();
                (waiting("RestartingAllContainers", Some(message)), Some(run))
            }
            (None, _) => (terminated(run), last),
            (Some(delay), _) => {
                let message = words::crash_loop(container, delay, defaults.pod_label);
                (waiting("CrashLoopBackOff", Some(message)), Some(run))
            }
        },
        _ => {
            let why = container.waiting();
            let reason = why.as_ref().and_then(|why| why.reason);
            let default = if defaults.with_init { "PodInitializing" } else { "ContainerCreating" };
            (waiting(reason.unwrap_or(default), why.and_then(|why| why.message)), last)
        }
    }
}

fn container_id(container: &Container) -> Option<String> {
    match &container.life {
        Life::Live(Live {
            stage: Stage::Running { container_id, .. } | Stage::PostStart { container_id, .. }, ..
        }) => Some(container_id.clone()),
        Life::Exited { run, .. } => run.container_id.clone(),
        _ => container.last.as_ref().and_then(|run| run.container_id.clone()),
    }
}

fn waiting(reason: &str, message: Option<String>) -> ContainerState {
    let waiting = ContainerStateWaiting { reason: Some(reason.to_owned()), message };
    ContainerState { waiting: Some(waiting), ..ContainerState::default() }
}

fn terminated(run: &Run) -> ContainerState {
    let terminated = ContainerStateTerminated {
        container_id: run.container_id.clone(),
        exit_code: i32::from(run.exit.code),
        finished_at: time(run.finished_at),
        message: run.exit.message.clone(),
        reason: Some(run.exit.reason.as_str().to_owned()),
        signal: None,
        started_at: run.started_at.and_then(time),
    };
    ContainerState { terminated: Some(terminated), ..ContainerState::default() }
}
