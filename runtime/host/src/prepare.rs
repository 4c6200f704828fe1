//! From a request to what a backend needs: files, network, program, log. Blocks on file I/O.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nacelle_container::log::{LogConfig, LogWriter};
use nacelle_container::{ContainerConfig, Cpu, LinuxPodOptions, Program};
use nacelle_infra::fs::DiskUsage;
use nacelle_infra::{FsConfig, FsError, Incarnation, Infra, MountConfig, normalize_path};

use crate::linux;
use crate::program::{self, Digests, ProgramError};
use crate::{ContainerRequest, ImageSource, StartError};

/// A container that only needs its backend.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) config: ContainerConfig,
    pub(crate) infra: Incarnation,
    pub(crate) log: LogWriter,
}

/// What all containers of a pod are told.
#[derive(Clone, Debug)]
pub(crate) struct PodShare {
    /// What they may use together.
    pub(crate) cpu: Cpu,
    /// What those share that are Linux programs.
    pub(crate) linux: LinuxPodOptions,
}

/// Prepares a container. Nothing is left behind when that fails.
pub(crate) fn prepare(
    pod: &Infra,
    request: ContainerRequest,
    shared: PodShare,
    log: LogConfig,
    digests: &Digests,
) -> Result<Prepared, StartError> {
    if request.argv.is_empty() {
        return Err(StartError::config("the container has no command: argv is empty"));
    }
    let working_dir = match request.working_dir.as_str() {
        "" => "/".to_owned(),
        path if path.starts_with('/') => normalize_path(path),
        path => return Err(StartError::config(format!("workingDir {path:?} must be an absolute path"))),
    };
    let fs = fs_config(&request, &working_dir);
    let infra = pod.container(&fs).map_err(|error| match error {
        FsError::Mount { .. } | FsError::Namespace(_) => StartError::config(error),
        FsError::Dirs(_) | FsError::Root(_) => StartError::create(error),
    })?;
    let env = without_duplicates(&request.env);
    let program = match &request.image {
        ImageSource::Linux { layers, .. } => linux::program(pod, &shared.linux, &infra, &request, &fs, layers),
        _ => find_program(&infra, &request, &working_dir, &env, digests),
    };
    let rest = program.and_then(|program| Ok((program, open_log(pod, &request, log, &infra.logs)?)));
    let (program, log) = match rest {
        Ok(rest) => rest,
        Err(error) => {
            discard(infra);
            return Err(error);
        }
    };
    let config = ContainerConfig {
        id: request.id,
        program,
        argv: request.argv,
        env,
        working_dir,
        resources: request.resources,
        pod_cpu: shared.cpu,
        stdin: request.stdin,
        http: request.http,
        hostname: pod.hostname().to_owned(),
        stop_signal: request.stop_signal,
    };
    Ok(Prepared { config, infra, log })
}

/// Ends the sockets and removes the files of a container that is not, or no longer, there.
pub(crate) fn discard(infra: Incarnation) {
    if let Err(error) = infra.remove() {
        tracing::warn!(%error, "cannot remove a container's files: they go with its pod");
    }
}

fn fs_config(request: &ContainerRequest, working_dir: &str) -> FsConfig {
    let mount = |mount: &crate::VolumeMount| MountConfig {
        volume: mount.volume.clone(),
        path: mount.path.clone(),
        sub_path: mount.sub_path.clone(),
        read_only: mount.read_only,
        recursive_read_only: mount.recursive_read_only,
        propagation: mount.propagation,
    };
    FsConfig {
        container: request.id.name.clone(),
        attempt: request.id.attempt,
        image: match &request.image {
            ImageSource::Component { .. } | ImageSource::Linux { .. } => None,
            ImageSource::RootFs { dir, .. } => Some(dir.clone()),
        },
        read_only_root: request.read_only_root,
        working_dir: working_dir.to_owned(),
        mounts: request.mounts.iter().map(mount).collect(),
        termination_log: request.termination_log.clone(),
        ephemeral_storage_limit: request.ephemeral_storage_limit,
    }
}

fn dir_name(request: &ContainerRequest) -> String {
    format!("{}-{}", request.id.name, request.id.attempt)
}

fn find_program(
    infra: &Incarnation,
    request: &ContainerRequest,
    working_dir: &str,
    env: &[(String, String)],
    digests: &Digests,
) -> Result<Program, StartError> {
    let image = match &request.image {
        ImageSource::Component { path, digest } => {
            return Ok(Program::Wasm { path: path.clone(), digest: digest.clone() });
        }
        ImageSource::RootFs { digest, .. } | ImageSource::Linux { digest, .. } => digest,
    };
    let name = request.argv.first().map_or("", String::as_str);
    program::find(infra, name, working_dir, env, image, digests).map_err(|error| match error {
        ProgramError::NotInPath(_) | ProgramError::Open { .. } => StartError::run(error),
        _ => StartError::create(error),
    })
}

fn open_log(
    pod: &Infra,
    request: &ContainerRequest,
    config: LogConfig,
    usage: &Arc<DiskUsage>,
) -> Result<LogWriter, StartError> {
    // What the former incarnations' logs take is counted again; this one's counts itself.
    usage.release(usage.used());
    let path: PathBuf = match &request.log_path {
        Some(path) => path.clone(),
        None => {
            let dir = pod.make_dir(&["logs"]).map_err(StartError::create)?;
            match remove_old_logs(&dir, &request.id.name, request.id.attempt) {
                Ok(left) => usage.count(left),
                Err(error) => tracing::warn!(container = %request.id, %error, "old logs stay until the pod goes"),
            }
            dir.join(format!("{}.log", dir_name(request)))
        }
    };
    Ok(LogWriter::open(&path, config).map_err(StartError::create)?.counted(Arc::clone(usage)))
}

/// Removes the logs of a container's former incarnations but the last one that wrote anything, as the kubelet does: a
/// crash loop does not fill the disk. A log may have several files. Returns the bytes of those that are left.
fn remove_old_logs(dir: &Path, container: &str, attempt: u32) -> io::Result<u64> {
    let mut old = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let rest = name.to_str().and_then(|name| name.strip_prefix(container)?.strip_prefix('-'));
        let number = rest.and_then(|rest| rest.split_once(".log")?.0.parse::<u32>().ok());
        if let Some(number) = number.filter(|number| *number < attempt) {
            old.push((number, entry.metadata()?.len(), entry.path()));
        }
    }
    let last = old.iter().filter(|(_, size, _)| *size > 0).map(|(number, ..)| *number).max();
    let mut left = 0_u64;
    for (number, size, path) in old {
        if Some(number) == last {
            left = left.saturating_add(size);
        } else {
            std::fs::remove_file(path)?;
        }
    }
    Ok(left)
}

/// The last value of each name, in the place of its first.
fn without_duplicates(env: &[(String, String)]) -> Vec<(String, String)> {
    let mut places = std::collections::HashMap::new();
    let mut result: Vec<(String, String)> = Vec::with_capacity(env.len());
    for (name, value) in env {
        let place = *places.entry(name.as_str()).or_insert(result.len());
        match result.get_mut(place) {
            Some(known) => known.1.clone_from(value),
            None => result.push((name.clone(), value.clone())),
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_log_that_says_anything_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let names =
            ["app-0.log", "app-1.log", "app-1.log.20260101-000000", "app-2.log", "app-1-0.log", "ap-0.log", "x"];
        for name in names {
            let content = if name == "app-2.log" { "" } else { "line" };
            std::fs::write(dir.path().join(name), content).unwrap();
        }
        assert_eq!(remove_old_logs(dir.path(), "app", 3).unwrap(), 8);
        let left: Vec<_> = names.into_iter().filter(|name| dir.path().join(name).exists()).collect();
        assert_eq!(left, ["app-1.log", "app-1.log.20260101-000000", "app-1-0.log", "ap-0.log", "x"]);
    }

    #[test]
    fn a_later_variable_replaces_an_earlier_one_in_its_place() {
        let env = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let result = without_duplicates(&env(&[("A", "1"), ("B", "2"), ("A", "3"), ("C", "4"), ("B", "5")]));
        assert_eq!(result, env(&[("A", "3"), ("B", "5"), ("C", "4")]));
    }
}
