//! Each guest sample does what it is for.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use anyhow::{Context, Result};
use nacelle_tests::{Finished, Nacelle, Pod, Records};

fn run(pod: &Pod) -> Result<Finished> {
    let nacelle = Nacelle::new()?;
    let manifest = nacelle.write("pod.yaml", &pod.yaml())?;
    nacelle.run(["run".as_ref(), "-f".as_ref(), manifest.as_os_str()])
}

fn run_json(pod: &Pod) -> Result<(Records, i32)> {
    let nacelle = Nacelle::new()?;
    let manifest = nacelle.write("pod.yaml", &pod.yaml())?;
    let finished =
        nacelle.run(["run".as_ref(), "--output".as_ref(), "json".as_ref(), "-f".as_ref(), manifest.as_os_str()])?;
    Ok((Records::parse(&finished.stdout)?, finished.code))
}

/// A port that nobody listens on now.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn exit_code(sample: &str, args: &[&str]) -> Result<i32> {
    Ok(run(&Pod::new("exits").container("c", sample, args, ""))?.code)
}

#[test]
fn exit_codes_are_exact_for_components_and_for_core_modules() -> Result<()> {
    for code in ["0", "1", "2", "42", "255"] {
        let expected: i32 = code.parse()?;
        assert_eq!(exit_code("hello", &["exit", code])?, expected, "a Rust component");
        assert_eq!(exit_code("c-hello", &["exit", code])?, expected, "a core module from C");
    }
    assert_eq!(exit_code("python-worker", &["exit", "7"])?, 7);
    assert_eq!(exit_code("js-hello", &["exit", "8"])?, 8);
    assert_eq!(exit_code("p3-hello", &["0", "9"])?, 9);
    Ok(())
}

#[test]
fn output_goes_to_stdout_plain_when_there_is_one_container() -> Result<()> {
    let finished = run(&Pod::new("p").container("c", "hello", &["stderr", "to stderr"], ""))?;
    assert_eq!((finished.stdout.as_str(), finished.code), ("to stderr\n", 0), "{}", finished.stderr);
    Ok(())
}

#[test]
fn a_crash_is_told_apart_from_an_exit() -> Result<()> {
    for mode in ["trap", "abort", "panic", "stack-overflow", "oob", "div-zero"] {
        let (records, code) = run_json(&Pod::new("p").container("c", "crasher", &[mode], ""))?;
        assert_eq!(code, 134, "{mode}");
        let terminated = &records.container_status("c")?["state"]["terminated"];
        assert_eq!(terminated["reason"], "Error", "{mode}");
        let message = terminated["message"].as_str().with_context(|| format!("{mode}: no message"))?;
        assert!(message.contains("wasm trap"), "{mode}: {message}");
        let log: Vec<&str> = records.of_type("log").filter_map(|record| record["line"].as_str()).collect();
        assert!(log.iter().any(|line| line.contains("wasm backtrace")), "{mode}: no backtrace in {log:?}");
    }
    Ok(())
}

#[test]
fn a_guest_that_wants_too_much_memory_is_oom_killed_and_only_that_one() -> Result<()> {
    let limit = "resources: {limits: {memory: 32Mi}}";
    let (records, code) = run_json(&Pod::new("p").container("c", "memory-hog", &["abort", "64"], limit))?;
    assert_eq!(code, 137);
    assert_eq!(records.container_status("c")?["state"]["terminated"]["reason"], "OOMKilled");

    let (records, code) = run_json(&Pod::new("p").container("c", "memory-hog", &["cope", "64"], limit))?;
    assert_eq!(code, 0, "a guest that copes with a refused allocation lives on");
    assert_eq!(records.container_status("c")?["state"]["terminated"]["reason"], "Completed");

    let (_, code) = run_json(&Pod::new("p").container("c", "memory-hog", &["abort", "16"], limit))?;
    assert_eq!(code, 0, "below the limit");
    Ok(())
}

#[test]
fn a_server_and_a_client_meet_on_the_host_network() -> Result<()> {
    let address = format!("127.0.0.1:{}", free_port()?);
    let pod = Pod::new("p")
        .spec("hostNetwork: true")
        .container("server", "tcp-echo-server", &[&address, "1"], "")
        .container("client", "tcp-echo-client", &[&address, "ping"], "");
    let finished = run(&pod)?;
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert!(finished.stdout.contains("ping"), "{}", finished.stdout);
    Ok(())
}

#[test]
fn an_http_component_serves_until_it_is_stopped_and_a_client_gets_its_answer() -> Result<()> {
    let port = free_port()?;
    let nacelle = Nacelle::new()?;
    let pod = Pod::new("p")
        .spec("hostNetwork: true\nterminationGracePeriodSeconds: 5")
        .container("server", "http-server", &[], &format!("ports: [{{name: http, containerPort: {port}}}]"))
        .container("client", "http-client", &[&format!("http://127.0.0.1:{port}/")], "");
    let manifest = nacelle.write("pod.yaml", &pod.yaml())?;
    let mut running = nacelle.spawn(["run".as_ref(), "-f".as_ref(), manifest.as_os_str()])?;
    running.wait_for_line("200")?;
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(b"GET /status/404 HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    running.signal("TERM")?;
    assert_eq!(running.finish()?.code, 143);
    Ok(())
}

#[test]
fn a_worker_in_python_reads_and_writes_files() -> Result<()> {
    let nacelle = Nacelle::new()?;
    nacelle.write("in.json", r#"{"numbers": [1, 2, 39]}"#)?;
    let pod = Pod::new("p")
        .spec(&format!(
            "volumes: [{{name: d, hostPath: {{path: '{}', type: Directory}}}}]",
            nacelle.work_dir().display()
        ))
        .container("c", "python-worker", &["/d/in.json", "/d/out.json"], "volumeMounts: [{name: d, mountPath: /d}]");
    let manifest = nacelle.write("pod.yaml", &pod.yaml())?;
    let finished = nacelle.run(["run".as_ref(), "-f".as_ref(), manifest.as_os_str()])?;
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let out = std::fs::read_to_string(nacelle.work_dir().join("out.json"))?;
    assert!(out.contains("42"), "{out}");
    Ok(())
}

#[test]
fn a_server_and_a_client_in_python_meet_on_localhost_by_its_own_sockets() -> Result<()> {
    let pod = Pod::new("p").container("server", "python-echo", &["serve", "127.0.0.1", "7000"], "").container(
        "client",
        "python-echo",
        &["send", "localhost", "7000", "one", "two"],
        "",
    );
    let finished = run(&pod)?;
    assert_eq!(finished.code, 0, "{}{}", finished.stdout, finished.stderr);
    for line in ["server | accepted 127.0.0.1", "client | one", "client | two"] {
        assert!(finished.stdout.contains(line), "{line}: {}", finished.stdout);
    }
    Ok(())
}

#[test]
fn spinners_do_not_keep_others_from_running() -> Result<()> {
    // More busy guests than cores, and one that only wants to print.
    let mut pod = Pod::new("p").spec("terminationGracePeriodSeconds: 0");
    for number in 0..4 {
        pod = pod.container(&format!("busy-{number}"), "spinner", &[], "");
    }
    let pod = pod.container("quiet", "hello", &["me"], "");
    let nacelle = Nacelle::new()?;
    let manifest = nacelle.write("pod.yaml", &pod.yaml())?;
    let mut running = nacelle.spawn(["run".as_ref(), "-f".as_ref(), manifest.as_os_str()])?;
    running.wait_for_line("Hello, me!")?;
    running.signal("INT")?;
    assert_eq!(running.finish()?.code, 130);
    Ok(())
}
