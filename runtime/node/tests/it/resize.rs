//! In-place resize (KEP-1287).

use std::time::Duration;

use nacelle_container::{Cpu, Resources};
use nacelle_node::PodHandle;
use nacelle_spec::k8s_openapi::api::core::v1::PodStatus;

use crate::fake::{Given, read};
use crate::world::{World, becomes, parse, pod, took};

/// A pod that runs until it is stopped, with these resources; `container` is the rest of the container.
fn manifest(resources: &str, container: &str) -> String {
    pod(&format!(
        "terminationGracePeriodSeconds: 5, containers: [{{name: app, image: 'file:app.wasm', command: [app, wait], \
         resources: {{{resources}}}{container}}}], volumes: [{{name: limits, downwardAPI: {{items: [{{path: cpu, \
         resourceFieldRef: {{containerName: app, resource: limits.cpu, divisor: 1m}}}}]}}}}]"
    ))
}

const SMALL: &str = "requests: {cpu: 100m, memory: 64Mi}, limits: {cpu: 200m, memory: 128Mi}";
const MORE_CPU: &str = "requests: {cpu: 150m, memory: 64Mi}, limits: {cpu: 400m, memory: 128Mi}";
const LESS_MEMORY: &str = "requests: {cpu: 100m, memory: 32Mi}, limits: {cpu: 300m, memory: 64Mi}";

fn resize(pod: &PodHandle, manifest: &str) -> bool {
    pod.resize(&parse(manifest).0).expect("an allowed resize")
}

fn condition(status: &PodStatus, kind: &str) -> Option<String> {
    let condition = status.conditions.iter().flatten().find(|condition| condition.type_ == kind)?;
    let message = condition.message.as_deref().unwrap_or_default();
    Some(format!("{} {message}", condition.reason.as_deref().unwrap_or_default()))
}

/// The container's cpu limit.
fn limit(status: &PodStatus) -> String {
    let resources = status.container_statuses.as_ref().unwrap()[0].resources.clone().unwrap();
    resources.limits.unwrap()["cpu"].0.clone()
}

/// The pod has what it shall have.
fn settled(status: &PodStatus, generation: i64) -> bool {
    let resizes = ["PodResizePending", "PodResizeInProgress"];
    status.observed_generation == Some(generation) && resizes.iter().all(|kind| condition(status, kind).is_none())
}

async fn end(world: &World, pod: &PodHandle) {
    pod.delete(None);
    pod.finished().await;
    world.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn a_running_container_gets_other_limits() {
    let world = World::new();
    let mounts = ", env: [{name: CPU, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 1m}}}], volumeMounts: \
                  [{name: limits, mountPath: /limits}]";
    let (pod, _queue) = world.running(&manifest(SMALL, mounts)).await;
    assert_eq!((pod.status().observed_generation, limit(&pod.status())), (Some(1), "200m".to_owned()));
    assert!(!resize(&pod, &manifest(SMALL, mounts)), "nothing changes");
    assert!(resize(&pod, &manifest(MORE_CPU, mounts)));
    let status = becomes(&pod, |status| settled(status, 2)).await;
    let cpu = Cpu { limit_millis: Some(400), request_millis: 150 };
    let resources = Resources { cpu, memory: Some(128 << 20), memory_request: 64 << 20, fuel: None };
    assert_eq!(*world.backend.updates.lock().unwrap(), [Given::Pod(cpu), Given::Container("app".into(), resources)]);
    let container = &status.container_statuses.as_ref().unwrap()[0];
    assert_eq!((limit(&status).as_str(), container.restart_count), ("400m", 0));
    assert_eq!(container.allocated_resources.as_ref().unwrap()["cpu"].0, "150m");

    // The downward API shows it in volumes at once, as in Kubernetes, and not in the environment of what runs.
    let infra = world.backend.infra("app");
    for _ in 0..10_000 {
        if read(&infra, "/limits/cpu") == "400" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(read(&infra, "/limits/cpu"), "400");
    assert!(world.backend.configs()[0].env.contains(&("CPU".to_owned(), "200".to_owned())));
    end(&world, &pod).await;
}

#[tokio::test(start_paused = true)]
async fn a_policy_has_it_started_again() {
    let world = World::new();
    let policy = ", resizePolicy: [{resourceName: cpu, restartPolicy: RestartContainer}]";
    let (pod, _queue) = world.running(&manifest(SMALL, policy)).await;
    let (_, time) = took(async {
        assert!(resize(&pod, &manifest(MORE_CPU, policy)));
        becomes(&pod, |status| settled(status, 2) && status.container_statuses.as_ref().unwrap()[0].ready).await
    })
    .await;
    // No back-off: nothing has failed.
    assert!(time < Duration::from_secs(5), "{time:?}");
    let status = pod.status();
    assert_eq!((limit(&status).as_str(), status.container_statuses.as_ref().unwrap()[0].restart_count), ("400m", 1));
    let cpu = Cpu { limit_millis: Some(400), request_millis: 150 };
    assert_eq!(world.backend.configs()[1].resources.cpu, cpu);
    assert_eq!(*world.backend.updates.lock().unwrap(), [Given::Pod(cpu)]);
    end(&world, &pod).await;
}

#[tokio::test(start_paused = true)]
async fn memory_in_use_holds_all_of_it_up() {
    let world = World::new();
    let (pod, _queue) = world.running(&manifest(SMALL, "")).await;
    *world.backend.in_use.lock().unwrap() = 100 << 20;
    assert!(resize(&pod, &manifest(LESS_MEMORY, "")));
    let status =
        becomes(&pod, |status| condition(status, "PodResizeInProgress").is_some_and(|c| c.starts_with("Error"))).await;
    assert_eq!(
        condition(&status, "PodResizeInProgress").unwrap(),
        "Error cannot decrease memory limits: attempting to set container \"app\" memory limit (67108864) below current \
         usage (104857600)"
    );
    assert_eq!(limit(&status), "200m");
    // What was lowered before the failure has been raised again.
    let pods: Vec<_> = world.backend.updates.lock().unwrap().drain(..).collect();
    let before = Cpu { limit_millis: Some(200), request_millis: 100 };
    assert_eq!(pods, [Given::Pod(Cpu { limit_millis: Some(300), ..before }), Given::Pod(before)]);

    *world.backend.in_use.lock().unwrap() = 10 << 20;
    let (status, time) = took(becomes(&pod, |status| settled(status, 2))).await;
    assert!(time <= Duration::from_secs(10), "{time:?}");
    assert_eq!(limit(&status), "300m");
    end(&world, &pod).await;
}

#[tokio::test(start_paused = true)]
async fn memory_of_the_whole_pod_in_use_holds_it_up_too() {
    let world = World::new();
    let with = |limit: &str| {
        pod(&format!(
            "terminationGracePeriodSeconds: 0, resources: {{requests: {{memory: 1Mi}}, limits: {{memory: {limit}}}}}, \
             containers: [{{name: app, image: 'file:app.wasm', command: [app, fill /scratch/file 4194304, write full, \
             wait], volumeMounts: [{{name: scratch, mountPath: /scratch}}]}}], volumes: [{{name: scratch, emptyDir: \
             {{medium: Memory}}}}]"
        ))
    };
    let (pod, mut queue) = world.running(&with("64Mi")).await;
    while crate::world::words(&queue.recv().await.unwrap()) != "log app full" {}
    assert!(resize(&pod, &with("2Mi")));
    let status =
        becomes(&pod, |status| condition(status, "PodResizeInProgress").is_some_and(|c| c.starts_with("Error"))).await;
    let shown = condition(&status, "PodResizeInProgress").unwrap();
    let expected =
        "Error cannot decrease memory limits: attempting to set pod memory limit (2097152) below current usage (";
    assert!(shown.starts_with(expected), "{shown}");
    assert_eq!(status.resources.clone().unwrap().limits.unwrap()["memory"].0, "64Mi");
    assert!(resize(&pod, &with("32Mi")));
    let status = becomes(&pod, |status| settled(status, 3)).await;
    assert_eq!(status.resources.clone().unwrap().limits.unwrap()["memory"].0, "32Mi");
    end(&world, &pod).await;
}

#[tokio::test(start_paused = true)]
async fn what_the_api_server_would_refuse_is_refused() {
    let world = World::new();
    let (pod, _queue) = world.running(&manifest(SMALL, "")).await;
    let refused = pod.resize(&parse(&manifest("requests: {cpu: 100m, memory: 64Mi}", "")).0).expect_err("refused");
    let refused: Vec<_> = refused.iter().map(ToString::to_string).collect();
    assert_eq!(refused, ["error: spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed"]);
    assert_eq!(pod.status().observed_generation, Some(1));
    end(&world, &pod).await;
}
