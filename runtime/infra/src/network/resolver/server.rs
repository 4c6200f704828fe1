//! A name server for tests: a table of names, and bad habits. By UDP it answers no more than 512 bytes; the rest is to
//! be asked for by TCP.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::{RData, Record};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

/// The most that DNS puts into a datagram unless the client asks for more.
const DATAGRAM: usize = 512;

/// What the server does with a name.
#[derive(Clone, Debug)]
pub(in crate::network) enum Reply {
    Addresses(Vec<IpAddr>),
    Code(ResponseCode),
    /// Nothing is sent.
    Silence,
}

/// Ends when dropped.
#[derive(Debug)]
pub(in crate::network) struct TestServer {
    pub(in crate::network) address: SocketAddr,
    table: Arc<Table>,
    _tasks: JoinSet<()>,
}

/// What a server answers, without any socket.
#[derive(Debug)]
pub(in crate::network) struct Table {
    replies: HashMap<String, Reply>,
    asked: Mutex<Vec<String>>,
}

impl TestServer {
    /// Names end with a dot. Those not in the table are NXDOMAIN.
    pub(in crate::network) async fn start(replies: &[(&str, Reply)]) -> Self {
        let (tcp, udp) = loop {
            let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
            // Another test may have this port.
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
                break (tcp, udp);
            }
        };
        let address = udp.local_addr().unwrap();
        let table = Arc::new(Table::new(replies));
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_udp(udp, Arc::clone(&table)));
        tasks.spawn(serve_tcp(tcp, Arc::clone(&table)));
        Self { address, table, _tasks: tasks }
    }

    /// `name A by UDP` and the like, in the order they came; the same one at once again counts once.
    pub(in crate::network) fn asked(&self) -> Vec<String> {
        let mut asked = self.table.asked.lock().unwrap().clone();
        asked.dedup();
        asked
    }
}

impl Table {
    pub(in crate::network) fn new(replies: &[(&str, Reply)]) -> Self {
        let replies = replies.iter().map(|(name, reply)| ((*name).to_owned(), reply.clone())).collect();
        Self { replies, asked: Mutex::default() }
    }

    pub(in crate::network) fn reply(&self, query: &[u8], by: &str) -> Option<Message> {
        let query = Message::from_vec(query).unwrap();
        let question = query.queries[0].clone();
        let name = question.name().to_ascii();
        self.asked.lock().unwrap().push(format!("{name} {} by {by}", question.query_type()));
        let mut reply = Message::response(query.id, OpCode::Query);
        reply.add_query(question.clone());
        match self.replies.get(&name) {
            Some(Reply::Silence) => return None,
            Some(Reply::Code(code)) => reply.metadata.response_code = *code,
            Some(Reply::Addresses(ips)) => {
                let data = ips.iter().map(|ip| RData::from(*ip));
                let wanted = data.filter(|data| data.record_type() == question.query_type());
                reply.add_answers(wanted.map(|data| Record::from_rdata(question.name().clone(), 60, data)));
            }
            None => reply.metadata.response_code = ResponseCode::NXDomain,
        }
        Some(reply)
    }

    /// The answer to a query by UDP, cut short where it does not fit.
    pub(in crate::network) fn datagram(&self, query: &[u8]) -> Option<Vec<u8>> {
        let mut reply = self.reply(query, "UDP")?;
        if reply.to_vec().unwrap().len() > DATAGRAM {
            reply.metadata.truncation = true;
            reply.answers.clear();
        }
        Some(reply.to_vec().unwrap())
    }
}

async fn serve_udp(socket: UdpSocket, table: Arc<Table>) {
    let mut buffer = [0; 1500];
    loop {
        let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
        let Some(reply) = table.datagram(&buffer[..length]) else { continue };
        socket.send_to(&reply, client).await.unwrap();
    }
}

async fn serve_tcp(listener: TcpListener, table: Arc<Table>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        connections.spawn(serve_connection(stream, Arc::clone(&table)));
    }
}

pub(in crate::network) async fn serve_connection<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, table: Arc<Table>) {
    while let Ok(length) = stream.read_u16().await {
        let mut query = vec![0; length.into()];
        stream.read_exact(&mut query).await.unwrap();
        let Some(reply) = table.reply(&query, "TCP") else { continue };
        let reply = reply.to_vec().unwrap();
        stream.write_u16(reply.len().try_into().unwrap()).await.unwrap();
        stream.write_all(&reply).await.unwrap();
    }
}
