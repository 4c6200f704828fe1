use nacelle_container::ExitCause;

use crate::support::{Host, preview1};

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

#[tokio::test]
async fn containers_can_only_be_started_once() {
    let host = Host::new();
    let made = host.create(host.config(&preview1("")), None).await.unwrap();
    made.container.start().await.unwrap();
    assert!(made.container.start().await.is_err());
    assert_eq!(made.finish().await.cause, ExitCause::Exited { code: 0 });
}
