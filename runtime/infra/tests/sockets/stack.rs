//! Two network stacks behind one small trait: the kernel's loopback and a pod's.

use std::future::poll_fn;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use nacelle_infra::budget::Budget;
use nacelle_infra::network::{
    ContainerNetwork, Family, NetError, NetworkMode, NodeNetwork, NodeNetworkConfig, PodNetworkConfig, TcpRead,
    TcpSocket, UdpSocket,
};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrAny, SocketType, bind, connect, connect_unspec, getpeername,
    getsockname, listen, recv, recvfrom, send, sendto, shutdown, socket, sockopt,
};
use tokio::runtime::Handle;

/// What a call answered, in words that both stacks share.
pub(crate) type Answer<T> = Result<T, &'static str>;

/// What a read answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    Bytes(Vec<u8>),
    End,
    WouldBlock,
}

pub(crate) trait Stack {
    type Tcp: Tcp;
    type Udp: Udp;

    fn tcp(&self, family: Family) -> Self::Tcp;
    fn udp(&self, family: Family) -> Self::Udp;
}

pub(crate) trait Tcp: Sized {
    fn dual_stack(&mut self);
    fn bind(&mut self, address: SocketAddr) -> Answer<()>;
    fn listen(&mut self, backlog: u32) -> Answer<()>;
    fn connect(&mut self, address: SocketAddr) -> Answer<()>;
    fn accept(&mut self) -> Answer<Self>;
    fn read(&mut self, max: usize) -> Answer<Read>;
    fn write(&mut self, bytes: &[u8]) -> Answer<usize>;
    fn shutdown(&mut self, how: Shutdown) -> Answer<()>;
    fn local(&self) -> Answer<SocketAddr>;
    fn remote(&self) -> Answer<SocketAddr>;
}

pub(crate) trait Udp: Sized {
    fn bind(&mut self, address: SocketAddr) -> Answer<()>;
    fn connect(&mut self, address: SocketAddr) -> Answer<()>;
    fn disconnect(&mut self) -> Answer<()>;
    /// None: would block.
    fn receive(&mut self) -> Answer<Option<(Vec<u8>, SocketAddr)>>;
    fn send(&mut self, bytes: &[u8], to: Option<SocketAddr>) -> Answer<()>;
    fn local(&self) -> Answer<SocketAddr>;
    fn remote(&self) -> Answer<SocketAddr>;
}

/// How long the kernel may take for what the loopback does at once, before it counts as waiting. Long enough for a busy
/// machine; only what never comes costs the whole of it.
const PATIENCE: Duration = Duration::from_millis(300);

pub(crate) struct Kernel;

pub(crate) struct KernelTcp {
    fd: OwnedFd,
}

impl Stack for Kernel {
    type Tcp = KernelTcp;
    type Udp = KernelUdp;

    fn udp(&self, family: Family) -> KernelUdp {
        let fd = socket(kernel_family(family), SocketType::DGRAM, None).unwrap();
        sockopt::set_socket_timeout(&fd, sockopt::Timeout::Recv, Some(PATIENCE)).unwrap();
        if family == Family::V6 {
            sockopt::set_ipv6_v6only(&fd, true).unwrap();
        }
        KernelUdp { fd }
    }

    fn tcp(&self, family: Family) -> KernelTcp {
        let fd = socket(kernel_family(family), SocketType::STREAM, None).unwrap();
        KernelTcp::new(fd, family)
    }
}

impl KernelTcp {
    fn new(fd: OwnedFd, family: Family) -> Self {
        // As wasmtime-wasi makes its sockets.
        sockopt::set_socket_timeout(&fd, sockopt::Timeout::Recv, Some(PATIENCE)).unwrap();
        sockopt::set_socket_timeout(&fd, sockopt::Timeout::Send, Some(PATIENCE)).unwrap();
        if family == Family::V6 {
            let _ = sockopt::set_ipv6_v6only(&fd, true);
        }
        Self { fd }
    }
}

fn kernel_family(family: Family) -> AddressFamily {
    match family {
        Family::V4 => AddressFamily::INET,
        Family::V6 => AddressFamily::INET6,
    }
}

impl Tcp for KernelTcp {
    fn dual_stack(&mut self) {
        sockopt::set_ipv6_v6only(&self.fd, false).unwrap();
    }

    fn bind(&mut self, address: SocketAddr) -> Answer<()> {
        sockopt::set_socket_reuseaddr(&self.fd, true).unwrap();
        bind(&self.fd, &address).map_err(errno)
    }

    fn listen(&mut self, backlog: u32) -> Answer<()> {
        listen(&self.fd, i32::try_from(backlog).unwrap()).map_err(errno)
    }

    fn connect(&mut self, address: SocketAddr) -> Answer<()> {
        connect(&self.fd, &address).map_err(errno)
    }

    fn accept(&mut self) -> Answer<Self> {
        let fd = rustix::net::accept(&self.fd).map_err(errno)?;
        Ok(Self::new(fd, Family::V4))
    }

    fn read(&mut self, max: usize) -> Answer<Read> {
        let mut buffer = vec![0; max];
        match recv(&self.fd, &mut buffer[..], RecvFlags::empty()) {
            Ok((0, _)) => Ok(Read::End),
            Ok((count, _)) => {
                buffer.truncate(count);
                Ok(Read::Bytes(buffer))
            }
            Err(Errno::AGAIN) => Ok(Read::WouldBlock),
            Err(error) => Err(errno(error)),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Answer<usize> {
        match send(&self.fd, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(count) => Ok(count),
            Err(Errno::AGAIN) => Ok(0),
            Err(error) => Err(errno(error)),
        }
    }

    fn shutdown(&mut self, how: Shutdown) -> Answer<()> {
        let how = match how {
            Shutdown::Read => rustix::net::Shutdown::Read,
            Shutdown::Write => rustix::net::Shutdown::Write,
            Shutdown::Both => rustix::net::Shutdown::Both,
        };
        shutdown(&self.fd, how).map_err(errno)
    }

    fn local(&self) -> Answer<SocketAddr> {
        getsockname(&self.fd).map(any).map_err(errno)
    }

    fn remote(&self) -> Answer<SocketAddr> {
        getpeername(&self.fd).map_err(errno)?.map(any).ok_or("not connected")
    }
}

pub(crate) struct KernelUdp {
    fd: OwnedFd,
}

impl Udp for KernelUdp {
    fn bind(&mut self, address: SocketAddr) -> Answer<()> {
        bind(&self.fd, &address).map_err(errno)
    }

    fn connect(&mut self, address: SocketAddr) -> Answer<()> {
        connect(&self.fd, &address).map_err(errno)
    }

    fn disconnect(&mut self) -> Answer<()> {
        connect_unspec(&self.fd).map_err(errno)
    }

    fn receive(&mut self) -> Answer<Option<(Vec<u8>, SocketAddr)>> {
        let mut buffer = vec![0; 70_000];
        match recvfrom(&self.fd, &mut buffer[..], RecvFlags::empty()) {
            Ok((count, _, from)) => Ok(Some((buffer[..count].to_vec(), any(from.unwrap())))),
            Err(Errno::AGAIN) => Ok(None),
            Err(error) => Err(errno(error)),
        }
    }

    fn send(&mut self, bytes: &[u8], to: Option<SocketAddr>) -> Answer<()> {
        match to {
            Some(to) => sendto(&self.fd, bytes, SendFlags::empty(), &to),
            None => send(&self.fd, bytes, SendFlags::empty()),
        }
        .map(drop)
        .map_err(errno)
    }

    fn local(&self) -> Answer<SocketAddr> {
        getsockname(&self.fd).map(any).map_err(errno)
    }

    fn remote(&self) -> Answer<SocketAddr> {
        getpeername(&self.fd).map_err(errno)?.map(any).ok_or("not connected")
    }
}

fn any(address: SocketAddrAny) -> SocketAddr {
    SocketAddr::try_from(address).unwrap()
}

fn errno(error: Errno) -> &'static str {
    match error {
        Errno::ADDRINUSE => "in use",
        Errno::ADDRNOTAVAIL => "not available",
        Errno::CONNREFUSED => "refused",
        Errno::CONNRESET => "reset",
        Errno::PIPE => "broken pipe",
        Errno::NOTCONN => "not connected",
        // Where the kernel has several words for a wrong state, WASI has one.
        Errno::INVAL | Errno::ISCONN | Errno::ALREADY | Errno::DESTADDRREQ => "invalid",
        Errno::AFNOSUPPORT => "invalid",
        Errno::AGAIN | Errno::INPROGRESS => "would block",
        Errno::MSGSIZE => "too large",
        other => panic!("unexpected {other:?}"),
    }
}

/// The loopback of a pod, or the host's seen through a pod on the host's network.
pub(crate) struct Pod {
    pub(crate) runtime: tokio::runtime::Runtime,
    pub(crate) container: Arc<ContainerNetwork>,
    mode: NetworkMode,
}

impl Pod {
    /// A pod with a network of its own.
    pub(crate) fn new() -> Self {
        Self::with_mode(NetworkMode::Virtual)
    }

    /// A pod on the host's network.
    pub(crate) fn on_host() -> Self {
        Self::with_mode(NetworkMode::Host)
    }

    fn with_mode(mode: NetworkMode) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let node = NodeNetwork::new(NodeNetworkConfig::default()).unwrap();
        let config = PodNetworkConfig { uid: "one".into(), mode, ..PodNetworkConfig::default() };
        let pod = runtime.block_on(node.attach(config, Budget::unlimited())).unwrap();
        let container = pod.container("test");
        Self { runtime, container, mode }
    }

    /// Only what goes through the kernel may take a moment.
    fn patience(&self) -> Option<Handle> {
        (self.mode == NetworkMode::Host).then(|| self.runtime.handle().clone())
    }
}

/// Waits for `ready`, if patience is due.
fn wait(patience: Option<&Handle>, ready: impl FnMut(&mut Context<'_>) -> Poll<()>) {
    if let Some(runtime) = patience {
        let _ = runtime.block_on(async { tokio::time::timeout(PATIENCE, poll_fn(ready)).await });
    }
}

pub(crate) struct PodTcp {
    pub(crate) socket: TcpSocket,
    patience: Option<Handle>,
}

pub(crate) struct PodUdp {
    pub(crate) socket: UdpSocket,
    patience: Option<Handle>,
}

impl Stack for Pod {
    type Tcp = PodTcp;
    type Udp = PodUdp;

    fn tcp(&self, family: Family) -> PodTcp {
        PodTcp { socket: self.container.tcp_socket(family).unwrap(), patience: self.patience() }
    }

    fn udp(&self, family: Family) -> PodUdp {
        PodUdp { socket: self.container.udp_socket(family).unwrap(), patience: self.patience() }
    }
}

impl Tcp for PodTcp {
    fn dual_stack(&mut self) {
        let mut options = self.socket.options();
        options.v6_only = false;
        self.socket.set_options(options).unwrap();
    }

    fn bind(&mut self, address: SocketAddr) -> Answer<()> {
        self.socket.bind(address).map_err(word)
    }

    fn listen(&mut self, backlog: u32) -> Answer<()> {
        self.socket.set_backlog(backlog).map_err(word)?;
        self.socket.listen().map_err(word)
    }

    fn connect(&mut self, address: SocketAddr) -> Answer<()> {
        self.socket.start_connect(address).map_err(word)?;
        let mut outcome = Poll::Pending;
        let mut poll = |cx: &mut Context<'_>| {
            outcome = self.socket.poll_connect(cx);
            if outcome.is_ready() { Poll::Ready(()) } else { Poll::Pending }
        };
        match &self.patience {
            None => {
                let _ = poll(&mut Context::from_waker(Waker::noop()));
            }
            patience => wait(patience.as_ref(), poll),
        }
        match outcome {
            Poll::Ready(outcome) => outcome.map_err(word),
            Poll::Pending => Err("would block"),
        }
    }

    fn accept(&mut self) -> Answer<Self> {
        wait(self.patience.as_ref(), |cx| self.socket.poll_acceptable(cx));
        match self.socket.try_accept() {
            Ok(Some(socket)) => Ok(Self { socket, patience: self.patience.clone() }),
            Ok(None) => Err("would block"),
            Err(error) => Err(word(error)),
        }
    }

    fn read(&mut self, max: usize) -> Answer<Read> {
        let stream = self.socket.stream().map_err(word)?;
        loop {
            let mut ready = self.patience.is_none();
            wait(self.patience.as_ref(), |cx| {
                let poll = stream.poll_readable(cx);
                ready = poll.is_ready();
                poll
            });
            match stream.try_read(max) {
                Ok(TcpRead::Bytes(bytes)) => return Ok(Read::Bytes(bytes.to_vec())),
                // Ready was what tokio remembered from before.
                Ok(TcpRead::Empty) if ready && self.patience.is_some() => {}
                Ok(TcpRead::Empty) => return Ok(Read::WouldBlock),
                Ok(TcpRead::End) => return Ok(Read::End),
                Err(error) => return Err(word(error)),
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Answer<usize> {
        let stream = self.socket.stream().map_err(word)?;
        let written = stream.try_write(Bytes::copy_from_slice(bytes)).map_err(word);
        wait(self.patience.as_ref(), |cx| stream.poll_flushed(cx));
        written
    }

    fn shutdown(&mut self, how: Shutdown) -> Answer<()> {
        self.socket.shutdown(how).map_err(word)
    }

    fn local(&self) -> Answer<SocketAddr> {
        self.socket.local_address().map_err(word)
    }

    fn remote(&self) -> Answer<SocketAddr> {
        self.socket.remote_address().map_err(word)
    }
}

impl Udp for PodUdp {
    fn bind(&mut self, address: SocketAddr) -> Answer<()> {
        self.socket.bind(address).map_err(word)
    }

    fn connect(&mut self, address: SocketAddr) -> Answer<()> {
        self.socket.connect(Some(address)).map_err(word)
    }

    fn disconnect(&mut self) -> Answer<()> {
        self.socket.connect(None).map_err(word)
    }

    fn receive(&mut self) -> Answer<Option<(Vec<u8>, SocketAddr)>> {
        wait(self.patience.as_ref(), |cx| self.socket.poll_receivable(cx));
        let received = self.socket.try_receive().map_err(word)?;
        Ok(received.map(|datagram| (datagram.bytes.to_vec(), datagram.remote)))
    }

    fn send(&mut self, bytes: &[u8], to: Option<SocketAddr>) -> Answer<()> {
        match self.socket.try_send(Bytes::copy_from_slice(bytes), to).map_err(word)? {
            true => Ok(()),
            false => Err("would block"),
        }
    }

    fn local(&self) -> Answer<SocketAddr> {
        self.socket.local_address().map_err(word)
    }

    fn remote(&self) -> Answer<SocketAddr> {
        self.socket.remote_address().map_err(word)
    }
}

pub(crate) fn word(error: NetError) -> &'static str {
    match error {
        NetError::AddressInUse => "in use",
        NetError::AddressNotBindable => "not available",
        NetError::ConnectionRefused => "refused",
        NetError::ConnectionReset => "reset",
        NetError::ConnectionBroken => "broken pipe",
        NetError::NotConnected => "not connected",
        NetError::InvalidArgument | NetError::InvalidState => "invalid",
        NetError::DatagramTooLarge => "too large",
        other => panic!("unexpected {other:?}"),
    }
}

pub(crate) const V4: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
pub(crate) const V6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);

pub(crate) fn at(ip: impl Into<IpAddr>, port: u16) -> SocketAddr {
    SocketAddr::new(ip.into(), port)
}

/// What a scenario saw, in order.
#[derive(Default)]
pub(crate) struct Notes(Vec<String>);

impl Notes {
    pub(crate) fn say(&mut self, what: &str, saw: impl std::fmt::Debug) {
        self.0.push(format!("{what}: {saw:?}"));
    }
}

/// A connected pair of TCP sockets: client and server.
pub(crate) fn pair<S: Stack>(stack: &S) -> (S::Tcp, S::Tcp) {
    let mut listener = stack.tcp(Family::V4);
    listener.bind(at(V4, 0)).unwrap();
    listener.listen(4).unwrap();
    let mut client = stack.tcp(Family::V4);
    client.connect(listener.local().unwrap()).unwrap();
    let server = listener.accept().unwrap();
    (client, server)
}

/// Makes a test of each scenario: run on two stacks, it must see the same.
macro_rules! same {
    ($module:ident: $one:expr, $other:expr; $($name:ident,)*) => {
        mod $module {
            $(
                #[test]
                fn $name() {
                    let (mut one, mut other) = (crate::stack::Notes::default(), crate::stack::Notes::default());
                    super::$name(&$one, &mut one);
                    super::$name(&$other, &mut other);
                    crate::stack::compare(&one, &other);
                }
            )*
        }
    };
}
pub(crate) use same;

/// The same for a pod's network in memory, and for one on the host's network.
macro_rules! everywhere {
    ($($name:ident,)*) => {
        crate::stack::same! { in_memory: crate::stack::Kernel, crate::stack::Pod::new(); $($name,)* }
        crate::stack::same! { on_the_host: crate::stack::Kernel, crate::stack::Pod::on_host(); $($name,)* }
    };
}
pub(crate) use everywhere;

/// Compares line by line, so that a failure shows the first difference in its context.
pub(crate) fn compare(kernel: &Notes, pod: &Notes) {
    assert!(!kernel.0.is_empty());
    if kernel.0 != pod.0 {
        for index in 0..kernel.0.len().max(pod.0.len()) {
            let (left, right) = (kernel.0.get(index), pod.0.get(index));
            let mark = if left == right { "same  " } else { "DIFFER" };
            println!("{mark} kernel {left:?}\n       pod    {right:?}");
        }
        panic!("the stacks differ");
    }
}
