//! `nacelle:pod`: what guests are told of their pod, and of the request to stop.

use std::sync::Arc;
use std::time::Duration;

use nacelle_container::output::{self, Stream};
use nacelle_container::{
    Container, ContainerConfig, ContainerInfra, Cpu, ExecError, ExecRequest, ExitCause, PodInfo, Resources,
};
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
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        line.extend_from_slice(&made.output.recv().await.unwrap().bytes);
    }
    String::from_utf8(line).unwrap()
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

/// What came of calling an export: the exit code and standard error, or why there was none.
async fn call(container: &dyn Container, name: &str) -> Result<(u8, String), ExecError> {
    let (sender, mut written) = output::channel();
    let cause = container.exec(ExecRequest::new(vec![name.to_owned()]), sender).await?;
    let mut stderr = Vec::new();
    while let Some(chunk) = written.recv().await {
        assert_eq!(chunk.stream, Stream::Stderr);
        stderr.extend_from_slice(&chunk.bytes);
    }
    Ok((cause.code(), String::from_utf8(stderr).unwrap()))
}

fn ok() -> (u8, String) {
    (0, String::new())
}

#[tokio::test]
async fn probes_and_hooks_of_a_guest_of_0_2_run_beside_it_on_its_files() {
    let host = Host::new();
    let mut made = host.create(config(&host, "pod-worker", &[]), None).await.unwrap();
    made.container.start().await.unwrap();
    assert_eq!(first_line(&mut made).await, "waiting\n");
    let container = &*made.container;
    assert_eq!(call(container, "nacelle:pod/health.liveness").await.unwrap(), ok());
    assert_eq!(call(container, "nacelle:pod/health.readiness").await.unwrap(), (1, "/ready is not there".to_owned()));
    assert_eq!(call(container, "nacelle:pod/hooks.post-start").await.unwrap(), ok());
    assert_eq!(call(container, "nacelle:pod/health.readiness").await.unwrap(), ok());
    assert_eq!(call(container, "nacelle:pod/hooks.pre-stop").await.unwrap(), ok());
    made.container.terminate(GRACE).await;
    let ran = made.finish().await;
    // What pre-stop removed is not there for the one that runs either.
    assert_eq!(
        (ran.cause, ran.stdout.as_str()),
        (ExitCause::Exited { code: 0 }, "asked to stop, with at most 30 s left\n")
    );
}

#[tokio::test]
async fn probes_and_hooks_of_a_guest_of_0_3_are_calls_of_the_instance_that_runs() {
    let host = Host::new();
    let mut made = host.create(config(&host, "p3-pod-worker", &[]), None).await.unwrap();
    made.container.start().await.unwrap();
    assert_eq!(first_line(&mut made).await, "waiting\n");
    let container = &*made.container;
    let failed = (1, "post-start has not run".to_owned());
    assert_eq!(call(container, "nacelle:pod/health.readiness").await.unwrap(), failed);
    assert_eq!(call(container, "nacelle:pod/hooks.post-start").await.unwrap(), ok());
    // Several at a time.
    let (one, two) =
        tokio::join!(call(container, "nacelle:pod/health.liveness"), call(container, "nacelle:pod/health.readiness"));
    assert_eq!((one.unwrap(), two.unwrap()), (ok(), ok()));
    assert_eq!(container.stats().processes, 1, "no other instance was made");
    made.container.terminate(GRACE).await;
    let ran = made.finish().await;
    assert_eq!(ran.cause, ExitCause::Exited { code: 0 });
    assert_eq!(ran.stdout, "asked to stop, with at most 30 s left\nwas probed\nis still ready\n");
}

#[tokio::test]
async fn what_a_guest_does_not_export_is_not_found() {
    let host = Host::new();
    let (_input, reader) = tokio::io::duplex(64);
    let mut made = host.create(config(&host, "c-hello", &["wait"]), Some(Box::new(reader))).await.unwrap();
    made.container.start().await.unwrap();
    first_line(&mut made).await;
    for (name, expected) in [
        ("nacelle:pod/health.readiness", "does not export the interface nacelle:pod/health, version 0.1"),
        (
            "nacelle:pod/health.ready",
            "the package nacelle:pod has no such function: it has nacelle:pod/health.liveness",
        ),
    ] {
        let error = call(&*made.container, name).await.unwrap_err();
        assert_eq!(error.code(), Some(127));
        assert!(error.to_string().contains(expected), "{error}");
    }
    made.container.kill().await;
}
