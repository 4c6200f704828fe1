use nacelle_container::{CreateError, ExitCause, TrapKind};

use crate::support::{Host, component, preview1, preview1_with};

#[tokio::test]
async fn a_module_that_returns_exits_with_0() {
    let host = Host::new();
    assert_eq!(host.run_text(&preview1("")).await.cause, ExitCause::Exited { code: 0 });
}

#[tokio::test]
async fn a_module_without_imports_runs_too() {
    let ran = Host::new().run_text(r#"(module (memory (export "memory") 1) (func (export "_start")))"#).await;
    assert_eq!(ran.cause, ExitCause::Exited { code: 0 });
}

#[tokio::test]
async fn proc_exit_is_exact() {
    let host = Host::new();
    for code in [0, 1, 42, 255] {
        let ran = host.run_text(&preview1(&format!("(call $exit (i32.const {code}))"))).await;
        assert_eq!(ran.cause, ExitCause::Exited { code });
        assert_eq!(ran.stderr, "");
    }
}

#[tokio::test]
async fn exit_with_code_is_exact() {
    let host = Host::new();
    for code in [0, 1, 42, 255] {
        let text = component("0.2.12", &format!("(call $exit (i32.const {code})) unreachable"));
        assert_eq!(host.run_text(&text).await.cause, ExitCause::Exited { code });
    }
}

#[tokio::test]
async fn an_error_from_run_is_exit_code_1() {
    let host = Host::new();
    assert_eq!(host.run_text(&component("0.2.3", "i32.const 0")).await.cause, ExitCause::Exited { code: 0 });
    assert_eq!(host.run_text(&component("0.2.3", "i32.const 1")).await.cause, ExitCause::Exited { code: 1 });
}

#[tokio::test]
async fn a_command_of_wasi_0_3_runs() {
    let host = Host::new();
    let text = component("0.3.0", "(call $exit (i32.const 42)) unreachable")
        .replace("(result (result))", "async (result (result))");
    assert_eq!(host.run_text(&text).await.cause, ExitCause::Exited { code: 42 });
}

#[tokio::test]
async fn traps_have_kinds_a_message_and_a_backtrace_in_the_log() {
    let host = Host::new();
    let cases = [
        ("unreachable", TrapKind::Unreachable, "wasm trap: wasm `unreachable` instruction executed"),
        ("(call $deeper (i32.const 0))", TrapKind::StackOverflow, "wasm trap: call stack exhausted"),
        ("(drop (i32.load (i32.const -8)))", TrapKind::OutOfBounds, "wasm trap: out of bounds memory access"),
        (
            "(drop (i32.div_s (i32.const 1) (i32.load (i32.const 64))))",
            TrapKind::Arithmetic,
            "wasm trap: integer divide by zero",
        ),
        ("(call_indirect (type $none) (i32.const 0))", TrapKind::BadCall, "wasm trap: uninitialized element"),
    ];
    let fields = r#"(type $none (func)) (table 1 funcref)
        (func $deeper (param i32) (call $deeper (i32.add (local.get 0) (i32.const 1))) (i32.store (i32.const 96) (local.get 0)))"#;
    for (body, kind, message) in cases {
        let ran = host.run_text(&preview1_with(body, fields)).await;
        assert_eq!(ran.cause, ExitCause::Trapped { kind, message: message.into() }, "{body}");
        assert!(ran.stderr.contains("wasm backtrace:"), "{}", ran.stderr);
        assert!(!ran.stderr.contains("wasmtime"), "the runtime's own frames: {}", ran.stderr);
        assert!(ran.stderr.contains(message) && ran.stderr.ends_with('\n'), "{}", ran.stderr);
    }
}

#[tokio::test]
async fn a_trap_while_instantiating_is_the_containers_end() {
    let host = Host::new();
    let text = r#"(component
        (core module $m (func $boom unreachable) (start $boom) (func (export "run") (result i32) (i32.const 0)))
        (core instance $i (instantiate $m))
        (func $run (result (result)) (canon lift (core func $i "run")))
        (instance $exported (export "run" (func $run)))
        (export "wasi:cli/run@0.2.0" (instance $exported)))"#;
    let ran = host.run_text(text).await;
    assert!(matches!(ran.cause, ExitCause::Trapped { kind: TrapKind::Unreachable, .. }), "{ran:?}");
}

#[tokio::test]
async fn what_is_no_program_is_said_to_be_none() {
    let host = Host::new();
    let whole = wat::parse_str(preview1("")).unwrap();
    let component = wat::parse_str(component("0.2.3", "i32.const 0")).unwrap();
    let mut unknown_instruction = wat::parse_str(preview1("(drop (i32.const 1234567))")).unwrap();
    let at = unknown_instruction.windows(4).position(|bytes| bytes == [0x41, 0x87, 0xad, 0xcb]).unwrap();
    unknown_instruction[at] = 0xff;
    let no_memory = wat::parse_str(r#"(module (func (export "_start")))"#).unwrap();
    let cases: [(&[u8], &str); 7] = [
        (b"#!/bin/sh\n", "not a WebAssembly program"),
        (b"", "it has only 0 bytes"),
        (&whole[..whole.len() - 3], "damaged"),
        (&component[..component.len() / 2], "damaged"),
        (b"\0asm\x0e\0\x01\0", "binary version 0xe"),
        (&unknown_instruction, "features that this runtime does not know"),
        (&no_memory, "it exports no memory"),
    ];
    for (bytes, words) in cases {
        match host.error(host.config_of(bytes)).await {
            CreateError::BadProgram { path, reason } => {
                assert!(path.ends_with(".wasm"));
                assert!(reason.contains(words), "{reason}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn libraries_and_foreign_imports_are_named() {
    let host = Host::new();
    let library = r#"(component (core module $m (func (export "f")))
        (core instance $i (instantiate $m)) (func (export "f") (canon lift (core func $i "f"))))"#;
    let error = host.error(host.config(library)).await.to_string();
    assert!(error.ends_with("it exports neither wasi:cli/run nor an HTTP handler, but f"), "{error}");

    let foreign = component("0.2.3", "i32.const 0")
        .replace("(component", r#"(component (import "acme:gpu/draw@1.0.0" (instance (export "line" (func))))"#);
    match host.error(host.config(&foreign)).await {
        CreateError::MissingImport { import, .. } => assert_eq!(import, "acme:gpu/draw@1.0.0"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_program_that_changed_is_not_run() {
    let host = Host::new();
    let config = host.config(&preview1(""));
    let nacelle_container::Program::Wasm { path, .. } = &config.program else { panic!("{:?}", config.program) };
    std::fs::write(path, wat::parse_str(preview1("unreachable")).unwrap()).unwrap();
    let error = host.error(config).await.to_string();
    assert!(error.contains("its content has changed"), "{error}");
}
