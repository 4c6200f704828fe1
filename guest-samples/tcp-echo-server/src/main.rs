//! Echoes what its TCP clients send, many of them at once, on one poll loop.
//!
//! A connection waits either for bytes to read or for room to write what it read, never for both: so a slow reader
//! holds up only itself, and the server holds at most one chunk for each.
//!
//! When the container is asked to stop, it takes no more connections and ends with those that it has.

use std::env;
use std::net::SocketAddr;
use std::process::ExitCode;

use pod_bindings::termination;
use tcp::{Connection, from_wasi};
use wasip2::io::poll::{Pollable, poll};
use wasip2::io::streams::StreamError;
use wasip2::sockets::network::ErrorCode;
use wasip2::sockets::tcp::TcpSocket;

const USAGE: &str = "\
usage: tcp-echo-server [ADDRESS] [CONNECTIONS]
  ADDRESS      ip:port to listen on (default: $ECHO_ADDRESS, else 0.0.0.0:7000)
  CONNECTIONS  end after serving so many (default: $ECHO_CONNECTIONS, else 0: never)";

const CHUNK: usize = 16 * 1024;

fn main() -> ExitCode {
    let Some((address, limit)) = options() else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    match tcp::listen(address) {
        Ok(listener) => {
            println!("listening on {address}");
            serve(listener, limit)
        }
        Err(error) => {
            eprintln!("tcp-echo-server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn options() -> Option<(SocketAddr, usize)> {
    let mut args = env::args().skip(1);
    let address = args.next().or_else(|| env::var("ECHO_ADDRESS").ok());
    let limit = args.next().or_else(|| env::var("ECHO_CONNECTIONS").ok());
    let address = address.as_deref().unwrap_or("0.0.0.0:7000").parse().ok()?;
    let limit = limit.as_deref().unwrap_or("0").parse().ok()?;
    args.next().is_none().then_some((address, limit))
}

/// Serves until `limit` connections have come and gone; a limit of zero is none.
fn serve(listener: TcpSocket, limit: usize) -> ExitCode {
    let stop = termination::subscribe();
    let mut listener = Some(listener);
    let mut clients: Vec<Client> = Vec::new();
    let mut accepted = 0;
    loop {
        if stop.ready() || (limit > 0 && accepted >= limit) {
            listener = None;
        }
        if listener.is_none() && clients.is_empty() {
            println!("served {accepted} connections");
            return ExitCode::SUCCESS;
        }
        let mut pollables: Vec<Pollable> = clients.iter().map(Client::subscribe).collect();
        if let Some(listener) = &listener {
            pollables.push(listener.subscribe());
        }
        let mut waited_for: Vec<&Pollable> = pollables.iter().collect();
        if listener.is_some() {
            waited_for.push(&stop);
        }
        let ready = poll(&waited_for);
        drop(pollables);

        let known = clients.len();
        for index in ready.into_iter().rev() {
            match usize::try_from(index) {
                Ok(index) if index < known => {
                    if !clients[index].step() {
                        let client = clients.remove(index);
                        println!("closed {} after {} bytes", client.name, client.echoed);
                    }
                }
                // The request to stop is looked at above.
                Ok(index) if index > known => {}
                _ => match listener.as_ref().map_or(Err(ErrorCode::WouldBlock), TcpSocket::accept) {
                    Ok((socket, input, output)) => {
                        accepted += 1;
                        clients.push(Client::new(Connection { input, output, socket }));
                    }
                    // The client may have gone again before it was accepted.
                    Err(ErrorCode::WouldBlock | ErrorCode::ConnectionAborted) => {}
                    Err(error) => {
                        eprintln!("tcp-echo-server: cannot accept: {}", error.name());
                        return ExitCode::FAILURE;
                    }
                },
            }
        }
    }
}

struct Client {
    connection: Connection,
    name: String,
    /// Read and not yet written back.
    pending: Vec<u8>,
    echoed: usize,
}

impl Client {
    fn new(connection: Connection) -> Self {
        let name =
            connection.socket.remote_address().map_or_else(|_| "unknown".to_owned(), |it| from_wasi(it).to_string());
        println!("accepted {name}");
        Self { connection, name, pending: Vec::new(), echoed: 0 }
    }

    fn subscribe(&self) -> Pollable {
        if self.pending.is_empty() { self.connection.input.subscribe() } else { self.connection.output.subscribe() }
    }

    /// Moves some bytes; false when the connection is over.
    fn step(&mut self) -> bool {
        let moved = if self.pending.is_empty() { self.read() } else { self.write() };
        moved.is_ok()
    }

    fn read(&mut self) -> Result<(), StreamError> {
        self.pending = self.connection.input.read(CHUNK as u64)?;
        Ok(())
    }

    fn write(&mut self) -> Result<(), StreamError> {
        let room = usize::try_from(self.connection.output.check_write()?).unwrap_or(usize::MAX);
        let count = room.min(self.pending.len());
        self.connection.output.write(&self.pending[..count])?;
        self.connection.output.flush()?;
        self.pending.drain(..count);
        self.echoed += count;
        Ok(())
    }
}
