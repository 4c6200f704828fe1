use proptest::prelude::*;

use super::*;

/// The whole of the rules, one by one and slowly: what two bindings of a port are to each other.
fn in_the_way(one: (IpAddr, bool), two: (IpAddr, bool)) -> bool {
    let dual = |(address, v6_only): (IpAddr, bool)| address == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && !v6_only;
    if dual(one) || dual(two) {
        return true;
    }
    one.0.is_ipv4() == two.0.is_ipv4() && (one.0 == two.0 || one.0.is_unspecified() || two.0.is_unspecified())
}

#[derive(Clone, Debug)]
enum Step {
    Bind { address: usize, port: u16, v6_only: bool, shared: bool },
    Receive(usize),
    Release(usize),
}

const ADDRESSES: [&str; 6] = ["0.0.0.0", "127.0.0.1", "10.87.0.2", "::", "::1", "fd00::2"];

fn address(index: usize) -> IpAddr {
    ADDRESSES[index % ADDRESSES.len()].parse().unwrap()
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bind = (0..6usize, 0..3u16, any::<bool>(), any::<bool>()).prop_map(|(address, port, v6_only, shared)| {
        Step::Bind { address, port: if port == 0 { 0 } else { 79 + port }, v6_only, shared }
    });
    let step =
        prop_oneof![3 => bind, 2 => (0..20usize).prop_map(Step::Receive), 1 => (0..20usize).prop_map(Step::Release)];
    prop::collection::vec(step, 1..60)
}

/// A binding as the model has it.
#[derive(Clone, Debug)]
struct Known {
    id: BindingId,
    address: IpAddr,
    v6_only: bool,
    port: u16,
    shared: bool,
    receiver: Option<usize>,
}

impl Known {
    fn scope(&self) -> (IpAddr, bool) {
        (self.address, self.v6_only)
    }
}

proptest! {
    #[test]
    fn the_table_follows_the_rules(steps in steps()) {
        let mut table = PortTable::<usize>::default();
        let mut known: Vec<Known> = Vec::new();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Bind { address: index, port, v6_only, shared } => {
                    let local = SocketAddr::new(address(index), port);
                    let sharing = if shared { Sharing::Shared } else { Sharing::Exclusive };
                    let blocked = known.iter().any(|other| {
                        let shares = shared && other.shared && other.receiver.is_none();
                        other.port == port && in_the_way(other.scope(), (local.ip(), v6_only)) && !shares
                    });
                    match table.bind(local, v6_only, sharing, None, number as u64) {
                        Ok((id, port)) => {
                            prop_assert!(!blocked);
                            prop_assert!(local.port() == port || (local.port() == 0 && EPHEMERAL.contains(&port)));
                            known.push(Known { id, address: local.ip(), v6_only, port, shared, receiver: None });
                        }
                        Err(error) => {
                            prop_assert_eq!(error, NetError::AddressInUse);
                            prop_assert!(blocked);
                        }
                    }
                }
                Step::Receive(index) => {
                    let Some(one) = known.get(index).cloned() else { continue };
                    let blocked = known.iter().any(|other| {
                        let overlaps = other.port == one.port && in_the_way(other.scope(), one.scope());
                        other.id != one.id && overlaps && other.receiver.is_some()
                    });
                    let received = table.receive(one.id, number);
                    prop_assert_eq!(received.is_ok(), !blocked);
                    if received.is_ok() {
                        known[index].receiver = Some(number);
                    }
                }
                Step::Release(index) if index < known.len() => {
                    let gone = known.swap_remove(index);
                    prop_assert_eq!(table.release(gone.id), gone.receiver);
                    prop_assert_eq!(table.release(gone.id), None);
                }
                Step::Release(_) => {}
            }
            // At most one receives what is sent to an address, and it is one that covers it.
            for to in (0..6).map(address).filter(|address| !address.is_unspecified()) {
                for port in [80, 81] {
                    let covering: Vec<&Known> = known
                        .iter()
                        .filter(|other| other.port == port && in_the_way(other.scope(), (to, true)))
                        .filter(|other| other.receiver.is_some())
                        .collect();
                    prop_assert!(covering.len() <= 1);
                    let expected = covering.first().and_then(|other| other.receiver);
                    prop_assert_eq!(table.receiver(SocketAddr::new(to, port)).copied(), expected);
                }
            }
        }
        for gone in known {
            table.release(gone.id);
        }
        prop_assert!(table.ports.is_empty());
    }
}

#[test]
fn a_free_port_is_found_from_any_start_until_there_is_none() {
    let mut table = PortTable::<()>::default();
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut seen = std::collections::HashSet::new();
    for round in 0..EPHEMERAL.len() as u64 {
        let (_, port) = table.bind(local, true, Sharing::Shared, None, round.wrapping_mul(7_919)).unwrap();
        assert!(seen.insert(port) && EPHEMERAL.contains(&port));
    }
    assert_eq!(table.bind(local, true, Sharing::Shared, None, u64::MAX), Err(NetError::OutOfPorts));
    let other = SocketAddr::from(([127, 0, 0, 2], 0));
    assert!(table.bind(other, true, Sharing::Exclusive, None, u64::MAX).is_ok(), "another address has its own");
}

#[test]
fn ipv4_inside_ipv6_is_ipv4() {
    let mut table = PortTable::<()>::default();
    let mapped = SocketAddr::new(Ipv4Addr::LOCALHOST.to_ipv6_mapped().into(), 80);
    table.bind(mapped, false, Sharing::Exclusive, Some(()), 0).unwrap();
    let plain = SocketAddr::from(([127, 0, 0, 1], 80));
    assert_eq!(table.bind(plain, true, Sharing::Exclusive, None, 0), Err(NetError::AddressInUse));
    assert!(table.receiver(plain).is_some() && table.receiver(mapped).is_some());
}
