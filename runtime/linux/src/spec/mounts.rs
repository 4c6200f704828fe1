//! What is mounted into a container, in the order in which it is. No I/O.

use std::path::Path;

use nacelle_container::{HostMount, NetworkNamespace, Propagation};
use serde_json::{Value, json};

use super::{Ground, SpecError};

/// The group `tty` on practically all distributions, and containerd's choice for terminals.
const TTY_GROUP: &str = "gid=5";

/// The kernel's file systems first, then the pod's own files.
pub(super) fn all(ground: &Ground<'_>) -> Result<Vec<Value>, SpecError> {
    let program = ground.program;
    // /sys shows devices of the network namespace: the host's must not be changed, nor any by who is not privileged.
    let writable = if program.options.security.privileged { "rw" } else { "ro" };
    let mut mounts = vec![
        special("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        special("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        special(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", TTY_GROUP],
        ),
        match ground.message_queues {
            Some(path) => bind(path, "/dev/mqueue", &["rbind", "rprivate", "rw", "nosuid", "noexec", "nodev"]),
            None => special("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        },
        sys(ground, writable),
        special("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", writable]),
    ];
    if !program.files.mounts.iter().any(|mount| mount.target == "/dev/shm") {
        mounts.push(bind(ground.shared_memory, "/dev/shm", &["rbind", "rprivate", "rw", "nosuid", "noexec", "nodev"]));
    }
    for mount in &program.files.mounts {
        mounts.push(volume(ground, mount)?);
    }
    Ok(mounts)
}

fn special(target: &str, kind: &str, source: &str, options: &[&str]) -> Value {
    json!({ "destination": target, "type": kind, "source": source, "options": options })
}

fn bind(source: &Path, target: &str, options: &[&str]) -> Value {
    json!({ "destination": target, "type": "bind", "source": source, "options": options })
}

/// /sys: the kernel lets nobody mount one for a network that is another user namespace's.
fn sys(ground: &Ground<'_>, writable: &str) -> Value {
    let plain = ["nosuid", "noexec", "nodev", writable];
    if ground.machine.is_rootless && ground.program.pod.network == NetworkNamespace::Host {
        return bind(Path::new("/sys"), "/sys", &["rbind", "rslave", "nosuid", "noexec", "nodev", "ro"]);
    }
    special("/sys", "sysfs", "sysfs", &plain)
}

/// Whether what a container mounts gets out of it at some place.
pub(super) fn is_any_bidirectional(ground: &Ground<'_>) -> bool {
    ground.program.files.mounts.iter().any(|mount| mount.propagation == Propagation::Bidirectional)
}

fn volume(ground: &Ground<'_>, mount: &HostMount) -> Result<Value, SpecError> {
    let propagation = match mount.propagation {
        Propagation::Private => "rprivate",
        Propagation::HostToContainer => "rslave",
        Propagation::Bidirectional if !ground.program.options.security.privileged => {
            return Err(SpecError::NotPrivileged);
        }
        Propagation::Bidirectional if ground.machine.is_rootless => return Err(SpecError::Rootless),
        Propagation::Bidirectional if ground.user_namespace.is_some() => return Err(SpecError::NoWayOut),
        Propagation::Bidirectional => "rshared",
    };
    let access = match (mount.read_only, mount.recursive_read_only) {
        (false, _) => "rw",
        (true, false) => "ro",
        (true, true) => "rro",
    };
    Ok(bind(&mount.source, &mount.target, &["rbind", propagation, access]))
}
