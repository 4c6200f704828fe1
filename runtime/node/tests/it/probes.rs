//! Probes of pods whose servers are the test's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use nacelle_node::{ConditionStatus, GateCondition, Notice, PodHandle};
use tokio::sync::mpsc;

use crate::server::{Server, redirect, status};
use crate::world::{World, becomes, holds, message, one_container, pod, status_words, took};

/// A pod with one container that runs and has this in its manifest.
async fn running(world: &World, container: &str) -> (PodHandle, mpsc::Receiver<Notice>) {
    world.running(&one_container(&format!("command: [app, wait], {container}"))).await
}

/// Waits until a readiness probe fails with words that begin so.
async fn unhealthy(queue: &mut mpsc::Receiver<Notice>, why: &str) {
    let expected = format!("Readiness probe failed: {why}");
    while !message(queue, "Unhealthy").await.starts_with(&expected) {}
}

async fn gone(world: &World, pod: PodHandle) {
    pod.delete(None);
    pod.finished().await;
    world.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn an_http_server_makes_its_pod_ready() {
    let world = World::new();
    let probe = "ports: [{name: web, containerPort: 8080}], readinessProbe: {httpGet: {port: web, path: 'ready?x', \
                 httpHeaders: [{name: X-Probe, value: please}, {name: Host, value: shop.example}]}, periodSeconds: 1}";
    let (web, _queue) = running(&world, probe).await;
    assert!(!holds(&web.status(), "Ready"));
    let server = Server::http(&world.backend.infra("app"), 8080, |_| status(204));
    becomes(&web, |status| holds(status, "Ready")).await;
    let seen = server.seen()[0].clone();
    assert!(seen.starts_with("/ready?x "), "{seen}");
    for header in ["x-probe=please", "host=shop.example", "user-agent=kube-probe/", "accept=*/*"] {
        assert!(seen.contains(header), "{header} in {seen}");
    }
    gone(&world, web).await;
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_not_looked_at() {
    let world = World::new();
    let probe = "readinessProbe: {httpGet: {port: 443, scheme: HTTPS}, periodSeconds: 1}";
    let (web, mut queue) = running(&world, probe).await;
    let plain = Server::http(&world.backend.infra("app"), 443, |_| status(200));
    let ip = web.status().pod_ip.clone().unwrap();
    unhealthy(&mut queue, &format!("Get \"https://{ip}:443/\": tls: ")).await;
    plain.close().await;
    let server = Server::https(&world.backend.infra("app"), 443);
    becomes(&web, |status| holds(status, "Ready")).await;
    let seen = server.seen()[0].clone();
    assert!(seen.contains(&format!(" host={ip} ")) || seen.ends_with(&format!(" host={ip}")), "{seen}");
    gone(&world, web).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_with_an_error_is_not_ready() {
    let world = World::new();
    let (web, mut queue) = running(&world, "readinessProbe: {httpGet: {port: 80}, periodSeconds: 1}").await;
    let _server = Server::http(&world.backend.infra("app"), 80, |_| status(503));
    let refused = message(&mut queue, "Unhealthy").await;
    let ip = web.status().pod_ip.clone().unwrap();
    let expected =
        format!("Readiness probe failed: Get \"http://{ip}:80/\": dial tcp {ip}:80: connect: connection refused");
    assert_eq!(refused, expected, "before there was a server");
    assert_eq!(
        message(&mut queue, "Unhealthy").await,
        "Readiness probe failed: HTTP probe failed with statuscode: 503"
    );
    gone(&world, web).await;
}

#[tokio::test(start_paused = true)]
async fn a_container_that_stops_to_answer_is_killed_and_restarted() {
    let world = World::new();
    let manifest =
        pod("containers: [{name: app, image: 'file:app.wasm', command: [app, ignore], livenessProbe: {httpGet: \
                        {port: 80}, initialDelaySeconds: 1, periodSeconds: 2, failureThreshold: 2, \
                        terminationGracePeriodSeconds: 3}}]");
    let (web, mut queue) = world.running(&manifest).await;
    let code = Arc::new(AtomicU16::new(200));
    let answer = Arc::clone(&code);
    let _server = Server::http(&world.backend.infra("app"), 80, move |_| status(answer.load(Ordering::Relaxed)));
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert_eq!(status_words(&web.status()), "Running app=running");
    code.store(500, Ordering::Relaxed);
    let killing = message(&mut queue, "Killing").await;
    assert_eq!(killing, "Container app failed liveness probe, will be restarted");
    becomes(&web, |status| status.container_statuses.as_ref().is_some_and(|all| all[0].restart_count == 1)).await;
    let last = web.status().container_statuses.as_ref().unwrap()[0].last_state.clone().unwrap().terminated.unwrap();
    assert_eq!(last.exit_code, 137);
    gone(&world, web).await;
}

#[tokio::test(start_paused = true)]
async fn redirects_are_followed_on_the_same_host_only() {
    let world = World::new();
    let probe = "readinessProbe: {httpGet: {port: 80, path: /start}, periodSeconds: 1}";
    let (web, mut queue) = running(&world, probe).await;
    let server = Server::http(&world.backend.infra("app"), 80, |path| match path {
        "/start" => redirect("/next"),
        _ => status(200),
    });
    becomes(&web, |status| holds(status, "Ready")).await;
    assert!(server.seen().iter().any(|seen| seen.starts_with("/next ")), "{:?}", server.seen());
    server.close().await;
    let _server = Server::http(&world.backend.infra("app"), 80, |_| redirect("http://elsewhere.example/"));
    let warning = message(&mut queue, "ProbeWarning").await;
    assert_eq!(warning, "Readiness probe warning: Probe terminated redirects, Response body: elsewhere");
    gone(&world, web).await;
}

#[tokio::test(start_paused = true)]
async fn redirects_without_an_end_are_a_warning() {
    let world = World::new();
    let (web, mut queue) = running(&world, "readinessProbe: {httpGet: {port: 80}, periodSeconds: 1}").await;
    let server = Server::http(&world.backend.infra("app"), 80, |_| redirect("/again"));
    assert_eq!(message(&mut queue, "ProbeWarning").await, "Readiness probe warning: Probe terminated redirects");
    becomes(&web, |status| holds(status, "Ready")).await;
    assert_eq!(server.seen().len(), 11, "the first, and ten redirects");
    gone(&world, web).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_fails_in_time() {
    let world = World::new();
    let probe = "readinessProbe: {httpGet: {port: 80}, timeoutSeconds: 2, initialDelaySeconds: 1}";
    let (web, mut queue) = running(&world, probe).await;
    let _server = Server::silent(&world.backend.infra("app"), 80);
    let failed = message(&mut queue, "Unhealthy").await;
    assert!(failed.ends_with("context deadline exceeded (Client.Timeout exceeded while awaiting headers)"), "{failed}");
    gone(&world, web).await;
}

#[tokio::test(start_paused = true)]
async fn a_long_answer_is_not_read_to_its_end() {
    let world = World::new();
    let (web, mut queue) = running(&world, "readinessProbe: {httpGet: {port: 80}, periodSeconds: 1}").await;
    let _server = Server::http(&world.backend.infra("app"), 80, |_| {
        http::Response::builder().status(300).body("x".repeat(1 << 20)).unwrap()
    });
    let warning = message(&mut queue, "ProbeWarning").await;
    assert!(warning.len() < 1100 && warning.ends_with("x…"), "{}", warning.len());
    gone(&world, web).await;
}

#[tokio::test(start_paused = true)]
async fn a_port_that_the_container_does_not_have_is_no_result() {
    let world = World::new();
    let (web, mut queue) = running(&world, "livenessProbe: {tcpSocket: {port: web}, failureThreshold: 1}").await;
    let errored = message(&mut queue, "Unhealthy").await;
    assert!(
        errored.starts_with("Liveness probe errored and resulted in unknown state: the container has no port"),
        "{errored}"
    );
    assert_eq!(status_words(&web.status()), "Running app=running");
    gone(&world, web).await;
}

#[tokio::test(start_paused = true)]
async fn tcp_connects() {
    let world = World::new();
    let (web, mut queue) = running(&world, "readinessProbe: {tcpSocket: {port: 5432}, periodSeconds: 1}").await;
    let refused = message(&mut queue, "Unhealthy").await;
    assert!(refused.starts_with("Readiness probe failed: dial tcp 10.87."), "{refused}");
    let _server = Server::silent(&world.backend.infra("app"), 5432);
    becomes(&web, |status| holds(status, "Ready")).await;
    gone(&world, web).await;
}

#[tokio::test(start_paused = true)]
async fn grpc_asks_the_health_service() {
    let world = World::new();
    let probe = "readinessProbe: {grpc: {port: 9090, service: shop}, periodSeconds: 1}";
    let (web, mut queue) = running(&world, probe).await;
    let refused = message(&mut queue, "Unhealthy").await;
    assert!(refused.contains("error: failed to connect service at \"10.87."), "{refused}");
    let unknown = Server::health(&world.backend.infra("app"), 9090, None);
    unhealthy(&mut queue, "error: this server does not implement the grpc health protocol").await;
    unknown.close().await;
    let not_serving = Server::health(&world.backend.infra("app"), 9090, Some(2));
    unhealthy(&mut queue, "service unhealthy (responded with \"NOT_SERVING\")").await;
    not_serving.close().await;
    let serving = Server::health(&world.backend.infra("app"), 9090, Some(1));
    becomes(&web, |status| holds(status, "Ready")).await;
    assert!(serving.seen()[0].starts_with("/grpc.health.v1.Health/Check "), "{:?}", serving.seen());
    gone(&world, web).await;
}

#[tokio::test(start_paused = true)]
async fn exec_runs_a_program_in_the_container() {
    let world = World::new();
    let probe = |command: &str| {
        one_container(&format!(
            "command: [app, wait], readinessProbe: {{exec: {{command: {command}}}, periodSeconds: 1}}"
        ))
    };
    let (ready, _queue) = world.start_unlisted(&probe("[end, '0', fine]"));
    becomes(&ready, |status| holds(status, "Ready")).await;
    assert_eq!(world.backend.execs()[0], "end 0 fine");
    gone(&world, ready).await;
    for (command, expected) in [
        ("[end, '3', no such table]", "Readiness probe failed: no such table\n"),
        ("[hang]", "Readiness probe failed: command timed out: \"hang\" timed out after 1s"),
        ("[missing]", "Readiness probe errored and resulted in unknown state: exec: \"missing\": not found"),
    ] {
        let (pod, mut queue) = world.start_unlisted(&probe(command));
        assert_eq!(message(&mut queue, "Unhealthy").await, expected, "{command}");
        assert!(!holds(&pod.status(), "Ready"));
        gone(&world, pod).await;
    }
}

/// The pod `liveness-exec` of Kubernetes' documentation, with its own times.
#[tokio::test(start_paused = true)]
async fn a_file_that_goes_away_after_thirty_seconds_restarts_its_container() {
    let world = World::new();
    let manifest =
        pod("containers: [{name: liveness, image: 'file:app.wasm', command: [app, say /healthy x, sleep 30, \
                        remove /healthy, sleep 600], livenessProbe: {exec: {command: [cat, /healthy]}, \
                        initialDelaySeconds: 5, periodSeconds: 5}}]");
    let (web, mut queue) = world.start_unlisted(&manifest);
    becomes(&web, |status| status.phase.as_deref() == Some("Running")).await;
    let (failed, until_failed) = took(message(&mut queue, "Unhealthy")).await;
    assert_eq!(failed, "Liveness probe failed: cat: can't open '/healthy'\n");
    let (killing, until_killed) = took(message(&mut queue, "Killing")).await;
    assert_eq!(killing, "Container liveness failed liveness probe, will be restarted");
    let seconds = |time: std::time::Duration| time.as_secs_f64().round();
    assert!([30.0, 35.0].contains(&seconds(until_failed)), "{until_failed:?}");
    assert_eq!(seconds(until_killed), 10.0, "the third failure in a row");
    becomes(&web, |status| status.container_statuses.as_ref().is_some_and(|all| all[0].restart_count == 1)).await;
    gone(&world, web).await;
}

#[tokio::test(start_paused = true)]
async fn readiness_gates_are_opened_from_outside() {
    let world = World::new();
    let manifest = pod("readinessGates: [{conditionType: example.com/lb}], containers: [{name: app, image: \
                        'file:app.wasm', command: [app, wait]}]");
    let (web, _queue) = world.running(&manifest).await;
    assert!(holds(&web.status(), "ContainersReady") && !holds(&web.status(), "Ready"));
    let status = ConditionStatus::True;
    web.set_condition(GateCondition { kind: "example.com/lb".into(), status, reason: None, message: None });
    becomes(&web, |status| holds(status, "Ready") && holds(status, "example.com/lb")).await;
    gone(&world, web).await;
}
