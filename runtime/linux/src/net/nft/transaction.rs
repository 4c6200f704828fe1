//! A change of nftables' rules, as the messages that the kernel takes for one transaction.
//!
//! What the attributes are is in the kernel's `Documentation/netlink/specs/nftables.yaml`. Must not know what the rules are
//! for.

use std::ffi::CStr;
use std::io;

use netlink_bindings::nftables::{Chained, Nfgenmsg};
use rtnetlink::packet_core::{ErrorBuffer, NLMSG_ERROR, NetlinkBuffer};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};

use super::rule::Rule;

/// `NFNL_SUBSYS_NFTABLES`: whose transaction it is.
const SUBSYSTEM: u16 = 10;
/// Bytes that every socket takes in one message.
const ORDINARY: usize = 64 << 10;
/// The length of a message's header, and where its flags are (netlink(7)).
const HEADER: usize = 16;
const FLAGS: usize = 6;
/// `NLM_F_ACK`: the sender wants to hear of success, too.
const ACKNOWLEDGE: u8 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
    /// Both.
    Any,
}

/// Where in a packet's way a chain is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Hook {
    Input,
    Forward,
    Output,
    Postrouting,
}

/// Messages that take effect together.
#[derive(Debug)]
pub(super) struct Transaction(Chained<'static>);

impl Family {
    fn header(self) -> Nfgenmsg {
        Nfgenmsg { nfgen_family: self.number(), ..Nfgenmsg::default() }
    }

    /// `NFPROTO_…`.
    pub(super) fn number(self) -> u8 {
        match self {
            Self::V4 => 2,
            Self::V6 => 10,
            Self::Any => 1,
        }
    }
}

impl Hook {
    /// `NF_INET_…` and the priority that nft calls `filter` and `srcnat`.
    fn number_and_priority(self) -> (u32, i32) {
        match self {
            Self::Input => (1, 0),
            Self::Forward => (2, 0),
            Self::Output => (3, 0),
            Self::Postrouting => (4, 100),
        }
    }

    fn kind(self) -> &'static CStr {
        match self {
            Self::Input | Self::Forward | Self::Output => c"filter",
            Self::Postrouting => c"nat",
        }
    }
}

impl Transaction {
    pub(super) fn new() -> Self {
        let mut messages = Chained::new(1);
        messages.request().op_batch_begin_do(&bounds());
        Self(messages)
    }

    /// Fine if it is there.
    pub(super) fn table(&mut self, family: Family, name: &CStr) {
        self.0.request().set_create().op_newtable_do(&family.header()).encode().push_name(name);
    }

    pub(super) fn delete_table(&mut self, family: Family, name: &CStr) {
        self.0.request().op_deltable_do(&family.header()).encode().push_name(name);
    }

    /// If it is there its rules go.
    pub(super) fn empty_chain(&mut self, family: Family, table: &CStr, name: &CStr, hook: Hook) {
        let (number, priority) = hook.number_and_priority();
        let chain = self.0.request().set_create().op_newchain_do(&family.header()).into_encoder();
        let chain = chain.push_table(table).push_name(name).push_type(hook.kind());
        chain.nested_hook().push_num(number).push_priority(priority);
        self.0.request().op_delrule_do(&family.header()).encode().push_table(table).push_chain(name);
    }

    /// A chain that packets come to by [`Rule::jump`].
    pub(super) fn inner_chain(&mut self, family: Family, table: &CStr, name: &CStr) {
        let chain = self.0.request().set_create().op_newchain_do(&family.header()).into_encoder();
        chain.push_table(table).push_name(name);
    }

    /// One more rule at the end of a chain.
    pub(super) fn rule(&mut self, family: Family, table: &CStr, chain: &CStr) -> Rule<'_> {
        let rule = self.0.request().set_create().set_append().op_newrule_do(&family.header()).into_encoder();
        Rule::new(rule.push_table(table).push_chain(chain).nested_expressions())
    }

    /// Has it done, in the network namespace of the calling thread.
    ///
    /// # Errors
    ///
    /// The first of the kernel's objections; nothing is changed then.
    pub(super) fn commit(mut self) -> io::Result<()> {
        self.0.request().op_batch_end_do(&bounds());
        ask(self.0)
    }
}

/// Whether there is a table, in the network namespace of the calling thread. To delete one in vain takes the kernel 15 ms.
pub(super) fn has_table(family: Family, name: &CStr) -> io::Result<bool> {
    let mut messages = Chained::new(1);
    messages.request().op_gettable_do(&family.header()).encode().push_name(name);
    match ask(messages) {
        // No table; or, of a kernel without nftables, no such question.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput) => Ok(false),
        asked => asked.map(|()| true),
    }
}

/// Sends messages, and waits for what the kernel has to say.
fn ask(messages: Chained<'_>) -> io::Result<()> {
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(netlink::NETFILTER),
    )
    .map_err(|error| match error {
        Errno::PROTONOSUPPORT => io::Error::new(io::ErrorKind::Unsupported, "the kernel has no nftables"),
        error => error.into(),
    })?;
    let messages = messages.finalize();
    let messages = with_one_acknowledgement(messages.buf().clone());
    if messages.len() > ORDINARY {
        // Not allowed in a user namespace: what does not fit then is refused.
        let _ = rustix::net::sockopt::set_socket_send_buffer_size_force(&socket, messages.len().saturating_mul(2));
    }
    rustix::net::send(&socket, &messages, SendFlags::empty())?;
    // It has all been done by now, and what there is to say has been said.
    let mut answers = vec![0_u8; 64 << 10];
    let mut heard = false;
    loop {
        match rustix::net::recv(&socket, &mut answers[..], RecvFlags::DONTWAIT) {
            Ok((length, _)) => objection(answers.get(..length).unwrap_or_default())?,
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) if heard => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        heard = true;
    }
}

/// Of success, only the last message but the transaction's end is to tell: there may be more answers than a socket holds. Of
/// failure all do.
fn with_one_acknowledgement(mut messages: Vec<u8>) -> Vec<u8> {
    let mut places = Vec::new();
    let mut at = 0;
    while let Ok(message) = NetlinkBuffer::new_checked(messages.get(at..).unwrap_or_default()) {
        places.push(at);
        at += (message.length() as usize).max(HEADER).next_multiple_of(4);
    }
    for place in places.iter().rev().skip(2) {
        if let Some(flags) = messages.get_mut(place + FLAGS) {
            *flags &= !ACKNOWLEDGE;
        }
    }
    messages
}

fn bounds() -> Nfgenmsg {
    let mut header = Nfgenmsg::new();
    header.set_res_id(SUBSYSTEM);
    header
}

/// The first answer that is not a mere acknowledgement.
fn objection(mut answers: &[u8]) -> io::Result<()> {
    while let Ok(answer) = NetlinkBuffer::new_checked(answers) {
        if answer.message_type() == NLMSG_ERROR {
            let error = ErrorBuffer::new_checked(answer.payload()).map_err(io::Error::other)?;
            if let Some(code) = error.code() {
                return Err(io::Error::from_raw_os_error(code.get().saturating_neg()));
            }
        }
        // Answers begin at multiples of four bytes.
        answers = answers.get((answer.length() as usize).next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(())
}
