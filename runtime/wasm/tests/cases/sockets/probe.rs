//! What a guest can find out about its sockets is the same here as on wasmtime-wasi with the kernel's sockets.

use nacelle_container::ExitCause;
use nacelle_infra::network::NetworkMode;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Config, Engine, Store};
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView, p2, p3};

use super::World;
use crate::support::guest;

struct State {
    ctx: WasiCtx,
    table: ResourceTable,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.ctx, table: &mut self.table }
    }
}

/// What a sample prints on wasmtime-wasi, on the host's loopback.
async fn on_wasmtime_wasi(name: &str) -> String {
    let mut config = Config::new();
    config.wasm_component_model_async(true);
    let engine = Engine::new(&config).unwrap();
    let component = Component::from_file(&engine, guest(name)).unwrap();
    let mut linker = Linker::<State>::new(&engine);
    p2::add_to_linker_async(&mut linker).unwrap();
    p3::add_to_linker(&mut linker).unwrap();
    let (stdout, stderr) = (MemoryOutputPipe::new(1 << 20), MemoryOutputPipe::new(1 << 20));
    let mut ctx = WasiCtx::builder();
    ctx.inherit_network()
        .allow_tcp(true)
        .allow_udp(true)
        .allow_ip_name_lookup(true)
        .stdout(stdout.clone())
        .stderr(stderr.clone());
    let ctx = ctx.build();
    let mut store = Store::new(&engine, State { ctx, table: ResourceTable::new() });
    let pre = linker.instantiate_pre(&component).unwrap();
    let exit = if let Ok(pre) = p2::bindings::CommandPre::new(pre.clone()) {
        let command = pre.instantiate_async(&mut store).await.unwrap();
        command.wasi_cli_run().call_run(&mut store).await
    } else {
        let command = p3::bindings::CommandPre::new(pre).unwrap().instantiate_async(&mut store).await.unwrap();
        store.run_concurrent(async |accessor| command.wasi_cli_run().call_run(accessor).await).await.unwrap()
    };
    drop(store);
    assert!(matches!(exit, Ok(Ok(()))), "{exit:?}: {}", String::from_utf8_lossy(&stderr.contents()));
    String::from_utf8(stdout.contents().to_vec()).unwrap()
}

/// What a sample prints in a pod.
async fn in_pod(name: &str, mode: NetworkMode) -> String {
    let world = World::new();
    let pod = world.pod_in("pod", mode).await;
    let ran = world.run(pod.container("guest"), name, &[]).await;
    assert_eq!(ran.cause, ExitCause::Exited { code: 0 }, "{}\n{}", ran.stdout, ran.stderr);
    ran.stdout
}

async fn compare(name: &str) {
    let expected = on_wasmtime_wasi(name).await;
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
