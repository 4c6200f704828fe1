//! Requests per second of an HTTP component: nacelle beside `wasmtime serve`, and beside hyper without any guest.
//!
//! Needs `wrk`, and `wasmtime` (or `$WASMTIME`) of the version that nacelle is built with for the first of them; what is
//! missing is said. Prints a table: a load generator counts better than a stopwatch.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark that cannot run has failed")]

use std::convert::Infallible;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use nacelle_benches::{World, guest, stop};
use tokio::runtime::Runtime;

/// How long each server is loaded, in seconds.
const SECONDS: u32 = 5;
/// For how long before that, in seconds.
const WARM_UP: u32 = 3;
/// How long a server may take to come up; the first time it compiles the guest.
const PATIENCE: Duration = Duration::from_secs(60);

struct Measured {
    requests_per_second: f64,
    p99: String,
}

fn main() {
    // `cargo bench` says --bench; without it this is a test run, which measures nothing.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let wasmtime = std::env::var("WASMTIME").unwrap_or_else(|_| "wasmtime".to_owned());
    let is_there = |program: &str, flag| {
        let found = Command::new(program).arg(flag).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
        if !found {
            println!("skipped: {program} is not installed");
        }
        found
    };
    if !is_there("wrk", "-v") {
        return;
    }
    let served = is_there(&wasmtime, "--version").then(|| serve_with_wasmtime(&wasmtime));
    let bare = serve_with_hyper();
    let pods = [
        ("nacelle, hostNetwork", "hostNetwork: true", "", None),
        ("nacelle, hostNetwork, reuse", "hostNetwork: true", "nacelle.dev/http-reuse: '10000'", None),
        ("nacelle, hostPort", "hostNetwork: false", "", Some(())),
        ("nacelle, hostPort, reuse", "hostNetwork: false", "nacelle.dev/http-reuse: '10000'", Some(())),
    ];
    let ours = pods.map(|(name, spec, annotations, host_port)| {
        let measured = serve_with_nacelle(spec, annotations, host_port.is_some());
        (name, measured.requests_per_second, measured.p99)
    });

    println!("{:<30} {:>12} {:>10} {:>18} {:>18}", "", "requests/s", "p99", "to wasmtime serve", "to hyper");
    let to_wasmtime = served.as_ref().map(|served| served.requests_per_second);
    let to_hyper = bare.requests_per_second;
    let served = served.map(|served| ("wasmtime serve", served.requests_per_second, served.p99));
    let bare = ("hyper, no guest", bare.requests_per_second, bare.p99);
    for (name, rate, p99) in served.into_iter().chain([bare]).chain(ours) {
        let to_wasmtime = to_wasmtime.map_or_else(|| "-".to_owned(), |other| format!("{:.2}x", rate / other));
        println!("{name:<30} {rate:>12.0} {p99:>10} {to_wasmtime:>18} {:>17.2}x", rate / to_hyper);
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn wait_for(port: u16) {
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < deadline, "nobody listens on port {port}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Ends a program with the benchmark.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve_with_wasmtime(wasmtime: &str) -> Measured {
    let port = free_port();
    let server = Command::new(wasmtime)
        .args(["serve", "-Scli", "--addr"])
        .arg(format!("127.0.0.1:{port}"))
        .arg(guest("http-server"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _server = Ends(server);
    load(port)
}

fn serve_with_hyper() -> Measured {
    let runtime = Runtime::new().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let port = listener.local_addr().unwrap().port();
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(async |_| {
                Ok::<_, Infallible>(hyper::Response::new(Full::new(Bytes::from_static(b"Hello from wasi:http!\n"))))
            });
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::spawn(connection);
        }
    });
    load(port)
}

fn serve_with_nacelle(spec: &str, annotations: &str, host_port: bool) -> Measured {
    let runtime = Runtime::new().unwrap();
    let port = free_port();
    let ports = if host_port {
        format!("{{name: http, containerPort: 8080, hostPort: {port}}}")
    } else {
        format!("{{name: http, containerPort: {port}}}")
    };
    let manifest = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: http, annotations: {{{annotations}}}}}\nspec:\n  {spec}\n  \
         containers:\n  - {{name: a, image: 'file:{}', ports: [{ports}]}}\n",
        guest("http-server").display()
    );
    let (world, pods) = runtime.block_on(async {
        let world = World::new().unwrap();
        let pods = world.start_and_wait(&manifest).await.unwrap();
        (world, pods)
    });
    let measured = load(port);
    runtime.block_on(stop(pods));
    drop(world);
    measured
}

/// Sixteen connections, one after another on each; the first seconds only warm up: code that is compiled for a component
/// because it gets many requests is there by then.
fn load(port: u16) -> Measured {
    wait_for(port);
    wrk(port, WARM_UP);
    wrk(port, SECONDS)
}

fn wrk(port: u16, seconds: u32) -> Measured {
    let output = Command::new("wrk")
        .args(["-t1", "-c16", "--latency", &format!("-d{seconds}s"), &format!("http://127.0.0.1:{port}/hello")])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let value = |label: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(label)).map(str::trim);
        assert!(line.is_some(), "wrk says nothing of {label}:\n{text}");
        line.unwrap_or_default().to_owned()
    };
    assert!(!text.contains("Non-2xx") && !text.contains("Socket errors"), "{text}");
    Measured { requests_per_second: value("Requests/sec:").parse().unwrap(), p99: value("99%") }
}
