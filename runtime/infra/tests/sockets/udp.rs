//! UDP on both stacks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nacelle_infra::network::Family;

use crate::stack::{Notes, Stack, Udp, V4, V6, at, everywhere, same};

everywhere! {
    bind_conflicts,
    families_do_not_conflict,
    boundaries_are_kept,
    sizes,
    addresses,
    connecting_chooses_the_source,
    connected_sockets_hear_only_their_peer,
    connected_sockets_hear_of_refusals,
    refusals_reach_the_sender_too,
    unconnected_sockets_hear_nothing_of_refusals,
    a_connected_receiver_refuses_others,
    the_wildcard_is_the_loopback,
    source_of_a_socket_on_another_loopback_address,
}

same! { only_in_memory: crate::stack::Kernel, crate::stack::Pod::new();
    tcp_and_udp_do_not_conflict,
    port_zero,
    wrong_states,
    connect_again_and_disconnect,
    port_zero_is_no_destination,
    what_does_not_fit_is_lost,
}

fn bound<S: Stack>(stack: &S, ip: impl Into<IpAddr>) -> S::Udp {
    let ip = ip.into();
    let mut socket = stack.udp(Family::of(ip));
    socket.bind(at(ip, 0)).unwrap();
    socket
}

fn bind_conflicts<S: Stack>(stack: &S, notes: &mut Notes) {
    let addresses: [IpAddr; 3] = [V4, Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(127, 0, 0, 2).into()];
    for first in addresses {
        let socket = bound(stack, first);
        let port = socket.local().unwrap().port();
        for second in addresses {
            notes.say(&format!("{second} beside {first}"), stack.udp(Family::V4).bind(at(second, port)));
        }
        drop(socket);
        notes.say("again", stack.udp(Family::V4).bind(at(first, port)));
    }
    notes.say("foreign", stack.udp(Family::V4).bind(at(Ipv4Addr::new(192, 0, 2, 1), 0)));
}

fn families_do_not_conflict<S: Stack>(stack: &S, notes: &mut Notes) {
    let v4 = bound(stack, Ipv4Addr::UNSPECIFIED);
    let port = v4.local().unwrap().port();
    notes.say("IPv6", stack.udp(Family::V6).bind(at(Ipv6Addr::UNSPECIFIED, port)));
}

fn tcp_and_udp_do_not_conflict<S: Stack>(stack: &S, notes: &mut Notes) {
    use crate::stack::Tcp;
    let udp = bound(stack, V4);
    notes.say("TCP", stack.tcp(Family::V4).bind(udp.local().unwrap()));
}

fn port_zero<S: Stack>(stack: &S, notes: &mut Notes) {
    let sockets: Vec<S::Udp> = (0..50).map(|_| bound(stack, V4)).collect();
    let mut ports: Vec<u16> = sockets.iter().map(|socket| socket.local().unwrap().port()).collect();
    notes.say("in the range", ports.iter().all(|port| (32_768..=60_999).contains(port)));
    ports.sort_unstable();
    ports.dedup();
    notes.say("different", ports.len());
}

fn wrong_states<S: Stack>(stack: &S, notes: &mut Notes) {
    let mut socket = stack.udp(Family::V4);
    notes.say("remote", socket.remote());
    // On a socket of its own: the kernel binds it in spite of the error.
    notes.say("send without a destination", stack.udp(Family::V4).send(b"x", None));
    socket.bind(at(V4, 0)).unwrap();
    notes.say("bind twice", socket.bind(at(V4, 0)));
    let to = at(V4, 9);
    socket.send(b"x", Some(to)).unwrap();
    notes.say("bind after a send", socket.bind(at(V4, 0)));
    let mut sender = stack.udp(Family::V4);
    sender.send(b"x", Some(to)).unwrap();
    notes.say("a send binds", sender.local().unwrap().port() != 0);
    notes.say("to the wildcard", sender.local().unwrap().ip());
    notes.say("bind after the first send", sender.bind(at(V4, 0)));
}

fn boundaries_are_kept<S: Stack>(stack: &S, notes: &mut Notes) {
    let mut receiver = bound(stack, V4);
    let mut sender = bound(stack, V4);
    let to = receiver.local().unwrap();
    for bytes in [&b"one"[..], b"", b"three"] {
        notes.say("send", sender.send(bytes, Some(to)));
    }
    for _ in 0..4 {
        let received = receiver.receive().unwrap();
        notes.say("bytes", received.as_ref().map(|(bytes, _)| bytes.clone()));
        notes.say("from", received.map(|(_, from)| from == sender.local().unwrap()));
    }
}

fn sizes<S: Stack>(stack: &S, notes: &mut Notes) {
    for (ip, sizes) in [(V4, [65_507, 65_508]), (V6, [65_527, 65_528])] {
        let mut receiver = bound(stack, ip);
        let mut sender = bound(stack, ip);
        let to = receiver.local().unwrap();
        for size in sizes {
            notes.say(&format!("{size}"), sender.send(&vec![1; size], Some(to)));
            notes.say("arrives", receiver.receive().unwrap().map(|(bytes, _)| bytes.len()));
        }
    }
}

fn addresses<S: Stack>(stack: &S, notes: &mut Notes) {
    let mut receiver = bound(stack, Ipv4Addr::UNSPECIFIED);
    let port = receiver.local().unwrap().port();
    for to in [Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 5)] {
        let mut sender = stack.udp(Family::V4);
        sender.send(b"x", Some(at(to, port))).unwrap();
        let (_, from) = receiver.receive().unwrap().unwrap();
        notes.say("seen as", from.ip());
        notes.say("port", from.port() == sender.local().unwrap().port());
    }
    let specific = bound(stack, Ipv4Addr::new(127, 0, 0, 6));
    let port = specific.local().unwrap().port();
    let mut specific = specific;
    let mut sender = stack.udp(Family::V4);
    sender.send(b"elsewhere", Some(at(V4, port))).unwrap();
    notes.say("another address is not meant", specific.receive());
}

fn connecting_chooses_the_source<S: Stack>(stack: &S, notes: &mut Notes) {
    let receiver = bound(stack, V4);
    let mut socket = stack.udp(Family::V4);
    notes.say("connect", socket.connect(receiver.local().unwrap()));
    notes.say("local", socket.local().unwrap().ip());
    notes.say("has a port", socket.local().unwrap().port() != 0);
    notes.say("remote", socket.remote().unwrap() == receiver.local().unwrap());
    let mut wild = bound(stack, Ipv4Addr::UNSPECIFIED);
    let port = wild.local().unwrap().port();
    wild.connect(at(Ipv4Addr::new(127, 0, 0, 7), 9)).unwrap();
    notes.say("from the wildcard", wild.local().unwrap().ip());
    notes.say("same port", wild.local().unwrap().port() == port);
}

fn connected_sockets_hear_only_their_peer<S: Stack>(stack: &S, notes: &mut Notes) {
    let (mut socket, mut peer, mut stranger) = (bound(stack, V4), bound(stack, V4), bound(stack, V4));
    let to = socket.local().unwrap();
    stranger.send(b"before", Some(to)).unwrap();
    socket.connect(peer.local().unwrap()).unwrap();
    stranger.send(b"after", Some(to)).unwrap();
    peer.send(b"peer", Some(to)).unwrap();
    for _ in 0..3 {
        notes.say("heard", socket.receive().map(|received| received.map(|(bytes, _)| bytes)));
    }
    notes.say("send", socket.send(b"hello", None));
    notes.say("peer", peer.receive().unwrap().map(|(bytes, _)| bytes));
}

fn connected_sockets_hear_of_refusals<S: Stack>(stack: &S, notes: &mut Notes) {
    let gone = bound(stack, V4).local().unwrap();
    let mut socket = stack.udp(Family::V4);
    socket.connect(gone).unwrap();
    notes.say("send", socket.send(b"x", None));
    notes.say("receive", socket.receive());
    notes.say("receive again", socket.receive());
    notes.say("send again", socket.send(b"x", None));
}

fn refusals_reach_the_sender_too<S: Stack>(stack: &S, notes: &mut Notes) {
    let gone = bound(stack, V4).local().unwrap();
    let mut socket = stack.udp(Family::V4);
    socket.connect(gone).unwrap();
    for _ in 0..4 {
        notes.say("send", socket.send(b"x", None));
    }
}

fn unconnected_sockets_hear_nothing_of_refusals<S: Stack>(stack: &S, notes: &mut Notes) {
    let gone = bound(stack, V4).local().unwrap();
    let mut socket = bound(stack, V4);
    for _ in 0..2 {
        notes.say("send", socket.send(b"x", Some(gone)));
    }
    notes.say("receive", socket.receive());
}

fn a_connected_receiver_refuses_others<S: Stack>(stack: &S, notes: &mut Notes) {
    let (mut receiver, peer) = (bound(stack, V4), bound(stack, V4));
    receiver.connect(peer.local().unwrap()).unwrap();
    let mut stranger = stack.udp(Family::V4);
    stranger.connect(receiver.local().unwrap()).unwrap();
    notes.say("send", stranger.send(b"x", None));
    notes.say("send", stranger.send(b"x", None));
}

fn connect_again_and_disconnect<S: Stack>(stack: &S, notes: &mut Notes) {
    let (mut one, mut two) = (bound(stack, V4), bound(stack, V4));
    let mut socket = bound(stack, V4);
    socket.connect(one.local().unwrap()).unwrap();
    notes.say("again", socket.connect(two.local().unwrap()));
    socket.send(b"two", None).unwrap();
    notes.say("one", one.receive().unwrap().is_some());
    notes.say("two", two.receive().unwrap().is_some());
    notes.say("disconnect", socket.disconnect());
    notes.say("remote", socket.remote());
    notes.say("send without a destination", socket.send(b"x", None));
    one.send(b"from one", Some(socket.local().unwrap())).unwrap();
    notes.say("everybody is heard again", socket.receive().unwrap().is_some());
}

fn the_wildcard_is_the_loopback<S: Stack>(stack: &S, notes: &mut Notes) {
    let mut receiver = bound(stack, V4);
    let port = receiver.local().unwrap().port();
    let mut socket = stack.udp(Family::V4);
    notes.say("send", socket.send(b"x", Some(at(Ipv4Addr::UNSPECIFIED, port))));
    notes.say("receive", receiver.receive().unwrap().map(|(bytes, from)| (bytes, from.ip())));
    notes.say("connect", socket.connect(at(Ipv4Addr::UNSPECIFIED, port)));
    notes.say("remote", socket.remote().unwrap().ip());
}

fn port_zero_is_no_destination<S: Stack>(stack: &S, notes: &mut Notes) {
    notes.say("send", stack.udp(Family::V4).send(b"x", Some(at(V4, 0))));
}

fn what_does_not_fit_is_lost<S: Stack>(stack: &S, notes: &mut Notes) {
    let mut receiver = bound(stack, V4);
    let to = receiver.local().unwrap();
    let mut sender = stack.udp(Family::V4);
    for _ in 0..2000 {
        sender.send(&[5; 1000], Some(to)).unwrap();
    }
    let mut received = 0;
    while receiver.receive().unwrap().is_some() {
        received += 1;
    }
    notes.say("some arrive, not all", received > 10 && received < 2000);
    sender.send(b"room again", Some(to)).unwrap();
    notes.say("and then", receiver.receive().unwrap().map(|(bytes, _)| bytes));
}

fn source_of_a_socket_on_another_loopback_address<S: Stack>(stack: &S, notes: &mut Notes) {
    let mut receiver = bound(stack, V4);
    let mut sender = bound(stack, Ipv4Addr::new(127, 0, 0, 8));
    sender.send(b"x", Some(receiver.local().unwrap())).unwrap();
    notes.say("from", receiver.receive().unwrap().map(|(_, from)| from.ip()));
}
