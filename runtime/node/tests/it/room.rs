//! Room on the node: who gets it, who waits, and who has to go.

use nacelle_node::{Notice, PodHandle, ResourceConfig, Room};
use nacelle_spec::k8s_openapi::api::core::v1::{PodCondition, PodStatus};
use tokio::sync::mpsc;

use crate::world::{ROOMY, World, becomes, parse, status_words, told, took};

/// A node of one CPU.
fn one_cpu() -> World {
    World::with_resources(ResourceConfig { cpu_millis: Some(1000), ..ResourceConfig::default() })
}

/// A pod that asks for so much of the CPU, and runs until it is stopped; `more` is the rest of its spec.
fn asks(name: &str, cpu: &str, more: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}, spec: {{restartPolicy: Never, {more} containers: [{{name: \
         app, image: 'file:app.wasm', command: [app, wait], resources: {{requests: {{cpu: {cpu}}}}}}}]}}}}"
    )
}

/// The same with a priority.
fn with_priority(name: &str, cpu: &str, priority: i32) -> String {
    let class = format!(
        "{{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {{name: class}}, value: {priority}}}"
    );
    format!("{class}\n---\n{}", asks(name, cpu, "priorityClassName: class,"))
}

fn condition(status: &PodStatus, kind: &str) -> Option<PodCondition> {
    status.conditions.iter().flatten().find(|condition| condition.type_ == kind).cloned()
}

fn is_running(status: &PodStatus) -> bool {
    status.phase.as_deref() == Some("Running")
}

/// Starts a pod for which there is no room.
async fn waits(world: &World, manifest: &str) -> (PodHandle, mpsc::Receiver<Notice>) {
    let (pod, queue) = world.start(manifest, ROOMY);
    let status = becomes(&pod, |status| condition(status, "PodScheduled").is_some()).await;
    let scheduled = condition(&status, "PodScheduled").unwrap();
    assert_eq!((scheduled.status.as_str(), scheduled.reason.as_deref()), ("False", Some("Unschedulable")));
    assert_eq!((status.phase.as_deref(), status.container_statuses.clone()), (Some("Pending"), None));
    (pod, queue)
}

async fn end(pod: &PodHandle) {
    pod.delete(None);
    pod.finished().await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_waits_until_another_leaves() {
    let world = one_cpu();
    let (first, _first_queue) = world.running(&asks("first", "600m", "")).await;
    let (second, mut queue) = waits(&world, &asks("second", "600m", "")).await;
    let words = "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No preemption victims \
                 found for incoming pod.";
    assert_eq!(second.room(), Room::Awaited { message: words.to_owned(), is_up_to_others: true });
    assert_eq!(condition(&second.status(), "PodScheduled").unwrap().message.as_deref(), Some(words));
    end(&first).await;
    // Room is given before the other is gone.
    assert_eq!(second.room(), Room::Given);
    becomes(&second, is_running).await;
    assert_eq!(condition(&second.status(), "PodScheduled").unwrap().status, "True");
    end(&second).await;
    let told = told(&mut queue).await;
    assert_eq!(told[..2], ["event FailedScheduling pod", "status Pending"]);
    assert!(told.contains(&"event Scheduled pod".to_owned()), "{told:?}");
    world.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_ended_by_itself_leaves_its_room() {
    let world = one_cpu();
    let manifest = asks("first", "600m", "").replace("command: [app, wait]", "command: [app, exit 0]");
    let (first, _first_queue) = world.start(&manifest, ROOMY);
    let (second, _queue) = world.start(&asks("second", "600m", ""), ROOMY);
    becomes(&second, is_running).await;
    assert_eq!(status_words(&first.status()), "Succeeded app=exit 0");
    end(&second).await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_can_be_deleted_while_it_waits() {
    let world = one_cpu();
    let (first, _first_queue) = world.running(&asks("first", "1", "")).await;
    let (second, mut queue) = waits(&world, &asks("second", "1", "")).await;
    let (third, _third_queue) = waits(&world, &asks("third", "1", "")).await;
    end(&second).await;
    assert_eq!(told(&mut queue).await, ["event FailedScheduling pod", "status Pending", "status Failed"]);
    end(&first).await;
    becomes(&third, is_running).await;
    end(&third).await;
    world.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_too_large_for_the_node_is_told_so() {
    let world = one_cpu();
    let (pod, _queue) = waits(&world, &asks("pod", "1500m", "")).await;
    let Room::Awaited { message, is_up_to_others: true } = pod.room() else { panic!("{:?}", pod.room()) };
    let own = " The pod asks for 1500m cpu, and the node has 1 for pods: it can never start here.";
    assert!(message.ends_with(own), "{message}");
    end(&pod).await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_bound_is_rejected() {
    let world = one_cpu();
    let (first, _first_queue) = world.running(&asks("first", "600m", "")).await;
    let (pod, mut queue) = world.start(&asks("pod", "600m", "nodeName: any,"), ROOMY);
    let status = pod.finished().await;
    assert_eq!((status.phase.as_deref(), status.reason.as_deref()), (Some("Failed"), Some("OutOfcpu")));
    let words = "Pod was rejected: Node didn't have enough resource: cpu, requested: 600, used: 600, capacity: 1000";
    assert_eq!(status.message.as_deref(), Some(words));
    assert_eq!(pod.room(), Room::Refused);
    assert_eq!(told(&mut queue).await, ["event OutOfcpu pod", "status Failed"]);
    let (small, _small_queue) = world.running(&asks("small", "400m", "nodeName: any,")).await;
    end(&small).await;
    end(&first).await;
    world.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn only_so_many_pods_run() {
    let world = World::with_resources(ResourceConfig { max_pods: Some(1), ..ResourceConfig::default() });
    let (first, _first_queue) = world.running(&asks("first", "0", "")).await;
    let (second, _queue) = waits(&world, &asks("second", "0", "")).await;
    end(&first).await;
    becomes(&second, is_running).await;
    end(&second).await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_of_higher_priority_takes_anothers_place() {
    let world = one_cpu();
    let stubborn = asks("low", "1", "terminationGracePeriodSeconds: 10,").replace("[app, wait]", "[app, ignore]");
    let (low, mut low_queue) = world.running(&stubborn).await;
    let (high, _high_queue) = waits(&world, &with_priority("high", "500m", 100)).await;
    assert_eq!(high.status().nominated_node_name.as_deref(), Some("here"));
    let disruption = becomes(&low, |status| condition(status, "DisruptionTarget").is_some()).await;
    let disruption = condition(&disruption, "DisruptionTarget").unwrap();
    assert_eq!(disruption.reason.as_deref(), Some("PreemptionByScheduler"));
    let words = "default-scheduler: preempting to accommodate a higher priority pod";
    assert_eq!(disruption.message.as_deref(), Some(words));
    let (_, time) = took(becomes(&high, is_running)).await;
    assert_eq!(time.as_secs(), 10, "the other had its grace period");
    let status = low.finished().await;
    assert_eq!((status_words(&status).as_str(), status.reason.as_deref()), ("Failed app=exit 137", None));
    assert!(told(&mut low_queue).await.contains(&"event Preempted pod".to_owned()));
    assert_eq!(high.status().nominated_node_name, None);
    end(&high).await;
    world.assert_clean();
}

/// The condition `PodResizePending`: its reason and its message.
fn pending(status: &PodStatus) -> Option<(String, String)> {
    let condition = condition(status, "PodResizePending")?;
    Some((condition.reason.clone()?, condition.message.clone()?))
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_runs_can_ask_for_something_else() {
    let world = one_cpu();
    let (first, _first_queue) = world.running(&asks("first", "600m", "")).await;
    let (second, _queue) = waits(&world, &asks("second", "600m", "")).await;
    let resize = |cpu: &str| first.resize(&parse(&asks("first", cpu, "")).0).unwrap();
    let refused = |reason: &str, message: &str| Some((reason.to_owned(), message.to_owned()));
    assert!(resize("2"));
    let infeasible = refused("Infeasible", "Node didn't have enough capacity: cpu, requested: 2000, capacity: 1000");
    becomes(&first, |status| pending(status) == infeasible).await;
    assert!(resize("400m"));
    // What it gave back is enough for who waited.
    becomes(&second, is_running).await;
    becomes(&first, |status| pending(status).is_none()).await;
    assert!(resize("600m"));
    let words = "Node didn't have enough resource: cpu, requested: 600, used: 600, capacity: 1000";
    becomes(&first, |status| pending(status) == refused("Deferred", words)).await;
    // It is asked again as soon as there is room.
    let (_, time) = took(async {
        end(&second).await;
        becomes(&first, |status| pending(status).is_none()).await;
    })
    .await;
    assert!(time.as_secs() < 180, "{time:?}");
    end(&first).await;
}
