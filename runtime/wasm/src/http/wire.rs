//! What a request and a response would become between an HTTP/1.1 client and server, without the bytes.
//!
//! A component that is called in memory sees the same request as over a connection, and its caller the same response:
//! limits, framing fields, bodies that HTTP has no place for, trailers that were not announced. This is where the rules
//! of the library that speaks HTTP over connections are known; the tests compare the two ways.

use std::collections::HashSet;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use wasmtime_wasi_http::{Error, WasiBody};

use super::body::{self, Timed};
use super::buffered::buffered;
use super::limits;
use crate::sched::Spawner;

/// Brings a request into the form in which its receiver would get it.
///
/// # Errors
/// The status of the answer of a server that does not take it.
pub(super) fn request(request: Request<WasiBody>, spawner: &Spawner) -> Result<Request<WasiBody>, StatusCode> {
    let (mut parts, body) = request.into_parts();
    if parts.uri.path_and_query().is_some_and(|target| target.as_str().len() > limits::TARGET_BYTES) {
        return Err(StatusCode::URI_TOO_LONG);
    }
    if parts.headers.len() > limits::HEAD_FIELDS || head_bytes(&parts.headers) > limits::HEAD_BYTES {
        return Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    parts.version = Version::HTTP_11;
    let length = body::content_length(&parts.headers);
    // Without a length, these have no body in HTTP/1.1 as it is spoken here.
    let bodiless = matches!(parts.method, Method::GET | Method::HEAD | Method::CONNECT);
    let body = if body.is_end_stream() && length.is_none_or(|length| length == 0) {
        if !bodiless && length.is_none() {
            parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        body::empty()
    } else if length.is_none() && body.size_hint().exact().is_none() && bodiless {
        body::empty()
    } else {
        let chunked = set_length(&mut parts.headers, &body);
        let trailers = if chunked { announced(&parts.headers) } else { HashSet::new() };
        let missing = body::content_length(&parts.headers);
        let body = Framed { body: buffered(body, spawner), missing, trailers, failed: || Error::ConnectionTerminated };
        Timed::new(body, limits::STALL_TIMEOUT).boxed_unsync()
    };
    Ok(Request::from_parts(parts, body))
}

/// What decides about the form of a response.
pub(super) struct Asked {
    method: Method,
    takes_trailers: bool,
}

impl Asked {
    pub(super) fn new<B>(request: &Request<B>) -> Self {
        let values = request.headers().get_all(header::TE).iter();
        let takes_trailers = values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|coding| coding.trim().eq_ignore_ascii_case("trailers"));
        Self { method: request.method().clone(), takes_trailers }
    }
}

/// Brings a response into the form in which its receiver would get it.
pub(super) fn response<B>(response: Response<B>, asked: &Asked) -> Response<WasiBody>
where
    B: Body<Data = Bytes, Error = Error> + Send + Unpin + 'static,
{
    let (mut parts, body) = response.into_parts();
    parts.version = Version::HTTP_11;
    if !parts.headers.contains_key(header::DATE)
        && let Ok(date) = DateTimePrinter::new().timestamp_to_rfc9110_string(&Timestamp::now())
        && let Ok(date) = HeaderValue::try_from(date)
    {
        parts.headers.insert(header::DATE, date);
    }
    let body = if body::is_bodiless(&asked.method, parts.status) {
        body::empty()
    } else {
        let chunked = set_length(&mut parts.headers, &body);
        let trailers = if chunked && asked.takes_trailers { announced(&parts.headers) } else { HashSet::new() };
        let missing = body::content_length(&parts.headers);
        Framed { body, missing, trailers, failed: || Error::HttpResponseIncomplete }.boxed_unsync()
    };
    Response::from_parts(parts, body)
}

/// Says how long the body is where it is known; whether it is sent in chunks.
fn set_length<B: Body>(headers: &mut HeaderMap, body: &B) -> bool {
    if headers.contains_key(header::CONTENT_LENGTH) {
        return false;
    }
    let Some(length) = body.size_hint().exact() else { return true };
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    false
}

/// Bytes of a head's fields.
pub(super) fn head_bytes(headers: &HeaderMap) -> usize {
    // A colon, a space and the line's end with each.
    headers.iter().map(|(name, value)| name.as_str().len().saturating_add(value.len()).saturating_add(4)).sum()
}

/// The trailers that a head announces: no others are sent.
fn announced(headers: &HeaderMap) -> HashSet<HeaderName> {
    let values = headers.get_all(header::TRAILER).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
        .filter(may_trail)
        .collect()
}

/// Whether a field may come after the body: none may that says how to read it (RFC 9110, section 6.5.1).
fn may_trail(name: &HeaderName) -> bool {
    const NEVER: [HeaderName; 12] = [
        header::AUTHORIZATION,
        header::CACHE_CONTROL,
        header::CONTENT_ENCODING,
        header::CONTENT_LENGTH,
        header::CONTENT_RANGE,
        header::CONTENT_TYPE,
        header::HOST,
        header::MAX_FORWARDS,
        header::SET_COOKIE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::TE,
    ];
    !NEVER.contains(name)
}

/// A body as its receiver would get it: as long as its head says, without unannounced trailers, and without a word of
/// why it failed.
#[derive(Debug)]
struct Framed<B> {
    body: B,
    /// Bytes until the length that the head says.
    missing: Option<u64>,
    trailers: HashSet<HeaderName>,
    failed: fn() -> Error,
}

impl<B: Body<Data = Bytes, Error = Error> + Unpin> Body for Framed<B> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        let frame = match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            None if this.missing.unwrap_or(0) == 0 => return Poll::Ready(None),
            None | Some(Err(_)) => {
                this.missing = None;
                return Poll::Ready(Some(Err((this.failed)())));
            }
        };
        Poll::Ready(match frame.into_data() {
            Ok(data) => Some(Ok(Frame::data(this.cut(data)))),
            Err(frame) => frame.into_trailers().ok().and_then(|trailers| this.announced(trailers)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.missing == Some(0) || (self.missing.is_none() && self.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.missing.map_or_else(|| self.body.size_hint(), SizeHint::with_exact)
    }
}

impl<B> Framed<B> {
    /// No more than is missing.
    fn cut(&mut self, mut data: Bytes) -> Bytes {
        if let Some(missing) = &mut self.missing {
            data.truncate(usize::try_from(*missing).unwrap_or(usize::MAX));
            *missing = missing.saturating_sub(u64::try_from(data.len()).unwrap_or(u64::MAX));
        }
        data
    }

    /// Those of the trailers that were announced.
    fn announced(&self, trailers: HeaderMap) -> Option<Result<Frame<Bytes>, Error>> {
        let mut kept = HeaderMap::new();
        let mut last = None;
        for (name, value) in trailers {
            last = name.or(last);
            if let Some(name) = last.as_ref().filter(|name| self.trailers.contains(*name)) {
                kept.append(name, value);
            }
        }
        (!kept.is_empty()).then(|| Ok(Frame::trailers(kept)))
    }
}
