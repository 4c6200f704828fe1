//! Programs beside a container's own, and what a container leaves behind.

use std::time::Duration;

use nacelle_container::{ExecRequest, ExitCause, output};
use nacelle_host::{Attach, ContainerRequest, ExecFailed};

use crate::fake::{Fixture, id, request};

/// What the fake container makes of it: `end N`, `hang`.
fn program(argv: &str) -> ExecRequest {
    ExecRequest::new(argv.split(' ').map(str::to_owned).collect())
}

#[tokio::test(start_paused = true)]
async fn a_program_runs_to_its_end_or_to_its_timeout() {
    let fixture = Fixture::new();
    let _events = fixture.pod("uid", Vec::new()).await;
    fixture.start(request(id("uid", 0)), Attach::default()).await;
    let exec = async |argv: &str, timeout: Option<u64>| {
        let timeout = timeout.map(Duration::from_secs);
        fixture.host.exec(&id("uid", 0), program(argv), timeout, output::channel().0).await
    };
    assert_eq!(exec("end 3", None).await.unwrap(), ExitCause::Exited { code: 3 });
    let late = exec("hang", Some(2)).await.unwrap_err();
    assert!(matches!(late, ExecFailed::TimedOut { after } if after == Duration::from_secs(2)), "{late}");
    assert!(matches!(exec("none", None).await, Err(ExecFailed::Exec(_))));
}

#[tokio::test(start_paused = true)]
async fn programs_are_counted_and_end_with_their_container() {
    let fixture = Fixture::new();
    let _events = fixture.pod("uid", Vec::new()).await;
    fixture.start(request(id("uid", 0)), Attach::default()).await;
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let host = fixture.host.clone();
        running.spawn(async move { host.exec(&id("uid", 0), program("hang"), None, output::channel().0).await });
    }
    tokio::task::yield_now().await;
    let one_more = fixture.host.exec(&id("uid", 0), program("end 0"), None, output::channel().0).await;
    assert!(matches!(one_more, Err(ExecFailed::TooMany { limit: 32 })), "{one_more:?}");
    fixture.host.kill_container(&id("uid", 0)).await.unwrap();
    while let Some(ended) = running.join_next().await {
        assert!(matches!(ended.unwrap(), Err(ExecFailed::NotThere)));
    }
    let gone = fixture.host.exec(&id("uid", 7), program("end 0"), None, output::channel().0).await;
    assert!(matches!(gone, Err(ExecFailed::NotThere)));
}

#[tokio::test]
async fn the_end_of_a_termination_log_is_read() {
    let fixture = Fixture::new();
    let _events = fixture.pod("uid", Vec::new()).await;
    let path = Some("/last/words".to_owned());
    let request = ContainerRequest { termination_log: path, ..request(id("uid", 0)) };
    let container = fixture.start(request, Attach::default()).await;
    assert_eq!(fixture.host.last_words(&id("uid", 0), 10).await.unwrap(), b"");
    container.write_file("/last/words", b"no such table").unwrap();
    assert_eq!(fixture.host.last_words(&id("uid", 0), 10).await.unwrap(), b"such table");
    assert!(fixture.host.last_words(&id("uid", 1), 10).await.is_err());
}
