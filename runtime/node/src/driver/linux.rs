//! What a manifest and an image say that matters only to Linux programs.

use nacelle_container::{
    LinuxOptions, LinuxPodOptions, ProcessNamespace, SeLinuxOptions, Security, SecurityProfile,
    SupplementalGroupsPolicy, UserNamespace,
};
use nacelle_image::ImageConfig;
use nacelle_spec::CheckedPod;
use nacelle_spec::k8s_openapi::api::core::v1::{
    AppArmorProfile, Container, PodSecurityContext, SELinuxOptions as ManifestSeLinux, SeccompProfile, SecurityContext,
};

/// Processes and threads that a pod of Linux containers may have: the kubelet's `podPidsLimit`, which has no default
/// there. A machine has 32,768 pids where nobody has changed that.
const POD_PIDS: u64 = 4096;

/// What the Linux containers of a pod share.
pub(super) fn of_pod(pod: &CheckedPod) -> LinuxPodOptions {
    let spec = pod.spec();
    let sysctls = spec.security_context.iter().flat_map(|context| context.sysctls.iter().flatten());
    LinuxPodOptions {
        processes: match (spec.host_pid, spec.share_process_namespace) {
            (Some(true), _) => ProcessNamespace::Host,
            (_, Some(true)) => ProcessNamespace::Pod,
            _ => ProcessNamespace::Container,
        },
        host_ipc: spec.host_ipc == Some(true),
        users: if spec.host_users == Some(false) { UserNamespace::Pod } else { UserNamespace::Host },
        sysctls: sysctls.map(|sysctl| (sysctl.name.clone(), sysctl.value.clone())).collect(),
        pids_limit: Some(POD_PIDS),
    }
}

/// What a container's process is told, its pod's `securityContext` filled in.
pub(super) fn of_container(pod: &CheckedPod, container: &Container, image: &ImageConfig) -> LinuxOptions {
    let shared = pod.spec().security_context.clone().unwrap_or_default();
    let own = container.security_context.clone().unwrap_or_default();
    LinuxOptions {
        security: security(&shared, &own),
        image_user: image.user.clone(),
        terminal: container.tty == Some(true),
        target: None,
    }
}

/// The container's word over its pod's. Kubernetes' defaults: escalation is allowed, seccomp is unconfined.
fn security(pod: &PodSecurityContext, own: &SecurityContext) -> Security {
    let capabilities = own.capabilities.clone().unwrap_or_default();
    Security {
        run_as_user: id(own.run_as_user.or(pod.run_as_user)),
        run_as_group: id(own.run_as_group.or(pod.run_as_group)),
        run_as_non_root: own.run_as_non_root.or(pod.run_as_non_root) == Some(true),
        supplemental_groups: pod.supplemental_groups.iter().flatten().filter_map(|group| id(Some(*group))).collect(),
        supplemental_groups_policy: match pod.supplemental_groups_policy.as_deref() {
            Some("Strict") => SupplementalGroupsPolicy::Strict,
            _ => SupplementalGroupsPolicy::Merge,
        },
        fs_group: id(pod.fs_group),
        privileged: own.privileged == Some(true),
        allow_privilege_escalation: own.allow_privilege_escalation != Some(false),
        add_capabilities: capabilities.add.unwrap_or_default(),
        drop_capabilities: capabilities.drop.unwrap_or_default(),
        unmasked_proc: own.proc_mount.as_deref() == Some("Unmasked"),
        seccomp: seccomp(own.seccomp_profile.as_ref().or(pod.seccomp_profile.as_ref())),
        app_armor: own.app_armor_profile.as_ref().or(pod.app_armor_profile.as_ref()).map(app_armor),
        se_linux: own.se_linux_options.as_ref().or(pod.se_linux_options.as_ref()).map(se_linux),
    }
}

/// Validation has made sure that ids are between 0 and 2147483647.
fn id(id: Option<i64>) -> Option<u32> {
    id.and_then(|id| u32::try_from(id).ok())
}

fn seccomp(profile: Option<&SeccompProfile>) -> SecurityProfile {
    profile.map_or(SecurityProfile::Unconfined, |profile| named(&profile.type_, profile.localhost_profile.as_deref()))
}

fn app_armor(profile: &AppArmorProfile) -> SecurityProfile {
    named(&profile.type_, profile.localhost_profile.as_deref())
}

fn named(kind: &str, localhost: Option<&str>) -> SecurityProfile {
    match kind {
        "RuntimeDefault" => SecurityProfile::RuntimeDefault,
        "Localhost" => SecurityProfile::Localhost { name: localhost.unwrap_or_default().to_owned() },
        _ => SecurityProfile::Unconfined,
    }
}

fn se_linux(options: &ManifestSeLinux) -> SeLinuxOptions {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    SeLinuxOptions {
        user: text(&options.user),
        role: text(&options.role),
        kind: text(&options.type_),
        level: text(&options.level),
    }
}

/// Fields that a manifest has set for Linux programs, and that do nothing for a WebAssembly guest: what it is told of
/// once its image is known.
pub(super) fn without_effect(pod: &CheckedPod, container: &Container) -> Vec<&'static str> {
    let spec = pod.spec();
    let shared = spec.security_context.clone().unwrap_or_default();
    let own = container.security_context.clone().unwrap_or_default();
    let mounts = || container.volume_mounts.iter().flatten();
    let is_set = [
        (
            "volumeMounts[].mountPropagation",
            mounts().any(|mount| mount.mount_propagation.as_deref() == Some("Bidirectional")),
        ),
        ("hostPID", spec.host_pid == Some(true)),
        ("hostIPC", spec.host_ipc == Some(true)),
        ("hostUsers", spec.host_users == Some(false)),
        ("shareProcessNamespace", spec.share_process_namespace == Some(true)),
        ("tty", container.tty == Some(true)),
        ("securityContext.runAsUser", own.run_as_user.or(shared.run_as_user).is_some()),
        ("securityContext.runAsGroup", own.run_as_group.or(shared.run_as_group).is_some()),
        ("securityContext.runAsNonRoot", own.run_as_non_root.or(shared.run_as_non_root) == Some(true)),
        ("securityContext.supplementalGroups", shared.supplemental_groups.is_some()),
        ("securityContext.sysctls", shared.sysctls.is_some_and(|sysctls| !sysctls.is_empty())),
        ("securityContext.privileged", own.privileged == Some(true)),
        ("securityContext.capabilities", own.capabilities.is_some()),
        ("securityContext.allowPrivilegeEscalation", own.allow_privilege_escalation.is_some()),
        ("securityContext.procMount", own.proc_mount.is_some_and(|kind| kind != "Default")),
        ("securityContext.seccompProfile", own.seccomp_profile.or(shared.seccomp_profile).is_some()),
        ("securityContext.appArmorProfile", own.app_armor_profile.or(shared.app_armor_profile).is_some()),
        ("securityContext.seLinuxOptions", own.se_linux_options.or(shared.se_linux_options).is_some()),
    ];
    is_set.into_iter().filter(|(_, is_set)| *is_set).map(|(field, _)| field).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_says_more_than_its_pod() {
        let pod = PodSecurityContext {
            run_as_user: Some(1000),
            run_as_group: Some(1001),
            run_as_non_root: Some(true),
            supplemental_groups: Some(vec![5, 6]),
            seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".into(), ..Default::default() }),
            ..Default::default()
        };
        let own = SecurityContext {
            run_as_user: Some(0),
            run_as_non_root: Some(false),
            seccomp_profile: Some(SeccompProfile { type_: "Unconfined".into(), ..Default::default() }),
            allow_privilege_escalation: Some(false),
            ..Default::default()
        };
        let merged = security(&pod, &own);
        assert_eq!((merged.run_as_user, merged.run_as_group, merged.run_as_non_root), (Some(0), Some(1001), false));
        assert_eq!((merged.seccomp, merged.allow_privilege_escalation), (SecurityProfile::Unconfined, false));
        let merged = security(&pod, &SecurityContext::default());
        assert_eq!((merged.run_as_user, merged.supplemental_groups), (Some(1000), vec![5, 6]));
        assert_eq!((merged.seccomp, merged.allow_privilege_escalation), (SecurityProfile::RuntimeDefault, true));
    }
}
