//! Requests per second of an HTTP component: nacelle beside `wasmtime serve`, and beside hyper without any guest.
//!
//! Needs `wrk`, and `wasmtime` (or `$WASMTIME`) of the version that nacelle is built with for the first of them; what is
//! missing is said. Prints a table: a load generator counts better than a stopwatch.
//!
//! All servers are up together and are loaded in turns, several times: what else the machine does for a while is then not
//! one server's alone. Those that are not loaded do nothing.

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

/// How often each server is loaded; the medians count.
const ROUNDS: usize = 5;
/// For how long each time, in seconds.
const SECONDS: u32 = 3;
/// For how long before the first time, in seconds: code that is compiled for a component because it gets many requests
/// is there by then.
const WARM_UP: u32 = 3;
/// How long a server may take to come up; the first time it compiles the guest.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was measured of one server.
struct Server {
    name: &'static str,
    port: u16,
    rates: Vec<f64>,
    /// Milliseconds.
    p99s: Vec<f64>,
}

impl Server {
    fn new(name: &'static str, port: u16) -> Self {
        wait_for(port);
        wrk(port, WARM_UP);
        Self { name, port, rates: Vec::new(), p99s: Vec::new() }
    }

    fn load(&mut self) {
        let (rate, p99) = wrk(self.port, SECONDS);
        self.rates.push(rate);
        self.p99s.push(p99);
    }

    /// The median of what it answered for each request that `other` answered in the same round.
    fn ratio(&self, other: &Self) -> f64 {
        median(self.rates.iter().zip(&other.rates).map(|(own, other)| own / other))
    }
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
    let runtime = Runtime::new().unwrap();
    let mut servers = vec![Server::new("hyper, no guest", serve_with_hyper(&runtime))];
    servers.extend(served.as_ref().map(|(_, port)| Server::new("wasmtime serve", *port)));
    let kinds = [
        ("nacelle, hostNetwork", true, ""),
        ("nacelle, hostNetwork, reuse", true, "nacelle.dev/http-reuse: '10000'"),
        ("nacelle, hostPort", false, ""),
        ("nacelle, hostPort, reuse", false, "nacelle.dev/http-reuse: '10000'"),
    ];
    let ports = kinds.map(|_| free_port());
    let manifests = kinds.iter().zip(ports).map(|((_, on_host, annotations), port)| pod(*on_host, annotations, port));
    let manifests: String = manifests.collect();
    let (world, pods) = runtime.block_on(async {
        let world = World::new().unwrap();
        let pods = world.start_and_wait(&manifests).await.unwrap();
        (world, pods)
    });
    servers.extend(kinds.iter().zip(ports).map(|((name, ..), port)| Server::new(name, port)));
    for _ in 0..ROUNDS {
        servers.iter_mut().for_each(Server::load);
    }
    runtime.block_on(stop(pods));
    drop(world);

    println!("{:<30} {:>12} {:>10} {:>18} {:>18}", "", "requests/s", "p99", "to wasmtime serve", "to hyper");
    let wasmtime = served.is_some().then(|| &servers[1]);
    for server in &servers {
        let to_wasmtime = wasmtime.map_or_else(|| "-".to_owned(), |other| format!("{:.2}x", server.ratio(other)));
        println!(
            "{:<30} {:>12.0} {:>7.2} ms {to_wasmtime:>18} {:>17.2}x",
            server.name,
            median(server.rates.iter().copied()),
            median(server.p99s.iter().copied()),
            server.ratio(&servers[0])
        );
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
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

fn serve_with_wasmtime(wasmtime: &str) -> (Ends, u16) {
    let port = free_port();
    let server = Command::new(wasmtime)
        .args(["serve", "-Scli", "--addr"])
        .arg(format!("127.0.0.1:{port}"))
        .arg(guest("http-server"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    (Ends(server), port)
}

fn serve_with_hyper(runtime: &Runtime) -> u16 {
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
    port
}

/// A pod that is reached at `port` of this machine.
fn pod(on_host: bool, annotations: &str, port: u16) -> String {
    let ports = if on_host {
        format!("{{name: http, containerPort: {port}}}")
    } else {
        format!("{{name: http, containerPort: 8080, hostPort: {port}}}")
    };
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: http-{port}, annotations: {{{annotations}}}}}\nspec:\n  \
         hostNetwork: {on_host}\n  containers:\n  - {{name: a, image: 'file:{}', ports: [{ports}]}}\n---\n",
        guest("http-server").display()
    )
}

/// Loads a server by sixteen connections, one request after another on each: requests per second, and p99 in
/// milliseconds.
fn wrk(port: u16, seconds: u32) -> (f64, f64) {
    let output = Command::new("wrk")
        .args(["-t1", "-c16", "--latency", &format!("-d{seconds}s"), &format!("http://127.0.0.1:{port}/hello")])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let value = |label: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(label)).map(str::trim);
        assert!(line.is_some(), "wrk says nothing of {label}:\n{text}");
        line.unwrap_or_default()
    };
    assert!(!text.contains("Non-2xx") && !text.contains("Socket errors"), "{text}");
    (value("Requests/sec:").parse().unwrap(), milliseconds(value("99%")).unwrap())
}

/// A time as wrk writes it.
fn milliseconds(text: &str) -> Option<f64> {
    let units = [("us", 0.001), ("ms", 1.0), ("s", 1000.0)];
    units.into_iter().find_map(|(unit, factor)| Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * factor))
}
