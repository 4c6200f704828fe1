//! Components that serve HTTP, and guests that speak it.

mod client;
mod outgoing;
mod reuse;
mod serving;

use nacelle_container::ExitCause;
use nacelle_infra::network::NetworkMode;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::support::{Host, infra, pod};

/// An HTTP handler that imports nothing but types of its own.
#[tokio::test]
async fn a_library_that_only_looks_like_a_handler_is_told() {
    let host = Host::new();
    let text = r#"(component (core module $m (func (export "handle")))
        (core instance $i (instantiate $m)) (func $handle (canon lift (core func $i "handle")))
        (instance $exported (export "handle" (func $handle)))
        (export "wasi:http/incoming-handler@0.2.0" (instance $exported)))"#;
    let error = host.error(host.config(text)).await.to_string();
    assert!(error.contains("type mismatch with parameters"), "{error}");
}

/// Handles each request by a trap.
const TRAPS: &str = r#"(component
    (import "wasi:http/types@0.2.0" (instance $types
        (export "incoming-request" (type (sub resource)))
        (export "response-outparam" (type (sub resource)))))
    (alias export $types "incoming-request" (type $request))
    (alias export $types "response-outparam" (type $out))
    (core module $m (func (export "handle") (param i32 i32) unreachable))
    (core instance $i (instantiate $m))
    (func $handle (param "request" (own $request)) (param "response-out" (own $out))
        (canon lift (core func $i "handle")))
    (instance $exported (export "handle" (func $handle)))
    (export "wasi:http/incoming-handler@0.2.0" (instance $exported)))"#;

fn free_port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

async fn status(connection: &mut TcpStream) -> String {
    connection.write_all(b"GET / HTTP/1.1\r\nHost: guest\r\n\r\n").await.unwrap();
    let mut reader = BufReader::new(connection);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first).await.unwrap();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).await.unwrap();
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    reader.read_exact(&mut vec![0; length]).await.unwrap();
    first.trim_end().to_owned()
}

#[tokio::test]
async fn a_trap_ends_its_request_and_not_the_container() {
    let host = Host::new();
    let mut config = host.config(TRAPS);
    config.http.port = free_port();
    let network = pod(NetworkMode::Host).await;
    let made = host.create_in(infra(network.container("guest")), config.clone(), None).await.unwrap();
    made.container.start().await.unwrap();
    // Two requests on one connection.
    let mut connection = TcpStream::connect(("127.0.0.1", config.http.port)).await.unwrap();
    for _ in 0..2 {
        assert_eq!(status(&mut connection).await, "HTTP/1.1 500 Internal Server Error");
    }
    // The port is taken: the second container says so when it is started.
    let second = host.create_in(infra(network.container("guest")), config.clone(), None).await.unwrap();
    let error = second.container.start().await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot listen on port {}", config.http.port)), "{error}");
    second.container.remove().await;

    made.container.terminate().await;
    let ran = made.finish().await;
    assert_eq!(ran.cause, ExitCause::Exited { code: 0 });
    assert_eq!(ran.stderr.matches("request failed: ").count(), 2, "{}", ran.stderr);
    assert!(TcpStream::connect(("127.0.0.1", config.http.port)).await.is_err());
}

#[tokio::test]
async fn a_server_can_be_killed() {
    let host = Host::new();
    let mut config = host.config(TRAPS);
    config.http.port = free_port();
    let network = pod(NetworkMode::Host).await;
    let made = host.create_in(infra(network.container("guest")), config.clone(), None).await.unwrap();
    made.container.start().await.unwrap();
    let mut connection = TcpStream::connect(("127.0.0.1", config.http.port)).await.unwrap();
    made.container.kill().await;
    assert_eq!(made.finish().await.cause, ExitCause::Stopped { graceful: false });
    assert_eq!(connection.read(&mut [0; 8]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn a_server_without_a_network_is_refused() {
    let host = Host::new();
    let made = host.create(host.config(TRAPS), None).await.unwrap();
    let error = made.container.start().await.unwrap_err().to_string();
    assert!(error.contains("there is no network here"), "{error}");
    assert!(matches!(made.finish().await.cause, ExitCause::HostFailure { .. }));
}
