//! Order, restarts and ends of pods, through the real binary.

use anyhow::{Context, Result};
use nacelle_tests::{Nacelle, Pod, Records};

fn run_json(nacelle: &Nacelle, pod: &Pod) -> Result<(Records, i32)> {
    let manifest = nacelle.write("pod.yaml", &pod.yaml())?;
    let finished =
        nacelle.run(["run".as_ref(), "--output".as_ref(), "json".as_ref(), "-f".as_ref(), manifest.as_os_str()])?;
    let records = Records::parse(&finished.stdout).with_context(|| finished.stderr.clone())?;
    Ok((records, finished.code))
}

/// Where in `events` an event is.
fn position(events: &[String], event: &str) -> Result<usize> {
    events.iter().position(|each| each == event).with_context(|| format!("no {event:?} in {events:?}"))
}

#[test]
fn two_inits_a_sidecar_and_two_apps_come_in_order_and_succeed() -> Result<()> {
    let mount = "volumeMounts: [{name: shared, mountPath: /shared}]";
    let pod = Pod::new("order")
        .spec("terminationGracePeriodSeconds: 1\nvolumes: [{name: shared, emptyDir: {}}]")
        .init("first", "hello", &["write", "/shared/first", "1"], mount)
        .init("sidecar", "hello", &["sleep", "3600"], &format!("restartPolicy: Always\n{mount}"))
        .init("second", "hello", &["cat", "/shared/first"], mount)
        .container("left", "hello", &["cat", "/shared/first"], mount)
        .container("right", "hello", &["ls", "/shared"], mount);
    let (records, code) = run_json(&Nacelle::new()?, &pod)?;
    assert_eq!(code, 0);
    let status = records.last_status()?;
    assert_eq!(status["phase"], "Succeeded");

    let events = records.container_events();
    let first = position(&events, "first Started")?;
    let sidecar = position(&events, "sidecar Started")?;
    let second = position(&events, "second Started")?;
    let left = position(&events, "left Started")?;
    let right = position(&events, "right Started")?;
    let stopped = position(&events, "sidecar Killing")?;
    assert!(first < sidecar && sidecar < second, "{events:?}");
    assert!(second < left && second < right, "{events:?}");
    assert!(stopped > left && stopped > right, "{events:?}");

    for name in ["first", "second", "left", "right"] {
        assert_eq!(records.container_status(name)?["state"]["terminated"]["reason"], "Completed", "{name}");
    }
    assert!(records.container_status("sidecar")?["state"]["terminated"].is_object());
    Ok(())
}

#[test]
fn a_failed_init_container_fails_the_pod_and_no_app_starts() -> Result<()> {
    let pod = Pod::new("p").init("setup", "hello", &["exit", "3"], "").container("app", "hello", &["never"], "");
    let (records, code) = run_json(&Nacelle::new()?, &pod)?;
    assert_eq!(code, 3);
    assert_eq!(records.last_status()?["phase"], "Failed");
    assert!(records.of_type("log").next().is_none());
    assert_eq!(records.container_status("app")?["state"]["waiting"]["reason"], "PodInitializing");
    Ok(())
}

#[test]
fn on_failure_restarts_until_success() -> Result<()> {
    // Fails while its file is missing, and makes it in the first run.
    let pod = Pod::with_policy("p", "OnFailure").spec("volumes: [{name: v, emptyDir: {}}]").container(
        "flaky",
        "crasher",
        &["exit", "1"],
        "volumeMounts: [{name: v, mountPath: /v}]",
    );
    let nacelle = Nacelle::new()?;
    let manifest = nacelle.write("pod.yaml", &pod.yaml())?;
    let mut running =
        nacelle.spawn(["run".as_ref(), "--output".as_ref(), "json".as_ref(), "-f".as_ref(), manifest.as_os_str()])?;
    running.wait_for_line("CrashLoopBackOff")?;
    running.signal("TERM")?;
    let finished = running.finish()?;
    let records = Records::parse(&finished.stdout)?;
    let status = records.container_status("flaky")?;
    assert!(status["restartCount"].as_u64() >= Some(1), "{status}");
    Ok(())
}

#[test]
fn a_pod_past_its_active_deadline_fails() -> Result<()> {
    let pod = Pod::new("p").spec("activeDeadlineSeconds: 1\nterminationGracePeriodSeconds: 0").container(
        "c",
        "hello",
        &["sleep", "3600"],
        "",
    );
    let (records, code) = run_json(&Nacelle::new()?, &pod)?;
    assert_ne!(code, 0);
    let status = records.last_status()?;
    assert_eq!((status["phase"].as_str(), status["reason"].as_str()), (Some("Failed"), Some("DeadlineExceeded")));
    Ok(())
}

#[test]
fn the_first_container_that_fails_gives_the_exit_code() -> Result<()> {
    let pod = Pod::new("p").container("good", "hello", &["good"], "").container("bad", "hello", &["exit", "9"], "");
    let (records, code) = run_json(&Nacelle::new()?, &pod)?;
    assert_eq!(code, 9);
    assert_eq!(records.container_status("good")?["state"]["terminated"]["exitCode"], 0);
    Ok(())
}

#[test]
fn several_pods_of_one_file_run_side_by_side() -> Result<()> {
    let nacelle = Nacelle::new()?;
    let pods = ["one", "two"].map(|name| Pod::new(name).container("c", "hello", &[name], "").yaml());
    let manifest = nacelle.write("pods.yaml", &pods.join("---\n"))?;
    let finished = nacelle.run(["run".as_ref(), "-f".as_ref(), manifest.as_os_str()])?;
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let mut lines: Vec<&str> = finished.stdout.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["one/c | Hello, one!", "two/c | Hello, two!"]);
    Ok(())
}

#[test]
fn a_missing_config_map_is_named_and_the_run_ends() -> Result<()> {
    let env = "envFrom: [{configMapRef: {name: absent}}]";
    let nacelle = Nacelle::new()?;
    let manifest = nacelle.write("pod.yaml", &Pod::new("p").container("c", "hello", &["x"], env).yaml())?;
    let finished = nacelle.run(["run".as_ref(), "-f".as_ref(), manifest.as_os_str()])?;
    assert_eq!(finished.code, 125, "{}", finished.stderr);
    assert!(finished.stderr.contains(r#"configmap "absent" not found"#), "{}", finished.stderr);
    Ok(())
}

#[test]
fn nothing_of_a_pod_is_left_when_it_has_ended() -> Result<()> {
    let nacelle = Nacelle::new()?;
    let pod = Pod::new("p")
        .spec("volumes: [{name: v, emptyDir: {}}, {name: m, emptyDir: {medium: Memory}}]")
        .container("c", "hello", &["x"], "volumeMounts: [{name: v, mountPath: /v}, {name: m, mountPath: /m}]");
    let (_, code) = run_json(&nacelle, &pod)?;
    assert_eq!(code, 0);
    let left: Vec<_> = std::fs::read_dir(nacelle.state_dir().join("pods"))?.collect();
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}

#[test]
fn a_guest_that_has_used_its_fuel_up_has_failed() -> Result<()> {
    let pod = Pod::new("p").container("busy", "spinner", &[], "resources: {limits: {nacelle.dev/fuel: 50M}}");
    let (records, code) = run_json(&Nacelle::new()?, &pod)?;
    assert_eq!(code, 152);
    assert_eq!(records.last_status()?["phase"], "Failed");
    let ended = &records.container_status("busy")?["state"]["terminated"];
    assert_eq!((&ended["reason"], &ended["exitCode"]), (&"FuelExhausted".into(), &152.into()));
    let message = ended["message"].as_str().context("no message")?;
    assert!(message.contains("all of its 50000000 units of fuel"), "{message}");
    Ok(())
}
