use rustix::net::sockopt;

use super::*;
use crate::budget::Budget;
use crate::network::owner::Owner;
use crate::network::{NodeNetwork, NodeNetworkConfig, PodNetworkConfig};

/// A pod with an address of each family.
async fn pod() -> Arc<PodNetwork> {
    let pod_cidrs = ["10.87.0.0/16", "fd87::/64"].map(|cidr| cidr.parse().unwrap()).to_vec();
    let node = NodeNetwork::new(NodeNetworkConfig { pod_cidrs, ..NodeNetworkConfig::default() }).unwrap();
    node.attach(PodNetworkConfig { uid: "one".into(), ..PodNetworkConfig::default() }, Budget::unlimited())
        .await
        .unwrap()
}

/// The hop limit, and the sizes of the receive and the send buffer as the kernel counts them: twice what it was asked for.
fn of_kernel(way: &Outside, family: Family) -> (u8, usize, usize) {
    let socket = way.socket.kernel_socket();
    let hop_limit = match family {
        Family::V4 => u8::try_from(sockopt::ip_ttl(socket).unwrap()).unwrap(),
        Family::V6 => sockopt::ipv6_unicast_hops(socket).unwrap(),
    };
    let receive_buffer = sockopt::socket_recv_buffer_size(socket).unwrap();
    (hop_limit, receive_buffer, sockopt::socket_send_buffer_size(socket).unwrap())
}

#[tokio::test]
async fn a_way_out_has_the_sockets_options_from_its_start_and_as_they_change() {
    let pod = pod().await;
    let owner = Owner::new(10, Budget::unlimited());
    for family in [Family::V4, Family::V6] {
        let default = UdpOptions::new(pod.node().limits());
        let socket = MemorySocket::new(Arc::clone(&pod), family, owner.slot().unwrap(), &default).unwrap();
        let options = UdpOptions { hop_limit: 7, receive_buffer: 8192, send_buffer: 16_384 };
        let way = socket.way_out(family, &options).unwrap();
        assert_eq!(of_kernel(&way, family), (7, 16_384, 32_768));

        let binding = socket.binding(SocketAddr::new(family.unspecified(), 0)).unwrap();
        let mut outside = Ways::default();
        *outside.of(family) = Some(Arc::clone(&way));
        *lock(&socket.state) = State::Bound { binding, outside };
        let changed = UdpOptions { hop_limit: 9, send_buffer: 8192, ..options };
        socket.set_options(&changed, &options).unwrap();
        assert_eq!(of_kernel(&way, family), (9, 16_384, 16_384));
    }
}
