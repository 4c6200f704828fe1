//! What profiles say, without the kernel.

use nacelle_container::Security;

use super::*;
use crate::cgroup::Version;
use crate::spec::Machine;

fn capabilities(add: &[&str]) -> Capabilities {
    let names = ["CAP_CHOWN", "CAP_SYS_CHROOT", "CAP_SYS_ADMIN", "CAP_SYS_TIME"];
    let machine = Machine {
        cgroups: Version::V1,
        is_rootless: false,
        capabilities: names.iter().map(|name| (*name).to_owned()).collect(),
        app_armor: false,
        se_linux: None,
        devices: Vec::new(),
    };
    let add_capabilities = add.iter().map(|name| (*name).to_owned()).collect();
    Capabilities::of(&Security { add_capabilities, ..Security::default() }, &machine).unwrap()
}

/// The calls that a profile lets through whatever their arguments are.
fn allowed(profile: &Profile) -> Vec<&'static str> {
    let free = profile.rules.iter().filter(|rule| rule.action == Action::Allow && rule.arguments.is_empty());
    free.map(|rule| rule.call.name()).collect()
}

#[test]
#[cfg(target_arch = "x86_64")]
fn the_default_profile_is_this_list() {
    insta::assert_json_snapshot!(allowed(&default::profile(&capabilities(&[]))));
}

#[test]
fn a_capability_brings_its_calls() {
    let plain = default::profile(&capabilities(&[]));
    for call in ["mount", "unshare", "setns", "bpf", "keyctl", "clock_settime", "kexec_load", "clone3"] {
        assert!(!allowed(&plain).contains(&call), "{call}");
    }
    let admin = default::profile(&capabilities(&["SYS_ADMIN"]));
    for call in ["mount", "unshare", "setns", "bpf", "clone3"] {
        assert!(allowed(&admin).contains(&call), "{call}");
    }
    for call in ["keyctl", "kexec_load", "clock_settime"] {
        assert!(!allowed(&admin).contains(&call), "{call}");
    }
    assert!(allowed(&default::profile(&capabilities(&["SYS_TIME"]))).contains(&"clock_settime"));
}

#[test]
fn the_default_profile_is_a_filter_and_one_for_each_further_action() {
    let programs = programs(&SecurityProfile::RuntimeDefault, &capabilities(&[]), Path::new("/none")).unwrap();
    assert_eq!(programs.len(), 2, "EPERM for what is not listed, ENOSYS for clone3");
    assert!(programs.iter().all(|program| program.len() < 4096), "the kernel's limit");
}

#[test]
fn a_profile_of_the_node_is_read_in_the_oci_form() {
    let dir = tempfile::tempdir().unwrap();
    let profile = r#"{
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [
            { "names": ["mkdir", "mkdirat", "not_a_call"], "action": "SCMP_ACT_ERRNO", "errnoRet": 30 },
            { "names": ["kill"], "action": "SCMP_ACT_KILL_PROCESS",
              "args": [{ "index": 1, "value": 9, "op": "SCMP_CMP_EQ" }] }
        ]
    }"#;
    std::fs::write(dir.path().join("no-mkdir.json"), profile).unwrap();
    let read = |name: &str| {
        programs(&SecurityProfile::Localhost { name: name.into() }, &capabilities(&[]), dir.path())
            .map(|programs| programs.len())
            .map_err(|error| error.to_string())
    };
    assert_eq!(read("no-mkdir.json"), Ok(2));
    for name in ["", "/etc/passwd", "../x", "a/../../b"] {
        assert!(read(name).unwrap_err().contains("relative path"), "{name}");
    }
    assert!(read("none.json").unwrap_err().contains("cannot read"));
    std::fs::write(dir.path().join("bad.json"), "{").unwrap();
    assert!(read("bad.json").unwrap_err().contains("bad.json: EOF"));
    let notify = r#"{"defaultAction": "SCMP_ACT_NOTIFY"}"#;
    std::fs::write(dir.path().join("notify.json"), notify).unwrap();
    assert!(read("notify.json").unwrap_err().contains("nobody"));
}
