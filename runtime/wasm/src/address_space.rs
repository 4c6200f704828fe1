//! How much address space the engine may take: what machines with 39-bit or 32-bit addresses, a `ulimit -v` or little
//! memory need.
//!
//! | | ample | small |
//! |---|---|---|
//! | a linear memory | 4 GiB reserved, guard pages before and behind it | as large as it is; bounds are checked in code |
//! | instances | a pool, mapped once | each maps its own |
//! | needs | about 16 TiB for the default pool, else 4.1 GiB per memory | what guests use, and 2 MiB of stack each |
//!
//! Code is compiled for one of the two: the cache keeps them apart.

use std::path::Path;

use rustix::process::{Resource, getrlimit};

/// How much address space the engine may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddressSpace {
    /// [`AddressSpace::Ample`] where the machine and the process's limits give enough, else [`AddressSpace::Small`].
    #[default]
    Detect,
    /// Reservations and guard pages: the fastest code, and the fastest start.
    Ample,
    /// None of them.
    Small,
}

/// The layout that code is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    Ample,
    Small,
}

impl Layout {
    /// What the setting means on this machine.
    pub(crate) fn of(setting: AddressSpace) -> Self {
        match setting {
            AddressSpace::Ample => Self::Ample,
            AddressSpace::Small => Self::Small,
            AddressSpace::Detect => Machine::this().layout(),
        }
    }
}

/// Address space below which there is no use in reservations of 4 GiB: 256 of them.
const ENOUGH: u64 = 1 << 40;
/// Memory below which what a pool keeps for each of its places is too much, in bytes.
const LITTLE_MEMORY: u64 = 1 << 30;

/// What decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Machine {
    /// `ulimit -v` in bytes.
    limit: Option<u64>,
    /// Bits of a virtual address, the kernel's half included.
    address_bits: Option<u32>,
    /// Bytes of memory.
    memory: Option<u64>,
}

impl Machine {
    /// What can be found out of this one: what cannot be is taken to be ample.
    fn this() -> Self {
        let cpus = std::fs::read_to_string(Path::new("/proc/cpuinfo")).unwrap_or_default();
        let info = rustix::system::sysinfo();
        #[allow(clippy::useless_conversion, reason = "the field is narrower on 32-bit machines")]
        let memory = u64::from(info.totalram).checked_mul(u64::from(info.mem_unit));
        Self { limit: getrlimit(Resource::As).current, address_bits: address_bits(&cpus), memory }
    }

    fn layout(self) -> Layout {
        // A process has half of the addresses.
        let addresses = self.address_bits.map_or(u64::MAX, |bits| 1_u64.checked_shl(bits - 1).unwrap_or(u64::MAX));
        let space = addresses.min(self.limit.unwrap_or(u64::MAX)).min(usize::MAX as u64);
        let is_little = self.memory.is_some_and(|bytes| bytes > 0 && bytes < LITTLE_MEMORY);
        if space < ENOUGH || is_little { Layout::Small } else { Layout::Ample }
    }
}

/// What /proc/cpuinfo says about addresses: `address sizes : 46 bits physical, 48 bits virtual` on x86, `mmu : sv39` on
/// RISC-V, nothing elsewhere.
fn address_bits(cpus: &str) -> Option<u32> {
    let bits = cpus.lines().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        let bits = match name.trim() {
            "address sizes" => value.split(',').find_map(|part| part.trim().strip_suffix(" bits virtual"))?,
            "mmu" => value.trim().strip_prefix("sv")?,
            _ => return None,
        };
        bits.parse().ok()
    });
    bits.filter(|bits| (1..=64).contains(bits)).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cpuinfo_says() {
        let x86 =
            "processor\t: 0\nvendor_id\t: X\naddress sizes\t: 46 bits physical, 48 bits virtual\n\nprocessor\t: 1\n";
        assert_eq!(address_bits(x86), Some(48));
        assert_eq!(address_bits("hart\t: 0\nisa\t: rv64imafdc\nmmu\t\t: sv39\n"), Some(39));
        for unknown in ["", "CPU part\t: 0xd08", "mmu: none", "address sizes : 0 bits virtual", "mmu: sv999"] {
            assert_eq!(address_bits(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn little_of_anything_is_small() {
        let server = Machine { limit: None, address_bits: Some(48), memory: Some(8 << 30) };
        assert_eq!(server.layout(), Layout::Ample);
        let unknown = Machine { limit: None, address_bits: None, memory: None };
        assert_eq!(unknown.layout(), Layout::Ample);
        for small in [
            Machine { limit: Some(64 << 30), ..server },
            Machine { address_bits: Some(39), ..server },
            Machine { address_bits: Some(32), ..server },
            Machine { address_bits: Some(1), ..server },
            Machine { memory: Some(512 << 20), ..server },
        ] {
            assert_eq!(small.layout(), Layout::Small, "{small:?}");
        }
        assert_eq!(Machine { limit: Some(1 << 46), address_bits: Some(64), ..server }.layout(), Layout::Ample);
    }
}
