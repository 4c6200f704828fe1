//! Guests written to attack. Each attack is a case, and each leaves the rest of the pod at work and the process within
//! its bound of memory.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use anyhow::{Context as _, Result};
use nacelle_tests::{Finished, Nacelle, Pod, Running};

/// No attack may make the process larger than this; without any it is at about 100 MiB in a debug build.
const BOUND_KIB: u64 = 600 * 1024;

/// What shows that others are not harmed: a worker in the same pod that counts on.
const WITNESS: [&str; 3] = ["/w/n", "0", "1"];

fn start(nacelle: &Nacelle, pod: &Pod) -> Result<Running> {
    let manifest = nacelle.write("pod.yaml", &pod.yaml())?;
    nacelle.spawn(["run".as_ref(), "-f".as_ref(), manifest.as_os_str()])
}

fn run(nacelle: &Nacelle, pod: &Pod) -> Result<Finished> {
    start(nacelle, pod)?.finish()
}

/// The most memory that a process has had, in KiB.
fn peak_kib(running: &Running) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.pid()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}

/// Runs an attack beside a witness; returns the attacker's line with `result`.
fn attack(args: &[&str], more: &str, result: &str) -> Result<String> {
    let pod = Pod::new("p")
        .spec("terminationGracePeriodSeconds: 1\nvolumes: [{name: w, emptyDir: {medium: Memory}}]")
        .container("attacker", "attacker", args, more)
        .container("witness", "counter", &WITNESS, "volumeMounts: [{name: w, mountPath: /w}]");
    let nacelle = Nacelle::new()?;
    let mut running = start(&nacelle, &pod)?;
    let line = running.wait_for_line(result)?;
    let peak = peak_kib(&running)?;
    assert!(peak < BOUND_KIB, "{args:?}: {peak} KiB");
    running.signal("TERM")?;
    let finished = running.finish()?;
    assert_eq!(finished.code, 143, "{}{}", finished.stdout, finished.stderr);
    Ok(line)
}

fn number(line: &str, before: &str, after: &str) -> Result<u64> {
    let rest = line.split_once(before).context("no number")?.1;
    Ok(rest.split_once(after).context("no number")?.0.trim().parse()?)
}

#[test]
fn sockets_run_out_for_the_one_who_takes_them_all() -> Result<()> {
    let line = attack(&["sockets", "60"], "", "sockets: ")?;
    assert!(line.ends_with("then new-socket-limit"), "{line}");
    assert!(number(&line, "sockets:", "then")? <= 10_000, "{line}");
    Ok(())
}

#[test]
fn ports_run_out_for_the_one_who_takes_them_all() -> Result<()> {
    let line = attack(&["ports", "60"], "", "ports: ")?;
    assert!(number(&line, "ports:", "then")? <= 10_000, "{line}");
    Ok(())
}

#[test]
fn connections_that_nobody_accepts_are_bounded() -> Result<()> {
    let pod = Pod::new("p")
        .spec("terminationGracePeriodSeconds: 1")
        .container("silent", "attacker", &["silent", "127.0.0.1:7000"], "")
        .container("attacker", "attacker", &["flood", "127.0.0.1:7000", "60"], "")
        .container("many", "attacker", &["connections", "127.0.0.1:7000", "60"], "env: [{name: PATIENCE, value: '5'}]");
    let nacelle = Nacelle::new()?;
    let mut running = start(&nacelle, &pod)?;
    let flood = running.wait_for_line("flood: ")?;
    assert!(number(&flood, "flood:", "bytes")? <= 4 << 20, "{flood}");
    let peak = peak_kib(&running)?;
    assert!(peak < BOUND_KIB, "{peak} KiB");
    running.signal("TERM")?;
    running.finish()?;
    Ok(())
}

/// Runs fs-torture's operations over a volume and returns its lines without the container's name.
fn torture(volume: &str, operations: &[&str]) -> Result<Vec<String>> {
    let pod = Pod::new("p").spec(&format!("volumes: [{{name: v, {volume}}}]")).container(
        "c",
        "fs-torture",
        operations,
        "volumeMounts: [{name: v, mountPath: /v}]",
    );
    let finished = run(&Nacelle::new()?, &pod)?;
    assert_eq!(finished.code, 0, "{}{}", finished.stdout, finished.stderr);
    Ok(finished.stdout.lines().map(str::to_owned).collect())
}

#[test]
fn no_path_leads_out_of_a_volume_of_the_host() -> Result<()> {
    let outside = tempfile::tempdir()?;
    std::fs::write(outside.path().join("secret"), "not for guests")?;
    let volume = outside.path().join("volume");
    std::fs::create_dir(&volume)?;
    std::os::unix::fs::symlink("../secret", volume.join("relative"))?;
    std::os::unix::fs::symlink(outside.path().join("secret"), volume.join("absolute"))?;
    std::os::unix::fs::symlink("..", volume.join("up"))?;
    let source = format!("hostPath: {{path: '{}'}}", volume.display());
    let lines = torture(
        &source,
        &[
            "read v/relative",
            "read v/absolute",
            "read v/up/secret",
            "read v/../secret",
            "read v/../../../../../../../../etc/passwd",
            "read /etc/passwd",
            "symlink ../secret v/made",
            "read v/made",
            "symlink /etc v/etc",
            "read v/etc/passwd",
            "link v/relative v/linked",
            "read v/linked",
            "rename v/relative v/moved",
            "read v/moved",
        ],
    )?;
    let text = lines.join("\n");
    assert!(!text.contains("not for guests") && !text.contains("root:x:"), "{text}");
    assert_eq!(std::fs::read_to_string(outside.path().join("secret"))?, "not for guests");
    Ok(())
}

#[test]
fn a_directory_that_turns_into_a_link_while_it_is_opened_leads_nowhere() -> Result<()> {
    let outside = tempfile::tempdir()?;
    let volume = outside.path().join("volume");
    std::fs::create_dir_all(volume.join("a"))?;
    std::fs::create_dir_all(outside.path().join("target"))?;
    std::fs::write(outside.path().join("target/file"), "not for guests")?;
    std::fs::write(volume.join("a/file"), "for guests")?;
    std::os::unix::fs::symlink("../target", volume.join("b"))?;
    let mount = "volumeMounts: [{name: v, mountPath: /v}]";
    let pod = Pod::new("p")
        .spec(&format!("volumes: [{{name: v, hostPath: {{path: '{}'}}}}]", volume.display()))
        .container("swapper", "fs-torture", &["swap v/a v/c 3000", "swap v/b v/a2 3000"], mount)
        .container("prober", "fs-torture", &["probe v/a/file 6000", "probe v/b/file 2000"], mount);
    let finished = run(&Nacelle::new()?, &pod)?;
    assert_eq!(finished.code, 0, "{}{}", finished.stdout, finished.stderr);
    assert!(!finished.stdout.contains("not for guests"), "{}", finished.stdout);
    Ok(())
}

#[test]
fn names_and_paths_have_their_length() -> Result<()> {
    for volume in ["emptyDir: {}", "emptyDir: {medium: Memory}"] {
        let lines = torture(
            volume,
            &[
                "create v/{n*65536}",
                "create v/{n*256}",
                "create v/{n*255}",
                "mkdir {v/*40000}x",
                "symlink {t*100000} v/l",
            ],
        )?;
        let outcome = |index: usize| lines[index].rsplit_once(": ").map(|(_, outcome)| outcome.to_owned());
        assert_eq!(outcome(0).as_deref(), Some("name-too-long"), "{}", volume);
        assert_eq!(outcome(1).as_deref(), Some("name-too-long"), "{}", volume);
        assert_eq!(outcome(2).as_deref(), Some("ok"), "{}", volume);
        assert_eq!(outcome(3).as_deref(), Some("name-too-long"), "{}", volume);
        assert_ne!(outcome(4).as_deref(), Some("ok"), "{}", volume);
    }
    Ok(())
}

#[test]
fn a_memory_volume_holds_what_it_may_and_no_more() -> Result<()> {
    let lines = torture("emptyDir: {medium: Memory, sizeLimit: 1Mi}", &["fill v/big 100000000", "stat v/big"])?;
    assert!(number(&lines[0], ": ok", "then insufficient-space")? <= 1 << 20, "{lines:?}");
    Ok(())
}

#[test]
fn millions_of_files_do_not_fit_into_memory() -> Result<()> {
    let pod = Pod::new("p")
        .spec("volumes: [{name: v, emptyDir: {medium: Memory, sizeLimit: 64Mi}}]\nterminationGracePeriodSeconds: 1")
        .container(
            "c",
            "fs-torture",
            // The first has it allocate what it needs to write a line: the files take all that it may have.
            &["ls nothing", "many v 3000000", "ls nothing"],
            "volumeMounts: [{name: v, mountPath: /v}]\nresources: {limits: {memory: 128Mi}}",
        )
        .container("rest", "hello", &["sleep", "600"], "");
    let nacelle = Nacelle::new()?;
    let mut running = start(&nacelle, &pod)?;
    let line = running.wait_for_line("many v")?;
    let peak = peak_kib(&running)?;
    assert!(peak < BOUND_KIB, "{peak} KiB");
    assert!(number(&line, ": ok", "then")? < 3_000_000, "{line}");
    running.signal("TERM")?;
    running.finish()?;
    Ok(())
}

#[test]
fn a_disk_volume_that_is_too_full_evicts_its_pod() -> Result<()> {
    let pod = Pod::new("p")
        .spec("volumes: [{name: v, emptyDir: {sizeLimit: 1Mi}}]")
        .container("c", "fs-torture", &["fill v/big 100000000"], "volumeMounts: [{name: v, mountPath: /v}]")
        .container("rest", "hello", &["sleep", "600"], "");
    let nacelle = Nacelle::new()?;
    let finished = run(&nacelle, &pod)?;
    assert_ne!(finished.code, 0);
    assert!(
        finished.stderr.contains("Usage of EmptyDir volume \"v\" exceeds the limit \"1Mi\""),
        "{}",
        finished.stderr
    );
    Ok(())
}

/// An HTTP component behind a port of the host.
fn http_server() -> Result<(Nacelle, Running, u16)> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let pod = Pod::new("p").spec("terminationGracePeriodSeconds: 1").container(
        "c",
        "http-server",
        &[],
        &format!("ports: [{{name: http, containerPort: 8080, hostPort: {port}}}]"),
    );
    let nacelle = Nacelle::new()?;
    let running = start(&nacelle, &pod)?;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while std::time::Instant::now() < deadline && get(port, "/", "").is_err() {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    Ok((nacelle, running, port))
}

fn get(port: u16, path: &str, headers: &str) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}\r\n").as_bytes())?;
    let mut answer = Vec::new();
    // A server that has had enough may reset the connection after its answer.
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    answer.starts_with("HTTP/1.1 ").then_some(answer).context("no answer")
}

#[test]
fn headers_and_silent_clients_are_bounded() -> Result<()> {
    let (_nacelle, running, port) = http_server()?;
    assert!(get(port, "/", "")?.starts_with("HTTP/1.1 200"));

    let huge = format!("X-Huge: {}\r\n", "x".repeat(1 << 20));
    assert!(!get(port, "/", &huge).is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")));
    let many: String = (0..10_000).map(|index| format!("X-{index}: x\r\n")).collect();
    assert!(!get(port, "/", &many).is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")));
    let path = format!("/{}", "x".repeat(1 << 20));
    assert!(!get(port, &path, "").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")));

    // Clients that say nothing, and clients that never read, keep nobody else from being served.
    let mut idle = Vec::new();
    for index in 0..200 {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        match index % 3 {
            0 => {}
            1 => stream.write_all(b"GET / HT")?,
            _ => stream.write_all(&b"GET /headers HTTP/1.1\r\nHost: test\r\n\r\n".repeat(50))?,
        }
        idle.push(stream);
    }
    assert!(get(port, "/", "")?.starts_with("HTTP/1.1 200"));
    let peak = peak_kib(&running)?;
    assert!(peak < BOUND_KIB, "{peak} KiB");
    running.signal("TERM")?;
    running.finish()?;
    Ok(())
}
