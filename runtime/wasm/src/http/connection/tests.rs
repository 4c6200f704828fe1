use std::collections::HashSet;
use std::sync::Mutex;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::{Full, StreamBody};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use super::*;

/// Answers by path: `/echo` with the request's body, `/slow` when it is let go, `/endless` with zeros, `/nothing` with no
/// body, the rest with its path.
#[derive(Default)]
struct Paths {
    go: Notify,
    gone: Arc<Mutex<HashSet<String>>>,
}

struct Gone(Arc<Mutex<HashSet<String>>>, String);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.lock().unwrap().insert(std::mem::take(&mut self.1));
    }
}

impl Handler for Paths {
    async fn respond(&self, request: Request<WasiBody>, _: SocketAddr) -> Response<ServedBody> {
        let path = request.uri().path().to_owned();
        match path.as_str() {
            "/echo" => {
                let trailer = request.headers().get(header::TRAILER).cloned();
                let mut response = Response::new(ServedBody::of_body(request.into_body()));
                if let Some(trailer) = trailer {
                    response.headers_mut().insert(header::TRAILER, trailer);
                }
                response
            }
            "/slow" => {
                let gone = Gone(Arc::clone(&self.gone), path);
                self.go.notified().await;
                drop(gone);
                Response::new(ServedBody::of_host("slow".to_owned()))
            }
            "/nothing" => Response::new(ServedBody::of_body(body::empty())),
            "/endless" => {
                let gone = Gone(Arc::clone(&self.gone), path);
                let zeros = futures::stream::repeat_with(move || {
                    let _ = &gone;
                    Ok(Frame::data(Bytes::from_static(&[0; 8192])))
                });
                Response::new(ServedBody::of_body(BodyExt::boxed_unsync(StreamBody::new(zeros))))
            }
            _ => Response::new(ServedBody::of_host(path)),
        }
    }
}

struct Served {
    client: DuplexStream,
    paths: Arc<Paths>,
    drain: Arc<Notify>,
    task: JoinHandle<()>,
}

fn served() -> Served {
    let (client, server) = duplex(64 * 1024);
    let (paths, drain) = (Arc::new(Paths::default()), Arc::new(Notify::new()));
    let task = tokio::spawn({
        let (paths, drain) = (Arc::clone(&paths), Arc::clone(&drain));
        async move { serve(server, SocketAddr::from(([127, 0, 0, 1], 1)), paths, Spawner::Tokio, drain.notified()).await }
    });
    Served { client, paths, drain, task }
}

async fn head(client: &mut DuplexStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn get(client: &mut DuplexStream, path: &str) -> String {
    client.write_all(format!("GET {path} HTTP/1.1\r\nHost: guest\r\n\r\n").as_bytes()).await.unwrap();
    let head = head(client).await;
    let mut body = vec![0; path.len()];
    client.read_exact(&mut body).await.unwrap();
    assert_eq!(body, path.as_bytes());
    head
}

#[tokio::test(start_paused = true)]
async fn a_connection_serves_one_request_after_another() {
    let mut served = served();
    for _ in 0..3 {
        assert!(get(&mut served.client, "/a").await.starts_with("HTTP/1.1 200 OK\r\n"));
        tokio::time::sleep(limits::HEAD_TIMEOUT - Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_nothing_or_slowly_is_cut_off() {
    for sent in ["", "G", "PRI * HTTP/2.0\r\n", "GET /a HTTP/1.1\r\n"] {
        let mut served = served();
        let start = Instant::now();
        served.client.write_all(sent.as_bytes()).await.unwrap();
        served.task.await.unwrap();
        let time = start.elapsed();
        assert!(time >= limits::HEAD_TIMEOUT && time <= limits::HEAD_TIMEOUT + limits::CLOSE_TIMEOUT, "{time:?}");
    }
    // One byte at a time does not help.
    let mut served = served();
    let start = Instant::now();
    while !served.task.is_finished() {
        let _ = served.client.write_all(b"G").await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(start.elapsed() <= limits::HEAD_TIMEOUT + limits::CLOSE_TIMEOUT + Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_after_its_last_response() {
    let mut served = served();
    tokio::time::sleep(limits::HEAD_TIMEOUT / 2).await;
    get(&mut served.client, "/a").await;
    let start = Instant::now();
    served.task.await.unwrap();
    assert!(start.elapsed() >= limits::HEAD_TIMEOUT - Duration::from_millis(1));
    assert!(start.elapsed() <= limits::HEAD_TIMEOUT + limits::CLOSE_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_is_waited_for() {
    let mut served = served();
    served.client.write_all(b"GET /slow HTTP/1.1\r\nHost: guest\r\n\r\n").await.unwrap();
    tokio::time::sleep(limits::HEAD_TIMEOUT * 10).await;
    served.paths.go.notify_one();
    assert!(head(&mut served.client).await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test(start_paused = true)]
async fn heads_are_bounded() {
    let long = "x".repeat(limits::HEAD_BYTES);
    let many = "a: b\r\n".repeat(limits::HEAD_FIELDS + 1);
    for (request, status) in [
        (format!("GET / HTTP/1.1\r\nHost: guest\r\nLong: {long}\r\n\r\n"), "HTTP/1.1 431 "),
        (format!("GET / HTTP/1.1\r\nHost: guest\r\n{many}\r\n"), "HTTP/1.1 431 "),
        (format!("GET /{long} HTTP/1.1\r\nHost: guest\r\n\r\n"), "HTTP/1.1 431 "),
        ("GET /\r\n\r\n".to_owned(), "HTTP/1.1 400 "),
    ] {
        let mut served = served();
        let (mut reading, mut writing) = tokio::io::split(&mut served.client);
        let answer = async {
            let mut answer = Vec::new();
            let _ = reading.read_to_end(&mut answer).await;
            String::from_utf8(answer).unwrap()
        };
        let (_, answer) = tokio::join!(writing.write_all(request.as_bytes()), answer);
        assert!(answer.starts_with(status), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_is_cut_off() {
    let mut served = served();
    served.client.write_all(b"GET /endless HTTP/1.1\r\nHost: guest\r\n\r\n").await.unwrap();
    let start = Instant::now();
    served.task.await.unwrap();
    assert_eq!(start.elapsed().as_secs(), limits::STALL_TIMEOUT.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_its_body_unsent_is_cut_off() {
    let mut served = served();
    served.client.write_all(b"POST /echo HTTP/1.1\r\nHost: guest\r\nContent-Length: 5\r\n\r\nab").await.unwrap();
    let start = Instant::now();
    served.task.await.unwrap();
    assert_eq!(start.elapsed().as_secs(), limits::STALL_TIMEOUT.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_ends_its_request() {
    let mut served = served();
    served.client.write_all(b"GET /slow HTTP/1.1\r\nHost: guest\r\n\r\n").await.unwrap();
    tokio::task::yield_now().await;
    drop(served.client);
    served.task.await.unwrap();
    assert!(served.paths.gone.lock().unwrap().contains("/slow"));
}

#[tokio::test(start_paused = true)]
async fn draining_closes_what_is_idle_and_finishes_what_is_not() {
    let idle = served();
    idle.drain.notify_one();
    let start = Instant::now();
    idle.task.await.unwrap();
    assert!(start.elapsed() <= limits::CLOSE_TIMEOUT);

    let mut busy = served();
    busy.client.write_all(b"GET /slow HTTP/1.1\r\nHost: guest\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    busy.drain.notify_one();
    tokio::time::sleep(limits::CLOSE_TIMEOUT * 5).await;
    assert!(!busy.task.is_finished());
    busy.paths.go.notify_one();
    let head = head(&mut busy.client).await;
    assert!(head.contains("connection: close"), "{head}");
    busy.task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn http2_is_spoken_with_prior_knowledge() {
    let served = served();
    let io = TokioIo::new(served.client);
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let (pieces, body) = mpsc::channel::<Frame<Bytes>>(1);
    let body = StreamBody::new(futures::stream::unfold(body, |mut body| async {
        body.recv().await.map(|frame| (Ok::<_, Infallible>(frame), body))
    }));
    let request = Request::post("http://guest/echo").body(BodyExt::boxed_unsync(body)).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let mut body = response.into_body();
    for piece in ["one", "two"] {
        pieces.send(Frame::data(Bytes::from(piece))).await.unwrap();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), piece);
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("sum", HeaderValue::from_static("6"));
    pieces.send(Frame::trailers(trailers.clone())).await.unwrap();
    drop(pieces);
    assert_eq!(body.frame().await.unwrap().unwrap().into_trailers().unwrap(), trailers);
}

/// A client of HTTP/2 that lets each stream send it so many bytes before it has read any.
async fn http2_with_window(client: DuplexStream, bytes: u32) -> http2::SendRequest<WasiBody> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(bytes);
    let (sender, connection) = builder.handshake(TokioIo::new(client)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn get2(path: &str) -> Request<WasiBody> {
    Request::get(format!("http://guest{path}")).body(body::empty()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn heads_of_http2_are_bounded_and_only_their_streams_end() {
    let served = served();
    let mut sender = http2_with_window(served.client, limits::H2_STREAM_WINDOW).await;
    let with = |bytes: usize| {
        let request = Request::get("http://guest/a").header("long", "x".repeat(bytes));
        request.body(body::empty()).unwrap()
    };
    let long_target = get2(&format!("/{}", "x".repeat(limits::TARGET_BYTES - 100)));
    for (request, status) in [
        (with(limits::HEAD_BYTES), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
        (with(limits::HEAD_BYTES - 1000), StatusCode::OK),
        (long_target, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
        (get2("/a"), StatusCode::OK),
    ] {
        assert_eq!(sender.send_request(request).await.unwrap().status(), status);
    }
    // Frames that go on and on are no head that is worth an answer.
    assert!(sender.send_request(with(limits::HEAD_BYTES * 16)).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_http2_whose_client_takes_nothing_is_reset_and_the_connection_lives() {
    let served = served();
    // A window that never opens: nothing is ever written that could stall.
    let mut sender = http2_with_window(served.client, 0).await;
    let start = Instant::now();
    let stalled = sender.send_request(get2("/endless")).await.unwrap();
    // Another request keeps the connection busy all the time.
    let slow = tokio::spawn(sender.send_request(get2("/slow")));
    let failure = stalled.into_body().frame().await.unwrap().unwrap_err();
    assert!(failure.to_string().contains("error reading a body"), "{failure}");
    assert_eq!(start.elapsed().as_secs(), limits::STALL_TIMEOUT.as_secs());
    assert!(served.paths.gone.lock().unwrap().contains("/endless"), "what served it has been let go");
    assert!(!slow.is_finished());
    assert_eq!(sender.send_request(get2("/nothing")).await.unwrap().status(), StatusCode::OK);
    served.paths.go.notify_one();
    assert_eq!(slow.await.unwrap().unwrap().status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_http2_may_take_its_time_for_each_piece_and_wait_for_the_server() {
    let served = served();
    let mut sender = http2_with_window(served.client, 8192).await;
    let mut body = sender.send_request(get2("/endless")).await.unwrap().into_body();
    for _ in 0..5 {
        tokio::time::sleep(limits::STALL_TIMEOUT - Duration::from_secs(1)).await;
        assert!(body.frame().await.unwrap().is_ok());
    }
    drop(body);
    // That the server has nothing to send is not its client's fault.
    let slow = tokio::spawn(sender.send_request(get2("/slow")));
    tokio::time::sleep(limits::STALL_TIMEOUT * 3).await;
    served.paths.go.notify_one();
    let body = slow.await.unwrap().unwrap().into_body().collect().await.unwrap();
    assert_eq!(body.to_bytes(), "slow");
}

#[tokio::test(start_paused = true)]
async fn trailers_pass_in_http1_where_they_are_announced() {
    let served = served();
    let (mut sender, connection) = http1::handshake(TokioIo::new(served.client)).await.unwrap();
    tokio::spawn(connection);
    let mut trailers = HeaderMap::new();
    trailers.insert("sum", HeaderValue::from_static("6"));
    let body = Full::new(Bytes::from_static(b"abc")).with_trailers(std::future::ready(Some(Ok(trailers.clone()))));
    let body = BodyExt::boxed_unsync(http_body_util::BodyExt::map_frame(body, |frame| frame));
    let request = Request::post("/echo").header("host", "guest").header("te", "trailers").header("trailer", "sum");
    let response = sender.send_request(request.body(body).unwrap()).await.unwrap();
    let collected = response.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers(), Some(&trailers));
    assert_eq!(collected.to_bytes(), "abc");
}
