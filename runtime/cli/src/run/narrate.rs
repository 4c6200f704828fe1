//! What a change of a pod's status is worth saying to the person at the terminal: containers that fail, restarts.

use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, PodStatus};

use super::resize::changes;

/// The exit codes of containers that were stopped: no news while everything is being stopped.
const STOPPED: [i32; 2] = [128 + 9, 128 + 15];

/// Something to say about a container, or about the pod when it names none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remark {
    pub(crate) container: Option<String>,
    pub(crate) text: String,
}

/// What happened between two statuses of a pod.
pub(crate) fn remarks(old: Option<&PodStatus>, new: &PodStatus, stopping: bool) -> Vec<Remark> {
    let mut remarks = Vec::new();
    for now in containers(new) {
        let before = old.and_then(|old| containers(old).find(|container| container.name == now.name));
        let ended = last_end(now).filter(|end| before.and_then(last_end) != Some(*end));
        let stopped = stopping || (is_over(new) && !is_app(new, now));
        if let Some(text) = ended.and_then(|end| describe(end, stopped)) {
            remarks.push(Remark { container: Some(now.name.clone()), text });
        }
        let delay = back_off(now).filter(|delay| !stopping && before.and_then(back_off) != Some(*delay));
        if let Some(delay) = delay {
            let text = format!("starts again after a back-off of {delay} (CrashLoopBackOff)");
            remarks.push(Remark { container: Some(now.name.clone()), text });
        }
        if let Some(given) = before.and_then(|before| resized(before, now)) {
            remarks.push(Remark { container: Some(now.name.clone()), text: format!("is resized: {given}") });
        }
        let restarts_before = before.map_or(0, |before| before.restart_count);
        if now.restart_count > restarts_before {
            remarks
                .push(Remark { container: Some(now.name.clone()), text: format!("restarts ({})", now.restart_count) });
        }
    }
    let reason = |status: &PodStatus| status.reason.clone();
    if let Some(reason) = reason(new).filter(|new| old.and_then(reason).as_ref() != Some(new)) {
        let message = new.message.as_deref().unwrap_or_default();
        let colon = if message.is_empty() { "" } else { ": " };
        remarks.push(Remark { container: None, text: format!("{reason}{colon}{message}") });
    }
    remarks
}

fn containers(status: &PodStatus) -> impl Iterator<Item = &ContainerStatus> {
    let init = status.init_container_statuses.iter().flatten();
    let ephemeral = status.ephemeral_container_statuses.iter().flatten();
    init.chain(status.container_statuses.iter().flatten()).chain(ephemeral)
}

/// What a container was given by a resize that has been carried out.
fn resized(before: &ContainerStatus, now: &ContainerStatus) -> Option<String> {
    let changes = changes(before.resources.as_ref()?, now.resources.as_ref()?);
    (!changes.is_empty()).then(|| changes.join(", "))
}

/// Whether all app containers have ended: what ends after them is being stopped.
fn is_over(status: &PodStatus) -> bool {
    let ended = |container: &ContainerStatus| container.state.as_ref().is_some_and(|state| state.terminated.is_some());
    let apps = status.container_statuses.as_deref().unwrap_or_default();
    !apps.is_empty() && apps.iter().all(ended)
}

fn is_app(status: &PodStatus, container: &ContainerStatus) -> bool {
    status.container_statuses.iter().flatten().any(|app| app.name == container.name)
}

/// How the container ended last: now, or before its latest restart.
fn last_end(container: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    let now = container.state.as_ref().and_then(|state| state.terminated.as_ref());
    now.or_else(|| container.last_state.as_ref().and_then(|state| state.terminated.as_ref()))
}

/// How long the container waits for its next start, as the kubelet's message says it: `back-off 10s restarting …`.
fn back_off(container: &ContainerStatus) -> Option<&str> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    waiting.message.as_deref()?.strip_prefix("back-off ")?.split(' ').next()
}

fn describe(end: &ContainerStateTerminated, stopping: bool) -> Option<String> {
    if end.exit_code == 0 || (stopping && STOPPED.contains(&end.exit_code)) {
        return None;
    }
    let code = end.exit_code;
    let first_line = end.message.as_deref().and_then(|message| message.lines().next()).unwrap_or_default();
    let why = match end.reason.as_deref() {
        Some("OOMKilled") => "ran out of memory (OOMKilled), ",
        Some("FuelExhausted") => "used up its fuel (FuelExhausted), ",
        Some("StartError") => "could not be started, ",
        _ => "ended with ",
    };
    let colon = if first_line.is_empty() { "" } else { ": " };
    Some(format!("{why}exit code {code}{colon}{first_line}"))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ResourceRequirements;
    use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

    use super::super::view::fixtures::{container, ended, running, status, waiting};
    use super::*;

    fn said(old: Option<&PodStatus>, new: &PodStatus, stopping: bool) -> Vec<String> {
        let words = |remark: Remark| format!("{}: {}", remark.container.unwrap_or_default(), remark.text);
        remarks(old, new, stopping).into_iter().map(words).collect()
    }

    #[test]
    fn a_failure_is_said_once() {
        let up = status("Running", vec![], vec![container("a", running())]);
        let down = status("Failed", vec![], vec![container("a", ended(3, 1))]);
        assert_eq!(said(Some(&up), &down, false), ["a: ended with exit code 3"]);
        assert_eq!(said(Some(&down), &down, false), Vec::<String>::new());
    }

    #[test]
    fn an_ephemeral_container_fails_like_others_and_is_stopped_after_them() {
        let with = |phase: &str, app, look| {
            let status = status(phase, vec![], vec![container("a", app)]);
            PodStatus { ephemeral_container_statuses: Some(vec![container("look", look)]), ..PodStatus::clone(&status) }
        };
        let up = with("Running", running(), running());
        assert_eq!(said(Some(&up), &with("Running", running(), ended(3, 1)), false), ["look: ended with exit code 3"]);
        let over = with("Succeeded", ended(0, 1), ended(137, 2));
        assert_eq!(said(Some(&up), &over, false), Vec::<String>::new());
    }

    #[test]
    fn success_is_silent_and_so_is_a_stop() {
        let done = status("Succeeded", vec![], vec![container("a", ended(0, 1))]);
        assert_eq!(said(None, &done, false), Vec::<String>::new());
        let stopped = status("Failed", vec![], vec![container("a", ended(143, 1))]);
        assert_eq!(said(None, &stopped, true), Vec::<String>::new());
        assert_eq!(said(None, &stopped, false), ["a: ended with exit code 143"]);
    }

    #[test]
    fn an_end_that_was_only_seen_after_the_restart_is_said() {
        let up = status("Running", vec![], vec![container("a", running())]);
        let mut again = container("a", running());
        again.last_state = Some(ended(1, 1));
        again.restart_count = 1;
        let again = status("Running", vec![], vec![again]);
        assert_eq!(said(Some(&up), &again, false), ["a: ended with exit code 1", "a: restarts (1)"]);
    }

    #[test]
    fn the_back_off_does_not_say_the_failure_again() {
        let down = status("Running", vec![], vec![container("a", ended(1, 1))]);
        let mut back_off = container("a", waiting("CrashLoopBackOff"));
        back_off.last_state = Some(ended(1, 1));
        let back_off = status("Running", vec![], vec![back_off]);
        assert_eq!(said(Some(&down), &back_off, false), Vec::<String>::new());
    }

    #[test]
    fn a_back_off_is_said_once_with_its_length() {
        let mut state = waiting("CrashLoopBackOff");
        if let Some(waiting) = &mut state.waiting {
            waiting.message = Some("back-off 10s restarting failed container=a pod=p_default(1)".to_owned());
        }
        let back_off = status("Running", vec![], vec![container("a", state)]);
        assert_eq!(said(None, &back_off, false), ["a: starts again after a back-off of 10s (CrashLoopBackOff)"]);
        assert_eq!(said(Some(&back_off), &back_off, false), Vec::<String>::new());
        assert_eq!(said(None, &back_off, true), Vec::<String>::new());
    }

    #[test]
    fn a_sidecar_that_is_stopped_after_the_apps_is_no_news() {
        let pod = |app, sidecar| status("Running", vec![container("s", sidecar)], vec![container("a", app)]);
        assert_eq!(said(None, &pod(ended(0, 1), ended(137, 2)), false), Vec::<String>::new());
        assert_eq!(said(None, &pod(ended(0, 1), ended(3, 2)), false), ["s: ended with exit code 3"]);
        assert_eq!(said(None, &pod(running(), ended(137, 2)), false), ["s: ended with exit code 137"]);
    }

    #[test]
    fn memory_and_messages_are_named() {
        let mut state = ended(137, 1);
        if let Some(end) = &mut state.terminated {
            end.reason = Some("OOMKilled".to_owned());
            end.message = Some("asked for 70 MiB of 64 MiB\nbacktrace".to_owned());
        }
        let killed = status("Failed", vec![], vec![container("a", state)]);
        assert_eq!(
            said(None, &killed, true),
            Vec::<String>::new(),
            "a container that is killed while everything stops is no news"
        );
        assert_eq!(
            said(None, &killed, false),
            ["a: ran out of memory (OOMKilled), exit code 137: asked for 70 MiB of 64 MiB"]
        );
    }

    #[test]
    fn used_up_fuel_is_named() {
        let mut state = ended(152, 1);
        if let Some(end) = &mut state.terminated {
            end.reason = Some("FuelExhausted".to_owned());
            end.message = Some("the guest executed all of its 5 units of fuel".to_owned());
        }
        let spent = status("Failed", vec![], vec![container("a", state)]);
        assert_eq!(
            said(None, &spent, false),
            ["a: used up its fuel (FuelExhausted), exit code 152: the guest executed all of its 5 units of fuel"]
        );
    }

    #[test]
    fn a_resize_is_said_when_it_has_been_carried_out() {
        let with = |cpu: Option<&str>| {
            let mut app = container("a", running());
            let limits = [("cpu".to_owned(), Quantity(cpu.unwrap_or_default().to_owned()))];
            app.resources =
                cpu.map(|_| ResourceRequirements { limits: Some(limits.into()), ..ResourceRequirements::default() });
            status("Running", vec![], vec![app])
        };
        assert_eq!(said(Some(&with(Some("1"))), &with(Some("2")), false), ["a: is resized: limits.cpu 1 → 2"]);
        assert_eq!(said(Some(&with(Some("1"))), &with(Some("1")), false), Vec::<String>::new());
        assert_eq!(said(Some(&with(None)), &with(Some("1")), false), Vec::<String>::new());
    }

    #[test]
    fn a_pods_own_reason_is_said() {
        let mut late = PodStatus::clone(&status("Failed", vec![], vec![]));
        late.reason = Some("DeadlineExceeded".to_owned());
        late.message = Some("Pod was active on the node longer than the specified deadline".to_owned());
        assert_eq!(
            said(None, &late, false),
            [": DeadlineExceeded: Pod was active on the node longer than the specified deadline"]
        );
    }
}
