//! Room on a node, and what happens when it runs short of memory, with real guests.

use anyhow::{Context, Result};
use nacelle_tests::{Nacelle, Pod, Records};

/// A container's requests.
fn asks(list: &str) -> String {
    format!("resources: {{requests: {{{list}}}}}")
}

/// A pod that takes so many MiB, step by step, and keeps them.
fn hog(name: &str, mib: &str, requests: &str) -> String {
    let pod = Pod::new(name).spec("terminationGracePeriodSeconds: 1");
    pod.container("hog", "memory-hog", &["cope", mib, "1", "3600"], &asks(requests)).yaml()
}

#[test]
fn the_pod_that_is_furthest_over_its_request_is_evicted() -> Result<()> {
    let nacelle = Nacelle::new()?;
    let pods = [hog("modest", "30", "memory: 48Mi"), hog("small", "4", ""), hog("greedy", "90", "memory: 4Mi")];
    let manifest = nacelle.write("pods.yaml", &pods.join("---\n"))?;
    let flags = ["--node-memory", "128Mi", "--eviction-hard", "memory.available<32Mi", "--output", "json"];
    let mut running = nacelle.spawn(["run", "-f", &manifest.to_string_lossy()].into_iter().chain(flags))?;
    // What it is about is the status, which comes when the pod has ended; the event comes before.
    running.wait_for_line(r#""reason":"TerminationByKubelet""#)?;
    running.signal("TERM")?;
    let finished = running.finish()?;
    let records = Records::parse(&finished.stdout).with_context(|| finished.stderr.clone())?;

    let evicted: Vec<_> = records.of_type("event").filter(|event| event["reason"] == "Evicted").collect();
    assert_eq!(evicted.iter().map(|event| event["pod"].as_str()).collect::<Vec<_>>(), [Some("greedy")]);
    let statuses = records.of_type("status").filter(|record| record["pod"] == "greedy");
    let status = &statuses.last().context("no status of the pod")?["status"];
    assert_eq!((status["phase"].as_str(), status["reason"].as_str()), (Some("Failed"), Some("Evicted")));
    let message = status["message"].as_str().unwrap_or_default();
    let beginning = "The node was low on resource: memory. Threshold quantity: 32Mi, available: ";
    assert!(message.starts_with(beginning), "{message}");
    assert!(message.contains("Container hog was using "), "{message}");
    assert!(message.ends_with("request is 4Mi, has larger consumption of memory. "), "{message}");
    for name in ["modest", "small"] {
        let ran = records.of_type("status").filter(|record| record["pod"] == name);
        assert!(ran.into_iter().any(|record| record["status"]["phase"] == "Running"), "{name} has not run");
    }
    Ok(())
}

#[test]
fn pods_that_do_not_fit_together_run_one_after_the_other() -> Result<()> {
    let nacelle = Nacelle::new()?;
    let pods = ["one", "two"].map(|name| Pod::new(name).container("c", "hello", &[name], &asks("cpu: 600m")).yaml());
    let manifest = nacelle.write("pods.yaml", &pods.join("---\n"))?;
    let finished = nacelle.run(["run", "--node-cpu", "1", "-f", &manifest.to_string_lossy()])?;
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert_eq!(finished.stdout.lines().collect::<Vec<_>>(), ["one/c | Hello, one!", "two/c | Hello, two!"]);
    assert!(finished.stderr.contains("two waits: 0/1 nodes are available: 1 Insufficient cpu."), "{}", finished.stderr);
    Ok(())
}

#[test]
fn the_more_important_pod_starts_first() -> Result<()> {
    let nacelle = Nacelle::new()?;
    let class = "apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: {name: high}\nvalue: 1000\n";
    let low = Pod::new("low").container("c", "hello", &["low"], &asks("cpu: 1"));
    let high = Pod::new("high").spec("priorityClassName: high").container("c", "hello", &["high"], &asks("cpu: 1"));
    let manifest = nacelle.write("pods.yaml", &[low.yaml(), high.yaml(), class.to_owned()].join("---\n"))?;
    let finished = nacelle.run(["run", "--node-cpu", "1", "-f", &manifest.to_string_lossy()])?;
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert_eq!(finished.stdout.lines().collect::<Vec<_>>(), ["high/c | Hello, high!", "low/c  | Hello, low!"]);
    Ok(())
}

#[test]
fn a_pod_that_never_fits_ends_the_run_when_the_others_have_ended() -> Result<()> {
    let nacelle = Nacelle::new()?;
    let small = Pod::new("small").container("c", "hello", &["small"], &asks("cpu: 100m"));
    let large = Pod::new("large").container("c", "hello", &["large"], &asks("cpu: 8"));
    let manifest = nacelle.write("pods.yaml", &[large.yaml(), small.yaml()].join("---\n"))?;
    let finished = nacelle.run(["run", "--node-cpu", "1", "-f", &manifest.to_string_lossy()])?;
    assert_eq!(finished.code, 125, "{}", finished.stderr);
    assert!(finished.stdout.contains("Hello, small!"), "{}", finished.stdout);
    let words = "large cannot start: Unschedulable: 0/1 nodes are available: 1 Insufficient cpu.";
    assert!(finished.stderr.contains(words), "{}", finished.stderr);
    assert!(finished.stderr.contains("it can never start here"), "{}", finished.stderr);
    Ok(())
}
