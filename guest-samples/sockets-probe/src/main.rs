//! Asks its host everything about `wasi:sockets` 0.2 that a guest can find out by itself, and prints what it answered.
//!
//! Two hosts whose output is the same are the same to their guests. Nothing that may differ is printed: no ephemeral
//! ports, no times, no buffer sizes that a host chose. `sockets-probe exhaust` makes sockets until there are no more.

use std::env;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::process::ExitCode;

use tcp::{from_wasi, to_wasi};
use wasip2::io::streams::{InputStream, OutputStream, StreamError};
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress};
use wasip2::sockets::tcp::{ShutdownType, TcpSocket};
use wasip2::sockets::tcp_create_socket::create_tcp_socket;
use wasip2::sockets::udp_create_socket::create_udp_socket;

mod datagrams;

fn main() -> ExitCode {
    if env::args().nth(1).as_deref() == Some("exhaust") {
        exhaust("tcp", || create_tcp_socket(IpAddressFamily::Ipv4));
        exhaust("udp", || create_udp_socket(IpAddressFamily::Ipv4));
        return ExitCode::SUCCESS;
    }
    unbound();
    addresses();
    bound();
    listening();
    refused();
    options();
    match connected() {
        Ok(()) => {}
        Err(code) => show("connected", Err::<(), _>(code)),
    }
    ends();
    names();
    datagrams::probe();
    ExitCode::SUCCESS
}

/// Makes sockets until the host refuses, then drops them all.
fn exhaust<T>(what: &str, make: impl Fn() -> Result<T, ErrorCode>) {
    let mut sockets = Vec::new();
    loop {
        match make() {
            Ok(socket) => sockets.push(socket),
            Err(code) => return println!("{what}: {} sockets, then {}", sockets.len(), code.name()),
        }
    }
}

/// Prints an answer: its value, or the name of its error.
fn show<T: Debug>(what: &str, answer: Result<T, ErrorCode>) {
    match answer {
        Ok(value) => println!("{what}: {value:?}"),
        Err(code) => println!("{what}: {}", code.name()),
    }
}

/// Prints whether it went well.
fn check<T>(what: &str, answer: Result<T, ErrorCode>) {
    show(what, answer.map(drop));
}

/// Prints what a stream answered.
fn stream<T: Debug>(what: &str, answer: Result<T, StreamError>) {
    match answer {
        Ok(value) => println!("{what}: {value:?}"),
        Err(StreamError::Closed) => println!("{what}: closed"),
        Err(StreamError::LastOperationFailed(_)) => println!("{what}: failed"),
    }
}

fn socket() -> TcpSocket {
    create_tcp_socket(IpAddressFamily::Ipv4).expect("sockets can be made")
}

fn ip(text: &str) -> IpSocketAddress {
    to_wasi(text.parse().expect("an address"))
}

/// Binds to the loopback and says where.
fn bind(socket: &TcpSocket) -> Result<SocketAddr, ErrorCode> {
    socket.start_bind(&instance_network(), ip("127.0.0.1:0"))?;
    socket.finish_bind()?;
    socket.local_address().map(from_wasi)
}

fn listen() -> Result<(TcpSocket, SocketAddr), ErrorCode> {
    let socket = socket();
    let address = bind(&socket)?;
    socket.start_listen()?;
    socket.finish_listen()?;
    Ok((socket, address))
}

struct Connection {
    input: InputStream,
    output: OutputStream,
    socket: TcpSocket,
}

fn connect(to: SocketAddr) -> Result<Connection, ErrorCode> {
    let socket = socket();
    socket.start_connect(&instance_network(), to_wasi(to))?;
    loop {
        match socket.finish_connect() {
            Err(ErrorCode::WouldBlock) => socket.subscribe().block(),
            result => return result.map(|(input, output)| Connection { input, output, socket }),
        }
    }
}

fn accept(listener: &TcpSocket) -> Result<Connection, ErrorCode> {
    loop {
        match listener.accept() {
            Err(ErrorCode::WouldBlock) => listener.subscribe().block(),
            result => return result.map(|(socket, input, output)| Connection { input, output, socket }),
        }
    }
}

/// Both ends of a new connection.
fn pair() -> Result<(Connection, Connection), ErrorCode> {
    let (listener, address) = listen()?;
    let client = connect(address)?;
    Ok((client, accept(&listener)?))
}

fn unbound() {
    let socket = socket();
    check("unbound: local address", socket.local_address());
    check("unbound: remote address", socket.remote_address());
    check("unbound: listen", socket.start_listen());
    check("unbound: accept", socket.accept());
    check("unbound: shutdown", socket.shutdown(ShutdownType::Both));
    check("unbound: finish bind", socket.finish_bind());
    check("unbound: finish connect", socket.finish_connect());
    check("unbound: finish listen", socket.finish_listen());
    println!("unbound: is listening: {}", socket.is_listening());
    println!("unbound: ready: {}", socket.subscribe().ready());
    println!("unbound: family: {:?}", socket.address_family());
}

fn addresses() {
    let network = instance_network();
    for address in
        ["[::1]:0", "[::ffff:127.0.0.1]:0", "224.0.0.1:0", "255.255.255.255:0", "192.0.2.1:0", "0.0.0.0:0", "127.0.0.2:0"]
    {
        check(&format!("bind {address}"), socket().start_bind(&network, ip(address)));
    }
    for address in
        ["[::1]:9", "[::ffff:127.0.0.1]:9", "224.0.0.1:9", "255.255.255.255:9", "0.0.0.0:9", "127.0.0.1:0"]
    {
        check(&format!("connect {address}"), socket().start_connect(&network, ip(address)));
    }
    let six = || create_tcp_socket(IpAddressFamily::Ipv6).expect("sockets can be made");
    for address in ["127.0.0.1:0", "[::ffff:127.0.0.1]:0", "[::127.0.0.1]:0", "[ff02::1]:0"] {
        check(&format!("bind IPv6 {address}"), six().start_bind(&network, ip(address)));
        let remote = address.replace(":0", ":9");
        check(&format!("connect IPv6 {remote}"), six().start_connect(&network, ip(&remote)));
    }
}

fn bound() {
    let network = instance_network();
    let first = socket();
    check("bind", first.start_bind(&network, ip("127.0.0.1:0")));
    check("bind: listen before its end", first.start_listen());
    check("bind: bind before its end", first.start_bind(&network, ip("127.0.0.1:0")));
    check("bind: connect before its end", first.start_connect(&network, ip("127.0.0.1:9")));
    check("bind: finish connect", first.finish_connect());
    println!("bind: ready: {}", first.subscribe().ready());
    check("bind: finish", first.finish_bind());
    check("bind: finish again", first.finish_bind());
    check("bind: bind again", first.start_bind(&network, ip("127.0.0.1:0")));
    check("bind: accept", first.accept());
    let Ok(address) = first.local_address() else { return };
    println!("bind: port: {}", from_wasi(address).port() != 0);

    // Two that only are bound do not disturb each other (SO_REUSEADDR); one that listens does.
    let second = socket();
    check("bind: the same again", second.start_bind(&network, address));
    check("bind: the same again, finish", second.finish_bind());
    check("listen: first", first.start_listen().and_then(|()| first.finish_listen()));
    check("listen: second", second.start_listen());
    let third = socket();
    check("listen: bind a third", third.start_bind(&network, address));
    let any = ip(&format!("0.0.0.0:{}", from_wasi(address).port()));
    check("listen: bind the wildcard", socket().start_bind(&network, any));
}

fn listening() {
    let Ok((listener, address)) = listen() else { return };
    let network = instance_network();
    println!("listening: is listening: {}", listener.is_listening());
    println!("listening: ready: {}", listener.subscribe().ready());
    check("listening: accept", listener.accept());
    check("listening: bind", listener.start_bind(&network, ip("127.0.0.1:0")));
    check("listening: listen", listener.start_listen());
    check("listening: connect", listener.start_connect(&network, to_wasi(address)));
    check("listening: remote address", listener.remote_address());
    check("listening: shutdown", listener.shutdown(ShutdownType::Both));
    check("listening: backlog 0", listener.set_listen_backlog_size(0));
    check("listening: backlog 3", listener.set_listen_backlog_size(3));
    let half = socket();
    check("listening: half", bind(&half).and_then(|_| half.start_listen()));
    check("listening: accept before its end", half.accept());
    check("listening: listen before its end", half.start_listen());
    check("listening: finish", half.finish_listen());
    check("listening: finish again", half.finish_listen());
}

fn refused() {
    let Ok((listener, address)) = listen() else { return };
    drop(listener);
    let socket = socket();
    let network = instance_network();
    check("refused: start", socket.start_connect(&network, to_wasi(address)));
    check("refused: start again", socket.start_connect(&network, to_wasi(address)));
    check("refused: bind", socket.start_bind(&network, ip("127.0.0.1:0")));
    socket.subscribe().block();
    check("refused: finish", socket.finish_connect());
    check("refused: finish again", socket.finish_connect());
    check("refused: start once more", socket.start_connect(&network, to_wasi(address)));
    check("refused: bind once more", socket.start_bind(&network, ip("127.0.0.1:0")));
    check("refused: local address", socket.local_address());
    check("refused: remote address", socket.remote_address());
    check("refused: listen", socket.start_listen());
    check("refused: hop limit", socket.hop_limit());
    check("refused: set backlog", socket.set_listen_backlog_size(1));
    println!("refused: is listening: {}", socket.is_listening());
}

fn options() {
    let socket = socket();
    show("options: keep alive", socket.keep_alive_enabled());
    show("options: idle time", socket.keep_alive_idle_time());
    show("options: interval", socket.keep_alive_interval());
    show("options: count", socket.keep_alive_count());
    show("options: hop limit", socket.hop_limit());
    check("options: backlog 0", socket.set_listen_backlog_size(0));
    check("options: backlog", socket.set_listen_backlog_size(u64::MAX));
    check("options: set keep alive", socket.set_keep_alive_enabled(true));
    show("options: keep alive", socket.keep_alive_enabled());
    for nanos in [0, 1, 1_000_000_000, 1_500_000_000, 123_000_000_000, u64::MAX] {
        check(&format!("options: set idle time {nanos}"), socket.set_keep_alive_idle_time(nanos));
        show("options: idle time", socket.keep_alive_idle_time());
        check(&format!("options: set interval {nanos}"), socket.set_keep_alive_interval(nanos));
        show("options: interval", socket.keep_alive_interval());
    }
    for count in [0, 1, 127, 128, u32::MAX] {
        check(&format!("options: set count {count}"), socket.set_keep_alive_count(count));
        show("options: count", socket.keep_alive_count());
    }
    for hops in [0, 1, 255] {
        check(&format!("options: set hop limit {hops}"), socket.set_hop_limit(hops));
        show("options: hop limit", socket.hop_limit());
    }
    for bytes in [0, 16 * 1024] {
        check(&format!("options: set receive buffer {bytes}"), socket.set_receive_buffer_size(bytes));
        check(&format!("options: set send buffer {bytes}"), socket.set_send_buffer_size(bytes));
    }
    show("options: receive buffer", socket.receive_buffer_size());
    show("options: send buffer", socket.send_buffer_size());
    check("options: set receive buffer, too large", socket.set_receive_buffer_size(u64::MAX));
    check("options: set send buffer, too large", socket.set_send_buffer_size(u64::MAX));
}

fn connected() -> Result<(), ErrorCode> {
    let (listener, address) = listen()?;
    listener.set_hop_limit(42)?;
    listener.set_keep_alive_enabled(true)?;
    let client = connect(address)?;
    listener.subscribe().block();
    println!("connected: acceptable: {}", listener.subscribe().ready());
    let server = accept(&listener)?;
    show("connected: inherited hop limit", server.socket.hop_limit());
    show("connected: inherited keep alive", server.socket.keep_alive_enabled());
    println!("connected: remote is the listener: {}", from_wasi(client.socket.remote_address()?) == address);
    println!("connected: accepted at the listener: {}", from_wasi(server.socket.local_address()?) == address);
    let matches = from_wasi(server.socket.remote_address()?) == from_wasi(client.socket.local_address()?);
    println!("connected: the two agree: {matches}");

    let network = instance_network();
    check("connected: bind", client.socket.start_bind(&network, ip("127.0.0.1:0")));
    check("connected: connect", client.socket.start_connect(&network, to_wasi(address)));
    check("connected: listen", client.socket.start_listen());
    check("connected: accept", client.socket.accept());
    check("connected: finish connect", client.socket.finish_connect());
    check("connected: backlog", client.socket.set_listen_backlog_size(3));
    println!("connected: is listening: {}", client.socket.is_listening());

    stream("connected: read nothing", client.input.read(0));
    stream("connected: read too early", client.input.read(10));
    println!("connected: readable: {}", client.input.subscribe().ready());
    println!("connected: writable: {}", client.output.subscribe().ready());
    println!("connected: permit: {}", client.output.check_write().is_ok_and(|permit| permit >= 16 * 1024));
    stream("connected: write", client.output.write(b"hello world"));
    stream("connected: flush", client.output.flush());
    stream("connected: read some", server.input.blocking_read(5));
    stream("connected: read the rest", server.input.blocking_read(1000));
    stream("connected: splice, nothing there", server.output.splice(&server.input, 100));
    stream("connected: write and flush", client.output.blocking_write_and_flush(b"spliced"));
    stream("connected: splice", server.output.blocking_splice(&server.input, 100));
    stream("connected: read what was spliced", client.input.blocking_read(100));
    Ok(())
}

/// How connections end.
fn ends() {
    if let Ok((client, server)) = pair() {
        stream("half-close: write", client.output.blocking_write_and_flush(b"last"));
        check("half-close: shutdown", client.socket.shutdown(ShutdownType::Send));
        stream("half-close: check write", client.output.check_write());
        stream("half-close: write", client.output.blocking_write_and_flush(b"more"));
        stream("half-close: read", server.input.blocking_read(100));
        stream("half-close: read the end", server.input.blocking_read(100));
        stream("half-close: read the end again", server.input.blocking_read(100));
        stream("half-close: answer", server.output.blocking_write_and_flush(b"answer"));
        stream("half-close: read the answer", client.input.blocking_read(100));
        check("half-close: shutdown again", client.socket.shutdown(ShutdownType::Send));
        check("half-close: shutdown both", client.socket.shutdown(ShutdownType::Both));
        stream("half-close: read", client.input.read(10));
    }
    if let Ok((client, server)) = pair() {
        stream("shut for reading: write", server.output.blocking_write_and_flush(b"unread"));
        check("shut for reading: shutdown", client.socket.shutdown(ShutdownType::Receive));
        stream("shut for reading: read", client.input.blocking_read(10));
        stream("shut for reading: write", client.output.blocking_write_and_flush(b"still"));
        stream("shut for reading: peer reads", server.input.blocking_read(10));
    }
    if let Ok((client, server)) = pair() {
        drop(server);
        stream("peer gone: read", client.input.blocking_read(10));
        stream("peer gone: first write", client.output.blocking_write_and_flush(b"lost"));
        // The answer to the first write, a reset, makes later ones fail.
        let failed = (0..1000).any(|_| client.output.blocking_write_and_flush(b"lost").is_err());
        println!("peer gone: a later write fails: {failed}");
        stream("peer gone: write after that", client.output.blocking_write_and_flush(b"lost"));
    }
    if let Ok((client, server)) = pair() {
        stream("peer did not read: write", client.output.blocking_write_and_flush(b"unread"));
        // So that the bytes are there before the peer goes.
        server.input.subscribe().block();
        drop(server);
        stream("peer did not read: read", client.input.blocking_read(10));
        stream("peer did not read: read again", client.input.blocking_read(10));
    }
    if let Ok((client, server)) = pair() {
        stream("peer wrote and left: write", server.output.blocking_write_and_flush(b"kept"));
        drop(server);
        stream("peer wrote and left: read", client.input.blocking_read(10));
        stream("peer wrote and left: read the end", client.input.blocking_read(10));
    }
    if let Ok((client, server)) = pair() {
        let Connection { input, output, socket } = server;
        drop((input, output));
        // The socket still holds the connection.
        stream("streams dropped: peer writes", client.output.blocking_write_and_flush(b"on"));
        println!("streams dropped: peer reads an end: {}", client.input.subscribe().ready());
        drop(socket);
        client.input.subscribe().block();
        println!("socket dropped: peer reads an end: {}", client.input.subscribe().ready());
    }
}

fn names() {
    for name in ["127.0.0.1", "::1", "[::1]", "", "a b", "exa mple.org", "localhost"] {
        match tcp::lookup(name) {
            Ok(addresses) => println!("lookup {name:?}: loopback: {}", addresses.iter().all(|ip| ip.is_loopback())),
            Err(code) => println!("lookup {name:?}: {}", code.name()),
        }
    }
}
