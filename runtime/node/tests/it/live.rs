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

/// A pod with a Secret's volume and one projected from all that can change, and the objects; without the Secret if `secret`
/// is none.
fn projected(label: &str, config: &str, secret: Option<&str>) -> String {
    let secret = secret.map_or_else(String::new, |value| {
        format!("\n---\n{{apiVersion: v1, kind: Secret, metadata: {{name: keys}}, stringData: {{token: {value}}}}}")
    });
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: web, labels: {{tier: {label}}}}}, spec: {{\
         terminationGracePeriodSeconds: 0, containers: [{{name: app, image: 'file:app.wasm', command: [app, wait], \
         volumeMounts: [{{name: keys, mountPath: /keys}}, {{name: keys, mountPath: /one, subPath: token}}, \
         {{name: all, mountPath: /all}}]}}], volumes: [{{name: keys, secret: {{secretName: keys}}}}, \
         {{name: all, projected: {{sources: [{{secret: {{name: keys, items: [{{key: token, path: deep/token}}]}}}}, \
         {{configMap: {{name: settings}}}}, \
         {{downwardAPI: {{items: [{{path: labels, fieldRef: {{fieldPath: metadata.labels}}}}]}}}}]}}}}]}}}}\n---\n\
         {{apiVersion: v1, kind: ConfigMap, metadata: {{name: settings}}, data: {{key: {config}}}}}{secret}"
    )
}

#[tokio::test(start_paused = true)]
async fn secrets_and_projected_volumes_show_the_latest() {
    let world = World::new();
    let (pod, _queue) = world.running(&projected("old", "before", Some("first"))).await;
    let shown = || {
        let infra = world.backend.infra("app");
        ["/keys/token", "/all/deep/token", "/all/key", "/all/labels"].map(|path| read(&infra, path))
    };
    assert_eq!(shown(), ["first", "first", "before", "tier=\"old\""]);

    // One source after the other: the rest of the volume stays.
    update(&pod, &projected("old", "before", Some("second")));
    reads(&world, "/keys/token", "second").await;
    reads(&world, "/all/deep/token", "second").await;
    assert_eq!(shown()[2..], ["before", "tier=\"old\""]);
    update(&pod, &projected("old", "after", Some("second")));
    reads(&world, "/all/key", "after").await;
    update(&pod, &projected("new", "after", Some("second")));
    reads(&world, "/all/labels", "tier=\"new\"").await;
    assert_eq!(shown(), ["second", "second", "after", "tier=\"new\""]);
    assert_eq!(read(&world.backend.infra("app"), "/one"), "first");
    pod.delete(None);
    pod.finished().await;
    world.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn without_its_secret_a_volume_keeps_all_that_it_shows() {
    let world = World::new();
    let (pod, mut queue) = world.running(&projected("old", "before", Some("first"))).await;
    update(&pod, &projected("new", "after", None));
    // Of both volumes, in any order.
    let mut messages = Vec::new();
    for _ in 0..2 {
        messages.push(next_event(&mut queue, "event FailedMount pod").await);
    }
    for volume in ["keys", "all"] {
        let start = format!("MountVolume.SetUp failed for volume \"{volume}\" : ");
        let is_said =
            messages.iter().any(|message| message.starts_with(&start) && message.contains("\"keys\" not found"));
        assert!(is_said, "{messages:?}");
    }
    let infra = world.backend.infra("app");
    let shown = ["/keys/token", "/all/deep/token", "/all/key", "/all/labels"].map(|path| read(&infra, path));
    assert_eq!(shown, ["first", "first", "before", "tier=\"old\""]);
    drop(infra);
    // And goes on when it is there again.
    update(&pod, &projected("new", "after", Some("second")));
    reads(&world, "/keys/token", "second").await;
    reads(&world, "/all/labels", "tier=\"new\"").await;
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
    let before = *world.backend.creations.subscribe().wait_for(|count| *count >= 1).await.unwrap();
    update(&pod, &manifest("new", "after").replace("command: [app, wait]", "command: [app, exit 1]"));
    // The one after may have been under way.
    world.backend.creations.subscribe().wait_for(|count| *count >= before + 2).await.unwrap();
    let configs = world.backend.configs();
    let value = |index: usize| configs[index].env.iter().find(|(name, _)| name == "KEY").unwrap().1.clone();
    assert_eq!((value(0).as_str(), value(before + 1).as_str()), ("before", "after"));
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
