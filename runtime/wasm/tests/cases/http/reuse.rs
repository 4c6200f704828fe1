//! How many requests an instance serves.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use http::StatusCode;

use super::client::{Pod, answer, get};

async fn counts(pod: &Pod, port: u16, requests: usize) -> BTreeMap<u32, usize> {
    let mut sender = pod.connect(port).await;
    let mut counts = BTreeMap::new();
    for _ in 0..requests {
        sender.ready().await.unwrap();
        let answer = answer(sender.send_request(get("/count")).await.unwrap()).await;
        *counts.entry(answer.body.unwrap().trim().parse().unwrap()).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn an_instance_serves_one_request_unless_it_may_be_reused() {
    let pod = Pod::new().await;
    for (name, port) in [("http-proxy", 8080), ("p3-http", 8081)] {
        let _made = pod.serve(name, port).await;
        assert_eq!(counts(&pod, port, 10).await, BTreeMap::from([(1, 10)]), "{name}");
    }
}

#[tokio::test]
async fn a_reused_instance_serves_as_many_requests_as_it_may() {
    let pod = Pod::new().await;
    for (name, port) in [("http-proxy", 8080), ("p3-http", 8081)] {
        let _made = pod.serve_with(name, port, |config| config.http.reuse = 3.try_into().ok()).await;
        // An instance may be late for the next request; not always.
        let counts = counts(&pod, port, 60).await;
        assert_eq!(counts.keys().copied().collect::<Vec<_>>(), [1, 2, 3], "{name}");
    }
}

#[tokio::test]
async fn an_instance_that_trapped_serves_nothing_more() {
    let pod = Pod::new().await;
    let _made = pod.serve_with("http-proxy", 8080, |config| config.http.reuse = 1000.try_into().ok()).await;
    counts(&pod, 8080, 20).await;
    for path in ["/trap", "/trap-late"] {
        pod.try_get(8080, path).await;
        assert_eq!(pod.get(8080, "/count").await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_reused_instance_of_wasi_03_serves_requests_at_the_same_time() {
    let pod = Pod::new().await;
    let _made = pod.serve_with("p3-http", 8080, |config| config.http.reuse = 10.try_into().ok()).await;
    // Two that come at the same instant may get an instance each: send one more whenever there is no answer.
    let mut meeting = FuturesUnordered::new();
    let met = loop {
        meeting.push(pod.get(8080, "/meet"));
        if let Ok(Some(answer)) = tokio::time::timeout(Duration::from_millis(20), meeting.next()).await {
            break answer;
        }
    };
    assert_ne!(met.body.as_deref(), Some("1\n"));
}

#[tokio::test]
async fn an_instance_that_waits_too_long_for_its_next_request_is_dropped() {
    let pod = Pod::with(|config| config.http_idle = Duration::from_millis(1)).await;
    for (name, port) in [("http-proxy", 8080), ("p3-http", 8081)] {
        let made = pod.serve_with(name, port, |config| config.http.reuse = 1000.try_into().ok()).await;
        let without = made.container.stats().memory.usage;
        assert_eq!(pod.get(port, "/count").await.body.as_deref(), Some("1\n"), "{name}");
        // What an instance has goes with it; the container stays.
        while made.container.stats().memory.usage > without {
            tokio::task::yield_now().await;
        }
        assert_eq!(pod.get(port, "/count").await.body.as_deref(), Some("1\n"), "{name}");
    }
}
