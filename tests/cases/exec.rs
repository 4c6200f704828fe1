//! The manifests of the Kubernetes documentation's pages about exec probes and lifecycle hooks, with a WebAssembly guest in
//! place of their images, through the real binary.

use anyhow::Result;
use nacelle_tests::{Nacelle, Records, Running, guest};

fn start(nacelle: &Nacelle, manifest: &str) -> Result<Running> {
    let manifest =
        nacelle.write("pod.yaml", &manifest.replace("IMAGE", &format!("file:{}", guest("hello").display())))?;
    nacelle.spawn(["run".as_ref(), "--output".as_ref(), "json".as_ref(), "-f".as_ref(), manifest.as_os_str()])
}

/// As the task "Configure Liveness, Readiness and Startup Probes" has it, with shorter times: the file that the probe
/// looks for goes away, and the container is started anew.
const LIVENESS: &str = "\
apiVersion: v1
kind: Pod
metadata:
  labels:
    test: liveness
  name: liveness-exec
spec:
  containers:
  - name: liveness
    image: IMAGE
    args:
    - /bin/sh
    - -c
    - touch /tmp/healthy; sleep 4; rm -f /tmp/healthy; sleep 600
    livenessProbe:
      exec:
        command:
        - cat
        - /tmp/healthy
      initialDelaySeconds: 2
      periodSeconds: 1
  terminationGracePeriodSeconds: 0
";

#[test]
fn a_container_whose_file_goes_away_is_started_anew() -> Result<()> {
    let nacelle = Nacelle::new()?;
    let mut running = start(&nacelle, LIVENESS)?;
    running.wait_for_line("Liveness probe failed: cat: /tmp/healthy: No such file or directory")?;
    running.wait_for_line("Container liveness failed liveness probe, will be restarted")?;
    running.wait_for_line("\"restartCount\":1")?;
    running.signal("TERM")?;
    running.finish()?;
    Ok(())
}

/// As the task "Attach Handlers to Container Lifecycle Events" has it.
const HOOKS: &str = r#"
apiVersion: v1
kind: Pod
metadata:
  name: lifecycle-demo
spec:
  containers:
  - name: lifecycle-demo-container
    image: IMAGE
    args: [sleep, "3600"]
    lifecycle:
      postStart:
        exec:
          command: ["/bin/sh", "-c", "echo Hello from the postStart handler > /usr/share/message"]
      preStop:
        exec:
          command: ["/bin/sh","-c","nginx -s quit; while killall -0 nginx; do sleep 1; done"]
    readinessProbe: {exec: {command: [cat, /usr/share/message]}, periodSeconds: 1}
    volumeMounts: [{name: share, mountPath: /usr/share}]
  terminationGracePeriodSeconds: 2
  volumes: [{name: share, emptyDir: {}}]
"#;

#[test]
fn hooks_are_small_scripts() -> Result<()> {
    let nacelle = Nacelle::new()?;
    let mut running = start(&nacelle, HOOKS)?;
    running.wait_for_line("\"ready\":true")?;
    running.signal("TERM")?;
    let finished = running.finish()?;
    let events = Records::parse(&finished.stdout)?.container_events();
    assert!(events.contains(&"lifecycle-demo-container Killing".to_owned()), "{events:?}");
    assert!(!events.iter().any(|event| event.contains("Failed")), "{events:?}");
    Ok(())
}

#[test]
fn hooks_that_fail_say_so() -> Result<()> {
    let nacelle = Nacelle::new()?;
    let manifest = HOOKS.replace("echo Hello from the postStart handler > /usr/share/message", "cat /none");
    let mut running =
        start(&nacelle, &manifest.replace("  terminationGrace", "  restartPolicy: Never\n  terminationGrace"))?;
    running.wait_for_line("FailedPostStartHook")?;
    let finished = running.finish()?;
    let events = Records::parse(&finished.stdout)?.container_events();
    assert!(events.contains(&"lifecycle-demo-container FailedPostStartHook".to_owned()), "{events:?}");
    assert!(
        finished.stderr.contains("command '/bin/sh -c cat /none' exited with 1: cat: /none"),
        "{}",
        finished.stderr
    );
    Ok(())
}
