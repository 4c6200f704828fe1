//! Linux containers of a user who is not root: `nacelle` runs as a user of the case's own, with subordinate ids.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;

use anyhow::{Context as _, Result};
use nacelle_tests::{Pod, Unprivileged, have, skip};

use crate::linux::shell;
use crate::linux_pods::{LABELS, POLICY};

const IMAGE: &str = "oci:busybox:1";

/// A container's `securityContext` for root.
const ROOT: &str = "securityContext: {runAsUser: 0}";

fn nothing() -> Vec<String> {
    Vec::new()
}

#[test]
fn a_pod_runs_with_the_users_ids_and_leaves_nothing() -> Result<()> {
    let Some(user) = Unprivileged::new()? else { return Ok(()) };
    let script = "id -u; cat /proc/self/uid_map; hostname; echo $FROM; mkdir /tmp/mine && chmod 700 /tmp/mine && \
                  touch /tmp/mine/file && stat -c %u /tmp/mine /bin; grep -q '^overlay / ' /proc/mounts && echo overlay; \
                  ls /proc | grep -c '^[0-9]'; exit 7";
    let finished = user.run(&shell(script, ""))?;
    let (own, first) = user.ids();
    let lines: Vec<_> =
        finished.stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let maps = [format!("0 {own} 1"), format!("1 {first} 10000")];
    let expected = ["1000", &maps[0], &maps[1], "p", "image", "1000", "0", "overlay"];
    assert_eq!((finished.code, lines.get(..8)), (7, Some(&expected.map(str::to_owned)[..])), "{}", finished.stderr);
    assert_eq!(user.left()?, nothing());
    Ok(())
}

#[test]
fn an_images_files_have_their_owners() -> Result<()> {
    let Some(user) = Unprivileged::new()? else { return Ok(()) };
    let script = "stat -c '%u:%g %a' / /home/app /home/app/note /home/app/up; cat /home/app/note; touch /home/app/new";
    // As root and as its user, and again from the tree that is there by then.
    for more in ["", ROOT] {
        let finished = user.run(&shell(script, more))?;
        let expected = "0:0 755\n1000:1000 700\n1000:1000 400\n1000:1000 4755\nprivate\n";
        assert_eq!((finished.code, finished.stdout.as_str()), (0, expected), "{}", finished.stderr);
    }
    assert_eq!(user.left()?, nothing());
    Ok(())
}

#[test]
fn containers_of_both_kinds_share_network_and_volumes() -> Result<()> {
    let Some(user) = Unprivileged::new()? else { return Ok(()) };
    let mounts = "volumeMounts: [{name: data, mountPath: /d}, {name: config, mountPath: /c}, {name: config, mountPath: /key, subPath: key}]";
    let server = "mkdir /d/closed && chmod 700 /d/closed && touch /d/closed/file; exec 2>/dev/null; cat /c/key /key /d/wasm; \
                  echo x > /c/key || echo read-only; until test -e /tmp/probed; do sleep 0.05; done; \
                  exec nc -l -p 7001 -e cat";
    let probe = "startupProbe: {exec: {command: [sh, -c, 'test \"$(id -u)\" = 1000 && echo x > /tmp/probed']}, periodSeconds: 1}";
    let ask = "until echo hello | nc 127.0.0.1 7000 2>/dev/null; do sleep 0.05; done";
    let pod = Pod::with_policy("p", "OnFailure")
        .spec("volumes: [{name: data, emptyDir: {}}, {name: config, configMap: {name: c}}]")
        .init("write", "hello", &["write", "/d/wasm", "from wasm"], mounts)
        .image("linux", IMAGE, &[server], &format!("{mounts}\n{probe}"))
        .image("linux-client", IMAGE, &[ask], "")
        .container("wasm-server", "tcp-echo-server", &["127.0.0.1:7000", "1"], "")
        .container("wasm-client", "tcp-echo-client", &["127.0.0.1:7001", "hi"], "");
    let config = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {key: \"value\\n\"}\n";
    let finished = user.start(&format!("{}{config}", pod.yaml()))?.finish()?;
    assert_eq!(finished.code, 0, "{}{}", finished.stdout, finished.stderr);
    let of = |name: &str| -> Vec<&str> {
        let prefix = format!("p/{name} ");
        let lines = finished.stdout.lines().filter(|line| line.starts_with(&prefix));
        lines.filter_map(|line| Some(line.split_once("| ")?.1)).collect()
    };
    assert_eq!(of("linux"), ["value", "value", "from wasm", "read-only"], "{}", finished.stderr);
    assert_eq!((of("linux-client"), of("wasm-client")), (vec!["hello"], vec!["hi"]), "{}", finished.stderr);
    assert_eq!(user.left()?, nothing());
    Ok(())
}

/// A port of the host that nobody has.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

#[test]
fn a_host_port_leads_in_and_probes_are_answered() -> Result<()> {
    let Some(user) = Unprivileged::new()? else { return Ok(()) };
    let port = free_port()?;
    let serve =
        "mkdir /tmp/www; echo page > /tmp/www/index.html; httpd -p 8080 -h /tmp/www; exec nc -ll -p 7000 -e cat";
    let probes = "startupProbe: {httpGet: {port: 8080, path: /index.html}, periodSeconds: 1}\n\
                  livenessProbe: {tcpSocket: {port: 7000}, periodSeconds: 1, failureThreshold: 1}";
    let ports = format!("ports: [{{containerPort: 7000, hostPort: {port}, hostIP: 127.0.0.1}}]");
    // The second one starts when the first one's startup probe has been answered.
    let sidecar = format!(
        "  initContainers:\n    - name: server\n      image: '{IMAGE}'\n      restartPolicy: Always\n      args: [\"{serve}\"]\n{}",
        format!("{probes}\n{ports}").lines().map(|line| format!("      {line}\n")).collect::<String>()
    );
    let pod = shell("echo ready; sleep 1000", "").spec("terminationGracePeriodSeconds: 1").yaml();
    let mut running = user.start(&pod.replace("  containers:\n", &format!("{sidecar}  containers:\n")))?;
    running.wait_for_line("ready")?;
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(b"from outside")?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    assert_eq!(answer, "from outside");
    running.signal("TERM")?;
    let finished = running.finish()?;
    assert!(!finished.stderr.contains("Liveness probe failed"), "{}", finished.stderr);
    assert_eq!(user.left()?, nothing());
    Ok(())
}

#[test]
fn pasta_leads_out() -> Result<()> {
    let Some(user) = Unprivileged::new()? else { return Ok(()) };
    if !have("pasta") {
        return Ok(());
    }
    if !Path::new("/dev/net/tun").exists() {
        skip("there is no /dev/net/tun");
        return Ok(());
    }
    // A host with a default route, and a server that is not at the address that pods have of it.
    let user = user.apart().before(
        "ip link set lo up; ip link add out0 type veth peer name far0; ip link set far0 up; ip address add 198.51.100.2/24 dev out0; ip link set out0 up
         ip route add default via 198.51.100.1; ip address add 203.0.113.9/32 dev lo
         echo outside >$home/page; busybox httpd -f -p 7000 -h $home >/dev/null 2>&1 & server=$!
         (while kill -0 $$ 2>/dev/null; do sleep 0.1; done; kill $server) >/dev/null 2>&1 &",
    );
    let ask = "wget -qO- http://203.0.113.9:7000/page";
    let finished = user.run(&shell(ask, ""))?;
    assert_eq!((finished.code, finished.stdout.as_str()), (0, "outside\n"), "{}", finished.stderr);
    // Where a policy lets it.
    let kept_in = shell(ask, "").yaml().replacen("metadata:\n", LABELS, 1);
    let finished = user.start(&format!("{kept_in}---\n{POLICY}"))?.finish()?;
    let refused = finished.stderr.contains("can't connect") || finished.stdout.contains("can't connect");
    assert!(finished.code == 1 && refused, "{finished:?}");
    assert_eq!(user.left()?, nothing());
    Ok(())
}

#[test]
fn without_pasta_it_is_said_that_nothing_leads_out() -> Result<()> {
    let Some(user) = Unprivileged::new()? else { return Ok(()) };
    let user = user.before(
        "for pasta in /usr/bin/pasta /usr/local/bin/pasta; do ! test -e $pasta || mount --bind /dev/null $pasta; done",
    );
    let finished = user.run(&shell("echo runs", ""))?;
    assert_eq!((finished.code, finished.stdout.as_str()), (0, "runs\n"), "{}", finished.stderr);
    assert!(finished.stderr.contains("takes pasta: it is not installed (package passt)"), "{}", finished.stderr);
    Ok(())
}

#[test]
fn what_cannot_be_enforced_is_refused_by_its_field() -> Result<()> {
    let Some(user) = Unprivileged::new()? else { return Ok(()) };
    let privileged = "securityContext: {privileged: true}\nvolumeMounts: [{name: data, mountPath: /d, mountPropagation: Bidirectional}]";
    let volume = "volumes: [{name: data, emptyDir: {}}]";
    for (more, spec, words) in [
        (
            "resources: {limits: {memory: 32Mi}}",
            "",
            "resources.limits.memory cannot be enforced for Linux containers without root",
        ),
        (
            "resources: {limits: {cpu: 500m}}",
            "",
            "resources.limits.cpu cannot be enforced for Linux containers without root",
        ),
        ("", "hostPID: true", "spec.hostPID: the host's processes cannot be shown without root"),
        ("", "hostUsers: false", "spec.hostUsers: false"),
        (privileged, volume, "mountPropagation: Bidirectional takes root"),
        ("securityContext: {runAsUser: 20000}", "", "run with the id 20000"),
    ] {
        let finished = user.run(&shell("true", more).spec(spec))?;
        assert_eq!(finished.code, 125, "{more}{spec}: {}", finished.stderr);
        assert!(finished.stderr.contains(words), "{words}: {}", finished.stderr);
    }
    // Requests are no promise to hold anything back.
    let finished = user.run(&shell("echo runs", "resources: {requests: {cpu: 10m, memory: 1Mi}}"))?;
    assert_eq!((finished.code, finished.stdout.as_str()), (0, "runs\n"), "{}", finished.stderr);
    assert_eq!(user.left()?, nothing());
    Ok(())
}

#[test]
fn what_is_missing_is_named_with_what_to_do() -> Result<()> {
    let Some(user) = Unprivileged::new()? else { return Ok(()) };
    std::fs::write(user.ids_file(), "somebody:1000000:65536\n")?;
    let finished = user.run(&shell("true", ""))?;
    assert_eq!(finished.code, 125, "{}", finished.stderr);
    let words = "need ids in /etc/subuid: the user tester has none. As root add a line such as `tester:100000:65536`";
    assert!(finished.stderr.contains(words), "{}", finished.stderr);
    // A pod of WebAssembly alone needs none of it.
    let finished = user.run(&Pod::new("p").container("c", "hello", &["exit", "3"], ""))?;
    assert_eq!(finished.code, 3, "{}", finished.stderr);
    let Some(user) = Unprivileged::new()? else { return Ok(()) };
    let user = user.before("mount --bind /dev/null \"$(command -v newuidmap)\"");
    let finished = user.run(&shell("true", ""))?;
    assert_eq!(finished.code, 125, "{}", finished.stderr);
    let words = "need newuidmap, which is not installed: install the package uidmap";
    assert!(finished.stderr.contains(words), "{}", finished.stderr);
    assert_eq!(user.left()?, nothing());
    Ok(())
}

#[test]
fn a_killed_run_is_cleaned_up_by_the_next_one() -> Result<()> {
    let Some(user) = Unprivileged::new()? else { return Ok(()) };
    let script = "mkdir /d/closed && chmod 700 /d/closed && touch /d/closed/file; echo ready; sleep 1000";
    let pod =
        shell(script, "volumeMounts: [{name: data, mountPath: /d}]").spec("volumes: [{name: data, emptyDir: {}}]");
    let mut running = user.start(&pod.yaml())?;
    running.wait_for_line("ready")?;
    running.signal("KILL")?;
    running.finish()?;
    assert!(user.processes()?.iter().any(|(_, command)| command.contains("sleep 1000")), "it lives on");
    let finished = user.run(&shell("echo next", ""))?;
    assert_eq!((finished.code, finished.stdout.as_str()), (0, "next\n"), "{}", finished.stderr);
    assert_eq!(user.left()?, nothing());
    // With its monitor, the kernel ends all that the pod has, whatever it has become.
    let script = "start-stop-daemon -S -b -c 5 -x /bin/sleep -- 998; until ps | grep -q '^ *[0-9]* 5 .*sleep 998'; do sleep 0.05; done; echo ready; sleep 1000";
    let mut running = user.start(&shell(script, ROOT).yaml())?;
    running.wait_for_line("ready")?;
    let monitor = user.processes()?.into_iter().find(|(_, command)| command.contains("__linux-monitor /"));
    let (monitor, _) = monitor.context("no monitor")?;
    nacelle_tests::succeed("kill", &["-KILL", &monitor.to_string()])?;
    let finished = running.finish()?;
    assert_ne!(finished.code, 0, "{}", finished.stderr);
    assert_eq!(user.left()?, nothing());
    Ok(())
}

#[test]
fn it_stops_within_its_grace_period() -> Result<()> {
    let Some(user) = Unprivileged::new()? else { return Ok(()) };
    let mut running =
        user.start(&shell("trap 'echo bye; exit 0' TERM; echo ready; while true; do sleep 0.1; done", "").yaml())?;
    running.wait_for_line("ready")?;
    running.signal("TERM")?;
    let finished = running.finish()?;
    assert!(finished.stdout.contains("bye"), "{}{}", finished.stdout, finished.stderr);
    assert_eq!(user.left()?, nothing());
    Ok(())
}

#[test]
fn processes_are_shared_and_what_a_container_leaves_is_ended() -> Result<()> {
    let Some(user) = Unprivileged::new()? else { return Ok(()) };
    let seen = "until ps -o args | grep -q '^sleep 999'; do sleep 0.05; done; echo seen; touch /d/seen; \
                until ! ps -o args | grep -q '^sleep 999'; do sleep 0.05; done; echo gone";
    let mounts = "volumeMounts: [{name: data, mountPath: /d}]";
    let pod = Pod::new("p")
        .spec("shareProcessNamespace: true\nvolumes: [{name: data, emptyDir: {}}]")
        .image("leaver", IMAGE, &["sleep 999 & until test -e /d/seen; do sleep 0.05; done"], mounts)
        .image("watcher", IMAGE, &[seen], mounts);
    let finished = user.run(&pod)?;
    assert_eq!(
        (finished.code, finished.stdout.as_str()),
        (0, "p/watcher | seen\np/watcher | gone\n"),
        "{}",
        finished.stderr
    );
    assert_eq!(user.left()?, nothing());
    Ok(())
}

#[test]
fn the_hosts_network_can_be_had() -> Result<()> {
    let Some(user) = Unprivileged::new()? else { return Ok(()) };
    let port = free_port()?;
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    let pod = shell(&format!("ls /sys/class/net | grep -qx lo && echo hi | nc 127.0.0.1 {port}"), "")
        .spec("hostNetwork: true");
    let running = user.start(&pod.yaml())?;
    let (mut stream, _) = listener.accept()?;
    let mut said = String::new();
    stream.read_to_string(&mut said)?;
    drop(stream);
    assert_eq!(said, "hi\n");
    let finished = running.finish()?;
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert_eq!(user.left()?, nothing());
    Ok(())
}

#[test]
fn webassembly_of_other_pods_reaches_it() -> Result<()> {
    let Some(user) = Unprivileged::new()? else { return Ok(()) };
    let server = Pod::new("server").spec("terminationGracePeriodSeconds: 1");
    let server = server.image(
        "c",
        IMAGE,
        &["echo at $POD_IP; exec nc -ll -p 7001 -e cat"],
        "env: [{name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]",
    );
    // Which of the two it has is not known yet; a client that comes before its server is started again.
    let mut client = Pod::with_policy("client", "OnFailure").spec("terminationGracePeriodSeconds: 1");
    for last in [2, 3] {
        client = client.container(&format!("c{last}"), "tcp-echo-client", &[&format!("10.87.0.{last}:7001"), "hi"], "");
    }
    let mut running = user.start(&format!("{}---\n{}", server.yaml(), client.yaml()))?;
    let said = running.wait_for_line("hi")?;
    running.signal("TERM")?;
    let finished = running.finish()?;
    let address = finished.stdout.lines().find_map(|line| line.split_once("| at ")).context("no address")?.1;
    assert!(
        said.starts_with(&format!("client/c{} ", address.rsplit('.').next().unwrap_or_default())),
        "{said} {address}"
    );
    assert!(finished.stderr.contains("do not reach other pods"), "{}", finished.stderr);
    assert_eq!(user.left()?, nothing());
    Ok(())
}
