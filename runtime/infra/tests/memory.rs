//! What one container is charged with of its pod's memory.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bytes::Bytes;
use nacelle_infra::budget::Budget;
use nacelle_infra::fs::{Errno, OpenHow};
use nacelle_infra::memory::Part;
use nacelle_infra::network::{Family, NodeNetwork, NodeNetworkConfig};
use nacelle_infra::{
    FsConfig, Incarnation, Infra, InfraConfig, Medium, MountConfig, NodeDirs, OnExceeded, Propagation, VolumeConfig,
    VolumeFile, VolumeSource,
};

struct Pod {
    _temp: tempfile::TempDir,
    infra: Infra,
}

impl Pod {
    async fn new(memory_limit: Option<u64>) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let volume = |name: &str, source| VolumeConfig { name: name.into(), source };
        let content = VolumeFile { path: "c".into(), mode: 0o644, bytes: vec![0; 10_000] };
        let volumes = vec![
            volume("mem", VolumeSource::EmptyDir { medium: Medium::Memory, size_limit: None }),
            volume("config", VolumeSource::Files { files: vec![content] }),
        ];
        let config = InfraConfig { uid: "uid".into(), volumes, memory_limit, ..InfraConfig::default() };
        let node = NodeNetwork::new(NodeNetworkConfig::default()).unwrap();
        let dirs = NodeDirs::new(temp.path().join("state"));
        let infra = Infra::create(config, &dirs, &node, &Budget::unlimited(), OnExceeded::new(drop)).await.unwrap();
        Self { _temp: temp, infra }
    }

    fn container(&self, name: &str, attempt: u32) -> Incarnation {
        let mount = |volume: &str, path: &str| MountConfig {
            volume: volume.into(),
            path: path.into(),
            sub_path: None,
            read_only: false,
            recursive_read_only: false,
            propagation: Propagation::Private,
        };
        let config = FsConfig {
            container: name.into(),
            attempt,
            image: None,
            read_only_root: false,
            working_dir: "/".into(),
            mounts: vec![mount("mem", "/mem"), mount("config", "/config")],
            termination_log: None,
            ephemeral_storage_limit: None,
        };
        self.infra.container(&config).unwrap()
    }
}

fn write(container: &Incarnation, path: &str, bytes: usize) -> Result<usize, Errno> {
    let how = OpenHow { write: true, create: true, follow: true, ..OpenHow::default() };
    container.files.open(path, how)?.append(&vec![1; bytes])
}

fn files(container: &Incarnation) -> u64 {
    container.memory.part(Part::Files).used()
}

#[tokio::test]
async fn a_container_pays_for_the_files_in_memory_that_it_wrote() {
    let pod = Pod::new(None).await;
    let content = pod.infra.memory().used();
    assert!(content >= 10_000, "content that no container wrote is the pod's");
    let (one, two) = (pod.container("one", 0), pod.container("two", 0));
    let before = files(&one);
    for path in ["/mem/f", "/dev/shm/f", "/etc/hosts"] {
        let so_far = files(&one);
        write(&one, path, 40_000).unwrap();
        assert!(files(&one) >= so_far + 36_864, "{path}");
    }
    assert!(files(&two) < 4096);
    // The root's content lies on the disk; its names do not.
    let so_far = files(&one);
    write(&one, "/f", 40_000).unwrap();
    assert!((1..4096).contains(&(files(&one) - so_far)));
    assert_eq!(one.memory.used(), files(&one));
    assert_eq!(pod.infra.memory().used(), content + one.memory.used() + two.memory.used());

    // What is left in the volume stays with the pod, and not with the next incarnation.
    let old = std::sync::Arc::clone(&one.memory);
    one.remove().unwrap();
    assert!((40_960..before + 50_000).contains(&old.used()), "only the volume's file is left");
    let next = pod.container("one", 1);
    assert!(files(&next) < 4096);
    next.files.root().unlink_file_at("mem/f").unwrap();
    assert_eq!(old.used(), 0);
    assert_eq!(pod.infra.memory().used(), content + next.memory.used() + two.memory.used());
}

#[tokio::test]
async fn a_write_over_the_limit_is_told_as_a_full_disk() {
    let pod = Pod::new(Some(1 << 20)).await;
    let (one, two) = (pod.container("one", 0), pod.container("two", 0));
    one.memory.set_limit(Some(100_000)).unwrap();
    assert!(write(&one, "/dev/shm/f", 200_000).unwrap() < 100_000);
    assert_eq!(write(&one, "/mem/f", 8192), Err(Errno::NOSPC));
    assert!(one.memory.refused() >= 2);
    // The container without a limit has the pod's.
    let written = write(&two, "/mem/f", 2 << 20).unwrap();
    assert!(written < 1 << 20 && written > 800_000, "{written}");
    // Raised while it runs.
    one.memory.set_limit(None).unwrap();
    two.files.root().unlink_file_at("mem/f").unwrap();
    assert_eq!(write(&one, "/mem/f", 200_000), Ok(200_000));
}

#[tokio::test]
async fn a_container_pays_for_what_its_sockets_hold() {
    let pod = Pod::new(None).await;
    let (client, server) = (pod.container("client", 0), pod.container("server", 0));
    let buffers = |container: &Incarnation| container.memory.part(Part::Buffers).used();
    let at = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    let mut listener = server.network.tcp_socket(Family::V4).unwrap();
    listener.bind(at(80)).unwrap();
    listener.listen().unwrap();
    let stream = client.network.connect(at(80)).await.unwrap();
    // Each end has paid for its direction.
    assert!(buffers(&client) > 0 && buffers(&server) > 0);
    let (client_before, server_before) = (buffers(&client), buffers(&server));
    let sent = stream.try_write(Bytes::from(vec![1; 100_000])).unwrap();
    assert!(buffers(&client) >= client_before + sent as u64 - 4096);
    assert_eq!(buffers(&server), server_before);

    // A datagram waits at who receives it.
    let mut receiver = server.network.udp_socket(Family::V4).unwrap();
    receiver.bind(at(53)).unwrap();
    let sender = client.network.udp_socket(Family::V4).unwrap();
    let client_before = buffers(&client);
    assert!(sender.try_send(Bytes::from(vec![1; 30_000]), Some(at(53))).unwrap());
    assert!(buffers(&server) >= server_before + 30_000);
    assert_eq!(buffers(&client), client_before);
    drop((stream, listener, receiver, sender));
    client.network.close();
    server.network.close();
    assert_eq!((buffers(&client), buffers(&server)), (0, 0));
}

#[tokio::test]
async fn a_container_at_its_limit_gets_no_connection_and_keeps_those_it_has() {
    let pod = Pod::new(None).await;
    let (client, server) = (pod.container("client", 0), pod.container("server", 0));
    let at = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 80);
    let mut listener = server.network.tcp_socket(Family::V4).unwrap();
    listener.bind(at).unwrap();
    listener.listen().unwrap();
    let stream = client.network.connect(at).await.unwrap();
    client.memory.set_limit(Some(client.memory.used())).unwrap();
    assert!(client.network.connect(at).await.is_err());
    // Slowly, but on.
    assert!(stream.try_write(Bytes::from(vec![1; 100_000])).unwrap() > 0);
    assert!(client.memory.used() <= client.memory.limit().unwrap());
    // Who is not at its limit is not concerned.
    server.network.connect(at).await.unwrap();
}
