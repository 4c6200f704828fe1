//! A container's HTTP service: one way in, for connections and for siblings that call it without one.
//!
//! ```text
//!   request ──► admission ──► an instance ──► response
//!                  └─ 503        └─ 500 (trap, no answer), 503 (no room)
//! ```
//!
//! It does not keep the container alive: who holds it may be another container.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures::channel::oneshot;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header, uri};
use nacelle_container::output::{Chunk, MAX_CHUNK, Stream};
use nacelle_infra::budget::{Budget, Ledger};
use nacelle_infra::memory::Part;
use wasmtime_wasi_http::WasiBody;

use super::access_log::AccessLog;
use super::admission::Admission;
use super::body::ServedBody;
use super::connection::Handler;
use super::exchange::{Admitted, Exchange};
use super::held;
use super::instances::Instances;
use super::limits;
use super::slot::Reply;
use super::wire;
use super::worker::NoRoom;
use crate::sched::Spawner;
use crate::trap;

/// A container's HTTP service.
pub(crate) struct HttpService {
    instances: Weak<Instances>,
    admission: Admission,
    /// What is buffered of requests and responses is charged to it.
    buffers: Arc<Budget>,
    log: Option<Arc<AccessLog>>,
}

impl HttpService {
    /// The service of `instances`'s instances: so many requests at a time, for which others wait so long.
    pub(super) fn new(instances: &Arc<Instances>, concurrency: usize, wait: Duration) -> Arc<Self> {
        let launch = &instances.launch;
        Arc::new(Self {
            instances: Arc::downgrade(instances),
            admission: Admission::new(concurrency, wait),
            buffers: Arc::clone(launch.infra.memory.part(Part::Buffers)),
            log: launch.config.http.access_log.then(|| AccessLog::new(&launch.output)),
        })
    }

    /// Waits for the responses that are under way; from then on there are no others.
    pub(super) async fn drain(&self) {
        self.admission.drain().await;
    }

    /// Where what is done for its requests runs; nowhere once the container has ended.
    pub(super) fn spawner(&self) -> Option<Spawner> {
        self.instances.upgrade().map(|instances| Spawner::Group(instances.cpu.clone()))
    }

    async fn answer(&self, request: Request<WasiBody>) -> Response<ServedBody> {
        let Some(request) = with_authority(request) else {
            return plain(StatusCode::BAD_REQUEST);
        };
        let Some(permit) = self.admission.admit().await else {
            return plain(StatusCode::SERVICE_UNAVAILABLE);
        };
        let head = limits::REQUEST_MEMORY.saturating_add(wire::head_bytes(request.headers()) as u64);
        let Ok(memory) = Ledger::with_floor(Arc::clone(&self.buffers), head) else {
            return plain(StatusCode::SERVICE_UNAVAILABLE);
        };
        let method = request.method().clone();
        let (reply, answer) = oneshot::channel();
        let Some(exchange) = self.dispatch(request, reply, Admitted::new(permit, memory)) else {
            return plain(StatusCode::SERVICE_UNAVAILABLE);
        };
        let client = Client(Some(exchange));
        match answer.await {
            Ok(Ok(response)) => {
                let exchange = client.stay();
                let (parts, body) = response.into_parts();
                let body = ServedBody::of_guest(body, exchange, &self.buffers, &method, parts.status, &parts.headers);
                Response::from_parts(parts, body)
            }
            Ok(Err(error)) if error.is::<NoRoom>() => plain(StatusCode::SERVICE_UNAVAILABLE),
            Ok(Err(error)) => {
                if !client.is_broken() {
                    // A trap is in the log already; this is a guest that chose not to answer.
                    self.report(&error);
                }
                plain(StatusCode::INTERNAL_SERVER_ERROR)
            }
            Err(oneshot::Canceled) => plain(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    fn dispatch(&self, request: Request<WasiBody>, reply: Reply, admitted: Admitted) -> Option<Arc<Exchange>> {
        Some(self.instances.upgrade()?.dispatch(request, reply, admitted))
    }

    /// Tells the container's log, if there is room in it.
    fn report(&self, error: &wasmtime::Error) {
        let Some(instances) = self.instances.upgrade() else { return };
        let mut bytes = Bytes::from(format!("request failed: {}", trap::report(error)));
        bytes.truncate(MAX_CHUNK);
        let _ = instances.launch.output.try_send(Chunk::now(Stream::Stderr, bytes));
    }
}

impl Handler for HttpService {
    fn hold(&self, body: WasiBody) -> WasiBody {
        held::body(body, &self.buffers)
    }

    fn is_ending(&self) -> bool {
        self.instances.upgrade().is_none_or(|instances| instances.launch.control.terminate.is_asked())
    }

    async fn respond(&self, request: Request<WasiBody>, client: SocketAddr) -> Response<ServedBody> {
        let line = self.log.as_ref().map(|log| log.line(&request, client));
        let mut response = self.answer(request).await;
        if let Some(line) = line {
            let status = response.status();
            response.body_mut().log(line, status);
        }
        response
    }
}

/// A client that waits for its response. One that goes away lets its instance know.
struct Client(Option<Arc<Exchange>>);

impl Client {
    /// The response is there.
    fn stay(mut self) -> Arc<Exchange> {
        #[expect(clippy::expect_used, reason = "only `stay` takes it, and consumes the client")]
        self.0.take().expect("a client has its exchange until it stays")
    }

    fn is_broken(&self) -> bool {
        self.0.as_ref().is_some_and(|exchange| exchange.is_broken())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(exchange) = &self.0 {
            exchange.abandon();
        }
    }
}

/// Puts the authority of HTTP/1.1's Host header into the URI, where WASI 0.3 looks for it (RFC 9112, section 3.3).
fn with_authority<B>(mut request: Request<B>) -> Option<Request<B>> {
    if request.uri().authority().is_none() {
        let host = request.headers().get(header::HOST)?;
        let authority = uri::Authority::try_from(host.as_bytes()).ok()?;
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(uri::Scheme::HTTP);
        parts.authority = Some(authority);
        *request.uri_mut() = Uri::from_parts(parts).ok()?;
    }
    Some(request)
}

/// The host's own answer.
pub(super) fn plain(status: StatusCode) -> Response<ServedBody> {
    let mut response = Response::new(ServedBody::of_host(format!("{status}\n")));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
