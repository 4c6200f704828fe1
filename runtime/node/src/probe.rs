//! Carries out what probes and hooks do, once each: an http request, a connection, a gRPC health check, a program in the
//! container, a wait.
//!
//! ```text
//!   lifecycle ──Probe, RunHook──► here ──dial──► the pod's network      httpGet, tcpSocket, grpc
//!                                      └─exec──► the container          exec
//! ```
//!
//! When a probe runs, and what follows from its results, is the lifecycle's business. What comes back from a guest is
//! bounded: 10 KiB of a body or of a program's output are read, and [`MESSAGE`] bytes of it reach users.

mod exec;
mod grpc;
mod http;
mod target;
mod tls;
mod url;

use std::sync::Arc;

use nacelle_container::{ContainerId, PodUid};
use nacelle_lifecycle::{HookKind, HookOutcome, ProbeKind, ProbeOutcome};
use nacelle_spec::PodContainer;
use nacelle_spec::probes::{Action, ProbeTimes};

use crate::driver::Context;
use http::Answer;
use target::Target;

/// The most bytes that are read of what a guest answers, as the kubelet has it.
const MAX_ANSWER: usize = 10 << 10;
/// The most bytes of an event's message, as Kubernetes has it.
const MESSAGE: usize = 1024;

/// Carries out a probe once.
pub(crate) async fn probe(context: Arc<Context>, container: Arc<str>, attempt: u32, kind: ProbeKind) -> ProbeOutcome {
    // The machine asks for what it has found in the same pod.
    let Some(found) = context.pod.container(&container) else {
        return ProbeOutcome::Unknown(format!("the pod has no container {container}"));
    };
    let Some((times, action)) = found.probe(kind) else {
        return ProbeOutcome::Unknown(format!("container {container} has no such probe"));
    };
    let outcome = carry_out(&context, found, attempt, times, action).await;
    match outcome {
        ProbeOutcome::Success => ProbeOutcome::Success,
        ProbeOutcome::Warning(why) => ProbeOutcome::Warning(shortened(why)),
        ProbeOutcome::Failure(why) => ProbeOutcome::Failure(shortened(why)),
        ProbeOutcome::Unknown(why) => ProbeOutcome::Unknown(shortened(why)),
    }
}

async fn carry_out(
    context: &Context,
    container: PodContainer<'_>,
    attempt: u32,
    times: ProbeTimes,
    action: Action<'_>,
) -> ProbeOutcome {
    let timeout = times.timeout;
    if let Action::Exec(command) = action {
        return exec::probe(&context.node.host, &id(context, container, attempt), command, timeout).await;
    }
    let target = match target(context) {
        Ok(target) => target,
        Err(why) => return ProbeOutcome::Unknown(why),
    };
    match action {
        Action::HttpGet(get) => match container.port(&get.port) {
            Ok(port) => http_probe(&target, get, port, timeout).await,
            Err(error) => ProbeOutcome::Unknown(error.to_string()),
        },
        Action::TcpSocket(socket) => match container.port(&socket.port) {
            Ok(port) => target.probe_tcp(socket.host.as_deref(), port, timeout).await,
            Err(error) => ProbeOutcome::Unknown(error.to_string()),
        },
        Action::Grpc(check) => grpc::probe(&target, check, timeout).await,
        // Not of probes.
        Action::Exec(_) | Action::Sleep(_) => ProbeOutcome::Unknown("no such probe".to_owned()),
    }
}

async fn http_probe(
    target: &Target,
    get: &k8s_openapi::api::core::v1::HTTPGetAction,
    port: u16,
    timeout: std::time::Duration,
) -> ProbeOutcome {
    let url = url::Url::of(get, target.host(get.host.as_deref()), port);
    let answered = tokio::time::timeout(timeout, http::get(target, &url, get, "kube-probe")).await;
    match answered {
        Ok(Ok(Answer::Final { status: 200..=299, .. })) => ProbeOutcome::Success,
        Ok(Ok(Answer::Final { status: 300..=399, body })) => {
            ProbeOutcome::Warning(format!("Probe terminated redirects, Response body: {body}"))
        }
        Ok(Ok(Answer::Final { status, .. })) => {
            ProbeOutcome::Failure(format!("HTTP probe failed with statuscode: {status}"))
        }
        Ok(Ok(Answer::TooManyRedirects)) => ProbeOutcome::Warning("Probe terminated redirects".to_owned()),
        Ok(Err(why)) => ProbeOutcome::Failure(format!("Get \"{url}\": {why}")),
        Err(_) => ProbeOutcome::Failure(format!(
            "Get \"{url}\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        )),
    }
}

/// Runs a hook to its end, however long that takes.
pub(crate) async fn hook(context: Arc<Context>, container: Arc<str>, attempt: u32, kind: HookKind) -> HookOutcome {
    match run_hook(&context, &container, attempt, kind).await {
        Ok(()) => HookOutcome::Succeeded,
        Err(why) => {
            // Not in the event: as with the kubelet, what a program says may be a secret.
            tracing::warn!(pod = context.pod.name(), %container, ?kind, why = shortened(why), "a hook failed");
            HookOutcome::Failed
        }
    }
}

async fn run_hook(context: &Context, container: &str, attempt: u32, kind: HookKind) -> Result<(), String> {
    let found = context.pod.container(container).ok_or("the pod has no such container")?;
    match found.hook(kind).ok_or("the container has no such hook")? {
        Action::Exec(command) => exec::hook(&context.node.host, &id(context, found, attempt), command).await,
        Action::HttpGet(get) => {
            let port = found.port(&get.port).map_err(|error| error.to_string())?;
            let target = target(context)?;
            let url = url::Url::of(get, target.host(get.host.as_deref()), port);
            // Any answer will do, as for the kubelet.
            http::get(&target, &url, get, "kube-lifecycle").await.map(drop)
        }
        Action::Sleep(time) => {
            tokio::time::sleep(time).await;
            Ok(())
        }
        Action::TcpSocket(_) | Action::Grpc(_) => Ok(()),
    }
}

fn id(context: &Context, container: PodContainer<'_>, attempt: u32) -> ContainerId {
    ContainerId { pod: PodUid::new(context.pod.uid()), name: container.spec.name.clone(), attempt }
}

fn target(context: &Context) -> Result<Target, String> {
    let network = context.node.host.pod_network(&PodUid::new(context.pod.uid()));
    network.and_then(Target::new).ok_or_else(|| "the pod has no network any more".to_owned())
}

/// A message that fits into an event.
fn shortened(mut text: String) -> String {
    if text.len() > MESSAGE {
        let end = (0..=MESSAGE - 4).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

/// What a guest said, as text.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_fit_into_events() {
        let long = shortened("ä".repeat(1000));
        assert!(long.len() <= MESSAGE && long.ends_with('…'), "{}", long.len());
        assert_eq!(shortened("short".to_owned()), "short");
    }
}
