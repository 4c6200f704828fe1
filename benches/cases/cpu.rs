//! CPU limits, shares and responsiveness, and what metering costs.
//!
//! Prints tables: what is measured is how much was used, or how late something came, not how long a function takes.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark that cannot run has failed")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nacelle_benches::{Bare, Limited, Metering, World, cpu_of_threads, guest, nanos, stop};
use tokio::runtime::Runtime;

/// How long a limit is watched.
const WATCHED: Duration = Duration::from_secs(5);
/// How often each computation is timed; the median counts.
const REPEATS: usize = 5;

fn main() {
    // `cargo bench` says --bench; without it this is a test run, which measures nothing.
    let args: Vec<String> = std::env::args().skip(1).collect();
    if !args.iter().any(|arg| arg == "--bench") {
        return;
    }
    let wanted = |name: &str| {
        let mut names = args.iter().filter(|arg| !arg.starts_with('-')).peekable();
        names.peek().is_none() || names.any(|arg| name.contains(arg.as_str()))
    };
    let parts: [(&str, fn()); 4] =
        [("limits", limits), ("shares", shares), ("responsiveness", responsiveness), ("costs", costs)];
    for (name, measure) in parts {
        if wanted(name) {
            measure();
        }
    }
}

/// A pod of one container.
fn pod(name: &str, sample: &str, args: &str, resources: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  restartPolicy: Never\n  containers:\n  \
         - {{name: a, image: 'file:{}', args: [{args}], resources: {{{resources}}}}}\n---\n",
        guest(sample).display()
    )
}

fn limits() {
    println!(
        "\nCPU limits over {} s: CPU time that the operating system accounts to guests' threads",
        WATCHED.as_secs()
    );
    println!("{:>8} {:>10} {:>12} {:>10} {:>14}", "limit", "allowed", "used", "off by", "kernel's quota");
    for millis in [50_u32, 100, 200, 500, 1000] {
        let runtime = Runtime::new().unwrap();
        let allowed = WATCHED.mul_f64(f64::from(millis) / 1000.0);
        let used = runtime.block_on(async {
            let world = World::new().unwrap();
            let resources = format!("limits: {{cpu: {millis}m}}");
            let pods = world.start_and_wait(&pod("spinner", "spinner", "", &resources)).await.unwrap();
            sleep(Duration::from_millis(300));
            let before = cpu_of_threads("nacelle-guest");
            sleep(WATCHED);
            let used = cpu_of_threads("nacelle-guest") - before;
            stop(pods).await;
            used
        });
        let kernel = Limited::start(u64::from(millis)).map(|limited| {
            sleep(Duration::from_millis(300));
            let before = limited.used();
            sleep(WATCHED);
            limited.used() - before
        });
        let off = |used: Duration| (used.as_secs_f64() / allowed.as_secs_f64() - 1.0) * 100.0;
        let kernel = kernel.map_or_else(|| "none here".to_owned(), |used| format!("{:+.2} %", off(used)));
        println!("{millis:>7}m {allowed:>10.0?} {used:>12.1?} {:>8.2} % {kernel:>14}", off(used));
    }
}

fn shares() {
    println!("\nShares of one thread by CPU request over {} s: rounds that the guests did", WATCHED.as_secs());
    for requests in [[300, 100].as_slice(), &[100, 100, 200, 400]] {
        let runtime = Runtime::new().unwrap();
        let seconds = WATCHED.as_secs();
        let done: Vec<f64> = runtime.block_on(async {
            let world = World::with_threads(1).unwrap();
            let pods = requests.iter().enumerate().map(|(index, millis)| {
                let resources = format!("requests: {{cpu: {millis}m}}");
                pod(&format!("spinner-{index}"), "spinner", &format!("'{seconds}'"), &resources)
            });
            let output = world.outputs(&pods.collect::<String>()).await.unwrap();
            let rounds = |index: usize| -> f64 {
                let text = output.get(&format!("spinner-{index}")).unwrap();
                text.lines()
                    .find_map(|line| line.strip_prefix("done after ")?.strip_suffix(" rounds"))
                    .unwrap()
                    .parse()
                    .unwrap()
            };
            (0..requests.len()).map(rounds).collect()
        });
        let (all, asked) = (done.iter().sum::<f64>(), f64::from(requests.iter().sum::<i32>()));
        for (millis, rounds) in requests.iter().zip(&done) {
            let (due, got) = (f64::from(*millis) / asked * 100.0, rounds / all * 100.0);
            println!(
                "{millis:>7}m of {asked}m: due {due:>6.2} %, got {got:>6.2} %, off by {:+.2} %",
                (got / due - 1.0) * 100.0
            );
        }
    }
}

fn responsiveness() {
    let spinners =
        |count: usize| (0..count).map(|index| pod(&format!("busy-{index}"), "spinner", "", "")).collect::<String>();
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);

    println!("\nGET by a new connection, 500 times: median and p99");
    println!("{:<40} {:>24} {:>24}", "", "of an HTTP component", "of the node's figures");
    for busy in [0, 2 * cpus] {
        let runtime = Runtime::new().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: http}}\nspec:\n  containers:\n  - {{name: a, image: 'file:{}', \
             ports: [{{containerPort: 8080, hostPort: {port}}}]}}\n---\n",
            guest("http-server").display()
        );
        let (world, pods, figures) = runtime.block_on(async {
            let world = World::new().unwrap();
            let pods = world.start_and_wait(&(server + &spinners(busy))).await.unwrap();
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let figures = listener.local_addr().unwrap().port();
            tokio::spawn(world.figures(listener));
            (world, pods, figures)
        });
        let times = [(port, "/"), (figures, "/stats/summary")].map(|(port, path)| {
            let mut times: Vec<Duration> = (0..500).map(|_| get(port, path)).collect();
            times.sort();
            format!("{:.2?} {:>10}", times[250], format!("{:.2?}", times[494]))
        });
        println!("{:<40} {:>24} {:>24}", format!("beside {busy} busy guests on {cpus} CPUs"), times[0], times[1]);
        runtime.block_on(stop(pods));
        drop(world);
    }

    println!("\nRound trips of 64 bytes between two guests of a pod, {cpus} threads");
    let mut alone = None;
    for busy in [0, 3] {
        let runtime = Runtime::new().unwrap();
        let rate = runtime.block_on(async {
            let world = World::new().unwrap();
            let pods = world.start_and_wait(&spinners(busy)).await.unwrap();
            let image = guest("net-bench");
            let image = image.display();
            let manifest = format!(
                "apiVersion: v1\nkind: Pod\nmetadata: {{name: network}}\nspec:\n  restartPolicy: Never\n  containers:\n  \
                 - {{name: server, image: 'file:{image}', args: [serve, '127.0.0.1:7000']}}\n  \
                 - {{name: client, image: 'file:{image}', args: [ping, '127.0.0.1:7000', '300000']}}\n"
            );
            let time = nanos(world.output(&manifest, "client").await.unwrap().as_bytes()).unwrap();
            stop(pods).await;
            300_000.0 / time.as_secs_f64()
        });
        let to_alone = rate / *alone.get_or_insert(rate);
        println!("beside {busy} busy guests: {rate:>10.0} per second, {to_alone:.2} of the rate alone");
    }
}

/// How long it takes to connect, ask and be answered.
fn get(port: u16, path: &str) -> Duration {
    let start = Instant::now();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    start.elapsed()
}

fn costs() {
    println!("\nTime of six computations relative to wasmtime without metering (median of {REPEATS})");
    let columns =
        ["wasmtime, ms", "epochs 10 ms", "and checks", "fuel, yields", "nacelle", "nacelle, limit", "nacelle, fuel"];
    println!("{:<10}{}", "", columns.map(|column| format!("{column:>16}")).concat());
    let runtime = Runtime::new().unwrap();
    let epochs = Metering::Epoch(Duration::from_millis(10));
    let bares = [Bare::new(), Bare::metered(epochs), Bare::checked(epochs), Bare::metered(Metering::Fuel(10_000_000))];
    let bares = bares.map(|bare| {
        let bare = bare.unwrap();
        let component = bare.compile(&guest("kernels")).unwrap();
        (bare, component)
    });
    let world = runtime.block_on(async { World::new().unwrap() });
    let pods = ["", "limits: {cpu: 64}", "limits: {nacelle.dev/fuel: '1000000000000000'}"];
    let rounds = [("sha256", 600), ("sieve", 60), ("xorshift", 300), ("fib", 1000), ("memcpy", 60), ("scan", 300)];
    for (kernel, rounds) in rounds {
        let mut times = vec![Vec::new(); columns.len()];
        let rounds = rounds.to_string();
        for _ in 0..REPEATS {
            let (bare_times, pod_times) = times.split_at_mut(bares.len());
            for ((bare, component), times) in bares.iter().zip(bare_times) {
                let printed = runtime.block_on(bare.run(component, &["kernels", kernel, &rounds])).unwrap();
                times.push(nanos(&printed).unwrap());
            }
            for (resources, times) in pods.iter().zip(pod_times) {
                let manifest = pod("kernels", "kernels", &format!("{kernel}, '{rounds}'"), resources);
                times.push(nanos(runtime.block_on(world.output(&manifest, "a")).unwrap().as_bytes()).unwrap());
            }
        }
        let medians: Vec<f64> = times
            .iter_mut()
            .map(|times| {
                times.sort();
                times[REPEATS / 2].as_secs_f64()
            })
            .collect();
        let cells = medians.iter().enumerate().map(|(index, time)| match index {
            0 => format!("{:>16.0}", time * 1000.0),
            _ => format!("{:>16.2}", time / medians[0]),
        });
        println!("{kernel:<10}{}", cells.collect::<String>());
    }
}
