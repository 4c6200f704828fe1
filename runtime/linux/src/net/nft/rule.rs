//! One rule of nftables, as the kernel takes it: which packets it is about, then what is done with them.

use std::ffi::CStr;
use std::net::IpAddr;

use ipnet::IpNet;
use netlink_bindings::nftables::{
    CmpOps, CtKeys, MetaKeys, PayloadBase, PushExprListAttrs, PushRuleAttrs, Registers, RejectInetCode, RejectTypes,
    VerdictCode,
};
use netlink_bindings::utils::RequestBuf;

use super::transaction::Family;

/// `IFNAMSIZ`: an interface's name is compared with the zeros after it.
const NAME_LEN: usize = 16;
const REGISTER: u32 = Registers::Reg1 as u32;
/// States of connections: `NF_CT_STATE_BIT` of `IP_CT_ESTABLISHED` and `IP_CT_RELATED`.
const ESTABLISHED: u32 = 1 << 1;
const RELATED: u32 = 1 << 2;

/// A rule that is being written.
pub(super) struct Rule<'a>(PushExprListAttrs<PushRuleAttrs<RequestBuf<'a>>>);

#[derive(Clone, Copy, Debug)]
pub(super) enum Interface {
    In,
    Out,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Direction {
    From,
    To,
}

impl<'a> Rule<'a> {
    pub(super) fn new(expressions: PushExprListAttrs<PushRuleAttrs<RequestBuf<'a>>>) -> Self {
        Self(expressions)
    }

    /// About packets that come or go by an interface, or (`is` being false) by any other.
    pub(super) fn interface(self, interface: Interface, name: &str, is: bool) -> Self {
        let key = match interface {
            Interface::In => MetaKeys::Iifname,
            Interface::Out => MetaKeys::Oifname,
        };
        let operator = if is { CmpOps::Eq } else { CmpOps::Neq };
        let mut value = [0; NAME_LEN];
        value.iter_mut().zip(name.bytes().take(NAME_LEN - 1)).for_each(|(place, byte)| *place = byte);
        self.meta(key).compare(operator, &value)
    }

    /// About packets from or to a block of addresses. It must be of the rule's family.
    pub(super) fn address(self, direction: Direction, block: IpNet) -> Self {
        let (length, source) = match block {
            IpNet::V4(_) => (4, 12),
            IpNet::V6(_) => (16, 8),
        };
        let offset = match direction {
            Direction::From => source,
            Direction::To => source + length,
        };
        let loaded = self.0.nested_elem().nested_data_payload().push_dreg(REGISTER);
        let loaded = loaded.push_base(PayloadBase::NetworkHeader as u32).push_offset(offset).push_len(length);
        let masked = loaded.end_nested().end_nested().nested_elem().nested_data_bitwise();
        let masked = masked.push_sreg(REGISTER).push_dreg(REGISTER).push_len(length);
        let masked = masked.nested_mask().push_value(&bytes(block.netmask())).end_nested();
        let masked = masked.nested_xor().push_value(&vec![0; bytes(block.netmask()).len()]).end_nested();
        Self(masked.end_nested().end_nested()).compare(CmpOps::Eq, &bytes(block.network()))
    }

    fn compare(self, operator: CmpOps, value: &[u8]) -> Self {
        let compared = self.0.nested_elem().nested_data_cmp().push_sreg(REGISTER).push_op(operator as u32);
        Self(compared.nested_data().push_value(value).end_nested().end_nested().end_nested())
    }

    /// About packets of a family.
    pub(super) fn family(self, family: Family) -> Self {
        self.meta(MetaKeys::Nfproto).compare(CmpOps::Eq, &[family.number()])
    }

    /// About packets of a protocol above IP: `IPPROTO_…`.
    pub(super) fn protocol(self, number: u8) -> Self {
        self.meta(MetaKeys::L4Proto).compare(CmpOps::Eq, &[number])
    }

    /// About packets of a protocol with ports, to one of these.
    pub(super) fn port(self, first: u16, last: u16) -> Self {
        let (first, last) = (first.to_be_bytes(), last.to_be_bytes());
        self.transport(2, 2).compare(CmpOps::Gte, &first).compare(CmpOps::Lte, &last)
    }

    /// About packets of ICMP (of IPv6) of one of these types.
    pub(super) fn icmp_types(self, first: u8, last: u8) -> Self {
        self.transport(0, 1).compare(CmpOps::Gte, &[first]).compare(CmpOps::Lte, &[last])
    }

    /// About packets of connections that are open, and what is said of such.
    pub(super) fn established(self) -> Self {
        let loaded = self.0.nested_elem().nested_data_ct().push_dreg(REGISTER).push_key(CtKeys::State as u32);
        let masked = loaded.end_nested().end_nested().nested_elem().nested_data_bitwise();
        let masked = masked.push_sreg(REGISTER).push_dreg(REGISTER).push_len(4);
        let masked = masked.nested_mask().push_value(&(ESTABLISHED | RELATED).to_ne_bytes()).end_nested();
        let masked = masked.nested_xor().push_value(&[0; 4]).end_nested();
        Self(masked.end_nested().end_nested()).compare(CmpOps::Neq, &[0; 4])
    }

    fn meta(self, key: MetaKeys) -> Self {
        let found = self.0.nested_elem().nested_data_meta().push_dreg(REGISTER).push_key(key as u32);
        Self(found.end_nested().end_nested())
    }

    fn transport(self, offset: u32, length: u32) -> Self {
        let loaded = self.0.nested_elem().nested_data_payload().push_dreg(REGISTER);
        let loaded = loaded.push_base(PayloadBase::TransportHeader as u32).push_offset(offset).push_len(length);
        Self(loaded.end_nested().end_nested())
    }

    pub(super) fn accept(self) {
        self.verdict(VerdictCode::Accept, None);
    }

    /// On with another chain, and back from its end.
    pub(super) fn jump(self, chain: &CStr) {
        self.verdict(VerdictCode::Jump, Some(chain));
    }

    fn verdict(self, code: VerdictCode, chain: Option<&CStr>) {
        let immediate = self.0.nested_elem().nested_data_immediate().push_dreg(Registers::RegVerdict as u32);
        let verdict = immediate.nested_data().nested_verdict().push_code(code as u32);
        if let Some(chain) = chain {
            verdict.push_chain(chain);
        }
    }

    pub(super) fn masquerade(self) {
        self.0.nested_elem().push_name(c"masq");
    }

    /// As where nobody listens. The rule's table is of this family.
    pub(super) fn reject(self, family: Family) {
        let (kind, code) = match family {
            // `ICMP_PORT_UNREACH`, `ICMPV6_PORT_UNREACH`.
            Family::V4 => (RejectTypes::IcmpUnreach, 3),
            Family::V6 => (RejectTypes::IcmpUnreach, 4),
            Family::Any => (RejectTypes::IcmpxUnreach, RejectInetCode::IcmpxPortUnreach as u8),
        };
        self.unreachable(kind, code);
    }

    /// As not allowed. The rule's table is of both families.
    pub(super) fn prohibit(self) {
        self.unreachable(RejectTypes::IcmpxUnreach, RejectInetCode::IcmpxAdminProhibited as u8);
    }

    fn unreachable(self, kind: RejectTypes, code: u8) {
        self.0.nested_elem().nested_data_reject().push_type(kind as u32).push_icmp_code(code);
    }
}

fn bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
