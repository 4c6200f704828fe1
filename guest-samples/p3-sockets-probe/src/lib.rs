//! What `sockets-probe` is for WASI 0.2, for `wasi:sockets` 0.3: prints what the host answers to whatever a guest can ask.

use std::fmt::Debug;
use std::net::{IpAddr, SocketAddr};

use wasip3::exports::cli::run::Guest;
use wasip3::sockets::ip_name_lookup::resolve_addresses;
use wasip3::sockets::types::{
    ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress, TcpSocket, UdpSocket,
};
use wasip3::wit_bindgen::rt::async_support::{StreamReader, StreamResult};
use wasip3::wit_stream;

struct Probe;

wasip3::cli::command::export!(Probe);

impl Guest for Probe {
    async fn run() -> Result<(), ()> {
        states().await;
        options();
        if let Err(code) = connections().await {
            println!("connections: {code:?}");
        }
        if let Err(code) = datagrams().await {
            println!("udp: {code:?}");
        }
        for name in ["127.0.0.1", "::1", "", "a b", "localhost"] {
            match resolve_addresses(name.to_owned()).await {
                Ok(addresses) => println!("lookup {name:?}: some: {}", !addresses.is_empty()),
                Err(code) => println!("lookup {name:?}: {code:?}"),
            }
        }
        Ok(())
    }
}

fn show<T: Debug>(what: &str, answer: Result<T, ErrorCode>) {
    match answer {
        Ok(value) => println!("{what}: {value:?}"),
        Err(code) => println!("{what}: {code:?}"),
    }
}

fn check<T>(what: &str, answer: Result<T, ErrorCode>) {
    show(what, answer.map(drop));
}

fn tcp() -> TcpSocket {
    TcpSocket::create(IpAddressFamily::Ipv4).expect("sockets can be made")
}

fn udp() -> UdpSocket {
    UdpSocket::create(IpAddressFamily::Ipv4).expect("sockets can be made")
}

fn ip(text: &str) -> IpSocketAddress {
    let address: SocketAddr = text.parse().expect("an address");
    let port = address.port();
    match address.ip() {
        IpAddr::V4(ip) => IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address: ip.octets().into() }),
        IpAddr::V6(ip) => {
            let address = ip.segments().into();
            IpSocketAddress::Ipv6(Ipv6SocketAddress { port, flow_info: 0, address, scope_id: 0 })
        }
    }
}

fn port(address: IpSocketAddress) -> u16 {
    match address {
        IpSocketAddress::Ipv4(address) => address.port,
        IpSocketAddress::Ipv6(address) => address.port,
    }
}

async fn states() {
    let socket = tcp();
    check("unbound: local address", socket.get_local_address());
    check("unbound: remote address", socket.get_remote_address());
    println!("unbound: is listening: {}", socket.get_is_listening());
    let (bytes, ended) = socket.receive();
    println!("unbound: receive: {:?}, {:?}", bytes.collect().await, ended.await);
    for address in ["[::1]:0", "[::ffff:127.0.0.1]:0", "224.0.0.1:0", "255.255.255.255:0", "192.0.2.1:0"] {
        check(&format!("bind {address}"), tcp().bind(ip(address)));
    }
    for address in ["[::1]:9", "224.0.0.1:9", "255.255.255.255:9", "0.0.0.0:9", "127.0.0.1:0"] {
        check(&format!("connect {address}"), tcp().connect(ip(address)).await);
    }
    check("bind", socket.bind(ip("127.0.0.1:0")));
    check("bind again", socket.bind(ip("127.0.0.1:0")));
    let Ok(address) = socket.get_local_address() else { return };
    println!("bind: port: {}", port(address) != 0);
    let connections = socket.listen();
    println!("listen: {}", connections.is_ok());
    check("listen again", socket.listen());
    check("listening: connect", socket.connect(address).await);
    println!("listening: is listening: {}", socket.get_is_listening());
    check("listening: bind another", tcp().bind(address));
    drop((socket, connections));

    let socket = tcp();
    check("refused: connect", socket.connect(address).await);
    check("refused: connect again", socket.connect(address).await);
    check("refused: local address", socket.get_local_address());
    check("refused: hop limit", socket.get_hop_limit());
    let (bytes, ended) = socket.receive();
    println!("refused: receive: {:?}, {:?}", bytes.collect().await, ended.await);

    // Without a bind, listening takes a port by itself.
    let socket = tcp();
    println!("listen unbound: {}", socket.listen().is_ok());
    println!("listen unbound: port: {}", socket.get_local_address().is_ok_and(|address| port(address) != 0));
}

fn options() {
    let socket = tcp();
    show("options: keep alive", socket.get_keep_alive_enabled());
    show("options: hop limit", socket.get_hop_limit());
    for nanos in [0, 1, 1_500_000_000, u64::MAX] {
        check(&format!("options: set idle time {nanos}"), socket.set_keep_alive_idle_time(nanos));
        show("options: idle time", socket.get_keep_alive_idle_time());
        check(&format!("options: set interval {nanos}"), socket.set_keep_alive_interval(nanos));
        show("options: interval", socket.get_keep_alive_interval());
    }
    for count in [0, 128] {
        check(&format!("options: set count {count}"), socket.set_keep_alive_count(count));
        show("options: count", socket.get_keep_alive_count());
    }
    check("options: set hop limit 0", socket.set_hop_limit(0));
    check("options: set hop limit", socket.set_hop_limit(7));
    show("options: hop limit", socket.get_hop_limit());
    check("options: backlog 0", socket.set_listen_backlog_size(0));
    check("options: set receive buffer 0", socket.set_receive_buffer_size(0));
    check("options: set send buffer 0", socket.set_send_buffer_size(0));
}

/// Both ends of a new connection.
async fn pair() -> Result<(TcpSocket, TcpSocket), ErrorCode> {
    let listener = tcp();
    listener.bind(ip("127.0.0.1:0"))?;
    let mut connections = listener.listen()?;
    let client = tcp();
    client.connect(listener.get_local_address()?).await?;
    let server = connections.next().await.ok_or(ErrorCode::InvalidState)?;
    Ok((client, server))
}

async fn read(stream: &mut StreamReader<u8>, size: usize) -> String {
    let (result, bytes) = stream.read(Vec::with_capacity(size)).await;
    let result = match result {
        StreamResult::Complete(count) => format!("{count} bytes"),
        StreamResult::Dropped => "the end".to_owned(),
        StreamResult::Cancelled => "cancelled".to_owned(),
    };
    format!("{result} {:?}", String::from_utf8_lossy(&bytes))
}

async fn connections() -> Result<(), ErrorCode> {
    let (client, server) = pair().await?;
    check("connected: bind", client.bind(ip("127.0.0.1:0")));
    check("connected: listen", client.listen());
    check("connected: connect", client.connect(ip("127.0.0.1:9")).await);
    check("connected: backlog", client.set_listen_backlog_size(1));

    let (mut writer, reader) = wit_stream::new();
    let sent = client.send(reader);
    let (_, second) = wit_stream::new();
    println!("connected: send twice: {:?}", client.send(second).await);
    let (mut received, ended) = server.receive();
    println!("connected: write: {}", writer.write_all(b"hello world".to_vec()).await.len());
    println!("connected: read: {}", read(&mut received, 5).await);
    println!("connected: read: {}", read(&mut received, 100).await);
    drop(writer);
    println!("connected: sent: {:?}", sent.await);
    println!("connected: read: {}", read(&mut received, 100).await);
    println!("connected: ended: {:?}", ended.await);
    let (bytes, again) = server.receive();
    println!("connected: receive twice: {:?}, {:?}", bytes.collect().await, again.await);

    // The other direction lives on, until its reader goes.
    let (mut writer, reader) = wit_stream::new();
    let sent = server.send(reader);
    let (mut received, ended) = client.receive();
    println!("half-closed: write: {}", writer.write_all(b"answer".to_vec()).await.len());
    println!("half-closed: read: {}", read(&mut received, 100).await);
    drop(received);
    println!("half-closed: ended: {:?}", ended.await);
    drop((writer, client));
    println!("half-closed: sent: {:?}", sent.await);

    // A peer that leaves without having read everything resets the connection.
    let (client, server) = pair().await?;
    let (mut writer, reader) = wit_stream::new();
    let sent = client.send(reader);
    println!("reset: write: {}", writer.write_all(b"unread".to_vec()).await.len());
    drop(server);
    let (received, ended) = client.receive();
    println!("reset: received: {:?}", received.collect().await);
    println!("reset: ended: {:?}", ended.await);
    drop((writer, sent));
    Ok(())
}

async fn datagrams() -> Result<(), ErrorCode> {
    let (one, two) = (udp(), udp());
    check("udp unbound: local address", one.get_local_address());
    check("udp unbound: remote address", one.get_remote_address());
    check("udp unbound: receive", one.receive().await);
    check("udp unbound: disconnect", one.disconnect());
    check("udp bind IPv6", one.bind(ip("[::1]:0")));
    check("udp bind elsewhere", one.bind(ip("192.0.2.1:0")));
    one.bind(ip("127.0.0.1:0"))?;
    two.bind(ip("127.0.0.1:0"))?;
    let (at_one, at_two) = (one.get_local_address()?, two.get_local_address()?);
    check("udp bind again", one.bind(ip("127.0.0.1:0")));
    check("udp send to nobody", one.send(b"x".to_vec(), None).await);
    check("udp send to port 0", one.send(b"x".to_vec(), Some(ip("127.0.0.1:0"))).await);
    check("udp send to the wildcard", one.send(b"x".to_vec(), Some(ip("0.0.0.0:9"))).await);
    check("udp send too much", one.send(vec![0; 65_508], Some(at_two)).await);
    check("udp send far too much", one.send(vec![0; 65_536], Some(at_two)).await);
    check("udp send", one.send(b"hello".to_vec(), Some(at_two)).await);
    let (data, from) = two.receive().await?;
    println!("udp received: {:?}, from the sender: {}", String::from_utf8_lossy(&data), port(from) == port(at_one));
    check("udp connect to port 0", one.connect(ip("127.0.0.1:0")));
    check("udp connect", one.connect(at_two));
    check("udp connected: send elsewhere", one.send(b"x".to_vec(), Some(at_one)).await);
    check("udp connected: send", one.send(b"again".to_vec(), None).await);
    println!("udp received: {:?}", String::from_utf8_lossy(&two.receive().await?.0));
    check("udp disconnect", one.disconnect());
    check("udp disconnect again", one.disconnect());

    // A socket that was never bound takes a port to send from.
    let three = udp();
    check("udp send unbound", three.send(b"hi".to_vec(), Some(at_two)).await);
    println!("udp received: {:?}", String::from_utf8_lossy(&two.receive().await?.0));
    println!("udp bound by sending: {}", three.get_local_address().is_ok());

    three.connect(at_two)?;
    drop(two);
    check("udp refused: send", three.send(b"x".to_vec(), None).await);
    check("udp refused: receive", three.receive().await);
    Ok(())
}
