//! The devices of a container.

use super::{assert_torture, infra, root, run, run_in, sample};
use crate::support::Host;

#[tokio::test]
async fn devices_read_and_write_as_their_names_say() {
    let infra = infra(root().devices());
    assert_torture(
        &Host::new(),
        &infra,
        &[
            ("write dev/null gone", "ok"),
            ("read dev/null", "ok"),
            ("stat dev/null", "ok device 0"),
            ("append dev/zero gone", "ok"),
            ("write dev/full x", "read-only"),
            ("read dev/stdout", "bad-descriptor"),
            ("write dev/stdin x", "bad-descriptor"),
            ("read dev/stdin", "ok"),
        ],
    )
    .await;
}

#[tokio::test]
async fn standard_streams_can_be_opened_by_path() {
    let host = Host::new();
    let infra = infra(root().devices());
    for guest in ["hello", "c-hello"] {
        let ran = run_in(&host, &infra, sample(&host, guest, &["write", "/dev/stdout", "out"]), None).await;
        assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("out\n", ""), "{guest}");
        let ran = run_in(&host, &infra, sample(&host, guest, &["write", "/dev/stderr", "error"]), None).await;
        assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", "error\n"), "{guest}");
        let config = sample(&host, guest, &["cat", "/dev/stdin"]);
        let ran = run_in(&host, &infra, config, Some(Box::new(&b"typed"[..]))).await;
        assert_eq!(ran.stdout, "typed", "{guest}");
    }
    assert_eq!(run(&host, &infra, "p3-files", &["write", "/dev/stdout", "out"]).await, "out");
    let config = sample(&host, "p3-files", &["read", "/dev/stdin"]);
    assert_eq!(run_in(&host, &infra, config, Some(Box::new(&b"typed"[..]))).await.stdout, "typed");
}
