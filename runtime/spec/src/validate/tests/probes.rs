//! Probes and lifecycle hooks.

use super::{container, rules};

#[test]
fn handlers() {
    let probe =
        |fields: &str| container(&format!("ports: [{{name: web, containerPort: 80}}], livenessProbe: {{{fields}}}"));
    rules(
        probe,
        &[
            ("httpGet: {port: web, httpHeaders: [{name: X-A, value: b}]}", &[]),
            ("tcpSocket: {port: 80}", &[]),
            ("grpc: {port: 80}", &[]),
            ("exec: {command: [test]}, terminationGracePeriodSeconds: 1", &[]),
            ("periodSeconds: 1", &["spec.containers[0].livenessProbe: Required value: must specify a handler type"]),
            (
                "exec: {command: [a]}, tcpSocket: {port: 80}",
                &["spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type"],
            ),
            ("exec: {}", &["spec.containers[0].livenessProbe.exec.command: Required value"]),
            (
                "httpGet: {port: 0, scheme: FTP, httpHeaders: [{name: 'X A', value: b}]}",
                &[
                    "spec.containers[0].livenessProbe.httpGet.port: Invalid value: 0: must be between 1 and 65535, \
                     inclusive",
                    "spec.containers[0].livenessProbe.httpGet.scheme: Unsupported value: \"FTP\": supported values: \
                     \"HTTP\", \"HTTPS\"",
                    "spec.containers[0].livenessProbe.httpGet.httpHeaders[0].name: Invalid value: \"X A\": a valid \
                     HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used \
                     for validation is '[-A-Za-z0-9]+')",
                ],
            ),
            (
                "tcpSocket: {port: other}",
                &["warning: spec.containers[0].livenessProbe.tcpSocket.port: the container has no port named \
                   \"other\"; this will fail"],
            ),
            (
                "tcpSocket: {port: '80'}",
                &["spec.containers[0].livenessProbe.tcpSocket.port: Invalid value: \"80\": must contain at least one \
                   letter (a-z)"],
            ),
            (
                "grpc: {port: 70000}",
                &["spec.containers[0].livenessProbe.grpc.port: Invalid value: 70000: must be between 1 and 65535, \
                   inclusive"],
            ),
        ],
    );
}

#[test]
fn numbers() {
    let probe = |fields: &str| container(&format!("{fields}, tcpSocket: {{port: 80}}}}"));
    rules(
        probe,
        &[
            ("readinessProbe: {successThreshold: 2, initialDelaySeconds: 0, timeoutSeconds: 0", &[]),
            (
                "startupProbe: {initialDelaySeconds: -1, timeoutSeconds: -1, periodSeconds: -1, failureThreshold: -1",
                &[
                    "spec.containers[0].startupProbe.initialDelaySeconds: Invalid value: -1: must be greater than or \
                     equal to 0",
                    "spec.containers[0].startupProbe.timeoutSeconds: Invalid value: -1: must be greater than or equal \
                     to 0",
                    "spec.containers[0].startupProbe.periodSeconds: Invalid value: -1: must be greater than or equal \
                     to 0",
                    "spec.containers[0].startupProbe.failureThreshold: Invalid value: -1: must be greater than or \
                     equal to 0",
                ],
            ),
            (
                "livenessProbe: {successThreshold: 2, terminationGracePeriodSeconds: 0",
                &[
                    "spec.containers[0].livenessProbe.terminationGracePeriodSeconds: Invalid value: 0: must be \
                     greater than 0",
                    "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
                ],
            ),
            (
                "readinessProbe: {terminationGracePeriodSeconds: 1",
                &["spec.containers[0].readinessProbe.terminationGracePeriodSeconds: Invalid value: 1: must not be \
                   set for readinessProbes"],
            ),
        ],
    );
}

#[test]
fn hooks() {
    let hook = |fields: &str| container(&format!("lifecycle: {{preStop: {{{fields}}}}}"));
    rules(
        hook,
        &[
            ("sleep: {seconds: 30}", &[]),
            ("exec: {command: [a]}", &[]),
            ("", &["spec.containers[0].lifecycle.preStop: Required value: must specify a handler type"]),
            (
                "sleep: {seconds: 31}",
                &["spec.containers[0].lifecycle.preStop.sleep.seconds: Invalid value: 31: must be non-negative and \
                   less than terminationGracePeriodSeconds (30)"],
            ),
            (
                "sleep: {seconds: 1}, exec: {command: [a]}",
                &["spec.containers[0].lifecycle.preStop.sleep: Forbidden: may not specify more than 1 handler type"],
            ),
        ],
    );
}

#[test]
fn stop_signals() {
    let with_os = |signal: &str| {
        let container = format!("{{name: c, image: \"a:1\", lifecycle: {{stopSignal: {signal}}}}}");
        format!("{{metadata: {{name: p}}, spec: {{os: {{name: linux}}, containers: [{container}]}}}}")
    };
    let unknown = "spec.containers[0].lifecycle.stopSignal: Unsupported value…";
    rules(
        with_os,
        &[
            ("SIGUSR1", &[]),
            ("SIGRTMIN+15", &[]),
            ("SIGRTMAX", &[]),
            ("SIGRTMAX-15", &[unknown]),
            ("SIGRTMIN+x", &[unknown]),
            ("USR1", &[unknown]),
        ],
    );
    let forbidden = "spec.containers[0].lifecycle.stopSignal: Forbidden: may not be set for containers with empty \
                     `spec.os.name`";
    rules(container, &[("lifecycle: {stopSignal: SIGTERM}", &[forbidden])]);
}
