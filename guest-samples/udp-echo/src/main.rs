//! Echoes datagrams, or sends one and prints what comes back.

use std::env;
use std::net::SocketAddr;
use std::process::ExitCode;

use tcp::{family, from_wasi, to_wasi};
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::network::ErrorCode;
use wasip2::sockets::udp::{IncomingDatagram, OutgoingDatagram, OutgoingDatagramStream, UdpSocket};
use wasip2::sockets::udp_create_socket::create_udp_socket;

const USAGE: &str = "\
usage: udp-echo serve [ADDRESS] [COUNT]   answer COUNT datagrams (default 0: without end) at ADDRESS (0.0.0.0:7000)
       udp-echo send ADDRESS TEXT         send TEXT to ip:port and print the answer";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args[..] {
        ["serve", ref rest @ ..] if rest.len() <= 2 => {
            let address = rest.first().unwrap_or(&"0.0.0.0:7000").parse();
            let count = rest.get(1).unwrap_or(&"0").parse();
            match (address, count) {
                (Ok(address), Ok(count)) => serve(address, count),
                _ => return usage(),
            }
        }
        ["send", address, text] => match address.parse() {
            Ok(address) => send(address, text),
            Err(_) => return usage(),
        },
        _ => return usage(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(code) => {
            eprintln!("udp-echo: {}", code.name());
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::FAILURE
}

fn bind(address: SocketAddr) -> Result<UdpSocket, ErrorCode> {
    let socket = create_udp_socket(family(address))?;
    socket.start_bind(&instance_network(), to_wasi(address))?;
    socket.finish_bind()?;
    Ok(socket)
}

/// Answers until `count` datagrams were echoed; a count of zero is none.
fn serve(address: SocketAddr, count: u64) -> Result<(), ErrorCode> {
    let socket = bind(address)?;
    let (incoming, outgoing) = socket.stream(None)?;
    println!("listening on {address}");
    let mut echoed = 0;
    while count == 0 || echoed < count {
        incoming.subscribe().block();
        for IncomingDatagram { data, remote_address } in incoming.receive(16)? {
            println!("{} bytes from {}", data.len(), from_wasi(remote_address));
            send_one(&outgoing, OutgoingDatagram { data, remote_address: Some(remote_address) })?;
            echoed += 1;
        }
    }
    Ok(())
}

fn send(address: SocketAddr, text: &str) -> Result<(), ErrorCode> {
    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = bind(any.parse().map_err(|_| ErrorCode::InvalidArgument)?)?;
    let (incoming, outgoing) = socket.stream(Some(to_wasi(address)))?;
    send_one(&outgoing, OutgoingDatagram { data: text.as_bytes().to_vec(), remote_address: None })?;
    loop {
        incoming.subscribe().block();
        if let Some(answer) = incoming.receive(1)?.first() {
            println!("{}", String::from_utf8_lossy(&answer.data));
            return Ok(());
        }
    }
}

/// Sends a datagram, once there is room for it.
fn send_one(outgoing: &OutgoingDatagramStream, datagram: OutgoingDatagram) -> Result<(), ErrorCode> {
    let datagrams = [datagram];
    loop {
        if outgoing.check_send()? > 0 && outgoing.send(&datagrams)? > 0 {
            return Ok(());
        }
        outgoing.subscribe().block();
    }
}
