//! The profile `RuntimeDefault`. No I/O.
//!
//! What Docker's and containerd's default profiles keep from containers, and why, is documented at
//! <https://docs.docker.com/engine/security/seccomp/>. The same is kept from them here: a call is allowed that is neither
//! [forbidden](FORBIDDEN) nor [the privilege of a capability](PRIVILEGED) that the container does not have. A call that
//! the table of system calls does not know is refused. The tests pin the list that results.
//!
//! Programs of another architecture than the machine's own are killed: there is no filter for them.

use syscalls::Sysno;

use super::{Action, Argument, Op, Profile, Rule};
use crate::spec::Capabilities;

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// Flags of clone(2) that make namespaces.
const NEW_NAMESPACES: u64 = 0x7E02_0000;
/// The address family of virtual machines' sockets: it has no namespaces.
const AF_VSOCK: u64 = 40;
/// What personality(2) may be asked for: Linux, Linux with 32-bit addresses, UNAME26 of either, and what it is.
const PERSONALITIES: [u64; 5] = [0x0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// Calls that no container needs: obsolete, not bound by namespaces, or a history of holes.
const FORBIDDEN: [&str; 20] = [
    // Keys of the kernel's key ring belong to no namespace.
    "add_key",
    "keyctl",
    "request_key",
    // Another kernel.
    "kexec_file_load",
    "kexec_load",
    // Swap is the machine's.
    "swapoff",
    "swapon",
    // Too large a surface, and a filter does not see what is done through it.
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "userfaultfd",
    // Memory of other programs and of nodes.
    "migrate_pages",
    "move_pages",
    // Its root filesystem is the runtime's.
    "pivot_root",
    // Obsolete.
    "nfsservctl",
    "vserver",
    "tuxcall",
    "security",
    "getpmsg",
    "putpmsg",
];

/// Calls that only make sense with one of some capabilities.
const PRIVILEGED: &[(&[&str], &[&str])] = &[
    (&["CAP_DAC_READ_SEARCH"], &["open_by_handle_at"]),
    (
        &["CAP_SYS_ADMIN"],
        &[
            "fanotify_init",
            "fsconfig",
            "fsmount",
            "fsopen",
            "fspick",
            "mount",
            "mount_setattr",
            "move_mount",
            "open_tree",
            "quotactl",
            "quotactl_fd",
            "setdomainname",
            "sethostname",
            "setns",
            "umount2",
            "unshare",
        ],
    ),
    (&["CAP_SYS_ADMIN", "CAP_BPF"], &["bpf"]),
    (&["CAP_SYS_ADMIN", "CAP_PERFMON"], &["perf_event_open"]),
    (&["CAP_SYS_ADMIN", "CAP_SYSLOG"], &["syslog"]),
    (&["CAP_SYS_BOOT"], &["reboot"]),
    (&["CAP_SYS_CHROOT"], &["chroot"]),
    (&["CAP_SYS_MODULE"], &["delete_module", "finit_module", "init_module"]),
    (&["CAP_SYS_NICE"], &["get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node"]),
    (&["CAP_SYS_PACCT"], &["acct"]),
    (&["CAP_SYS_PTRACE"], &["kcmp", "pidfd_getfd", "process_madvise", "process_vm_readv", "process_vm_writev"]),
    (&["CAP_SYS_TIME"], &["clock_settime", "clock_adjtime", "settimeofday", "adjtimex"]),
    (&["CAP_SYS_TTY_CONFIG"], &["vhangup"]),
    (&["CAP_SYS_RAWIO"], &["ioperm", "iopl"]),
    (&["CAP_SYS_ADMIN"], &["sysfs", "ustat", "_sysctl", "uselib"]),
    (&["CAP_SYS_MODULE"], &["create_module", "query_module", "get_kernel_syms"]),
    (&["CAP_SYS_ADMIN"], &["lookup_dcookie"]),
];

/// The profile for a container with these capabilities.
pub(super) fn profile(capabilities: &Capabilities) -> Profile {
    let any = |names: &[&str]| names.iter().any(|name| capabilities.has(name));
    let refused: Vec<&str> =
        PRIVILEGED.iter().filter(|(needed, _)| !any(needed)).flat_map(|(_, calls)| calls.iter().copied()).collect();
    let mut rules = Vec::new();
    for call in Sysno::iter().filter(|call| !FORBIDDEN.contains(&call.name()) && !refused.contains(&call.name())) {
        rules.extend(rules_for(call, capabilities));
    }
    Profile { default: Action::Errno(EPERM), rules }
}

/// What is allowed of a call that is not refused as a whole.
fn rules_for(call: Sysno, capabilities: &Capabilities) -> Vec<Rule> {
    let allow = |op, value| Rule { call, arguments: vec![Argument { index: 0, op, value }], action: Action::Allow };
    match call {
        Sysno::clone if !capabilities.has("CAP_SYS_ADMIN") => vec![allow(Op::Masked(NEW_NAMESPACES), 0)],
        // Its flags are in memory, where no filter sees them. Programs then fall back to clone(2).
        Sysno::clone3 if !capabilities.has("CAP_SYS_ADMIN") => {
            vec![Rule { call, arguments: Vec::new(), action: Action::Errno(ENOSYS) }]
        }
        Sysno::personality => PERSONALITIES.iter().map(|value| allow(Op::Eq, *value)).collect(),
        Sysno::socket => vec![allow(Op::Ne, AF_VSOCK)],
        _ => vec![Rule { call, arguments: Vec::new(), action: Action::Allow }],
    }
}
