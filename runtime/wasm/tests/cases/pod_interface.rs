//! `nacelle:pod`: what guests are told of their pod, and of the request to stop.

use std::sync::Arc;
use std::time::Duration;

use nacelle_container::{ContainerConfig, ContainerInfra, Cpu, ExitCause, PodInfo, Resources};
use nacelle_infra::network::ContainerNetwork;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::watch;

use crate::support::{GRACE, Host, Made, guest, infra};

fn config(host: &Host, sample: &str, args: &[&str]) -> ContainerConfig {
    let mut config = host.config_of(&std::fs::read(guest(sample)).unwrap());
    config.argv = std::iter::once(sample).chain(args.iter().copied()).map(str::to_owned).collect();
    config
}

/// Waits until the guest has written a line.
async fn first_line(made: &mut Made) -> String {
    let chunk = made.output.recv().await.unwrap();
    String::from_utf8(chunk.bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn guests_of_both_versions_are_told_to_stop_and_how_long_they_have() {
    let host = Host::new();
    for sample in ["pod-worker", "p3-pod-worker"] {
        let mut config = config(&host, sample, &[]);
        config.stop_signal = Some("SIGUSR1".into());
        let mut made = host.create(config, None).await.unwrap();
        made.container.start().await.unwrap();
        assert_eq!(first_line(&mut made).await, "waiting\n");
        made.container.terminate(Duration::from_secs(3600)).await;
        let ran = made.finish().await;
        assert_eq!(ran.cause, ExitCause::Exited { code: 0 }, "{sample}: {}", ran.stderr);
        assert_eq!(ran.stdout, "asked to stop by SIGUSR1, with at most 3600 s left\n", "{sample}");
    }
}

#[tokio::test]
async fn a_guest_in_c_stops_at_the_end_of_its_input() {
    let host = Host::new();
    let (mut input, reader) = tokio::io::duplex(64);
    let mut made = host.create(config(&host, "c-hello", &["wait"]), Some(Box::new(reader))).await.unwrap();
    made.container.start().await.unwrap();
    assert_eq!(first_line(&mut made).await, "waiting\n");
    input.write_all(b"go on\n").await.unwrap();
    made.container.terminate(GRACE).await;
    let ran = made.finish().await;
    assert_eq!((ran.cause, ran.stdout.as_str()), (ExitCause::Exited { code: 0 }, "asked to stop\n"));
}

#[tokio::test]
async fn loops_and_servers_stop_between_two_things() {
    let host = Host::new();
    // It would go on for ever, an hour from now.
    let mut made = host.create(config(&host, "counter", &["/count", "0", "3600"]), None).await.unwrap();
    made.container.start().await.unwrap();
    assert_eq!(first_line(&mut made).await, "1\n");
    made.container.terminate(GRACE).await;
    let ran = made.finish().await;
    assert_eq!((ran.cause, ran.stdout.as_str()), (ExitCause::Exited { code: 0 }, "done at 1\n"));
}

/// What a pod's containers may know, and the end that changes it.
fn told(infra: &mut ContainerInfra, info: PodInfo) -> watch::Sender<Arc<PodInfo>> {
    let sender = watch::Sender::new(Arc::new(info));
    infra.info = sender.subscribe();
    sender
}

#[tokio::test]
async fn a_guest_may_know_its_own_pod_and_container() {
    let host = Host::new();
    let entry = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let info = PodInfo {
        name: "web".into(),
        namespace: "shop".into(),
        uid: "u1".into(),
        node_name: "here".into(),
        labels: [entry("tier", "front"), entry("app", "shop")].into(),
        annotations: [entry("note", "hello")].into(),
    };
    let mut infra = infra(ContainerNetwork::none());
    let _sender = told(&mut infra, info);
    let mut config = config(&host, "pod-worker", &["info"]);
    config.resources = Resources {
        cpu: Cpu { limit_millis: Some(500), request_millis: 250 },
        memory: Some(64 << 20),
        memory_request: 0,
        fuel: None,
    };
    let made = host.create_in(infra, config, None).await.unwrap();
    made.container.start().await.unwrap();
    let ran = made.finish().await;
    assert_eq!(
        ran.stdout,
        "pod web in shop\nlabel app=shop\nlabel tier=front\nannotation note=hello\ncontainer guest\n\
         limits cpu=500 memory=67108864\nrequests cpu=250 memory=none\n",
        "{}",
        ran.stderr
    );
}

#[tokio::test]
async fn what_has_changed_since_the_start_is_what_a_guest_is_told() {
    let host = Host::new();
    let mut infra = infra(ContainerNetwork::none());
    let sender = told(&mut infra, PodInfo::default());
    // It prints once its container is started.
    let made = host.create_in(infra, config(&host, "pod-worker", &["info"]), None).await.unwrap();
    let labels = [("tier".to_owned(), "new".to_owned())].into();
    sender.send_replace(Arc::new(PodInfo { name: "web".into(), labels, ..PodInfo::default() }));
    made.container.update(&Resources { memory: Some(32 << 20), ..Resources::default() }).await.unwrap();
    made.container.start().await.unwrap();
    let ran = made.finish().await;
    assert!(ran.stdout.starts_with("pod web in \n"), "{}", ran.stdout);
    assert!(ran.stdout.contains("label tier=new\n") && ran.stdout.contains("limits cpu=none memory=33554432\n"));
}
