//! Ephemeral containers: added to a pod that runs by its manifest.

use anyhow::Result;
use nacelle_tests::{Nacelle, Pod, Running, guest};

use crate::linux::ground;

/// The pod, and the manifest that adds this ephemeral container to it.
fn add(nacelle: &Nacelle, running: &Running, pod: Pod, ephemeral: &str) -> Result<()> {
    nacelle.write("pod.yaml", &pod.spec(&format!("ephemeralContainers: [{ephemeral}]")).yaml())?;
    running.signal("HUP")
}

fn server(cpu: u32) -> Pod {
    Pod::new("p").spec("terminationGracePeriodSeconds: 1").container(
        "server",
        "tcp-echo-server",
        &["127.0.0.1:7000"],
        &format!("resources: {{limits: {{cpu: {cpu}}}}}"),
    )
}

#[test]
fn one_shares_the_network_of_the_pod_that_runs() -> Result<()> {
    let nacelle = Nacelle::new()?;
    let path = nacelle.write("pod.yaml", &server(1).yaml())?;
    let mut running = nacelle.spawn(["run".as_ref(), "--output=json".as_ref(), "-f".as_ref(), path.as_os_str()])?;
    running.wait_for_line("Started container server")?;
    let image = guest("tcp-echo-client");
    let client = format!("{{name: look, image: 'file:{}', args: ['127.0.0.1:7000', hi]}}", image.display());
    add(&nacelle, &running, server(1), &client)?;
    let line = running.wait_for_line("\"line\":\"hi\"")?;
    assert!(line.contains("\"container\":\"look\""), "{line}");
    let status = running.wait_for_line("\"ephemeralContainerStatuses\":[{\"containerID\"")?;
    assert!(status.contains("\"phase\":\"Running\""), "{status}");

    // It stays, and the rest of the manifest is looked at.
    add(&nacelle, &running, server(2), "")?;
    running.wait_for_line("\"reason\":\"ResizeCompleted\"")?;
    running.signal("TERM")?;
    let finished = running.finish()?;
    for said in [
        "ephemeral container look is added to pod default/p",
        "pod default/p gets no ephemeral container: spec.ephemeralContainers: Forbidden: existing ephemeral containers \
         \"look\" may not be removed",
    ] {
        assert!(finished.stderr.contains(said), "{said}: {}", finished.stderr);
    }
    Ok(())
}

#[test]
fn a_pod_does_not_begin_with_one() -> Result<()> {
    let nacelle = Nacelle::new()?;
    let pod = server(1).spec("ephemeralContainers: [{name: look, image: 'file:look.wasm'}]");
    let path = nacelle.write("pod.yaml", &pod.yaml())?;
    let finished = nacelle.run(["run".as_ref(), "-f".as_ref(), path.as_os_str()])?;
    assert_eq!(finished.code, 125);
    let said = "spec.ephemeralContainers: Forbidden: cannot be set on create";
    assert!(finished.stderr.contains(said), "{}", finished.stderr);
    Ok(())
}

#[test]
fn a_linux_program_joins_a_pod_of_wasm_and_the_processes_of_its_target() -> Result<()> {
    let Some(nacelle) = ground()? else { return Ok(()) };
    let pod = || server(1).image("target", "oci:busybox:1", &["exec sleep 600"], "");
    let path = nacelle.write("pod.yaml", &pod().yaml())?;
    let mut running = nacelle.spawn(["run".as_ref(), "--output=json".as_ref(), "-f".as_ref(), path.as_os_str()])?;
    running.wait_for_line("Started container target")?;
    let script = "grep -q 600 /proc/1/cmdline && echo hi | nc 127.0.0.1 7000; exit 3";
    let look = format!("{{name: look, image: 'oci:busybox:1', args: ['{script}'], targetContainerName: target}}");
    add(&nacelle, &running, pod(), &look)?;
    let line = running.wait_for_line("\"line\":\"hi\"")?;
    assert!(line.contains("\"container\":\"look\""), "{line}");
    running.wait_for_line("\"exitCode\":3")?;

    let gone = format!("{look}, {{name: again, image: 'oci:busybox:1', args: [id], targetContainerName: server}}");
    add(&nacelle, &running, pod(), &gone)?;
    running.wait_for_line("targetContainerName of container again: without effect, server is a WebAssembly guest")?;
    running.signal("TERM")?;
    running.finish()?;
    Ok(())
}
