//! Counts HTTP that goes to another pod in memory: what would be its bytes on a connection, without their framing.
//!
//! A head counts as one packet, when it is handed over; each piece of a body does, when it is taken.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, SizeHint};
use nacelle_infra::network::Meter;
use wasmtime_wasi_http::{Error, WasiBody};

/// `HTTP/1.1`, two spaces and two line ends: what any head has besides its words.
const HEAD: usize = 14;
/// A colon, a space and a line end with each field.
const FIELD: usize = 4;
/// The digits of a status.
const STATUS: usize = 3;

/// A request that counts as it goes.
pub(super) fn request(request: Request<WasiBody>, meter: &Meter) -> Request<WasiBody> {
    let target = request.uri().path_and_query().map_or(1, |target| target.as_str().len());
    meter.sent(HEAD + request.method().as_str().len() + target + fields(request.headers()));
    request.map(|body| Metered { body, meter: meter.clone(), count: Meter::sent }.boxed_unsync())
}

/// A response that counts as it comes.
pub(super) fn response(response: Response<WasiBody>, meter: &Meter) -> Response<WasiBody> {
    let reason = response.status().canonical_reason().map_or(0, str::len);
    meter.answered(HEAD + STATUS + reason + fields(response.headers()));
    response.map(|body| Metered { body, meter: meter.clone(), count: Meter::answered }.boxed_unsync())
}

fn fields(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD).sum()
}

/// A body that counts the bytes that are taken from it.
struct Metered {
    body: WasiBody,
    meter: Meter,
    count: fn(&Meter, usize),
}

impl Body for Metered {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            (self.count)(&self.meter, data.len());
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
    use std::net::SocketAddr;
    use std::sync::Arc;

    use http_body_util::Full;
    use nacelle_infra::budget::Budget;
    use nacelle_infra::network::{Family, NodeNetwork, NodeNetworkConfig, PodNetwork, PodNetworkConfig};

    use super::*;

    fn body(text: &'static str) -> WasiBody {
        Full::new(Bytes::from_static(text.as_bytes())).map_err(Error::from).boxed_unsync()
    }

    fn carried(pod: &PodNetwork) -> (u64, u64) {
        let interface = pod.stats().interface.unwrap();
        (interface.received.bytes, interface.transmitted.bytes)
    }

    #[tokio::test]
    async fn heads_and_bodies_count_at_both_pods() {
        let node = NodeNetwork::new(NodeNetworkConfig::default()).unwrap();
        let attach = async |uid: &str| {
            let config = PodNetworkConfig { uid: uid.into(), ..PodNetworkConfig::default() };
            node.attach(config, Budget::unlimited()).await.unwrap()
        };
        let (client, server) = (attach("client").await, attach("server").await);
        let mut listener = server.container("b").tcp_socket(Family::V4).unwrap();
        listener.bind("0.0.0.0:80".parse().unwrap()).unwrap();
        listener.listen_with(Arc::new(())).unwrap();
        let to = SocketAddr::new(server.ips()[0], 80);
        let meter = client.container("a").service_at(to).unwrap().unwrap().meter.unwrap();

        let asked = Request::get("http://server/path").header("a", "b").body(body("hello")).unwrap();
        let asked = request(asked, &meter);
        let head = "GET /path HTTP/1.1\r\na: b\r\n\r\n".len() as u64;
        assert_eq!((carried(&client), carried(&server)), ((0, head), (head, 0)));
        asked.into_body().collect().await.unwrap();
        let answer = response(Response::new(body("hi")), &meter);
        answer.into_body().collect().await.unwrap();
        let answered = "HTTP/1.1 200 OK\r\n\r\nhi".len() as u64;
        assert_eq!((carried(&client), carried(&server)), ((answered, head + 5), (head + 5, answered)));
    }
}
