//! `nacelle validate`.

use super::support::{BROKEN, POD, World};

#[test]
fn a_valid_manifest() {
    let world = World::new();
    world.write("pod.yaml", POD);
    insta::assert_snapshot!(world.run(&["validate", "-f", "pod.yaml"]));
}

#[test]
fn all_errors_at_once() {
    let world = World::new();
    world.write("pod.yaml", BROKEN);
    insta::assert_snapshot!(world.run(&["validate", "-f", "pod.yaml"]));
}

#[test]
fn errors_as_json() {
    let world = World::new();
    world.write("pod.yaml", BROKEN);
    insta::assert_snapshot!(world.run(&["validate", "-f", "pod.yaml", "-o", "json"]));
}

#[test]
fn quiet_leaves_the_errors() {
    let world = World::new();
    world.write("pod.yaml", BROKEN);
    let output = world.output(&["validate", "-q", "-f", "pod.yaml"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.lines().count() > 0 && !text.contains("warning:") && !text.contains("manifest\n"), "{text}");
}

#[test]
fn standard_input() {
    insta::assert_snapshot!(World::new().run_with_input(&["validate", "-f", "-"], BROKEN));
}

#[test]
fn a_folder_is_read_in_order_and_with_r_to_its_bottom() {
    let world = World::new();
    world.write("pods/b.yaml", POD);
    world.write("pods/a.yaml", POD.replace("web", "other"));
    world.write("pods/README.md", "not a manifest");
    world.write("pods/below/c.json", r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"settings"}}"#);
    let flat = world.run(&["validate", "-f", "pods"]);
    let deep = world.run(&["validate", "-R", "-f", "pods"]);
    insta::assert_snapshot!(flat + &deep);
}

#[test]
fn what_cannot_be_read_is_no_verdict() {
    let world = World::new();
    std::fs::create_dir(world.path().join("empty")).unwrap();
    insta::assert_snapshot!(world.run(&[
        "validate",
        "-f",
        "missing.yaml",
        "-f",
        "empty",
        "-f",
        "ftp://example.com/pod.yaml"
    ]));
}

#[test]
fn a_url_that_nobody_answers() {
    // Port 1 of the loopback device: refused at once.
    let report = World::new().run(&["validate", "-f", "http://127.0.0.1:1/pod.yaml"]);
    assert!(report.contains("error: cannot read http://127.0.0.1:1/pod.yaml: "), "{report}");
    assert!(report.ends_with("--- exit code 125\n"), "{report}");
}

#[test]
fn a_manifest_from_a_server() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/pod.yaml", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        use std::io::{BufRead as _, BufReader, Write as _};
        let (mut stream, _) = listener.accept().unwrap();
        let request: Vec<String> = BufReader::new(stream.try_clone().unwrap())
            .lines()
            .map_while(Result::ok)
            .take_while(|l| !l.is_empty())
            .collect();
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{POD}", POD.len()).unwrap();
        request
    });
    let report = World::new().run(&["validate", "-f", &url]);
    assert!(report.contains("1 Pod in 1 manifest: valid"), "{report}");
    assert!(server.join().unwrap()[0].starts_with("GET /pod.yaml "));
}
