//! Pods in the foreground: the only part of the command line that knows the node.
//!
//! ```text
//!   node ── Notice ──► printer (a thread) ──► stdout, stderr
//!    ▲ │                  │ output failed, volumes missing
//!    │ └─ PodStatus ──┐   │
//!    │                ▼   ▼
//!    └── delete ── supervisor (pure) ◄── signals, --for
//! ```

mod claim;
mod eviction;
mod failure;
mod helpers;
mod narrate;
mod print;
mod reload;
mod resize;
mod resources;
mod stats;
mod stuck;
mod supervisor;
mod view;

use std::cmp::Reverse;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nacelle_node::{HostPort, Node, NodeConfig, PodHandle, PodStart, Pooling, Protocol, Room};
use nacelle_spec::{CheckedPod, Objects, network};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};
use tokio::sync::{Notify, mpsc};

pub(crate) use reload::{Reading, open_input};
pub(crate) use resources::NodeOptions;
pub(crate) use supervisor::{Outcome, Reason};

use self::claim::{Claim, Tried, try_claim};
use self::helpers::Helpers;
use self::print::{Printer, Setup};
use self::reload::Reloader;
use self::stuck::Wait;
use self::supervisor::{Action, Event, Signal, Supervisor};
use self::view::PodView;
use crate::args::OutputFormat;
use crate::error::{CliError, ErrorKind, Errors};
use crate::options::RunOptions;
use crate::output::Streams;
use crate::output::log::{ContainerName, Prefixes};
use crate::output::progress::PullBars;
use crate::publish::PublishedPort;
use crate::tracing_setup::Verbosity;

/// How many notices wait for the printer; with lines of at most 16 KiB, 16 MiB at the very most.
const QUEUE: usize = 1024;

/// A pod, and the folder that its relative images start from.
pub(crate) struct PodToRun {
    pub(crate) pod: CheckedPod,
    pub(crate) base_dir: PathBuf,
    /// Ports of the host that lead into it, besides those of its manifest.
    pub(crate) publish: Vec<PublishedPort>,
}

/// Runs pods until they have ended.
///
/// # Errors
/// When nothing could be started.
pub(crate) async fn run_pods(
    pods: Vec<PodToRun>,
    objects: Objects,
    reading: Reading,
    options: &RunOptions,
    streams: &Streams,
) -> Result<Outcome, Errors> {
    // Signals are ours from here on: whoever asks for the end while pods start gets it as soon as they have.
    let (events, mut event_queue) = mpsc::unbounded_channel();
    let reload = Arc::new(Notify::new());
    listen(&events, &reload).map_err(|error| CliError::new(ErrorKind::Io, "cannot receive signals").because(error))?;

    let _claims = claim(&pods, options, streams).await?;
    // Before anything is started that would have to be stopped again.
    let metrics = metrics_listener(options.metrics, options.verbosity, streams).await?;
    let node = open(options, pods.iter().map(|pod| pod.pod.containers().count()).sum())?;
    node.sweep().await;

    let (notices, notice_queue) = mpsc::channel(QUEUE);
    let objects = Arc::new(objects);
    // Before any pod: none is ever without the policies that select it.
    node.set_network_policies(objects.network_policies());
    let start = |pod: &PodToRun| {
        let start = PodStart {
            pod: pod.pod.clone(),
            objects: Arc::clone(&objects),
            base_dir: pod.base_dir.clone(),
            publish: pod.publish.iter().map(host_port).collect(),
        };
        node.start_pod(start, notices.clone())
    };
    let handles = start_all(&pods, start);
    drop(notices);
    let mut reloader = Reloader {
        reading,
        node: Arc::clone(&node),
        handles: handles.clone(),
        pods: pods.into_iter().map(|pod| pod.pod).collect(),
        objects,
        streams: *streams,
        verbosity: options.verbosity,
    };
    let reloading = tokio::spawn(async move {
        loop {
            reload.notified().await;
            reloader.reload().await;
        }
    });

    let serving = metrics.map(|listener| tokio::spawn(nacelle_node::stats::serve(Arc::clone(&node), listener)));

    let stopping = Arc::new(AtomicBool::new(false));
    let printer = Printer::new(Setup {
        format: options.output,
        verbosity: options.verbosity,
        streams: *streams,
        prefixes: prefixes(&handles, streams),
        stopping: Arc::clone(&stopping),
        events: events.clone(),
        pods: handles.iter().enumerate().map(|(number, handle)| (handle.pod().uid().to_owned(), number)).collect(),
        usage: options.stats.then(|| stats::Usage::new(handles.clone())),
    })
    .map_err(CliError::output)?;
    let bars = printer.bars();
    // One: the latest is enough.
    let (samples, sample_queue) = mpsc::channel(1);
    if options.stats {
        tokio::spawn(stats::watch(Arc::clone(&node), samples));
    }
    let printing = tokio::task::spawn_blocking(move || printer.run(notice_queue, sample_queue));

    for (number, handle) in handles.iter().enumerate() {
        tokio::spawn(watch(number, handle.clone(), events.clone()));
    }
    if let Some(time) = options.run_for {
        let events = events.clone();
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            // Nobody listens any more when the pods have ended.
            let _ = events.send(Event::TimeIsUp);
        });
    }

    let views = handles.iter().map(|handle| PodView::new(handle.pod())).collect();
    let mut supervisor = Supervisor::new(views, options.keep_trying);
    while let Some(event) = event_queue.recv().await {
        let mut actions = Vec::new();
        if let Event::Ended { .. } = event {
            // Room that the pod leaves has been given to others by now, but their word may still be on its way.
            for pod in supervisor.waiting_for_room() {
                if let Some(handle) = handles.get(pod) {
                    actions.extend(supervisor.step(Event::Room { pod, wait: wait(handle.room()) }));
                }
            }
        }
        actions.extend(supervisor.step(event));
        stopping.store(supervisor.is_stopping(), Ordering::Relaxed);
        for action in actions {
            match action {
                Action::Stop { grace } => handles.iter().for_each(|handle| handle.delete(grace)),
                Action::Say(text) if options.verbosity != Verbosity::Quiet => {
                    say(&bars, move |streams| streams.say(&text), *streams).await;
                }
                Action::Say(_) => {}
                Action::Complain(text) => say(&bars, move |streams| streams.say_error(&text), *streams).await,
                Action::End(outcome) => {
                    reloading.abort();
                    if let Some(serving) = serving {
                        serving.abort();
                    }
                    print_the_rest(outcome.reason, printing, &mut event_queue).await;
                    return Ok(outcome);
                }
            }
        }
    }
    // There is a sender for as long as `events` lives.
    Err(CliError::new(ErrorKind::Node, "the pods were lost sight of").into())
}

/// The socket at which figures are served; where that is, is said, since it may be any free port.
async fn metrics_listener(
    address: Option<SocketAddr>,
    verbosity: Verbosity,
    streams: &Streams,
) -> Result<Option<TcpListener>, CliError> {
    let Some(address) = address else { return Ok(None) };
    let bound = async {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok::<_, io::Error>((listener, address))
    };
    let (listener, address) = bound
        .await
        .map_err(|error| CliError::new(ErrorKind::Io, format!("cannot serve metrics at {address}")).because(error))?;
    if verbosity != Verbosity::Quiet {
        streams.say(&format!("metrics at http://{address}/metrics"));
    }
    Ok(Some(listener))
}

/// Says something above what is at the bottom of the terminal. A terminal that is stopped must not keep a signal from
/// being heard, so this waits for a moment only; the words follow.
async fn say(bars: &Arc<PullBars>, words: impl FnOnce(Streams) + Send + 'static, streams: Streams) {
    if !bars.is_visible() {
        return words(streams);
    }
    let bars = Arc::clone(bars);
    let said = tokio::task::spawn_blocking(move || bars.suspend(|| words(streams)));
    let _ = tokio::time::timeout(Duration::from_millis(100), said).await;
}

/// Starts the pods, those of higher priority first, so that none is started only to make room for another. The handles
/// are in the order of the pods.
fn start_all(pods: &[PodToRun], start: impl Fn(&PodToRun) -> PodHandle) -> Vec<PodHandle> {
    let mut order: Vec<(usize, &PodToRun)> = pods.iter().enumerate().collect();
    order.sort_by_key(|(_, pod)| Reverse(pod.pod.priority()));
    let mut started: Vec<(usize, PodHandle)> = order.into_iter().map(|(number, pod)| (number, start(pod))).collect();
    started.sort_by_key(|(number, _)| *number);
    started.into_iter().map(|(_, handle)| handle).collect()
}

/// What a pod waits for, as far as the supervisor cares.
fn wait(room: Room) -> Wait {
    match room {
        Room::Awaited { message, is_up_to_others: true } => Wait::ForOthers(message),
        Room::Awaited { message, is_up_to_others: false } => Wait::ForTime(message),
        Room::Given | Room::Refused => Wait::No,
    }
}

/// Waits until all output is written, unless the user does not: a signal leaves the rest unwritten.
async fn print_the_rest(
    reason: Reason,
    printing: tokio::task::JoinHandle<()>,
    events: &mut mpsc::UnboundedReceiver<Event>,
) {
    if reason == Reason::Killed {
        return;
    }
    let impatient = async {
        while let Some(event) = events.recv().await {
            if matches!(event, Event::Signal(_)) {
                break;
            }
        }
    };
    tokio::select! {
        _ = printing => {}
        () = impatient => {}
    }
}

/// The right to run each of the pods; those without a name get one of their own later.
async fn claim(pods: &[PodToRun], options: &RunOptions, streams: &Streams) -> Result<Vec<Claim>, Errors> {
    claim::sweep(&options.state_dir);
    let mut claims = Vec::new();
    let mut refusals = Vec::new();
    for PodToRun { pod, .. } in pods.iter().filter(|pod| !pod.pod.name().is_empty()) {
        let (namespace, name) = (pod.namespace(), pod.name());
        loop {
            match try_claim(&options.state_dir, namespace, name)? {
                Tried::Claimed(claim) => {
                    claims.push(claim);
                    break;
                }
                Tried::Held(holder) if options.replace => {
                    if options.verbosity != Verbosity::Quiet {
                        streams.say(&format!("waiting for the other run of pod {namespace}/{name} to stop"));
                    }
                    holder.replace(namespace, name).await?;
                }
                Tried::Held(holder) => {
                    refusals.push(holder.refusal(namespace, name));
                    break;
                }
            }
        }
    }
    Errors::check(refusals)?;
    Ok(claims)
}

fn open(options: &RunOptions, containers: usize) -> Result<Arc<Node>, CliError> {
    let helpers = Helpers::of_this_program();
    let config = NodeConfig {
        state_dir: options.state_dir.clone(),
        compile_cache: options.compile_cache.clone(),
        node_name: options.node_name.clone(),
        compiler: helpers.compiler,
        monitor: helpers.monitor,
        address_space: options.address_space,
        pooling: Pooling::for_containers(containers),
        insecure_registries: options.insecure_registries.clone(),
        pod_cidrs: options.pod_cidrs.clone(),
        cni_configurations: options.cni_conf_dir.clone(),
        resources: options.resources.config(),
    };
    Node::open(config).map_err(|error| CliError::new(ErrorKind::Node, "cannot run pods").because(error))
}

fn host_port(port: &PublishedPort) -> HostPort {
    HostPort {
        host_ip: port.host_ip,
        host_port: port.host_port,
        container_port: port.port,
        protocol: match port.protocol {
            network::Protocol::Tcp => Protocol::Tcp,
            network::Protocol::Udp => Protocol::Udp,
        },
    }
}

/// Passes signals on as events, and requests to read the manifests again to `reload`.
fn listen(events: &mpsc::UnboundedSender<Event>, reload: &Arc<Notify>) -> io::Result<()> {
    let meanings = [(SignalKind::interrupt(), Signal::Interrupt), (SignalKind::terminate(), Signal::Terminate)];
    for (kind, meaning) in meanings {
        let mut stream = signal(kind)?;
        let events = events.clone();
        tokio::spawn(
            async move { while stream.recv().await.is_some() && events.send(Event::Signal(meaning)).is_ok() {} },
        );
    }
    tokio::spawn(hangups(signal(SignalKind::hangup())?, has_terminal(), events.clone(), Arc::clone(reload)));
    Ok(())
}

/// Passes hangups on, each by its meaning.
async fn hangups(mut stream: Stream, had_terminal: bool, events: mpsc::UnboundedSender<Event>, reload: Arc<Notify>) {
    while stream.recv().await.is_some() {
        match Hangup::meant(had_terminal, has_terminal()) {
            Hangup::ReadAgain => reload.notify_one(),
            Hangup::TerminalClosed if events.send(Event::Signal(Signal::Hangup)).is_err() => return,
            Hangup::TerminalClosed => {}
        }
    }
}

/// What SIGHUP means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hangup {
    /// The terminal was closed: the pods stop.
    TerminalClosed,
    /// As for other programs that run for long, somebody wants the manifests read again.
    ReadAgain,
}

impl Hangup {
    /// A process without a terminal cannot be told that it was closed, and one whose terminal is still there was told
    /// something else.
    fn meant(had_terminal: bool, has_terminal: bool) -> Self {
        if had_terminal && !has_terminal { Self::TerminalClosed } else { Self::ReadAgain }
    }
}

/// Whether this process has a controlling terminal that is still there.
fn has_terminal() -> bool {
    std::fs::File::open("/dev/tty").is_ok()
}

/// Passes a pod's statuses, and whether it has room, on as events.
async fn watch(number: usize, handle: PodHandle, events: mpsc::UnboundedSender<Event>) {
    let (mut statuses, mut rooms) = (handle.watch(), handle.watch_room());
    rooms.mark_changed();
    let mut ended = std::pin::pin!(handle.finished());
    loop {
        let event = tokio::select! {
            biased;
            status = &mut ended => Event::Ended { pod: number, status },
            Ok(()) = rooms.changed() => {
                let room = rooms.borrow_and_update().clone();
                Event::Room { pod: number, wait: wait(room) }
            }
            Ok(()) = statuses.changed() => {
                let status = Arc::clone(&statuses.borrow_and_update());
                Event::Status { pod: number, status }
            }
        };
        let last = matches!(event, Event::Ended { .. });
        if events.send(event).is_err() || last {
            return;
        }
    }
}

fn prefixes(handles: &[PodHandle], streams: &Streams) -> Prefixes {
    let names = handles.iter().flat_map(|handle| {
        handle.pod().containers().map(|container| ContainerName {
            namespace: handle.namespace().to_owned(),
            pod: handle.name().to_owned(),
            container: container.spec.name.clone(),
        })
    });
    Prefixes::new(names.collect(), streams.stdout.color)
}

/// The last line of the JSON output; nothing in the text output.
pub(crate) fn print_exit(format: OutputFormat, outcome: &Outcome) -> Result<(), CliError> {
    if format == OutputFormat::Text {
        return Ok(());
    }
    let record = crate::output::json::Record::Exit {
        time: jiff::Timestamp::now(),
        code: outcome.code,
        reason: outcome.reason.as_str(),
        namespace: outcome.namespace.as_deref(),
        pod: outcome.pod.as_deref(),
        container: outcome.container.as_deref(),
        message: outcome.message.as_deref(),
    };
    match crate::output::print(&String::from_utf8_lossy(&record.to_line())) {
        // The run has its own exit code for that.
        Err(error) if error.kind == ErrorKind::OutputClosed => Ok(()),
        printed => printed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hangup_stops_only_where_a_terminal_has_gone() {
        assert_eq!(Hangup::meant(true, false), Hangup::TerminalClosed);
        for (had, has) in [(true, true), (false, false), (false, true)] {
            assert_eq!(Hangup::meant(had, has), Hangup::ReadAgain, "had {had}, has {has}");
        }
    }
}
