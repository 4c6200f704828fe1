//! Two network stacks behind one small trait: the kernel's loopback and a pod's.

use std::future::poll_fn;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nacelle_infra::budget::Budget;
use nacelle_infra::network::{
    ContainerNetwork, Family, NetError, NodeNetwork, NodeNetworkConfig, PodNetwork, PodNetworkConfig, TcpRead,
    TcpSocket,
};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrAny, SocketType, bind, connect, getpeername, getsockname, listen,
    recv, send, shutdown, socket, sockopt,
};

/// What a call answered, in words that both stacks share.
pub type Answer<T> = Result<T, &'static str>;

/// What a read answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    Bytes(Vec<u8>),
    End,
    WouldBlock,
}

pub trait Stack {
    type Tcp: Tcp;

    fn name(&self) -> &'static str;
    fn tcp(&self, family: Family) -> Self::Tcp;
}

pub trait Tcp: Sized {
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

/// How long the kernel may take for what the loopback does at once, before it counts as waiting.
const PATIENCE: Duration = Duration::from_millis(60);

pub struct Kernel;

pub struct KernelTcp {
    fd: OwnedFd,
}

impl Stack for Kernel {
    type Tcp = KernelTcp;

    fn name(&self) -> &'static str {
        "kernel"
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

/// The loopback of a pod.
pub struct Pod {
    pub runtime: tokio::runtime::Runtime,
    pub pod: Arc<PodNetwork>,
    pub container: Arc<ContainerNetwork>,
}

pub struct PodTcp {
    socket: TcpSocket,
}

impl Pod {
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let node = NodeNetwork::new(NodeNetworkConfig::default()).unwrap();
        let config = PodNetworkConfig { uid: "one".into(), ..PodNetworkConfig::default() };
        let pod = runtime.block_on(node.attach(config, Budget::unlimited())).unwrap();
        let container = pod.container("test");
        Self { runtime, pod, container }
    }
}

impl Stack for Pod {
    type Tcp = PodTcp;

    fn name(&self) -> &'static str {
        "pod"
    }

    fn tcp(&self, family: Family) -> PodTcp {
        PodTcp { socket: self.container.tcp_socket(family).unwrap() }
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
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        match self.socket.poll_connect(&mut cx) {
            std::task::Poll::Ready(outcome) => outcome.map_err(word),
            std::task::Poll::Pending => Err("would block"),
        }
    }

    fn accept(&mut self) -> Answer<Self> {
        match self.socket.try_accept() {
            Ok(Some(socket)) => Ok(Self { socket }),
            Ok(None) => Err("would block"),
            Err(error) => Err(word(error)),
        }
    }

    fn read(&mut self, max: usize) -> Answer<Read> {
        match self.socket.stream().map_err(word)?.try_read(max) {
            Ok(TcpRead::Bytes(bytes)) => Ok(Read::Bytes(bytes.to_vec())),
            Ok(TcpRead::Empty) => Ok(Read::WouldBlock),
            Ok(TcpRead::End) => Ok(Read::End),
            Err(error) => Err(word(error)),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Answer<usize> {
        self.socket.stream().map_err(word)?.try_write(Bytes::copy_from_slice(bytes)).map_err(word)
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

pub fn word(error: NetError) -> &'static str {
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

/// Waits until something can be read.
#[allow(dead_code, reason = "for tests of the pod alone")]
pub async fn readable(stream: &nacelle_infra::network::TcpStream) {
    poll_fn(|cx| stream.poll_readable(cx)).await;
}

pub const V4: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
pub const V6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);

pub fn at(ip: impl Into<IpAddr>, port: u16) -> SocketAddr {
    SocketAddr::new(ip.into(), port)
}

/// What a scenario saw, in order.
#[derive(Default)]
pub struct Notes(Vec<String>);

impl Notes {
    pub fn say(&mut self, what: &str, saw: impl std::fmt::Debug) {
        self.0.push(format!("{what}: {saw:?}"));
    }
}

/// Makes a test of each scenario: run on both stacks, it must see the same.
macro_rules! on_both {
    ($($name:ident,)*) => {
        mod on_both {
            $(
                #[test]
                fn $name() {
                    let (mut kernel, mut pod) = (crate::stack::Notes::default(), crate::stack::Notes::default());
                    super::$name(&crate::stack::Kernel, &mut kernel);
                    super::$name(&crate::stack::Pod::new(), &mut pod);
                    crate::stack::compare(&kernel, &pod);
                }
            )*
        }
    };
}
pub(crate) use on_both;

/// Compares line by line, so that a failure shows the first difference in its context.
pub fn compare(kernel: &Notes, pod: &Notes) {
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
