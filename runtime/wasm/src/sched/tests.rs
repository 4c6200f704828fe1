//! Tasks on real threads. What is tested here is that they get somewhere; who gets how much is tested with the queue.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use nacelle_container::Cpu;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{mpsc, oneshot};

use super::group::JoinError;
use super::*;

/// An executor, and what counts its interrupts.
fn executor(threads: usize) -> (Executor, Arc<AtomicU64>) {
    let interrupts = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&interrupts);
    let interrupt = move || {
        count.fetch_add(1, Ordering::SeqCst);
    };
    let executor = Executor::new(threads, interrupt).unwrap();
    (executor, interrupts)
}

fn container(executor: &Executor, cpu: Cpu) -> Group {
    executor.pod(Cpu::default()).container(cpu)
}

/// A guest that computes until it is told to stop, and yields when it is interrupted.
fn busy(group: &Group, interrupts: &Arc<AtomicU64>, stop: &Arc<AtomicBool>) -> JoinHandle<()> {
    let (interrupts, stop) = (Arc::clone(interrupts), Arc::clone(stop));
    group.spawn(poll_fn(move |cx| {
        let seen = interrupts.load(Ordering::SeqCst);
        while interrupts.load(Ordering::SeqCst) == seen {
            if stop.load(Ordering::SeqCst) {
                return Poll::Ready(());
            }
            std::hint::spin_loop();
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }))
}

#[tokio::test]
async fn a_task_that_panics_takes_nothing_with_it() {
    let (executor, _) = executor(1);
    let group = container(&executor, Cpu::default());
    assert_eq!(group.spawn(async { panic!("a mistake") }).await, Err(JoinError::Panicked));
    assert_eq!(group.spawn(async { 7 }).await, Ok(7));
}

#[tokio::test]
async fn timers_and_sockets_work_while_every_thread_is_busy() {
    let (executor, interrupts) = executor(2);
    let _guest = executor.guest();
    let stop = Arc::new(AtomicBool::new(false));
    let spinners: Vec<_> = (0..4).map(|_| busy(&container(&executor, Cpu::default()), &interrupts, &stop)).collect();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let echo = container(&executor, Cpu::default()).spawn(async move {
        tokio::time::sleep(Duration::from_millis(10)).await;
        listener.set_nonblocking(true).unwrap();
        let (mut stream, _) = tokio::net::TcpListener::from_std(listener).unwrap().accept().await.unwrap();
        let mut text = [0; 5];
        stream.read_exact(&mut text).await.unwrap();
        stream.write_all(&text).await.unwrap();
    });
    let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
    client.write_all(b"hello").await.unwrap();
    let mut text = Vec::new();
    client.read_to_end(&mut text).await.unwrap();
    assert_eq!(text, b"hello");
    echo.await.unwrap();
    stop.store(true, Ordering::SeqCst);
    for spinner in spinners {
        spinner.await.unwrap();
    }
}

#[tokio::test]
async fn tasks_wake_each_other_on_any_number_of_threads() {
    for threads in [1, 2, 4] {
        let (executor, _) = executor(threads);
        let (to_pong, mut pings) = mpsc::channel(1);
        let (to_ping, mut pongs) = mpsc::channel(1);
        let pong = container(&executor, Cpu::default()).spawn(async move {
            while let Some(number) = pings.recv().await {
                to_ping.send(number).await.unwrap();
            }
        });
        let ping = container(&executor, Cpu::default()).spawn(async move {
            for number in 0..10_000 {
                to_pong.send(number).await.unwrap();
                assert_eq!(pongs.recv().await, Some(number));
            }
        });
        ping.await.unwrap();
        pong.await.unwrap();
    }
}

#[tokio::test]
async fn what_is_used_and_what_is_waited_for_is_counted() {
    let (executor, interrupts) = executor(1);
    let _guest = executor.guest();
    let stop = Arc::new(AtomicBool::new(false));
    let group = container(&executor, Cpu { limit_millis: Some(10), request_millis: 0 });
    let spinner = busy(&group, &interrupts, &stop);
    // Something else runs meanwhile, or the thread waits: the wait is over only when the quota is refilled.
    while group.usage().throttled == 0 {
        tokio::task::yield_now().await;
    }
    assert!(group.usage().used > 0);
    stop.store(true, Ordering::SeqCst);
    spinner.await.unwrap();
}

#[tokio::test]
async fn what_shall_end_is_not_held_up() {
    let (executor, interrupts) = executor(1);
    let _guest = executor.guest();
    let stop = Arc::new(AtomicBool::new(false));
    // One slice is the quota of five seconds and more.
    let group = container(&executor, Cpu { limit_millis: Some(1), request_millis: 0 });
    let spinner = busy(&group, &interrupts, &stop);
    while group.usage().throttled == 0 {
        tokio::task::yield_now().await;
    }
    stop.store(true, Ordering::SeqCst);
    let before = group.usage();
    group.expedite();
    spinner.await.unwrap();
    assert!(group.usage().throttled - before.throttled < 1_000_000_000);
}

#[tokio::test]
async fn tasks_go_when_the_executor_does() {
    let (executor, _) = executor(2);
    let (dropped, gone) = oneshot::channel::<()>();
    let waits = executor.spawn_host(async move {
        let _held = dropped;
        tokio::time::sleep(Duration::from_secs(3600)).await;
    });
    drop(executor);
    // Its timer went with the driver, and with it the last that knew the task.
    drop(waits);
    assert!(gone.await.is_err());
}

#[tokio::test]
async fn a_group_goes_with_its_last_task() {
    let (executor, _) = executor(1);
    let pod = executor.pod(Cpu::default());
    let weak = pod.downgrade();
    let (go, wait) = oneshot::channel::<()>();
    let task = pod.container(Cpu::default()).spawn(async move { drop(wait.await) });
    drop(pod);
    assert!(weak.upgrade().is_some());
    go.send(()).unwrap();
    task.await.unwrap();
    while weak.upgrade().is_some() {
        tokio::task::yield_now().await;
    }
}
