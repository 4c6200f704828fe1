//! What the decisions of `nacelle run` look at: a pod's latest status, and the little that a status does not say.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ContainerStatus, PodStatus};
use nacelle_spec::{CheckedPod, ContainerKind, RestartPolicy};

/// A pod as it was last seen.
#[derive(Clone, Debug)]
pub(crate) struct PodView {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// Init containers with `restartPolicy: Always`, which run for as long as the others need them.
    pub(crate) sidecars: BTreeSet<String>,
    pub(crate) restart_policy: RestartPolicy,
    pub(crate) status: Arc<PodStatus>,
}

impl PodView {
    /// A pod of which nothing has been seen yet.
    pub(crate) fn new(pod: &CheckedPod) -> Self {
        Self {
            namespace: pod.namespace().to_owned(),
            name: pod.name().to_owned(),
            sidecars: pod
                .containers()
                .filter(|container| container.kind == ContainerKind::Sidecar)
                .map(|container| container.spec.name.clone())
                .collect(),
            restart_policy: pod.restart_policy(),
            status: Arc::default(),
        }
    }

    /// `status.phase`.
    pub(crate) fn phase(&self) -> &str {
        self.status.phase.as_deref().unwrap_or("Pending")
    }

    /// All containers that the status knows, init containers first.
    pub(crate) fn containers(&self) -> impl Iterator<Item = &ContainerStatus> {
        let init = self.status.init_container_statuses.iter().flatten();
        init.chain(self.status.container_statuses.iter().flatten())
    }

    /// Whether `container` is a sidecar.
    pub(crate) fn is_sidecar(&self, container: &ContainerStatus) -> bool {
        self.sidecars.contains(&container.name)
    }
}

/// Pods and containers in the states that tests need.
#[cfg(test)]
pub(crate) mod fixtures {
    use jiff::Timestamp;
    use k8s_openapi::api::core::v1::{
        ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
    };
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    pub(crate) fn container(name: &str, state: ContainerState) -> ContainerStatus {
        ContainerStatus { name: name.to_owned(), state: Some(state), ..ContainerStatus::default() }
    }

    pub(crate) fn running() -> ContainerState {
        ContainerState { running: Some(ContainerStateRunning::default()), ..ContainerState::default() }
    }

    pub(crate) fn waiting(reason: &str) -> ContainerState {
        let waiting = ContainerStateWaiting { reason: Some(reason.to_owned()), message: Some("why".to_owned()) };
        ContainerState { waiting: Some(waiting), ..ContainerState::default() }
    }

    /// Ended with `code` at second `at`.
    pub(crate) fn ended(code: i32, at: i64) -> ContainerState {
        let terminated = ContainerStateTerminated {
            exit_code: code,
            reason: Some(if code == 0 { "Completed" } else { "Error" }.to_owned()),
            finished_at: Some(Time(Timestamp::from_second(at).unwrap())),
            ..ContainerStateTerminated::default()
        };
        ContainerState { terminated: Some(terminated), ..ContainerState::default() }
    }

    pub(crate) fn status(phase: &str, init: Vec<ContainerStatus>, apps: Vec<ContainerStatus>) -> Arc<PodStatus> {
        Arc::new(PodStatus {
            phase: Some(phase.to_owned()),
            init_container_statuses: Some(init),
            container_statuses: Some(apps),
            ..PodStatus::default()
        })
    }

    pub(crate) fn pod(name: &str, restart_policy: RestartPolicy, status: Arc<PodStatus>) -> PodView {
        PodView {
            namespace: "default".to_owned(),
            name: name.to_owned(),
            sidecars: BTreeSet::new(),
            restart_policy,
            status,
        }
    }
}
