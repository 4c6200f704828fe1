//! The wasmtime engines: their settings.
//!
//! Guests pay for concurrency whether they use it or not: each call of the host is then a task of its own, and opening,
//! reading and closing a file in memory takes a fifth more time. So a program that does not need it does without; which
//! do is [`Model`]'s to say.
//!
//! Compiled code depends on these settings: [`compatibility_key`] covers them, and the cache is keyed by it.

use std::hash::{Hash, Hasher};

use sha2::{Digest, Sha256};
use wasmtime::{Config, Enabled, Engine, PoolingAllocationConfig};

use crate::address_space::Layout;
use crate::config::Pooling;
use crate::model::Model;

/// Bytes of stack that guest code may use before it traps.
const MAX_WASM_STACK: usize = 1024 * 1024;
/// Bytes of a fiber's stack: the guest's and that of the host functions it calls.
const ASYNC_STACK: usize = 2 * 1024 * 1024;

/// Bytes of a memory's slot that are cleared by writing over them when an instance ends, rather than given back to the
/// kernel: that is a system call which interrupts all other threads. What a small guest uses for one request fits.
const KEPT_MEMORY: usize = 256 * 1024;
/// The same of a table.
const KEPT_TABLE: usize = 16 * 1024;
/// How many slots are given back to the kernel at a time.
const DECOMMIT_BATCH: usize = 64;
/// The same where instances end after a moment: none of them has much to give back, and a place that is used again at once
/// is still in the caches.
const DECOMMIT_BATCH_CHECKED: usize = 1;

/// Bytes by which a memory may grow without being moved, where none are reserved at the start.
const GROWTH: u64 = 64 * 1024;

/// What code is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code {
    /// The address space that it may take.
    pub(crate) layout: Layout,
    /// Whether it counts what it executes.
    pub(crate) metering: Metering,
    /// What programs ask of it.
    pub(crate) model: Model,
}

/// Whether code counts what it executes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Metering {
    /// Only the time it takes is measured, from outside.
    Time,
    /// It counts fuel, which makes it a little slower.
    Fuel,
}

impl Code {
    /// All kinds there are, the more frequent first.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let kinds = [
            (Metering::Time, Layout::Ample),
            (Metering::Time, Layout::Small),
            (Metering::Time, Layout::Checked),
            (Metering::Fuel, Layout::Ample),
            (Metering::Fuel, Layout::Small),
        ];
        kinds.into_iter().flat_map(|(metering, layout)| Model::ALL.map(|model| Self { layout, metering, model }))
    }
}

/// Settings that compiled code depends on: the same for every engine of this crate for this kind of code.
fn base_config(code: Code) -> Config {
    let concurrent = code.model == Model::Concurrent;
    let mut config = Config::new();
    config.consume_fuel(code.metering == Metering::Fuel);
    match code.layout {
        Layout::Ample => {}
        Layout::Small => {
            config
                .memory_reservation(0)
                .memory_reservation_for_growth(GROWTH)
                .memory_guard_size(0)
                .guard_before_linear_memory(false)
                .gc_heap_reservation(0)
                .gc_heap_reservation_for_growth(GROWTH)
                .gc_heap_guard_size(0);
        }
        // Code that relies on a signal for anything relies on pages being inaccessible, too.
        Layout::Checked => {
            config.signals_based_traps(false).memory_guard_size(0).guard_before_linear_memory(false);
        }
    }
    config
        .epoch_interruption(true)
        .wasm_component_model(true)
        .concurrency_support(concurrent)
        .wasm_component_model_async(concurrent)
        .max_wasm_stack(MAX_WASM_STACK)
        .async_stack_size(ASYNC_STACK);
    config
}

/// An engine that compiles but never runs a guest.
pub(crate) fn compile_engine(code: Code) -> wasmtime::Result<Engine> {
    Engine::new(&base_config(code))
}

/// An engine that runs guests. Without ample address space there is no pool.
pub(crate) fn run_engine(pooling: Pooling, code: Code) -> wasmtime::Result<Engine> {
    let batch = match code.layout {
        Layout::Ample => Some(DECOMMIT_BATCH),
        Layout::Checked => Some(DECOMMIT_BATCH_CHECKED),
        Layout::Small => None,
    };
    if let (Pooling::Pooled { instances }, Some(batch)) = (pooling, batch) {
        let mut config = base_config(code);
        config.allocation_strategy(pool(instances, batch));
        match Engine::new(&config) {
            Ok(engine) => return Ok(engine),
            Err(error) => {
                tracing::warn!(%error, instances, "no pool of instances; each one maps its own memory");
            }
        }
    }
    Engine::new(&base_config(code))
}

fn pool(instances: u32, batch: usize) -> PoolingAllocationConfig {
    // An adapted core module is one component instance, up to four core instances, two memories and two tables;
    // a Python component has about ten core instances.
    let core = instances.saturating_mul(10);
    let memories = instances.saturating_mul(2);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(core)
        .total_memories(memories)
        .total_tables(instances.saturating_mul(4))
        .total_stacks(instances)
        .total_gc_heaps(instances)
        .max_memories_per_module(8)
        .max_tables_per_module(8)
        .table_elements(50_000)
        .linear_memory_keep_resident(KEPT_MEMORY)
        .table_keep_resident(KEPT_TABLE)
        .decommit_batch_size(batch)
        // Where the kernel can tell (Linux 6.7), only what was written to is cleared.
        .pagemap_scan(Enabled::Auto);
    pool
}

/// What code compiled with `engine` depends on, in hexadecimal.
pub(crate) fn compatibility_key(engine: &Engine) -> String {
    struct Sha(Sha256);
    impl Hasher for Sha {
        fn finish(&self) -> u64 {
            0
        }
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
    }
    let mut hasher = Sha(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    crate::hex(&hasher.0.finalize())
}

#[cfg(test)]
mod tests {
    use wasmtime::{Instance, Module, Store, Trap};

    use super::*;

    /// Functions that each end by one trap; `grown` is one place beyond what there is, also after others had more.
    const TRAPS: &str = r#"(module
        (memory 1 3) (table 1 funcref) (type $nothing (func))
        (func (export "load") (drop (i32.load (i32.const 0x10000))))
        (func (export "store") (i64.store (i32.const 0xfff9) (i64.const 1)))
        (func (export "far") (drop (i32.load8_u offset=0xfffffff0 (i32.const -1))))
        (func (export "fill") (memory.fill (i32.const 0xffff) (i32.const 1) (i32.const 2)))
        (func (export "grown")
            (if (i32.ne (memory.grow (i32.const 1)) (i32.const 1)) (then (unreachable)))
            (if (i32.load (i32.const 0x1fffc)) (then (unreachable)))
            (i32.store (i32.const 0x1fffc) (i32.const 1))
            (drop (i32.load (i32.const 0x20000))))
        (func (export "null") (call_indirect (type $nothing) (i32.const 0)))
        (func (export "index") (call_indirect (type $nothing) (i32.const 7)))
        (func (export "zero") (drop (i32.div_s (i32.const 1) (i32.load (i32.const 0)))))
        (func (export "unreachable") (unreachable))
        (func $deeper (export "stack") (call $deeper)))"#;

    const EXPECTED: [(&str, Trap); 10] = [
        ("load", Trap::MemoryOutOfBounds),
        ("store", Trap::MemoryOutOfBounds),
        ("far", Trap::MemoryOutOfBounds),
        ("fill", Trap::MemoryOutOfBounds),
        ("grown", Trap::MemoryOutOfBounds),
        ("null", Trap::IndirectCallToNull),
        ("index", Trap::TableOutOfBounds),
        ("zero", Trap::IntegerDivisionByZero),
        ("unreachable", Trap::UnreachableCodeReached),
        ("stack", Trap::StackOverflow),
    ];

    #[test]
    fn guests_trap_alike_whatever_their_code_is_compiled_for_and_whoever_had_their_memory_before() {
        for code in Code::all() {
            let engine = run_engine(Pooling::Pooled { instances: 1 }, code).unwrap();
            let module = Module::new(&engine, wat::parse_str(TRAPS).unwrap()).unwrap();
            // More than once: each gets what another one left.
            for (name, expected) in EXPECTED.into_iter().cycle().take(3 * EXPECTED.len()) {
                let mut store = Store::new(&engine, ());
                store.set_epoch_deadline(1);
                if code.metering == Metering::Fuel {
                    store.set_fuel(u64::MAX).unwrap();
                }
                let instance = Instance::new(&mut store, &module, &[]).unwrap();
                let function = instance.get_typed_func::<(), ()>(&mut store, name).unwrap();
                let error = function.call(&mut store, ()).unwrap_err();
                assert_eq!(error.downcast_ref::<Trap>(), Some(&expected), "{name}, {code:?}");
            }
        }
    }
}
