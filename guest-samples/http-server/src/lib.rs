//! Serves HTTP as a `wasi:http/incoming-handler`: the host owns the listening socket and calls `handle`.
//!
//! | request | answer |
//! |---|---|
//! | `GET /` | a greeting |
//! | `/echo` | the request's body, streamed |
//! | `GET /headers` | the request's headers, one a line, sorted |
//! | `GET /status/N` | status N |
//! | `GET /env/NAME` | an environment variable, or 404 |

use wasip2::cli::environment::get_environment;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingBody, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use wasip2::io::streams::{OutputStream, StreamError};

const CHUNK: u64 = 64 * 1024;

struct Server;

wasip2::http::proxy::export!(Server);

impl Guest for Server {
    fn handle(request: IncomingRequest, response: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let path = target.split('?').next().unwrap_or_default();
        let get = matches!(request.method(), Method::Get | Method::Head);
        match path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), "")) {
            ("echo", "") => echo(&request, response),
            _ if !get => respond(response, 405, "only /echo takes a body\n"),
            ("", "") => respond(response, 200, "Hello from wasi:http!\n"),
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

fn respond(outparam: ResponseOutparam, status: u16, text: &str) {
    stream(outparam, status, |output| {
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
    stream(outparam, 200, |output| copy(&body, output));
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
fn stream(outparam: ResponseOutparam, status: u16, write: impl FnOnce(&OutputStream) -> Result<(), StreamError>) {
    let headers = Fields::new();
    let text = [b"text/plain; charset=utf-8".to_vec()];
    let response = match headers.set("content-type", &text) {
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
    if let Err(error) = OutgoingBody::finish(body, None) {
        eprintln!("http-server: response not finished: {error}");
    }
}
