//! A request to a component of this node, handed over in memory: no socket, no bytes of HTTP.
//!
//! Everything else is as over a connection: the form of both messages ([`wire`]), the service's limits and its access
//! log, back-pressure by bodies that are streams of at most a few pieces, and a client that goes away in the middle.
//!
//! ```text
//!   client's task ──request──► task of the server's container ──► HttpService
//!         ◄──────response──────────┘ └─ takes the body back from a client that does not read it
//! ```
//!
//! The server has a task of its own for it, as it would have for a connection: a guest that stops polling in the middle
//! must not keep what it takes of the server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use nacelle_infra::budget::Budget;
use tokio::sync::oneshot;
use wasmtime_wasi_http::{Error, WasiBody};

use crate::http::connection::Handler;
use crate::http::lent::{Lent, lend};
use crate::http::{service, wire};
use crate::sched::Spawner;

/// Who sends a request.
pub(super) struct Caller<'a> {
    /// What the server sees of it.
    pub(super) address: SocketAddr,
    /// How long it waits for the response's head.
    pub(super) first_byte: Duration,
    /// Where what is done for it runs.
    pub(super) spawner: &'a Spawner,
    /// What is charged with what it does not read.
    pub(super) payer: &'a Arc<Budget>,
}

/// Has `service` answer a request, on a task of `server`, if there is one any more.
pub(super) async fn send<H: Handler>(
    service: Arc<H>,
    server: Option<Spawner>,
    request: Request<WasiBody>,
    caller: Caller<'_>,
) -> Result<Response<WasiBody>, Error> {
    let asked = wire::Asked::new(&request);
    let request = match wire::request(request, caller.spawner) {
        Ok(request) => request,
        Err(status) => return Ok(wire::response(service::plain(status), &asked)),
    };
    let Some(server) = server else {
        return Ok(wire::response(service::plain(StatusCode::SERVICE_UNAVAILABLE), &asked));
    };
    let (reply, answer) = oneshot::channel();
    server.spawn(serve(service, request, caller.address, Arc::clone(caller.payer), reply));
    let answer = tokio::time::timeout(caller.first_byte, answer).await.map_err(|_| Error::ConnectionReadTimeout)?;
    // No answer at all: the server's tasks are gone.
    Ok(wire::response(answer.map_err(|_| Error::ConnectionTerminated)?, &asked))
}

/// The server's side of one request.
async fn serve<H: Handler>(
    service: Arc<H>,
    request: Request<WasiBody>,
    client: SocketAddr,
    payer: Arc<Budget>,
    mut reply: oneshot::Sender<Response<Lent>>,
) {
    let response = tokio::select! {
        biased;
        () = reply.closed() => return,
        response = service.respond(request, client) => response,
    };
    drop(service);
    let (parts, body) = response.into_parts();
    let (lent, loan) = lend(body, payer);
    if reply.send(Response::from_parts(parts, lent)).is_ok() {
        loan.watch().await;
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use futures::FutureExt as _;
    use http_body_util::{BodyExt as _, StreamBody};
    use hyper::body::Frame;
    use tokio::sync::mpsc;
    use tokio::time::Instant;

    use super::*;
    use crate::http::body::ServedBody;
    use crate::http::limits;

    /// Reads the request's body to its end or failure, and answers with what is sent into the channel.
    struct Answers {
        body: std::sync::Mutex<Option<mpsc::Receiver<Frame<Bytes>>>>,
        read: mpsc::UnboundedSender<Result<Bytes, Error>>,
    }

    impl Handler for Answers {
        async fn respond(&self, request: Request<WasiBody>, _: SocketAddr) -> Response<ServedBody> {
            let read = request.into_body().collect().await.map(|body| body.to_bytes());
            let _ = self.read.send(read);
            Response::new(ServedBody::of_body(receiver(self.body.lock().unwrap().take().unwrap())))
        }
    }

    fn receiver(receiver: mpsc::Receiver<Frame<Bytes>>) -> WasiBody {
        let frames = futures::stream::unfold(receiver, |mut receiver| async {
            receiver.recv().await.map(|frame| (Ok(frame), receiver))
        });
        StreamBody::new(frames).boxed_unsync()
    }

    struct Pair {
        service: Arc<Answers>,
        /// What the server writes. It is closed when nothing of it is wanted any more.
        body: mpsc::Sender<Frame<Bytes>>,
        read: mpsc::UnboundedReceiver<Result<Bytes, Error>>,
    }

    fn pair() -> Pair {
        let ((body, frames), (read, reads)) = (mpsc::channel(1), mpsc::unbounded_channel());
        let service = Arc::new(Answers { body: std::sync::Mutex::new(Some(frames)), read });
        Pair { service, body, read: reads }
    }

    fn send_to(
        service: &Arc<Answers>,
        body: WasiBody,
    ) -> impl Future<Output = Result<Response<WasiBody>, Error>> + use<> {
        let request = Request::post("http://server/").body(body).unwrap();
        send_by(Arc::clone(service), Some(Spawner::Tokio), request, Budget::unlimited())
    }

    async fn send_by(
        service: Arc<Answers>,
        server: Option<Spawner>,
        request: Request<WasiBody>,
        payer: Arc<Budget>,
    ) -> Result<Response<WasiBody>, Error> {
        let caller = Caller {
            address: SocketAddr::from(([127, 0, 0, 1], 1)),
            first_byte: limits::OUTGOING_TIMEOUT,
            spawner: &Spawner::Tokio,
            payer: &payer,
        };
        send(service, server, request, caller).await
    }

    fn empty() -> WasiBody {
        http_body_util::Empty::new().map_err(|never: Infallible| match never {}).boxed_unsync()
    }

    fn data() -> Frame<Bytes> {
        Frame::data(Bytes::from_static(b"some bytes"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_in_memory_that_reads_nothing_is_cut_off() {
        let Pair { service, body, .. } = pair();
        let mut response = send_to(&service, empty()).await.unwrap().into_body();
        body.send(data()).await.unwrap();
        let start = Instant::now();
        body.closed().await;
        assert_eq!(start.elapsed().as_secs(), limits::STALL_TIMEOUT.as_secs());
        assert!(matches!(response.frame().await, Some(Err(Error::HttpResponseIncomplete))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_in_memory_that_never_takes_its_response_is_cut_off() {
        let Pair { service, body, .. } = pair();
        let mut sending = Box::pin(send_to(&service, empty()));
        // The guest computes from here on: nothing of its own is polled.
        assert!((&mut sending).now_or_never().is_none());
        body.closed().await;
        let mut response = sending.await.unwrap().into_body();
        assert!(matches!(response.frame().await, Some(Err(Error::HttpResponseIncomplete))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_in_memory_that_goes_away_is_seen_at_once() {
        let Pair { service, body, .. } = pair();
        let start = Instant::now();
        let mut sending = Box::pin(send_to(&service, empty()));
        assert!((&mut sending).now_or_never().is_none());
        drop((sending, service));
        body.closed().await;
        let Pair { service, body, .. } = pair();
        drop(send_to(&service, empty()).await.unwrap());
        body.closed().await;
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_in_memory_may_take_its_time_for_each_piece_and_for_the_end() {
        let nearly = limits::STALL_TIMEOUT - Duration::from_secs(1);
        let Pair { service, body, .. } = pair();
        let mut response = send_to(&service, empty()).await.unwrap().into_body();
        for _ in 0..3 {
            body.send(data()).await.unwrap();
            tokio::time::sleep(nearly).await;
            assert!(response.frame().await.unwrap().is_ok());
        }
        // That the server takes its time is not the client's fault.
        assert!(response.frame().now_or_never().is_none());
        tokio::time::sleep(limits::STALL_TIMEOUT * 3).await;
        body.send(data()).await.unwrap();
        assert!(response.frame().await.unwrap().is_ok());
        // Over a connection the end would have been behind the last piece.
        drop(body);
        tokio::time::sleep(limits::STALL_TIMEOUT * 3).await;
        assert!(response.frame().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_in_memory_that_leaves_its_body_unsent_is_cut_off() {
        let Pair { service, mut read, body: _body } = pair();
        let (pieces, unsent) = mpsc::channel(1);
        let start = Instant::now();
        let _sending = tokio::spawn(send_to(&service, receiver(unsent)));
        pieces.send(data()).await.unwrap();
        assert!(matches!(read.recv().await.unwrap(), Err(Error::ConnectionReadTimeout)));
        assert_eq!(start.elapsed().as_secs(), limits::STALL_TIMEOUT.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_response_waits_for_its_client_at_its_clients_expense() {
        let Pair { service, body, .. } = pair();
        let payer = Budget::unlimited();
        let request = Request::post("http://server/").body(empty()).unwrap();
        let sent = send_by(service, Some(Spawner::Tokio), request, Arc::clone(&payer)).await;
        body.send(Frame::data(Bytes::from_static(&[7; 50_000]))).await.unwrap();
        drop(body);
        tokio::time::sleep(limits::STALL_TIMEOUT * 3).await;
        assert_eq!(payer.used(), 50_000);
        assert_eq!(sent.unwrap().into_body().collect().await.unwrap().to_bytes().len(), 50_000);
        assert_eq!(payer.used(), 0);
    }

    #[tokio::test]
    async fn a_server_that_has_ended_is_unavailable_and_bounds_of_heads_hold() {
        let request = Request::get("http://server/").body(empty()).unwrap();
        let sent = send_by(pair().service, None, request, Budget::unlimited()).await;
        assert_eq!(sent.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
        let long = "x".repeat(limits::HEAD_BYTES);
        let request = Request::get("http://server/").header("long", long).body(empty()).unwrap();
        let sent = send_by(pair().service, Some(Spawner::Tokio), request, Budget::unlimited()).await;
        assert_eq!(sent.unwrap().status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
}
