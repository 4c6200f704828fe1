//! Servers in a pod's network, for probes and hooks to speak to.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{Request, Response};
use http_body_util::{Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use nacelle_container::ContainerInfra;
use nacelle_infra::network::{Family, TcpSocket, TcpStream};
use rcgen::CertifiedKey;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// A server that ends with this value, and the heads of the requests that it was sent: `path name=value…`.
pub(crate) struct Server {
    tasks: JoinSet<()>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Answers http requests as `answer` says, by their path.
    pub(crate) fn http(
        infra: &ContainerInfra,
        port: u16,
        answer: impl Fn(&str) -> Response<String> + Clone + Send + 'static,
    ) -> Self {
        Self::serve(infra, port, move |stream, seen| {
            let answer = answer.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let (path, head) = head(&request);
                seen.lock().unwrap().push(head);
                let response = answer(&path).map(Full::<Bytes>::from);
                async move { Ok::<_, std::convert::Infallible>(response) }
            });
            async move {
                let _ =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            }
        })
    }

    /// Answers every https request with 200, under a certificate that nobody has signed but itself.
    pub(crate) fn https(infra: &ContainerInfra, port: u16) -> Self {
        let tls = TlsAcceptor::from(Arc::new(self_signed("elsewhere.example")));
        Self::serve(infra, port, move |stream, seen| {
            let tls = tls.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                seen.lock().unwrap().push(head(&request).1);
                async { Ok::<_, std::convert::Infallible>(status(200).map(Full::<Bytes>::from)) }
            });
            async move {
                let Ok(stream) = tls.accept(stream).await else { return };
                let _ =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            }
        })
    }

    /// Takes connections, and says nothing.
    pub(crate) fn silent(infra: &ContainerInfra, port: u16) -> Self {
        Self::serve(infra, port, |stream, _| async move {
            let _held = stream;
            std::future::pending::<()>().await;
        })
    }

    /// A health service that says this of every service; without, it knows no such call.
    pub(crate) fn health(infra: &ContainerInfra, port: u16, status: Option<u8>) -> Self {
        Self::serve(infra, port, move |stream, seen| {
            let service = service_fn(move |request: Request<Incoming>| {
                seen.lock().unwrap().push(head(&request).1);
                async move {
                    let mut message = BytesMut::new();
                    message.put_slice(&[0, 0, 0, 0, 2, 0x08, status.unwrap_or(0)]);
                    let mut trailers = http::HeaderMap::new();
                    let code = if status.is_some() { "0" } else { "12" };
                    trailers.insert("grpc-status", code.parse().unwrap());
                    let frames = [Frame::data(message.freeze()), Frame::trailers(trailers)];
                    let frames = frames.map(Ok::<_, std::convert::Infallible>);
                    let body = StreamBody::new(futures::stream::iter(frames));
                    Ok::<_, std::convert::Infallible>(
                        Response::builder().header("content-type", "application/grpc").body(body).unwrap(),
                    )
                }
            });
            async move {
                let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            }
        })
    }

    /// Gives the port back.
    pub(crate) async fn close(mut self) {
        self.tasks.shutdown().await;
    }

    /// The requests that came.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    fn serve<F>(
        infra: &ContainerInfra,
        port: u16,
        each: impl Fn(TcpStream, Arc<Mutex<Vec<String>>>) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut socket = listen(infra, port);
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let log = Arc::clone(&seen);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok(connection) = socket.accept().await {
                connections.spawn(each(connection.stream().unwrap(), Arc::clone(&log)));
            }
        });
        Self { tasks, seen }
    }
}

fn self_signed(name: &str) -> ServerConfig {
    let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    config.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap()
}

fn listen(infra: &ContainerInfra, port: u16) -> TcpSocket {
    let mut socket = infra.network.tcp_socket(Family::V4).unwrap();
    socket.bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))).unwrap();
    socket.listen().unwrap();
    socket
}

fn head(request: &Request<Incoming>) -> (String, String) {
    let path = request.uri().path_and_query().map_or_else(String::new, ToString::to_string);
    let headers = request.headers().iter().map(|(name, value)| format!(" {name}={}", value.to_str().unwrap()));
    let head = format!("{path}{}", headers.collect::<String>());
    (path, head)
}

/// An answer with nothing but a status.
pub(crate) fn status(code: u16) -> Response<String> {
    Response::builder().status(code).body(format!("status {code}")).unwrap()
}

pub(crate) fn redirect(to: &str) -> Response<String> {
    Response::builder().status(302).header("location", to).body("elsewhere".to_owned()).unwrap()
}
