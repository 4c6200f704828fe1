//! An HTTP component's container, from its first instance to its end.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use nacelle_container::{CreateError, ExitCause};
use nacelle_infra::budget::Ledger;
use nacelle_infra::memory::Part;
use nacelle_infra::network::{ContainerNetwork, Family, NetError, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::connection;
use super::instances::Instances;
use super::limits;
use super::service::HttpService;
use crate::fuel::FuelAccount;
use crate::guest::{Launch, Ready, StartGate, create_error};
use crate::program::Entry;
use crate::sched::{Group, Spawner};
use crate::seldom::seldom;
use crate::trap::Ended;

/// An HTTP component's container.
pub(crate) struct Server {
    pub(crate) launch: Launch,
    pub(crate) cpu: Group,
    pub(crate) bounds: Bounds,
}

/// What the embedding program decides about serving.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// How many requests are handled at a time.
    pub(crate) concurrency: usize,
    /// How long others wait for their turn.
    pub(crate) wait: Duration,
    /// How long an instance waits for its next request.
    pub(crate) idle: Duration,
}

impl Server {
    /// Runs the container from a trial instantiation to its end.
    pub(crate) async fn run(self, ready: Ready, start: StartGate) -> Ended {
        let Self { launch, cpu, bounds } = self;
        let (control, fuel) = (Arc::clone(&launch.control), launch.fuel.clone());
        let (alive, mut all_gone) = mpsc::channel(1);
        let instances = Instances::new(launch, cpu, bounds, alive);
        let ended = tokio::select! {
            biased;
            // Leaving `serve` cuts the connections off; instances see the flag themselves.
            () = control.kill.wait() => ExitCause::Stopped { graceful: false }.into(),
            limit = out_of_fuel(fuel.as_deref()) => {
                // What its instances still do, they do without fuel.
                control.kill.set();
                ExitCause::FuelExhausted { limit }.into()
            }
            ended = serve(&instances, bounds, ready, start) => ended,
        };
        instances.waiting.close();
        // Instances hold the instances, and with it the container's output: the container's end is after theirs. Some go on
        // for a while after their last response.
        drop(instances);
        tokio::select! {
            biased;
            _ = all_gone.recv() => ended,
            () = control.kill.wait() => {
                let _ = all_gone.recv().await;
                ended
            }
        }
    }
}

/// Returns the budget once it is used up.
async fn out_of_fuel(fuel: Option<&FuelAccount>) -> u64 {
    match fuel {
        Some(fuel) => {
            fuel.exhausted.wait().await;
            fuel.limit()
        }
        None => std::future::pending().await,
    }
}

async fn serve(instances: &Arc<Instances>, bounds: Bounds, ready: Ready, start: StartGate) -> Ended {
    let control = Arc::clone(&instances.launch.control);
    let trial = Arc::clone(instances);
    let trial = instances.spawn(async move { try_once(&trial).await });
    let trial = trial.await.unwrap_or_else(|error| Err(CreateError::Other(error.to_string())));
    let failed = trial.is_err();
    if ready.send(trial).is_err() || failed {
        return ExitCause::Stopped { graceful: false }.into();
    }
    let reply = tokio::select! {
        biased;
        () = control.terminate.wait() => return ExitCause::Stopped { graceful: true }.into(),
        start = start => match start {
            Ok(reply) => reply,
            Err(_) => return ExitCause::Stopped { graceful: true }.into(),
        },
    };
    let service = HttpService::new(instances, bounds.concurrency, bounds.wait);
    let port = instances.launch.config.http.port;
    let listener = match listen(&instances.launch.infra.network, port, &service) {
        Ok(listener) => listener,
        Err(error) => {
            let error = CreateError::Other(format!("cannot listen on port {port} for the HTTP component: {error}"));
            let message = error.to_string();
            let _ = reply.send(Err(error));
            return ExitCause::HostFailure { message }.into();
        }
    };
    let _ = reply.send(Ok(()));
    accept(listener, &service, instances).await;
    service.drain().await;
    ExitCause::Exited { code: 0 }.into()
}

/// Instantiates the component once, so that what is wrong with it shows before the first request.
async fn try_once(instances: &Instances) -> Result<(), CreateError> {
    let Entry::Proxy(pre) = &*instances.launch.program.entry else {
        return Err(CreateError::Other("a command is not an HTTP component".into()));
    };
    let result = async {
        let mut store = instances.launch.store(None)?;
        pre.instantiate_async(&mut store).await.map(drop)
    };
    match result.await {
        Ok(()) => Ok(()),
        Err(error) => Err(create_error(&error)
            .unwrap_or_else(|| CreateError::Other(format!("cannot instantiate the component: {error:#}")))),
    }
}

/// Listens on all addresses of the pod, where siblings find the service without a connection, too.
fn listen(network: &Arc<ContainerNetwork>, port: u16, service: &Arc<HttpService>) -> Result<TcpSocket, NetError> {
    let listen = |family, address: SocketAddr| {
        let mut socket = network.tcp_socket(family)?;
        if family == Family::V6 {
            let mut options = socket.options();
            options.v6_only = false;
            socket.set_options(options)?;
        }
        socket.bind(address)?;
        socket.listen_with(Arc::clone(service) as _)?;
        Ok(socket)
    };
    match listen(Family::V6, SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))) {
        // A host without IPv6, in whose network the pod is.
        Err(NetError::NotSupported | NetError::AddressNotBindable | NetError::Host(_)) => {
            listen(Family::V4, SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))
        }
        result => result,
    }
}

/// Serves connections until the container is asked to terminate, and those it has to their end: who has connected before
/// is answered, also where nobody has looked at the connection yet.
async fn accept(mut listener: TcpSocket, service: &Arc<HttpService>, instances: &Arc<Instances>) {
    let control = &instances.launch.control;
    let room = Arc::new(Semaphore::new(limits::CONNECTIONS));
    loop {
        tokio::select! {
            biased;
            () = control.terminate.wait() => break,
            (accepted, permit) = accept_one(&mut listener, &room) => match accepted.and_then(open) {
                Ok((stream, client)) => serve_connection(stream, client, permit, service, instances),
                // The network is closed: nothing will come any more.
                Err(NetError::InvalidState | NetError::AccessDenied(_)) => break,
                Err(error) => {
                    tracing::debug!(%error, "cannot accept an HTTP connection");
                    tokio::time::sleep(limits::ACCEPT_PAUSE).await;
                }
            },
        }
    }
    // No more than could be there: others may go on connecting.
    for _ in 0..limits::CONNECTIONS {
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else { break };
        let Some(accepted) = tokio::task::unconstrained(listener.accept()).now_or_never() else { break };
        if let Ok((stream, client)) = accepted.and_then(open) {
            serve_connection(stream, client, Some(permit), service, instances);
        }
    }
    drop(listener);
    // Each connection sees the flag too. The semaphore is never closed.
    let _ = room.acquire_many(u32::try_from(limits::CONNECTIONS).unwrap_or(u32::MAX)).await;
}

/// Serves one connection in a task of its own. What it holds is charged to the container's buffers.
fn serve_connection(
    stream: TcpStream,
    client: SocketAddr,
    permit: Option<OwnedSemaphorePermit>,
    service: &Arc<HttpService>,
    instances: &Arc<Instances>,
) {
    let buffers = instances.launch.infra.memory.part(Part::Buffers);
    let Ok(memory) = Ledger::with_floor(Arc::clone(buffers), limits::CONNECTION_MEMORY) else {
        tracing::debug!(%client, "no memory for an HTTP connection: it is closed");
        return;
    };
    let (service, control) = (Arc::clone(service), Arc::clone(&instances.launch.control));
    let spawner = Spawner::Group(instances.cpu.clone());
    instances.cpu.spawn(async move {
        let _held = (memory, permit);
        let serve = connection::serve(stream, client, service, spawner, control.terminate.wait());
        tokio::select! {
            biased;
            () = seldom(control.kill.wait()) => {}
            () = serve => {}
        }
    });
}

/// A connection, once there is room for one.
async fn accept_one(
    listener: &mut TcpSocket,
    room: &Arc<Semaphore>,
) -> (Result<TcpSocket, NetError>, Option<OwnedSemaphorePermit>) {
    let permit = Arc::clone(room).acquire_owned().await.ok();
    (listener.accept().await, permit)
}

fn open(socket: TcpSocket) -> Result<(TcpStream, SocketAddr), NetError> {
    Ok((socket.stream()?, socket.remote_address()?))
}
