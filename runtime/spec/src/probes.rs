//! What a checked container says about probes, hooks, its end and its restart: in units that need no second look.
//!
//! API types stay `k8s-openapi`'s; here their options and whole seconds become choices and durations. Who carries
//! probes out, and when, is not known here.

use std::time::Duration;

use k8s_openapi::api::core::v1::{
    ExecAction, GRPCAction, HTTPGetAction, LifecycleHandler, Probe, SleepAction, TCPSocketAction,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::{PodContainer, RestartPolicy};

/// What a probe finds out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProbeKind {
    /// Whether the program has come up. Until then the other two wait.
    Startup,
    /// Whether the program still works. If not, it is killed.
    Liveness,
    /// Whether the container may be given work.
    Readiness,
}

impl ProbeKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Startup, Self::Liveness, Self::Readiness];

    /// The word in events: `Liveness`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        }
    }
}

/// At which turn of its life a container's hook runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HookKind {
    /// Beside the entry point, right after its start.
    PostStart,
    /// Before the container is asked to stop.
    PreStop,
}

/// When a probe runs, and how many results make up a mind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeTimes {
    /// From the container's start to the first probe.
    pub initial_delay: Duration,
    /// From one probe's start to the next one's; at least a second.
    pub period: Duration,
    /// How long one probe may take; at least a second.
    pub timeout: Duration,
    /// Successes in a row that count as one; at least 1.
    pub success_threshold: u32,
    /// Failures in a row that count as one; at least 1.
    pub failure_threshold: u32,
    /// The grace period of a container that is killed because of this probe, where it is not the pod's.
    pub grace: Option<Duration>,
}

/// What a probe or a hook does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Action<'a> {
    /// Runs a program in the container; 0 is success.
    Exec(&'a [String]),
    /// Asks a URL.
    HttpGet(&'a HTTPGetAction),
    /// Opens a connection. In a hook it is deprecated and does nothing.
    TcpSocket(&'a TCPSocketAction),
    /// Asks the standard health service of gRPC.
    Grpc(&'a GRPCAction),
    /// Waits.
    Sleep(Duration),
}

/// Where a container leaves a word about its end, and what counts as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminationMessage<'a> {
    /// The file in the container.
    pub path: &'a str,
    /// Whether the end of the log stands in for an empty file when the container failed.
    pub falls_back_to_logs: bool,
}

/// A port that a probe or a hook means cannot be known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the container has no port named {name:?}: name it in the container's ports, or give its number")]
pub struct NoSuchPort {
    /// The name that was looked for.
    pub name: String,
}

/// What follows from a container's exit, by its own rules or its policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartAction {
    /// It stays as it is.
    Leave,
    /// It runs again.
    Restart,
    /// The pod's containers all run again, from the first init container on (KEP-5532).
    RestartAllContainers,
}

impl<'a> PodContainer<'a> {
    /// The container's probe of a kind: when, and what.
    pub fn probe(&self, kind: ProbeKind) -> Option<(ProbeTimes, Action<'a>)> {
        let probe = match kind {
            ProbeKind::Startup => &self.spec.startup_probe,
            ProbeKind::Liveness => &self.spec.liveness_probe,
            ProbeKind::Readiness => &self.spec.readiness_probe,
        };
        let probe = probe.as_ref()?;
        let Probe { exec, http_get, tcp_socket, grpc, .. } = probe;
        Some((times(probe), action(exec, http_get, tcp_socket, grpc, &None)?))
    }

    /// What the container's hook of a kind does.
    pub fn hook(&self, kind: HookKind) -> Option<Action<'a>> {
        let lifecycle = self.spec.lifecycle.as_ref()?;
        let handler = match kind {
            HookKind::PostStart => &lifecycle.post_start,
            HookKind::PreStop => &lifecycle.pre_stop,
        };
        let LifecycleHandler { exec, http_get, tcp_socket, sleep } = handler.as_ref()?;
        action(exec, http_get, tcp_socket, &None, sleep)
    }

    /// `lifecycle.stopSignal`: the name of a signal (KEP-4960).
    pub fn stop_signal(&self) -> Option<&'a str> {
        self.spec.lifecycle.as_ref()?.stop_signal.as_deref().filter(|signal| !signal.is_empty())
    }

    /// The number of a port that may be given by its name.
    ///
    /// # Errors
    /// [`NoSuchPort`] when none of the container's ports has the name.
    pub fn port(&self, port: &IntOrString) -> Result<u16, NoSuchPort> {
        let (number, name) = match port {
            IntOrString::Int(number) => (Some(*number), number.to_string()),
            IntOrString::String(name) => {
                let named = self.spec.ports.iter().flatten().find(|port| port.name.as_deref() == Some(name));
                (named.map(|port| port.container_port), name.clone())
            }
        };
        // Validation lets no number through that is no port.
        number.and_then(|number| u16::try_from(number).ok()).ok_or(NoSuchPort { name })
    }

    /// Where the container leaves its last words.
    pub fn termination_message(&self) -> TerminationMessage<'a> {
        let policy = self.spec.termination_message_policy.as_deref();
        TerminationMessage {
            path: self.spec.termination_message_path.as_deref().unwrap_or("/dev/termination-log"),
            falls_back_to_logs: policy == Some("FallbackToLogsOnError"),
        }
    }

    /// The container's own restart policy, else its pod's.
    pub fn restart_policy(&self, pod: RestartPolicy) -> RestartPolicy {
        match self.spec.restart_policy.as_deref() {
            Some("Always") => RestartPolicy::Always,
            Some("OnFailure") => RestartPolicy::OnFailure,
            Some("Never") => RestartPolicy::Never,
            _ => pod,
        }
    }

    /// What the first of the container's rules that speaks of this exit code wants; `None` when none does.
    pub fn restart_rule(&self, code: u8) -> Option<RestartAction> {
        let rules = self.spec.restart_policy_rules.iter().flatten();
        let mut matching = rules.filter(|rule| {
            let Some(on) = &rule.exit_codes else { return false };
            let listed = on.values.iter().flatten().any(|value| *value == i32::from(code));
            listed == (on.operator == "In")
        });
        Some(match matching.next()?.action.as_str() {
            "RestartAllContainers" => RestartAction::RestartAllContainers,
            _ => RestartAction::Restart,
        })
    }

    /// Whether some exit of this container restarts all of them.
    pub fn may_restart_all(&self) -> bool {
        self.spec.restart_policy_rules.iter().flatten().any(|rule| rule.action == "RestartAllContainers")
    }
}

fn times(probe: &Probe) -> ProbeTimes {
    // Defaults are filled in, and validation lets nothing negative through.
    let count = |value: Option<i32>| value.and_then(|value| u32::try_from(value).ok());
    let seconds = |value: u32| Duration::from_secs(value.into());
    ProbeTimes {
        initial_delay: seconds(count(probe.initial_delay_seconds).unwrap_or(0)),
        period: seconds(count(probe.period_seconds).unwrap_or(10).max(1)),
        timeout: seconds(count(probe.timeout_seconds).unwrap_or(1).max(1)),
        success_threshold: count(probe.success_threshold).unwrap_or(1).max(1),
        failure_threshold: count(probe.failure_threshold).unwrap_or(3).max(1),
        grace: probe
            .termination_grace_period_seconds
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map(Duration::from_secs),
    }
}

/// The one action that is there. Of several, which validation does not let through, the first.
fn action<'a>(
    exec: &'a Option<ExecAction>,
    http_get: &'a Option<HTTPGetAction>,
    tcp_socket: &'a Option<TCPSocketAction>,
    grpc: &'a Option<GRPCAction>,
    sleep: &Option<SleepAction>,
) -> Option<Action<'a>> {
    let exec = exec.as_ref().map(|exec| Action::Exec(exec.command.as_deref().unwrap_or_default()));
    exec.or(http_get.as_ref().map(Action::HttpGet))
        .or(tcp_socket.as_ref().map(Action::TcpSocket))
        .or(grpc.as_ref().map(Action::Grpc))
        .or(sleep.as_ref().map(|sleep| Action::Sleep(Duration::from_secs(sleep.seconds.try_into().unwrap_or(0)))))
}

#[cfg(test)]
mod tests;
