//! Measures the network between two guests: one serves, the other measures.
//!
//! Both sides move bytes as fast as the host lets them, so that what is measured is the host.

use std::env;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tcp::Connection;
use wasip2::io::streams::StreamError;

const USAGE: &str = "\
usage: net-bench serve ADDRESS [CONNECTIONS]   echo or swallow, as the client says, until so many have been served
       net-bench ping ADDRESS ROUNDS           send 64 bytes and wait for them to come back, ROUNDS times
       net-bench stream ADDRESS BYTES          send BYTES in pieces of 64 KiB and wait until all have arrived
  ping and stream print the nanoseconds that it took.";

/// The size of a message that is echoed.
const MESSAGE: usize = 64;
/// The size of a piece of a stream.
const PIECE: usize = 64 * 1024;
/// How long a client tries to connect.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args.as_slice() {
        ["serve", address] => serve(address, 1),
        ["serve", address, connections] => connections.parse().map_or_else(|_| usage(), |count| serve(address, count)),
        ["ping", address, rounds] => rounds.parse().map_or_else(|_| usage(), |rounds| report(address, |it| ping(it, rounds))),
        ["stream", address, bytes] => bytes.parse().map_or_else(|_| usage(), |bytes| report(address, |it| stream(it, bytes))),
        _ => usage(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> Result<(), String> {
    Err(USAGE.to_owned())
}

fn lost(error: StreamError) -> String {
    format!("net-bench: connection lost: {error}")
}

// --- The server ------------------------------------------------------------------------------------------------------

/// The first byte of a connection says what it is for.
fn serve(address: &str, connections: usize) -> Result<(), String> {
    let address = address.parse().map_err(|_| USAGE.to_owned())?;
    let listener = tcp::listen(address).map_err(|error| format!("net-bench: {error}"))?;
    for _ in 0..connections {
        let (socket, input, output) = loop {
            listener.subscribe().block();
            if let Ok(accepted) = listener.accept() {
                break accepted;
            }
        };
        let connection = Connection { input, output, socket };
        match connection.input.blocking_read(1) {
            Ok(kind) if kind == b"p" => echo(&connection)?,
            Ok(_) => swallow(&connection)?,
            Err(error) => return Err(lost(error)),
        }
    }
    Ok(())
}

fn echo(connection: &Connection) -> Result<(), String> {
    loop {
        match connection.input.blocking_read(MESSAGE as u64) {
            Ok(bytes) => connection.output.blocking_write_and_flush(&bytes).map_err(lost)?,
            Err(StreamError::Closed) => return Ok(()),
            Err(error) => return Err(lost(error)),
        }
    }
}

/// Reads to the end, then says how much it was.
fn swallow(connection: &Connection) -> Result<(), String> {
    let mut total = 0_u64;
    loop {
        match connection.input.blocking_read(PIECE as u64) {
            Ok(bytes) => total += bytes.len() as u64,
            Err(StreamError::Closed) => break,
            Err(error) => return Err(lost(error)),
        }
    }
    connection.output.blocking_write_and_flush(&total.to_le_bytes()).map_err(lost)
}

// --- The clients -----------------------------------------------------------------------------------------------------

fn report(address: &str, measure: impl FnOnce(&Connection) -> Result<Duration, String>) -> Result<(), String> {
    let deadline = Instant::now() + PATIENCE;
    let connection = loop {
        match tcp::connect(address) {
            Ok(connection) => break connection,
            Err(error) if Instant::now() > deadline => return Err(format!("net-bench: {error}")),
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    };
    println!("{}", measure(&connection)?.as_nanos());
    Ok(())
}

fn ping(connection: &Connection, rounds: u64) -> Result<Duration, String> {
    connection.output.blocking_write_and_flush(b"p").map_err(lost)?;
    let message = [7; MESSAGE];
    let start = Instant::now();
    for _ in 0..rounds {
        connection.output.blocking_write_and_flush(&message).map_err(lost)?;
        let mut received = 0;
        while received < MESSAGE {
            received += connection.input.blocking_read((MESSAGE - received) as u64).map_err(lost)?.len();
        }
    }
    Ok(start.elapsed())
}

fn stream(connection: &Connection, bytes: u64) -> Result<Duration, String> {
    connection.output.blocking_write_and_flush(b"s").map_err(lost)?;
    let piece = vec![7; PIECE];
    let room = connection.output.subscribe();
    let start = Instant::now();
    let mut left = bytes;
    while left > 0 {
        room.block();
        let count = connection.output.check_write().map_err(lost)?.min(left).min(PIECE as u64);
        let count = usize::try_from(count).unwrap_or(PIECE);
        connection.output.write(&piece[..count]).map_err(lost)?;
        left -= count as u64;
    }
    connection.output.blocking_flush().map_err(lost)?;
    drop(room);
    let _ = connection.socket.shutdown(wasip2::sockets::tcp::ShutdownType::Send);
    let mut answer = Vec::new();
    while answer.len() < 8 {
        answer.extend(connection.input.blocking_read(8).map_err(lost)?);
    }
    let elapsed = start.elapsed();
    match answer.try_into().map(u64::from_le_bytes) {
        Ok(arrived) if arrived == bytes => Ok(elapsed),
        _ => Err("net-bench: not all bytes have arrived".to_owned()),
    }
}
