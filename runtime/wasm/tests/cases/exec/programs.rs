//! What a name means, and how programs end.

use nacelle_container::{ExecError, ExitCause, TrapKind};

use super::{Running, WAITS, request};
use crate::support::{component, preview1_with};

fn exits(code: u8) -> String {
    format!("(call $exit (i32.const {code}))")
}

#[tokio::test]
async fn programs_are_found_as_a_shell_finds_them() {
    let running = Running::with(|config| {
        config.working_dir = "/home".into();
        config.argv = vec!["/main.wasm".into()];
    })
    .await;
    running.install("/bin/tool", &exits(3));
    running.install("/home/local", &exits(4));
    running.install("/bin/ls", &exits(5));
    let cases =
        [("/bin/tool", 3), ("tool", 3), ("./local", 4), ("../bin/tool", 3), ("local", 4), ("ls", 5), ("/bin/ls", 5)];
    for (name, code) in cases {
        assert_eq!(running.code(&[name]).await.0, code, "{name}");
    }
    // No such file: a command that every container has.
    assert_eq!(running.code(&["echo", "a"]).await, (0, "a\n".into()));
    assert_eq!(running.code(&["/bin/echo", "a"]).await, (0, "a\n".into()));
    // Data in the working directory is no program.
    running.write("/home/test", b"data");
    assert_eq!(running.code(&["test", "-f", "test"]).await.0, 0);
}

#[tokio::test]
async fn what_cannot_be_run_is_126_and_what_is_not_there_127() {
    let running = Running::new().await;
    running.write("/bin/text", b"hello");
    running.write("/bin/elf", b"\x7fELF\x02");
    running.write("/bin/broken", b"\0asm\x01\0\0\0junk");
    running.write("/bin/library", &wat::parse_str("(component)").unwrap());
    for (name, words) in [
        ("/none", "exec: \"/none\": no such file or directory"),
        ("none", "exec: \"none\": executable file not found in $PATH"),
        ("ps", "exec: \"ps\": executable file not found in $PATH"),
        ("", "exec: \"\": no program is named"),
    ] {
        assert_eq!(running.code(&[name]).await, (127, words.to_owned()), "{name}");
    }
    for (name, words) in [
        ("text", "/bin/text is not a WebAssembly file"),
        ("elf", "/bin/elf is a Linux program, and this is a WebAssembly container"),
        ("/bin", "Is a directory"),
        ("broken", "/bin/broken: "),
        ("library", "the component is a library"),
    ] {
        let (code, said) = running.code(&[name]).await;
        assert!(code == 126 && said.contains(words), "{name}: {code} {said}");
    }
}

#[tokio::test]
async fn the_images_own_program_runs_a_second_time() {
    let running = Running::with(|config| config.argv = vec!["/app/main.wasm".into()]).await;
    for name in ["/app/main.wasm", "main.wasm", "main"] {
        // It reads its input, which is at its end here.
        assert_eq!(running.code(&[name]).await, (0, String::new()), "{name}");
    }
    assert_eq!(running.container().stats().processes, 1);
}

#[tokio::test]
async fn components_and_traps_end_as_they_do_in_containers() {
    let running = Running::new().await;
    running.write("/c", &wat::parse_str(component("0.2.0", "(call $exit (i32.const 7)) i32.const 0")).unwrap());
    assert_eq!(running.code(&["/c"]).await.0, 7);
    running.install("/t", "unreachable");
    let ended = running.exec(&["/t"]).await.unwrap();
    assert!(matches!(ended.cause, ExitCause::Trapped { kind: TrapKind::Unreachable, .. }), "{ended:?}");
    assert!(ended.stderr.contains("unreachable"), "{ended:?}");
    // A changed file is another program.
    running.install("/t", &exits(9));
    assert_eq!(running.code(&["/t"]).await.0, 9);
}

#[tokio::test]
async fn environment_and_arguments_are_the_containers_and_its_own() {
    let running = Running::with(|config| config.env.push(("A".into(), "1".into()))).await;
    let strings = |call: &str| {
        let body = format!(
            "(drop (call {call} (i32.const 1024) (i32.const 4096)))
             (call $put (i32.const 1) (i32.const 4096) (i32.const 64))"
        );
        wat::parse_str(preview1_with(&body, "")).unwrap()
    };
    running.write("/args", &strings("$args_get"));
    running.write("/env", &strings("$environ_get"));
    assert!(running.code(&["/args", "x", "y"]).await.1.starts_with("/args\0x\0y\0\0"));
    assert!(running.code(&["/env"]).await.1.starts_with("PATH=/bin\0A=1\0HOSTNAME=pod-host\0\0"));
    assert_eq!(running.code(&["env"]).await.1, "PATH=/bin\nA=1\nHOSTNAME=pod-host\n");
}

#[tokio::test]
async fn scripts_run_programs_of_the_tree() {
    let running = Running::new().await;
    running.write(
        "/bin/hello",
        &wat::parse_str(preview1_with(
            "(call $put (i32.const 1) (i32.const 64) (i32.const 4))
             (call $put (i32.const 2) (i32.const 68) (i32.const 4))
             (call $exit (i32.const 3))",
            r#"(data (i32.const 64) "out\0aerr\0a")"#,
        ))
        .unwrap(),
    );
    let sh = async |script: &str| running.exec(&["sh", "-c", script]).await.unwrap();
    let ended = sh("hello > /tmp/out 2> /tmp/err; echo $?; cat /tmp/err /tmp/out").await;
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("3\nerr\nout\n", ""));
    let ended = sh("hello >&2 || echo failed").await;
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("failed\n", "out\nerr\n"));
    let ended = sh("nginx -s quit; while killall -0 nginx; do sleep 1; done").await;
    assert_eq!((ended.cause, ended.stderr.lines().count()), (ExitCause::Exited { code: 0 }, 2));
}

#[tokio::test]
async fn only_a_container_that_runs_runs_programs() {
    let running = Running::new().await;
    let made = running.host.create(running.host.config(&crate::support::preview1(WAITS)), None).await.unwrap();
    let exec = async || made.container.exec(request(&["true"]), nacelle_container::output::channel().0).await;
    assert_eq!(exec().await, Err(ExecError::NotRunning));
    made.container.start().await.unwrap();
    made.container.wait().await;
    assert_eq!(exec().await, Err(ExecError::NotRunning));
}
