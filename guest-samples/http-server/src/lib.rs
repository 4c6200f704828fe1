//! Serves HTTP as a `wasi:http/incoming-handler`: the host owns the listening socket and calls `handle`.
//!
//! | request | answer |
//! |---|---|
//! | `GET /` | `/usr/share/nginx/html/index.html` where there is such a file, else a greeting |
//! | `GET /hello` | a greeting, and no file is looked for |
//! | `/echo` | the request's body, streamed |
//! | `GET /headers` | the request's headers, one a line, sorted |
//! | `GET /status/N` | status N |
//! | `GET /env/NAME` | an environment variable, or 404 |
//! | `GET /healthz` | 200 for ten seconds from the container's first such request on, then 500 |
//! | `/grpc.health.v1.Health/Check` | `SERVING`, as gRPC's health protocol has it |

use std::fs;
use std::time::Duration;

use wasip2::cli::environment::get_environment;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingBody, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use wasip2::io::streams::{OutputStream, StreamError};

const CHUNK: u64 = 64 * 1024;
const GREETING: &str = "Hello from wasi:http!\n";
const TEXT: &str = "text/plain; charset=utf-8";

/// Where nginx' image has its first page.
const INDEX: &str = "/usr/share/nginx/html/index.html";

/// How long `/healthz` is well, and the file whose age says how long it has been.
const HEALTHY: Duration = Duration::from_secs(10);
const FIRST_ASKED: &str = "/tmp/http-server-first-asked";

struct Server;

wasip2::http::proxy::export!(Server);

impl Guest for Server {
    fn handle(request: IncomingRequest, response: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let path = target.split('?').next().unwrap_or_default();
        let get = matches!(request.method(), Method::Get | Method::Head);
        match path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), "")) {
            ("echo", "") => echo(&request, response),
            ("grpc.health.v1.Health", "Check") => check(response),
            _ if !get => respond(response, 405, "only /echo takes a body\n"),
            ("", "") => match fs::read_to_string(INDEX) {
                Ok(page) => send(response, 200, "text/html; charset=utf-8", &page),
                Err(_) => respond(response, 200, GREETING),
            },
            ("hello", "") => respond(response, 200, GREETING),
            ("healthz", "") => healthz(response),
            ("headers", "") => respond(response, 200, &headers(&request)),
            ("status", code) => match code.parse() {
                Ok(code @ 200..=599) => respond(response, code, &format!("status {code}\n")),
                _ => respond(response, 400, "a status is a number from 200 to 599\n"),
            },
            ("env", name) => match get_environment().into_iter().find(|(key, _)| key == name) {
                Some((_, value)) => respond(response, 200, &format!("{value}\n")),
                None => respond(response, 404, "no such variable\n"),
            },
            _ => respond(response, 404, "nothing here\n"),
        }
    }
}

fn headers(request: &IncomingRequest) -> String {
    let mut lines: Vec<String> = request
        .headers()
        .entries()
        .into_iter()
        .map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(&value)))
        .collect();
    lines.sort_unstable();
    lines.concat()
}

/// Each request may have an instance of its own, so what they share is in a file.
fn healthz(outparam: ResponseOutparam) {
    let age = fs::metadata(FIRST_ASKED).and_then(|file| file.modified()).map(|first| first.elapsed());
    match age {
        Ok(age) if age.as_ref().is_ok_and(|age| *age > HEALTHY) => respond(outparam, 500, "ten seconds are over\n"),
        Ok(_) => respond(outparam, 200, "ok\n"),
        Err(_) => match fs::write(FIRST_ASKED, "") {
            Ok(()) => respond(outparam, 200, "ok\n"),
            Err(error) => respond(outparam, 500, &format!("{FIRST_ASKED}: {error}\n")),
        },
    }
}

/// gRPC's answer: a message behind its flags and its length, and a status in the trailers.
fn check(outparam: ResponseOutparam) {
    println!("health check: SERVING");
    let trailers = Fields::new();
    let _ = trailers.set("grpc-status", &[b"0".to_vec()]);
    // Field 1 of HealthCheckResponse is 1.
    let message = [0, 0, 0, 0, 2, 0x08, 1];
    stream(outparam, 200, "application/grpc", Some(trailers), |output| output.blocking_write_and_flush(&message));
}

fn respond(outparam: ResponseOutparam, status: u16, text: &str) {
    send(outparam, status, TEXT, text);
}

fn send(outparam: ResponseOutparam, status: u16, kind: &str, text: &str) {
    stream(outparam, status, kind, None, |output| {
        // A single blocking write takes at most 4096 bytes (wasi:io/streams).
        text.as_bytes().chunks(4096).try_for_each(|chunk| output.blocking_write_and_flush(chunk))
    });
}

/// Answers while the request is still coming in: nothing is kept but one chunk.
fn echo(request: &IncomingRequest, outparam: ResponseOutparam) {
    // A request's body and its stream can be taken once, and nobody has before.
    let (Ok(body), true) = (request.consume(), matches!(request.method(), Method::Post | Method::Put)) else {
        return respond(outparam, 405, "send a body with POST or PUT\n");
    };
    stream(outparam, 200, TEXT, None, |output| copy(&body, output));
}

fn copy(body: &IncomingBody, output: &OutputStream) -> Result<(), StreamError> {
    let Ok(input) = body.stream() else { return Ok(()) };
    loop {
        match output.blocking_splice(&input, CHUNK) {
            Ok(_) => output.blocking_flush()?,
            // The end of the request's body; where the client went away instead, the next write says so.
            Err(StreamError::Closed) => return output.blocking_flush(),
            Err(error) => return Err(error),
        }
    }
}

/// Sends a response's head, lets `write` send its body, and ends it; a body that fails is left unfinished, which
/// the client sees as an aborted response.
fn stream(
    outparam: ResponseOutparam,
    status: u16,
    kind: &str,
    trailers: Option<Fields>,
    write: impl FnOnce(&OutputStream) -> Result<(), StreamError>,
) {
    let headers = Fields::new();
    let response = match headers.set("content-type", &[kind.as_bytes().to_vec()]) {
        Ok(()) => OutgoingResponse::new(headers),
        Err(_) => OutgoingResponse::new(Fields::new()),
    };
    if response.set_status_code(status).is_err() {
        eprintln!("http-server: the host does not know status {status}");
    }
    let Ok(body) = response.body() else { return };
    ResponseOutparam::set(outparam, Ok(response));
    let Ok(output) = body.write() else { return };
    let written = write(&output);
    drop(output);
    if let Err(error) = written {
        eprintln!("http-server: response aborted: {error}");
        return;
    }
    if let Err(error) = OutgoingBody::finish(body, trailers) {
        eprintln!("http-server: response not finished: {error}");
    }
}
