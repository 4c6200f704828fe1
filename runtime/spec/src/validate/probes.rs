//! Probes and lifecycle hooks, and the actions both are made of.

use k8s_openapi::api::core::v1::{
    Container, ExecAction, GRPCAction, HTTPGetAction, LifecycleHandler, PodSpec, Probe, SleepAction, TCPSocketAction,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::names::port_name;
use super::ports::PORTS;
use super::report::Report;
use super::signals;
use crate::FieldPath;

const HEADER_NAME: &str = "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', \
    regex used for validation is '[-A-Za-z0-9]+')";

/// What a probe finds out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Liveness,
    Readiness,
    Startup,
}

/// The actions of a probe or hook, each at most once.
struct Actions<'a> {
    exec: Option<&'a ExecAction>,
    http_get: Option<&'a HTTPGetAction>,
    tcp_socket: Option<&'a TCPSocketAction>,
    grpc: Option<&'a GRPCAction>,
    sleep: Option<&'a SleepAction>,
}

/// The probes and hooks of a container that may have some.
pub(super) fn check_container(container: &Container, spec: &PodSpec, path: &FieldPath, report: &mut Report) {
    for (field, probe, purpose) in [
        ("livenessProbe", &container.liveness_probe, Purpose::Liveness),
        ("readinessProbe", &container.readiness_probe, Purpose::Readiness),
        ("startupProbe", &container.startup_probe, Purpose::Startup),
    ] {
        if let Some(probe) = probe {
            check_probe(probe, purpose, container, &path.field(field), report);
        }
    }
    let Some(lifecycle) = &container.lifecycle else { return };
    let path = path.field("lifecycle");
    for (field, handler) in [("postStart", &lifecycle.post_start), ("preStop", &lifecycle.pre_stop)] {
        if let Some(handler) = handler {
            check_handler(handler, container, spec, &path.field(field), report);
        }
    }
    if let Some(signal) = &lifecycle.stop_signal {
        signals::check(signal, spec, &path.field("stopSignal"), report);
    }
}

fn check_probe(probe: &Probe, purpose: Purpose, container: &Container, path: &FieldPath, report: &mut Report) {
    let actions = Actions {
        exec: probe.exec.as_ref(),
        http_get: probe.http_get.as_ref(),
        tcp_socket: probe.tcp_socket.as_ref(),
        grpc: probe.grpc.as_ref(),
        sleep: None,
    };
    actions.check(container, path, report);
    report.non_negative(&path.field("initialDelaySeconds"), probe.initial_delay_seconds);
    report.non_negative(&path.field("timeoutSeconds"), probe.timeout_seconds);
    report.non_negative(&path.field("periodSeconds"), probe.period_seconds);
    report.non_negative(&path.field("successThreshold"), probe.success_threshold);
    report.non_negative(&path.field("failureThreshold"), probe.failure_threshold);
    if let Some(seconds) = probe.termination_grace_period_seconds {
        let path = path.field("terminationGracePeriodSeconds");
        if purpose == Purpose::Readiness {
            report.invalid_number(&path, seconds, "must not be set for readinessProbes");
        } else if seconds <= 0 {
            report.invalid_number(&path, seconds, "must be greater than 0");
        }
    }
    if let Some(threshold) = probe.success_threshold.filter(|n| *n != 1 && purpose != Purpose::Readiness) {
        report.invalid_number(&path.field("successThreshold"), threshold, "must be 1");
    }
}

fn check_handler(
    handler: &LifecycleHandler,
    container: &Container,
    spec: &PodSpec,
    path: &FieldPath,
    report: &mut Report,
) {
    let actions = Actions {
        exec: handler.exec.as_ref(),
        http_get: handler.http_get.as_ref(),
        tcp_socket: handler.tcp_socket.as_ref(),
        grpc: None,
        sleep: handler.sleep.as_ref(),
    };
    actions.check(container, path, report);
    if let Some(sleep) = &handler.sleep {
        let grace = spec.termination_grace_period_seconds.unwrap_or(30);
        if sleep.seconds < 0 || sleep.seconds > grace {
            let detail = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
            report.invalid_number(&path.field("sleep").field("seconds"), sleep.seconds, detail);
        }
    }
}

impl Actions<'_> {
    fn check(&self, container: &Container, path: &FieldPath, report: &mut Report) {
        let given = [
            ("exec", self.exec.is_some()),
            ("httpGet", self.http_get.is_some()),
            ("tcpSocket", self.tcp_socket.is_some()),
            ("grpc", self.grpc.is_some()),
            ("sleep", self.sleep.is_some()),
        ];
        let given: Vec<&str> = given.iter().filter(|(_, given)| *given).map(|(kind, _)| *kind).collect();
        if given.is_empty() {
            report.required(path, "must specify a handler type");
        }
        for kind in given.iter().skip(1) {
            report.forbidden(&path.field(kind), "may not specify more than 1 handler type");
        }
        if self.exec.is_some_and(|exec| exec.command.as_ref().is_none_or(Vec::is_empty)) {
            report.required(&path.field("exec").field("command"), "");
        }
        if let Some(action) = self.http_get {
            check_http(action, container, &path.field("httpGet"), report);
        }
        if let Some(action) = self.tcp_socket {
            check_port(&action.port, container, &path.field("tcpSocket").field("port"), report);
        }
        if let Some(action) = self.grpc {
            report.in_range(&path.field("grpc").field("port"), action.port, PORTS);
        }
    }
}

fn check_http(action: &HTTPGetAction, container: &Container, path: &FieldPath, report: &mut Report) {
    if action.path.as_deref().unwrap_or_default().is_empty() {
        report.required(&path.field("path"), "");
    }
    check_port(&action.port, container, &path.field("port"), report);
    report.one_of(&path.field("scheme"), action.scheme.as_deref(), &["HTTP", "HTTPS"]);
    for (index, header) in action.http_headers.iter().flatten().enumerate() {
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if header.name.is_empty() || !header.name.bytes().all(valid) {
            report.invalid(&path.field("httpHeaders").index(index).field("name"), &header.name, HEADER_NAME);
        }
    }
}

/// A port by number, or by the name of one of the container's own.
fn check_port(port: &IntOrString, container: &Container, path: &FieldPath, report: &mut Report) {
    match port {
        IntOrString::Int(number) => report.in_range(path, *number, PORTS),
        IntOrString::String(name) => {
            let problems = port_name(name);
            let known = container.ports.iter().flatten().any(|port| port.name.as_deref() == Some(name));
            if problems.is_empty() && !known {
                report.warning(path, format!("the container has no port named {name:?}; this will fail"));
            }
            report.invalid_all(path, name, problems);
        }
    }
}
