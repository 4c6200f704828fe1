//! Volumes as guests see them.

use anyhow::Result;
use nacelle_tests::{Finished, Nacelle, Pod};

fn run(nacelle: &Nacelle, objects: &str, pod: &Pod) -> Result<Finished> {
    let manifest = nacelle.write("pod.yaml", &format!("{objects}{}", pod.yaml()))?;
    nacelle.run(["run".as_ref(), "-f".as_ref(), manifest.as_os_str()])
}

#[test]
fn an_empty_dir_is_shared_by_containers_and_outlives_a_restart_of_one() -> Result<()> {
    let mount = "volumeMounts: [{name: v, mountPath: /v}]";
    let pod = Pod::new("p")
        .spec("volumes: [{name: v, emptyDir: {}}]")
        .init("one", "counter", &["/v/n", "3", "0"], mount)
        .init("two", "counter", &["/v/n", "2", "0"], mount)
        .container("three", "hello", &["cat", "/v/n"], mount);
    let finished = run(&Nacelle::new()?, "", &pod)?;
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert!(finished.stdout.contains("three | 5"), "{}", finished.stdout);
    Ok(())
}

#[test]
fn a_read_only_mount_refuses_writes() -> Result<()> {
    let nacelle = Nacelle::new()?;
    nacelle.write("kept", "as it was")?;
    let pod = Pod::new("p")
        .spec(&format!("volumes: [{{name: h, hostPath: {{path: '{}'}}}}]", nacelle.work_dir().display()))
        .container(
            "c",
            "hello",
            &["write", "/h/kept", "changed"],
            "volumeMounts: [{name: h, mountPath: /h, readOnly: true}]",
        );
    let finished = run(&nacelle, "", &pod)?;
    assert_eq!(finished.code, 1, "{}", finished.stdout);
    assert_eq!(std::fs::read_to_string(nacelle.work_dir().join("kept"))?, "as it was");
    Ok(())
}

#[test]
fn a_read_only_root_refuses_writes_and_its_volumes_do_not() -> Result<()> {
    let read_only = "securityContext: {readOnlyRootFilesystem: true}";
    let mounted = format!("{read_only}\nvolumeMounts: [{{name: v, mountPath: /v}}]");
    let pod = Pod::new("p")
        .spec("volumes: [{name: v, emptyDir: {}}]")
        .init("volume", "hello", &["write", "/v/x", "kept"], &mounted)
        .container("root", "hello", &["write", "/x", "lost"], &mounted);
    let finished = run(&Nacelle::new()?, "", &pod)?;
    assert_eq!(finished.code, 1, "{}", finished.stderr);
    assert!(finished.stdout.contains("root   | hello: cannot write /x: "), "{}", finished.stdout);
    Ok(())
}

#[test]
fn mounts_nest_and_one_volume_may_be_mounted_twice() -> Result<()> {
    let mounts = "volumeMounts: [{name: in, mountPath: /a/b}, {name: out, mountPath: /a}, {name: out, mountPath: /c}]";
    let pod = Pod::new("p")
        .spec("volumes: [{name: out, emptyDir: {}}, {name: in, emptyDir: {medium: Memory}}]")
        .init("outer", "hello", &["write", "/a/x", "outer"], mounts)
        .init("inner", "hello", &["write", "/a/b/x", "inner"], mounts)
        .container("c", "hello", &["cat", "/a/x", "/a/b/x", "/c/x"], mounts);
    let finished = run(&Nacelle::new()?, "", &pod)?;
    let lines: Vec<_> = finished.stdout.lines().filter_map(|line| Some(line.split_once("| ")?.1)).collect();
    assert_eq!(lines, ["outer", "inner", "outer"], "{}", finished.stderr);
    Ok(())
}

#[test]
fn a_sub_path_shows_one_folder_or_one_file() -> Result<()> {
    let nacelle = Nacelle::new()?;
    std::fs::create_dir_all(nacelle.work_dir().join("a/b"))?;
    nacelle.write("a/b/inside", "found")?;
    nacelle.write("a/outside", "hidden")?;
    let objects = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cm}\ndata: {key: value of key}\n---\n";
    let pod = Pod::new("p")
        .spec(&format!(
            "volumes: [{{name: h, hostPath: {{path: '{}'}}}}, {{name: cm, configMap: {{name: cm}}}}]",
            nacelle.work_dir().display()
        ))
        .container(
            "c",
            "hello",
            &["cat", "/only/inside", "/etc/one.conf"],
            "env: [{name: DIR, value: b}]\nvolumeMounts:\n- {name: h, mountPath: /only, subPathExpr: a/$(DIR)}\n\
             - {name: cm, mountPath: /etc/one.conf, subPath: key}",
        );
    let finished = run(&nacelle, objects, &pod)?;
    assert_eq!((finished.code, finished.stdout.trim_end()), (0, "foundvalue of key"), "{}", finished.stderr);
    Ok(())
}

#[test]
fn links_do_not_lead_out_of_a_volume() -> Result<()> {
    let nacelle = Nacelle::new()?;
    let volume = nacelle.work_dir().join("volume");
    std::fs::create_dir(&volume)?;
    nacelle.write("secret", "not for guests")?;
    std::os::unix::fs::symlink("../secret", volume.join("relative"))?;
    std::os::unix::fs::symlink(nacelle.work_dir().join("secret"), volume.join("absolute"))?;
    for path in ["/v/relative", "/v/absolute", "/v/../secret", "/v/../../../../../../etc/passwd"] {
        let pod = Pod::new("p")
            .spec(&format!("volumes: [{{name: v, hostPath: {{path: '{}'}}}}]", volume.display()))
            .container("c", "hello", &["cat", path], "volumeMounts: [{name: v, mountPath: /v}]");
        let finished = run(&nacelle, "", &pod)?;
        assert_eq!(finished.code, 1, "{path}: {}", finished.stdout);
        assert_eq!(finished.stdout.matches("not for guests").count(), 0, "{path}");
    }
    Ok(())
}

#[test]
fn a_host_path_of_the_wrong_type_is_named() -> Result<()> {
    let nacelle = Nacelle::new()?;
    let file = nacelle.write("file", "")?;
    let pod = Pod::new("p")
        .spec(&format!("volumes: [{{name: h, hostPath: {{path: '{}', type: Directory}}}}]", file.display()))
        .container("c", "hello", &["x"], "volumeMounts: [{name: h, mountPath: /h}]");
    let finished = run(&nacelle, "", &pod)?;
    assert_eq!(finished.code, 125, "{}", finished.stderr);
    assert!(finished.stderr.contains("hostPath type check failed"), "{}", finished.stderr);
    Ok(())
}

#[test]
fn a_secret_is_never_written_to_the_state_directory() -> Result<()> {
    let nacelle = Nacelle::new()?;
    let objects =
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {key: \"find-me-if-you-can\\n\"}\n---\n";
    let pod = Pod::new("p")
        .spec("terminationGracePeriodSeconds: 0\nvolumes: [{name: s, secret: {secretName: s}}]")
        .init("read", "hello", &["cat", "/s/key"], "volumeMounts: [{name: s, mountPath: /s}]")
        .container("c", "hello", &["sleep", "3600"], "volumeMounts: [{name: s, mountPath: /s}]");
    let manifest = nacelle.write("pod.yaml", &format!("{objects}{}", pod.yaml()))?;
    let mut running = nacelle.spawn(["run".as_ref(), "-f".as_ref(), manifest.as_os_str()])?;
    running.wait_for_line("find-me-if-you-can")?;
    // The guest itself printed it into its log; nothing else may hold it.
    let output = std::process::Command::new("grep")
        .args(["-rl", "--exclude-dir=logs", "--exclude=*.log", "find-me-if-you-can"])
        .arg(nacelle.state_dir())
        .output()?;
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    running.signal("TERM")?;
    assert_eq!(running.finish()?.code, 143);
    Ok(())
}
