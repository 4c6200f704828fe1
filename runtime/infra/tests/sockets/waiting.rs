//! Who waits is woken: by tasks, by threads, and under every bound.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use bytes::Bytes;
use nacelle_infra::network::{Family, NetError, TcpRead, TcpSocket, TcpStream};
use proptest::prelude::*;

use crate::stack::{Pod, V4, at};

fn listening(pod: &Pod) -> TcpSocket {
    let mut listener = pod.container.tcp_socket(Family::V4).unwrap();
    listener.bind(at(V4, 0)).unwrap();
    listener.listen().unwrap();
    listener
}

fn pair(pod: &Pod) -> (TcpStream, TcpStream) {
    let mut listener = listening(pod);
    let mut client = pod.container.tcp_socket(Family::V4).unwrap();
    client.start_connect(listener.local_address().unwrap()).unwrap();
    let server = listener.try_accept().unwrap().unwrap();
    (client.stream().unwrap(), server.stream().unwrap())
}

/// Wakes a thread that is parked.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on_ready(mut poll: impl FnMut(&mut Context<'_>) -> Poll<()>) {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    while poll(&mut cx).is_pending() {
        thread::park();
    }
}

/// Bytes whose value says where in the stream they are.
fn pattern(from: usize, count: usize) -> Bytes {
    (from..from + count).map(|index| (index % 251) as u8).collect()
}

#[test]
fn no_wake_up_is_lost_between_threads() {
    let pod = Pod::new();
    let (client, server) = pair(&pod);
    let total = 20 * 1024 * 1024;
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut sent = 0;
            let mut size = 1;
            while sent < total {
                size = (size * 31 + 7) % 100_000 + 1;
                match client.try_write(pattern(sent, size.min(total - sent))).unwrap() {
                    0 => block_on_ready(|cx| client.poll_writable(cx)),
                    taken => sent += taken,
                }
            }
            client.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let mut received = 0;
        let mut max = 1;
        loop {
            max = (max * 17 + 3) % 70_000 + 1;
            match server.try_read(max).unwrap() {
                TcpRead::Bytes(bytes) => {
                    assert_eq!(bytes, pattern(received, bytes.len()));
                    received += bytes.len();
                }
                TcpRead::Empty => block_on_ready(|cx| server.poll_readable(cx)),
                TcpRead::End => break,
            }
        }
        assert_eq!(received, total);
    });
}

#[test]
fn two_threads_answer_each_other() {
    let pod = Pod::new();
    let (client, server) = pair(&pod);
    let serve = |stream: &TcpStream, first: bool| {
        for round in 0..50_000_usize {
            for turn in [first, !first] {
                if turn {
                    assert_eq!(stream.try_write(pattern(round, 3)), Ok(3));
                } else {
                    loop {
                        match stream.try_read(100).unwrap() {
                            TcpRead::Bytes(bytes) => break assert_eq!(bytes, pattern(round, 3)),
                            TcpRead::Empty => block_on_ready(|cx| stream.poll_readable(cx)),
                            TcpRead::End => panic!("too early"),
                        }
                    }
                }
            }
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| serve(&server, false));
        serve(&client, true);
    });
}

#[test]
fn many_tasks_wait_for_one_connection() {
    let pod = Pod::new();
    let (client, server) = pair(&pod);
    pod.runtime.block_on(async {
        let waiting: Vec<_> = (0..100)
            .map(|_| {
                let stream = server.clone();
                tokio::spawn(async move { poll_fn(|cx| stream.poll_readable(cx)).await })
            })
            .collect();
        tokio::task::yield_now().await;
        client.try_write(Bytes::from_static(b"x")).unwrap();
        for task in waiting {
            task.await.unwrap();
        }
    });
}

#[test]
fn an_accept_and_a_connect_that_wait_are_woken() {
    let pod = Pod::new();
    pod.runtime.block_on(async {
        let mut listener = listening(&pod);
        listener.set_backlog(1).unwrap();
        let to = listener.local_address().unwrap();
        let container = Arc::clone(&pod.container);
        // Five at once where two have room: the others wait for their turn.
        let clients: Vec<_> = (0..5)
            .map(|_| {
                let container = Arc::clone(&container);
                tokio::spawn(async move { container.connect(to).await.unwrap() })
            })
            .collect();
        let mut servers = Vec::new();
        for _ in 0..5 {
            servers.push(listener.accept().await.unwrap());
        }
        for client in clients {
            client.await.unwrap().try_write(Bytes::from_static(b"hello")).unwrap();
        }
    });
}

#[test]
fn connects_that_wait_are_refused_when_the_listener_closes() {
    let pod = Pod::new();
    let mut listener = listening(&pod);
    listener.set_backlog(1).unwrap();
    let to = listener.local_address().unwrap();
    let mut clients: Vec<TcpSocket> = (0..4).map(|_| pod.container.tcp_socket(Family::V4).unwrap()).collect();
    for client in &mut clients {
        client.start_connect(to).unwrap();
    }
    drop(listener);
    pod.runtime.block_on(async {
        for client in &mut clients[2..] {
            assert_eq!(poll_fn(|cx| client.poll_connect(cx)).await, Err(NetError::ConnectionRefused));
            assert_eq!(client.stream().err(), Some(NetError::ConnectionRefused));
        }
    });
}

#[test]
fn a_connect_that_is_given_up_leaves_its_place_to_others() {
    let pod = Pod::new();
    let mut listener = listening(&pod);
    listener.set_backlog(1).unwrap();
    let to = listener.local_address().unwrap();
    let mut clients: Vec<TcpSocket> = (0..4).map(|_| pod.container.tcp_socket(Family::V4).unwrap()).collect();
    for client in &mut clients {
        client.start_connect(to).unwrap();
    }
    drop(clients.remove(2));
    for _ in 0..3 {
        assert!(listener.try_accept().unwrap().is_some());
    }
    assert!(listener.try_accept().unwrap().is_none());
    let mut cx = Context::from_waker(Waker::noop());
    assert_eq!(clients[2].poll_connect(&mut cx), Poll::Ready(Ok(())));
}

#[test]
fn it_is_a_stream_for_tokio() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let pod = Pod::new();
    let (mut client, server) = pair(&pod);
    pod.runtime.block_on(async {
        let echo = tokio::spawn(async move {
            let (mut reader, mut writer) = tokio::io::split(server.clone());
            tokio::io::copy(&mut reader, &mut writer).await.unwrap();
            server.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let sent = pattern(0, 3_000_000);
        let expected = sent.clone();
        let mut reading = client.clone();
        let reader = tokio::spawn(async move {
            let mut all = Vec::new();
            reading.read_to_end(&mut all).await.unwrap();
            all
        });
        client.write_all(&sent).await.unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(reader.await.unwrap() == expected);
        echo.await.unwrap();
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any order of reads and writes of any size: bytes come in order, none is lost, and the bound holds.
    #[test]
    fn streams_carry_bytes_in_order_within_their_bound(
        receive_buffer in 1u64..20_000,
        steps in prop::collection::vec((any::<bool>(), 1usize..10_000), 1..200),
    ) {
        let pod = Pod::new();
        let mut listener = listening(&pod);
        let options = nacelle_infra::network::TcpOptions { receive_buffer, send_buffer: 1, ..listener.options() };
        listener.set_options(options).unwrap();
        let mut client = pod.container.tcp_socket(Family::V4).unwrap();
        client.set_options(nacelle_infra::network::TcpOptions { send_buffer: 1, ..client.options() }).unwrap();
        client.start_connect(listener.local_address().unwrap()).unwrap();
        let server = listener.try_accept().unwrap().unwrap();
        let bound = (server.options().receive_buffer + client.options().send_buffer) as usize;
        let (client, server) = (client.stream().unwrap(), server.stream().unwrap());
        let (mut sent, mut received) = (0, 0);
        for (write, size) in steps {
            if write {
                let room = client.writable().unwrap();
                let taken = client.try_write(pattern(sent, size)).unwrap();
                prop_assert_eq!(taken, size.min(room));
                sent += taken;
            } else {
                match server.try_read(size).unwrap() {
                    TcpRead::Bytes(bytes) => {
                        prop_assert!(!bytes.is_empty() && bytes.len() <= size);
                        prop_assert_eq!(&bytes, &pattern(received, bytes.len()));
                        received += bytes.len();
                    }
                    TcpRead::Empty => prop_assert_eq!(received, sent),
                    TcpRead::End => prop_assert!(false, "no end was sent"),
                }
            }
            prop_assert!(sent - received <= bound);
            prop_assert_eq!(client.writable().unwrap(), bound - (sent - received));
        }
    }
}
