//! Deleting pods that are in the middle of something.

use std::time::Duration;

use tokio::net::TcpListener;

use crate::world::{ROOMY, World, becomes, one_container, pod, status_words, told, took};

fn waits_for(status: &nacelle_spec::k8s_openapi::api::core::v1::PodStatus, reason: &str) -> bool {
    status_words(status).ends_with(&format!("={reason}"))
}

#[tokio::test(start_paused = true)]
async fn while_a_container_is_being_created() {
    let world = World::new();
    let (pod, mut queue) = world.start(&one_container("command: [app, hang-create]"), ROOMY);
    world.backend.creations.subscribe().wait_for(|count| *count == 1).await.unwrap();
    pod.delete(None);
    let (status, time) = took(pod.finished()).await;
    assert_eq!(status.phase.as_deref(), Some("Failed"));
    assert_eq!(time, Duration::ZERO);
    assert!(told(&mut queue).await.contains(&"event Failed app".to_owned()));
    world.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn at_any_moment_of_a_start() {
    // Each yield lets the pod come a little further.
    for moment in (0..400).step_by(10) {
        let world = World::new();
        let (pod, mut queue) = world.start(&one_container("command: [app, write x, wait]"), ROOMY);
        for _ in 0..moment {
            tokio::task::yield_now().await;
        }
        pod.delete(Some(Duration::from_secs(10)));
        let (status, time) = took(pod.finished()).await;
        assert_eq!((status.phase.as_deref(), time), (Some("Failed"), Duration::ZERO), "moment {moment}");
        told(&mut queue).await;
        world.assert_clean();
    }
}

/// Of an image in a registry that takes connections and says nothing.
async fn silent_registry() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let image = format!("{}/team/app:1", listener.local_addr().unwrap());
    (listener, image)
}

#[tokio::test]
async fn while_an_image_is_being_pulled() {
    let world = World::new();
    let (registry, image) = silent_registry().await;
    let (pod, mut queue) = world.start(&pod(&format!("containers: [{{name: app, image: '{image}'}}]")), ROOMY);
    let _connection = registry.accept().await.unwrap();
    pod.delete(None);
    assert_eq!(pod.finished().await.phase.as_deref(), Some("Failed"));
    told(&mut queue).await;
    world.assert_clean();
}

#[tokio::test]
async fn while_the_image_of_a_volume_is_being_pulled() {
    let world = World::new();
    let (registry, image) = silent_registry().await;
    let manifest = pod(&format!(
        "containers: [{{name: app, image: 'file:app.wasm'}}], volumes: [{{name: data, image: {{reference: '{image}'}}}}]"
    ));
    let (pod, mut queue) = world.start(&manifest, ROOMY);
    let _connection = registry.accept().await.unwrap();
    pod.delete(None);
    assert_eq!(pod.finished().await.phase.as_deref(), Some("Failed"));
    told(&mut queue).await;
    world.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn while_it_waits_to_pull_again() {
    let world = World::new();
    let (pod, _queue) = world.start(&pod("containers: [{name: app, image: 'file:missing.wasm'}]"), ROOMY);
    becomes(&pod, |status| waits_for(status, "ImagePullBackOff") || waits_for(status, "ErrImagePull")).await;
    pod.delete(None);
    let (status, time) = took(pod.finished()).await;
    assert_eq!((status.phase.as_deref(), time), (Some("Failed"), Duration::ZERO));
    world.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn while_it_waits_to_restart() {
    let world = World::new();
    let (pod, _queue) =
        world.start(&pod("containers: [{name: app, image: 'file:app.wasm', command: [app, exit 1]}]"), ROOMY);
    becomes(&pod, |status| waits_for(status, "CrashLoopBackOff")).await;
    pod.delete(None);
    let (status, time) = took(pod.finished()).await;
    assert_eq!((status_words(&status).as_str(), time), ("Failed app=exit 1", Duration::ZERO));
    world.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn while_its_volumes_cannot_be_made() {
    let world = World::new();
    let manifest = pod("containers: [{name: app, image: 'file:app.wasm'}], \
                        volumes: [{name: settings, configMap: {name: missing}}]");
    let (pod, mut queue) = world.start(&manifest, ROOMY);
    while crate::world::words(&queue.recv().await.unwrap()) != "event FailedMount pod" {}
    pod.delete(None);
    assert_eq!(pod.finished().await.phase.as_deref(), Some("Failed"));
    world.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn twice_with_less_time() {
    let world = World::new();
    let (pod, _queue) = world.start(&one_container("command: [app, ignore]"), ROOMY);
    becomes(&pod, |status| status.phase.as_deref() == Some("Running")).await;
    pod.delete(Some(Duration::from_secs(1000)));
    tokio::time::sleep(Duration::from_secs(5)).await;
    pod.delete(Some(Duration::from_secs(3)));
    // More time than before changes nothing.
    pod.delete(Some(Duration::from_secs(500)));
    let (status, time) = took(pod.finished()).await;
    assert_eq!(status_words(&status), "Failed app=exit 137");
    assert!(time >= Duration::from_secs(3) && time < Duration::from_secs(4), "{time:?}");
    // The guest was told, too.
    let graces: Vec<_> = world.backend.graces.lock().unwrap().iter().map(Duration::as_secs).collect();
    assert_eq!(graces, [1000, 3]);
    world.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_obeys_is_not_killed() {
    let world = World::new();
    let (pod, _queue) = world.start(&one_container("command: [app, wait]"), ROOMY);
    becomes(&pod, |status| status.phase.as_deref() == Some("Running")).await;
    pod.delete(None);
    let (status, time) = took(pod.finished()).await;
    assert_eq!((status_words(&status).as_str(), time), ("Failed app=exit 143", Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn while_an_init_container_runs() {
    let world = World::new();
    let manifest = pod("initContainers: [{name: first, image: 'file:app.wasm', command: [app, wait]}, \
                        {name: second, image: 'file:app.wasm'}], containers: [{name: app, image: 'file:app.wasm'}]");
    let (pod, _queue) = world.start(&manifest, ROOMY);
    world.backend.creations.subscribe().wait_for(|count| *count == 1).await.unwrap();
    pod.delete(None);
    let (status, time) = took(pod.finished()).await;
    assert_eq!((status.phase.as_deref(), time), (Some("Failed"), Duration::ZERO));
    assert_eq!(world.backend.configs().len(), 1, "nothing follows");
    world.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn what_a_pre_stop_hook_leaves_is_what_the_guest_is_told_of() {
    // At least two seconds.
    for (sleep, left) in [(10, 20), (29, 2)] {
        let world = World::new();
        let hook = format!("command: [app, ignore], lifecycle: {{preStop: {{sleep: {{seconds: {sleep}}}}}}}");
        let manifest = pod(&format!(
            "terminationGracePeriodSeconds: 30, containers: [{{name: app, image: 'file:app.wasm', {hook}}}]"
        ));
        let (pod, _queue) = world.running(&manifest).await;
        pod.delete(None);
        pod.finished().await;
        let graces: Vec<_> = world.backend.graces.lock().unwrap().iter().map(Duration::as_secs).collect();
        assert_eq!(graces, [left], "a hook of {sleep} s");
    }
}
