//! What the rules do to packets that leave the pods' network.

use std::time::Duration;

use super::*;

/// A network beyond this machine's, where nobody knows the way back to a pod.
struct Outside {
    thread: NamespaceThread,
}

const HERE: [IpAddr; 2] = [
    IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V6(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
];
const THERE: [IpAddr; 2] = [
    IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2)),
    IpAddr::V6(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2)),
];
/// Addresses of the same network that are link-local.
const LINK_LOCAL: [IpAddr; 2] = [
    IpAddr::V4(std::net::Ipv4Addr::new(169, 254, 0, 9)),
    IpAddr::V6(std::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 9)),
];

impl Outside {
    fn new(dir: &Path) -> Self {
        let file = dir.join("outside");
        let thread = NamespaceThread::with_new_namespace(&file).unwrap();
        mounts::detach(&file).unwrap();
        let host = File::open("/proc/thread-self/ns/net").unwrap();
        let inside = move || {
            let netlink = Netlink::open().unwrap();
            netlink.add_veth("eth0", "uplink", std::os::fd::AsRawFd::as_raw_fd(&host)).unwrap();
            configure(&netlink, "eth0", THERE);
        };
        thread.run(inside).unwrap();
        let netlink = Netlink::open().unwrap();
        configure(&netlink, "uplink", HERE);
        Self { thread }
    }

    /// Listens there.
    fn greet(&self, address: IpAddr) -> Greeter {
        Greeter::new(self.thread.run(move || TcpListener::bind((address, 0)).unwrap()).unwrap())
    }
}

fn configure(netlink: &Netlink, name: &str, addresses: [IpAddr; 2]) {
    let index = netlink.index(name).unwrap().unwrap();
    std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/accept_dad"), "0").unwrap();
    for (address, prefix) in addresses.into_iter().zip([24, 64]) {
        netlink.add_address(index, address, prefix).unwrap();
    }
    netlink.up(index).unwrap();
    netlink.add_route(index, "169.254.0.0/16".parse().unwrap()).unwrap();
}

#[test]
fn what_leaves_the_bridge_comes_from_this_machine() {
    if !is_possible() {
        return;
    }
    apart(|dir, networks| {
        let outside = Outside::new(dir);
        let pod = networks.create("pod", &ips(2), NetworkOwner::Host).unwrap();
        for (family, here, there) in [(Family::V4, HERE[0], THERE[0]), (Family::V6, HERE[1], THERE[1])] {
            let greeter = outside.greet(there);
            let stream = connect(&*pod, family, greeter.at(there)).unwrap();
            assert_eq!(read(stream), "hello");
            assert_eq!(greeter.client(), here);
        }
        // A pod of another process, with a block of its own: the first one's rules stay, and neither are there twice.
        let others = vec!["10.99.0.0/24".parse().unwrap()];
        let other = Networks::new(dir.join("run"), dir.join("state"), others);
        let theirs = other.create("theirs", &[[10, 99, 0, 2].into()], NetworkOwner::Host).unwrap();
        other.shared.bridge().unwrap();
        for network in [&pod, &theirs] {
            let greeter = outside.greet(THERE[0]);
            assert_eq!(read(connect(&**network, Family::V4, greeter.at(THERE[0])).unwrap()), "hello");
            assert_eq!(greeter.client(), HERE[0]);
        }
        assert_eq!(rules().matches(" masquerade\n").count(), 3, "{}", rules());
        assert_eq!(rules().matches(" reject\n").count(), 2, "{}", rules());
        drop(pod);
        drop(theirs);
        nothing_is_left(dir);
    });
}

#[test]
fn pods_do_not_reach_link_local_addresses_beyond_this_machine() {
    if !is_possible() {
        return;
    }
    apart(|dir, networks| {
        let outside = Outside::new(dir);
        outside.thread.run(|| configure(&Netlink::open().unwrap(), "eth0", LINK_LOCAL)).unwrap();
        let greeter = outside.greet(LINK_LOCAL[0]);
        let to = greeter.at(LINK_LOCAL[0]);
        let pod = networks.create("pod", &ips(2), NetworkOwner::Host).unwrap();
        let refused = connect(&*pod, Family::V4, to).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused, "{refused}");
        // From here it can be reached.
        assert_eq!(read(TcpStream::connect_timeout(&to, Duration::from_secs(10)).unwrap()), "hello");
        greeter.client();
        drop(pod);
        nothing_is_left(dir);
    });
}
