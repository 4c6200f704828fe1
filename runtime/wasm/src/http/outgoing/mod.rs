//! Requests that guests send: one implementation for WASI 0.2 and 0.3.
//!
//! ```text
//!   request ──► kept connection ─────────────────────────────► response
//!      │          └─ closed before a response began ──┐   if nothing was sent, or the request changes nothing
//!      └──► resolve ──► for each address: ◄───────────┘
//!                         a sibling's HTTP service? ──► direct: in memory ──► response
//!                         else connect, TLS ──► HTTP/1.1 ──────────────────► response
//! ```
//!
//! Where a name leads and what may be reached is the pod's network's to say; nothing here knows the host's.

mod connect;
mod direct;
mod metered;
mod pool;
mod tls;

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::uri::Scheme;
use http::{HeaderName, Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Body as _;
use nacelle_infra::budget::Budget;
use nacelle_infra::network::ContainerNetwork;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use wasmtime_wasi_http::{Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpHooks};

use super::body::{Sent, Timed};
use super::{error, held, limits};
use crate::handles;
use crate::sched::Spawner;
use pool::Pool;
pub(crate) use tls::Tls;

/// What one container's guests send requests by.
pub(crate) struct Outgoing {
    network: Arc<ContainerNetwork>,
    tls: Arc<Tls>,
    spawner: Spawner,
    pool: Arc<Pool>,
    slots: Arc<Semaphore>,
}

/// How a request is handed to wasmtime: the response, and a future of how sending the request went.
type Answer = (Response<WasiBody>, Io);
type Io = Box<dyn Future<Output = Result<(), Error>> + Send>;

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    scheme: Scheme,
    /// Without the brackets of an IPv6 address.
    host: String,
    port: u16,
}

impl Target {
    fn of<B>(request: &Request<B>) -> Result<Self, Error> {
        let uri = request.uri();
        let (scheme, authority) = match (uri.scheme(), uri.authority()) {
            (Some(scheme), Some(authority)) => (scheme, authority),
            _ => return Err(Error::HttpRequestUriInvalid),
        };
        let host = authority.host();
        // Passwords do not belong in a Host field, so before the host there is nothing.
        let rest = authority.as_str().strip_prefix(host).ok_or(Error::HttpRequestUriInvalid)?;
        let port = match rest.strip_prefix(':').unwrap_or(rest) {
            "" if *scheme == Scheme::HTTPS => 443,
            "" => 80,
            port => port.parse().map_err(|_| Error::HttpRequestUriInvalid)?,
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() {
            return Err(Error::HttpRequestUriInvalid);
        }
        Ok(Self { scheme: scheme.clone(), host: host.to_owned(), port })
    }

    fn is_https(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }
}

/// How long a request's parts may take.
#[derive(Clone, Copy, Debug)]
struct Timeouts {
    connect: Duration,
    first_byte: Duration,
    between_bytes: Duration,
}

impl Timeouts {
    fn of(options: Option<RequestOptions>) -> Self {
        let options = options.unwrap_or_default();
        // No longer than a clock can say.
        let or_default = |time: Option<Duration>| time.unwrap_or(limits::OUTGOING_TIMEOUT).min(LONGEST);
        Self {
            connect: or_default(options.connect_timeout),
            first_byte: or_default(options.first_byte_timeout),
            between_bytes: or_default(options.between_bytes_timeout),
        }
    }
}

/// A year.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

impl Outgoing {
    /// What is buffered on the way is charged to `buffers`, what is done for it to the group of `spawner`.
    pub(crate) fn new(
        network: Arc<ContainerNetwork>,
        tls: Arc<Tls>,
        buffers: Arc<Budget>,
        spawner: Spawner,
    ) -> Arc<Self> {
        let slots = Arc::new(Semaphore::new(limits::OUTGOING));
        Arc::new(Self { network, tls, spawner, pool: Pool::new(buffers), slots })
    }

    async fn send(&self, request: Request<WasiBody>, options: Option<RequestOptions>) -> Result<Answer, Error> {
        let permit = Arc::clone(&self.slots).try_acquire_owned().map_err(|_| Error::ConnectionLimitReached)?;
        // What comes back cannot be refused.
        if self.pool.payer().available() == 0 {
            return Err(Error::ConnectionLimitReached);
        }
        let target = Target::of(&request)?;
        let timeouts = Timeouts::of(options);
        let (parts, body) = request.into_parts();
        let (body, sent) = Sent::new(held::body(body, self.pool.payer()));
        let request = Request::from_parts(parts, body.boxed_unsync());
        let response = self.route(&target, request, timeouts).await?;
        let response = response.map(|body| {
            let body = Timed::new(body, timeouts.between_bytes);
            // The request is under way until its response's body is gone.
            body.map_frame(move |frame| {
                let _ = &permit;
                frame
            })
            .boxed_unsync()
        });
        Ok((response, Box::new(sent)))
    }

    async fn route(
        &self,
        target: &Target,
        request: Request<WasiBody>,
        timeouts: Timeouts,
    ) -> Result<Response<WasiBody>, Error> {
        let request = match self.pool.take(target).await {
            None => request,
            Some(kept) => {
                let again = again(&request);
                match kept.send(request, &self.pool, timeouts).await {
                    Ok(response) => return Ok(response),
                    Err(pool::Failed::Unsent(request)) => *request,
                    // The server may have closed the connection before it saw the request.
                    Err(pool::Failed::Lost(error)) => again.ok_or(error)?,
                    Err(pool::Failed::Sent(error)) => return Err(error),
                }
            }
        };
        let deadline = Instant::now() + timeouts.connect;
        let resolved = tokio::time::timeout_at(deadline, self.network.resolve(&target.host)).await;
        let addresses = resolved.map_err(|_| Error::DnsTimeout)?.map_err(|error| error::of_resolve(&error))?;
        match self.reach(target, &addresses, deadline).await? {
            connect::Way::Direct(service, client, meter) => {
                let caller = direct::Caller {
                    address: client,
                    first_byte: timeouts.first_byte,
                    spawner: &self.spawner,
                    payer: self.pool.payer(),
                };
                let server = service.spawner();
                let send = |request| direct::send(service, server, request, caller);
                match meter {
                    None => send(request).await,
                    Some(meter) => {
                        let sent = send(metered::request(request, &meter));
                        Ok(metered::response(sent.await?, &meter))
                    }
                }
            }
            connect::Way::Connection(connection) => {
                connection.send(request, &self.pool, timeouts).await.map_err(|failed| match failed {
                    pool::Failed::Unsent(_) => Error::ConnectionTerminated,
                    pool::Failed::Lost(error) | pool::Failed::Sent(error) => error,
                })
            }
        }
    }

    /// A way to the first of `addresses` that there is one to.
    async fn reach(&self, target: &Target, addresses: &[IpAddr], deadline: Instant) -> Result<connect::Way, Error> {
        let mut failure = None;
        for (index, address) in addresses.iter().enumerate() {
            let is_last = index + 1 == addresses.len();
            let until = if is_last { deadline } else { deadline.min(Instant::now() + limits::ATTEMPT_TIMEOUT) };
            let to = SocketAddr::new(*address, target.port);
            match tokio::time::timeout_at(until, self.connect(target, to)).await {
                Ok(Ok(way)) => return Ok(way),
                // Somebody answered.
                Ok(Err(connect::Failed::Handshake(error))) => return Err(error),
                // The first is what is told: it is the preferred address.
                Ok(Err(connect::Failed::Connect(error))) => failure = failure.or(Some(error)),
                Err(_) => failure = failure.or(Some(Error::ConnectionTimeout)),
            }
        }
        Err(failure.unwrap_or(Error::DestinationNotFound))
    }
}

/// The same request once more, if it does no harm to send it twice: it has no body, and its method is safe.
fn again(request: &Request<WasiBody>) -> Option<Request<WasiBody>> {
    let has_no_body = request.body().is_end_stream() || request.body().size_hint().exact() == Some(0);
    if !request.method().is_safe() || !has_no_body {
        return None;
    }
    let mut again = Request::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
    again.method_mut().clone_from(request.method());
    again.uri_mut().clone_from(request.uri());
    again.headers_mut().clone_from(request.headers());
    Some(again)
}

/// The hooks of one store.
pub(crate) struct HttpHooks {
    outgoing: Arc<Outgoing>,
    /// Bytes of the fields of responses that the guest got and that are not charged to it yet: whoever gets them does not
    /// have its store.
    heads: Arc<AtomicUsize>,
}

impl HttpHooks {
    pub(crate) fn new(outgoing: Arc<Outgoing>) -> Self {
        Self { outgoing, heads: Arc::default() }
    }

    /// What the fields of responses take that came since this was asked last, in bytes.
    pub(crate) fn take_heads(&mut self) -> usize {
        if self.heads.load(Ordering::Relaxed) == 0 { 0 } else { self.heads.swap(0, Ordering::Relaxed) }
    }
}

impl WasiHttpHooks for HttpHooks {
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        is_forbidden(name)
    }

    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(is_forbidden)
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Io,
    ) -> Box<dyn Future<Output = Result<Answer, Error>> + Send> {
        let (outgoing, heads) = (Arc::clone(&self.outgoing), Arc::clone(&self.heads));
        Box::new(async move {
            let answer = outgoing.send(request, options).await?;
            heads.fetch_add(handles::fields(answer.0.headers()), Ordering::Relaxed);
            Ok(answer)
        })
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        limits::BODY_PIECE
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        limits::BODY_PIECE
    }
}

/// Fields that belong to a connection and not to a guest: wasmtime's list, looked up without building it.
fn is_forbidden(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "transfer-encoding"
            | "upgrade"
            | "host"
            | "http2-settings"
    )
}

#[cfg(test)]
mod tests {
    use wasmtime_wasi_http::DEFAULT_FORBIDDEN_HEADERS;

    use super::*;

    #[test]
    fn wasmtimes_forbidden_fields_are_forbidden() {
        assert_eq!(DEFAULT_FORBIDDEN_HEADERS.len(), 9, "wasmtime's list has changed: so must ours");
        for name in &DEFAULT_FORBIDDEN_HEADERS {
            assert!(is_forbidden(name), "{name}");
        }
        assert!(!is_forbidden(&http::header::ACCEPT));
    }

    #[test]
    fn only_what_changes_nothing_is_sent_again() {
        let empty = || Empty::new().map_err(|never| match never {}).boxed_unsync();
        let full = || http_body_util::Full::from("body").map_err(|never| match never {}).boxed_unsync();
        let request = |method: &str, body| {
            Request::builder().method(method).uri("http://guest/x").header("a", "b").body(body).unwrap()
        };
        let same = again(&request("GET", empty())).unwrap();
        assert_eq!((same.method().as_str(), same.uri().path(), same.headers().len()), ("GET", "/x", 1));
        assert!(again(&request("HEAD", empty())).is_some());
        assert!(again(&request("POST", empty())).is_none());
        assert!(again(&request("GET", full())).is_none());
    }

    #[test]
    fn targets_are_hosts_and_ports() {
        let target = |uri: &str| {
            let request = Request::builder().uri(uri).body(()).unwrap();
            Target::of(&request).map(|target| (target.host, target.port)).ok()
        };
        assert_eq!(target("http://guest/x"), Some(("guest".into(), 80)));
        assert_eq!(target("https://guest/"), Some(("guest".into(), 443)));
        assert_eq!(target("http://[::1]:81/"), Some(("::1".into(), 81)));
        assert_eq!(target("http://127.0.0.1:8080/"), Some(("127.0.0.1".into(), 8080)));
        assert_eq!(target("http://guest:65536/"), None);
        assert_eq!(target("http://user@guest/"), None);
        assert_eq!(target("/"), None);
    }
}
