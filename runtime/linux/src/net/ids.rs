//! Which ids of the host a pod's user namespace has: 65,536 that no other pod of the machine has.
//!
//! What a pod has is in a file of its network's directory, which is there for as long as the pod is, whoever runs it, and
//! is changed under the networks' lock. So nothing has to be remembered, and what a killed process took is free again once
//! its pods are swept away.

use std::io;
use std::path::Path;

use super::{Result, Shared, Step as _};
use crate::users::{IDS, IdBlock};

/// Users and their ranges of ids (subuid(5)), and groups'.
const RANGES: [&str; 2] = ["/etc/subuid", "/etc/subgid"];

/// Whose range it is that pods get theirs of, as the kubelet has it.
const USER: &str = "kubelet";

/// Where there is no such range: this many blocks from the first one.
const DEFAULT_BLOCKS: u32 = 1024;

impl Shared {
    /// Notes which ids the pod has: the first that are free. The lock is held.
    pub(super) fn claim_ids(&self, uid: &str) -> Result<IdBlock> {
        let (first, count) = range().step("choose ids for hostUsers: false")?;
        let pods = self.pods()?;
        let taken: Vec<_> = pods.iter().filter(|other| *other != uid).filter_map(|other| self.ids_of(other)).collect();
        let mut blocks = (0..count).filter_map(|index| IdBlock::at(first.checked_add(index.checked_mul(IDS)?)?));
        let block = blocks.find(|block| !taken.contains(block));
        let why =
            format!("all {count} blocks of {IDS} ids are taken: give the user {USER} more in {}", RANGES.join(" and "));
        let block = block.ok_or_else(|| io::Error::new(io::ErrorKind::QuotaExceeded, why));
        let block = block.step("choose ids for hostUsers: false")?;
        let noted = std::fs::write(self.ids_file(uid), block.first().to_string());
        noted.step("note which ids a pod has").map(|()| block)
    }

    /// Which ids a pod has noted, if it has ids of its own.
    pub(super) fn ids_of(&self, uid: &str) -> Option<IdBlock> {
        IdBlock::at(std::fs::read_to_string(self.ids_file(uid)).ok()?.trim().parse().ok()?)
    }

    fn ids_file(&self, uid: &str) -> std::path::PathBuf {
        self.run.join("pods").join(uid).join("ids")
    }
}

/// The first id, and how many blocks there are.
fn range() -> io::Result<(u32, u32)> {
    let [uids, gids] = RANGES.map(|path| std::fs::read_to_string(Path::new(path)).unwrap_or_default());
    match (configured(&uids), configured(&gids)) {
        (None, None) => Ok((IDS, DEFAULT_BLOCKS)),
        (uids, gids) if uids != gids => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("the user {USER} must have the same ids in {}", RANGES.join(" and ")),
        )),
        (Some((first, count)), _)
            if first >= IDS && first.is_multiple_of(IDS) && count >= IDS && count.is_multiple_of(IDS) =>
        {
            Ok((first, count / IDS))
        }
        (range, _) => {
            let (first, count) = range.unwrap_or_default();
            let why = format!(
                "the user {USER} has {count} ids from {first} in {}: both must be multiples of {IDS}",
                RANGES.join(" and ")
            );
            Err(io::Error::new(io::ErrorKind::InvalidData, why))
        }
    }
}

/// The range of pods in a file of ranges.
fn configured(text: &str) -> Option<(u32, u32)> {
    text.lines().find_map(|line| {
        let mut fields = line.trim().split(':');
        (fields.next()? == USER).then_some(())?;
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_kubelet_has_them() {
        assert_eq!(configured("user:100000:65536\nkubelet:131072:7208960\n"), Some((131_072, 7_208_960)));
        assert_eq!(configured("user:100000:65536\nkubelet:x:1\n"), None);
        assert_eq!(configured(""), None);
    }
}
