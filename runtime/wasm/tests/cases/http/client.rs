//! Guests that serve HTTP in a pod, and clients that reach them from the node's side.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use nacelle_container::ContainerConfig;
use nacelle_infra::budget::Budget;
use nacelle_infra::network::{
    DialSource, HostAlias, NamesConfig, NodeNetwork, NodeNetworkConfig, PodNetwork, PodNetworkConfig, TcpStream,
};
use nacelle_wasm::WasmConfig;
use tokio::sync::mpsc;

use crate::support::{Host, Made, guest, infra};

pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A pod and a backend for its containers.
pub(super) struct Pod {
    pub(super) host: Host,
    pub(super) network: Arc<PodNetwork>,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// The body, or nothing where it was cut short.
    pub(super) body: Option<String>,
    pub(super) trailers: Option<HeaderMap>,
}

impl Pod {
    pub(super) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(super) async fn with(change: impl FnOnce(&mut WasmConfig)) -> Self {
        let node = NodeNetwork::new(NodeNetworkConfig::default()).unwrap();
        let alias = HostAlias { ip: Ipv4Addr::LOCALHOST.into(), hostnames: vec!["server.test".into()] };
        let names = NamesConfig { aliases: vec![alias], ..NamesConfig::default() };
        let config = PodNetworkConfig { uid: "pod".into(), names, ..PodNetworkConfig::default() };
        Self { host: Host::with(change), network: node.attach(config, Budget::unlimited()).await.unwrap() }
    }

    /// Starts a guest sample that serves HTTP on this port.
    pub(super) async fn serve(&self, name: &str, port: u16) -> Made {
        self.serve_with(name, port, |_| {}).await
    }

    pub(super) async fn serve_with(&self, name: &str, port: u16, change: impl FnOnce(&mut ContainerConfig)) -> Made {
        let program = std::fs::read(guest(name)).unwrap();
        self.serve_program(&program, port, change).await
    }

    pub(super) async fn serve_program(
        &self,
        program: &[u8],
        port: u16,
        change: impl FnOnce(&mut ContainerConfig),
    ) -> Made {
        let mut config = self.host.config_of(program);
        config.http.port = port;
        change(&mut config);
        let made = self.host.create_in(infra(self.network.container("guest")), config, None).await.unwrap();
        made.container.start().await.unwrap();
        made
    }

    pub(super) async fn dial(&self, port: u16) -> TcpStream {
        self.network.dial(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), DialSource::Node).await.unwrap()
    }

    /// A connection of HTTP/1.1.
    pub(super) async fn connect(&self, port: u16) -> http1::SendRequest<Body> {
        let (sender, connection) = http1::handshake(TokioIo::new(self.dial(port).await)).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    /// A connection of HTTP/2.
    pub(super) async fn connect2(&self, port: u16) -> http2::SendRequest<Body> {
        let io = TokioIo::new(self.dial(port).await);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    /// Gets `path` on a connection of its own.
    pub(super) async fn get(&self, port: u16, path: &str) -> Answer {
        self.try_get(port, path).await.unwrap()
    }

    /// The same where the connection may end without an answer.
    pub(super) async fn try_get(&self, port: u16, path: &str) -> Option<Answer> {
        let mut sender = self.connect(port).await;
        Some(answer(sender.send_request(get(path)).await.ok()?).await)
    }
}

/// A request without a body.
pub(super) fn get(path: &str) -> Request<Body> {
    Request::get(path).header("host", "guest").body(empty()).unwrap()
}

pub(super) fn empty() -> Body {
    Empty::new().boxed_unsync()
}

/// A body that is what is sent into the channel.
pub(super) fn channel() -> (mpsc::Sender<Frame<Bytes>>, Body) {
    let (sender, receiver) = mpsc::channel(1);
    let stream = futures::stream::unfold(receiver, |mut receiver: mpsc::Receiver<Frame<Bytes>>| async {
        receiver.recv().await.map(|frame| (Ok(frame), receiver))
    });
    (sender, StreamBody::new(stream).boxed_unsync())
}

/// Reads a response to its end.
pub(super) async fn answer(response: Response<Incoming>) -> Answer {
    let (parts, body) = response.into_parts();
    let collected = body.collect().await.ok();
    let trailers = collected.as_ref().and_then(|body| body.trailers().cloned());
    let body = collected.map(|body| String::from_utf8(body.to_bytes().to_vec()).unwrap());
    Answer { status: parts.status, headers: parts.headers, body, trailers }
}
