//! Pods and containers from their creation to their removal.

use std::collections::BTreeSet;
use std::time::Duration;

use nacelle_container::log::read;
use nacelle_container::stats::CpuStats;
use nacelle_container::{Cpu, ExitCause, HttpConfig, MemoryScope, PodInfo, PodLimits, PodUid, StdinMode, UpdateError};
use nacelle_host::{
    Attach, ContainerRequest, HostEvent, PodError, PodRequest, PodResources, StartError, UpdateFailed, VolumeMount,
};
use nacelle_infra::fs::Errno;
use nacelle_infra::mailbox::mailbox;
use nacelle_infra::network::{DialSource, Family, NetError};
use nacelle_infra::{Medium, Propagation, StorageExceeded, VolumeConfig, VolumeFile, VolumeSource};
use tokio::io::AsyncReadExt as _;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::fake::{Fails, Fixture, OnTerminate, Script, id, pod, request};

fn exited(event: HostEvent) -> (u32, ExitCause) {
    let HostEvent::ContainerExited(exited) = event else { panic!("{event:?}") };
    assert!(exited.started_at <= exited.finished_at);
    (exited.id.attempt, exited.cause)
}

fn empty_dir(name: &str) -> VolumeConfig {
    VolumeConfig { name: name.into(), source: VolumeSource::EmptyDir { medium: Medium::Disk, size_limit: None } }
}

fn mount(volume: &str, path: &str) -> VolumeMount {
    VolumeMount {
        volume: volume.into(),
        path: path.into(),
        sub_path: None,
        read_only: false,
        recursive_read_only: false,
        propagation: Propagation::Private,
    }
}

#[tokio::test]
async fn a_container_gets_what_its_request_says() {
    let fixture = Fixture::new();
    let _events = fixture.pod("uid", vec![empty_dir("data")]).await;
    let container = fixture
        .start(
            ContainerRequest {
                env: vec![("A".into(), "1".into()), ("A".into(), "2".into())],
                mounts: vec![VolumeMount { read_only: true, ..mount("data", "/data/") }],
                read_only_root: true,
                http: HttpConfig { access_log: true, ..HttpConfig::default() },
                ..request(id("uid", 0))
            },
            Attach::default(),
        )
        .await;
    let config = &container.config;
    assert_eq!(config.env, [("A".to_owned(), "2".to_owned())]);
    assert_eq!((config.working_dir.as_str(), config.hostname.as_str()), ("/", "web"));
    assert_eq!(config.http, HttpConfig { access_log: true, ..HttpConfig::default() });
    std::fs::write(fixture.pod_dir("uid").join("volumes/data/file"), "data").unwrap();
    assert_eq!(container.read("/data/file").unwrap(), "data");
    assert_eq!(container.write_file("/data/new", b"x").unwrap_err(), Errno::ROFS);
    assert_eq!(container.write_file("/new", b"x").unwrap_err(), Errno::ROFS);
    assert_eq!(container.read("/etc/hostname").unwrap(), "web\n");
    assert_eq!(container.infra.network.hostname(), "web");
    assert_eq!(fixture.host.stats(&id("uid", 0)).unwrap().processes, 7);
    fixture.host.remove_pod(&PodUid::new("uid")).await.unwrap();
}

#[tokio::test]
async fn the_end_is_told_after_the_last_line() {
    let fixture = Fixture::new();
    let mut events = fixture.pod("uid", vec![]).await;
    // A watcher with room for one line that does not read yet.
    let (logs, mut watched) = mpsc::channel(1);
    let attach = Attach { logs: Some(logs), ..Attach::default() };
    let container = fixture.start(request(id("uid", 0)), attach).await;
    container.write("one\ntwo\nthree\nfo").await;
    container.write("ur").await;
    container.end(ExitCause::Exited { code: 3 });
    let cause = fixture.host.stop_container(&id("uid", 0), Duration::ZERO).await.unwrap();
    assert_eq!(cause, ExitCause::Exited { code: 3 });
    for expected in ["one", "two", "three", "four"] {
        // The last line may be in the watcher's channel already.
        assert!(expected == "four" || events.try_recv().is_none(), "the end was told before {expected:?}");
        let line = watched.recv().await.unwrap();
        assert_eq!((&*line.container, line.line.bytes.as_ref()), (&id("uid", 0), expected.as_bytes()));
    }
    assert_eq!(exited(*events.recv().await.unwrap()), (0, ExitCause::Exited { code: 3 }));
    let path = fixture.host.log_path(&id("uid", 0)).unwrap();
    let kept: Vec<_> = read(&path).unwrap().map(|line| line.unwrap().partial).collect();
    assert_eq!(kept, [false, false, false, true]);
    fixture.host.remove_container(&id("uid", 0)).await;
    assert!(*container.removed.borrow());
    assert!(path.exists(), "a container's log outlives it");
    assert_eq!(fixture.containers("uid"), 0);
    assert!(fixture.host.stats(&id("uid", 0)).is_err());
    assert!(events.try_recv().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_container_has_its_grace_period_and_no_more() {
    let fixture = Fixture::new();
    let mut events = fixture.pod("uid", vec![]).await;
    fixture.start(request(id("uid", 0)), Attach::default()).await;
    let before = Instant::now();
    let cause = fixture.host.stop_container(&id("uid", 0), Duration::from_secs(30)).await.unwrap();
    assert_eq!((cause, before.elapsed()), (ExitCause::Stopped { graceful: true }, Duration::ZERO));

    fixture.script(Script { terminate: OnTerminate::Ignores, ..Script::default() });
    fixture.start(request(id("uid", 1)), Attach::default()).await;
    let cause = fixture.host.stop_container(&id("uid", 1), Duration::from_secs(30)).await.unwrap();
    assert_eq!(cause, ExitCause::Stopped { graceful: false });
    let waited = before.elapsed();
    assert!(waited >= Duration::from_secs(30) && waited < Duration::from_secs(31), "{waited:?}");

    // A kill ends a stop that is under way.
    fixture.start(request(id("uid", 2)), Attach::default()).await;
    let (host, killed) = (fixture.host.clone(), id("uid", 2));
    let stop = tokio::spawn(async move { host.stop_container(&killed, Duration::from_secs(3600)).await });
    tokio::task::yield_now().await;
    let cause = fixture.host.kill_container(&id("uid", 2)).await.unwrap();
    assert_eq!(stop.await.unwrap().unwrap(), cause);
    assert!(before.elapsed() < Duration::from_secs(31));
    let told: Vec<_> = [events.recv().await, events.recv().await, events.recv().await]
        .into_iter()
        .map(|event| exited(*event.unwrap()).0)
        .collect();
    assert_eq!(told, [0, 1, 2]);
}

#[tokio::test]
async fn a_start_that_fails_leaves_nothing_and_can_be_tried_again() {
    let fixture = Fixture::new();
    let mut events = fixture.pod("uid", vec![empty_dir("data")]).await;
    let start = |request| fixture.host.start_container(request, Attach::default());
    let this = || request(id("uid", 0));

    for (fails, expected) in [
        (Fails::Create, StartError::Create { message: "cannot be created".into() }),
        (Fails::Start, StartError::Run { message: "cannot be started".into() }),
    ] {
        fixture.script(Script { fails, ..Script::default() });
        assert_eq!(start(this()).await.unwrap_err(), expected);
        assert_eq!(fixture.containers("uid"), 0);
    }
    fixture.script(Script::default());

    let bad = [
        ContainerRequest { mounts: vec![mount("none", "/x")], ..this() },
        ContainerRequest { argv: vec![], ..this() },
        ContainerRequest { working_dir: "relative".into(), ..this() },
        request(id("no-such-pod", 0)),
    ];
    for request in bad {
        let error = start(request).await.unwrap_err();
        assert!(matches!(error, StartError::Config { .. }), "{error:?}");
        assert_eq!(fixture.containers("uid"), 0);
    }
    // A log that can never be written: a directory is in its place.
    let log_path = Some(fixture.temp.path().to_owned());
    let error = start(ContainerRequest { log_path, ..this() }).await.unwrap_err();
    assert!(matches!(&error, StartError::Create { message } if message.contains("cannot open the log")), "{error:?}");
    assert_eq!(fixture.containers("uid"), 0);

    start(this()).await.unwrap();
    let error = start(this()).await.unwrap_err();
    assert_eq!(error, StartError::Config { message: "container uid/app/0 exists already".into() });
    assert_eq!(fixture.containers("uid"), 1);
    assert!(events.try_recv().is_none(), "no start that failed has an end");
}

#[tokio::test]
async fn a_start_is_finished_even_if_nobody_waits_and_a_removal_waits_for_it() {
    let fixture = Fixture::new();
    let mut events = fixture.pod("uid", vec![]).await;
    let gate = fixture.backend.gate.lock().await;
    let host = fixture.host.clone();
    let start = tokio::spawn(async move { host.start_container(request(id("uid", 0)), Attach::default()).await });
    while fixture.containers("uid") == 0 {
        tokio::task::yield_now().await;
    }
    start.abort();
    assert!(start.await.unwrap_err().is_cancelled());
    let host = fixture.host.clone();
    let remove = tokio::spawn(async move { host.remove_pod(&PodUid::new("uid")).await });
    tokio::task::yield_now().await;
    assert!(!remove.is_finished());
    drop(gate);
    remove.await.unwrap().unwrap();
    assert_eq!(exited(*events.recv().await.unwrap()), (0, ExitCause::Stopped { graceful: false }));
    assert!(*fixture.fake(&id("uid", 0)).removed.borrow());
    assert!(!fixture.pod_dir("uid").exists());
    let error = fixture.host.start_container(request(id("uid", 1)), Attach::default()).await.unwrap_err();
    assert!(matches!(error, StartError::Config { .. }));
}

#[tokio::test]
async fn a_pod_goes_with_its_containers_and_its_uid_is_free_again() {
    let fixture = Fixture::new();
    let mut events = fixture.pod("uid", vec![empty_dir("data")]).await;
    fixture.script(Script { terminate: OnTerminate::Ignores, ..Script::default() });
    for attempt in 0..3 {
        fixture.start(request(id("uid", attempt)), Attach::default()).await;
    }
    let (sender, _) = mailbox();
    let again = fixture.host.create_pod(pod("uid", vec![]), sender).await;
    assert_eq!(again.unwrap_err(), PodError::Exists(PodUid::new("uid")));

    let uid = PodUid::new("uid");
    let (first, second) = tokio::join!(fixture.host.remove_pod(&uid), fixture.host.remove_pod(&uid));
    first.unwrap();
    second.unwrap();
    assert!(!fixture.pod_dir("uid").exists());
    for _ in 0..3 {
        assert_eq!(exited(*events.recv().await.unwrap()).1, ExitCause::Stopped { graceful: false });
    }
    assert!(events.recv().await.is_none(), "nothing of the pod is left to send events");
    fixture.pod("uid", vec![]).await;
}

#[tokio::test]
async fn a_pod_whose_volume_fails_is_not_there() {
    let fixture = Fixture::new();
    let (sender, _) = mailbox();
    let missing = VolumeSource::Image { root: fixture.temp.path().join("none") };
    let request = PodRequest {
        volumes: vec![empty_dir("data"), VolumeConfig { name: "image".into(), source: missing }],
        ..pod("uid", vec![])
    };
    let error = fixture.host.create_pod(request, sender).await.unwrap_err();
    assert!(matches!(&error, PodError::Volume { volume, message } if volume == "image" && message.contains("none")));
    assert!(!fixture.pod_dir("uid").exists());
    fixture.pod("uid", vec![]).await;
}

#[tokio::test]
async fn a_start_that_is_given_up_leaves_nothing() {
    let fixture = Fixture::new();
    let _events = fixture.pod("uid", vec![]).await;
    let closed = fixture.backend.gate.lock().await;
    let (give_up, given_up) = oneshot::channel();
    let attach = Attach { give_up: Some(given_up), ..Attach::default() };
    let starting = fixture.host.start_container(request(id("uid", 0)), attach);
    give_up.send(()).unwrap();
    assert!(matches!(starting.await, Err(StartError::Create { .. })));
    assert_eq!(fixture.containers("uid"), 0);
    drop(closed);
    // The id is free again, and a sender that goes away without a word gives nothing up.
    let (_, given_up) = oneshot::channel();
    fixture.start(request(id("uid", 0)), Attach { give_up: Some(given_up), ..Attach::default() }).await;
    fixture.host.remove_pod(&PodUid::new("uid")).await.unwrap();
}

#[tokio::test]
async fn content_volumes_follow_their_source() {
    let fixture = Fixture::new();
    let file = |content: &str| vec![VolumeFile { path: "key".into(), mode: 0o644, bytes: content.into() }];
    let source = VolumeSource::Files { files: file("old") };
    let _events = fixture.pod("uid", vec![VolumeConfig { name: "config".into(), source }]).await;
    let part = VolumeMount { sub_path: Some("key".into()), ..mount("config", "/part") };
    let mounts = vec![mount("config", "/config"), part];
    let container = fixture.start(ContainerRequest { mounts, ..request(id("uid", 0)) }, Attach::default()).await;
    let uid = PodUid::new("uid");
    assert!(fixture.host.update_volume(&uid, "config", file("new")).await.unwrap());
    assert!(!fixture.host.update_volume(&uid, "config", file("new")).await.unwrap());
    assert_eq!(container.read("/config/key").unwrap(), "new");
    assert_eq!(container.read("/part").unwrap(), "old", "a subPath is what it was when it was mounted");
    assert!(fixture.host.update_volume(&uid, "none", file("new")).await.is_err());
}

#[tokio::test]
async fn a_pod_has_an_address_and_a_containers_sockets_end_with_it() {
    let fixture = Fixture::new();
    let (sender, mut events) = mailbox();
    let created = fixture.host.create_pod(pod("uid", vec![]), sender).await.unwrap();
    let network = fixture.host.pod_network(&PodUid::new("uid")).unwrap();
    assert_eq!(created.ips, network.ips());
    let address = std::net::SocketAddr::new(created.ips[0], 8080);
    for attempt in 0..2 {
        let container = fixture.start(request(id("uid", attempt)), Attach::default()).await;
        let mut socket = container.infra.network.tcp_socket(Family::V4).unwrap();
        socket.bind("0.0.0.0:8080".parse().unwrap()).unwrap();
        socket.listen().unwrap();
        network.dial(address, DialSource::Node).await.unwrap();
        // The backend still holds the socket: that its container has ended is enough.
        container.end(ExitCause::Exited { code: 0 });
        assert_eq!(exited(*events.recv().await.unwrap()).0, attempt);
        assert_eq!(network.dial(address, DialSource::Node).await.unwrap_err(), NetError::ConnectionRefused);
    }
    fixture.host.remove_pod(&PodUid::new("uid")).await.unwrap();
    assert!(fixture.host.pod_network(&PodUid::new("uid")).is_none());
}

#[tokio::test]
async fn a_storage_limit_that_is_passed_is_told() {
    let fixture = Fixture::new();
    let (sender, mut events) = mailbox();
    let request_pod = PodRequest { ephemeral_storage_limit: Some(1 << 20), ..pod("uid", vec![empty_dir("data")]) };
    fixture.host.create_pod(request_pod, sender).await.unwrap();
    let limited = ContainerRequest { ephemeral_storage_limit: Some(64 << 10), ..request(id("uid", 0)) };
    let container = fixture.start(limited, Attach::default()).await;
    container.write_file("/file", &[1; 60 << 10]).unwrap();
    let uid = PodUid::new("uid");
    let usage = fixture.host.storage_usage(&uid).await.unwrap();
    assert!(usage.containers["app"].root >= 60 << 10, "{usage:?}");
    // What fits is written, as on Linux.
    assert!(container.write_file("/other", &[1; 60 << 10]).unwrap() <= 4 << 10);
    assert_eq!(container.write_file("/third", &[1; 60 << 10]).unwrap_err(), Errno::NOSPC);
    match *events.recv().await.unwrap() {
        HostEvent::StorageExceeded { pod, exceeded: StorageExceeded::Container { name, limit, used } } => {
            assert_eq!((pod, name.as_str(), limit), (uid.clone(), "app", 64 << 10));
            assert!(used > limit);
        }
        other => panic!("{other:?}"),
    }
    // A log is never refused, but it counts.
    let mut text = "line\n".repeat(4000);
    text.push('\n');
    container.write(&text).await;
    container.end(ExitCause::Exited { code: 0 });
    exited(*events.recv().await.unwrap());
    let usage = fixture.host.storage_usage(&uid).await.unwrap();
    assert!(usage.containers["app"].logs > 100_000, "{usage:?}");
    // Another incarnation begins with an empty root, and with the logs of the former one.
    fixture.host.remove_container(&id("uid", 0)).await;
    drop(container);
    fixture.backend.containers.lock().unwrap().clear();
    let usage = fixture.host.storage_usage(&uid).await.unwrap();
    assert_eq!(usage.containers["app"].root, 0, "{usage:?}");
    fixture.start(request(id("uid", 1)), Attach::default()).await;
    let again = fixture.host.storage_usage(&uid).await.unwrap();
    assert_eq!(again.containers["app"].logs, usage.containers["app"].logs);
}

#[tokio::test]
async fn standard_input_is_a_pipe_that_ends_as_the_request_says() {
    let fixture = Fixture::new();
    let _events = fixture.pod("uid", vec![]).await;
    let open = |attempt, once| ContainerRequest { stdin: StdinMode::Open { once }, ..request(id("uid", attempt)) };
    let closed = fixture.start(request(id("uid", 0)), Attach::default()).await;
    assert!(closed.stdin.lock().unwrap().is_none() && fixture.host.stdin(&id("uid", 0)).unwrap().is_none());

    let once = fixture.start(open(1, true), Attach::default()).await;
    let stdin = fixture.host.stdin(&id("uid", 1)).unwrap().unwrap();
    stdin.write_all(b"hello").await.unwrap();
    stdin.detach().await;
    assert!(stdin.write_all(b"more").await.is_err());
    let mut reader = once.stdin.lock().unwrap().take().unwrap();
    let mut text = String::new();
    reader.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "hello");

    let kept = fixture.start(open(2, false), Attach::default()).await;
    let stdin = fixture.host.stdin(&id("uid", 2)).unwrap().unwrap();
    stdin.detach().await;
    stdin.write_all(b"x").await.unwrap();
    drop(kept.stdin.lock().unwrap().take());
    assert!(stdin.write_all(b"x").await.is_err());

    let own: Box<dyn tokio::io::AsyncRead + Send + Unpin> = Box::new(&b"own"[..]);
    let attached = fixture.start(open(3, true), Attach { stdin: Some(own), ..Attach::default() }).await;
    assert!(fixture.host.stdin(&id("uid", 3)).unwrap().is_none());
    let mut reader = attached.stdin.lock().unwrap().take().unwrap();
    text.clear();
    reader.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "own");
}

#[tokio::test]
async fn a_sweep_takes_only_what_no_process_holds() {
    let fixture = Fixture::new();
    let _events = fixture.pod("alive", vec![]).await;
    for uid in ["dead", "kept"] {
        // What a process leaves that is killed: files, and a lock that nobody holds.
        std::fs::create_dir_all(fixture.pod_dir(uid).join("containers/app-0/root")).unwrap();
        std::fs::write(fixture.pod_dir(uid).join("lock"), "").unwrap();
    }
    let swept = fixture.other_host().sweep(BTreeSet::from([PodUid::new("kept")])).await.unwrap();
    assert_eq!(swept, BTreeSet::from([PodUid::new("dead")]));
    assert!(fixture.pod_dir("alive").exists() && fixture.pod_dir("kept").exists());
    assert!(!fixture.pod_dir("dead").exists());
}

#[test]
fn requests_and_events_are_plain_data() {
    let request = ContainerRequest { mounts: vec![mount("data", "/data")], ..request(id("uid", 1)) };
    let text = serde_json::to_string(&request).unwrap();
    assert_eq!(serde_json::from_str::<ContainerRequest>(&text).unwrap(), request);
    let event = HostEvent::ContainerExited(nacelle_host::ContainerExited {
        id: id("uid", 1),
        cause: ExitCause::OomKilled { scope: MemoryScope::Container, limit: 1, asked: 2 },
        started_at: "2026-01-01T00:00:00Z".parse().unwrap(),
        finished_at: "2026-01-01T00:00:01.5Z".parse().unwrap(),
    });
    let text = serde_json::to_string(&event).unwrap();
    assert_eq!(serde_json::from_str::<HostEvent>(&text).unwrap(), event);
}

#[tokio::test]
async fn a_pod_has_the_stats_of_its_containers_and_of_what_they_share() {
    let fixture = Fixture::new();
    let mut events = fixture.pod("uid", vec![empty_dir("data")]).await;
    let uid = PodUid::new("uid");
    assert_eq!(fixture.host.pod_stats(&PodUid::new("nobody")).await, None);
    assert_eq!(fixture.host.pod_stats(&uid).await.unwrap().containers, []);
    let first = fixture.start(request(id("uid", 0)), Attach::default()).await;
    first.write("a line").await;
    first.use_cpu(1000);
    first.end(ExitCause::OomKilled { scope: MemoryScope::Container, limit: 1, asked: 2 });
    assert!(matches!(*events.recv().await.unwrap(), HostEvent::ContainerExited(_)));
    let ended = fixture.host.pod_stats(&uid).await.unwrap();
    let [app] = ended.containers.as_slice() else { panic!("{ended:?}") };
    assert_eq!((app.running, app.attempt, app.oom_kills, app.stats.cpu.usage_nanos), (false, 0, 1, 1000));
    assert!(app.logs.bytes > 0 && app.logs.inodes == 1);
    assert_eq!(ended.infra.volumes[0].name, "data");

    fixture.host.remove_container(&id("uid", 0)).await;
    let second = fixture.start(request(id("uid", 1)), Attach::default()).await;
    second.use_cpu(10);
    let stats = fixture.host.pod_stats(&uid).await.unwrap();
    let [app] = stats.containers.as_slice() else { panic!("{stats:?}") };
    assert_eq!((app.running, app.attempt, app.oom_kills, app.stats.cpu.usage_nanos), (true, 1, 1, 10));
    assert_eq!(stats.cpu.usage_nanos, 1010, "the pod's sum goes on");
    // How a limit of the whole pod held it back, only who holds it to that knows.
    let held = CpuStats { usage_nanos: 5, periods: 7, throttled_periods: 3, throttled_nanos: 40 };
    *fixture.backend.pod_cpu.lock().unwrap() = held;
    let stats = fixture.host.pod_stats(&uid).await.unwrap();
    assert_eq!(stats.cpu, CpuStats { usage_nanos: 1010, ..held });
    assert_eq!(stats.containers[0].stats.cpu.periods, 0);
    assert!(stats.created_at <= app.started_at && app.started_at <= stats.time);
    let copy = serde_json::from_str(&serde_json::to_string(&stats).unwrap()).unwrap();
    assert_eq!(stats, copy);
    fixture.host.remove_pod(&uid).await.unwrap();
    assert_eq!(fixture.host.pod_stats(&uid).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_container_is_told_how_long_it_has_and_a_second_stop_tells_it_again() {
    let fixture = Fixture::new();
    let _events = fixture.pod("uid", vec![]).await;
    fixture.script(Script { terminate: OnTerminate::Ignores, ..Script::default() });
    let id = id("uid", 0);
    fixture.start(request(id.clone()), Attach::default()).await;
    let first = tokio::spawn({
        let (host, id) = (fixture.host.clone(), id.clone());
        async move { host.stop_container(&id, Duration::from_secs(30)).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let cause = fixture.host.stop_container(&id, Duration::from_secs(3)).await.unwrap();
    assert_eq!(cause, ExitCause::Stopped { graceful: false });
    first.await.unwrap().unwrap();
    assert_eq!(*fixture.fake(&id).graces.lock().unwrap(), [Duration::from_secs(30), Duration::from_secs(3)]);
}

#[tokio::test]
async fn what_containers_may_know_of_their_pod_can_change() {
    let fixture = Fixture::new();
    let _events = fixture.pod("uid", vec![]).await;
    fixture.start(request(id("uid", 0)), Attach::default()).await;
    let fake = fixture.fake(&id("uid", 0));
    assert_eq!(fake.infra.info.borrow().name, "web");
    let info = PodInfo { labels: [("tier".to_owned(), "new".to_owned())].into(), ..PodInfo::default() };
    fixture.host.update_info(&PodUid::new("uid"), info.clone());
    assert_eq!(**fake.infra.info.borrow(), info);
    fixture.host.update_info(&PodUid::new("another"), info);
}

#[tokio::test]
async fn a_pod_gets_other_limits_from_all_who_hold_it_to_them_or_from_none() {
    let fixture = Fixture::new();
    let _events = fixture.pod("uid", vec![]).await;
    let uid = PodUid::new("uid");
    let limits = |millis, memory| PodLimits {
        cpu: Cpu { limit_millis: Some(millis), request_millis: 0 },
        memory: Some(memory),
        memory_elsewhere: 0,
    };
    let update = async |PodLimits { cpu, memory, .. }| {
        let updated = fixture.host.update_pod(&uid, &PodResources { cpu, memory }).await;
        let told: Vec<_> = fixture.backend.pod_limits.lock().unwrap().drain(..).collect();
        (updated, told, fixture.host.memory(&uid).unwrap().limit())
    };
    let (small, large) = (limits(100, 1 << 20), limits(200, 2 << 20));
    assert_eq!(update(small).await, (Ok(()), vec![small], Some(1 << 20)));
    *fixture.backend.refuses.lock().unwrap() = Some(UpdateError::MemoryInUse { limit: 2 << 20, used: 3 << 20 });
    let refused = Err(UpdateFailed::MemoryInUse { limit: 2 << 20, used: 3 << 20 });
    assert_eq!(update(large).await, (refused, vec![large, small], Some(1 << 20)));
    assert_eq!(fixture.host.pod_stats(&uid).await.unwrap().cpu_limits, small.cpu);
    assert_eq!(update(large).await, (Ok(()), vec![large], Some(2 << 20)));
}
