//! What a Linux program needs of its pod, from a request.

use std::path::{Path, PathBuf};

use nacelle_container::{LinuxFiles, LinuxPod, LinuxPodOptions, LinuxProgram, NetworkNamespace, Program};
use nacelle_infra::network::KernelNamespace;
use nacelle_infra::{FsConfig, Incarnation, Infra};

use crate::{ContainerRequest, StartError};

/// The directory of a pod, below the pod's own, in which the Linux backend keeps what it needs.
const DIR: &str = "linux";

/// Where the Linux backend keeps what belongs to the pod with this directory.
pub(crate) fn dir(pod: &Path) -> PathBuf {
    pod.join(DIR)
}

/// The program of a container whose image is for Linux. Blocks on file I/O.
pub(crate) fn program(
    pod: &Infra,
    options: &LinuxPodOptions,
    own: &Incarnation,
    request: &ContainerRequest,
    fs: &FsConfig,
    layers: &[PathBuf],
) -> Result<Program, StartError> {
    let mounts = pod.host_mounts(fs, own).map_err(StartError::config)?;
    let scratch = own.home().join("rootfs");
    std::fs::create_dir(&scratch).map_err(StartError::create)?;
    let files = LinuxFiles { layers: layers.to_vec(), scratch, read_only_root: request.read_only_root, mounts };
    let shared = LinuxPod {
        dir: pod.make_dir(&[DIR]).map_err(StartError::create)?,
        network: match pod.network().kernel_namespace().map_err(StartError::create)? {
            KernelNamespace::Host => NetworkNamespace::Host,
            KernelNamespace::Path(path) => NetworkNamespace::Path(path),
            KernelNamespace::None => NetworkNamespace::Isolated,
        },
        options: options.clone(),
        memory: pod.memory().limit(),
    };
    Ok(Program::Linux(Box::new(LinuxProgram { files, pod: shared, options: request.linux.clone() })))
}
