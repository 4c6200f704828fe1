//! From a container's configuration to an OCI runtime specification. Pure: what the machine has is in [`Machine`], what
//! the image's files say is resolved already.
//!
//! The result is what containerd's CRI plugin makes of the same manifest, but for the namespaces that a pod shares: the
//! monitor is in them itself, and its containers inherit them.

mod capabilities;
mod mounts;

use std::path::{Path, PathBuf};

use nacelle_container::{ContainerConfig, LinuxProgram, ProcessNamespace, Security, SecurityProfile};
use serde_json::{Value, json};

pub(crate) use self::capabilities::Capabilities;
use crate::cgroup::{Version, limits};
use crate::se_linux::{Labels, Policy};
use crate::user::Ids;

/// The environment's `PATH` where neither image nor manifest has one: containerd's.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Hidden from containers that are not privileged: containerd's list.
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/scsi",
    "/proc/sched_debug",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Not writable for containers that are not privileged: containerd's list.
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// What the machine has, as far as it matters to a specification.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) cgroups: Version,
    /// The monitor is in a user namespace of its user's, who is not root.
    pub(crate) is_rootless: bool,
    /// The capabilities that the monitor has: nobody gets another.
    pub(crate) capabilities: Vec<String>,
    /// AppArmor is on.
    pub(crate) app_armor: bool,
    /// The policy of SELinux, if it is on.
    pub(crate) se_linux: Option<Policy>,
    /// The device files below /dev, for privileged containers.
    pub(crate) devices: Vec<Device>,
}

/// A device file of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) path: PathBuf,
    /// `c` or `b`.
    pub(crate) kind: char,
    pub(crate) major: u32,
    pub(crate) minor: u32,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// What is known of a container when its specification is made.
#[derive(Clone, Debug)]
pub(crate) struct Ground<'a> {
    pub(crate) config: &'a ContainerConfig,
    pub(crate) program: &'a LinuxProgram,
    pub(crate) ids: &'a Ids,
    pub(crate) machine: &'a Machine,
    /// Where its root filesystem is mounted.
    pub(crate) root: &'a Path,
    /// The pod's shared memory, for /dev/shm.
    pub(crate) shared_memory: &'a Path,
    /// The pod's message queues, for /dev/mqueue, where they cannot be mounted anew.
    pub(crate) message_queues: Option<&'a Path>,
    /// The namespace of processes that it shares with others; `None` for one of its own.
    pub(crate) pid_namespace: Option<String>,
    /// Its user namespace; `None` for the host's.
    pub(crate) user_namespace: Option<String>,
    /// As an OCI spec names control groups.
    pub(crate) cgroup: String,
}

/// A manifest asks for what cannot be had here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SpecError {
    #[error("securityContext.capabilities: there is no capability {0:?}")]
    UnknownCapability(String),
    #[error("securityContext.capabilities.add: this node's runtime does not have {0} itself")]
    MissingCapability(String),
    #[error("securityContext.appArmorProfile: this node has no AppArmor: leave the field out, or use Unconfined")]
    NoAppArmor,
    #[error("securityContext.seLinuxOptions: this node has no SELinux that containers could be labelled for")]
    NoSeLinux,
    #[error("securityContext.seLinuxOptions: labels take root")]
    RootlessLabels,
    #[error(
        "volumeMounts[].mountPropagation: Bidirectional mount propagation is available only to privileged containers"
    )]
    NotPrivileged,
    #[error(
        "volumeMounts[].mountPropagation: Bidirectional does not go with hostUsers: false: the kernel lets no mount out \
         of a user namespace"
    )]
    NoWayOut,
    #[error(
        "volumeMounts[].mountPropagation: Bidirectional takes root: the kernel lets no mount out of a user namespace"
    )]
    Rootless,
    #[error(
        "resources.limits[nacelle.dev/fuel]: fuel is what WebAssembly guests execute, and nothing counts the instructions \
         of a Linux program: leave it out, or limit cpu"
    )]
    Fuel,
}

/// The specification of a container.
pub(crate) fn build(ground: &Ground<'_>) -> Result<Value, SpecError> {
    let Ground { config, program, machine, root, .. } = *ground;
    let security = &program.options.security;
    if config.resources.fuel.is_some() {
        return Err(SpecError::Fuel);
    }
    let mut spec = json!({
        "ociVersion": "1.0.2",
        "process": process(ground, &config.argv, program.options.terminal)?,
        "root": { "path": root, "readonly": program.files.read_only_root },
        "mounts": mounts::all(ground)?,
        "linux": {
            "namespaces": namespaces(ground),
            "cgroupsPath": ground.cgroup,
            // Mounts of the host come in where a volume asks for it, and get out where one is bidirectional.
            "rootfsPropagation": if mounts::is_any_bidirectional(ground) { "shared" } else { "slave" },
            "resources": resources(ground),
            "devices": devices(security.privileged, machine),
            "maskedPaths": if security.privileged || security.unmasked_proc { &[][..] } else { &MASKED[..] },
            "readonlyPaths": if security.privileged || security.unmasked_proc { &[][..] } else { &READ_ONLY[..] },
        },
    });
    if let (Some(labels), Some(linux)) = (labels(machine, security, config.id.pod.as_str())?, spec.get_mut("linux")) {
        // Of the file systems that libcontainer mounts. Others, and the process, it does not label.
        linux["mountLabel"] = labels.files.into();
    }
    Ok(spec)
}

/// SELinux' labels of a container, if its manifest asks for them.
pub(crate) fn labels(machine: &Machine, security: &Security, uid: &str) -> Result<Option<Labels>, SpecError> {
    match (&security.se_linux, &machine.se_linux) {
        (None, _) => Ok(None),
        (Some(_), None) => Err(SpecError::NoSeLinux),
        (Some(_), Some(_)) if machine.is_rootless => Err(SpecError::RootlessLabels),
        (Some(options), Some(policy)) => Ok(Some(policy.labels(options, uid))),
    }
}

/// A process of a container: its own program, or one that is run beside it.
pub(crate) fn process(ground: &Ground<'_>, argv: &[String], terminal: bool) -> Result<Value, SpecError> {
    let Ground { config, program, ids, machine, .. } = *ground;
    let security = &program.options.security;
    let capabilities = Capabilities::of(security, machine)?;
    let mut env: Vec<String> = config.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    if !config.env.iter().any(|(name, _)| name == "PATH") {
        env.push(format!("PATH={DEFAULT_PATH}"));
    }
    if terminal && !config.env.iter().any(|(name, _)| name == "TERM") {
        env.push("TERM=xterm".to_owned());
    }
    let mut process = json!({
        "terminal": terminal,
        "user": { "uid": ids.uid, "gid": ids.gid, "additionalGids": ids.groups },
        "args": argv,
        "env": env,
        "cwd": config.working_dir,
        "capabilities": capabilities.oci(),
        "noNewPrivileges": no_new_privileges(ground),
    });
    if let (Some(profile), Value::Object(process)) = (app_armor(ground)?, &mut process) {
        process.insert("apparmorProfile".to_owned(), profile.into());
    }
    Ok(process)
}

/// Kubernetes: escalation is always allowed for privileged containers.
pub(crate) fn no_new_privileges(ground: &Ground<'_>) -> bool {
    let security = &ground.program.options.security;
    !security.allow_privilege_escalation && !security.privileged
}

/// The system call filter of a container; privileged ones have none, whatever their profile.
pub(crate) fn seccomp<'a>(ground: &Ground<'a>) -> &'a SecurityProfile {
    let security = &ground.program.options.security;
    if security.privileged { &SecurityProfile::Unconfined } else { &security.seccomp }
}

fn app_armor(ground: &Ground<'_>) -> Result<Option<String>, SpecError> {
    let security = &ground.program.options.security;
    match &security.app_armor {
        None | Some(SecurityProfile::Unconfined) => Ok(None),
        Some(_) if security.privileged => Ok(None),
        Some(_) if !ground.machine.app_armor => Err(SpecError::NoAppArmor),
        Some(SecurityProfile::RuntimeDefault) => Ok(Some("nacelle-default".to_owned())),
        Some(SecurityProfile::Localhost { name }) => Ok(Some(name.clone())),
    }
}

/// What a container does not share with its pod. The rest is the monitor's.
fn namespaces(ground: &Ground<'_>) -> Value {
    let mut namespaces = vec![json!({ "type": "mount" })];
    if let Some(path) = &ground.user_namespace {
        namespaces.push(json!({ "type": "user", "path": path }));
    }
    match (ground.program.pod.options.processes, &ground.pid_namespace) {
        (ProcessNamespace::Container, None) => namespaces.push(json!({ "type": "pid" })),
        (ProcessNamespace::Container | ProcessNamespace::Pod, Some(path)) => {
            namespaces.push(json!({ "type": "pid", "path": path }));
        }
        (ProcessNamespace::Pod, None) | (ProcessNamespace::Host, _) => {}
    }
    // As containerd does: of version 1 a container sees the host's tree.
    if ground.machine.cgroups == Version::V2 && !ground.program.options.security.privileged {
        namespaces.push(json!({ "type": "cgroup" }));
    }
    namespaces.into()
}

fn resources(ground: &Ground<'_>) -> Value {
    let Ground { config, program, machine, .. } = *ground;
    if machine.is_rootless {
        // There is no control group that could have any.
        return json!({});
    }
    let share = limits::within(&config.resources.cpu, &config.pod_cpu);
    let mut cpu = json!({ "shares": limits::shares(&share), "period": limits::period() });
    if let (Some(quota), Value::Object(cpu)) = (limits::quota(&share), &mut cpu) {
        cpu.insert("quota".to_owned(), quota.into());
    }
    let mut resources = json!({
        "cpu": cpu,
        "devices": [{ "allow": program.options.security.privileged, "access": "rwm" }],
    });
    if let Value::Object(resources) = &mut resources {
        if let Some(limit) = config.resources.memory {
            // No swap, as on a node without it.
            resources.insert("memory".to_owned(), json!({ "limit": limit, "swap": limit }));
        }
        if machine.cgroups == Version::V2 {
            // The kubelet's default: what is out of memory ends as a whole.
            resources.insert("unified".to_owned(), json!({ "memory.oom.group": "1" }));
        }
    }
    resources
}

fn devices(privileged: bool, machine: &Machine) -> Value {
    let device = |device: &Device| {
        json!({
            "path": device.path, "type": device.kind.to_string(), "major": device.major, "minor": device.minor,
            "fileMode": device.mode, "uid": device.uid, "gid": device.gid,
        })
    };
    if privileged { machine.devices.iter().map(device).collect() } else { json!([]) }
}

#[cfg(test)]
mod tests;
