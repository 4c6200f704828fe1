//! A guest that wants more than its share of the network, to show that it does not get it.
//!
//! Each attack prints what it got, then waits if it is told to, so that others can be looked at meanwhile.

use std::env;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tcp::Connection;
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress};
use wasip2::sockets::tcp::TcpSocket;
use wasip2::sockets::tcp_create_socket::create_tcp_socket;

const USAGE: &str = "\
usage: attacker sockets [SECONDS]           open sockets until there are no more
       attacker ports [SECONDS]             listen on all ports
       attacker connections ADDRESS [SECONDS]   connect until that is refused, and keep it all open
       attacker flood ADDRESS [SECONDS]     write to somebody who does not read, until nothing more is taken
       attacker silent ADDRESS              accept connections and never read from them
       attacker dial ADDRESS...             try to connect to each
  SECONDS to keep what was got; ADDRESS is host:port. dial tries for $PATIENCE seconds (default 0) while nobody listens.";

/// More than any limit should allow.
const MANY: usize = 200_000;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["sockets", keep @ ..] => hold("sockets", sockets(), keep),
        ["ports", keep @ ..] => hold("ports", ports(), keep),
        ["connections", address, keep @ ..] => hold("connections", connections(address), keep),
        ["flood", address, keep @ ..] => flood(address, keep),
        ["silent", address] => silent(address),
        ["dial", addresses @ ..] => dial(addresses),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// What an attack got, and what stopped it.
type Loot<T> = (Vec<T>, Option<ErrorCode>);

fn hold<T>(what: &str, (loot, end): Loot<T>, keep: &[&str]) {
    println!("{what}: {} then {}", loot.len(), end.map_or("no end", |code| code.name()));
    wait(keep);
}

fn wait(keep: &[&str]) {
    let seconds = keep.first().and_then(|text| text.parse().ok()).unwrap_or(0);
    std::thread::sleep(Duration::from_secs(seconds));
}

fn sockets() -> Loot<TcpSocket> {
    gather(|_| create_tcp_socket(IpAddressFamily::Ipv4))
}

fn ports() -> Loot<TcpSocket> {
    gather(|index| {
        let port = u16::try_from(index + 1).map_err(|_| ErrorCode::AddressNotBindable)?;
        tcp::listen(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)).map_err(|error| error.code)
    })
}

fn connections(address: &str) -> Loot<Connection> {
    gather(|_| tcp::connect(address).map_err(|error| error.code))
}

fn gather<T>(mut one: impl FnMut(usize) -> Result<T, ErrorCode>) -> Loot<T> {
    let mut loot = Vec::new();
    for index in 0..MANY {
        match one(index) {
            Ok(got) => loot.push(got),
            Err(code) => return (loot, Some(code)),
        }
    }
    (loot, None)
}

fn flood(address: &str, keep: &[&str]) {
    let connection = loop {
        match tcp::connect(address) {
            Ok(connection) => break connection,
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let piece = vec![b'x'; 64 * 1024];
    let mut total = 0;
    // Not one byte more than is taken without waiting.
    while let Ok(room @ 1..) = connection.output.check_write() {
        let count = usize::try_from(room).unwrap_or(usize::MAX).min(piece.len());
        if connection.output.write(&piece[..count]).is_err() || connection.output.flush().is_err() {
            break;
        }
        total += count;
        if total > 1 << 30 {
            break;
        }
    }
    println!("flood: {total} bytes taken");
    wait(keep);
}

fn silent(address: &str) {
    let Ok(address) = address.parse() else { return eprintln!("{USAGE}") };
    match tcp::listen(address) {
        Ok(listener) => {
            println!("silent: listening");
            let mut kept = Vec::new();
            loop {
                listener.subscribe().block();
                kept.extend(listener.accept().ok());
            }
        }
        Err(error) => eprintln!("attacker: {error}"),
    }
}

fn dial(addresses: &[&str]) {
    let patience = env::var("PATIENCE").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    for address in addresses {
        let deadline = Instant::now() + Duration::from_secs(patience);
        let outcome = loop {
            match tcp::connect(address) {
                Ok(_) => break "connected",
                Err(error) if error.code == ErrorCode::ConnectionRefused && Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(error) => break error.code.name(),
            }
        };
        println!("dial {address}: {outcome}");
    }
    // A datagram to the same place, since other rules may apply to those.
    let socket = match wasip2::sockets::udp_create_socket::create_udp_socket(IpAddressFamily::Ipv4) {
        Ok(socket) => socket,
        Err(code) => return println!("no udp: {}", code.name()),
    };
    let any = IpSocketAddress::Ipv4(Ipv4SocketAddress { port: 0, address: (0, 0, 0, 0) });
    if let Err(code) = socket.start_bind(&instance_network(), any).and_then(|()| socket.finish_bind()) {
        return println!("no udp: {}", code.name());
    }
    for address in addresses {
        let Ok(SocketAddr::V4(v4)) = address.parse() else { continue };
        let [a, b, c, d] = v4.ip().octets();
        let remote = IpSocketAddress::Ipv4(Ipv4SocketAddress { port: v4.port(), address: (a, b, c, d) });
        let outcome = match socket.stream(Some(remote)) {
            Ok(_) => "allowed",
            Err(code) => code.name(),
        };
        println!("datagram {address}: {outcome}");
    }
}
