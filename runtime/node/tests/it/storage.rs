//! Pods that use more storage than they may.

use std::time::Duration;

use crate::world::{ROOMY, World, pod, status_words, told, took};

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
