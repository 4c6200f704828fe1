//! A handler of WASI 0.2 that calls others, counts, and misbehaves on request.
//!
//! | request | answer |
//! |---|---|
//! | `/count` | how many requests this instance has been given |
//! | `/echo` | the request's body, streamed, then its trailers |
//! | `/seen` | once the body has been read: method, target, authority and headers as the guest sees them, one a line |
//! | `/to/URL` | what URL answers to the same request, body and trailers included; 502 with the error where it does not |
//! | `/within/C,F,B/URL` | the same, with these timeouts in milliseconds: to connect, of the first byte, between bytes |
//! | `/trap` | none: the guest traps |
//! | `/trap-late` | the beginning of a body; then the guest traps |
//! | `/silent` | none: the guest returns |
//! | `/hang` | none: the guest waits |
//! | `/spin` | none: the guest computes without end |
//! | `/until-stop` | one line, once the container was asked to stop; the log says when the guest begins to wait |

use std::sync::atomic::{AtomicU32, Ordering};

use pod_bindings::termination;
use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingRequest, IncomingResponse, Method, OutgoingBody, OutgoingRequest,
    OutgoingResponse, RequestOptions, ResponseOutparam, Scheme,
};
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

static REQUESTS: AtomicU32 = AtomicU32::new(0);

struct Proxy;

wasip2::http::proxy::export!(Proxy);

impl Guest for Proxy {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let count = REQUESTS.fetch_add(1, Ordering::Relaxed) + 1;
        let target = request.path_with_query().unwrap_or_default();
        match target.as_str() {
            "/count" => respond(out, 200, &format!("{count}\n")),
            "/echo" => echo(&request, out),
            "/seen" => respond(out, 200, &seen(&request)),
            "/silent" => {}
            "/trap" => panic!("told to"),
            "/trap-late" => {
                let (body, output) = begin(out, 200, Fields::new());
                let _ = output.blocking_write_and_flush(b"the beginning");
                let _kept = (body, output);
                panic!("told to, late");
            }
            "/hang" => loop {
                subscribe_duration(1_000_000_000).block();
            },
            "/until-stop" => {
                println!("waiting");
                termination::subscribe().block();
                respond(out, 200, "stopping\n");
            }
            "/spin" => loop {
                std::hint::black_box(count);
            },
            target => match destination(target) {
                Some((url, options)) => match forward(&request, url, options) {
                    Ok(response) => pass_on(response, out),
                    Err(error) => respond(out, 502, &format!("{error:?}\n")),
                },
                None => respond(out, 404, "nothing here\n"),
            },
        }
    }
}

/// What the guest sees of a request.
fn seen(request: &IncomingRequest) -> String {
    // Some clients do not hear an answer before they have sent all.
    let body = request.consume();
    if let Ok(input) = body.as_ref().map_err(|_| ()).and_then(IncomingBody::stream) {
        while input.blocking_skip(64 * 1024).is_ok() {}
    }
    let mut lines: Vec<String> = request
        .headers()
        .entries()
        .into_iter()
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(&value)))
        .collect();
    lines.sort_unstable();
    let method = match request.method() {
        Method::Get => "GET".to_owned(),
        Method::Post => "POST".to_owned(),
        other => format!("{other:?}"),
    };
    let target = request.path_with_query().unwrap_or_default();
    format!("{method} {target} {}\n{}\n", request.authority().unwrap_or_default(), lines.join("\n"))
}

fn echo(request: &IncomingRequest, out: ResponseOutparam) {
    let headers = Fields::new();
    // Trailers have to be announced.
    let _ = headers.set("trailer", &request.headers().get("trailer"));
    let (body, output) = begin(out, 200, headers);
    let Ok(input) = request.consume() else { return };
    relay(input, body, output);
}

/// Where a target wants a request to go, and how long that may take.
fn destination(target: &str) -> Option<(&str, Option<RequestOptions>)> {
    if let Some(url) = target.strip_prefix("/to/") {
        return Some((url, None));
    }
    let (times, url) = target.strip_prefix("/within/")?.split_once('/')?;
    let times: Vec<u64> =
        times.split(',').map(|millis| Some(millis.parse::<u64>().ok()? * 1_000_000)).collect::<Option<_>>()?;
    let &[connect, first_byte, between_bytes] = times.as_slice() else { return None };
    let options = RequestOptions::new();
    options.set_connect_timeout(Some(connect)).ok()?;
    options.set_first_byte_timeout(Some(first_byte)).ok()?;
    options.set_between_bytes_timeout(Some(between_bytes)).ok()?;
    Some((url, Some(options)))
}

/// Sends the same request to `url`.
fn forward(
    request: &IncomingRequest,
    url: &str,
    options: Option<RequestOptions>,
) -> Result<IncomingResponse, ErrorCode> {
    let invalid = || ErrorCode::HttpRequestUriInvalid;
    let (scheme, rest) = url.split_once("://").ok_or_else(invalid)?;
    let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let outgoing = OutgoingRequest::new(without_own(&request.headers()));
    outgoing.set_method(&request.method()).map_err(|()| ErrorCode::HttpRequestMethodInvalid)?;
    outgoing.set_scheme(Some(&scheme)).map_err(|()| invalid())?;
    outgoing.set_authority(Some(authority)).map_err(|()| invalid())?;
    outgoing.set_path_with_query(Some(&format!("/{path}"))).map_err(|()| invalid())?;
    let has_body = !matches!(request.method(), Method::Get | Method::Head);
    let body = has_body.then(|| outgoing.body()).and_then(Result::ok);
    let answer = outgoing_handler::handle(outgoing, options)?;
    if let Some(body) = body
        && let (Ok(output), Ok(input)) = (body.write(), request.consume())
    {
        relay(input, body, output);
    }
    answer.subscribe().block();
    match answer.get() {
        Some(Ok(result)) => result,
        Some(Err(())) | None => Err(ErrorCode::InternalError(None)),
    }
}

fn pass_on(response: IncomingResponse, out: ResponseOutparam) {
    let (body, output) = begin(out, response.status(), without_own(&response.headers()));
    let Ok(input) = response.consume() else { return };
    relay(input, body, output);
}

/// Headers that may be passed on.
fn without_own(headers: &Fields) -> Fields {
    Fields::from_list(&headers.entries()).unwrap_or_else(|_| Fields::new())
}

/// Copies a body and its trailers.
fn relay(from: IncomingBody, to: OutgoingBody, output: OutputStream) {
    let copied = match from.stream() {
        Ok(input) => copy(&input, &output),
        Err(()) => Ok(()),
    };
    drop(output);
    if copied.is_err() {
        // Dropped unfinished, it is an aborted body.
        return;
    }
    let trailers = IncomingBody::finish(from);
    trailers.subscribe().block();
    let trailers = match trailers.get() {
        Some(Ok(Ok(trailers))) => trailers.map(|trailers| without_own(&trailers)),
        _ => None,
    };
    let _ = OutgoingBody::finish(to, trailers);
}

fn copy(input: &InputStream, output: &OutputStream) -> Result<(), StreamError> {
    loop {
        match output.blocking_splice(input, 64 * 1024) {
            Ok(_) => {}
            Err(StreamError::Closed) => return output.blocking_flush(),
            Err(error) => return Err(error),
        }
    }
}

fn respond(out: ResponseOutparam, status: u16, text: &str) {
    let (body, output) = begin(out, status, Fields::new());
    let written = text.as_bytes().chunks(4096).try_for_each(|chunk| output.blocking_write_and_flush(chunk));
    drop(output);
    if written.is_ok() {
        let _ = OutgoingBody::finish(body, None);
    }
}

/// Sends a response's head. Nobody else has taken the body of a response that was just made.
fn begin(out: ResponseOutparam, status: u16, headers: Fields) -> (OutgoingBody, OutputStream) {
    let response = OutgoingResponse::new(headers);
    let _ = response.set_status_code(status);
    let body = response.body().expect("a new response has its body");
    ResponseOutparam::set(out, Ok(response));
    let output = body.write().expect("a new body has its stream");
    (body, output)
}
