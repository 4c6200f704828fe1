//! What changes while a pod runs, and what does not.

use std::sync::Arc;

use tokio::sync::mpsc;

use nacelle_node::{Notice, PodHandle};

use crate::fake::read;
use crate::world::{World, parse, words};

fn manifest(label: &str, value: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: web, labels: {{tier: {label}}}}}, spec: {{\
         terminationGracePeriodSeconds: 0, containers: [{{name: app, image: 'file:app.wasm', command: [app, wait], \
         env: [{{name: KEY, valueFrom: {{configMapKeyRef: {{name: settings, key: key}}}}}}], \
         volumeMounts: [{{name: settings, mountPath: /settings}}, {{name: settings, mountPath: /one, subPath: key}}, \
         {{name: labels, mountPath: /labels}}]}}], volumes: [{{name: settings, configMap: {{name: settings}}}}, \
         {{name: labels, downwardAPI: {{items: [{{path: labels, fieldRef: {{fieldPath: metadata.labels}}}}]}}}}]}}}}\n---\n\
         {{apiVersion: v1, kind: ConfigMap, metadata: {{name: settings}}, data: {{key: {value}}}}}"
    )
}

fn update(pod: &PodHandle, manifest: &str) {
    let (new, objects) = parse(manifest);
    pod.update(&new, Arc::new(objects));
}

/// Waits until the file reads so; every other task runs in between.
async fn reads(world: &World, path: &str, expected: &str) {
    let infra = world.backend.infra("app");
    for _ in 0..10_000 {
        if read(&infra, path) == expected {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    panic!("{path} is {:?}, not {expected:?}", read(&infra, path));
}

#[tokio::test(start_paused = true)]
async fn volumes_show_the_latest_and_sub_paths_what_was() {
    let world = World::new();
    let (pod, _queue) = world.running(&manifest("old", "before")).await;
    assert_eq!(read(&world.backend.infra("app"), "/settings/key"), "before");
    assert_eq!(read(&world.backend.infra("app"), "/labels/labels"), "tier=\"old\"");

    update(&pod, &manifest("new", "after"));
    reads(&world, "/settings/key", "after").await;
    reads(&world, "/labels/labels", "tier=\"new\"").await;
    assert_eq!(read(&world.backend.infra("app"), "/one"), "before");
    pod.delete(None);
    pod.finished().await;
    world.assert_clean();
}

async fn next_event(queue: &mut mpsc::Receiver<Notice>, wanted: &str) -> String {
    loop {
        let notice = queue.recv().await.unwrap();
        if let (true, Notice::Event { event, .. }) = (words(&notice) == wanted, &notice) {
            return event.message.clone();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_volume_whose_object_is_gone_keeps_what_it_shows_and_says_so() {
    let world = World::new();
    let (pod, mut queue) = world.running(&manifest("old", "before")).await;
    let without = manifest("new", "x").split("\n---\n").next().unwrap().to_owned();
    update(&pod, &without);
    let message = next_event(&mut queue, "event FailedMount pod").await;
    assert!(message.starts_with("MountVolume.SetUp failed for volume \"settings\" : "), "{message}");
    reads(&world, "/labels/labels", "tier=\"new\"").await;
    assert_eq!(read(&world.backend.infra("app"), "/settings/key"), "before");
    pod.delete(None);
    pod.finished().await;
}

#[tokio::test(start_paused = true)]
async fn a_container_that_starts_again_has_the_latest_environment() {
    let world = World::new();
    let first = manifest("old", "before").replace("command: [app, wait]", "command: [app, exit 1]");
    let (pod, _queue) = world.start(&first, crate::world::ROOMY);
    world.backend.creations.subscribe().wait_for(|count| *count == 1).await.unwrap();
    update(&pod, &manifest("new", "after").replace("command: [app, wait]", "command: [app, exit 1]"));
    world.backend.creations.subscribe().wait_for(|count| *count >= 3).await.unwrap();
    let configs = world.backend.configs();
    let value = |index: usize| configs[index].env.iter().find(|(name, _)| name == "KEY").unwrap().1.clone();
    assert_eq!((value(0).as_str(), value(2).as_str()), ("before", "after"));
    pod.delete(None);
    pod.finished().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_container_may_know_of_its_pod_is_the_latest() {
    let world = World::new();
    let (pod, _queue) = world.running(&manifest("old", "x")).await;
    let mut info = world.backend.infra("app").info;
    let first = info.borrow_and_update().clone();
    assert_eq!(
        (first.name.as_str(), first.namespace.as_str(), first.labels["tier"].as_str()),
        ("web", "default", "old")
    );
    assert!(!first.uid.is_empty() && !first.node_name.is_empty(), "{first:?}");
    update(&pod, &manifest("new", "x"));
    let latest = info.wait_for(|info| info.labels["tier"] == "new").await.unwrap().clone();
    assert_eq!(latest.uid, first.uid);
    pod.delete(None);
    pod.finished().await;
    world.assert_clean();
}
