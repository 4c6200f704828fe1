//! Files as streams.

use std::time::Duration;

use nacelle_container::ExitCause;

use super::{infra, memory, root, run, run_in, sample};
use crate::support::Host;

#[tokio::test]
async fn failures_of_streams_carry_their_code() {
    let host = Host::new();
    let infra = infra(root().devices().mount("/small", memory(Some(4096)), None, false));
    let ran = run_in(&host, &infra, sample(&host, "p3-files", &["write", "/small/f", &"x".repeat(9000)]), None).await;
    assert_eq!(
        (ran.cause, ran.stderr.as_str()),
        (ExitCause::Exited { code: 1 }, "p3-files: ErrorCode::InsufficientSpace\n")
    );
    let ran = run_in(&host, &infra, sample(&host, "p3-files", &["read", "/small"]), None).await;
    assert_eq!(ran.stderr, "p3-files: ErrorCode::IsDirectory\n");
    let ran = run_in(&host, &infra, sample(&host, "p3-files", &["copy", "/dev/zero", "/small/g"]), None).await;
    assert_eq!(ran.stderr, "p3-files: ErrorCode::InsufficientSpace\n");
    let ran = run_in(&host, &infra, sample(&host, "p3-files", &["ls", "/small/f"]), None).await;
    assert_eq!(ran.stderr, "p3-files: ErrorCode::NotDirectory\n");
}

/// Both ends are the host's, and neither ever waits.
#[tokio::test]
async fn an_endless_copy_can_be_killed_and_holds_nobody_up() {
    let host = Host::with(|config| config.worker_threads = 1);
    let infra = infra(root().devices());
    let endless = host
        .create_in(infra.clone(), sample(&host, "p3-files", &["copy", "/dev/zero", "/dev/null"]), None)
        .await
        .unwrap();
    endless.container.start().await.unwrap();
    let beside = async {
        for _ in 0..3 {
            run(&host, &infra, "p3-files", &["write", "/dev/stdout", "still here"]).await;
        }
        endless.container.kill().await;
        endless.container.wait().await
    };
    // Only a hang reaches this.
    let cause = tokio::time::timeout(Duration::from_secs(60), beside).await.unwrap();
    assert_eq!(cause, ExitCause::Stopped { graceful: false });
}

#[tokio::test]
async fn long_listings_and_files_arrive_whole() {
    let host = Host::new();
    let infra = infra(root().mount("/data", memory(None), None, false));
    run(&host, &infra, "fs-torture", &["mkdir data/many", "many data/many 500", "fill data/big 3000000"]).await;
    let names: Vec<String> =
        run(&host, &infra, "p3-files", &["ls", "/data/many"]).await.lines().map(str::to_owned).collect();
    let mut expected: Vec<String> = (0..500).map(|number| number.to_string()).collect();
    expected.sort();
    assert_eq!(names, expected);
    for guest in ["hello", "c-hello"] {
        assert_eq!(run(&host, &infra, guest, &["cat", "/data/big"]).await.len(), 3_000_000, "{guest}");
    }
    assert_eq!(run(&host, &infra, "p3-files", &["read", "/data/big"]).await.len(), 3_000_000);
}
