//! Components that serve HTTP, and guests that speak it.

mod brief;
mod client;
mod outgoing;
mod reuse;
mod serving;

use std::net::{Ipv4Addr, SocketAddr};

use http::StatusCode;
use nacelle_container::{ExitCause, Resources};
use nacelle_infra::network::{DialSource, NetError};

use self::client::{Pod, answer, get};
use crate::support::{GRACE, Host, infra};

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

#[tokio::test]
async fn a_trap_ends_its_request_and_not_the_container() {
    let pod = Pod::new().await;
    let program = wat::parse_str(TRAPS).unwrap();
    let made = pod.serve_program(&program, 8080, |_| {}).await;
    // Two requests on one connection.
    let mut sender = pod.connect(8080).await;
    for _ in 0..2 {
        sender.ready().await.unwrap();
        let answer = answer(sender.send_request(get("/")).await.unwrap()).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    }
    // The port is taken: the second container says so when it is started.
    let mut config = pod.host.config_of(&program);
    config.http.port = 8080;
    let second = pod.host.create_in(infra(pod.network.container("second")), config, None).await.unwrap();
    let error = second.container.start().await.unwrap_err().to_string();
    assert!(error.starts_with("cannot listen on port 8080"), "{error}");
    second.container.remove().await;

    made.container.terminate(GRACE).await;
    let ran = made.finish().await;
    assert_eq!(ran.cause, ExitCause::Exited { code: 0 });
    assert_eq!(ran.stderr.matches("request failed: ").count(), 2, "{}", ran.stderr);
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
    assert_eq!(pod.network.dial(to, DialSource::Node).await.unwrap_err(), NetError::ConnectionRefused);
}

#[tokio::test]
async fn a_server_without_a_network_is_refused() {
    let host = Host::new();
    let made = host.create(host.config(TRAPS), None).await.unwrap();
    let error = made.container.start().await.unwrap_err().to_string();
    assert!(error.contains("there is no network here"), "{error}");
    assert!(matches!(made.finish().await.cause, ExitCause::HostFailure { .. }));
}

#[tokio::test]
async fn connections_and_requests_are_charged_and_refused_at_the_limit() {
    let pod = Pod::new().await;
    let program = std::fs::read(crate::support::guest("http-server")).unwrap();
    let made = pod.serve_program(&program, 8080, |_| {}).await;
    let idle = made.container.stats();
    let before = idle.memory;
    let mut sender = pod.connect(8080).await;
    sender.ready().await.unwrap();
    let answered = answer(sender.send_request(get("/")).await.unwrap()).await;
    assert_eq!(answered.status, StatusCode::OK);
    // The answer may be here before its instance is gone, and all that was the instance's.
    let during = loop {
        let stats = made.container.stats();
        let held = stats.memory.linear + stats.memory.engine;
        if stats.processes <= idle.processes && held <= before.linear + before.engine {
            break stats.memory;
        }
        tokio::task::yield_now().await;
    };
    assert!(during.buffers > before.buffers, "{during:?}");
    // No room for an instance, nor for more than the connection that is open.
    let limit = Resources { memory: Some(during.usage + 1024), ..Resources::default() };
    made.container.update(&limit).await.unwrap();
    let answered = answer(sender.send_request(get("/")).await.unwrap()).await;
    assert_eq!(answered.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(pod.try_get(8080, "/").await.is_none());
    assert!(made.container.stats().memory.refused >= 2);
    made.container.update(&Resources::default()).await.unwrap();
    assert_eq!(pod.get(8080, "/").await.status, StatusCode::OK);
    // What its sockets hold goes with its network, which is not the backend's.
    made.container.remove().await;
}
