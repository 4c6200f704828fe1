//! What containers are charged with, what happens at their limits, and limits that change.

use std::sync::Arc;

use nacelle_container::output::CHANNEL_CHUNKS;
use nacelle_container::stats::MemoryStats;
use nacelle_container::{
    ContainerConfig, CreateError, ExitCause, MemoryScope, Resources, StdinMode, TrapKind, UpdateError,
};
use nacelle_infra::budget::Budget;
use nacelle_infra::network::ContainerNetwork;
use nacelle_wasm::AddressSpace;
use tokio::io::AsyncWriteExt as _;

use crate::support::{Host, Made, guest, infra_of, preview1, preview1_with};

const PAGE: u64 = 65536;

/// What a module with one instruction needs to start, adapter included.
async fn needed(host: &Host) -> u64 {
    let made = host.create(host.config(&preview1("")), None).await.unwrap();
    let bytes = made.container.stats().memory.usage;
    made.container.remove().await;
    bytes
}

#[tokio::test]
async fn a_limit_below_the_initial_need_is_told_with_both_numbers() {
    let host = Host::new();
    let mut config = host.config(&preview1(""));
    config.resources.memory = Some(PAGE);
    match host.error(config).await {
        CreateError::MemoryLimitTooLow { scope: MemoryScope::Container, limit, needed } => {
            assert_eq!(limit, PAGE);
            assert!(needed >= 2 * PAGE, "{needed}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_guest_that_dies_of_a_refused_growth_is_oom_killed() {
    let host = Host::new();
    let limit = needed(&host).await + 10 * PAGE;
    // As an allocator does: grow, and abort when there is none.
    let mut config = host.config(&preview1(
        "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 4)) (i32.const -1)))) unreachable",
    ));
    config.resources.memory = Some(limit);
    let made = host.create(config, None).await.unwrap();
    made.container.start().await.unwrap();
    match made.container.wait().await {
        ExitCause::OomKilled { scope: MemoryScope::Container, limit: told, asked } => {
            assert_eq!(told, limit);
            assert!(asked > limit && asked <= limit + 4 * PAGE, "{asked}");
        }
        other => panic!("{other:?}"),
    }
    let stats = made.container.stats();
    assert_eq!((stats.memory.linear, stats.memory.engine, stats.memory.buffers), (0, 0, 0));
    assert!(stats.memory.peak <= limit && stats.memory.peak > limit - 4 * PAGE);
}

#[tokio::test]
async fn a_guest_that_copes_with_a_refused_growth_lives_on() {
    let host = Host::new();
    let limit = needed(&host).await + PAGE;
    let mut config = host.config(&preview1("(call $exit (i32.eq (memory.grow (i32.const 2)) (i32.const -1)))"));
    config.resources.memory = Some(limit);
    assert_eq!(host.run(config).await.cause, ExitCause::Exited { code: 1 });

    // A later trap has nothing to do with it.
    let mut config =
        host.config(&preview1("(drop (memory.grow (i32.const 2))) (drop (memory.grow (i32.const 1))) unreachable"));
    config.resources.memory = Some(limit);
    let cause = host.run(config).await.cause;
    assert!(matches!(cause, ExitCause::Trapped { kind: TrapKind::Unreachable, .. }), "{cause:?}");
}

#[tokio::test]
async fn growth_beyond_the_guests_own_maximum_is_not_memory_trouble() {
    let host = Host::new();
    let text = preview1("(drop (memory.grow (i32.const 9))) unreachable").replace("\"memory\") 2", "\"memory\") 2 3");
    let mut config = host.config(&text);
    config.resources.memory = Some(64 * PAGE);
    assert!(matches!(host.run(config).await.cause, ExitCause::Trapped { .. }));
}

/// A container of a pod with this memory.
async fn create_in(host: &Host, pod: &Arc<Budget>, config: ContainerConfig) -> Result<Made, CreateError> {
    host.create_in(infra_of(ContainerNetwork::none(), pod), config, None).await
}

fn program(host: &Host, name: &str) -> ContainerConfig {
    host.config_of(&std::fs::read(guest(name)).unwrap())
}

fn memory(limit: u64) -> Resources {
    Resources { memory: Some(limit), ..Resources::default() }
}

#[tokio::test]
async fn a_limit_below_the_initial_need_names_whose_it_is() {
    let host = Host::new();
    // A command and an HTTP component of Rust: 17 pages at the start.
    for name in ["hello", "http-server"] {
        let pod = Budget::new(Some(10 * PAGE), None);
        let too_low = |config| async {
            match create_in(&host, &pod, config).await.err() {
                Some(error @ CreateError::MemoryLimitTooLow { scope, limit, needed }) => {
                    assert!(needed > 17 * PAGE, "{name}: {needed}");
                    let message = error.to_string();
                    assert!(message.contains(&limit.to_string()) && message.contains(&needed.to_string()), "{message}");
                    (scope, limit, message)
                }
                other => panic!("{name}: {other:?}"),
            }
        };
        let mut config = program(&host, name);
        let (scope, limit, message) = too_low(config.clone()).await;
        assert_eq!((scope, limit), (MemoryScope::Pod, 10 * PAGE));
        assert!(message.starts_with("the pod's memory limit"), "{message}");
        config.resources.memory = Some(9 * PAGE);
        let (scope, limit, _) = too_low(config).await;
        assert_eq!((scope, limit), (MemoryScope::Container, 9 * PAGE));
        assert_eq!(pod.used(), 0, "nothing stays of a container that was not made");
    }
}

#[tokio::test]
async fn what_is_said_to_be_needed_is_enough() {
    let host = Host::new();
    let mut config = program(&host, "hello");
    config.resources.memory = Some(1);
    let Err(CreateError::MemoryLimitTooLow { needed, .. }) = host.create(config.clone(), None).await else { panic!() };
    // The tables are not known beforehand.
    config.resources.memory = Some(needed + PAGE);
    assert!(host.create(config, None).await.is_ok());
}

#[tokio::test]
async fn a_container_is_shown_by_what_its_memory_is_used_for() {
    let host = Host::new();
    let made = host.create(program(&host, "hello"), None).await.unwrap();
    let MemoryStats { usage, peak, linear, engine, buffers, files, refused } = made.container.stats().memory;
    assert!(linear >= 17 * PAGE && linear % PAGE == 0, "{linear}");
    assert!((PAGE..2 * PAGE).contains(&engine), "{engine}");
    assert!(files > 0, "its root has a /tmp");
    assert_eq!((buffers, refused, usage), (0, 0, linear + engine + files));
    assert!(peak >= usage);
    made.container.kill().await;
    made.container.wait().await;
    let stats = made.container.stats().memory;
    assert_eq!((stats.linear, stats.engine, stats.peak), (0, 0, peak));
}

#[tokio::test]
async fn a_guest_that_dies_at_its_pods_limit_is_oom_killed_with_the_pods_limit() {
    let host = Host::new();
    let pod = Budget::new(Some(64 * PAGE), None);
    // Another container has most of it.
    pod.charge(32 * PAGE).unwrap();
    let mut config = program(&host, "memory-hog");
    config.argv = ["memory-hog", "abort", "64"].map(str::to_owned).to_vec();
    config.resources.memory = Some(60 * PAGE);
    let made = create_in(&host, &pod, config).await.unwrap();
    made.container.start().await.unwrap();
    match made.finish().await.cause {
        ExitCause::OomKilled { scope: MemoryScope::Pod, limit, asked } => {
            assert_eq!(limit, 64 * PAGE);
            assert!(asked > limit, "{asked}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(pod.used(), 32 * PAGE);
}

#[tokio::test]
async fn a_guest_that_copes_or_exits_has_not_died_of_memory() {
    let host = Host::new();
    let mut config = program(&host, "memory-hog");
    config.argv = ["memory-hog", "cope", "64"].map(str::to_owned).to_vec();
    config.resources.memory = Some(100 * PAGE);
    let ran = host.run(config).await;
    assert_eq!(ran.cause, ExitCause::Exited { code: 0 });
    assert!(ran.stdout.contains("refused after"), "{}", ran.stdout);
    // As Python does: told, and its own exit.
    let limit = needed(&host).await;
    let mut config = host.config(&preview1("(drop (memory.grow (i32.const 2))) (call $exit (i32.const 1))"));
    config.resources.memory = Some(limit);
    assert_eq!(host.run(config).await.cause, ExitCause::Exited { code: 1 });
    // A division by zero has another cause, even right after.
    let mut config =
        host.config(&preview1("(drop (memory.grow (i32.const 2))) (drop (i32.div_u (i32.const 1) (i32.const 0)))"));
    config.resources.memory = Some(limit);
    let cause = host.run(config).await.cause;
    assert!(matches!(cause, ExitCause::Trapped { kind: TrapKind::Arithmetic, .. }), "{cause:?}");
}

/// Writes to a file until that fails, and traps if it was for want of space.
fn filler() -> String {
    let open = r#"(import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32))) (memory (export"#;
    let text = preview1_with(
        "(drop (call $open (i32.const 3) (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 1)
             (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 16)))
         (i32.store (i32.const 0) (i32.const 65536))
         (i32.store (i32.const 4) (i32.const 65536))
         (loop $more
             (local.set $errno (call $write (i32.load (i32.const 16)) (i32.const 0) (i32.const 1) (i32.const 8)))
             (br_if $more (i32.eqz (local.get $errno))))
         (if (i32.eq (local.get $errno) (i32.const 51)) (then unreachable))",
        r#"(data (i32.const 64) "f")"#,
    );
    text.replacen("(memory (export", open, 1).replacen(
        "(func (export \"_start\") ",
        "(func (export \"_start\") (local $errno i32) ",
        1,
    )
}

#[tokio::test]
async fn what_the_host_refuses_is_an_error_code_and_no_death_by_memory() {
    let host = Host::new();
    let mut config = host.config(&filler());
    let limit = needed(&host).await + 40 * PAGE;
    config.resources.memory = Some(limit);
    let made = host.create(config, None).await.unwrap();
    made.container.start().await.unwrap();
    let cause = made.container.wait().await;
    // It was told ENOSPC, and it is its own doing that it did not like that.
    assert!(matches!(cause, ExitCause::Trapped { kind: TrapKind::Unreachable, .. }), "{cause:?}");
    let stats = made.container.stats().memory;
    assert!(stats.peak > limit - 2 * PAGE && stats.refused > 0, "{stats:?}");
}

/// Waits for a byte of input, and grows by four pages: 0 if it got them.
const GROW_WHEN_TOLD: &str = "
    (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 1))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (call $exit (i32.eq (memory.grow (i32.const 4)) (i32.const -1)))";

/// What becomes of that guest under its need, when `update` is made while it waits.
async fn grow_after(host: &Host, update: impl AsyncFnOnce(&Made, u64)) -> ExitCause {
    let mut config = host.config(&preview1(GROW_WHEN_TOLD));
    config.stdin = StdinMode::Open { once: true };
    let limit = needed(host).await + PAGE;
    config.resources.memory = Some(limit);
    let (mut input, reader) = tokio::io::duplex(16);
    let made = host.create(config, Some(Box::new(reader))).await.unwrap();
    made.container.start().await.unwrap();
    update(&made, limit).await;
    input.write_all(b"x").await.unwrap();
    made.finish().await.cause
}

#[tokio::test]
async fn a_limit_is_raised_and_lowered_while_the_guest_runs() {
    let host = Host::new();
    assert_eq!(grow_after(&host, async |_, _| {}).await, ExitCause::Exited { code: 1 });
    let raised = async |made: &Made, limit| made.container.update(&memory(limit + 8 * PAGE)).await.unwrap();
    assert_eq!(grow_after(&host, raised).await, ExitCause::Exited { code: 0 });
    let lifted = async |made: &Made, _| made.container.update(&Resources::default()).await.unwrap();
    assert_eq!(grow_after(&host, lifted).await, ExitCause::Exited { code: 0 });
    let raised_and_lowered = async |made: &Made, limit: u64| {
        made.container.update(&memory(limit + 8 * PAGE)).await.unwrap();
        made.container.update(&memory(limit)).await.unwrap();
    };
    assert_eq!(grow_after(&host, raised_and_lowered).await, ExitCause::Exited { code: 1 });
}

#[tokio::test]
async fn a_limit_does_not_go_below_what_is_in_use() {
    let host = Host::new();
    let refused = async |made: &Made, limit: u64| {
        let used = made.container.stats().memory.usage;
        let refused = made.container.update(&memory(used - 1)).await.unwrap_err();
        assert_eq!(refused, UpdateError::MemoryInUse { limit: used - 1, used });
        // It has what it had, which is room for one page and not for four.
        assert_eq!(made.container.update(&memory(limit)).await, Ok(()));
    };
    assert_eq!(grow_after(&host, refused).await, ExitCause::Exited { code: 1 });
    let made = host.create(host.config(&preview1("")), None).await.unwrap();
    made.container.start().await.unwrap();
    made.container.wait().await;
    assert_eq!(made.container.update(&memory(1 << 30)).await, Err(UpdateError::NotRunning));
}

#[tokio::test]
async fn guests_run_without_address_space_in_advance() {
    let host = Host::with(|config| config.address_space = AddressSpace::Small);
    let mut config = program(&host, "memory-hog");
    config.argv = ["memory-hog", "cope", "8"].map(str::to_owned).to_vec();
    let ran = host.run(config.clone()).await;
    assert_eq!(ran.cause, ExitCause::Exited { code: 0 });
    assert!(ran.stdout.ends_with("done with 8 MiB\n"), "{}", ran.stdout);
    // An access outside of a memory is found there, too, by the code itself.
    let cause = host.run_text(&preview1("(drop (i32.load (i32.const 0x7fff0000)))")).await.cause;
    assert!(matches!(cause, ExitCause::Trapped { kind: TrapKind::OutOfBounds, .. }), "{cause:?}");
}

#[tokio::test]
async fn code_of_one_layout_is_not_run_in_the_other() {
    let ample = Host::with(|config| config.address_space = AddressSpace::Ample);
    let cache = ample.path("cache");
    let small = Host::with(|config| {
        config.address_space = AddressSpace::Small;
        config.cache_dir.clone_from(&cache);
    });
    for host in [&ample, &small] {
        assert_eq!(host.run_text(&preview1("")).await.cause, ExitCause::Exited { code: 0 });
    }
    let programs = std::fs::read_dir(cache)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "cwasm"));
    assert_eq!(programs.count(), 2);
}

/// A command of this version of WASI that makes fields for ever, and does `more` with each.
fn fields_for_ever(version: &str, more: &str) -> String {
    let errors = if version == "0.2.0" { "" } else { r#"(case "size-exceeded") (case "other" (option string))"# };
    format!(
        r#"(component
            (import "wasi:http/types@{version}" (instance $types
                (export "fields" (type $fields (sub resource)))
                (type $error' (variant (case "invalid-syntax") (case "forbidden") (case "immutable") {errors}))
                (export "header-error" (type $error (eq $error')))
                (export "[constructor]fields" (func (result (own $fields))))
                (export "[method]fields.append" (func (param "self" (borrow $fields)) (param "name" string)
                    (param "value" (list u8)) (result (result (error $error)))))
            ))
            (core module $memory
                (memory (export "memory") 2)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable))
            (core instance $store (instantiate $memory))
            (alias core export $store "memory" (core memory $memory))
            (alias core export $store "realloc" (core func $realloc))
            (core func $fields (canon lower (func $types "[constructor]fields")))
            (core func $append (canon lower (func $types "[method]fields.append") (memory $memory) (realloc $realloc)))
            (core module $module
                (import "store" "memory" (memory 2))
                (import "host" "fields" (func $fields (result i32)))
                (import "host" "append" (func $append (param i32 i32 i32 i32 i32 i32)))
                (func (export "run") (result i32) (local $made i32)
                    (memory.fill (i32.const 0) (i32.const 97) (i32.const 65536))
                    (loop $more (local.set $made (call $fields)) {more} (br $more))
                    (i32.const 0)))
            (core instance $instance (instantiate $module
                (with "store" (instance $store))
                (with "host" (instance (export "fields" (func $fields)) (export "append" (func $append))))))
            (func $run (result (result)) (canon lift (core func $instance "run")))
            (instance $exported (export "run" (func $run)))
            (export "wasi:cli/run@{version}" (instance $exported)))"#
    )
}

#[tokio::test]
async fn what_the_host_keeps_for_a_guest_is_charged() {
    let host = Host::new();
    // A handle each, and fields of 60,000 bytes each.
    let append = "(call $append (local.get $made) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 60000)
        (i32.const 65536))";
    for (version, more) in [("0.2.0", ""), ("0.2.0", append), ("0.3.0", ""), ("0.3.0", append)] {
        let mut config = host.config(&fields_for_ever(version, more));
        let limit = 4 << 20;
        config.resources.memory = Some(limit);
        let made = host.create(config, None).await.unwrap();
        made.container.start().await.unwrap();
        let cause = made.container.wait().await;
        assert!(
            matches!(cause, ExitCause::OomKilled { scope: MemoryScope::Container, .. }),
            "{version} {more}: {cause:?}"
        );
        let stats = made.container.stats().memory;
        assert!(stats.peak <= limit && stats.peak > limit / 2, "{version} {more}: {stats:?}");
        assert_eq!(stats.usage, 0, "{version} {more}: {stats:?}");
    }
}

#[tokio::test]
async fn output_that_nobody_has_read_is_charged() {
    let host = Host::new();
    let config =
        host.config(&preview1("(loop $more (call $put (i32.const 1) (i32.const 0) (i32.const 65536)) (br $more))"));
    let mut made = host.create(config, None).await.unwrap();
    made.container.start().await.unwrap();
    while made.output.len() < CHANNEL_CHUNKS {
        tokio::task::yield_now().await;
    }
    // The adapter of core modules writes so much at a time.
    assert_eq!(made.container.stats().memory.buffers, CHANNEL_CHUNKS as u64 * 4096);
    made.container.kill().await;
    while made.output.recv().await.is_some() {}
    made.container.wait().await;
    assert_eq!(made.container.stats().memory.buffers, 0);
}
