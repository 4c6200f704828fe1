//! What `bindgen!` makes of wasi:sockets 0.3.
#![allow(missing_docs, unreachable_pub, reason = "generated")]

wasmtime::component::bindgen!({
    path: ["../../wit/deps/clocks-0.3.0.wit", "../../wit/deps/sockets-0.3.0.wit"],
    world: "wasi:sockets/imports@0.3.0",
    imports: {
        "wasi:sockets/types.[method]tcp-socket.listen": store | trappable,
        "wasi:sockets/types.[method]tcp-socket.send": store | trappable,
        "wasi:sockets/types.[method]tcp-socket.receive": store | trappable,
        default: trappable,
    },
    trappable_error_type: {
        "wasi:sockets/types.error-code" => crate::sockets::p3::SocketError,
    },
    with: {
        "wasi:clocks": wasmtime_wasi::p3::bindings::clocks,
        "wasi:sockets/types.tcp-socket": crate::sockets::tcp::Tcp,
        "wasi:sockets/types.udp-socket": crate::sockets::udp::Udp,
    },
    require_store_data_send: true,
});
