//! One client's connection: HTTP/1.1 with keep-alive, or HTTP/2 with prior knowledge.
//!
//! ```text
//!   Open ──no request for some time, or the server drains──► Closing ──last response sent, or stalled──► closed
//! ```
//!
//! One alarm per connection bounds everything that a client may be slow at while no request of its is served: sending
//! its first byte, sending a head, keeping the connection for nothing. Slow bodies are bounded one by one: those of
//! requests while they are read, responses by the connection's writes, and those of HTTP/2 by their streams' tasks, too.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Version, header};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use wasmtime_wasi_http::{Error, WasiBody};

use super::body::{self, ServedBody, Timed};
use super::error;
use super::limits;
use super::offer::{Offered, Turn};
use super::stall::Stalling;
use crate::sched::Spawner;
use crate::seldom::seldom;

/// What answers requests.
pub(super) trait Handler: Send + Sync + 'static {
    /// A client's body, charged to whoever pays for what is buffered of it.
    fn hold(&self, body: WasiBody) -> WasiBody {
        body
    }

    /// Whether each answer is the last one on its connection.
    fn is_ending(&self) -> bool {
        false
    }

    /// Answers one. Dropping the future means that the client has gone.
    fn respond(
        &self,
        request: Request<WasiBody>,
        client: SocketAddr,
    ) -> impl Future<Output = Response<ServedBody>> + Send;
}

/// Serves one connection to its end. `drain` tells it to end once it has answered what it was asked.
pub(super) async fn serve<S, H>(
    stream: S,
    client: SocketAddr,
    handler: Arc<H>,
    spawner: Spawner,
    drain: impl Future<Output = ()>,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    H: Handler,
{
    let activity = Arc::new(Activity::new());
    let service = service_fn(|request: Request<Incoming>| {
        let request = request.map(|body| handler.hold(incoming(body)));
        let (handler, begun) = (Arc::clone(&handler), Begun::new(&activity));
        async move {
            let names_its_end = request.version() < Version::HTTP_2;
            let mut response = handler.respond(request, client).await;
            // A guest may answer the request to stop before this connection is told to drain.
            if names_its_end && handler.is_ending() {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            // Only a stream's task has one.
            let turn = TURN.try_with(Arc::clone).ok();
            Ok::<_, Infallible>(response.map(|body| Tracked { body: Offered::new(body, turn), _begun: begun }))
        }
    });
    let builder = builder(Streams(spawner));
    let mut connection = pin!(builder.serve_connection(TokioIo::new(Stalling::new(stream)), service));
    let mut result = tokio::select! {
        biased;
        result = connection.as_mut() => Some(result),
        () = seldom(until_closing(drain, &activity)) => None,
    };
    if result.is_none() {
        connection.as_mut().graceful_shutdown();
        result = tokio::select! {
            biased;
            result = connection.as_mut() => Some(result),
            () = until_quiet(&activity) => None,
        };
    }
    if let Some(Err(error)) = result {
        tracing::debug!(%error, %client, "an HTTP connection failed");
    }
}

/// Waits until the connection is to end: the server drains, or no request was served for too long.
async fn until_closing(drain: impl Future<Output = ()>, activity: &Activity) {
    tokio::select! {
        biased;
        () = drain => {}
        () = async {
            let mut left = limits::HEAD_TIMEOUT;
            while !left.is_zero() {
                tokio::time::sleep(left).await;
                // While one is served, the time has not begun.
                let quiet = activity.quiet().unwrap_or_default();
                left = limits::HEAD_TIMEOUT.saturating_sub(quiet);
            }
        } => {}
    }
}

/// Waits until a connection that is to end has had the time to send its last response.
async fn until_quiet(activity: &Activity) {
    tokio::time::sleep(limits::CLOSE_TIMEOUT).await;
    while activity.quiet().is_none() {
        tokio::time::sleep(limits::HEAD_TIMEOUT).await;
    }
}

fn builder(streams: Streams) -> auto::Builder<Streams> {
    let mut builder = auto::Builder::new(streams);
    builder.http1().max_buf_size(limits::HEAD_BYTES);
    builder
        .http2()
        .max_concurrent_streams(limits::H2_STREAMS)
        .initial_stream_window_size(limits::H2_STREAM_WINDOW)
        .initial_connection_window_size(limits::H2_CONNECTION_WINDOW)
        .max_frame_size(limits::H2_FRAME)
        .max_send_buf_size(limits::H2_SEND_BUFFER)
        .max_header_list_size(u32::try_from(limits::HEAD_BYTES).unwrap_or(u32::MAX));
    builder
}

/// A client's body, as a guest reads it.
fn incoming(body: Incoming) -> WasiBody {
    if body.is_end_stream() {
        return body::empty();
    }
    Timed::new(body.map_err(|error| error::of_hyper(&error)), limits::STALL_TIMEOUT).boxed_unsync()
}

tokio::task_local! {
    /// Whose turn it is in the response of the HTTP/2 stream that this task serves.
    static TURN: Arc<Turn>;
}

/// Runs the tasks that hyper has for an HTTP/2 connection, one for each stream. One whose client takes nothing of the
/// response is dropped in the middle, which resets its stream; the others go on.
#[derive(Clone, Debug)]
struct Streams(Spawner);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let turn = Arc::new(Turn::default());
        let bounded = {
            let turn = Arc::clone(&turn);
            async move {
                tokio::select! {
                    biased;
                    () = stream => {}
                    () = turn.overdue() => {}
                }
            }
        };
        self.0.spawn(TURN.scope(turn, bounded));
    }
}

/// What happens on a connection, for its alarm.
#[derive(Debug)]
struct Activity {
    since: Instant,
    requests: AtomicUsize,
    /// When the last request ended, in milliseconds.
    last: AtomicU64,
}

impl Activity {
    fn new() -> Self {
        Self { since: Instant::now(), requests: AtomicUsize::new(0), last: AtomicU64::new(0) }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// How long no request has been served; nothing while one is.
    fn quiet(&self) -> Option<Duration> {
        (self.requests.load(Ordering::Acquire) == 0)
            .then(|| Duration::from_millis(self.now().saturating_sub(self.last.load(Ordering::Acquire))))
    }
}

/// A request from its head to the end of its response.
#[derive(Debug)]
struct Begun(Arc<Activity>);

impl Begun {
    fn new(activity: &Arc<Activity>) -> Self {
        activity.requests.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(activity))
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.0.last.store(self.0.now(), Ordering::Release);
        self.0.requests.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A response's body; while there is one, its request is being served.
#[derive(Debug)]
struct Tracked {
    body: Offered<ServedBody>,
    _begun: Begun,
}

impl Body for Tracked {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
