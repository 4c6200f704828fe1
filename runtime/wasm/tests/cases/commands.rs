use std::path::Path;

use nacelle_container::{CreateError, ExitCause, Mount, MountSource};

use crate::support::{Host, preview1, preview1_with};

/// Writes what a `*_get` call stored: pointers at 1024, bytes from 4096 on.
const PUT_STRINGS: &str = "(call $put (i32.const 1) (i32.const 4096) (i32.const 64))";

#[tokio::test]
async fn arguments_and_environment_arrive() {
    let host = Host::new();
    let mut config =
        host.config(&preview1(&format!("(drop (call $args_get (i32.const 1024) (i32.const 4096))) {PUT_STRINGS}")));
    config.argv = vec!["prog".into(), "one two".into(), "ü".into()];
    assert!(host.run(config).await.stdout.starts_with("prog\0one two\0ü\0\0"));

    let mut config =
        host.config(&preview1(&format!("(drop (call $environ_get (i32.const 1024) (i32.const 4096))) {PUT_STRINGS}")));
    config.env = vec![("A".into(), "1".into()), ("B".into(), "x=y".into())];
    assert!(host.run(config.clone()).await.stdout.starts_with("A=1\0B=x=y\0HOSTNAME=pod-host\0\0"));
    config.env = vec![("HOSTNAME".into(), "own".into())];
    assert!(host.run(config).await.stdout.starts_with("HOSTNAME=own\0\0"));
}

/// Opens the path at 2048, relative to the descriptor 3, with these rights, and exits with what path_open gave.
fn open(path: &str, flags: i32, rights: i64) -> String {
    let length = path.len();
    preview1_with(
        &format!(
            "(call $exit (call $open (i32.const 3) (i32.const 1) (i32.const 2048) (i32.const {length})
                (i32.const {flags}) (i64.const {rights}) (i64.const 0) (i32.const 0) (i32.const 1024)))"
        ),
        &format!(r#"(data (i32.const 2048) "{path}")"#),
    )
    .replace(
        "(memory",
        r#"(import "wasi_snapshot_preview1" "path_open"
            (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (memory"#,
    )
}

const CREATE: i32 = 1;
const WRITE: i64 = 64;
const READ: i64 = 2;
const ROFS_OR_PERM: [u8; 3] = [63, 69, 76];

fn mount(source: &Path, read_only: bool) -> Vec<Mount> {
    vec![Mount { path: "/data".into(), source: MountSource::HostDir(source.into()), read_only }]
}

#[tokio::test]
async fn mounts_are_writable_or_not_as_configured() {
    let host = Host::new();
    let data = tempfile::tempdir().unwrap();
    let mut config = host.config(&open("new", CREATE, WRITE));
    config.mounts = mount(data.path(), true);
    let cause = host.run(config.clone()).await.cause;
    assert!(matches!(cause, ExitCause::Exited { code } if ROFS_OR_PERM.contains(&code)), "{cause:?}");
    assert!(!data.path().join("new").exists());

    config.mounts = mount(data.path(), false);
    assert_eq!(host.run(config).await.cause, ExitCause::Exited { code: 0 });
    assert!(data.path().join("new").exists());
}

#[tokio::test]
async fn no_path_leads_out_of_a_mount() {
    let host = Host::new();
    let data = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/etc", data.path().join("link")).unwrap();
    std::fs::write(data.path().join("in"), "").unwrap();
    for (path, inside) in [("in", true), ("../../etc/passwd", false), ("link/passwd", false), ("/etc/passwd", false)] {
        let mut config = host.config(&open(path, 0, READ));
        config.mounts = mount(data.path(), false);
        let code = host.run(config).await.cause.code();
        assert_eq!(code == 0, inside, "{path}: {code}");
    }
}

#[tokio::test]
async fn a_mount_that_is_not_there_is_a_create_error() {
    let host = Host::new();
    let mut config = host.config(&preview1(""));
    config.mounts = mount(&host.path("missing"), false);
    assert!(matches!(host.error(config).await, CreateError::Mount { path, .. } if path == "/data"));
}

#[tokio::test]
async fn containers_can_only_be_started_once() {
    let host = Host::new();
    let made = host.create(host.config(&preview1("")), None).await.unwrap();
    made.container.start().await.unwrap();
    assert!(made.container.start().await.is_err());
    assert_eq!(made.finish().await.cause, ExitCause::Exited { code: 0 });
}
