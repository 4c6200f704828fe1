//! Sends a text to an echo server and prints what comes back; waits for the server to come up.

use std::env;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use tcp::Connection;
use wasip2::io::streams::StreamError;
use wasip2::sockets::tcp::ShutdownType;

const USAGE: &str = "\
usage: tcp-echo-client [ADDRESS] [TEXT]
  ADDRESS  host:port of the server (default: $ECHO_ADDRESS, else 127.0.0.1:7000)
  TEXT     what to send (default: $ECHO_TEXT, else \"hello\")
  Tries to connect for $ECHO_TIMEOUT seconds (default 10).";

const RETRY: Duration = Duration::from_millis(50);

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let setting = |argument: Option<String>, name, default: &str| {
        argument.or_else(|| env::var(name).ok()).unwrap_or_else(|| default.to_owned())
    };
    let address = setting(args.next(), "ECHO_ADDRESS", "127.0.0.1:7000");
    let text = setting(args.next(), "ECHO_TEXT", "hello");
    let timeout = setting(None, "ECHO_TIMEOUT", "10").parse().ok().map(Duration::from_secs);
    let (Some(timeout), None) = (timeout, args.next()) else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };

    match connect(&address, timeout).and_then(|connection| echo(&connection, text.as_bytes())) {
        Ok(answer) if answer == text.as_bytes() => {
            println!("{}", String::from_utf8_lossy(&answer));
            ExitCode::SUCCESS
        }
        Ok(answer) => {
            eprintln!("tcp-echo-client: sent {text:?}, got {:?}", String::from_utf8_lossy(&answer));
            ExitCode::FAILURE
        }
        Err(message) => {
            eprintln!("tcp-echo-client: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Connects, again and again until the time is up: containers of a pod start in no particular order.
fn connect(address: &str, timeout: Duration) -> Result<Connection, String> {
    let deadline = Instant::now() + timeout;
    loop {
        match tcp::connect(address) {
            Ok(connection) => return Ok(connection),
            Err(error) if Instant::now() >= deadline => return Err(error.to_string()),
            Err(_) => thread::sleep(RETRY),
        }
    }
}

/// Sends it all, says so by closing that half, and reads to the end.
///
/// It sends before it reads, so a text larger than all the buffers on the way would wait for ever.
fn echo(connection: &Connection, text: &[u8]) -> Result<Vec<u8>, String> {
    let failed = |error: StreamError| format!("connection lost: {error}");
    // A single blocking write takes at most 4096 bytes (wasi:io/streams).
    for chunk in text.chunks(4096) {
        connection.output.blocking_write_and_flush(chunk).map_err(failed)?;
    }
    connection.socket.shutdown(ShutdownType::Send).map_err(|code| format!("cannot half-close: {}", code.name()))?;
    let mut answer = Vec::new();
    loop {
        match connection.input.blocking_read(4096) {
            Ok(bytes) => answer.extend(bytes),
            Err(StreamError::Closed) => return Ok(answer),
            Err(error) => return Err(failed(error)),
        }
    }
}
