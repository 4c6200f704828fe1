//! What follows from a container's exit.
//!
//! | container | its rules | else |
//! |---|---|---|
//! | app | `Restart` | its own policy, or the pod's |
//! | init | `Restart`, unless it has succeeded | again after a failure, unless its policy is `Never` |
//! | sidecar | | always again |
//! | ephemeral | | never again |
//!
//! Any container's rule `RestartAllContainers` comes first. One that was killed for a probe was meant to start again, so
//! that only `Never` keeps it from that, whatever its exit code.

use nacelle_spec::{CheckedPod, ContainerKind, PodContainer, RestartAction, RestartPolicy};

use crate::stop::KillReason;

/// What decides about a container's restarts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules<'a> {
    container: Option<PodContainer<'a>>,
    policy: RestartPolicy,
}

impl<'a> Rules<'a> {
    /// Those of a container of the pod.
    pub(crate) fn of(pod: &'a CheckedPod, name: &str) -> Self {
        let container = pod.container(name);
        let pod = pod.restart_policy();
        Self { container, policy: container.map_or(pod, |container| container.restart_policy(pod)) }
    }

    /// Whether a container that is killed for a probe starts again.
    pub(crate) fn restarts_after_kill(&self, kind: ContainerKind) -> bool {
        match kind {
            ContainerKind::Sidecar => true,
            ContainerKind::Ephemeral => false,
            ContainerKind::Init | ContainerKind::App => self.policy != RestartPolicy::Never,
        }
    }

    /// What follows from an exit.
    pub(crate) fn after(&self, kind: ContainerKind, code: u8, killed: Option<KillReason>) -> RestartAction {
        let rule = self.container.and_then(|container| container.restart_rule(code));
        if rule == Some(RestartAction::RestartAllContainers) {
            return RestartAction::RestartAllContainers;
        }
        let failed = code != 0;
        let by_policy = match (kind, self.policy) {
            (ContainerKind::Sidecar, _) => true,
            (ContainerKind::Init, RestartPolicy::Never) => false,
            (ContainerKind::Init, _) => failed,
            (ContainerKind::App, RestartPolicy::Always) => true,
            (ContainerKind::App, RestartPolicy::OnFailure) => failed,
            (ContainerKind::App, RestartPolicy::Never) | (ContainerKind::Ephemeral, _) => false,
        };
        let by_rule = rule == Some(RestartAction::Restart) && (kind != ContainerKind::Init || failed);
        let by_kill = killed.is_some_and(KillReason::is_probe) && self.restarts_after_kill(kind);
        if by_policy || by_rule || by_kill { RestartAction::Restart } else { RestartAction::Leave }
    }
}
