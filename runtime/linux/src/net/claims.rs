//! Addresses on the bridge that all processes of this machine share: who begins where, and that none is there twice.

use std::fs::{DirBuilder, File};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use nacelle_infra::network::AddressPart;

use super::{Result, Shared, Step as _, open_lock, take};

/// So many processes at a time begin in parts of their own.
const PARTS: u32 = 16;

/// A part of the pod CIDRs, held while the process lives.
#[derive(Debug)]
pub(super) struct Part {
    index: u32,
    _lock: Option<File>,
}

impl Part {
    /// The first one that nobody has. If there is none, or no place to note it, the first of all: two pods with one address
    /// are refused by [`Shared::claim`] in any case.
    pub(super) fn take(run: &Path) -> Self {
        Self::try_take(run).unwrap_or_else(|error| {
            tracing::debug!(%error, "this process begins in the first part of the pod addresses");
            Self { index: 0, _lock: None }
        })
    }

    fn try_take(run: &Path) -> io::Result<Self> {
        let dir = run.join("parts");
        DirBuilder::new().recursive(true).mode(0o755).create(&dir)?;
        for index in 0..PARTS {
            let lock = open_lock(&dir.join(format!("{index}.lock")))?;
            if lock.try_lock().is_ok() {
                return Ok(Self { index, _lock: Some(lock) });
            }
        }
        Err(io::Error::new(io::ErrorKind::ResourceBusy, "all parts are taken"))
    }

    pub(super) fn address_part(&self) -> AddressPart {
        AddressPart { index: self.index, count: PARTS }
    }
}

impl Shared {
    /// Notes that a pod has addresses on the bridge; refuses those that another one has. The lock is held.
    pub(super) fn claim(&self, uid: &str, ips: &[IpAddr]) -> Result<()> {
        if ips.is_empty() {
            return Ok(());
        }
        for other in self.pods()?.iter().filter(|other| *other != uid) {
            if let Some(ip) = self.claimed(other).into_iter().find(|ip| ips.contains(ip)) {
                if let Some(_lock) = take(&self.pod_dir(other)?)? {
                    // Its process has died. Whoever takes the pod over makes its network anew anyway.
                    if self.ids_of(other).is_some() && self.is_anothers(other) {
                        // Its containers may live on, with ids that nobody else may get meanwhile.
                        self.clear(other)?;
                        self.note(other, &[])?;
                    } else {
                        self.remove_dir(other)?;
                    }
                    continue;
                }
                let why = format!(
                    "{ip} is the address of pod {other} of another process: give each process its own --pod-cidr"
                );
                return Err(io::Error::new(io::ErrorKind::AddrInUse, why)).step("use a pod's address on the bridge");
            }
        }
        let mut all = self.claimed(uid);
        all.extend(ips.iter().filter(|ip| !all.contains(ip)).copied().collect::<Vec<_>>());
        self.note(uid, &all)
    }

    /// Forgets a pod's addresses. The lock is held.
    pub(super) fn give_back(&self, uid: &str, ips: &[IpAddr]) -> Result<()> {
        let mut left = self.claimed(uid);
        left.retain(|ip| !ips.contains(ip));
        self.note(uid, &left)
    }

    /// What a pod has noted.
    pub(super) fn claimed(&self, uid: &str) -> Vec<IpAddr> {
        let text = std::fs::read_to_string(self.run.join("pods").join(uid).join("addresses")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    fn note(&self, uid: &str, ips: &[IpAddr]) -> Result<()> {
        let text: String = ips.iter().map(|ip| format!("{ip}\n")).collect();
        let noted = std::fs::write(self.run.join("pods").join(uid).join("addresses"), text);
        noted.step("note a pod's addresses")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_begin_in_parts_of_their_own_and_give_them_back() {
        let dir = tempfile::tempdir().unwrap();
        let first = Part::take(dir.path());
        let second = Part::take(dir.path());
        assert_eq!((first.index, second.index), (0, 1));
        drop(first);
        assert_eq!(Part::take(dir.path()).index, 0);
        let all: Vec<_> = (0..PARTS).map(|_| Part::take(dir.path())).collect();
        assert_eq!(all.last().map(Part::address_part), Some(AddressPart { index: 0, count: PARTS }));
    }
}
