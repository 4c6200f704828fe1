//! The samples on wasmtime-wasi itself: what WASI's own implementation answers.

use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Config, Engine, Store};
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::{I32Exit, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView, p2, p3};

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

/// What a sample prints on wasmtime-wasi, with what `grant` lets it have.
pub(crate) async fn on_wasmtime_wasi(name: &str, args: &[&str], grant: impl FnOnce(&mut WasiCtxBuilder)) -> String {
    let mut config = Config::new();
    config.wasm_component_model_async(true);
    let engine = Engine::new(&config).unwrap();
    let component = Component::from_file(&engine, guest(name)).unwrap();
    let mut linker = Linker::<State>::new(&engine);
    p2::add_to_linker_async(&mut linker).unwrap();
    p3::add_to_linker(&mut linker).unwrap();
    let (stdout, stderr) = (MemoryOutputPipe::new(1 << 20), MemoryOutputPipe::new(1 << 20));
    let mut ctx = WasiCtx::builder();
    ctx.arg(name).args(args).stdout(stdout.clone()).stderr(stderr.clone());
    grant(&mut ctx);
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
    let is_success = match &exit {
        Ok(outcome) => outcome.is_ok(),
        Err(error) => error.downcast_ref::<I32Exit>().is_some_and(|exit| exit.0 == 0),
    };
    assert!(is_success, "{exit:?}: {}", String::from_utf8_lossy(&stderr.contents()));
    String::from_utf8(stdout.contents().to_vec()).unwrap()
}
