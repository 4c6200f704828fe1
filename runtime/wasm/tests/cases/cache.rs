use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::ExitCode;

use nacelle_container::ExitCause;
use nacelle_wasm::{Compiler, Pooling, WasmBackend, WasmConfig, WasmError};

use crate::support::{Host, guest, preview1};

const GUEST: &str = "(call $exit (i32.const 5))";

fn entries(host: &Host, extension: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(host.path("cache")).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
}

/// The same directory as a new process would see it.
fn again(host: &Host) -> WasmBackend {
    let mut config = WasmConfig::new(host.path("cache"));
    config.pooling = Pooling::OnDemand;
    // Compiling would fail: this shows that the cache was used.
    config.compiler = Compiler::Subprocess { exe: "/bin/false".into(), args: Vec::new() };
    WasmBackend::new(config).unwrap()
}

#[tokio::test]
async fn a_second_start_does_not_compile() {
    let mut host = Host::new();
    let config = host.config(&preview1(GUEST));
    assert_eq!(host.run(config.clone()).await.cause, ExitCause::Exited { code: 5 });
    assert_eq!((entries(&host, "cwasm").len(), entries(&host, "seal").len()), (1, 1));
    // Compiled code does not depend on how instances get their memory.
    host.backend = again(&host);
    assert_eq!(host.run(config).await.cause, ExitCause::Exited { code: 5 });
}

#[tokio::test]
async fn compiling_is_not_charged_to_the_container() {
    let host = Host::new();
    let config = host.config_of(&fs::read(guest("hello")).unwrap());
    let before = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let made = host.create(config, None).await.unwrap();
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime) - before;
    assert_eq!(entries(&host, "cwasm").len(), 1, "it was compiled");
    // Its instantiation is its own, and a small part of all.
    let charged = u128::from(made.container.stats().cpu.usage_nanos);
    let spent = std::time::Duration::try_from(spent).unwrap().as_nanos();
    assert!(charged * 4 < spent, "{charged} of {spent} ns");
    made.container.remove().await;
}

#[tokio::test]
async fn damaged_and_foreign_entries_are_rebuilt() {
    let mut host = Host::new();
    let config = host.config(&preview1(GUEST));
    host.backend.prepare(&config.program).await.unwrap();
    let code = entries(&host, "cwasm").remove(0);
    let good = fs::read(&code).unwrap();

    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0xff;
    for bad in [&flipped, &good[..good.len() / 2].to_vec(), &Vec::new()] {
        fs::write(&code, bad).unwrap();
        host.backend = again(&host);
        let error = host.error(config.clone()).await.to_string();
        assert!(error.contains("cannot compile"), "the damage was not seen: {error}");
        host.backend = Host::new_in(&host);
        assert_eq!(host.run(config.clone()).await.cause, ExitCause::Exited { code: 5 });
        assert_eq!(fs::read(&code).unwrap().len(), good.len());
    }
}

#[tokio::test]
async fn many_containers_of_one_program_compile_it_once() {
    let host = Host::new();
    let config = host.config(&preview1(GUEST));
    let many = futures::future::join_all((0..8).map(|_| host.run(config.clone()))).await;
    assert!(many.iter().all(|ran| ran.cause == ExitCause::Exited { code: 5 }), "{many:?}");
    assert_eq!(entries(&host, "cwasm").len(), 1);
}

#[tokio::test]
async fn two_processes_do_not_disturb_each_other() {
    // Two backends share nothing but the directory and its locks.
    let host = Host::new();
    let other = Host { backend: Host::new_in(&host), dir: tempfile::tempdir().unwrap() };
    let config = host.config(&preview1(GUEST));
    let (one, two) = tokio::join!(host.run(config.clone()), other.run(config));
    assert_eq!((one.cause.code(), two.cause.code()), (5, 5));
    assert_eq!(entries(&host, "cwasm").len(), 1);
}

#[tokio::test]
async fn failures_of_the_compiler_process_are_passed_on() {
    let compiler =
        |script: &str| Compiler::Subprocess { exe: "/bin/sh".into(), args: vec!["-c".into(), script.into()] };
    for (script, words) in [
        ("echo the program is odd >&2; exit 2", "guest.wasm: the program is odd"),
        ("echo no memory >&2; exit 1", "guest.wasm: cannot compile: no memory"),
        // Signals meant for a whole group, as Ctrl-C is, stay within the compiler's.
        ("kill -9 0", "cannot compile: the compiler process ended with signal: 9"),
    ] {
        let host = Host::with(|config| config.compiler = compiler(script));
        let error = host.error(host.config(&preview1(GUEST))).await.to_string();
        let named = error.split_once(".wasm").map(|(_, rest)| format!("guest.wasm{rest}")).unwrap();
        assert!(named.contains(words), "{error}");
        assert!(entries(&host, "cwasm").is_empty());
    }
}

/// Not a test of its own: the compiler process of the next one, which starts this binary again.
#[test]
fn compiler_process() {
    let args: Vec<_> = std::env::args_os().collect();
    if let Some(at) = args.iter().position(|arg| arg == "--exact") {
        let code = nacelle_wasm::compile_worker_main(args[at + 1..].iter().cloned());
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::SUCCESS));
    }
}

#[tokio::test]
async fn a_compiler_process_gives_the_same_code() {
    let host = Host::with(|config| {
        config.compiler = Compiler::Subprocess {
            exe: std::env::current_exe().unwrap(),
            args: vec!["cache::compiler_process".into(), "--exact".into()],
        };
    });
    assert_eq!(host.run_text(&preview1(GUEST)).await.cause, ExitCause::Exited { code: 5 });
    assert_eq!(entries(&host, "cwasm").len(), 1);
}

#[test]
fn a_cache_that_others_can_write_to_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    match WasmBackend::new(WasmConfig::new(dir.path())) {
        Err(WasmError::Cache { path, .. }) => assert_eq!(path, dir.path()),
        other => panic!("{:?}", other.err()),
    }
}

impl Host {
    /// A new backend in the directory of another.
    fn new_in(host: &Host) -> WasmBackend {
        let mut config = WasmConfig::new(host.path("cache"));
        config.pooling = Pooling::OnDemand;
        WasmBackend::new(config).unwrap()
    }
}
