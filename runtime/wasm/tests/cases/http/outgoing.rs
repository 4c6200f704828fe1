//! Requests that guests send: by connections, in memory, and those that get no answer.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Frame;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use nacelle_infra::network::{Family, TcpSocket};
use nacelle_wasm::TlsRoots;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::client::{Answer, Pod, answer, channel, empty, get};
use crate::support::GRACE;

/// Ports.
const CALLER: u16 = 8080;
const CALLED: u16 = 8081;
const RELAY: u16 = 8082;

/// A listener of the test's own in the pod.
fn listen(pod: &Pod, port: u16) -> TcpSocket {
    let mut socket = pod.network.container("test").tcp_socket(Family::V4).unwrap();
    socket.bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))).unwrap();
    socket.listen().unwrap();
    socket
}

/// Passes connections on to the component that is called, which so sees them as bytes.
fn relay(pod: &Pod) {
    let mut listener = listen(pod, RELAY);
    let network = Arc::clone(&pod.network);
    tokio::spawn(async move {
        while let Ok(socket) = listener.accept().await {
            let network = Arc::clone(&network);
            tokio::spawn(async move {
                let to = SocketAddr::from((Ipv4Addr::LOCALHOST, CALLED));
                let mut there = network.container("relay").connect(to).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut socket.stream().unwrap(), &mut there).await;
            });
        }
    });
}

/// What a caller gets for this request, sent on to `port`.
async fn through(pod: &Pod, port: u16, path: &str, request: http::request::Builder, trailers: bool) -> Answer {
    let (pieces, body) = channel();
    let request = request.uri(format!("/to/http://localhost:{port}{path}")).header("host", "caller");
    let has_body = request.method_ref().is_some_and(|method| method == "POST");
    let request = request.body(if has_body { body } else { empty() }).unwrap();
    tokio::spawn(async move {
        if has_body {
            pieces.send(Frame::data(Bytes::from_static(b"some "))).await.unwrap();
            pieces.send(Frame::data(Bytes::from_static(b"bytes"))).await.unwrap();
            if trailers {
                let mut trailers = HeaderMap::new();
                trailers.insert("sum", HeaderValue::from_static("10"));
                trailers.insert("unannounced", HeaderValue::from_static("1"));
                pieces.send(Frame::trailers(trailers)).await.unwrap();
            }
        }
    });
    let mut sender = pod.connect(CALLER).await;
    let mut answer = answer(sender.send_request(request).await.unwrap()).await;
    // Each hop's own.
    answer.headers.remove("date");
    answer.body = answer.body.map(|body| body.replace(&format!(":{port}"), ""));
    answer
}

#[tokio::test]
async fn a_sibling_that_is_called_in_memory_cannot_tell() {
    let pod = Pod::new().await;
    let _caller = pod.serve("http-proxy", CALLER).await;
    relay(&pod);
    for called in ["http-proxy", "p3-http"] {
        let made = pod.serve(called, CALLED).await;
        let long = "x".repeat(50_000);
        let with_trailers = || Request::post("/").header("trailer", "sum").header("te", "trailers");
        let cases = [
            ("/seen", Request::get("/"), false),
            ("/seen?a=b", Request::get("/").header("accept", "text/plain").header("x", "1").header("x", "2"), false),
            ("/seen", Request::post("/"), false),
            ("/seen", Request::post("/").header("content-length", "10"), false),
            ("/seen", Request::get("/").header("long", long), false),
            ("/seen", Request::head("/"), false),
            ("/seen", Request::delete("/"), false),
            ("/echo", Request::post("/"), false),
            ("/echo", Request::post("/").header("content-length", "10"), false),
            ("/echo", Request::post("/").header("te", "trailers"), true),
            ("/echo", with_trailers(), true),
            ("/count", Request::get("/"), false),
            ("/nothing", Request::get("/"), false),
            ("/silent", Request::get("/"), false),
            ("/trap", Request::get("/"), false),
        ];
        for (path, request, trailers) in cases {
            let text = format!("{called} {path} {request:?}");
            let copy = || {
                let mut copy = Request::builder().method(request.method_ref().unwrap());
                *copy.headers_mut().unwrap() = request.headers_ref().unwrap().clone();
                copy
            };
            let direct = through(&pod, CALLED, path, copy(), trailers).await;
            let relayed = through(&pod, RELAY, path, copy(), trailers).await;
            assert_eq!(direct, relayed, "{text}");
        }
        made.container.kill().await;
        made.finish().await;
    }
}

#[tokio::test]
async fn a_sibling_is_called_without_a_connection_and_its_access_log_tells() {
    let pod = Pod::new().await;
    let _caller = pod.serve("http-proxy", CALLER).await;
    let mut called = pod.serve_with("http-proxy", CALLED, |config| config.http.access_log = true).await;
    relay(&pod);
    let mut senders = [pod.connect(CALLER).await, pod.connect(CALLER).await];
    for sender in &mut senders {
        sender.ready().await.unwrap();
    }
    let own = pod.network.stats().connections;
    let mut during = Vec::new();
    let mut waiting = Vec::new();
    for (mut sender, port) in senders.into_iter().zip([CALLED, RELAY]) {
        let request = get(&format!("/to/http://localhost:{port}/until-stop"));
        waiting.push(tokio::spawn(async move { answer(sender.send_request(request).await.unwrap()).await }));
        assert_eq!(called.output.recv().await.unwrap().bytes, "waiting\n");
        during.push(pod.network.stats().connections);
    }
    assert_eq!(during[0], own);
    assert!(during[1] > own, "so they would be seen, if there were any");
    called.container.terminate(GRACE).await;
    for answer in waiting {
        assert_eq!(answer.await.unwrap().body.as_deref(), Some("stopping\n"));
    }
    let ran = called.finish().await;
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{}", ran.stdout);
    for line in lines {
        assert!(line.starts_with("127.0.0.1:") && line.contains(" \"GET /until-stop HTTP/1.1\" 200 9 "), "{line}");
    }
}

#[tokio::test]
async fn both_versions_call_and_are_called() {
    let pod = Pod::new().await;
    let _caller = pod.serve("http-proxy", CALLER).await;
    let called = pod.serve("p3-http", CALLED).await;
    let answer = pod.get(CALLER, &format!("/to/http://localhost:{CALLED}/count")).await;
    assert_eq!(answer.body.as_deref(), Some("1\n"));
    let answer = pod.get(CALLED, &format!("/to/localhost:{CALLER}/count")).await;
    called.container.kill().await;
    assert_eq!(answer.body.as_deref(), Some("1\n"), "{:?}", called.finish().await);
}

#[tokio::test]
async fn a_component_may_call_itself_within_its_bound() {
    let pod = Pod::with(|config| {
        config.http_concurrency = 2;
        config.http_wait = Duration::from_millis(50);
    })
    .await;
    let _made = pod.serve_with("http-proxy", CALLER, |config| config.http.reuse = 10.try_into().ok()).await;
    let own = format!("/to/http://localhost:{CALLER}");
    assert_eq!(pod.get(CALLER, &format!("{own}/count")).await.status, StatusCode::OK);
    // One more than may be under way: refused, not waited for for ever.
    assert_eq!(pod.get(CALLER, &format!("{own}{own}/count")).await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn connections_are_kept_and_closed_ones_are_not_used() {
    let pod = Pod::new().await;
    let _caller = pod.serve_with("http-proxy", CALLER, |config| config.http.reuse = 100.try_into().ok()).await;
    let mut listener = listen(&pod, RELAY);
    let (accepted, mut connections) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok(socket) = listener.accept().await {
            let (stream, closing) = (socket.stream().unwrap(), Arc::new(tokio::sync::Notify::new()));
            accepted.send(Arc::clone(&closing)).unwrap();
            tokio::spawn(async move {
                let service =
                    service_fn(async |_| Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::new()))));
                tokio::select! {
                    _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service) => {}
                    () = closing.notified() => {}
                }
            });
        }
    });
    let path = format!("/to/http://localhost:{RELAY}/");
    for _ in 0..10 {
        assert_eq!(pod.get(CALLER, &path).await.status, StatusCode::OK);
    }
    let first = connections.try_recv().unwrap();
    assert!(connections.try_recv().is_err(), "a second connection");
    first.notify_one();
    for _ in 0..10 {
        assert_eq!(pod.get(CALLER, &path).await.status, StatusCode::OK);
    }
    assert!(connections.try_recv().is_ok());
}

#[tokio::test]
async fn failures_have_their_names() {
    let pod = Pod::new().await;
    let _caller = pod.serve("http-proxy", CALLER).await;
    let mut silent = listen(&pod, RELAY);
    tokio::spawn(async move {
        // Accepts and hangs up.
        while silent.accept().await.is_ok() {}
    });
    for (url, error) in [
        ("http://localhost:9/", "ErrorCode::ConnectionRefused"),
        ("http://169.254.169.254/latest/meta-data", "ErrorCode::HttpRequestDenied"),
        ("https://169.254.169.254/", "ErrorCode::HttpRequestDenied"),
        ("http://10.87.200.200/", "ErrorCode::DestinationIpUnroutable"),
        ("http://localhost:8082/", "ErrorCode::ConnectionTerminated"),
        ("http://localhost:99999/", "ErrorCode::HttpRequestUriInvalid"),
        ("http://user@localhost/", "ErrorCode::HttpRequestUriInvalid"),
        ("ftp/localhost", "ErrorCode::HttpRequestUriInvalid"),
    ] {
        let answer = pod.get(CALLER, &format!("/to/{url}")).await;
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{url}");
        // What a hang-up is depends on how far the request had come.
        let body = answer.body.unwrap().replace("HttpResponseIncomplete", "ConnectionTerminated");
        assert!(body.starts_with(error), "{url}: {body}");
    }
}

/// What a server does with a connection.
#[derive(Clone, Copy, Debug)]
enum Server {
    /// Accepts nothing.
    Deaf,
    /// Accepts, and answers nothing.
    Mute,
    /// Answers, and stops in the middle.
    Slow,
}

impl Server {
    /// Behaves so on [`RELAY`]. What is given back keeps it up.
    async fn start(self, pod: &Pod) -> Box<dyn std::any::Any> {
        let mut listener = listen(pod, RELAY);
        match self {
            Self::Deaf => {
                listener.set_backlog(1).unwrap();
                // As many as the backlog takes: whoever comes now waits.
                let first = pod.dial(RELAY).await;
                let second = pod.dial(RELAY).await;
                Box::new((listener, first, second))
            }
            Self::Mute | Self::Slow => {
                let serving = tokio::spawn(async move {
                    let mut connections = Vec::new();
                    while let Ok(socket) = listener.accept().await {
                        let mut stream = socket.stream().unwrap();
                        if let Self::Slow = self {
                            // An answer before the request would be none.
                            let mut request = Vec::new();
                            while !request.ends_with(b"\r\n\r\n") {
                                tokio::io::AsyncReadExt::read_buf(&mut stream, &mut request).await.unwrap();
                            }
                            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nbegin";
                            tokio::io::AsyncWriteExt::write_all(&mut stream, head).await.unwrap();
                        }
                        connections.push((socket, stream));
                    }
                });
                Box::new(serving)
            }
        }
    }
}

#[tokio::test]
async fn each_timeout_of_a_request_ends_what_it_is_for() {
    // Long ones do not end here, so that it is the short one that does.
    const LONG: u64 = 1_000_000;
    for (name, scheme) in [("http-proxy", "http://"), ("p3-http", "")] {
        for (server, [connect, first_byte, between_bytes], expected) in [
            (Server::Deaf, [20, LONG, LONG], Some("ErrorCode::ConnectionTimeout\n")),
            (Server::Mute, [LONG, 20, LONG], Some("ErrorCode::ConnectionReadTimeout\n")),
            (Server::Slow, [LONG, LONG, 20], None),
        ] {
            let pod = Pod::new().await;
            let _caller = pod.serve(name, CALLER).await;
            let _server = server.start(&pod).await;
            let path = format!("/within/{connect},{first_byte},{between_bytes}/{scheme}localhost:{RELAY}/");
            let answer = pod.get(CALLER, &path).await;
            // A body that has begun ends before its time.
            let status = if expected.is_some() { StatusCode::BAD_GATEWAY } else { StatusCode::OK };
            assert_eq!((answer.status, answer.body.as_deref()), (status, expected), "{name}: {server:?}");
        }
    }
}

#[tokio::test]
async fn the_first_byte_of_a_sibling_in_memory_has_its_timeout_too() {
    let pod = Pod::new().await;
    let _caller = pod.serve("p3-http", CALLER).await;
    let _called = pod.serve("http-proxy", CALLED).await;
    let answer = pod.get(CALLER, &format!("/within/1000000,20,1000000/localhost:{CALLED}/hang")).await;
    assert_eq!(answer.body.as_deref(), Some("ErrorCode::ConnectionReadTimeout\n"));
}

/// A server that speaks https as `server.test`.
fn https(pod: &Pod) {
    let certificates = vec![CertificateDer::from(include_bytes!("authority/server.der").to_vec())];
    let key = PrivateKeyDer::try_from(include_bytes!("authority/server-key.der").to_vec()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let mut listener = listen(pod, 443);
    tokio::spawn(async move {
        while let Ok(socket) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(socket.stream().unwrap()).await else { return };
                let service = service_fn(async |request: Request<hyper::body::Incoming>| {
                    let text = format!("{} {:?}\n", request.uri(), request.headers().get("host"));
                    Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from(text))))
                });
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
}

#[tokio::test]
async fn https_is_spoken_and_the_certificate_is_checked() {
    let authority = include_bytes!("authority/ca.der").to_vec();
    let pod = Pod::with(|config| config.http_roots = TlsRoots::Certificates(vec![authority])).await;
    let _caller = pod.serve("http-proxy", CALLER).await;
    https(&pod);
    let answer = pod.get(CALLER, "/to/https://server.test/a?b").await;
    assert_eq!(answer.body.as_deref(), Some("/a?b Some(\"server.test\")\n"));
    // Another name than the certificate's.
    let answer = pod.get(CALLER, "/to/https://localhost/").await;
    assert_eq!(answer.body.as_deref(), Some("ErrorCode::TlsCertificateError\n"));

    let pod = Pod::with(|config| config.http_roots = TlsRoots::Certificates(Vec::new())).await;
    let _caller = pod.serve("http-proxy", CALLER).await;
    https(&pod);
    let answer = pod.get(CALLER, "/to/https://server.test/").await;
    assert_eq!(answer.body.as_deref(), Some("ErrorCode::TlsCertificateError\n"));
}

/// Which root certificates are the host's is read from the environment, and that is the process's: these run in one of
/// their own.
#[tokio::test]
async fn the_hosts_root_certificates_are_those_that_the_environment_names() {
    const ANSWER: &str = "NACELLE_TEST_ANSWER";
    let Ok(expected) = std::env::var(ANSWER) else {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/http/authority");
        for (file, expected) in [("ca.pem", "/ Some(\"server.test\")"), ("README.md", "no root certificates")] {
            let test = "http::outgoing::the_hosts_root_certificates_are_those_that_the_environment_names";
            let child = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", test, "--nocapture"])
                .env("SSL_CERT_FILE", folder.join(file))
                .env_remove("SSL_CERT_DIR")
                .env(ANSWER, expected)
                .output()
                .unwrap();
            let words = String::from_utf8_lossy(&child.stdout);
            assert!(child.status.success() && words.contains("1 passed"), "{file}: {child:?}");
        }
        return;
    };
    let pod = Pod::with(|config| config.http_roots = TlsRoots::Host).await;
    let _caller = pod.serve("http-proxy", CALLER).await;
    https(&pod);
    let answer = pod.get(CALLER, "/to/https://server.test/").await;
    assert!(answer.body.as_deref().is_some_and(|body| body.contains(&expected)), "{answer:?}");
}
