//! Hooks of pods whose guests are fake.

use std::time::Duration;

use crate::server::{Server, status};
use crate::world::{World, becomes, message, one_container, pod, status_words, told, took};

fn with_hooks(command: &str, hooks: &str) -> String {
    one_container(&format!("command: [app, {command}], lifecycle: {{{hooks}}}"))
}

#[tokio::test(start_paused = true)]
async fn a_container_runs_once_its_post_start_has_ended() {
    let world = World::new();
    let (web, _queue) = world.start_unlisted(&with_hooks("wait", "postStart: {exec: {command: [end, '0', x]}}"));
    becomes(&web, |status| status_words(status) == "Running app=running").await;
    assert_eq!(world.backend.execs(), ["end 0 x"]);
    let ((), time) = took(async {
        let (pod, _queue) = world.running(&with_hooks("wait", "postStart: {sleep: {seconds: 7}}")).await;
        pod.delete(Some(Duration::ZERO));
        pod.finished().await;
    })
    .await;
    assert_eq!(time, Duration::from_secs(7));
    web.delete(None);
    web.finished().await;
    world.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn a_post_start_that_fails_kills_the_container() {
    let world = World::new();
    let (web, mut queue) = world.start_unlisted(&with_hooks("wait", "postStart: {exec: {command: [end, '1', x]}}"));
    assert_eq!(message(&mut queue, "FailedPostStartHook").await, "PostStartHook failed");
    assert_eq!(message(&mut queue, "Killing").await, "FailedPostStartHook");
    assert_eq!(status_words(&*web.finished().await), "Failed app=exit 143");
    told(&mut queue).await;
    world.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn pre_stop_comes_before_the_stop_and_within_its_period() {
    let world = World::new();
    let (web, _queue) = world.running(&with_hooks("wait", "preStop: {sleep: {seconds: 5}}")).await;
    web.delete(None);
    let (status, time) = took(web.finished()).await;
    assert_eq!((status_words(&status).as_str(), time), ("Failed app=exit 143", Duration::from_secs(5)));
    world.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn pre_stop_speaks_to_the_server_that_it_stops() {
    let world = World::new();
    let (web, _queue) = world.running(&with_hooks("wait", "preStop: {httpGet: {port: 80, path: /quit}}")).await;
    let server = Server::http(&world.backend.infra("app"), 80, |_| status(500));
    web.delete(None);
    let (_, time) = took(web.finished()).await;
    assert_eq!(time, Duration::ZERO, "whatever it answers");
    let seen = server.seen();
    assert!(seen[0].starts_with("/quit ") && seen[0].contains("user-agent=kube-lifecycle/"), "{seen:?}");
    world.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn a_pre_stop_that_takes_too_long_leaves_two_seconds() {
    let world = World::new();
    let manifest = pod("restartPolicy: Never, terminationGracePeriodSeconds: 4, containers: [{name: app, image: \
                        'file:app.wasm', command: [app, ignore], lifecycle: {preStop: {exec: {command: [hang]}}}}]");
    let (web, _queue) = world.start_unlisted(&manifest);
    becomes(&web, |status| status.phase.as_deref() == Some("Running")).await;
    web.delete(None);
    let (status, time) = took(web.finished()).await;
    assert_eq!(status_words(&status), "Failed app=exit 137");
    assert!(time >= Duration::from_secs(6) && time < Duration::from_secs(7), "{time:?}");
    world.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn a_pre_stop_that_fails_does_not_keep_the_container() {
    let world = World::new();
    let (web, mut queue) = world.running(&with_hooks("wait", "preStop: {httpGet: {port: 80}}")).await;
    web.delete(None);
    assert_eq!(message(&mut queue, "FailedPreStopHook").await, "PreStopHook failed");
    let (_, time) = took(web.finished()).await;
    assert_eq!(time, Duration::ZERO);
    world.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_ends_by_itself_ends_its_hooks() {
    let world = World::new();
    let (status, told) = world.run("command: [app, exit 0], lifecycle: {preStop: {sleep: {seconds: 20}}}").await;
    assert_eq!(status_words(&status), "Succeeded app=exit 0");
    assert!(!told.iter().any(|words| words.contains("Hook")), "{told:?}");
    world.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn deletion_at_any_moment_of_a_post_start() {
    for moment in (0..200).step_by(20) {
        let world = World::new();
        let (web, mut queue) =
            world.start(&with_hooks("wait", "postStart: {sleep: {seconds: 9}}"), crate::world::ROOMY);
        for _ in 0..moment {
            tokio::task::yield_now().await;
        }
        web.delete(Some(Duration::from_secs(10)));
        let (status, time) = took(web.finished()).await;
        assert_eq!((status.phase.as_deref(), time), (Some("Failed"), Duration::ZERO), "moment {moment}");
        told(&mut queue).await;
        world.assert_clean();
    }
}
