//! What two sockets would hold of a body, for one that goes to a sibling in memory.
//!
//! A guest that writes its request before it reads the response must get as far as it would over a connection, also
//! where the sibling answers while it reads: with no room in between, the two would wait for each other.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use wasmtime_wasi_http::{Error, WasiBody};

use super::limits;
use crate::sched::Spawner;

type Piece = (Result<Frame<Bytes>, Error>, Option<OwnedSemaphorePermit>);

/// A body that is read ahead, up to [`limits::DIRECT_BUFFER`].
#[derive(Debug)]
struct Buffered {
    pieces: mpsc::Receiver<Piece>,
    hint: SizeHint,
}

/// Reads `body` ahead of whoever reads the result, on a task of its own that ends when nobody does any more.
pub(super) fn buffered(body: WasiBody, spawner: &Spawner) -> WasiBody {
    if body.is_end_stream() {
        return body;
    }
    let hint = body.size_hint();
    let (sender, pieces) = mpsc::channel(limits::DIRECT_PIECES);
    spawner.spawn(async move {
        tokio::select! {
            biased;
            () = sender.closed() => {}
            () = read_ahead(body, &sender) => {}
        }
    });
    Buffered { pieces, hint }.boxed_unsync()
}

async fn read_ahead(mut body: WasiBody, sender: &mpsc::Sender<Piece>) {
    let room = Arc::new(Semaphore::new(limits::DIRECT_BUFFER));
    while let Some(piece) = body.frame().await {
        let bytes = piece.as_ref().ok().and_then(Frame::data_ref).map_or(0, Bytes::len).min(limits::DIRECT_BUFFER);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let permit = Arc::clone(&room).acquire_many_owned(bytes).await.ok();
        if sender.send((piece, permit)).await.is_err() {
            break;
        }
    }
}

impl Body for Buffered {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        // With the piece goes its permit.
        Poll::Ready(ready!(self.pieces.poll_recv(cx)).map(|(piece, _)| piece))
    }

    fn size_hint(&self) -> SizeHint {
        self.hint
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::StreamBody;

    use super::*;

    #[tokio::test]
    async fn no_more_is_read_ahead_than_there_is_room_for() {
        let (read, mut reads) = mpsc::unbounded_channel();
        let endless = StreamBody::new(futures::stream::repeat_with(move || {
            let _ = read.send(());
            Ok(Frame::data(Bytes::from_static(&[0; 16 * 1024])))
        }));
        let mut body = buffered(endless.boxed_unsync(), &Spawner::Tokio);
        // What is read ahead has come to rest when the task that reads has nothing to do.
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        let ahead = reads.len();
        assert!(ahead > 1 && ahead <= limits::DIRECT_BUFFER / (16 * 1024) + 1, "{ahead}");
        assert!(body.frame().await.unwrap().is_ok());
        drop(body);
        while reads.recv().await.is_some() {}
    }
}
