//! Connections to servers, and those that are kept for a container's next request to the same one.
//!
//! ```text
//!   opened ──► In use ──response read to its end──► Kept ──taken──► In use
//!                 │                                   └──too long, too many, closed by the server──► dropped
//!                 └──given up, failed──► dropped
//! ```
//!
//! A request is sent again where the library knows that nothing of it was sent, or where a kept connection ended instead
//! of a response and the request changes nothing (RFC 9110, section 9.2.2). Each connection has a task that
//! moves its bytes; it ends with the connection, which the container's network ends at the latest.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::CONNECTION;
use http::uri::PathAndQuery;
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use nacelle_infra::budget::{Budget, Ledger};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use wasmtime_wasi_http::{Error, WasiBody};

use super::{Target, Timeouts};
use crate::http::{error, held, limits};
use crate::sched::Spawner;

/// The connections that one container keeps, the one kept last at the end.
#[derive(Debug)]
pub(super) struct Pool {
    kept: Mutex<VecDeque<(Connection, Instant)>>,
    payer: Arc<Budget>,
}

/// A connection that speaks HTTP/1.1.
#[derive(Debug)]
pub(super) struct Connection {
    target: Target,
    sender: SendRequest<WasiBody>,
}

/// A request that got no response.
#[derive(Debug)]
pub(super) enum Failed {
    /// Nothing of it was sent.
    Unsent(Box<Request<WasiBody>>),
    /// Some of it may have been, and the connection ended before a response began.
    Lost(Error),
    /// Some of it may have been.
    Sent(Error),
}

impl Pool {
    /// One whose connections, and what is buffered of their bodies, are charged to `payer`.
    pub(super) fn new(payer: Arc<Budget>) -> Arc<Self> {
        Arc::new(Self { kept: Mutex::new(VecDeque::new()), payer })
    }

    /// Who pays for what is buffered.
    pub(super) fn payer(&self) -> &Arc<Budget> {
        &self.payer
    }

    /// A connection to `target` that can be used now.
    ///
    /// A response's end is seen by its reader before the connection's task has noticed, so one that is about to be free is
    /// waited for; not for long, since its request may still be on its way.
    pub(super) async fn take(&self, target: &Target) -> Option<Connection> {
        if let Some(ready) = self.find(|one| one.target == *target && one.sender.is_ready()) {
            return Some(ready);
        }
        let mut settling = self.find(|one| one.target == *target && !one.sender.is_closed())?;
        match tokio::time::timeout(limits::CONNECTION_SETTLES, settling.sender.ready()).await {
            Ok(settled) => settled.is_ok().then_some(settling),
            Err(_) => {
                self.keep(settling);
                None
            }
        }
    }

    /// Takes the connection kept last of those that are wanted.
    fn find(&self, is_wanted: impl Fn(&Connection) -> bool) -> Option<Connection> {
        let mut kept = self.lock();
        let found = kept.iter().rposition(|(one, _)| is_wanted(one))?;
        kept.remove(found).map(|(connection, _)| connection)
    }

    fn keep(&self, connection: Connection) {
        let mut dropped = None;
        {
            let mut kept = self.lock();
            kept.push_back((connection, Instant::now()));
            if kept.len() > limits::KEPT_CONNECTIONS {
                dropped = kept.pop_front();
            }
        }
        // Not under the lock: it wakes the connection's task.
        drop(dropped);
    }

    /// Drops what has been kept too long, or is closed.
    fn expire(&self) {
        let expired: VecDeque<_> = {
            let mut kept = self.lock();
            let is_expired =
                |(one, since): &(Connection, Instant)| one.sender.is_closed() || since.elapsed() >= limits::KEPT_FOR;
            let (expired, rest) = kept.drain(..).partition(is_expired);
            *kept = rest;
            expired
        };
        drop(expired);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Connection, Instant)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// Speaks HTTP/1.1 on `stream`. Without memory for it, the error is that of too many connections.
    pub(super) async fn open<S>(stream: S, target: &Target, pool: &Arc<Pool>, spawner: &Spawner) -> Result<Self, Error>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let memory = Ledger::with_floor(Arc::clone(&pool.payer), limits::CONNECTION_MEMORY);
        let memory = memory.map_err(|_| Error::ConnectionLimitReached)?;
        let handshake = Builder::new().max_buf_size(limits::HEAD_BYTES).handshake(TokioIo::new(stream));
        let (sender, connection) = handshake.await.map_err(|failure| error::of_hyper(&failure))?;
        let pool = Arc::downgrade(pool);
        spawner.spawn(async move {
            let _memory = memory;
            if let Err(error) = drive(connection, pool).await {
                tracing::debug!(%error, "a connection of an outgoing HTTP request failed");
            }
        });
        Ok(Self { target: target.clone(), sender })
    }

    /// Sends a request and waits for its response's head. The connection is kept when the body has been read.
    pub(super) async fn send(
        mut self,
        mut request: Request<WasiBody>,
        pool: &Arc<Pool>,
        timeouts: Timeouts,
    ) -> Result<Response<WasiBody>, Failed> {
        let uri = std::mem::take(request.uri_mut());
        *request.uri_mut() = origin_form(&uri);
        let answer = tokio::time::timeout(timeouts.first_byte, self.sender.try_send_request(request)).await;
        let response = match answer {
            Ok(Ok(response)) => response,
            Ok(Err(mut failed)) => {
                return Err(match failed.take_message() {
                    Some(mut request) => {
                        *request.uri_mut() = uri;
                        Failed::Unsent(Box::new(request))
                    }
                    None if is_lost(failed.error()) => Failed::Lost(error::of_hyper(failed.error())),
                    None => Failed::Sent(error::of_hyper(failed.error())),
                });
            }
            Err(_) => return Err(Failed::Sent(Error::ConnectionReadTimeout)),
        };
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Failed::Sent(Error::HttpUpgradeFailed));
        }
        let payer = Arc::clone(&pool.payer);
        if says_close(response.headers()) {
            // The body's bytes still come; the connection's task looks after itself.
            return Ok(response.map(|body| {
                let body = body.map_err(|failure| error::of_hyper(&failure));
                body.map_frame(move |frame| held::frame(frame, &payer)).boxed_unsync()
            }));
        }
        let pool = Arc::downgrade(pool);
        Ok(response.map(|body| Received::new(body, self, pool, payer).boxed_unsync()))
    }
}

/// Whether a server closes the connection after its response.
fn says_close(headers: &HeaderMap) -> bool {
    let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|option| option.trim().eq_ignore_ascii_case("close"))
}

/// Whether a connection ended where a response should have begun.
fn is_lost(failure: &hyper::Error) -> bool {
    let cause = std::error::Error::source(failure).and_then(|source| source.downcast_ref::<std::io::Error>());
    failure.is_incomplete_message()
        || failure.is_canceled()
        || cause.is_some_and(|error| matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe))
}

/// Moves a connection's bytes, and looks after the pool now and then.
async fn drive(connection: impl Future<Output = hyper::Result<()>>, pool: Weak<Pool>) -> hyper::Result<()> {
    let mut connection = pin!(connection);
    loop {
        tokio::select! {
            biased;
            result = connection.as_mut() => return result,
            () = tokio::time::sleep(limits::KEPT_FOR) => {
                if let Some(pool) = pool.upgrade() {
                    pool.expire();
                }
            }
        }
    }
}

/// What a request line says to a server that is no proxy. It begins with a slash, also where the guest's path is empty
/// (RFC 9112, section 3.2.1).
fn origin_form(uri: &Uri) -> Uri {
    let target = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    let target = Uri::from(target);
    if target.path().starts_with('/') {
        return target;
    }
    let with_query = uri.query().and_then(|query| PathAndQuery::try_from(format!("/?{query}")).ok());
    Uri::from(with_query.unwrap_or_else(|| PathAndQuery::from_static("/")))
}

/// A response's body, which keeps its connection when it has been read to its end.
#[derive(Debug)]
struct Received {
    body: Incoming,
    kept: Option<(Connection, Weak<Pool>)>,
    payer: Arc<Budget>,
}

impl Received {
    fn new(body: Incoming, connection: Connection, pool: Weak<Pool>, payer: Arc<Budget>) -> Self {
        let mut this = Self { body, kept: Some((connection, pool)), payer };
        if this.body.is_end_stream() {
            this.end();
        }
        this
    }

    fn end(&mut self) {
        if let Some((connection, pool)) = self.kept.take()
            && !connection.sender.is_closed()
            && let Some(pool) = pool.upgrade()
        {
            pool.keep(connection);
        }
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match frame {
            None => {
                self.end();
                Poll::Ready(None)
            }
            Some(Ok(frame)) => {
                if frame.is_trailers() || self.body.is_end_stream() {
                    self.end();
                }
                Poll::Ready(Some(Ok(held::frame(frame, &self.payer))))
            }
            Some(Err(failure)) => {
                self.kept = None;
                Poll::Ready(Some(Err(error::of_hyper(&failure))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_line_begins_with_a_slash() {
        let of = |target: &str| {
            let mut parts = Uri::from_static("http://guest").into_parts();
            parts.path_and_query = Some(target.parse().unwrap());
            origin_form(&Uri::from_parts(parts).unwrap()).to_string()
        };
        assert_eq!((of("/a?b=%22"), of("/"), of("?x=1")), ("/a?b=%22".into(), "/".into(), "/?x=1".into()));
        assert_eq!(origin_form(&Uri::from_static("http://guest")).to_string(), "/");
    }

    #[test]
    fn a_server_says_that_it_closes() {
        let says = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONNECTION, http::HeaderValue::from_static(value));
            says_close(&headers)
        };
        assert!(says("close") && says("Close") && says("x-option, close"));
        assert!(!says("keep-alive") && !says_close(&HeaderMap::new()));
    }
}
