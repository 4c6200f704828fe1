//! Bodies on their way between guests and the network. All of them are streams: what waits is one piece.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::channel::oneshot;
use http::{HeaderMap, Method, StatusCode, header};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Body, Frame, SizeHint};
use nacelle_infra::budget::Budget;
use tokio::time::{Instant, Sleep};
use wasmtime_wasi_http::{Error, WasiBody};

use super::access_log::Line;
use super::exchange::Exchange;
use super::held;

/// One poll of a body.
type Polled = Poll<Option<Result<Frame<Bytes>, Error>>>;

/// A body without anything in it. Takes no memory.
pub(super) fn empty() -> WasiBody {
    Empty::new().map_err(Error::from).boxed_unsync()
}

/// The length that a head says its body has.
pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A response's body, with what has to happen when it has been sent or given up.
#[derive(Debug)]
pub(super) struct ServedBody {
    body: WasiBody,
    /// What serves it, until its end was seen or nobody asks for it.
    exchange: Option<Arc<Exchange>>,
    /// Who pays for what is on its way.
    payer: Option<Arc<Budget>>,
    /// What is missing until the length that the head says.
    missing: Option<u64>,
    sent: u64,
    line: Option<(Line, StatusCode)>,
}

impl ServedBody {
    /// The body of a guest's answer to a request of this method.
    pub(super) fn of_guest(
        body: WasiBody,
        exchange: Arc<Exchange>,
        payer: &Arc<Budget>,
        method: &Method,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Self {
        let unsent = is_bodiless(method, status);
        Self {
            body,
            payer: Some(Arc::clone(payer)),
            missing: content_length(headers),
            // That nobody reads it is no reason to stop the guest: it may have more to do.
            exchange: (!unsent).then_some(exchange),
            sent: 0,
            line: None,
        }
    }

    /// The host's own words.
    pub(super) fn of_host(text: String) -> Self {
        let body = Full::new(Bytes::from(text)).map_err(Error::from).boxed_unsync();
        Self { body, exchange: None, payer: None, missing: None, sent: 0, line: None }
    }

    /// Any body, for tests.
    #[cfg(test)]
    pub(super) fn of_body(body: WasiBody) -> Self {
        Self { body, exchange: None, payer: None, missing: None, sent: 0, line: None }
    }

    /// Ends `line` when this body does.
    pub(super) fn log(&mut self, line: Line, status: StatusCode) {
        self.line = Some((line, status));
    }

    fn end(&mut self) {
        if let Some(exchange) = self.exchange.take() {
            exchange.finish();
        }
    }
}

/// Whether no body is sent with such a response, whatever the guest writes.
pub(super) fn is_bodiless(method: &Method, status: StatusCode) -> bool {
    method == Method::HEAD
        || status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED
}

impl Body for ServedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        let this = &mut *self;
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    let bytes = u64::try_from(data.len()).unwrap_or(u64::MAX);
                    this.sent = this.sent.saturating_add(bytes);
                    this.missing = this.missing.map(|missing| missing.saturating_sub(bytes));
                    if this.missing == Some(0) {
                        // Nobody asks for more.
                        this.end();
                    }
                } else {
                    this.end();
                }
            }
            Some(Err(_)) => this.end(),
            None if this.exchange.as_ref().is_some_and(|exchange| exchange.is_broken()) => {
                // The guest's end of the stream is gone because the guest is: this is not the response's end.
                this.end();
                return Poll::Ready(Some(Err(Error::HttpResponseIncomplete)));
            }
            None => this.end(),
        }
        Poll::Ready(match (frame, &this.payer) {
            (Some(Ok(frame)), Some(payer)) => Some(Ok(held::frame(frame, payer))),
            (frame, _) => frame,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream() && !self.exchange.as_ref().is_some_and(|exchange| exchange.is_broken())
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for ServedBody {
    fn drop(&mut self) {
        if let Some(exchange) = self.exchange.take() {
            if self.missing == Some(0) || self.body.is_end_stream() {
                exchange.finish();
            } else {
                exchange.abandon();
            }
        }
        if let Some((line, status)) = self.line.take() {
            line.end(status, self.sent);
        }
    }
}

/// A body that fails when nothing of it comes for some time.
#[derive(Debug)]
pub(super) struct Timed<B> {
    body: B,
    limit: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

impl<B> Timed<B> {
    pub(super) fn new(body: B, limit: Duration) -> Self {
        Self { body, limit, sleep: None, waiting: false }
    }
}

impl<B: Body<Data = Bytes, Error = Error> + Unpin> Body for Timed<B> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.waiting = false;
            return Poll::Ready(frame);
        }
        let sleep = this.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(this.limit)));
        if !this.waiting {
            this.waiting = true;
            // A sleep that long ago is as good as none.
            if let Some(deadline) = Instant::now().checked_add(this.limit) {
                sleep.as_mut().reset(deadline);
            }
        }
        ready!(sleep.as_mut().poll(cx));
        Poll::Ready(Some(Err(Error::ConnectionReadTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A request's body on its way out, and the news of how that went.
#[derive(Debug)]
pub(super) struct Sent {
    body: WasiBody,
    done: Option<oneshot::Sender<Result<(), Error>>>,
}

impl Sent {
    /// The body, and a future that is done when nobody will read more of it, and fails where it failed itself. One
    /// that is not wanted to its end has not failed: its response tells.
    pub(super) fn new(body: WasiBody) -> (Self, impl Future<Output = Result<(), Error>> + Send + 'static) {
        let (done, sent) = oneshot::channel();
        let mut this = Self { body, done: Some(done) };
        if this.body.is_end_stream() {
            this.end(Ok(()));
        }
        (this, async move { sent.await.unwrap_or(Ok(())) })
    }

    fn end(&mut self, how: Result<(), Error>) {
        if let Some(done) = self.done.take() {
            // Nobody need be interested.
            let _ = done.send(how);
        }
    }
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            None => self.end(Ok(())),
            Some(Ok(frame)) if frame.is_trailers() || self.body.is_end_stream() => self.end(Ok(())),
            Some(Ok(_)) => {}
            Some(Err(Error::HttpRequestBodySize(size))) => {
                let size = *size;
                self.end(Err(Error::HttpRequestBodySize(size)));
            }
            Some(Err(_)) => self.end(Err(Error::ConnectionTerminated)),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    struct Channel(mpsc::Receiver<Bytes>);

    impl Body for Channel {
        type Data = Bytes;
        type Error = Error;

        fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
            self.0.poll_recv(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_may_take_its_time_for_each_piece_and_not_more() {
        let (sender, receiver) = mpsc::channel(1);
        let mut body = Timed::new(Channel(receiver), Duration::from_secs(60));
        let start = Instant::now();
        tokio::spawn(async move {
            for _ in 0..3 {
                tokio::time::sleep(Duration::from_secs(59)).await;
                sender.send(Bytes::from_static(b"x")).await.unwrap();
            }
            std::future::pending::<()>().await;
        });
        for _ in 0..3 {
            assert!(body.frame().await.unwrap().is_ok());
        }
        assert!(matches!(body.frame().await, Some(Err(Error::ConnectionReadTimeout))));
        assert_eq!(start.elapsed().as_secs(), 3 * 59 + 60);
    }

    #[tokio::test]
    async fn only_a_body_that_fails_was_not_sent() {
        let (body, sent) = Sent::new(empty());
        drop(body);
        assert!(sent.await.is_ok());
        let (_sender, receiver) = mpsc::channel(1);
        let (body, sent) = Sent::new(Channel(receiver).boxed_unsync());
        drop(body);
        assert!(sent.await.is_ok());
        let failing = Empty::new().map_err(Error::from);
        let failing = failing.with_trailers(std::future::ready(Some(Err(Error::HttpRequestBodySize(Some(1))))));
        let (body, sent) = Sent::new(failing.boxed_unsync());
        assert!(body.collect().await.is_err());
        assert!(matches!(sent.await, Err(Error::HttpRequestBodySize(Some(1)))));
        let (sender, receiver) = mpsc::channel(1);
        drop(sender);
        let (body, sent) = Sent::new(Channel(receiver).boxed_unsync());
        body.collect().await.unwrap();
        assert!(sent.await.is_ok());
    }
}
