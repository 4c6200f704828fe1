//! A pod that runs gets other resources when its manifest changes.

use anyhow::Result;
use nacelle_tests::{Nacelle, Pod, guest};

use crate::linux::ground;

fn manifest(resources: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: sized}}, spec: {{terminationGracePeriodSeconds: 1, containers: \
         [{{name: app, image: 'file:{}', args: [sleep, '600'], resources: {{{resources}}}}}]}}}}",
        guest("hello").display()
    )
}

#[test]
fn a_manifest_with_other_limits_resizes_the_pod_that_runs() -> Result<()> {
    let nacelle = Nacelle::new()?;
    let path = nacelle.write("pod.yaml", &manifest("requests: {cpu: 100m}, limits: {cpu: 200m, memory: 64Mi}"))?;
    let run = ["run".as_ref(), "--output=json".as_ref(), "-f".as_ref(), path.as_os_str()];
    let mut running = nacelle.spawn(run)?;
    running.wait_for_line("\"reason\":\"Started\"")?;
    nacelle.write("pod.yaml", &manifest("requests: {cpu: 100m}, limits: {cpu: 400m, memory: 96Mi}"))?;
    running.signal("HUP")?;
    running.wait_for_line("\"reason\":\"ResizeCompleted\"")?;
    running.signal("TERM")?;
    let finished = running.finish()?;
    let status = finished.stdout.lines().rfind(|line| line.starts_with("{\"type\":\"status\"")).unwrap_or_default();
    let has = "\"resources\":{\"limits\":{\"cpu\":\"400m\",\"memory\":\"96Mi\"}";
    assert!(status.contains(has) && status.contains("\"observedGeneration\":2"), "{status}\n{}", finished.stderr);
    let said = "container app of pod default/sized is to have requests.memory 64Mi → 96Mi, \
                limits.cpu 200m → 400m, limits.memory 64Mi → 96Mi";
    assert!(finished.stderr.contains(said), "{}", finished.stderr);
    Ok(())
}

#[test]
fn a_linux_pod_that_is_given_more_memory_has_it() -> Result<()> {
    let Some(nacelle) = ground()? else { return Ok(()) };
    let manifest = |limit: &str| {
        let script = "until dd if=/dev/zero of=/dev/null bs=48M count=1; do sleep 0.1; done; echo enough";
        let more = format!("resources: {{limits: {{memory: {limit}}}}}");
        Pod::with_policy("p", "OnFailure").image("c", "oci:busybox:1", &[script], &more).yaml()
    };
    let path = nacelle.write("pod.yaml", &manifest("32Mi"))?;
    let mut running = nacelle.spawn(["run".as_ref(), "--output=json".as_ref(), "-f".as_ref(), path.as_os_str()])?;
    running.wait_for_line("\"reason\":\"Started\"")?;
    nacelle.write("pod.yaml", &manifest("96Mi"))?;
    running.signal("HUP")?;
    running.wait_for_line("\"line\":\"enough\"")?;
    let finished = running.finish()?;
    assert_eq!(finished.code, 0, "{}{}", finished.stdout, finished.stderr);
    Ok(())
}
