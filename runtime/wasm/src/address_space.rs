//! How much address space the engine may take: what machines with 39-bit addresses, a `ulimit -v` or little memory need.
//!
//! | | ample | small |
//! |---|---|---|
//! | a linear memory | 4 GiB reserved, guard pages before and behind it | as large as it is; bounds are checked in code |
//! | instances | a pool, mapped once | each maps its own |
//! | needs | about 16 TiB for the default pool, else 4.1 GiB per memory | what guests use, and 2 MiB of stack each |
//!
//! Code is compiled for one of the two: the cache keeps them apart. Where there is ample space, requests of HTTP that are
//! brief have a third layout ([`http`](crate::http)'s `brief`): reserved and pooled as in the first, with bounds checked in
//! code as in the second.

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
    /// Ample, without guard pages: what a memory grew to stays accessible when its place is used again, and no instance
    /// has the kernel change the protection of pages, which stops all threads.
    Checked,
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
    /// Bytes of addresses that a process has.
    addresses: Option<u64>,
    /// Bytes of memory.
    memory: Option<u64>,
}

impl Machine {
    /// What can be found out of this one: what cannot be is taken to be ample.
    fn this() -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let addresses =
            addresses_of_cpus(&read("/proc/cpuinfo")).or_else(|| addresses_of_maps(&read("/proc/self/maps")));
        let info = rustix::system::sysinfo();
        #[allow(clippy::useless_conversion, reason = "the field is narrower on 32-bit machines")]
        let memory = u64::from(info.totalram).checked_mul(u64::from(info.mem_unit));
        Self { limit: getrlimit(Resource::As).current, addresses, memory }
    }

    fn layout(self) -> Layout {
        let space = self.addresses.unwrap_or(u64::MAX).min(self.limit.unwrap_or(u64::MAX)).min(usize::MAX as u64);
        let is_little = self.memory.is_some_and(|bytes| bytes > 0 && bytes < LITTLE_MEMORY);
        if space < ENOUGH || is_little { Layout::Small } else { Layout::Ample }
    }
}

/// Bytes of addresses that a process has, as /proc/cpuinfo says it: `address sizes : 46 bits physical, 48 bits virtual` on
/// x86, `mmu : sv39` on RISC-V, nothing elsewhere. Half of what such addresses reach is the kernel's.
fn addresses_of_cpus(cpus: &str) -> Option<u64> {
    let bits = cpus.lines().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        let bits = match name.trim() {
            "address sizes" => value.split(',').find_map(|part| part.trim().strip_suffix(" bits virtual"))?,
            "mmu" => value.trim().strip_prefix("sv")?,
            _ => return None,
        };
        bits.parse().ok()
    });
    let bits: u32 = bits.filter(|bits| (1..=64).contains(bits)).min()?;
    Some(1 << (bits - 1))
}

/// The same by what is mapped: a process' stack is at the upper end of its addresses. On arm64 it depends on how the
/// kernel was built, and is said nowhere else.
fn addresses_of_maps(maps: &str) -> Option<u64> {
    let ends = maps.lines().filter_map(|line| {
        let (_, end) = line.split_whitespace().next()?.split_once('-')?;
        u64::from_str_radix(end, 16).ok()
    });
    // The kernel lends a page of its own on some machines: `[vsyscall]`.
    ends.filter(|end| *end <= 1 << 63).max()?.checked_next_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cpuinfo_says() {
        let x86 =
            "processor\t: 0\nvendor_id\t: X\naddress sizes\t: 46 bits physical, 48 bits virtual\n\nprocessor\t: 1\n";
        assert_eq!(addresses_of_cpus(x86), Some(1 << 47));
        assert_eq!(addresses_of_cpus("hart\t: 0\nisa\t: rv64imafdc\nmmu\t\t: sv39\n"), Some(1 << 38));
        assert_eq!(addresses_of_cpus("address sizes : 64 bits virtual"), Some(1 << 63));
        for unknown in ["", "CPU part\t: 0xd08", "mmu: none", "address sizes : 0 bits virtual", "mmu: sv999"] {
            assert_eq!(addresses_of_cpus(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn what_is_mapped_says_where_addresses_end() {
        let x86 = "55d0a2c00000-55d0a2c02000 r--p 00000000 fd:00 131 /usr/bin/nacelle\n\
                   7ffc8e1d3000-7ffc8e1f4000 rw-p 00000000 00:00 0 [stack]\n\
                   7ffc8e1fb000-7ffc8e1fd000 r-xp 00000000 00:00 0 [vdso]\n\
                   ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]\n";
        assert_eq!(addresses_of_maps(x86), Some(1 << 47));
        let arm_39 = "5567a00000-5567a20000 r-xp 00000000 b3:02 1042 /usr/bin/nacelle\n\
                      7fb1f2d000-7fb1f2e000 r-xp 00000000 00:00 0 [vdso]\n\
                      7fe41c9000-7fe41ea000 rw-p 00000000 00:00 0 [stack]\n";
        assert_eq!(addresses_of_maps(arm_39), Some(1 << 39));
        let arm_48 = "aaaad5c70000-aaaad5c90000 r-xp 00000000 fe:01 1042 /usr/bin/nacelle\n\
                      ffffa3b5d000-ffffa3b5e000 r-xp 00000000 00:00 0 [vdso]\n\
                      ffffe0e2a000-ffffe0e4b000 rw-p 00000000 00:00 0 [stack]\n";
        assert_eq!(addresses_of_maps(arm_48), Some(1 << 48));
        let riscv_39 = "2aaaaaa000-2aaaaac000 r-xp 00000000 b3:01 77 /usr/bin/nacelle\n\
                        3ff7fd5000-3ff7fd7000 r-xp 00000000 00:00 0 [vdso]\n\
                        3ffffde000-3ffffff000 rw-p 00000000 00:00 0 [stack]\n";
        assert_eq!(addresses_of_maps(riscv_39), Some(1 << 38));
        for unknown in ["", "no maps", "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]"] {
            assert_eq!(addresses_of_maps(unknown), None, "{unknown}");
        }
        let here = std::fs::read_to_string("/proc/self/maps").unwrap();
        let told = std::fs::read_to_string("/proc/cpuinfo").unwrap();
        if let Some(addresses) = addresses_of_cpus(&told) {
            // A kernel may give a process less than its machine could.
            assert!(addresses_of_maps(&here).is_some_and(|mapped| mapped <= addresses), "{here}");
        }
    }

    #[test]
    fn little_of_anything_is_small() {
        let server = Machine { limit: None, addresses: Some(1 << 47), memory: Some(8 << 30) };
        assert_eq!(server.layout(), Layout::Ample);
        let unknown = Machine { limit: None, addresses: None, memory: None };
        assert_eq!(unknown.layout(), Layout::Ample);
        for small in [
            Machine { limit: Some(64 << 30), ..server },
            Machine { addresses: Some(1 << 39), ..server },
            Machine { addresses: Some(1 << 38), ..server },
            Machine { addresses: Some(1), ..server },
            Machine { memory: Some(512 << 20), ..server },
        ] {
            assert_eq!(small.layout(), Layout::Small, "{small:?}");
        }
        assert_eq!(Machine { limit: Some(1 << 46), addresses: Some(1 << 63), ..server }.layout(), Layout::Ample);
    }
}
