//! A node that runs short of memory.

use std::time::Duration;

use nacelle_node::{EvictionConfig, PodHandle, ResourceConfig, Room};
use nacelle_spec::k8s_openapi::api::core::v1::PodStatus;

use crate::world::{ROOMY, World, becomes, told, took};

const MIB: u64 = 1 << 20;

/// A node of 100 MiB that wants 20 MiB to be free.
fn small(eviction: EvictionConfig) -> World {
    World::with_resources(ResourceConfig { memory_bytes: Some(100 * MIB), eviction, ..ResourceConfig::default() })
}

fn hard() -> EvictionConfig {
    EvictionConfig { hard: Some(vec!["memory.available<20Mi".parse().unwrap()]), ..EvictionConfig::default() }
}

/// A pod that asks for so many MiB and fills a volume in memory with so many; `more` is the rest of its spec.
fn fills(name: &str, asks: u64, uses: u64, more: &str) -> String {
    let requests = if asks > 0 { format!("requests: {{memory: {asks}Mi}}") } else { String::new() };
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}, spec: {{{more} containers: [{{name: app, image: \
         'file:app.wasm', command: [app, fill /m/file {}, write full, ignore], resources: {{{requests}}}, volumeMounts: [{{name: \
         m, mountPath: /m}}]}}], volumes: [{{name: m, emptyDir: {{medium: Memory}}}}]}}}}",
        uses * MIB
    )
}

/// Starts a pod and waits until it has all that it wants.
async fn full(world: &World, manifest: &str) -> PodHandle {
    let (pod, mut queue) = world.start(manifest, ROOMY);
    loop {
        let notice = queue.recv().await.unwrap();
        if crate::world::words(&notice) == "log app full" {
            break;
        }
    }
    // A front end that stays.
    tokio::spawn(async move { while queue.recv().await.is_some() {} });
    pod
}

async fn evicted(pod: &PodHandle) -> String {
    let status = pod.finished().await;
    assert_eq!((status.phase.as_deref(), status.reason.as_deref()), (Some("Failed"), Some("Evicted")));
    let disruption = status.conditions.iter().flatten().find(|condition| condition.type_ == "DisruptionTarget");
    assert_eq!(disruption.and_then(|condition| condition.reason.as_deref()), Some("TerminationByKubelet"));
    status.message.clone().unwrap()
}

fn is_running(status: &PodStatus) -> bool {
    status.phase.as_deref() == Some("Running")
}

async fn end(pod: &PodHandle) {
    pod.delete(Some(Duration::ZERO));
    pod.finished().await;
}

#[tokio::test(start_paused = true)]
async fn who_uses_most_over_its_request_goes() {
    let world = small(hard());
    let modest = full(&world, &fills("modest", 50, 40, "")).await;
    let small = full(&world, &fills("small", 0, 10, "")).await;
    assert!(!world.node.conditions().borrow().memory.present);
    let (greedy, mut queue) = world.start(&fills("greedy", 5, 32, ""), ROOMY);
    let (message, time) = took(evicted(&greedy)).await;
    assert!(time <= Duration::from_secs(1), "{time:?}");
    assert!(
        message.starts_with("The node was low on resource: memory. Threshold quantity: 20Mi, available: "),
        "{message}"
    );
    assert!(message.contains(". Container app was using "), "{message}");
    assert!(message.ends_with(", request is 5Mi, has larger consumption of memory. "), "{message}");
    assert!(told(&mut queue).await.contains(&"event Evicted pod".to_owned()));
    // No other has to go for it, however long one waits.
    tokio::time::sleep(Duration::from_secs(3600)).await;
    for pod in [modest, small] {
        assert!(is_running(&pod.status()), "{}", pod.name());
        end(&pod).await;
    }
    world.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn no_more_go_than_must() {
    let world = small(hard());
    let first = full(&world, &fills("first", 0, 15, "")).await;
    let second = full(&world, &fills("second", 0, 14, "")).await;
    let kept = full(&world, &fills("kept", 70, 35, "")).await;
    let large = full(&world, &fills("large", 10, 9, "")).await;
    let more = full(&world, &fills("more", 0, 13, "")).await;
    evicted(&first).await;
    for pod in [second, kept, large, more] {
        assert!(is_running(&pod.status()), "{}", pod.name());
        end(&pod).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_critical_pod_stays() {
    let world = small(hard());
    let critical = full(&world, &fills("critical", 0, 49, "priorityClassName: system-node-critical,")).await;
    let other = full(&world, &fills("other", 35, 30, "")).await;
    let (last, _queue) = world.start(&fills("last", 0, 2, ""), ROOMY);
    evicted(&last).await;
    assert!(is_running(&critical.status()));
    end(&critical).await;
    end(&other).await;
}

#[tokio::test(start_paused = true)]
async fn under_pressure_pods_that_ask_for_nothing_wait() {
    let world = small(hard());
    let (greedy, _queue) = world.start(&fills("greedy", 0, 90, ""), ROOMY);
    evicted(&greedy).await;
    assert!(world.node.conditions().borrow().memory.present);
    let (waits, _waits_queue) = world.start(&fills("waits", 0, 1, ""), ROOMY);
    let Room::Awaited { message, is_up_to_others: false } = waits.room() else { panic!("{:?}", waits.room()) };
    assert!(message.contains("untolerated taint {node.kubernetes.io/memory-pressure: }"), "{message}");
    let bound = world.start(&fills("bound", 0, 1, "nodeName: here,"), ROOMY).0.finished().await;
    assert_eq!(bound.reason.as_deref(), Some("Evicted"));
    let words = "Pod was rejected: The node had condition: [MemoryPressure]. ";
    assert_eq!(bound.message.as_deref(), Some(words));
    let asks = full(&world, &fills("asks", 10, 1, "")).await;
    let (_, time) = took(becomes(&waits, is_running)).await;
    assert!(time > Duration::from_secs(290) && time <= Duration::from_secs(311), "{time:?}");
    assert!(!world.node.conditions().borrow().memory.present);
    end(&waits).await;
    end(&asks).await;
}

#[tokio::test(start_paused = true)]
async fn a_soft_threshold_gives_time() {
    let soft = vec![("memory.available<50%".parse().unwrap(), Duration::from_secs(90))];
    let max_pod_grace_period = Duration::from_secs(7);
    let world = small(EvictionConfig { soft, max_pod_grace_period, ..hard() });
    let pod = full(&world, &fills("pod", 0, 60, "terminationGracePeriodSeconds: 3600,")).await;
    let (message, time) = took(evicted(&pod)).await;
    assert!(message.contains("Threshold quantity: 50Mi, available: "), "{message}");
    assert_eq!(time.as_secs(), 97);
}

#[tokio::test(start_paused = true)]
async fn a_pod_gets_no_more_than_the_node_has() {
    let none = EvictionConfig { hard: Some(Vec::new()), ..EvictionConfig::default() };
    let world = small(none);
    let (pod, _queue) = world.running(&fills("pod", 0, 200, "")).await;
    assert!(is_running(&pod.status()));
    end(&pod).await;
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_evicts_too() {
    // No disk is that empty.
    let hard = Some(vec!["nodefs.available<100%".parse().unwrap()]);
    let world = small(EvictionConfig { hard, ..EvictionConfig::default() });
    let manifest = fills("pod", 0, 1, "").replace("{medium: Memory}", "{}");
    let (pod, _queue) = world.start(&manifest, ROOMY);
    let message = evicted(&pod).await;
    assert!(message.starts_with("The node was low on resource: ephemeral-storage. Threshold quantity: "), "{message}");
    assert!(world.node.conditions().borrow().disk.present);
}
