//! TCP on both stacks: what goes through a connection, and how it ends.

use std::net::Shutdown;

use crate::stack::{Notes, Read, Stack, Tcp, everywhere, pair, same};

everywhere! {
    half_close,
    close_after_all_was_read,
    close_with_unread_data,
    write_then_close_then_read,
    data_before_a_reset_can_be_read,
    read_reports_a_reset_once,
    write_reports_a_reset_once,
    reset_after_an_end_is_broken_to_a_writer,
    write_after_own_shutdown,
    shutdown_read_alone,
    shutdown_read_with_data_in_it,
    shutdown_both_then_peer_writes,
    shutdown_twice,
    shutdown_when_over,
    shutdown_after_reset,
    end_reaches_both,
    reads_join_and_split,
}

same! { only_in_memory: crate::stack::Kernel, crate::stack::Pod::new();
    writes_stop_when_full_and_go_on_when_drained,
}

fn half_close<S: Stack>(stack: &S, notes: &mut Notes) {
    let (mut client, mut server) = pair(stack);
    notes.say("write", client.write(b"question"));
    notes.say("shutdown", client.shutdown(Shutdown::Write));
    notes.say("server reads", server.read(100));
    notes.say("and the end", server.read(100));
    notes.say("and again", server.read(100));
    notes.say("server answers", server.write(b"answer"));
    notes.say("client reads", client.read(100));
    notes.say("nothing yet", client.read(100));
    drop(server);
    notes.say("the end", client.read(100));
}

fn close_after_all_was_read<S: Stack>(stack: &S, notes: &mut Notes) {
    let (mut client, server) = pair(stack);
    drop(server);
    notes.say("read", client.read(100));
    notes.say("first write is swallowed", client.write(b"x"));
    notes.say("second write", client.write(b"x"));
    notes.say("third write", client.write(b"x"));
    notes.say("read", client.read(100));
}

fn close_with_unread_data<S: Stack>(stack: &S, notes: &mut Notes) {
    let (mut client, server) = pair(stack);
    client.write(b"never read").unwrap();
    drop(server);
    notes.say("write", client.write(b"x"));
    notes.say("write again", client.write(b"x"));
    notes.say("read", client.read(100));
}

fn write_then_close_then_read<S: Stack>(stack: &S, notes: &mut Notes) {
    let (client, mut server) = pair(stack);
    let mut client = client;
    notes.say("write", client.write(b"goodbye"));
    drop(client);
    notes.say("read", server.read(100));
    notes.say("end", server.read(100));
}

fn data_before_a_reset_can_be_read<S: Stack>(stack: &S, notes: &mut Notes) {
    let (mut client, mut server) = pair(stack);
    client.write(b"never read").unwrap();
    server.write(b"before the reset").unwrap();
    drop(server);
    notes.say("read", client.read(6));
    notes.say("read", client.read(100));
    notes.say("read", client.read(100));
    notes.say("read", client.read(100));
    notes.say("write", client.write(b"x"));
}

fn read_reports_a_reset_once<S: Stack>(stack: &S, notes: &mut Notes) {
    let (mut client, server) = pair(stack);
    client.write(b"never read").unwrap();
    drop(server);
    notes.say("read", client.read(100));
    notes.say("read", client.read(100));
    notes.say("write", client.write(b"x"));
}

fn write_reports_a_reset_once<S: Stack>(stack: &S, notes: &mut Notes) {
    let (mut client, server) = pair(stack);
    client.write(b"never read").unwrap();
    drop(server);
    notes.say("write", client.write(b"x"));
    notes.say("read", client.read(100));
    notes.say("write", client.write(b"x"));
}

fn reset_after_an_end_is_broken_to_a_writer<S: Stack>(stack: &S, notes: &mut Notes) {
    let (mut client, mut server) = pair(stack);
    client.write(b"never read").unwrap();
    notes.say("server finishes", server.shutdown(Shutdown::Write));
    drop(server);
    notes.say("read", client.read(100));
    notes.say("write", client.write(b"x"));
    notes.say("write", client.write(b"x"));
    notes.say("read", client.read(100));
}

fn write_after_own_shutdown<S: Stack>(stack: &S, notes: &mut Notes) {
    let (mut client, mut server) = pair(stack);
    client.shutdown(Shutdown::Write).unwrap();
    notes.say("write", client.write(b"x"));
    notes.say("write", client.write(b"x"));
    notes.say("server reads", server.read(1));
}

fn shutdown_read_alone<S: Stack>(stack: &S, notes: &mut Notes) {
    let (mut client, mut server) = pair(stack);
    notes.say("shutdown", client.shutdown(Shutdown::Read));
    notes.say("read", client.read(100));
    notes.say("server writes", server.write(b"late"));
    notes.say("which is there", client.read(100));
    notes.say("then the end", client.read(100));
    notes.say("client writes", client.write(b"x"));
    notes.say("server reads", server.read(100));
    notes.say("server's write", server.write(b"x"));
}

fn shutdown_read_with_data_in_it<S: Stack>(stack: &S, notes: &mut Notes) {
    let (mut client, mut server) = pair(stack);
    server.write(b"early").unwrap();
    client.shutdown(Shutdown::Read).unwrap();
    notes.say("read", client.read(100));
    notes.say("end", client.read(100));
    server.write(b"unread").unwrap();
    drop(client);
    notes.say("server reads", server.read(100));
    notes.say("server reads", server.read(100));
}

fn shutdown_both_then_peer_writes<S: Stack>(stack: &S, notes: &mut Notes) {
    let (mut client, mut server) = pair(stack);
    notes.say("shutdown", client.shutdown(Shutdown::Both));
    notes.say("client reads", client.read(100));
    notes.say("server reads", server.read(100));
    notes.say("server writes", server.write(b"x"));
    notes.say("server writes", server.write(b"x"));
    notes.say("server writes", server.write(b"x"));
    notes.say("server reads", server.read(100));
    notes.say("client reads", client.read(100));
    notes.say("client reads", client.read(100));
    notes.say("client writes", client.write(b"x"));
}

fn shutdown_twice<S: Stack>(stack: &S, notes: &mut Notes) {
    let (mut client, _server) = pair(stack);
    for how in [Shutdown::Write, Shutdown::Write, Shutdown::Read, Shutdown::Read, Shutdown::Both] {
        notes.say(&format!("{how:?}"), client.shutdown(how));
    }
}

fn shutdown_when_over<S: Stack>(stack: &S, notes: &mut Notes) {
    let (mut client, mut server) = pair(stack);
    client.shutdown(Shutdown::Write).unwrap();
    server.shutdown(Shutdown::Write).unwrap();
    notes.say("client", client.shutdown(Shutdown::Read));
    notes.say("client again", client.shutdown(Shutdown::Write));
    notes.say("server", server.shutdown(Shutdown::Read));
    notes.say("client reads", client.read(1));
    notes.say("server writes", server.write(b"x"));
}

fn shutdown_after_reset<S: Stack>(stack: &S, notes: &mut Notes) {
    let (mut client, server) = pair(stack);
    client.write(b"never read").unwrap();
    drop(server);
    notes.say("shutdown", client.shutdown(Shutdown::Write));
    notes.say("read", client.read(1));
}

fn end_reaches_both<S: Stack>(stack: &S, notes: &mut Notes) {
    let (mut client, mut server) = pair(stack);
    server.shutdown(Shutdown::Write).unwrap();
    notes.say("client reads", client.read(1));
    notes.say("client writes", client.write(b"x"));
    notes.say("server reads", server.read(1));
    drop(client);
    notes.say("server reads", server.read(1));
    notes.say("server writes", server.write(b"x"));
}

fn reads_join_and_split<S: Stack>(stack: &S, notes: &mut Notes) {
    let (mut client, mut server) = pair(stack);
    for chunk in [&b"ab"[..], b"cde", b"f"] {
        client.write(chunk).unwrap();
    }
    drop(client);
    // How the bytes fall into reads is the stack's; which they are is not.
    let mut all = Vec::new();
    while let Read::Bytes(bytes) = server.read(2).unwrap() {
        assert!(!bytes.is_empty() && bytes.len() <= 2);
        all.extend(bytes);
    }
    notes.say("all", String::from_utf8(all));
}

fn writes_stop_when_full_and_go_on_when_drained<S: Stack>(stack: &S, notes: &mut Notes) {
    let (mut client, mut server) = pair(stack);
    let chunk = vec![7; 64 * 1024];
    let mut written = 0;
    let mut calls = 0;
    while calls < 10_000 {
        calls += 1;
        match client.write(&chunk).unwrap() {
            0 => break,
            count => written += count,
        }
    }
    notes.say("it was full", calls < 10_000 && written > 0);
    let mut read = 0;
    while let Read::Bytes(bytes) = server.read(1024 * 1024).unwrap() {
        assert!(bytes.iter().all(|byte| *byte == 7));
        read += bytes.len();
    }
    notes.say("all arrived", read == written);
    notes.say("there is room again", client.write(b"x"));
    notes.say("read", server.read(10));
}
