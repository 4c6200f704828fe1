//! Memory of a container that bodies take while the host has them.
//!
//! A piece of a body is charged from when it was read until the last who holds a part of it lets go. It cannot be refused
//! any more, but how many there are at a time is bounded: by the windows of connections, and by who reads. What can be
//! refused is what brings it: a connection, and a request.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use nacelle_infra::budget::Budget;
use wasmtime_wasi_http::{Error, WasiBody};

use crate::charged::charged;

/// Pieces of fewer bytes are part of what their connection is charged with.
const SMALL: usize = 4096;

/// The same bytes, charged for as long as they are held.
fn bytes(bytes: Bytes, payer: &Arc<Budget>) -> Bytes {
    if bytes.len() < SMALL {
        return bytes;
    }
    charged(bytes, payer)
}

/// The same frame, its data charged for as long as they are held.
pub(super) fn frame(frame: Frame<Bytes>, payer: &Arc<Budget>) -> Frame<Bytes> {
    frame.map_data(|data| bytes(data, payer))
}

/// A copy of a frame for another payer: the bytes it came in may be part of something larger, which is its maker's.
pub(super) fn copy(frame: Frame<Bytes>, payer: &Arc<Budget>) -> Frame<Bytes> {
    frame.map_data(|data| bytes(Bytes::copy_from_slice(&data), payer))
}

/// A body whose pieces are charged for as long as they are held.
pub(super) fn body(body: WasiBody, payer: &Arc<Budget>) -> WasiBody {
    if body.is_end_stream() {
        return body;
    }
    HeldBody { body, payer: Arc::clone(payer) }.boxed_unsync()
}

struct HeldBody {
    body: WasiBody,
    payer: Arc<Budget>,
}

impl Body for HeldBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(polled.map(|polled| polled.map(|found| frame(found, &self.payer))))
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
    use http_body_util::Full;

    use super::*;

    #[tokio::test]
    async fn a_piece_is_charged_until_the_last_part_of_it_is_gone() {
        let payer = Budget::new(Some(1000), None);
        let large = Full::new(Bytes::from(vec![7; 10_000])).map_err(Error::from).boxed_unsync();
        let mut large = body(large, &payer);
        assert_eq!((payer.used(), large.size_hint().exact()), (0, Some(10_000)));
        let mut data = large.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(payer.used(), 10_000, "it is there: over the limit or not");
        let part = data.split_off(9_999);
        drop((data, large));
        assert_eq!((payer.used(), part.as_ref()), (10_000, &[7][..]));
        drop(part);
        assert_eq!((payer.used(), payer.peak()), (0, 10_000));
    }
}
