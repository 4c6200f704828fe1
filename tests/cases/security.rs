//! Guests written to attack. Each attack is a case, and each leaves the rest of the pod at work and the process within
//! its bound of memory.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};
use nacelle_tests::{Nacelle, Pod, Running};

use crate::beside::{Beside, check_memory};

/// What shows that others are not harmed: a worker in the same pod that counts on.
const WITNESS: [&str; 3] = ["/w/n", "0", "0.1"];

fn start(nacelle: &Nacelle, pod: &Pod) -> Result<Running> {
    let manifest = nacelle.write("pod.yaml", &pod.yaml())?;
    nacelle.spawn(["run".as_ref(), "-f".as_ref(), manifest.as_os_str()])
}

/// Runs an attack beside a witness; returns the attacker's line with `result`.
fn attack(args: &[&str], more: &str, result: &str) -> Result<String> {
    let pod = Pod::new("p")
        .spec("terminationGracePeriodSeconds: 1\nvolumes: [{name: w, emptyDir: {medium: Memory}}]")
        .container("attacker", "attacker", args, more)
        .container("witness", "counter", &WITNESS, "volumeMounts: [{name: w, mountPath: /w}]");
    let mut beside = Beside::start(&pod.yaml(), &[])?;
    let line = beside.wait_for_line(result)?;
    // What it counts from now on it counts while the attacker holds what it has got.
    let count = |line: String| number(&format!("{line};"), "|", ";");
    let first = count(beside.wait_for_line("witness")?)?;
    assert!(count(beside.wait_for_line("witness")?)? > first, "{args:?}");
    let finished = beside.finish()?;
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
fn connections_that_nobody_reads_from_are_bounded() -> Result<()> {
    // The others start once it listens.
    let sidecar = "restartPolicy: Always\nstartupProbe: {tcpSocket: {port: 7000}, periodSeconds: 1}";
    let pod = Pod::new("p")
        .spec("terminationGracePeriodSeconds: 1")
        .init("silent", "attacker", &["silent", "0.0.0.0:7000"], sidecar)
        .container("attacker", "attacker", &["flood", "127.0.0.1:7000", "60"], "")
        .container("many", "attacker", &["connections", "127.0.0.1:7000", "60"], "");
    let mut beside = Beside::start(&pod.yaml(), &[])?;
    let [flood, many] = beside.wait_for_lines(["flood: ", "connections: "])?;
    let taken = number(&flood, "flood:", "bytes")?;
    assert!(taken > 0 && taken <= 4 << 20, "{flood}");
    let connected = number(&many, "connections:", "then")?;
    assert!(connected > 100 && connected <= 10_000 && !many.ends_with("no end"), "{many}");
    beside.finish()?;
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
    torture_in(&pod, operations.len())
}

/// Runs a pod whose container `c` is fs-torture, and waits for so many lines of it.
fn torture_in(pod: &Pod, count: usize) -> Result<Vec<String>> {
    let mut beside = Beside::start(&pod.yaml(), &[])?;
    let mut lines = Vec::new();
    while lines.len() < count {
        let line = beside.wait_for_line("p/c ")?;
        lines.push(line.split_once("| ").context("no prefix")?.1.to_owned());
    }
    beside.finish()?;
    Ok(lines)
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
    let reads: Vec<_> = lines.iter().filter(|line| line.starts_with("read ")).collect();
    assert!(reads.len() == 10 && reads.iter().all(|line| !line.contains(": ok")), "{reads:?}");
    let text = lines.join("\n");
    assert!(!text.contains("not for guests") && !text.contains("root:x:"), "{text}");
    assert_eq!(std::fs::read_to_string(outside.path().join("secret"))?, "not for guests");
    Ok(())
}

/// Exchanges two names of a directory until it is told to end; returns how often.
fn exchange(volume: &Path, one: &str, other: &str, ended: &AtomicBool) -> std::io::Result<u64> {
    let [one, other, way] = [one, other, "way"].map(|name| volume.join(name));
    let mut times = 0;
    while !ended.load(Ordering::Relaxed) {
        std::fs::rename(&one, &way)?;
        std::fs::rename(&other, &one)?;
        std::fs::rename(&way, &other)?;
        times += 1;
    }
    Ok(times)
}

/// A directory of a volume and a link that leads out of it are exchanged all the time, as by a program of the host, while a
/// guest reads and writes by that name.
#[test]
fn a_directory_that_turns_into_a_link_while_it_is_opened_leads_nowhere() -> Result<()> {
    let temp = tempfile::tempdir()?;
    // What `../target` is for the host, and for the guest: another volume at `/target` shows when a link was followed.
    let (volume, outside, own) = (temp.path().join("volume"), temp.path().join("target"), temp.path().join("own"));
    for (directory, text) in [(&volume.join("a"), "directory"), (&outside, "host"), (&own, "link")] {
        std::fs::create_dir_all(directory)?;
        std::fs::write(directory.join("file"), text)?;
    }
    std::os::unix::fs::symlink("../target", volume.join("b"))?;
    let writes: Vec<String> = (0..1000).map(|index| format!("write v/a/{index} x")).collect();
    let mut operations = vec!["probe v/a/file 20000", "probe v/b/file 20000"];
    operations.extend(writes.iter().map(String::as_str));
    let pod = Pod::new("p")
        .spec(&format!(
            "volumes: [{{name: v, hostPath: {{path: '{}'}}}}, {{name: own, hostPath: {{path: '{}'}}}}]",
            volume.display(),
            own.display()
        ))
        .container(
            "c",
            "fs-torture",
            &operations,
            "volumeMounts: [{name: v, mountPath: /v}, {name: own, mountPath: /target}]",
        );
    let ended = AtomicBool::new(false);
    let (times, lines) = std::thread::scope(|scope| {
        let exchanged = scope.spawn(|| exchange(&volume, "a", "b", &ended));
        let lines = torture_in(&pod, operations.len());
        ended.store(true, Ordering::Relaxed);
        (exchanged.join(), lines)
    });
    let (times, lines) = (times.map_err(|_| anyhow::anyhow!("panicked"))??, lines?);
    assert!(times > 1000, "{times}");
    for line in &lines[..2] {
        let seen: Vec<_> = line.split_once(": ok ").context("no outcome")?.1.split(" | ").collect();
        // Both were there, and nothing of the host's.
        assert!(seen.contains(&"directory") && seen.contains(&"link") && !seen.contains(&"host"), "{line}");
    }
    let files = |directory: &Path| anyhow::Ok(std::fs::read_dir(directory)?.count());
    let directory = if volume.join("a").is_symlink() { volume.join("b") } else { volume.join("a") };
    assert!(files(&directory)? > 1 && files(&own)? > 1, "{lines:?}");
    assert_eq!((files(&outside)?, std::fs::read_to_string(outside.join("file"))?), (1, "host".to_owned()));
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
    for (place, volume) in [("v", "emptyDir: {medium: Memory, sizeLimit: 64Mi}"), (".", "emptyDir: {}")] {
        let many = format!("many {place} 3000000");
        let pod = Pod::new("p").spec(&format!("volumes: [{{name: v, {volume}}}]")).container(
            "c",
            "fs-torture",
            // The first has it allocate what it needs to write a line: the files take all that it may have.
            &["ls nothing", &many, "ls nothing"],
            "volumeMounts: [{name: v, mountPath: /v}]\nresources: {limits: {memory: 128Mi}}",
        );
        let lines = torture_in(&pod, 3)?;
        let made = number(&lines[1], ": ok", "then insufficient-space")?;
        assert!(made > 1000 && made < 3_000_000, "{lines:?}");
    }
    Ok(())
}

/// Empty files take room, too: that of their directory, which only the file system knows.
#[test]
fn millions_of_files_on_a_disk_evict_their_pod() -> Result<()> {
    assert_evicted("128Ki", &["mkdir v/d", "many v/d 3000000"])
}

#[test]
fn a_disk_volume_that_is_too_full_evicts_its_pod() -> Result<()> {
    assert_evicted("1Mi", &["fill v/big 100000000"])
}

/// Runs fs-torture over a volume on a disk until the pod is evicted because it is too full.
fn assert_evicted(limit: &str, operations: &[&str]) -> Result<()> {
    let pod = Pod::new("p")
        .spec(&format!("volumes: [{{name: v, emptyDir: {{sizeLimit: {limit}}}}}]"))
        .container("c", "fs-torture", operations, "volumeMounts: [{name: v, mountPath: /v}]")
        .container("rest", "hello", &["sleep", "600"], "");
    let mut beside = Beside::start(&pod.yaml(), &["--output", "json"])?;
    beside.wait_for_line(&format!(r#"Usage of EmptyDir volume \"v\" exceeds the limit \"{limit}\""#))?;
    let finished = beside.finish()?;
    assert_ne!(finished.code, 0);
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
    check_memory(&running)?;
    running.signal("TERM")?;
    running.finish()?;
    Ok(())
}
