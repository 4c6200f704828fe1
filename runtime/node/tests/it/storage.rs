//! Pods that use more storage than they may.

use std::time::Duration;

use crate::world::{ROOMY, World, one_container, pod, status_words, told, took};

#[tokio::test(start_paused = true)]
async fn a_volume_that_is_too_full_evicts_the_pod() {
    let world = World::new();
    // Would be restarted, and takes an hour to stop, in any other case.
    let manifest = pod(
        "terminationGracePeriodSeconds: 3600, containers: [{name: app, image: 'file:app.wasm', command: \
                        [app, fill /scratch/file 2000000, ignore], volumeMounts: [{name: scratch, mountPath: /scratch}]}], \
                        volumes: [{name: scratch, emptyDir: {sizeLimit: 1Mi}}]",
    );
    let (pod, mut queue) = world.start(&manifest, ROOMY);
    let (status, time) = took(pod.finished()).await;
    assert_eq!(status_words(&status), "Failed app=exit 137");
    assert_eq!(status.reason.as_deref(), Some("Evicted"));
    let message = "Usage of EmptyDir volume \"scratch\" exceeds the limit \"1Mi\". ";
    assert_eq!(status.message.as_deref(), Some(message));
    assert!(time < Duration::from_secs(2), "{time:?}");
    assert!(told(&mut queue).await.contains(&"event Evicted pod".to_owned()));
    world.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn a_container_that_fills_its_root_evicts_the_pod() {
    let world = World::new();
    let (status, _) =
        world.run("command: [app, fill /file 2000000, ignore], resources: {limits: {ephemeral-storage: 1Mi}}").await;
    assert_eq!((status.phase.as_deref(), status.reason.as_deref()), (Some("Failed"), Some("Evicted")));
    world.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn a_volume_in_memory_is_full_and_nothing_else() {
    let world = World::new();
    let manifest = pod("restartPolicy: Never, containers: [{name: app, image: 'file:app.wasm', command: [app, fill \
                        /scratch/file 2000000, exit 0], volumeMounts: [{name: scratch, mountPath: /scratch}]}], \
                        volumes: [{name: scratch, emptyDir: {medium: Memory, sizeLimit: 1Mi}}]");
    let (pod, _queue) = world.start(&manifest, ROOMY);
    assert_eq!(status_words(&*pod.finished().await), "Succeeded app=exit 0");
    world.assert_clean();
}

/// Runs a pod to its end while somebody reads what it says; returns `status.message` of an eviction.
async fn evicted(world: &World, manifest: &str) -> String {
    let (pod, mut queue) = world.start(manifest, ROOMY);
    let reader = tokio::spawn(async move { told(&mut queue).await });
    let status = pod.finished().await;
    assert_eq!((status.phase.as_deref(), status.reason.as_deref()), (Some("Failed"), Some("Evicted")));
    assert!(reader.await.unwrap().contains(&"event Evicted pod".to_owned()));
    world.assert_clean();
    status.message.clone().unwrap()
}

#[tokio::test(start_paused = true)]
async fn logs_alone_evict_the_pod() {
    let world = World::new();
    // A record of the log is its line and the time, 37 bytes or more: no file is written.
    let manifest = one_container("command: [app, flood 30000, ignore], resources: {limits: {ephemeral-storage: 1Mi}}");
    let message = evicted(&world, &manifest).await;
    assert_eq!(message, "Container app exceeded its local ephemeral storage limit \"1Mi\". ");
}

#[tokio::test(start_paused = true)]
async fn logs_within_the_limit_evict_nobody() {
    let world = World::new();
    let (status, _) =
        world.run("command: [app, flood 3000, exit 0], resources: {limits: {ephemeral-storage: 1Mi}}").await;
    assert_eq!(status_words(&status), "Succeeded app=exit 0");
}

/// Two containers of at most 1 MiB each, whose roots and whose volume hold so many bytes.
fn of_two(roots: [u32; 2], volume: u32) -> String {
    let limits = "resources: {limits: {ephemeral-storage: 1Mi}}";
    let mounts = "volumeMounts: [{name: scratch, mountPath: /scratch}]";
    pod(&format!(
        "restartPolicy: Never, terminationGracePeriodSeconds: 0, containers: [\
         {{name: one, image: 'file:app.wasm', command: [app, fill /file {}, sleep 60], {limits}}}, \
         {{name: two, image: 'file:app.wasm', command: [app, fill /file {}, fill /scratch/file {volume}, sleep 60], {limits}, \
         {mounts}}}], volumes: [{{name: scratch, emptyDir: {{}}}}]",
        roots[0], roots[1]
    ))
}

#[tokio::test(start_paused = true)]
async fn what_containers_and_volumes_hold_together_evicts_the_pod() {
    let world = World::new();
    let sum = "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. ";
    // A volume without a limit of its own, and parts of which none is too large.
    assert_eq!(evicted(&world, &of_two([0, 0], 3_000_000)).await, sum);
    assert_eq!(evicted(&world, &of_two([900_000, 900_000], 900_000)).await, sum);
    // All that there is room for.
    let (pod, _queue) = world.start(&of_two([500_000, 500_000], 500_000), ROOMY);
    assert_eq!(status_words(&*pod.finished().await), "Succeeded one=exit 0 two=exit 0");
    world.assert_clean();
}
