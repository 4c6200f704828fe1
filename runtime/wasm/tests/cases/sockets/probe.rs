//! What a guest can find out about its sockets is the same here as on wasmtime-wasi with the kernel's sockets.

use nacelle_container::ExitCause;
use nacelle_infra::network::NetworkMode;

use super::World;
use crate::reference::on_wasmtime_wasi;

/// What a sample prints in a pod.
async fn in_pod(name: &str, mode: NetworkMode) -> String {
    let world = World::new();
    let pod = world.pod_in("pod", mode).await;
    let ran = world.run(pod.container("guest"), name, &[]).await;
    assert_eq!(ran.cause, ExitCause::Exited { code: 0 }, "{}\n{}", ran.stdout, ran.stderr);
    ran.stdout
}

async fn compare(name: &str) {
    // On the host's loopback.
    let expected = on_wasmtime_wasi(name, &[], |ctx| {
        ctx.inherit_network().allow_tcp(true).allow_udp(true).allow_ip_name_lookup(true);
    })
    .await;
    for mode in [NetworkMode::Virtual, NetworkMode::Host] {
        let found = in_pod(name, mode).await;
        let differences: Vec<_> = expected.lines().zip(found.lines()).filter(|(one, other)| one != other).collect();
        assert!(differences.is_empty(), "{mode:?}: {differences:#?}");
        assert_eq!(found.lines().count(), expected.lines().count(), "{mode:?}");
    }
}

#[tokio::test]
async fn wasi_0_2_sockets_answer_as_on_wasmtime_wasi() {
    compare("sockets-probe").await;
}

#[tokio::test]
async fn wasi_0_3_sockets_answer_as_on_wasmtime_wasi() {
    compare("p3-sockets-probe").await;
}
