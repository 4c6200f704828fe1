//! `nacelle run`, as far as it comes without a guest.

use std::process::Stdio;

use super::support::{BROKEN, POD, World};

#[test]
fn all_errors_of_all_files_come_before_anything_starts() {
    let world = World::new();
    world.write("good.yaml", POD);
    world.write("bad.yaml", BROKEN);
    insta::assert_snapshot!(world.run(&["run", "-f", "good.yaml", "-f", "bad.yaml"]));
    assert!(!world.path().join("state").exists());
}

#[test]
fn errors_end_the_json_output_properly() {
    let world = World::new();
    world.write("bad.yaml", BROKEN);
    let output = world.output(&["run", "-f", "bad.yaml", "--output", "json"]);
    let lines = String::from_utf8(output.stdout).unwrap();
    let exit: serde_json::Value = serde_json::from_str(lines.trim_end()).unwrap();
    assert_eq!(exit["type"], "exit");
    assert_eq!(exit["code"], 125);
    assert_eq!(exit["reason"], "Error");
    assert_eq!(output.status.code(), Some(125));
}

#[test]
fn manifests_without_a_pod() {
    let world = World::new();
    let config_map = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings\n";
    insta::assert_snapshot!(world.run_with_input(&["run", "-f", "-"], config_map));
}

#[test]
fn mistakes_in_flags_are_reported_together() {
    let world = World::new();
    let flags =
        ["run", "-f", "x.yaml", "--for", "90", "--insecure-registry", "http://registry", "--node-name", "My Node"];
    let network = ["--publish", "80:x", "--pod-cidr", "10.87.0.1/16"];
    insta::assert_snapshot!(world.run(&[flags.as_slice(), &network].concat()));
}

#[test]
fn mistakes_about_the_nodes_resources() {
    let world = World::new();
    let flags = ["run", "-f", "x.yaml", "--node-cpu", "some", "--node-memory", "0.5", "--max-pods", "0"];
    let thresholds = ["--eviction-hard", "memory.available<5%,pid.available<5", "--for", "soon"];
    insta::assert_snapshot!(world.run(&[flags.as_slice(), &thresholds].concat()));
}

#[test]
fn a_pod_without_room() {
    let world = World::new();
    world.write("pod.yaml", POD.replace("containers:", "resources: {requests: {cpu: 4}}\n  containers:"));
    insta::assert_snapshot!(world.run(&["run", "-f", "pod.yaml", "--node-cpu", "2"]));
}

#[test]
fn a_port_is_published_for_one_pod() {
    let world = World::new();
    world.write("pods.yaml", format!("{POD}---\n{}", POD.replace("name: web", "name: api")));
    let flags = ["run", "-f", "pods.yaml", "-p", "8080:80", "-p", "db=80", "-p", "api=8081:80"];
    insta::assert_snapshot!(world.run(&flags));
}

#[test]
fn blocks_of_addresses_that_cannot_be_used_together() {
    let world = World::new();
    world.write("pod.yaml", POD);
    insta::assert_snapshot!(world.run(&[
        "run",
        "-f",
        "pod.yaml",
        "--pod-cidr",
        "10.1.0.0/16",
        "--pod-cidr",
        "10.2.0.0/16"
    ]));
}

#[test]
fn a_manifest_is_needed() {
    insta::assert_snapshot!(World::new().run(&["run"]));
}

#[test]
fn a_pod_that_another_process_runs() {
    let world = World::new();
    world.write("pod.yaml", POD);
    let lock = world.write("state/run/default_web.lock", "4242\n");
    let lock = std::fs::OpenOptions::new().write(true).open(lock).unwrap();
    lock.lock().unwrap();
    insta::assert_snapshot!(world.run(&["run", "-f", "pod.yaml"]));
}

#[test]
fn a_state_directory_that_is_a_file() {
    let world = World::new();
    world.write("pod.yaml", POD);
    world.write("file", "");
    let report = world.run(&["run", "-f", "pod.yaml", "--state-dir", "file"]);
    insta::assert_snapshot!(report);
}

#[test]
fn a_closed_standard_output_ends_quietly() {
    let world = World::new();
    // The reading end is closed before the command writes.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = world.command(&["version"]).stdout(Stdio::from(writer)).output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert_eq!(output.status.code(), Some(0));
}
