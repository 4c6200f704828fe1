//! What `bindgen!` makes of wasi:sockets 0.2.
#![allow(missing_docs, unreachable_pub, reason = "generated")]

wasmtime::component::bindgen!({
    path: [
        "../../wit/deps/io-0.2.12.wit",
        "../../wit/deps/clocks-0.2.12.wit",
        "../../wit/deps/sockets-0.2.12.wit",
    ],
    world: "wasi:sockets/imports@0.2.12",
    imports: { default: trappable },
    trappable_error_type: {
        "wasi:sockets/network.error-code" => crate::sockets::p2::SocketError,
    },
    with: {
        "wasi:io": wasmtime_wasi_io::bindings::wasi::io,
        "wasi:clocks": wasmtime_wasi::p2::bindings::clocks,
        "wasi:sockets/network.network": crate::sockets::p2::network::Network,
        "wasi:sockets/tcp.tcp-socket": crate::sockets::p2::tcp::TcpSocket,
        "wasi:sockets/udp.udp-socket": crate::sockets::p2::udp::UdpSocket,
        "wasi:sockets/udp.incoming-datagram-stream": crate::sockets::p2::udp::Incoming,
        "wasi:sockets/udp.outgoing-datagram-stream": crate::sockets::p2::udp::Outgoing,
        "wasi:sockets/ip-name-lookup.resolve-address-stream": crate::sockets::p2::lookup::Addresses,
    },
    require_store_data_send: true,
});
