//! Gets a URL with `wasi:http/outgoing-handler` and prints the status and the body, or writes the body into a file, as
//! `wget -O` does.
//!
//! Exit codes: 0 for a 2xx status, otherwise the status's first digit (3, 4, 5); 1 when there is no answer, 2 for
//! wrong arguments.

use std::env;
use std::fs::File;
use std::io::{self, Write};
use std::thread;
use std::time::{Duration, Instant};

use wasip2::cli::exit::exit_with_code;
use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{ErrorCode, Fields, IncomingResponse, OutgoingRequest, Scheme};
use wasip2::io::streams::StreamError;

const USAGE: &str = "\
usage: http-client [-O FILE] [URL]
  URL      http://host[:port][/path] or https://... (default: $URL)
  -O FILE  write the body to FILE, and print nothing
  Tries again for $TIMEOUT seconds (default 10) while nobody listens, or nobody is there.";

const RETRY: Duration = Duration::from_millis(50);

fn main() {
    let mut args: Vec<String> = env::args().skip(1).collect();
    let file = (args.len() >= 2 && args[0] == "-O").then(|| args.drain(..2).nth(1)).flatten();
    let url = args.into_iter().next().or_else(|| env::var("URL").ok());
    let timeout = env::var("TIMEOUT").map_or(Some(10), |text| text.parse().ok()).map(Duration::from_secs);
    let target = url.as_deref().and_then(Target::parse);
    let code = match (target, timeout) {
        (Some(target), Some(timeout)) => match get(&target, timeout, file.as_deref()) {
            Ok(status) if (200..300).contains(&status) => 0,
            Ok(status) => u8::try_from(status / 100).unwrap_or(1),
            Err(message) => {
                eprintln!("http-client: {message}");
                1
            }
        },
        _ => {
            eprintln!("{USAGE}");
            2
        }
    };
    let _ = io::stdout().flush();
    exit_with_code(code);
}

/// A URL in the parts that wasi:http wants.
struct Target {
    scheme: Scheme,
    authority: String,
    path: String,
}

impl Target {
    fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = match url.split_once("://")? {
            ("http", rest) => (Scheme::Http, rest),
            ("https", rest) => (Scheme::Https, rest),
            _ => return None,
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        (!authority.is_empty()).then(|| Self { scheme, authority: authority.to_owned(), path: format!("/{path}") })
    }
}

/// Prints the answer's status and body, or writes the body to a file; returns the status.
fn get(target: &Target, timeout: Duration, file: Option<&str>) -> Result<u16, String> {
    let deadline = Instant::now() + timeout;
    let response = loop {
        match request(target) {
            Ok(response) => break response,
            // Pods start in no particular order, and so do their containers.
            Err(ErrorCode::ConnectionRefused | ErrorCode::DestinationIpUnroutable) if Instant::now() < deadline => {
                thread::sleep(RETRY);
            }
            Err(error) => return Err(format!("no answer from {}: {error}", target.authority)),
        }
    };
    let copied = match file {
        Some(file) => File::create(file).and_then(|mut file| copy_body(&response, &mut file)),
        None => {
            println!("{}", response.status());
            copy_body(&response, &mut io::stdout())
        }
    };
    copied.map_err(|error| format!("body cut short: {error}"))?;
    Ok(response.status())
}

fn request(target: &Target) -> Result<IncomingResponse, ErrorCode> {
    let request = OutgoingRequest::new(Fields::new());
    let invalid = |()| ErrorCode::HttpRequestUriInvalid;
    request.set_scheme(Some(&target.scheme)).map_err(invalid)?;
    request.set_authority(Some(&target.authority)).map_err(invalid)?;
    request.set_path_with_query(Some(&target.path)).map_err(invalid)?;
    let answer = handle(request, None)?;
    loop {
        match answer.get() {
            // The outer result fails only when an answer is taken twice.
            Some(result) => return result.unwrap_or_else(|()| Err(ErrorCode::InternalError(None))),
            None => answer.subscribe().block(),
        }
    }
}

fn copy_body(response: &IncomingResponse, to: &mut impl Write) -> io::Result<()> {
    // The body and its stream can be taken once, and nobody has before.
    let Ok(body) = response.consume() else { return Ok(()) };
    let Ok(input) = body.stream() else { return Ok(()) };
    loop {
        match input.blocking_read(64 * 1024) {
            Ok(bytes) => to.write_all(&bytes)?,
            Err(StreamError::Closed) => return to.flush(),
            Err(error) => return Err(io::Error::other(error)),
        }
    }
}
