//! What the downward API can say about this machine.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;

use nacelle_spec::DownwardFacts;

/// Thousandths of a CPU per CPU.
const MILLIS: u64 = 1000;

/// The machine's capacity and addresses; pods' own addresses are added per pod. `state_dir`, which exists, is where
/// pods keep what they write to a disk.
pub(crate) fn of_this_machine(node_name: &str, state_dir: &Path) -> DownwardFacts {
    let cpus = std::thread::available_parallelism().map_or(1, |cpus| u64::try_from(cpus.get()).unwrap_or(1));
    DownwardFacts {
        node_name: node_name.to_owned(),
        pod_ips: Vec::new(),
        host_ips: vec![host_address()],
        node_cpu_millis: cpus * MILLIS,
        node_memory_bytes: memory_bytes().unwrap_or(0),
        node_ephemeral_storage_bytes: disk_bytes(state_dir).unwrap_or(0),
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

fn disk_bytes(dir: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(dir).ok()?;
    disk.f_blocks.checked_mul(disk.f_frsize)
}

fn memory_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let kib = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    kib.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_machine_has_a_cpu_memory_and_an_address() {
        let facts = super::of_this_machine("here", std::path::Path::new("/"));
        assert!(facts.node_cpu_millis >= 1000);
        assert!(facts.node_memory_bytes > 0 && facts.node_ephemeral_storage_bytes > 0);
        assert_eq!(facts.host_ips.len(), 1);
    }
}
