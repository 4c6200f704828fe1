//! Containers that end and come again.

use k8s_openapi::api::core::v1::ContainerStatus;

use crate::world::{ROOMY, World, becomes, entries, one_container, pod, status_words, told};

#[tokio::test(start_paused = true)]
async fn a_crash_loop_counts_its_attempts_and_keeps_logs() {
    let world = World::new();
    let manifest = pod("containers: [{name: app, image: 'file:app.wasm', command: [app, write here, exit 1]}]");
    let (pod, mut queue) = world.start(&manifest, ROOMY);
    let third = |all: &Vec<ContainerStatus>| all[0].restart_count == 3;
    // And has ended, so that what is told of it has been told.
    becomes(&pod, |status| {
        status.container_statuses.as_ref().is_some_and(third) && status_words(status).ends_with("=CrashLoopBackOff")
    })
    .await;
    let attempts: Vec<_> = world.backend.configs().iter().map(|config| config.id.attempt).collect();
    assert_eq!(attempts, [0, 1, 2, 3]);
    let logs = entries(&world.state("pods").join(pod.reference().uid).join("logs"));
    assert_eq!(logs, ["app-2.log", "app-3.log"], "its own, and that of the one before");
    pod.delete(None);
    assert_eq!(status_words(&*pod.finished().await), "Failed app=exit 1");
    let told = told(&mut queue).await;
    assert_eq!(told.iter().filter(|words| *words == "log app here").count(), 4);
    assert_eq!(told.iter().filter(|words| *words == "event BackOff app").count(), 3, "the first restart is at once");
    world.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn a_container_that_cannot_be_created_is_tried_again() {
    let world = World::new();
    let (pod, _queue) = world.start(&one_container("command: [app, fail-create]"), ROOMY);
    world.backend.creations.subscribe().wait_for(|count| *count == 3).await.unwrap();
    becomes(&pod, |status| status_words(status).ends_with("=CreateContainerError")).await;
    pod.delete(None);
    assert_eq!(pod.finished().await.phase.as_deref(), Some("Failed"));
    world.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn a_program_that_cannot_be_run_is_an_exit() {
    let world = World::new();
    let (status, _) = world.run("command: [app, fail-start]").await;
    assert_eq!(status_words(&status), "Failed app=exit 128");
    world.assert_clean();
}
