//! Front ends that are slow, stuck or gone.

use std::time::Duration;

use crate::world::{ROOMY, World, one_container, status_words, told, took, words};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn a_front_end_that_is_gone_holds_up_nothing() {
    let world = World::new();
    let (pod, queue) = world.start(&one_container("command: [app, flood 5000, exit 0]"), 1);
    drop(queue);
    assert_eq!(status_words(&*pod.finished().await), "Succeeded app=exit 0");
    world.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn a_front_end_that_goes_away_frees_a_guest_that_waits_for_it() {
    let world = World::new();
    let (pod, queue) = world.start(&one_container("command: [app, flood 5000, exit 0]"), 1);
    tokio::time::sleep(HOUR).await;
    drop(queue);
    assert_eq!(status_words(&*pod.finished().await), "Succeeded app=exit 0");
}

#[tokio::test(start_paused = true)]
async fn a_front_end_that_pauses_loses_nothing() {
    let world = World::new();
    let (pod, mut queue) = world.start(&one_container("command: [app, flood 2000, exit 0]"), 1);
    tokio::time::sleep(HOUR).await;
    // The driver goes on: the status is there for whoever looks.
    assert_eq!(status_words(&pod.status()), "Running app=running");
    let told = told(&mut queue).await;
    assert_eq!(told.iter().filter(|words| words.starts_with("log")).count(), 2000);
    assert_eq!(told.last().unwrap(), "status Succeeded app=exit 0");
}

#[tokio::test(start_paused = true)]
async fn a_front_end_that_never_reads_cannot_keep_a_pod() {
    for guest in ["flood 5000, exit 0", "flood 5000, wait", "flood 5000, ignore", "write x, ignore"] {
        let world = World::new();
        let (pod, _unread) = world.start(&one_container(&format!("command: [app, {guest}]")), 1);
        tokio::time::sleep(HOUR).await;
        pod.delete(Some(Duration::from_secs(20)));
        let (status, time) = took(pod.finished()).await;
        assert_eq!(status_words(&status), "Failed app=exit 137", "{guest}");
        assert!(time >= Duration::from_secs(20) && time < Duration::from_secs(30), "{guest}: {time:?}");
        world.assert_clean();
    }
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_has_ended_leaves_its_last_lines_unread_when_the_pod_is_killed() {
    let world = World::new();
    let (pod, _unread) = world.start(&one_container("command: [app, flood 10, exit 0]"), 1);
    tokio::time::sleep(HOUR).await;
    pod.delete(Some(Duration::ZERO));
    let (status, time) = took(pod.finished()).await;
    assert_eq!(status_words(&status), "Succeeded app=exit 0");
    assert!(time < Duration::from_secs(10), "{time:?}");
    world.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_over_waits_for_its_front_end_until_it_is_deleted() {
    let world = World::new();
    let (pod, _unread) = world.start(&one_container("command: [app, exit 0]"), 1);
    tokio::time::sleep(HOUR).await;
    assert_eq!(status_words(&pod.status()), "Succeeded app=exit 0");
    world.assert_clean();
    pod.delete(Some(Duration::ZERO));
    pod.finished().await;
}

#[tokio::test(start_paused = true)]
async fn a_front_end_that_is_slow_but_reads_gets_all_of_a_pod_that_is_killed() {
    let world = World::new();
    let (pod, mut queue) = world.start(&one_container("command: [app, flood 50, ignore]"), 1);
    let reader = tokio::spawn(async move {
        let mut told = Vec::new();
        while let Some(notice) = queue.recv().await {
            told.push(words(&notice));
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        told
    });
    // There has been nothing to read for a while.
    tokio::time::sleep(HOUR).await;
    pod.delete(Some(Duration::ZERO));
    let told = reader.await.unwrap();
    assert_eq!(told.iter().filter(|words| words.starts_with("log")).count(), 50);
    assert_eq!(told.last().unwrap(), "status Failed app=exit 137");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_pod_waits_for_its_front_end_until_its_grace_period_is_over() {
    let world = World::new();
    let (pod, mut queue) = world.start(&one_container("command: [app, flood 500, wait]"), 1);
    tokio::time::sleep(HOUR).await;
    pod.delete(Some(HOUR));
    tokio::time::sleep(HOUR / 2).await;
    let told = told(&mut queue).await;
    assert_eq!(told.iter().filter(|words| words.starts_with("log")).count(), 500);
    assert_eq!(told.last().unwrap(), "status Failed app=exit 143");
    assert_eq!(status_words(&*pod.finished().await), "Failed app=exit 143");
    let (other, _queue) = world.start(&one_container("command: [app, exit 0]"), ROOMY);
    assert_eq!(status_words(&*other.finished().await), "Succeeded app=exit 0");
}
