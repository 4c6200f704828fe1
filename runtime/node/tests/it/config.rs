//! What a container is given: environment, ports, limits, programs.

use std::time::Duration;

use nacelle_container::{Cpu, Resources};

use crate::world::{ROOMY, World, becomes, message, one_container, pod, status_words, told};

#[tokio::test(start_paused = true)]
async fn a_missing_config_map_holds_a_container_back() {
    let world = World::new();
    let (pod, mut queue) =
        world.start(&one_container("command: [app], envFrom: [{configMapRef: {name: missing}}]"), ROOMY);
    let status = becomes(&pod, |status| status_words(status).ends_with("=CreateContainerConfigError")).await;
    let state = status.container_statuses.as_ref().unwrap()[0].state.clone().unwrap();
    let message = state.waiting.unwrap().message.unwrap();
    assert!(message.contains("configmap \"missing\" not found"), "{message}");
    assert!(world.backend.configs().is_empty());
    pod.delete(None);
    pod.finished().await;
    assert!(told(&mut queue).await.contains(&"event Failed app".to_owned()));
    world.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn what_is_optional_may_be_missing() {
    let world = World::new();
    let (status, _) = world
        .run(
            "command: [app], envFrom: [{secretRef: {name: missing, optional: true}}], \
             env: [{name: A, valueFrom: {configMapKeyRef: {name: missing, key: a, optional: true}}}, {name: B, value: b}]",
        )
        .await;
    assert_eq!(status.phase.as_deref(), Some("Succeeded"));
    assert_eq!(world.backend.configs()[0].env, pairs(&[("HOSTNAME", "web"), ("B", "b")]));
}

#[tokio::test(start_paused = true)]
async fn the_manifest_has_the_last_word_on_the_environment() {
    let world = World::new();
    world
        .run(
            "command: [app, '$(A)', '$(HOSTNAME)'], \
             env: [{name: A, value: one}, {name: HOSTNAME, value: mine}, {name: A, value: two}, {name: C, value: $(A)}]",
        )
        .await;
    let config = &world.backend.configs()[0];
    assert_eq!(config.env, pairs(&[("HOSTNAME", "mine"), ("A", "two"), ("C", "two")]));
    assert_eq!(config.argv, ["app", "two", "mine"]);
    assert_eq!(config.hostname, "web");
}

#[tokio::test(start_paused = true)]
async fn http_is_served_on_the_port_that_the_manifest_names() {
    let world = World::new();
    let ports = [
        ("", 8080),
        (", ports: [{containerPort: 53, protocol: UDP}, {containerPort: 81}, {containerPort: 82}]", 81),
        (", ports: [{containerPort: 81}, {containerPort: 82, name: http}]", 82),
    ];
    for (ports, _) in ports {
        world.run(&format!("command: [app]{ports}")).await;
    }
    let served: Vec<_> = world.backend.configs().iter().map(|config| config.http.port).collect();
    assert_eq!(served, ports.map(|(_, port)| port));
}

#[tokio::test(start_paused = true)]
async fn annotations_say_how_http_is_served() {
    let world = World::new();
    let manifest = one_container("command: [app]").replace(
        "name: web}",
        "name: web, annotations: {nacelle.dev/http-reuse: '50', nacelle.dev/access-log: 'true'}}",
    );
    let (pod, _queue) = world.start(&manifest, ROOMY);
    pod.finished().await;
    let http = world.backend.configs()[0].http;
    assert_eq!((http.reuse.map(std::num::NonZero::get), http.access_log), (Some(50), true));
}

#[tokio::test(start_paused = true)]
async fn an_empty_word_and_a_limit_of_zero_are_none() {
    let world = World::new();
    world.run("command: [app], workingDir: '', resources: {limits: {memory: 0, cpu: 0}}").await;
    world.run("args: [x], workingDir: /data, resources: {limits: {memory: 64Mi, cpu: 250m}}").await;
    let configs = world.backend.configs();
    assert_eq!(
        (configs[0].working_dir.as_str(), configs[0].resources.memory, configs[0].resources.cpu.limit_millis),
        ("/", None, None)
    );
    assert_eq!(configs[1].working_dir, "/data");
    assert_eq!((configs[1].resources.memory, configs[1].resources.cpu.limit_millis), (Some(64 << 20), Some(250)));
    assert_eq!(configs[1].argv, ["app.wasm", "x"]);
}

#[tokio::test(start_paused = true)]
async fn requests_are_weights_and_limits_quotas() {
    let world = World::new();
    let asks = "resources: {requests: {cpu: 100m}, limits: {cpu: 250m, nacelle.dev/fuel: 5M}}";
    let (status, _) = world.run(&format!("command: [app], {asks}")).await;
    let config = &world.backend.configs()[0];
    let cpu = Cpu { limit_millis: Some(250), request_millis: 100 };
    assert_eq!(config.resources, Resources { cpu, fuel: Some(5_000_000), ..Resources::default() });
    // Every container has a limit, so that the pod has their sum.
    assert_eq!(config.pod_cpu, cpu);
    let shown = status.container_statuses.as_ref().unwrap()[0].resources.clone().unwrap();
    assert_eq!(shown.limits.unwrap()["nacelle.dev/fuel"].0, "5M");
    assert_eq!(status.qos_class.as_deref(), Some("Burstable"));

    let limited = crate::world::pod(
        "restartPolicy: Never, resources: {requests: {cpu: 1}, limits: {cpu: 2}}, containers: [{name: app, image: \
         'file:app.wasm', command: [app]}]",
    );
    let (pod, _queue) = world.start(&limited, ROOMY);
    pod.finished().await;
    let config = &world.backend.configs()[1];
    assert_eq!(config.resources, Resources::default());
    assert_eq!(config.pod_cpu, Cpu { limit_millis: Some(2000), request_millis: 1000 });
}

#[tokio::test(start_paused = true)]
async fn a_guest_without_fuel_left_has_failed() {
    let world = World::new();
    let (status, _) = world.run("command: [app, exhaust], resources: {limits: {nacelle.dev/fuel: 1k}}").await;
    assert_eq!(status_words(&status), "Failed app=exit 152");
    let state = status.container_statuses.as_ref().unwrap()[0].state.clone().unwrap().terminated.unwrap();
    assert_eq!(state.reason.as_deref(), Some("FuelExhausted"));
    assert_eq!(state.message.as_deref(), Some("the guest executed all of its 1000 units of fuel"));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_the_pod() {
    let world = World::new();
    let manifest = crate::world::pod(
        "activeDeadlineSeconds: 10, restartPolicy: Never, terminationGracePeriodSeconds: 5, \
         containers: [{name: app, image: 'file:app.wasm', command: [app, ignore]}]",
    );
    let (pod, mut queue) = world.start(&manifest, ROOMY);
    let (status, time) = crate::world::took(pod.finished()).await;
    assert_eq!(
        (status_words(&status).as_str(), status.reason.as_deref()),
        ("Failed app=exit 137", Some("DeadlineExceeded"))
    );
    assert!(time >= Duration::from_secs(15) && time < Duration::from_secs(16), "{time:?}");
    assert!(told(&mut queue).await.contains(&"event DeadlineExceeded pod".to_owned()));
    world.assert_clean();
}

fn pairs(env: &[(&str, &str)]) -> Vec<(String, String)> {
    env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_is_no_process_is_told_that_it_shares_none() {
    let world = World::new();
    // Kubernetes takes no pod with both `hostPID` and `shareProcessNamespace`.
    let cases = [
        ("shareProcessNamespace: true", "shareProcessNamespace"),
        ("hostPID: true, hostIPC: true", "hostPID, hostIPC"),
    ];
    for (spec, fields) in cases {
        // Of two containers each is told, and none again when it is restarted.
        let container = |name, word| format!("{{name: {name}, image: 'file:app.wasm', command: [app, {word}]}}");
        let (one, two) = (container("one", "exit 1"), container("two", "wait"));
        let manifest = pod(&format!("{spec}, terminationGracePeriodSeconds: 0, containers: [{one}, {two}]"));
        let (pod, mut queue) = world.start(&manifest, ROOMY);
        let mut told_of = [message(&mut queue, "NoEffect").await, message(&mut queue, "NoEffect").await];
        told_of.sort();
        let expected = ["one", "two"].map(|name| {
            format!(
                "{fields} of container {name}: without effect on a WebAssembly guest, which is no process and makes no \
                 system calls"
            )
        });
        assert_eq!(told_of, expected);
        becomes(&pod, |status| status.container_statuses.iter().flatten().any(|one| one.restart_count > 0)).await;
        pod.delete(None);
        pod.finished().await;
        assert!(!told(&mut queue).await.contains(&"event NoEffect pod".to_owned()));
    }
    let (status, told) = world.run("command: [app, exit 0]").await;
    assert_eq!(status_words(&status), "Succeeded app=exit 0");
    assert!(!told.contains(&"event NoEffect pod".to_owned()), "{told:?}");
    world.assert_clean();
}
