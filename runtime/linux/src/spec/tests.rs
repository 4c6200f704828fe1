//! Specifications for security contexts, pinned as snapshots, and what no snapshot shows at a glance.

use nacelle_container::{
    ContainerId, HostMount, HttpConfig, LinuxFiles, LinuxOptions, LinuxPod, LinuxPodOptions, NetworkNamespace, PodUid,
    Program, Propagation, Resources, Security, StdinMode, UserNamespace,
};

use super::*;

fn machine() -> Machine {
    let all = ["CAP_NET_ADMIN", "CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_SYS_TIME"];
    let kvm = Device { path: "/dev/kvm".into(), kind: 'c', major: 10, minor: 232, mode: 0o660, uid: 0, gid: 109 };
    Machine {
        cgroups: Version::V1,
        is_rootless: false,
        capabilities: capabilities::DEFAULT.iter().chain(&all).map(|name| (*name).to_owned()).collect(),
        app_armor: false,
        se_linux: None,
        devices: vec![kvm],
    }
}

fn config() -> ContainerConfig {
    let program = LinuxProgram {
        files: LinuxFiles {
            layers: vec!["/layers/1".into()],
            scratch: "/scratch".into(),
            read_only_root: false,
            mounts: vec![HostMount {
                source: "/pods/uid/volumes/data".into(),
                sub_path: None,
                target: "/data".into(),
                read_only: true,
                recursive_read_only: false,
                propagation: Propagation::Private,
            }],
        },
        pod: LinuxPod {
            dir: "/pods/uid/linux".into(),
            network: NetworkNamespace::Isolated,
            options: LinuxPodOptions::default(),
            memory: None,
        },
        options: LinuxOptions {
            security: Security { allow_privilege_escalation: true, ..Security::default() },
            ..LinuxOptions::default()
        },
    };
    ContainerConfig {
        stop_signal: None,
        id: ContainerId { pod: PodUid::new("uid"), name: "app".into(), attempt: 0 },
        program: Program::Linux(Box::new(program)),
        argv: vec!["sleep".into(), "1".into()],
        env: vec![("A".into(), "b=c".into())],
        working_dir: "/srv".into(),
        resources: Resources::default(),
        pod_cpu: nacelle_container::Cpu::default(),
        stdin: StdinMode::Closed,
        http: HttpConfig::default(),
        hostname: "web".into(),
    }
}

/// The specification after `change`, which libcontainer's types accept.
fn built(machine: &Machine, change: impl FnOnce(&mut ContainerConfig, &mut LinuxProgram)) -> Result<Value, SpecError> {
    let mut config = config();
    let Program::Linux(program) = config.program.clone() else { panic!("{config:?}") };
    let mut program = *program;
    change(&mut config, &mut program);
    let ids = Ids { uid: 1000, gid: 1000, groups: vec![5, 1000] };
    let ground = Ground {
        config: &config,
        program: &program,
        ids: &ids,
        machine,
        root: Path::new("/scratch/root"),
        shared_memory: Path::new("/pods/uid/linux/shm"),
        message_queues: None,
        pid_namespace: Some("/proc/self/fd/7".to_owned())
            .filter(|_| program.pod.options.processes == ProcessNamespace::Pod || program.options.target.is_some()),
        user_namespace: Some("/proc/self/fd/8".to_owned()).filter(|_| program.pod.options.users == UserNamespace::Pod),
        cgroup: "/nacelle/poduid/app-0".to_owned(),
    };
    let spec = build(&ground)?;
    serde_json::from_value::<libcontainer::oci_spec::runtime::Spec>(spec.clone()).unwrap();
    Ok(spec)
}

fn with_security(change: impl FnOnce(&mut Security)) -> Result<Value, SpecError> {
    built(&machine(), |_, program| change(&mut program.options.security))
}

fn effective(spec: &Value) -> Vec<&str> {
    let set = spec.pointer("/process/capabilities/effective").and_then(Value::as_array).unwrap();
    set.iter().filter_map(Value::as_str).collect()
}

#[test]
fn a_container_of_which_nothing_is_said() {
    insta::assert_json_snapshot!(built(&machine(), |_, _| {}).unwrap());
}

#[test]
fn a_restricted_container_with_limits() {
    let spec = built(&machine(), |config, program| {
        config.resources.cpu = nacelle_container::Cpu { limit_millis: Some(500), request_millis: 250 };
        config.resources.memory = Some(64 << 20);
        program.files.read_only_root = true;
        program.options.terminal = true;
        let security = &mut program.options.security;
        security.allow_privilege_escalation = false;
        security.drop_capabilities = vec!["ALL".into()];
        security.add_capabilities = vec!["NET_BIND_SERVICE".into()];
    });
    insta::assert_json_snapshot!(spec.unwrap());
}

#[test]
fn fuel_is_refused() {
    let refused = built(&machine(), |config, _| config.resources.fuel = Some(1000)).unwrap_err();
    assert!(refused.to_string().starts_with("resources.limits[nacelle.dev/fuel]: "), "{refused}");
}

#[test]
fn a_privileged_container() {
    insta::assert_json_snapshot!(with_security(|security| security.privileged = true).unwrap());
}

#[test]
fn a_container_on_control_groups_of_version_2() {
    let machine = Machine { cgroups: Version::V2, ..machine() };
    let spec = built(&machine, |config, program| {
        config.resources.memory = Some(64 << 20);
        program.pod.options.processes = ProcessNamespace::Pod;
    });
    insta::assert_json_snapshot!(spec.unwrap());
}

#[test]
fn capabilities_are_those_of_the_cri() {
    let set = |add: &[&str], drop: &[&str]| {
        let strings = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let spec = with_security(|security| {
            security.add_capabilities = strings(add);
            security.drop_capabilities = strings(drop);
        });
        spec.map(|spec| effective(&spec).into_iter().map(str::to_owned).collect::<Vec<_>>())
    };
    assert_eq!(set(&[], &["ALL"]).unwrap(), Vec::<String>::new());
    assert_eq!(set(&["NET_ADMIN"], &["all"]).unwrap(), ["CAP_NET_ADMIN"]);
    assert_eq!(set(&["ALL"], &[]).unwrap().len(), 18);
    assert_eq!(set(&["ALL"], &["CAP_SYS_ADMIN"]).unwrap().len(), 17);
    assert_eq!(set(&["sys_time"], &["SYS_TIME", "KILL"]).unwrap().len(), 13);
    assert_eq!(set(&["FLY"], &[]), Err(SpecError::UnknownCapability("FLY".into())));
    assert_eq!(set(&["SYS_BOOT"], &[]), Err(SpecError::MissingCapability("CAP_SYS_BOOT".into())));
}

#[test]
fn namespaces_are_what_a_container_does_not_share() {
    let kinds = |processes| {
        let spec = built(&machine(), |_, program| program.pod.options.processes = processes).unwrap();
        spec.pointer("/linux/namespaces").unwrap().to_string()
    };
    assert_eq!(kinds(ProcessNamespace::Container), r#"[{"type":"mount"},{"type":"pid"}]"#);
    assert_eq!(kinds(ProcessNamespace::Pod), r#"[{"type":"mount"},{"path":"/proc/self/fd/7","type":"pid"}]"#);
    assert_eq!(kinds(ProcessNamespace::Host), r#"[{"type":"mount"}]"#);
}

#[test]
fn what_cannot_be_had_is_refused_with_its_field() {
    let default = SecurityProfile::RuntimeDefault;
    let refused = |change: &dyn Fn(&mut Security)| with_security(|security| change(security)).unwrap_err();
    assert_eq!(refused(&|security| security.app_armor = Some(default.clone())), SpecError::NoAppArmor);
    assert_eq!(refused(&|security| security.se_linux = Some(Default::default())), SpecError::NoSeLinux);
    assert!(with_security(|security| security.app_armor = Some(SecurityProfile::Unconfined)).is_ok());
    let shared = |privileged, users| {
        built(&machine(), |_, program| {
            program.files.mounts[0].propagation = Propagation::Bidirectional;
            program.options.security.privileged = privileged;
            program.pod.options.users = users;
        })
    };
    assert_eq!(shared(false, UserNamespace::Host), Err(SpecError::NotPrivileged));
    assert_eq!(shared(true, UserNamespace::Pod), Err(SpecError::NoWayOut));
    assert_eq!(shared(true, UserNamespace::Host).unwrap()["linux"]["rootfsPropagation"], "shared");
}

#[test]
fn a_user_namespace_is_entered_first() {
    let spec = built(&machine(), |_, program| program.pod.options.users = UserNamespace::Pod).unwrap();
    let kinds = spec.pointer("/linux/namespaces").unwrap().to_string();
    assert_eq!(kinds, r#"[{"type":"mount"},{"path":"/proc/self/fd/8","type":"user"},{"type":"pid"}]"#);
}

#[test]
fn app_armor_where_there_is_one() {
    let machine = Machine { app_armor: true, ..machine() };
    let profile = |profile: Option<SecurityProfile>, privileged| {
        let spec = built(&machine, |_, program| {
            program.options.security.app_armor = profile;
            program.options.security.privileged = privileged;
        });
        spec.unwrap().pointer("/process/apparmorProfile").and_then(Value::as_str).map(str::to_owned)
    };
    assert_eq!(profile(None, false), None);
    assert_eq!(profile(Some(SecurityProfile::RuntimeDefault), false).as_deref(), Some("nacelle-default"));
    assert_eq!(profile(Some(SecurityProfile::Localhost { name: "own".into() }), false).as_deref(), Some("own"));
    assert_eq!(profile(Some(SecurityProfile::Localhost { name: "own".into() }), true), None);
}

#[test]
fn a_volume_at_dev_shm_takes_its_place() {
    let spec = built(&machine(), |_, program| program.files.mounts[0].target = "/dev/shm".into()).unwrap();
    let mounts = spec["mounts"].as_array().unwrap();
    let at_shm: Vec<_> = mounts.iter().filter(|mount| mount["destination"] == "/dev/shm").collect();
    assert_eq!(at_shm.len(), 1);
    assert_eq!(at_shm[0]["source"], "/pods/uid/volumes/data");
}

#[test]
fn labels_where_there_is_se_linux() {
    let machine = |is_rootless| Machine { se_linux: Some(Policy::read("", true)), is_rootless, ..machine() };
    let asks = |program: &mut LinuxProgram| program.options.security.se_linux = Some(Default::default());
    let spec = built(&machine(false), |_, program| asks(program)).unwrap();
    let label = spec.pointer("/linux/mountLabel").and_then(Value::as_str).unwrap();
    assert!(label.starts_with("system_u:object_r:container_file_t:s0:c"), "{label}");
    let unasked = built(&machine(false), |_, _| {}).unwrap();
    assert_eq!(unasked.pointer("/linux/mountLabel"), None);
    assert_eq!(built(&machine(true), |_, program| asks(program)), Err(SpecError::RootlessLabels));
}
