//! Serving a component that exports an HTTP handler.
//!
//! ```text
//!   accept ──► connection (HTTP/1.1 with keep-alive, or HTTP/2 with prior knowledge)
//!                 └─► request ──► permit ──► fresh instance ──► response
//!
//!   Serving ──terminate──► Draining: no more accepts, connections finish what is in flight ──► exited with 0
//!      └──────kill────────────┴──────► stopped, connections and requests cut off
//! ```
//!
//! A trap ends its request with status 500 and goes to the log; the container lives on, as the next request gets
//! another instance.

use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::channel::oneshot;
use http::{Request, Response, StatusCode, Uri, header, uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use nacelle_container::output::Stream;
use nacelle_container::{CreateError, ExitCause};
use nacelle_infra::network::{TcpSocket, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use wasmtime::AsContextMut;
use wasmtime_wasi_http::handler::Prepared;
use wasmtime_wasi_http::{Error, WasiBody, WasiHttpView};

use crate::executor::{CpuAccount, Executor};
use crate::guest::{Launch, Ready, StartGate, create_error};
use crate::network;
use crate::program::Entry;
use crate::state::GuestState;
use crate::stdio::Output;
use crate::trap::{self, Ended};

/// The most connections at a time; further ones wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 1024;
/// How long a client may take for the head of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause after a failed accept: the process has no descriptor left, for instance.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// An HTTP component's container.
pub(crate) struct Server {
    pub(crate) launch: Launch,
    pub(crate) executor: Arc<Executor>,
    pub(crate) cpu: Arc<CpuAccount>,
    /// How many requests are handled at a time.
    pub(crate) concurrency: usize,
}

impl Server {
    /// Runs the container from a trial instantiation to its end.
    pub(crate) async fn run(self, ready: Ready, start: StartGate) -> Ended {
        let (alive, mut all_gone) = mpsc::channel(1);
        let service = Arc::new(Service {
            requests: Arc::new(Semaphore::new(self.concurrency.max(1))),
            server: self,
            _alive: alive,
        });
        let control = Arc::clone(&service.server.launch.control);
        let ended = tokio::select! {
            biased;
            // Leaving `serve` cuts the connections off; requests see the flag themselves.
            () = control.kill.wait() => ExitCause::Stopped { graceful: false }.into(),
            ended = service.serve(ready, start) => ended,
        };
        // Connections and requests hold the service, and with it the container's output: the container's end is after
        // theirs.
        drop(service);
        let _ = all_gone.recv().await;
        ended
    }
}

struct Service {
    server: Server,
    requests: Arc<Semaphore>,
    _alive: mpsc::Sender<()>,
}

impl Service {
    async fn serve(self: &Arc<Self>, ready: Ready, start: StartGate) -> Ended {
        let control = Arc::clone(&self.server.launch.control);
        let trial = Arc::clone(self);
        let trial =
            self.server.executor.spawn_guest(Arc::clone(&self.server.cpu), async move { trial.try_once().await });
        let trial = trial.await.unwrap_or_else(|error| Err(CreateError::Other(error.to_string())));
        let failed = trial.is_err();
        if ready.send(trial).is_err() || failed {
            return ExitCause::Stopped { graceful: false }.into();
        }
        let reply = tokio::select! {
            biased;
            () = control.terminate.wait() => return ExitCause::Stopped { graceful: true }.into(),
            start = start => match start {
                Ok(reply) => reply,
                Err(_) => return ExitCause::Stopped { graceful: true }.into(),
            },
        };
        let config = &self.server.launch.config;
        let listener = match network::listen(&self.server.launch.infra.network, config.http.port) {
            Ok(listener) => listener,
            Err(error) => {
                let message = error.to_string();
                let _ = reply.send(Err(error));
                return ExitCause::HostFailure { message }.into();
            }
        };
        let _ = reply.send(Ok(()));
        self.accept(listener).await;
        ExitCause::Exited { code: 0 }.into()
    }

    /// Instantiates the component once, so that what is wrong with it shows before the first request.
    async fn try_once(&self) -> Result<(), CreateError> {
        let Entry::Proxy(pre) = &*self.server.launch.entry else {
            return Err(CreateError::Other("a command is not an HTTP component".into()));
        };
        let result = async {
            let mut store = self.server.launch.store(None)?;
            pre.instantiate_async(&mut store).await.map(drop)
        };
        match result.await {
            Ok(()) => Ok(()),
            Err(error) => Err(create_error(&error)
                .unwrap_or_else(|| CreateError::Other(format!("cannot instantiate the component: {error:#}")))),
        }
    }

    async fn accept(self: &Arc<Self>, mut listener: TcpSocket) {
        let control = &self.server.launch.control;
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            tokio::select! {
                biased;
                () = control.terminate.wait() => break,
                _ = connections.join_next(), if connections.len() >= MAX_CONNECTIONS => {}
                accepted = async { listener.accept().await?.stream() }, if connections.len() < MAX_CONNECTIONS => match accepted {
                    Ok(stream) => {
                        connections.spawn(Arc::clone(self).connection(stream));
                    }
                    Err(error) => {
                        tracing::warn!(%error, container = %self.server.launch.config.id, "cannot accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(listener);
        // Each connection sees the flag too.
        while connections.join_next().await.is_some() {}
    }

    async fn connection(self: Arc<Self>, stream: TcpStream) {
        let service = {
            let this = Arc::clone(&self);
            service_fn(move |request| {
                let this = Arc::clone(&this);
                async move { Ok::<_, Infallible>(this.respond(request).await) }
            })
        };
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
        builder.http2().timer(TokioTimer::new());
        let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = self.server.launch.control.terminate.wait() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = result {
            tracing::debug!(%error, container = %self.server.launch.config.id, "connection ended");
        }
    }

    async fn respond(self: Arc<Self>, request: Request<Incoming>) -> Response<WasiBody> {
        let Some(request) = with_authority(request) else {
            return status(StatusCode::BAD_REQUEST);
        };
        let request = request.map(|body| body.map_err(Error::from).boxed_unsync());
        let Ok(permit) = Arc::clone(&self.requests).acquire_owned().await else {
            return status(StatusCode::SERVICE_UNAVAILABLE);
        };
        let (tx, rx) = oneshot::channel();
        let this = Arc::clone(&self);
        let task = self.server.executor.spawn_guest(Arc::clone(&self.server.cpu), async move {
            let _permit = permit;
            tokio::select! {
                biased;
                () = this.server.launch.control.kill.wait() => {}
                () = this.handle(request, tx) => {}
            }
        });
        let mut guard = AbortOnDrop(Some(task.abort_handle()));
        let response = rx.await;
        // From here on the instance writes the body; a client that goes away makes those writes fail.
        guard.0 = None;
        match response {
            Ok(Ok(response)) => response,
            Ok(Err(_)) | Err(_) => status(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    /// Handles one request in an instance of its own.
    async fn handle(&self, request: Request<WasiBody>, tx: oneshot::Sender<wasmtime::Result<Response<WasiBody>>>) {
        let launch = &self.server.launch;
        let result = async {
            let Entry::Proxy(pre) = &*launch.entry else {
                return Err(wasmtime::Error::msg("a command is not an HTTP component"));
            };
            let mut store = launch.store(None)?;
            let proxy = pre.instantiate_async(&mut store).await?;
            store.data_mut().memory.instantiated();
            store
                .run_concurrent(async |accessor| {
                    let prepared = accessor.with(|mut access| {
                        Prepared::new(access.as_context_mut(), &proxy, request, GuestState::http, tx)
                    })?;
                    prepared.run(accessor, pending()).await?;
                    // The response is there; the instance lives on until its body is written.
                    poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
                    Ok(())
                })
                .await
                .and_then(|result| result)
        };
        if let Err(error) = result.await {
            let text = format!("request failed: {}", trap::report(&error));
            Output::new(launch.output.clone(), Stream::Stderr).write(&text).await;
        }
    }
}

/// Ends a request's instance when its client has gone before there is a response.
struct AbortOnDrop(Option<AbortHandle>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// Puts the authority of HTTP/1.1's Host header into the URI, where WASI 0.3 looks for it (RFC 9112, section 3.3).
fn with_authority(mut request: Request<Incoming>) -> Option<Request<Incoming>> {
    if request.uri().authority().is_none() {
        let host = request.headers().get(header::HOST)?.to_str().ok()?.to_owned();
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(uri::Scheme::HTTP);
        parts.authority = Some(host.parse().ok()?);
        *request.uri_mut() = Uri::from_parts(parts).ok()?;
    }
    Some(request)
}

fn status(status: StatusCode) -> Response<WasiBody> {
    let text = Bytes::from(format!("{status}\n"));
    let mut response = Response::new(Full::new(text).map_err(Error::from).boxed_unsync());
    *response.status_mut() = status;
    response
}
