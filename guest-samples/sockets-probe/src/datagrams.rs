//! UDP.

use std::net::SocketAddr;

use tcp::{from_wasi, to_wasi};
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::network::{ErrorCode, IpAddressFamily};
use wasip2::sockets::udp::{IncomingDatagramStream, OutgoingDatagram, OutgoingDatagramStream, UdpSocket};
use wasip2::sockets::udp_create_socket::create_udp_socket;

use super::{check, ip, show};

pub(crate) fn probe() {
    unbound();
    addresses();
    options();
    if let Err(code) = exchange() {
        show("udp", Err::<(), _>(code));
    }
    if let Err(code) = connected() {
        show("udp", Err::<(), _>(code));
    }
}

fn socket() -> UdpSocket {
    create_udp_socket(IpAddressFamily::Ipv4).expect("sockets can be made")
}

fn bound() -> Result<(UdpSocket, SocketAddr), ErrorCode> {
    let socket = socket();
    socket.start_bind(&instance_network(), ip("127.0.0.1:0"))?;
    socket.finish_bind()?;
    let address = socket.local_address().map(from_wasi)?;
    Ok((socket, address))
}

fn datagram(data: &[u8], to: Option<SocketAddr>) -> OutgoingDatagram {
    OutgoingDatagram { data: data.to_vec(), remote_address: to.map(to_wasi) }
}

/// Sends one, after asking for permission.
fn send(outgoing: &OutgoingDatagramStream, data: &[u8], to: Option<SocketAddr>) -> Result<u64, ErrorCode> {
    outgoing.subscribe().block();
    outgoing.check_send()?;
    outgoing.send(&[datagram(data, to)])
}

/// What arrives next.
fn receive(incoming: &IncomingDatagramStream) -> Result<String, ErrorCode> {
    incoming.subscribe().block();
    let datagrams = incoming.receive(1)?;
    Ok(datagrams.first().map_or_else(String::new, |first| String::from_utf8_lossy(&first.data).into_owned()))
}

fn unbound() {
    let socket = socket();
    check("udp unbound: local address", socket.local_address());
    check("udp unbound: remote address", socket.remote_address());
    check("udp unbound: stream", socket.stream(None));
    check("udp unbound: connected stream", socket.stream(Some(ip("127.0.0.1:9"))));
    check("udp unbound: finish bind", socket.finish_bind());
    println!("udp unbound: ready: {}", socket.subscribe().ready());
    println!("udp unbound: family: {:?}", socket.address_family());
}

fn addresses() {
    let network = instance_network();
    for address in ["[::1]:0", "[::ffff:127.0.0.1]:0", "192.0.2.1:0", "0.0.0.0:0"] {
        check(&format!("udp bind {address}"), socket().start_bind(&network, ip(address)));
    }
    let first = socket();
    check("udp bind", first.start_bind(&network, ip("127.0.0.1:0")));
    check("udp bind before its end", first.start_bind(&network, ip("127.0.0.1:0")));
    check("udp bind, finish", first.finish_bind());
    check("udp bind, finish again", first.finish_bind());
    check("udp bind again", first.start_bind(&network, ip("127.0.0.1:0")));
    if let Ok(address) = first.local_address() {
        check("udp bind the same", socket().start_bind(&network, address));
    }
    for remote in ["[::1]:9", "0.0.0.0:9", "127.0.0.1:0"] {
        check(&format!("udp connect {remote}"), first.stream(Some(ip(remote))));
    }
}

fn options() {
    let socket = socket();
    show("udp options: hop limit", socket.unicast_hop_limit());
    for hops in [0, 1, 255] {
        check(&format!("udp options: set hop limit {hops}"), socket.set_unicast_hop_limit(hops));
        show("udp options: hop limit", socket.unicast_hop_limit());
    }
    for bytes in [0, 16 * 1024] {
        check(&format!("udp options: set receive buffer {bytes}"), socket.set_receive_buffer_size(bytes));
        check(&format!("udp options: set send buffer {bytes}"), socket.set_send_buffer_size(bytes));
    }
    show("udp options: receive buffer", socket.receive_buffer_size());
    show("udp options: send buffer", socket.send_buffer_size());
}

fn exchange() -> Result<(), ErrorCode> {
    let ((one, at_one), (two, at_two)) = (bound()?, bound()?);
    let (one_in, one_out) = one.stream(None)?;
    let (two_in, two_out) = two.stream(None)?;
    show("udp: nothing there", one_in.receive(10).map(|datagrams| datagrams.len()));
    println!("udp: receivable: {}", one_in.subscribe().ready());
    show("udp: check send", one_out.check_send());
    show("udp: send none", one_out.send(&[]));
    show("udp: send to nobody", send(&one_out, b"x", None));
    show("udp: send to port 0", send(&one_out, b"x", Some(SocketAddr::new(at_two.ip(), 0))));
    show("udp: send to the wildcard", send(&one_out, b"x", "0.0.0.0:9".parse().ok()));
    show("udp: send to IPv6", send(&one_out, b"x", "[::1]:9".parse().ok()));
    show("udp: send too much", send(&one_out, &[0; 65_508], Some(at_two)));
    show("udp: send far too much", send(&one_out, &[0; 65_536], Some(at_two)));
    show("udp: send", send(&one_out, b"hello", Some(at_two)));
    show("udp: receive", receive(&two_in));
    show("udp: send an empty one", send(&two_out, b"", Some(at_one)));
    one_in.subscribe().block();
    let received = one_in.receive(10)?;
    println!("udp: received: {}", received.len());
    println!("udp: from: {}", received.first().is_some_and(|first| from_wasi(first.remote_address) == at_two));
    one_out.check_send()?;
    let three = [datagram(b"a", Some(at_two)), datagram(b"b", Some(at_two)), datagram(b"x", None)];
    show("udp: send some good ones", one_out.send(&three));
    show("udp: receive", receive(&two_in));
    show("udp: receive", receive(&two_in));
    show("udp: receive none", two_in.receive(0).map(|datagrams| datagrams.len()));
    Ok(())
}

fn connected() -> Result<(), ErrorCode> {
    let ((one, at_one), (two, at_two), (other, at_other)) = (bound()?, bound()?, bound()?);
    let (_, two_out) = two.stream(None)?;
    let (_, other_out) = other.stream(None)?;

    let (incoming, outgoing) = one.stream(Some(to_wasi(at_two)))?;
    println!("udp connected: to: {}", one.remote_address().is_ok_and(|remote| from_wasi(remote) == at_two));
    show("udp connected: send", send(&outgoing, b"x", None));
    show("udp connected: send to it", send(&outgoing, b"x", Some(at_two)));
    show("udp connected: send elsewhere", send(&outgoing, b"x", Some(at_other)));
    send(&other_out, b"stray", Some(at_one))?;
    send(&two_out, b"wanted", Some(at_one))?;
    show("udp connected: receive", receive(&incoming));
    drop((incoming, outgoing));

    let (incoming, outgoing) = one.stream(None)?;
    check("udp disconnected: to", one.remote_address());
    show("udp disconnected: send", send(&outgoing, b"x", None));
    // The kernel takes the port back that it had chosen, so that nothing can be received here.
    drop((incoming, outgoing, two_out));

    drop(two);
    let (fresh, _) = bound()?;
    let (incoming, outgoing) = fresh.stream(Some(to_wasi(at_two)))?;
    show("udp refused: send", send(&outgoing, b"x", None));
    show("udp refused: receive", receive(&incoming));
    Ok(())
}
