//! TCP on both stacks: ports, listeners, and how a connection begins.

use std::net::{Ipv4Addr, Ipv6Addr, Shutdown};

use nacelle_infra::network::Family;

use crate::stack::{Notes, Stack, Tcp, V4, V6, at, everywhere, pair, same};

everywhere! {
    bind_conflicts_of_listeners,
    bind_conflicts_across_families,
    a_listener_can_be_bound_again_at_once,
    a_connection_outlives_its_listener,
    bind_to_foreign_addresses,
    port_zero,
    refused,
    wildcard_reaches_and_specific_does_not,
    connect_to_the_wildcard,
    addresses,
    a_bound_client_keeps_its_port,
    dual_stack_addresses,
    backlog,
    a_listener_that_closes_resets_who_waits,
    accept_after_the_client_has_gone,
}

same! { only_in_memory: crate::stack::Kernel, crate::stack::Pod::new();
    bound_sockets_share_until_one_listens,
    wrong_states,
}

fn listening<S: Stack>(stack: &S, ip: std::net::IpAddr) -> S::Tcp {
    let mut listener = stack.tcp(Family::of(ip));
    listener.bind(at(ip, 0)).unwrap();
    listener.listen(4).unwrap();
    listener
}

fn bind_conflicts_of_listeners<S: Stack>(stack: &S, notes: &mut Notes) {
    for first in [V4, Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(127, 0, 0, 2).into()] {
        let listener = listening(stack, first);
        let port = listener.local().unwrap().port();
        for second in [V4, Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(127, 0, 0, 2).into()] {
            let mut socket = stack.tcp(Family::V4);
            notes.say(&format!("{second} beside a listener at {first}"), socket.bind(at(second, port)));
        }
    }
}

fn bind_conflicts_across_families<S: Stack>(stack: &S, notes: &mut Notes) {
    let v4: [std::net::IpAddr; 2] = [V4, Ipv4Addr::UNSPECIFIED.into()];
    let v6: [std::net::IpAddr; 2] = [V6, Ipv6Addr::UNSPECIFIED.into()];
    for dual in [false, true] {
        for (first, second) in v4.into_iter().flat_map(|a| v6.into_iter().flat_map(move |b| [(a, b), (b, a)])) {
            let mut one = stack.tcp(Family::of(first));
            let mut two = stack.tcp(Family::of(second));
            if dual {
                if first.is_ipv6() { one.dual_stack() } else { two.dual_stack() }
            }
            one.bind(at(first, 0)).unwrap();
            one.listen(1).unwrap();
            let port = one.local().unwrap().port();
            notes.say(&format!("dual {dual}: {second} beside {first}"), two.bind(at(second, port)));
        }
    }
}

fn bound_sockets_share_until_one_listens<S: Stack>(stack: &S, notes: &mut Notes) {
    let (mut one, mut two, mut three) = (stack.tcp(Family::V4), stack.tcp(Family::V4), stack.tcp(Family::V4));
    one.bind(at(V4, 0)).unwrap();
    let address = one.local().unwrap();
    notes.say("second bind", two.bind(address));
    notes.say("first listens", one.listen(1));
    notes.say("second listens", two.listen(1));
    notes.say("third bind", three.bind(address));
    drop(one);
    notes.say("second listens once the first has gone", two.listen(1));
}

fn a_listener_can_be_bound_again_at_once<S: Stack>(stack: &S, notes: &mut Notes) {
    let mut listener = listening(stack, V4);
    let address = listener.local().unwrap();
    let mut client = stack.tcp(Family::V4);
    client.connect(address).unwrap();
    let server = listener.accept().unwrap();
    // The server closes first, so on a kernel the port is in TIME_WAIT.
    drop(server);
    drop(client);
    drop(listener);
    let mut again = stack.tcp(Family::V4);
    notes.say("bind", again.bind(address));
    notes.say("listen", again.listen(1));
}

fn a_connection_outlives_its_listener<S: Stack>(stack: &S, notes: &mut Notes) {
    let mut listener = listening(stack, V4);
    let address = listener.local().unwrap();
    let mut client = stack.tcp(Family::V4);
    client.connect(address).unwrap();
    let mut server = listener.accept().unwrap();
    drop(listener);
    notes.say("write", client.write(b"still there"));
    notes.say("read", server.read(100));
    let mut again = stack.tcp(Family::V4);
    notes.say("bind beside the connection", again.bind(address));
    notes.say("listen beside the connection", again.listen(1));
    let mut other = stack.tcp(Family::V4);
    notes.say("connect", other.connect(address));
}

fn bind_to_foreign_addresses<S: Stack>(stack: &S, notes: &mut Notes) {
    for (family, ip) in
        [(Family::V4, "192.0.2.1"), (Family::V4, "127.1.2.3"), (Family::V6, "2001:db8::1"), (Family::V6, "::2")]
    {
        let mut socket = stack.tcp(family);
        notes.say(ip, socket.bind(at(ip.parse::<std::net::IpAddr>().unwrap(), 0)));
    }
    let mut socket = stack.tcp(Family::V4);
    notes.say("other family", socket.bind(at(V6, 0)));
    let mut socket = stack.tcp(Family::V6);
    notes.say("mapped", socket.bind(at(Ipv4Addr::LOCALHOST.to_ipv6_mapped(), 0)));
}

fn port_zero<S: Stack>(stack: &S, notes: &mut Notes) {
    let sockets: Vec<S::Tcp> = (0..50)
        .map(|_| {
            let mut socket = stack.tcp(Family::V4);
            socket.bind(at(V4, 0)).unwrap();
            socket
        })
        .collect();
    let mut ports: Vec<u16> = sockets.iter().map(|socket| socket.local().unwrap().port()).collect();
    notes.say("in the range", ports.iter().all(|port| (32_768..=60_999).contains(port)));
    ports.sort_unstable();
    ports.dedup();
    notes.say("different", ports.len());
}

fn wrong_states<S: Stack>(stack: &S, notes: &mut Notes) {
    let mut socket = stack.tcp(Family::V4);
    notes.say("accept unbound", socket.accept().err());
    // On a socket of its own: the kernel remembers it in spite of the error.
    notes.say("shutdown unbound", stack.tcp(Family::V4).shutdown(Shutdown::Both));
    notes.say("remote unbound", socket.remote());
    socket.bind(at(V4, 0)).unwrap();
    notes.say("bind twice", socket.bind(at(V4, 0)));
    notes.say("read bound", socket.read(1));
    notes.say("accept bound", socket.accept().err());
    socket.listen(1).unwrap();
    notes.say("shutdown listening has no peer", socket.remote());
    notes.say("read listening", socket.read(1));
    let (mut client, _server) = pair(stack);
    notes.say("bind connected", client.bind(at(V4, 0)));
    notes.say("listen connected", client.listen(1));
    notes.say("accept connected", client.accept().err());
    let address = socket.local().unwrap();
    notes.say("connect connected", client.connect(address));
}

fn refused<S: Stack>(stack: &S, notes: &mut Notes) {
    let mut bound = stack.tcp(Family::V4);
    bound.bind(at(V4, 0)).unwrap();
    let address = bound.local().unwrap();
    notes.say("bound, not listening", stack.tcp(Family::V4).connect(address));
    drop(bound);
    notes.say("nobody", stack.tcp(Family::V4).connect(address));
    notes.say("nobody, IPv6", stack.tcp(Family::V6).connect(at(V6, address.port())));
    notes.say("port 0", stack.tcp(Family::V4).connect(at(V4, 0)));
    let listener = listening(stack, V4);
    let port = listener.local().unwrap().port();
    notes.say("the other family", stack.tcp(Family::V6).connect(at(V6, port)));
    drop(listener);
    notes.say("after the listener", stack.tcp(Family::V4).connect(at(V4, port)));
}

fn wildcard_reaches_and_specific_does_not<S: Stack>(stack: &S, notes: &mut Notes) {
    for ip in [V4, Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(127, 0, 0, 3).into()] {
        let listener = listening(stack, ip);
        let port = listener.local().unwrap().port();
        for to in [Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 3)] {
            notes.say(&format!("{to} of a listener at {ip}"), stack.tcp(Family::V4).connect(at(to, port)));
        }
    }
}

fn connect_to_the_wildcard<S: Stack>(stack: &S, notes: &mut Notes) {
    let mut listener = listening(stack, V4);
    let port = listener.local().unwrap().port();
    let mut client = stack.tcp(Family::V4);
    notes.say("connect", client.connect(at(Ipv4Addr::UNSPECIFIED, port)));
    notes.say("goes to the loopback", client.remote().unwrap().ip());
    notes.say("accepted from", listener.accept().unwrap().remote().unwrap().ip());
}

fn addresses<S: Stack>(stack: &S, notes: &mut Notes) {
    for (bound, to) in [
        (V4, V4),
        (Ipv4Addr::UNSPECIFIED.into(), V4),
        (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(127, 0, 0, 9).into()),
        (V6, V6),
        (Ipv6Addr::UNSPECIFIED.into(), V6),
    ] {
        let mut listener = listening(stack, bound);
        let port = listener.local().unwrap().port();
        notes.say("listener", listener.local().unwrap().ip());
        let mut client = stack.tcp(Family::of(to));
        client.connect(at(to, port)).unwrap();
        let server = listener.accept().unwrap();
        notes.say("client's own", client.local().unwrap().ip());
        notes.say("client's peer", client.remote().unwrap() == at(to, port));
        notes.say("server's own", server.local().unwrap() == client.remote().unwrap());
        notes.say("server's peer", server.remote().unwrap() == client.local().unwrap());
    }
}

fn a_bound_client_keeps_its_port<S: Stack>(stack: &S, notes: &mut Notes) {
    let mut listener = listening(stack, V4);
    for ip in [V4, Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(127, 0, 0, 4).into()] {
        let mut client = stack.tcp(Family::V4);
        client.bind(at(ip, 0)).unwrap();
        let port = client.local().unwrap().port();
        client.connect(listener.local().unwrap()).unwrap();
        notes.say("same port", client.local().unwrap().port() == port);
        notes.say("address", client.local().unwrap().ip());
        notes.say("as the server sees it", listener.accept().unwrap().remote().unwrap() == client.local().unwrap());
    }
}

fn dual_stack_addresses<S: Stack>(stack: &S, notes: &mut Notes) {
    let mut listener = stack.tcp(Family::V6);
    listener.dual_stack();
    listener.bind(at(Ipv6Addr::UNSPECIFIED, 0)).unwrap();
    listener.listen(4).unwrap();
    let port = listener.local().unwrap().port();
    let mut client = stack.tcp(Family::V4);
    notes.say("over IPv4", client.connect(at(V4, port)));
    let server = listener.accept().unwrap();
    notes.say("server's own", server.local().unwrap().ip());
    notes.say("server's peer", server.remote().unwrap().ip());
    let mut client = stack.tcp(Family::V6);
    client.dual_stack();
    notes.say("mapped", client.connect(at(Ipv4Addr::LOCALHOST.to_ipv6_mapped(), port)));
    notes.say("client's own", client.local().unwrap().ip());
    notes.say("client's peer", client.remote().unwrap().ip());
    let mut client = stack.tcp(Family::V6);
    notes.say("over IPv6", client.connect(at(V6, port)));
}

fn backlog<S: Stack>(stack: &S, notes: &mut Notes) {
    for size in [1, 3] {
        let mut listener = stack.tcp(Family::V4);
        listener.bind(at(V4, 0)).unwrap();
        listener.listen(size).unwrap();
        let address = listener.local().unwrap();
        let mut clients = Vec::new();
        let full = loop {
            let mut client = stack.tcp(Family::V4);
            match client.connect(address) {
                Ok(()) => clients.push(client),
                Err(error) => break error,
            }
        };
        notes.say(&format!("backlog {size} lets in"), clients.len());
        notes.say("and then", full);
        for client in clients {
            let server = listener.accept().unwrap();
            notes.say("in order", server.remote().unwrap() == client.local().unwrap());
        }
    }
}

fn a_listener_that_closes_resets_who_waits<S: Stack>(stack: &S, notes: &mut Notes) {
    let listener = listening(stack, V4);
    let mut client = stack.tcp(Family::V4);
    client.connect(listener.local().unwrap()).unwrap();
    drop(listener);
    notes.say("read", client.read(1));
    notes.say("read again", client.read(1));
    notes.say("write", client.write(b"x"));
}

fn accept_after_the_client_has_gone<S: Stack>(stack: &S, notes: &mut Notes) {
    let mut listener = listening(stack, V4);
    let mut client = stack.tcp(Family::V4);
    client.connect(listener.local().unwrap()).unwrap();
    client.write(b"hello").unwrap();
    drop(client);
    let mut server = listener.accept().unwrap();
    notes.say("read", server.read(100));
    notes.say("end", server.read(100));
}
