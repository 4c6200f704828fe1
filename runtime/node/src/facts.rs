//! What the downward API can say about the node.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use nacelle_spec::{DownwardFacts, Requests};

/// What there is for pods, and this machine's addresses; pods' own addresses are added per pod.
pub(crate) fn of_node(node_name: &str, allocatable: &Requests) -> DownwardFacts {
    DownwardFacts {
        node_name: node_name.to_owned(),
        pod_ips: Vec::new(),
        host_ips: vec![host_address()],
        node_cpu_millis: allocatable.cpu_millis,
        node_memory_bytes: allocatable.memory_bytes,
        node_ephemeral_storage_bytes: allocatable.ephemeral_storage_bytes,
    }
}

/// The address that packets to elsewhere would come from; loopback on a machine without a network.
fn host_address() -> IpAddr {
    // Connecting a datagram socket sends nothing: it only asks the routing table. The address is one that is reserved
    // for documentation (RFC 5737), so nobody is there.
    let elsewhere = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 9));
    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
        .and_then(|socket| {
            socket.connect(elsewhere)?;
            socket.local_addr()
        })
        .map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip())
}

#[cfg(test)]
mod tests {
    use nacelle_spec::Requests;

    #[test]
    fn a_node_has_an_address_and_what_is_for_pods() {
        let allocatable = Requests { cpu_millis: 1500, memory_bytes: 7, ephemeral_storage_bytes: 9 };
        let facts = super::of_node("here", &allocatable);
        let shown = (facts.node_cpu_millis, facts.node_memory_bytes, facts.node_ephemeral_storage_bytes);
        assert_eq!(shown, (1500, 7, 9));
        assert_eq!(facts.host_ips.len(), 1);
    }
}
