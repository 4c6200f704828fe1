//! What pods use, from the guest to the figures that are shown.

use std::time::Duration;

use nacelle_node::stats::{PodSample, Rates, prometheus, summary};

use crate::world::{ROOMY, World, becomes, one_container, pod, status_words};

fn app(pod: &PodSample) -> (u32, bool, u64) {
    let app = pod.stats.containers.iter().find(|container| container.name == "app").unwrap();
    (app.attempt, app.running, app.stats.cpu.usage_nanos)
}

#[tokio::test(start_paused = true)]
async fn use_is_sampled_while_a_pod_runs_and_kept_when_it_has_gone() {
    let world = World::new();
    let manifest = pod("restartPolicy: Never, containers: [{name: app, image: 'file:app.wasm', command: [app, wait], \
                        resources: {limits: {memory: 64Mi}}, volumeMounts: [{name: scratch, mountPath: /s}]}], \
                        volumes: [{name: scratch, emptyDir: {}}]");
    let (handle, _queue) = world.running(&manifest).await;
    assert_eq!(handle.last_stats(), None);
    let sample = world.node.stats().await;
    let [web] = sample.pods.as_slice() else { panic!("{:?}", sample.pods) };
    assert_eq!((web.info.name.as_str(), web.info.images["app"].as_str()), ("web", "file:app.wasm"));
    assert_eq!(app(web), (0, true, 0));
    let stats = summary::summary(&sample, &Rates::default());
    assert_eq!((stats.node.node_name.as_str(), stats.pods[0].volume[0].name.as_str()), ("here", "scratch"));
    assert_eq!(stats.pods[0].containers[0].memory.as_ref().unwrap().available_bytes, Some(63 << 20));
    let text = prometheus::cadvisor(&sample);
    assert!(text.contains("container_memory_usage_bytes{container=\"app\""), "{text}");

    handle.delete(None);
    handle.finished().await;
    let last = handle.last_stats().unwrap();
    assert_eq!((app(last).1, last.info.uid.as_str()), (false, handle.pod().uid()));
    assert!(world.node.stats().await.pods.is_empty());
    world.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_what_was_used_between_two_samples() {
    let world = World::new();
    let manifest = one_container("command: [app, burn 2000, wait]");
    let (handle, _queue) = world.running(&manifest).await;
    let mut rates = Rates::default();
    rates.observe(&world.node.stats().await);
    // Four seconds later, another one.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let sample = world.node.stats().await;
    rates.observe(&sample);
    let rate = rates.container(handle.pod().uid(), "app").unwrap();
    assert_eq!(rate.nano_cores, 0, "all of it was used before the first sample");
    assert!(rate.window >= Duration::from_secs(4), "{rate:?}");
    assert_eq!(app(&sample.pods[0]).2, 2_000_000_000);
    handle.delete(None);
    handle.finished().await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_begins_the_containers_counters_anew_but_not_the_pods() {
    let world = World::new();
    let manifest = pod("containers: [{name: app, image: 'file:app.wasm', command: [app, burn 3000, exit 1]}]");
    let (handle, _queue) = world.start(&manifest, ROOMY);
    becomes(&handle, |status| {
        let containers = status.container_statuses.iter().flatten();
        containers.map(|container| container.restart_count).sum::<i32>() == 1
            && status_words(status).contains("running")
    })
    .await;
    let sample = world.node.stats().await;
    let [web] = sample.pods.as_slice() else { panic!("{:?}", sample.pods) };
    assert_eq!(app(web), (1, true, 3_000_000_000));
    assert_eq!(web.stats.cpu.usage_nanos, 6_000_000_000);
    assert_eq!(sample.pods_cpu_nanos, 6_000_000_000);
    handle.delete(Some(Duration::ZERO));
    handle.finished().await;
    let all = world.node.stats().await.pods_cpu_nanos;
    assert!(all >= 6_000_000_000, "what pods used that are gone still counts: {all}");
    world.assert_clean();
}
