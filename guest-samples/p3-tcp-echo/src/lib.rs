//! TCP with WASI 0.3: a listener is a stream of sockets, and a connection a stream of bytes in each direction.
//!
//! `p3-tcp-echo serve [ADDRESS] [CONNECTIONS]` gives each connection's received bytes back to it as they come: the host
//! moves them, the guest only joins the two streams. `p3-tcp-echo send ADDRESS TEXT` sends a text, and prints the answer.

use std::net::{IpAddr, SocketAddr};

use wasip3::cli::environment;
use wasip3::exports::cli::run::Guest;
use wasip3::sockets::types::{
    ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress, TcpSocket,
};
use wasip3::wit_stream;

const USAGE: &str = "\
usage: p3-tcp-echo serve [ADDRESS] [CONNECTIONS]   (default: 0.0.0.0:7000 and 0, without end)
       p3-tcp-echo send ADDRESS TEXT";

struct Echo;

wasip3::cli::command::export!(Echo);

impl Guest for Echo {
    async fn run() -> Result<(), ()> {
        let args = environment::get_arguments();
        let args: Vec<&str> = args.iter().skip(1).map(String::as_str).collect();
        let done = match args[..] {
            ["serve", ref rest @ ..] if rest.len() <= 2 => {
                let address = address(rest.first().unwrap_or(&"0.0.0.0:7000"))?;
                let count = rest.get(1).unwrap_or(&"0").parse().map_err(usage)?;
                serve(address, count).await
            }
            ["send", to, text] => send(address(to)?, text).await,
            _ => return Err(usage(())),
        };
        done.map_err(|code| eprintln!("p3-tcp-echo: {code:?}"))
    }
}

fn usage<E>(_: E) {
    eprintln!("{USAGE}");
}

fn address(text: &str) -> Result<SocketAddr, ()> {
    text.parse().map_err(usage)
}

/// Serves until `limit` connections have come and gone; a limit of zero is none.
async fn serve(address: SocketAddr, limit: usize) -> Result<(), ErrorCode> {
    let listener = TcpSocket::create(family(address))?;
    listener.bind(to_wasi(address))?;
    let mut connections = listener.listen()?;
    println!("listening on {address}");
    // Each holds the socket and the result to come; the bytes need nobody to wait for them.
    let mut served = Vec::new();
    while let Some(socket) = connections.next().await {
        let (received, _) = socket.receive();
        let sent = socket.send(received);
        if limit > 0 {
            served.push((socket, sent));
            if served.len() == limit {
                break;
            }
        }
    }
    let count = served.len();
    for (_socket, sent) in served {
        sent.await?;
    }
    println!("served {count} connections");
    Ok(())
}

async fn send(address: SocketAddr, text: &str) -> Result<(), ErrorCode> {
    let socket = TcpSocket::create(family(address))?;
    socket.connect(to_wasi(address)).await?;
    let (received, ended) = socket.receive();
    let (mut writer, reader) = wit_stream::new();
    let sent = socket.send(reader);
    // What is left over was refused; the stream's result tells why.
    writer.write_all(text.as_bytes().to_vec()).await;
    drop(writer);
    sent.await?;
    println!("{}", String::from_utf8_lossy(&received.collect().await));
    ended.await
}

fn family(address: SocketAddr) -> IpAddressFamily {
    if address.is_ipv4() { IpAddressFamily::Ipv4 } else { IpAddressFamily::Ipv6 }
}

fn to_wasi(address: SocketAddr) -> IpSocketAddress {
    let port = address.port();
    match address.ip() {
        IpAddr::V4(ip) => IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address: ip.octets().into() }),
        IpAddr::V6(ip) => {
            let address = ip.segments().into();
            IpSocketAddress::Ipv6(Ipv6SocketAddress { port, flow_info: 0, address, scope_id: 0 })
        }
    }
}
