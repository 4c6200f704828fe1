//! Rules of nftables for all pods of the machine.
//!
//! They are handed to nft(8), which makes one transaction of them: all or none. All can be made again at any time.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::process::{Child, Command, Stdio};

use ipnet::IpNet;

use super::names::BRIDGE;

/// Takes all rules away. A table is declared first because one that is not there cannot be deleted.
pub(super) const REMOVAL: &str =
    "table ip nacelle {}\ndelete table ip nacelle\ntable ip6 nacelle {}\ndelete table ip6 nacelle\n";

/// What leaves the bridge appears to come from this machine; pods do not reach link-local addresses, such as a cloud's
/// metadata service, as the rest of nacelle has it.
pub(super) fn rules(cidrs: &[IpNet]) -> String {
    let mut text = String::new();
    for (family, kind, link_local, is_family) in [
        ("ip", "ipv4_addr", "169.254.0.0/16", (|cidr: &IpNet| matches!(cidr, IpNet::V4(_))) as fn(&IpNet) -> bool),
        ("ip6", "ipv6_addr", "fe80::/10", |cidr| matches!(cidr, IpNet::V6(_))),
    ] {
        let blocks: Vec<_> = cidrs.iter().filter(|cidr| is_family(cidr)).map(|cidr| cidr.trunc().to_string()).collect();
        if blocks.is_empty() {
            continue;
        }
        // The set grows by the blocks of each process; chains are written anew. Nothing can be written to a String but
        // successfully.
        let _ = write!(
            text,
            "table {family} nacelle {{
  set pods {{ type {kind}; flags interval; auto-merge; }}
  chain postrouting {{ type nat hook postrouting priority srcnat; policy accept; }}
  chain forward {{ type filter hook forward priority filter; policy accept; }}
}}
flush chain {family} nacelle postrouting
flush chain {family} nacelle forward
add element {family} nacelle pods {{ {} }}
add rule {family} nacelle postrouting {family} saddr @pods oifname != \"{BRIDGE}\" masquerade
add rule {family} nacelle forward iifname \"{BRIDGE}\" {family} daddr {link_local} reject
",
            blocks.join(", ")
        );
    }
    text
}

/// A change of the rules that is being made.
#[derive(Debug)]
pub(super) struct Change(Child);

/// Begins to apply rules, in the network namespace of the calling thread.
///
/// `lock` is the networks' lock, which the program holds as long as it lives: if this process is killed meanwhile,
/// whoever comes to clean up waits until the rules are there.
pub(super) fn begin(rules: &str, lock: &File) -> io::Result<Change> {
    let mut nft = Command::new("nft");
    // A descriptor has to be one of three to be inherited, and with these arguments nothing is written to this one.
    nft.args(["-f", "-"]).stdin(Stdio::piped()).stdout(lock.try_clone()?).stderr(Stdio::piped());
    let mut nft = nft.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => io::Error::new(error.kind(), "nft is not installed: it is in the package nftables"),
        _ => error,
    })?;
    if let Some(mut stdin) = nft.stdin.take() {
        match stdin.write_all(rules.as_bytes()) {
            // It has said why on its standard error.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
            _ => {}
        }
    }
    Ok(Change(nft))
}

impl Change {
    /// Waits until the rules are applied. Without this nobody knows whether they are.
    pub(super) fn finish(self) -> io::Result<()> {
        let output = self.0.wait_with_output()?;
        match output.status.success() {
            true => Ok(()),
            false => {
                let said = String::from_utf8_lossy(&output.stderr);
                Err(io::Error::other(format!("nft: {}", said.lines().next().unwrap_or("it failed without a word"))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_has_its_table() {
        let v4: IpNet = "10.88.3.4/16".parse().unwrap();
        let text = rules(&[v4]);
        assert!(text.contains("add element ip nacelle pods { 10.88.0.0/16 }"), "{text}");
        assert!(text.contains("ip saddr @pods oifname != \"nacelle0\" masquerade"), "{text}");
        assert!(!text.contains("ip6"), "{text}");
        let text = rules(&["fd00:1::/64".parse().unwrap(), v4]);
        assert!(text.contains("table ip6 nacelle") && text.contains("table ip nacelle"), "{text}");
        assert_eq!(rules(&[]), "");
    }
}
