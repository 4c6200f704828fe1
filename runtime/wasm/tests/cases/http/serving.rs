//! A component that is served: both versions of HTTP, streams, bounds, the end.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, Version};
use http_body_util::BodyExt;
use hyper::body::Frame;
use nacelle_container::ExitCause;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use nacelle_wasm::Pooling;

use super::client::{Pod, answer, channel, empty, get};
use crate::support::GRACE;

#[tokio::test]
async fn one_connection_carries_one_request_after_another() {
    let pod = Pod::new().await;
    let made = pod.serve("http-server", 8080).await;
    let mut sender = pod.connect(8080).await;
    for _ in 0..3 {
        sender.ready().await.unwrap();
        let answer = answer(sender.send_request(get("/")).await.unwrap()).await;
        assert_eq!(answer.body.as_deref(), Some("Hello from wasi:http!\n"));
        assert!(answer.headers.contains_key("date"));
    }
    made.container.terminate(GRACE).await;
    assert_eq!(made.finish().await.cause, ExitCause::Exited { code: 0 });
}

#[tokio::test]
async fn http2_is_served_with_prior_knowledge() {
    let pod = Pod::new().await;
    let _made = pod.serve("http-proxy", 8080).await;
    let mut sender = pod.connect2(8080).await;
    let request = Request::get("http://guest:8080/seen").body(empty()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.version(), Version::HTTP_2);
    assert_eq!(answer(response).await.body.as_deref(), Some("GET /seen guest:8080\n\n"));
}

#[tokio::test]
async fn bodies_stream_both_ways_and_trailers_pass() {
    let pod = Pod::new().await;
    for (name, port, version) in [
        ("http-proxy", 8080, Version::HTTP_11),
        ("p3-http", 8081, Version::HTTP_11),
        ("http-proxy", 8082, Version::HTTP_2),
        ("p3-http", 8083, Version::HTTP_2),
    ] {
        let _made = pod.serve(name, port).await;
        let (pieces, body) = channel();
        let request = Request::post("http://guest/echo").header("te", "trailers").header("trailer", "sum");
        let mut request = request.body(body).unwrap();
        let (mut sender1, mut sender2) = (pod.connect(port).await, pod.connect2(port).await);
        let response = if version == Version::HTTP_2 {
            sender2.send_request(request).await.unwrap()
        } else {
            *request.uri_mut() = "/echo".parse().unwrap();
            request.headers_mut().insert("host", HeaderValue::from_static("guest"));
            sender1.send_request(request).await.unwrap()
        };
        assert_eq!((response.status(), response.version()), (StatusCode::OK, version));
        let mut echo = response.into_body();
        for piece in ["one", "two", "three"] {
            pieces.send(Frame::data(Bytes::from(piece))).await.unwrap();
            let mut got = Vec::new();
            while got.len() < piece.len() {
                got.extend(echo.frame().await.unwrap().unwrap().into_data().unwrap());
            }
            assert_eq!(got, piece.as_bytes());
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("sum", HeaderValue::from_static("11"));
        pieces.send(Frame::trailers(trailers.clone())).await.unwrap();
        drop(pieces);
        let collected = echo.collect().await.unwrap();
        assert_eq!(collected.trailers(), Some(&trailers), "{name} {version:?}");
    }
}

#[tokio::test]
async fn a_client_that_reads_slowly_holds_the_sender_up() {
    const PIECE: usize = 64 * 1024;
    const PIECES: usize = 256;
    /// Buffers of two sockets, a guest, and what is between them.
    const MOST: usize = 4 * 1024 * 1024;
    let pod = Pod::new().await;
    let _made = pod.serve("http-proxy", 8080).await;
    let (pieces, body) = channel();
    let mut sender = pod.connect(8080).await;
    let request = Request::post("/echo").header("host", "guest").body(body).unwrap();
    let response = sender.send_request(request).await.unwrap();
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    tokio::spawn({
        let sent = std::sync::Arc::clone(&sent);
        async move {
            for _ in 0..PIECES {
                pieces.send(Frame::data(Bytes::from_static(&[7; PIECE]))).await.unwrap();
                sent.fetch_add(PIECE, std::sync::atomic::Ordering::SeqCst);
            }
        }
    });
    let (mut echo, mut got) = (response.into_body(), 0);
    while let Some(frame) = echo.frame().await {
        got += frame.unwrap().into_data().unwrap().len();
        let ahead = sent.load(std::sync::atomic::Ordering::SeqCst).saturating_sub(got);
        assert!(ahead <= MOST, "{ahead} bytes wait");
        tokio::task::yield_now().await;
    }
    assert_eq!(got, PIECE * PIECES);
}

#[tokio::test]
async fn traps_and_silence_end_their_request_and_not_the_container() {
    let pod = Pod::new().await;
    let made = pod.serve("http-proxy", 8080).await;
    for path in ["/trap", "/silent"] {
        assert_eq!(pod.get(8080, path).await.status, StatusCode::INTERNAL_SERVER_ERROR);
    }
    let late = pod.try_get(8080, "/trap-late").await;
    assert_eq!(late.and_then(|answer| answer.body), None, "what was sent must not look complete");
    assert_eq!(pod.get(8080, "/count").await.body.as_deref(), Some("1\n"));
    made.container.terminate(GRACE).await;
    let ran = made.finish().await;
    assert_eq!(ran.stderr.matches("request failed: ").count(), 3, "{}", ran.stderr);
    assert!(ran.stderr.contains("told to\n") && ran.stderr.contains("never invoked"), "{}", ran.stderr);
    assert!(ran.stderr.contains("told to, late") && ran.stderr.contains("wasm backtrace"), "{}", ran.stderr);
}

#[tokio::test]
async fn requests_beyond_the_bound_wait_and_are_refused_in_the_end() {
    let pod = Pod::with(|config| {
        config.http_concurrency = 1;
        config.http_wait = Duration::from_millis(100);
    })
    .await;
    let _made = pod.serve("http-proxy", 8080).await;
    let (pieces, body) = channel();
    let mut first = pod.connect(8080).await;
    let request = Request::post("/echo").header("host", "guest").body(body).unwrap();
    let first_response = first.send_request(request).await.unwrap();
    let refused = pod.get(8080, "/count").await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers.contains_key("retry-after"));
    drop(pieces);
    answer(first_response).await;
    until_served(&pod).await;

    // A client that goes away makes room, too, although its guest would never end.
    let mut hanging = pod.connect(8080).await;
    hanging.ready().await.unwrap();
    let hung = tokio::spawn(async move { hanging.send_request(get("/hang")).await.is_err() });
    while pod.get(8080, "/count").await.status != StatusCode::SERVICE_UNAVAILABLE {}
    hung.abort();
    let _ = hung.await;
    until_served(&pod).await;
}

async fn until_served(pod: &Pod) {
    while pod.get(8080, "/count").await.status != StatusCode::OK {}
}

#[tokio::test]
async fn draining_finishes_what_is_under_way() {
    let pod = Pod::new().await;
    let made = pod.serve("http-proxy", 8080).await;
    let idle = pod.connect(8080).await;
    let (pieces, body) = channel();
    let mut sender = pod.connect(8080).await;
    let request = Request::post("/echo").header("host", "guest").body(body).unwrap();
    let response = sender.send_request(request).await.unwrap();
    made.container.terminate(GRACE).await;
    let mut idle = idle;
    while idle.ready().await.is_ok() {
        tokio::task::yield_now().await;
    }
    pieces.send(Frame::data(Bytes::from_static(b"still here"))).await.unwrap();
    drop(pieces);
    assert_eq!(answer(response).await.body.as_deref(), Some("still here"));
    assert_eq!(made.finish().await.cause, ExitCause::Exited { code: 0 });
}

/// Requests of the case below: each waits for the stop, so that all of them are under way when it comes. Each has
/// written a line by then, which is more than the channel for output holds. A guest of WASI 0.3 has many of them in each
/// instance.
const UNDER_WAY: [(&str, usize); 2] = [("http-proxy", 1000), ("p3-http", 1000)];

#[tokio::test]
async fn a_thousand_requests_that_are_under_way_all_finish() {
    for (sample, under_way) in UNDER_WAY {
        let pod = Pod::with(|config| {
            config.http_concurrency = under_way;
            config.pooling = Pooling::OnDemand;
        });
        let pod = pod.await;
        let mut made = pod.serve_with(sample, 8080, |config| config.http.reuse = 16.try_into().ok()).await;
        let mut clients = Vec::new();
        for _ in 0..under_way {
            let mut sender = pod.connect(8080).await;
            clients.push(tokio::spawn(async move {
                let answered = answer(sender.send_request(get("/until-stop")).await.unwrap()).await;
                // The connection was kept until now.
                (answered, sender.ready().await.is_err())
            }));
        }
        let mut waiting = 0;
        while waiting < under_way {
            let chunk = made.output.recv().await.unwrap();
            waiting += chunk.bytes.iter().filter(|byte| **byte == b'\n').count();
        }
        made.container.terminate(GRACE).await;
        for client in clients {
            let (answered, is_closed) = client.await.unwrap();
            assert_eq!((answered.status, answered.body.as_deref()), (StatusCode::OK, Some("stopping\n")));
            assert_eq!((answered.headers.get("connection").unwrap().as_bytes(), is_closed), (&b"close"[..], true));
        }
        assert_eq!(made.finish().await.cause, ExitCause::Exited { code: 0 }, "{sample}");
    }
}

#[tokio::test]
async fn who_has_connected_before_the_stop_is_answered() {
    // One thread, which does nothing but what the test waits for.
    let pod = Pod::with(|config| {
        config.worker_threads = 1;
        // Where the machine is busy, all are answered at the same time.
        config.pooling = Pooling::OnDemand;
    });
    let pod = pod.await;
    let made = pod.serve("http-server", 8080).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut stream = pod.dial(8080).await;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: guest\r\n\r\n").await.unwrap();
        clients.push(stream);
    }
    made.container.terminate(GRACE).await;
    for mut stream in clients {
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.contains("connection: close\r\n"), "{text}");
    }
    assert_eq!(made.finish().await.cause, ExitCause::Exited { code: 0 });
}

#[tokio::test]
async fn a_connection_of_http2_ends_with_its_last_stream() {
    let pod = Pod::new().await;
    let mut made = pod.serve("http-proxy", 8080).await;
    let mut sender = pod.connect2(8080).await;
    let waiting = sender.send_request(Request::get("http://guest:8080/until-stop").body(empty()).unwrap());
    let waiting = tokio::spawn(waiting);
    assert_eq!(made.output.recv().await.unwrap().bytes, "waiting\n");
    made.container.terminate(GRACE).await;
    assert_eq!(answer(waiting.await.unwrap().unwrap()).await.body.as_deref(), Some("stopping\n"));
    while sender.ready().await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert_eq!(made.finish().await.cause, ExitCause::Exited { code: 0 });
}

#[tokio::test]
async fn a_kill_cuts_off_what_is_under_way() {
    let pod = Pod::new().await;
    let made = pod.serve_with("http-proxy", 8080, |config| config.http.reuse = 5.try_into().ok()).await;
    let (_pieces, body) = channel();
    let mut sender = pod.connect(8080).await;
    let request = Request::post("/echo").header("host", "guest").body(body).unwrap();
    let response = sender.send_request(request).await.unwrap();
    made.container.kill().await;
    assert_eq!(made.finish().await.cause, ExitCause::Stopped { graceful: false });
    assert_eq!(answer(response).await.body, None);
}

#[tokio::test]
async fn each_request_is_a_line_where_that_is_asked_for() {
    let pod = Pod::new().await;
    let made = pod.serve_with("http-server", 8080, |config| config.http.access_log = true).await;
    pod.get(8080, "/?q=%22a%22").await;
    pod.get(8080, "/status/418").await;
    made.container.terminate(GRACE).await;
    let ran = made.finish().await;
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{}", ran.stdout);
    assert!(lines[0].contains(" \"GET /?q=%22a%22 HTTP/1.1\" 200 22 ") && lines[0].ends_with("ms"), "{}", lines[0]);
    assert!(lines[1].contains(" \"GET /status/418 HTTP/1.1\" 418 11 "), "{}", lines[1]);
}

#[tokio::test]
async fn a_server_that_runs_out_of_fuel_ends() {
    let pod = Pod::new().await;
    let program = std::fs::read(crate::support::guest("http-proxy")).unwrap();
    let made = pod.serve_program(&program, 8080, |config| config.resources.fuel = Some(100_000_000)).await;
    let mut sender = pod.connect(8080).await;
    let answered = answer(sender.send_request(get("/count")).await.unwrap()).await;
    assert_eq!(answered.status, StatusCode::OK);
    // Settled when the instance has ended, which may be after its response.
    while made.container.stats().fuel.unwrap().consumed == 0 {
        tokio::task::yield_now().await;
    }
    assert!(made.container.stats().fuel.unwrap().consumed < 100_000_000);
    sender.ready().await.unwrap();
    // It computes without end: what the client hears depends on what it hears first, the trap or the container's end.
    if let Ok(response) = sender.send_request(get("/spin")).await {
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
    assert_eq!(made.finish().await.cause, ExitCause::FuelExhausted { limit: 100_000_000 });
}
