//! The standard health check of gRPC: `grpc.health.v1.Health/Check`.
//!
//! Its two messages have one field each, so they are written and read by hand:
//!
//! ```text
//!   HealthCheckRequest  { string service = 1; }     0x0a LENGTH BYTES
//!   HealthCheckResponse { ServingStatus status = 1; }     0x08 VARINT
//! ```

use std::time::Duration;

use ::http::{HeaderMap, Request};
use bytes::{BufMut as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use k8s_openapi::api::core::v1::GRPCAction;
use nacelle_lifecycle::ProbeOutcome;
use tokio::task::JoinSet;

use super::target::{Target, address};
use super::text;

/// The most bytes of an answer: the message has a handful.
const MAX_MESSAGE: usize = 4 << 10;
/// The most bytes of an answer's headers.
const MAX_HEADERS: u32 = 16 << 10;

const UNIMPLEMENTED: u32 = 12;
const DEADLINE_EXCEEDED: u32 = 4;

/// Why a call failed.
enum Failed {
    /// There is no connection.
    Connect(String),
    /// The server says so.
    Status { code: u32, message: String },
    /// What came back is no answer.
    Call(String),
}

pub(super) async fn probe(target: &Target, action: &GRPCAction, timeout: Duration) -> ProbeOutcome {
    // Validation lets no number through that is no port.
    let Ok(port) = u16::try_from(action.port) else { return ProbeOutcome::Unknown("no such port".to_owned()) };
    let host = target.host(None);
    let service = action.service.as_deref().unwrap_or_default();
    let Ok(checked) = tokio::time::timeout(timeout, check(target, &host, port, service)).await else {
        return ProbeOutcome::Failure(format!("timeout: health rpc did not complete within {timeout:?}"));
    };
    ProbeOutcome::Failure(match checked {
        Ok(1) => return ProbeOutcome::Success,
        Ok(status) => format!("service unhealthy (responded with {:?})", serving_status(status)),
        Err(Failed::Connect(why)) => {
            format!("error: failed to connect service at {:?}: {why}", address(&host, port))
        }
        Err(Failed::Status { code: UNIMPLEMENTED, message }) => {
            format!("error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {message}")
        }
        Err(Failed::Status { code: DEADLINE_EXCEEDED, .. }) => {
            format!("timeout: health rpc did not complete within {timeout:?}")
        }
        Err(Failed::Status { code, message }) => {
            format!("error: health rpc probe failed: rpc error: code = {} desc = {message}", code_name(code))
        }
        Err(Failed::Call(why)) => format!("error: health rpc probe failed: {why}"),
    })
}

/// What the server says of a service: a `ServingStatus`.
async fn check(target: &Target, host: &str, port: u16, service: &str) -> Result<u64, Failed> {
    let stream = target.connect(host, port).await.map_err(Failed::Connect)?;
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    builder.max_header_list_size(MAX_HEADERS);
    let (mut sender, connection) =
        builder.handshake(TokioIo::new(stream)).await.map_err(|error| Failed::Connect(error.to_string()))?;
    // Ends with this function, at the latest.
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);

    let request = Request::post(format!("http://{}/grpc.health.v1.Health/Check", address(host, port)))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", concat!("kube-probe/", env!("CARGO_PKG_VERSION")))
        .body(Full::new(request_message(service)))
        .map_err(|error| Failed::Call(error.to_string()))?;
    let response = sender.send_request(request).await.map_err(|error| Failed::Call(error.to_string()))?;
    if !response.status().is_success() {
        return Err(Failed::Call(format!("unexpected HTTP status code {}", response.status().as_u16())));
    }
    // A failure may come without a body, and then its status is among the headers.
    status_in(response.headers())?;
    let (message, trailers) = receive(response.into_body()).await.map_err(Failed::Call)?;
    status_in(&trailers)?;
    serving(&message).ok_or_else(|| Failed::Call("the answer is no HealthCheckResponse".to_owned()))
}

/// The message and the trailers of an answer.
async fn receive(mut body: Incoming) -> Result<(Vec<u8>, HeaderMap), String> {
    let mut message = Vec::new();
    let mut trailers = HeaderMap::new();
    while let Some(frame) = body.frame().await {
        match frame.map_err(|error| error.to_string())?.into_data() {
            Ok(data) if message.len() + data.len() > MAX_MESSAGE => return Err("the answer is too long".to_owned()),
            Ok(data) => message.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
        }
    }
    Ok((message, trailers))
}

/// An error that the headers speak of.
fn status_in(headers: &HeaderMap) -> Result<(), Failed> {
    let value = |name| headers.get(name).map(|value: &::http::HeaderValue| text(value.as_bytes()));
    match value("grpc-status").map(|code| code.parse::<u32>()) {
        None | Some(Ok(0)) => Ok(()),
        Some(code) => {
            Err(Failed::Status { code: code.unwrap_or(2), message: value("grpc-message").unwrap_or_default() })
        }
    }
}

/// A `HealthCheckRequest`, with gRPC's prefix: not compressed, so long.
fn request_message(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(0x0a);
        put_varint(&mut message, service.len());
        message.extend_from_slice(service.as_bytes());
    }
    let mut framed = BytesMut::with_capacity(message.len() + 5);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.extend_from_slice(&message);
    framed.freeze()
}

fn put_varint(buffer: &mut BytesMut, mut value: usize) {
    while value >= 0x80 {
        buffer.put_u8(u8::try_from(value & 0x7f).unwrap_or(0) | 0x80);
        value >>= 7;
    }
    buffer.put_u8(u8::try_from(value).unwrap_or(0));
}

/// The status in a framed `HealthCheckResponse`; `None` when it is none. A field that is left out is 0.
fn serving(framed: &[u8]) -> Option<u64> {
    let (prefix, mut message) = framed.split_at_checked(5)?;
    let [0, length @ ..] = prefix else { return None };
    if usize::try_from(u32::from_be_bytes(length.try_into().ok()?)).ok()? != message.len() {
        return None;
    }
    let mut status = 0;
    while !message.is_empty() {
        let key = take_varint(&mut message)?;
        match key & 7 {
            0 => {
                let value = take_varint(&mut message)?;
                if key == 0x08 {
                    status = value;
                }
            }
            // Fields of later versions.
            1 => message = message.get(8..)?,
            2 => {
                let length = usize::try_from(take_varint(&mut message)?).ok()?;
                message = message.get(length..)?;
            }
            5 => message = message.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn serving_status(status: u64) -> &'static str {
    match status {
        1 => "SERVING",
        2 => "NOT_SERVING",
        3 => "SERVICE_UNKNOWN",
        _ => "UNKNOWN",
    }
}

fn code_name(code: u32) -> &'static str {
    const NAMES: [&str; 17] = [
        "OK",
        "Canceled",
        "Unknown",
        "InvalidArgument",
        "DeadlineExceeded",
        "NotFound",
        "AlreadyExists",
        "PermissionDenied",
        "ResourceExhausted",
        "FailedPrecondition",
        "Aborted",
        "OutOfRange",
        "Unimplemented",
        "Internal",
        "Unavailable",
        "DataLoss",
        "Unauthenticated",
    ];
    usize::try_from(code).ok().and_then(|code| NAMES.get(code)).copied().unwrap_or("Unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_framed() {
        assert_eq!(&request_message("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(&request_message("ab")[..], [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        assert_eq!(request_message(&"x".repeat(200))[5..8], [0x0a, 0xc8, 0x01]);
    }

    #[test]
    fn answers_are_read() {
        assert_eq!(serving(&[0, 0, 0, 0, 2, 0x08, 1]), Some(1));
        assert_eq!(serving(&[0, 0, 0, 0, 0]), Some(0), "a field that is left out is 0");
        assert_eq!(serving(&[0, 0, 0, 0, 5, 0x12, 1, b'x', 0x08, 2]), Some(2), "other fields are passed over");
    }

    #[test]
    fn what_is_no_answer_is_none() {
        let bad: [&[u8]; 7] = [
            &[],
            &[0, 0, 0],
            &[1, 0, 0, 0, 2, 0x08, 1],
            &[0, 0, 0, 0, 9, 0x08, 1],
            &[0, 0, 0, 0, 1, 0x08],
            &[0, 0, 0, 0, 2, 0x12, 0x7f],
            &[0, 0, 0, 0, 1, 0x0b],
        ];
        for bytes in bad {
            assert_eq!(serving(bytes), None, "{bytes:?}");
        }
    }
}
