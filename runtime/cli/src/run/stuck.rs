//! Whether a pod waits for something that nobody is going to change while `nacelle run` is in the foreground.
//!
//! A kubelet tries forever, as somebody may push the image or create the ConfigMap. Here all objects were given at the
//! start, so a missing one stays missing, and whoever looks at the terminal wants to know. An image counts after its
//! first back-off: what a second look can mend, such as a registry that does not answer at once, the pull itself has
//! tried several times by then.
//!
//! A pod without room on the node counts, too: it can only hope for others to end, which are looked at as well.

use nacelle_spec::RestartPolicy;

use super::view::PodView;

/// Why a pod cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stuck {
    pub(crate) container: Option<String>,
    pub(crate) reason: String,
    pub(crate) message: String,
}

/// What a pod waits for that has nothing of the node yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Nothing: it has its room, or will never have any.
    No,
    /// Room that only the end of other pods can give, with the scheduler's words.
    ForOthers(String),
    /// Pods that are leaving already, or memory: it will come. With the scheduler's words.
    ForTime(String),
}

impl Wait {
    /// The scheduler's words.
    pub(crate) fn message(&self) -> Option<&str> {
        match self {
            Self::ForOthers(message) | Self::ForTime(message) => Some(message),
            Self::No => None,
        }
    }
}

/// What events said that a status does not say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    /// Why the pod's volumes or sandbox could not be made, until something of it runs.
    sandbox: Option<Stuck>,
    /// Whether the pod has had its room decided: it never waits for it again.
    settled: bool,
    /// Why there is no room for the pod, and no hope for any while all others wait as well.
    room: Option<Stuck>,
}

impl Memory {
    /// Takes note of a status.
    pub(crate) fn see(&mut self, pod: &PodView) {
        if has_run(pod) {
            self.sandbox = None;
        }
    }

    /// Takes note of whether the pod has room.
    pub(crate) fn waits(&mut self, wait: Wait) {
        self.settled |= wait == Wait::No;
        self.room = match wait {
            Wait::ForOthers(message) if !self.settled => {
                Some(Stuck { container: None, reason: "Unschedulable".to_owned(), message })
            }
            _ => None,
        };
    }

    /// Why there is no room for the pod, if that is what it waits for.
    pub(crate) fn room(&self) -> Option<&Stuck> {
        self.room.as_ref()
    }

    /// Takes note of a failure to make the pod's volumes or sandbox. Where something of the pod has run, it is a volume
    /// that could not be changed and shows what it did before.
    pub(crate) fn sandbox_failed(&mut self, pod: &PodView, reason: &str, message: &str) {
        if has_run(pod) {
            return;
        }
        self.sandbox = Some(Stuck { container: None, reason: reason.to_owned(), message: message.to_owned() });
    }

    /// Takes note of another pod's end. What it held is free now, a host port above all: whether the sandbox can be made
    /// is for the next attempt to say.
    pub(crate) fn another_pod_ended(&mut self) {
        self.sandbox.take_if(|stuck| stuck.reason == SANDBOX_FAILED);
    }
}

/// Kubernetes' reason where it is not a volume's fault.
const SANDBOX_FAILED: &str = "FailedCreatePodSandBox";

fn has_run(pod: &PodView) -> bool {
    pod.containers().any(|container| {
        container.state.as_ref().is_some_and(|state| state.running.is_some() || state.terminated.is_some())
    })
}

/// Why `pod` cannot go on: every container that has work left waits for something hopeless. Sidecars that run do not
/// count as work, since they only wait for the others.
pub(crate) fn stuck(pod: &PodView, memory: &Memory) -> Option<Stuck> {
    if matches!(pod.phase(), "Succeeded" | "Failed") {
        return None;
    }
    if let Some(stuck) = memory.room.as_ref().or(memory.sandbox.as_ref()) {
        return Some(stuck.clone());
    }
    let mut found = None;
    for container in pod.containers() {
        let Some(state) = &container.state else { return None };
        if state.running.is_some() {
            if pod.is_sidecar(container) {
                continue;
            }
            return None;
        }
        if let Some(end) = &state.terminated {
            let restarts = match pod.restart_policy {
                RestartPolicy::Always => !is_init(pod, &container.name) || end.exit_code != 0,
                RestartPolicy::OnFailure => end.exit_code != 0,
                RestartPolicy::Never => false,
            };
            if restarts || pod.is_sidecar(container) {
                return None;
            }
            continue;
        }
        let waiting = state.waiting.as_ref()?;
        let reason = waiting.reason.as_deref().unwrap_or_default();
        if reason == "PodInitializing" {
            // Waits for an init container, which has been looked at.
            continue;
        }
        if !is_hopeless(reason) {
            return None;
        }
        let message = waiting.message.clone().unwrap_or_default();
        let container = Some(container.name.clone());
        found.get_or_insert(Stuck { container, reason: reason.to_owned(), message });
    }
    found
}

/// All that waits for something hopeless, whatever else the pod still does: what the user should hear of.
pub(crate) fn hopeless<'a>(pod: &'a PodView, memory: &'a Memory) -> impl Iterator<Item = Stuck> + 'a {
    let containers = pod.containers().filter_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        let reason = waiting.reason.as_deref().filter(|reason| is_hopeless(reason))?;
        let message = waiting.message.clone().unwrap_or_default();
        Some(Stuck { container: Some(container.name.clone()), reason: reason.to_owned(), message })
    });
    memory.sandbox.iter().cloned().chain(containers)
}

fn is_hopeless(reason: &str) -> bool {
    matches!(
        reason,
        "ErrImageNeverPull"
            | "InvalidImageName"
            | "ImageInspectError"
            | "ImagePullBackOff"
            | "CreateContainerConfigError"
            | "CreateContainerError"
    )
}

fn is_init(pod: &PodView, name: &str) -> bool {
    pod.status.init_container_statuses.iter().flatten().any(|container| container.name == name)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use k8s_openapi::api::core::v1::{ContainerState, PodStatus};

    use super::super::view::fixtures::{container, ended, pod, running, status, waiting};
    use super::*;

    fn judge(restart_policy: RestartPolicy, history: &[Arc<PodStatus>]) -> Option<String> {
        let mut memory = Memory::default();
        let mut view = pod("p", restart_policy, Arc::default());
        view.sidecars.insert("sidecar".to_owned());
        for status in history {
            view.status = Arc::clone(status);
            memory.see(&view);
        }
        stuck(&view, &memory).map(|stuck| format!("{}: {}", stuck.container.unwrap_or_default(), stuck.reason))
    }

    fn apps(states: &[(&str, ContainerState)]) -> Arc<PodStatus> {
        status("Pending", vec![], states.iter().map(|(name, state)| container(name, state.clone())).collect())
    }

    #[test]
    fn an_image_that_must_not_be_pulled_never_comes() {
        let history = [apps(&[("a", waiting("ErrImageNeverPull"))])];
        assert_eq!(judge(RestartPolicy::Always, &history), Some("a: ErrImageNeverPull".to_owned()));
    }

    #[test]
    fn a_pull_error_counts_after_the_first_back_off() {
        for first in ["ErrImagePull", "RegistryUnavailable"] {
            let first = apps(&[("a", waiting(first))]);
            assert_eq!(judge(RestartPolicy::Always, std::slice::from_ref(&first)), None);
            let back_off = apps(&[("a", waiting("ImagePullBackOff"))]);
            assert_eq!(judge(RestartPolicy::Always, &[first, back_off]), Some("a: ImagePullBackOff".to_owned()));
        }
    }

    #[test]
    fn whatever_still_works_is_waited_for() {
        let stuck = ("a", waiting("CreateContainerConfigError"));
        for other in [running(), waiting("ContainerCreating"), waiting("CrashLoopBackOff"), ended(1, 1)] {
            assert_eq!(judge(RestartPolicy::OnFailure, &[apps(&[stuck.clone(), ("b", other)])]), None);
        }
        let done = apps(&[stuck, ("b", ended(0, 1))]);
        assert_eq!(judge(RestartPolicy::OnFailure, &[done]), Some("a: CreateContainerConfigError".to_owned()));
    }

    #[test]
    fn an_init_container_holds_the_others_up() {
        let init = |state| {
            let later = container("app", waiting("PodInitializing"));
            status("Pending", vec![container("init", state)], vec![later])
        };
        assert_eq!(
            judge(RestartPolicy::Always, &[init(waiting("InvalidImageName"))]),
            Some("init: InvalidImageName".to_owned())
        );
        assert_eq!(judge(RestartPolicy::Always, &[init(running())]), None);
    }

    #[test]
    fn a_sidecar_that_runs_only_waits_for_the_others() {
        let app = container("app", waiting("ErrImageNeverPull"));
        let pod = status("Pending", vec![container("sidecar", running())], vec![app]);
        assert_eq!(judge(RestartPolicy::Never, &[pod]), Some("app: ErrImageNeverPull".to_owned()));
    }

    #[test]
    fn a_volume_that_cannot_be_made_holds_everything_up() {
        let mut memory = Memory::default();
        let mut view = pod("p", RestartPolicy::Always, apps(&[("a", waiting("ContainerCreating"))]));
        memory.sandbox_failed(&view, "FailedMount", "configmap \"x\" not found");
        memory.see(&view);
        assert_eq!(stuck(&view, &memory).map(|stuck| stuck.reason), Some("FailedMount".to_owned()));
        view.status = apps(&[("a", running())]);
        memory.see(&view);
        assert_eq!(stuck(&view, &memory), None);
    }

    #[test]
    fn a_sandbox_may_be_made_once_another_pod_has_ended_and_a_volume_may_not() {
        let view = pod("p", RestartPolicy::Always, apps(&[("a", waiting("ContainerCreating"))]));
        for (reason, after) in [("FailedCreatePodSandBox", None), ("FailedMount", Some("FailedMount"))] {
            let mut memory = Memory::default();
            memory.sandbox_failed(&view, reason, "why");
            assert!(stuck(&view, &memory).is_some());
            memory.another_pod_ended();
            assert_eq!(stuck(&view, &memory).map(|stuck| stuck.reason).as_deref(), after);
        }
    }

    #[test]
    fn room_is_waited_for_once() {
        let mut memory = Memory::default();
        let view = pod("p", RestartPolicy::Always, apps(&[("a", waiting("ContainerCreating"))]));
        memory.waits(Wait::ForTime("pressure".to_owned()));
        assert_eq!(stuck(&view, &memory), None);
        memory.waits(Wait::ForOthers("full".to_owned()));
        assert_eq!(stuck(&view, &memory).map(|stuck| stuck.reason), Some("Unschedulable".to_owned()));
        memory.waits(Wait::No);
        // What was said before it had room, and was late.
        memory.waits(Wait::ForOthers("full".to_owned()));
        assert_eq!(stuck(&view, &memory), None);
    }

    #[test]
    fn a_volume_that_cannot_be_changed_holds_nothing_up() {
        let mut memory = Memory::default();
        let view = pod("p", RestartPolicy::Always, apps(&[("a", running())]));
        memory.sandbox_failed(&view, "FailedMount", "configmap \"x\" not found");
        assert_eq!(stuck(&view, &memory), None);
        assert_eq!(hopeless(&view, &memory).count(), 0);
    }
}
