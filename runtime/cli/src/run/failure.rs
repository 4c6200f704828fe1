//! Which container's exit code becomes the exit code of `nacelle run`. A pure function of pods' statuses.

use std::cmp::Ordering;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus};

use super::view::PodView;

/// The exit code of a pod that failed without any container's doing, such as one that was evicted.
const NO_CONTAINER: u8 = 1;

/// A pod's failure, and the container that is to blame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) namespace: String,
    pub(crate) pod: String,
    pub(crate) container: Option<String>,
    pub(crate) code: u8,
    pub(crate) message: String,
    at: Option<Timestamp>,
}

/// Among pods that have failed for good, the container that failed first, init containers included. Sidecars are to
/// blame only when nothing else is, since their exit codes do not decide a pod's phase.
pub(crate) fn final_failure(pods: &[PodView]) -> Option<Failure> {
    first(pods.iter().filter(|pod| pod.phase() == "Failed").map(|pod| {
        let (sidecars, others): (Vec<_>, Vec<_>) = pod.containers().partition(|container| pod.is_sidecar(container));
        let blame = |containers: Vec<&ContainerStatus>| {
            first(containers.into_iter().filter_map(|container| {
                let end = container.state.as_ref()?.terminated.as_ref()?;
                (end.exit_code != 0).then(|| by(pod, container, end))
            }))
        };
        blame(others).or_else(|| blame(sidecars)).unwrap_or_else(|| without_container(pod))
    }))
}

/// What has failed when the pods are stopped in the middle: pods that have failed for good, containers that have ended
/// with a failure and were not started again, and containers in a crash loop.
pub(crate) fn failure_so_far(pods: &[PodView]) -> Option<Failure> {
    let ended = pods.iter().flat_map(|pod| {
        pod.containers().filter_map(move |container| {
            let state = container.state.as_ref()?;
            let crash_loop = state.waiting.as_ref().is_some_and(|w| w.reason.as_deref() == Some("CrashLoopBackOff"));
            let end = match &state.terminated {
                Some(end) => Some(end),
                None if crash_loop => container.last_state.as_ref().and_then(|last| last.terminated.as_ref()),
                None => None,
            }?;
            (end.exit_code != 0).then(|| by(pod, container, end))
        })
    });
    final_failure(pods).or_else(|| first(ended))
}

/// The earliest; of two at the same time, or without one, the one that comes first in the manifests.
fn first(failures: impl Iterator<Item = Failure>) -> Option<Failure> {
    failures.reduce(|first, next| match (first.at, next.at) {
        (Some(a), Some(b)) if b.cmp(&a) == Ordering::Less => next,
        (None, Some(_)) => next,
        _ => first,
    })
}

fn by(pod: &PodView, container: &ContainerStatus, end: &ContainerStateTerminated) -> Failure {
    let code = u8::try_from(end.exit_code).unwrap_or(u8::MAX);
    Failure {
        namespace: pod.namespace.clone(),
        pod: pod.name.clone(),
        container: Some(container.name.clone()),
        code,
        message: format!("container {} ended with exit code {code}", container.name),
        at: end.finished_at.as_ref().map(|time| time.0),
    }
}

fn without_container(pod: &PodView) -> Failure {
    let reason = pod.status.reason.as_deref().unwrap_or("for no known reason");
    let message = match pod.status.message.as_deref() {
        Some(message) => format!("pod {} failed: {reason}: {message}", pod.name),
        None => format!("pod {} failed: {reason}", pod.name),
    };
    let (namespace, name) = (pod.namespace.clone(), pod.name.clone());
    Failure { namespace, pod: name, container: None, code: NO_CONTAINER, message, at: None }
}

#[cfg(test)]
mod tests {
    use nacelle_spec::RestartPolicy;

    use super::super::view::fixtures::{container, ended, pod, running, status, waiting};
    use super::*;

    fn blamed(failure: Option<Failure>) -> Option<(String, u8)> {
        failure.map(|failure| (failure.container.unwrap_or_default(), failure.code))
    }

    #[test]
    fn success_is_no_failure() {
        let done = status("Succeeded", vec![container("init", ended(0, 1))], vec![container("app", ended(0, 2))]);
        assert_eq!(final_failure(&[pod("p", RestartPolicy::Never, done)]), None);
    }

    #[test]
    fn the_first_to_fail_decides() {
        let apps = vec![container("late", ended(3, 9)), container("ok", ended(0, 1)), container("early", ended(4, 5))];
        let failed = pod("p", RestartPolicy::Never, status("Failed", vec![], apps));
        assert_eq!(blamed(final_failure(&[failed])), Some(("early".to_owned(), 4)));
    }

    #[test]
    fn of_two_at_once_the_one_that_stands_first_decides() {
        let one = status("Failed", vec![], vec![container("a", ended(3, 5))]);
        let two = status("Failed", vec![], vec![container("b", ended(4, 5))]);
        let pods = [pod("p", RestartPolicy::Never, one), pod("q", RestartPolicy::Never, two)];
        assert_eq!(blamed(final_failure(&pods)), Some(("a".to_owned(), 3)));
    }

    #[test]
    fn init_containers_count() {
        let failed =
            status("Failed", vec![container("init", ended(7, 1))], vec![container("app", waiting("PodInitializing"))]);
        let failed = pod("p", RestartPolicy::Never, failed);
        assert_eq!(blamed(final_failure(&[failed])), Some(("init".to_owned(), 7)));
    }

    #[test]
    fn sidecars_are_blamed_last() {
        let statuses = (vec![container("proxy", ended(1, 1))], vec![container("app", ended(9, 5))]);
        let mut failed = pod("p", RestartPolicy::Never, status("Failed", statuses.0, statuses.1));
        failed.sidecars.insert("proxy".to_owned());
        assert_eq!(blamed(final_failure(&[failed])), Some(("app".to_owned(), 9)));
    }

    #[test]
    fn a_pod_can_fail_without_a_container() {
        let evicted = pod("p", RestartPolicy::Never, status("Failed", vec![], vec![]));
        assert_eq!(blamed(final_failure(&[evicted])), Some((String::new(), 1)));
    }

    #[test]
    fn codes_outside_a_byte_are_failures_all_the_same() {
        for code in [-1, 256] {
            let failed = pod("p", RestartPolicy::Never, status("Failed", vec![], vec![container("a", ended(code, 1))]));
            assert_eq!(blamed(final_failure(&[failed])), Some(("a".to_owned(), 255)), "{code}");
        }
    }

    #[test]
    fn a_restarted_container_has_not_failed_but_a_crash_loop_has() {
        let mut again = container("a", running());
        again.last_state = Some(ended(3, 1));
        let fine = pod("p", RestartPolicy::Always, status("Running", vec![], vec![again.clone()]));
        assert_eq!(failure_so_far(&[fine]), None);

        again.state = Some(waiting("CrashLoopBackOff"));
        let looping = pod("p", RestartPolicy::Always, status("Running", vec![], vec![again]));
        assert_eq!(blamed(failure_so_far(&[looping])), Some(("a".to_owned(), 3)));
    }
}
