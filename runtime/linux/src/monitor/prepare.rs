//! What a container's mounts are made from, before its specification is: found, held and translated.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use nacelle_container::{LinuxProgram, Propagation, UserNamespace};

use super::containers::other;
use super::pod::Pod;
use super::staging;
use crate::protocol::Failure;
use crate::rootfs::mapped::{self, Access};
use crate::user::Ids;
use crate::users::{IDS, Users};
use crate::volumes;
use crate::{rootless, se_linux};

/// Where volumes are mounted that are shared both ways, in a container's own directory.
const SHARED: &str = "shared";

/// Makes a container's mounts what is to be mounted into it. `host`: the host's mounts, where they may be entered.
pub(super) fn volumes(
    host: Option<&File>,
    users: Option<&Users>,
    key: &str,
    program: &mut LinuxProgram,
) -> Result<(), Failure> {
    if let Some(host) = host {
        share_volumes(host, program)?;
    }
    pin_sub_paths(program)?;
    users.map_or(Ok(()), |users| translate_volumes(users, key, program))
}

/// Labels the pod's own volumes for a container, and the memory and the message queues that its containers share, which it
/// gives. What is the host's keeps its label, as in Kubernetes.
pub(super) fn label(pod: &Pod, program: &LinuxProgram, label: &str) -> io::Result<PathBuf> {
    let own = pod.setup.pod.dir.parent().unwrap_or(&pod.setup.pod.dir);
    let volumes = program.files.mounts.iter().map(|mount| &mount.source).filter(|source| source.starts_with(own));
    let queues = pod.message_queues()?;
    let shared = [&pod.shared_memory, &queues].into_iter().filter(|_| !pod.setup.pod.options.host_ipc);
    volumes.chain(shared).try_for_each(|path| se_linux::label_files(path, label))?;
    Ok(queues)
}

/// What a container has mounted for others stays theirs when its own directory is unmounted.
pub(super) fn keep_shared(scratch: &Path) -> io::Result<()> {
    volumes::keep_shared(&scratch.join(SHARED))
}

/// Takes volumes out of the host's own mounts from which a container's mounts are to get out: the monitor's mounts only
/// follow those.
fn share_volumes(host: &File, program: &mut LinuxProgram) -> Result<(), Failure> {
    // Others are refused when the specification is made.
    if !program.options.security.privileged || program.pod.options.users == UserNamespace::Pod {
        return Ok(());
    }
    let staging = program.files.scratch.join(SHARED);
    for (index, mount) in program.files.mounts.iter_mut().enumerate() {
        if mount.propagation != Propagation::Bidirectional {
            continue;
        }
        fs::create_dir_all(&staging).map_err(other("make a directory"))?;
        let sub_path = mount.sub_path.take();
        mount.source = volumes::share(host, &mount.source, sub_path.as_deref(), &staging, &index.to_string())
            .map_err(|error| Failure::Config(format!("volumeMounts[].mountPropagation: {}: {error}", mount.target)))?;
    }
    Ok(())
}

/// Holds what a `subPath` names before it is mounted: a container could put something else there meanwhile.
fn pin_sub_paths(program: &mut LinuxProgram) -> Result<(), Failure> {
    let staging = program.files.scratch.join("sub");
    for (index, mount) in program.files.mounts.iter_mut().enumerate() {
        let Some(sub_path) = mount.sub_path.take() else { continue };
        fs::create_dir_all(&staging).map_err(other("make a directory"))?;
        mount.source = volumes::pin(&mount.source, &sub_path, &staging, &index.to_string())
            .map_err(|error| Failure::Config(format!("volumeMounts[].subPath: {sub_path:?}: {error}")))?;
    }
    Ok(())
}

/// Mounts volumes with the pod's ids, where whoever mounts them into the container finds them.
fn translate_volumes(users: &Users, key: &str, program: &mut LinuxProgram) -> Result<(), Failure> {
    for (index, mount) in program.files.mounts.iter_mut().enumerate() {
        let target = staging::of(key).join(format!("volume-{index}"));
        let access = match (mount.read_only, mount.recursive_read_only) {
            (false, _) => Access::Writable,
            (true, false) => Access::ReadOnly,
            (true, true) => Access::RecursivelyReadOnly,
        };
        mapped::mount(&mount.source, users.namespace().as_fd(), &target, access).map_err(|error| {
            let what = format!("volumeMounts[].mountPath: {}: {error}", mount.target);
            if error.kind() == io::ErrorKind::Unsupported { Failure::Config(what) } else { Failure::Other(what) }
        })?;
        // It is so already, and the container cannot change it: the mount is of a namespace above its own.
        (mount.read_only, mount.recursive_read_only) = (false, false);
        mount.source = target;
    }
    Ok(())
}

/// Refuses ids that this user does not have.
pub(super) fn check_own_ids(ids: &Ids) -> Result<(), Failure> {
    let count = rootless::ids_here();
    let mut all = [ids.uid, ids.gid].into_iter().chain(ids.groups.iter().copied());
    all.find(|id| *id >= count).map_or(Ok(()), |id| {
        Err(Failure::Config(format!(
            "this container is to run with the id {id} (runAsUser, runAsGroup, supplementalGroups, fsGroup or the image's \
             user), and without root containers have the ids 0 to {}: give this user more in /etc/subuid and /etc/subgid",
            count.saturating_sub(1)
        )))
    })
}

/// Refuses ids that a pod with ids of its own does not have.
pub(super) fn check_ids(ids: &Ids) -> Result<(), Failure> {
    let mut all = [ids.uid, ids.gid].into_iter().chain(ids.groups.iter().copied());
    all.find(|id| *id >= IDS).map_or(Ok(()), |id| {
        Err(Failure::Config(format!(
            "spec.hostUsers: false gives a pod the ids 0 to {}, and this container is to run with {id} (runAsUser, \
             runAsGroup, supplementalGroups, fsGroup or the image's user)",
            IDS - 1
        )))
    })
}
