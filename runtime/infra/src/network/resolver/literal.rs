//! Addresses that are written out instead of a name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What getaddrinfo takes for an address: the usual forms, those of inet_aton(3) (`127.1`, `0x7f000001`), and IPv6 in
/// brackets, as it stands in a URL.
pub(super) fn parse(text: &str) -> Option<IpAddr> {
    let bracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    match bracketed {
        Some(inner) => inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => text.parse().ok().or_else(|| inet_aton(text).map(IpAddr::V4)),
    }
}

/// One to four numbers, decimal, octal (`0…`) or hexadecimal (`0x…`); the last fills all bytes that are left.
fn inet_aton(text: &str) -> Option<Ipv4Addr> {
    let parts: Vec<_> = text.split('.').collect();
    let (last, bytes) = parts.split_last()?;
    if bytes.len() > 3 {
        return None;
    }
    let mut bits = 0;
    let mut room = 32;
    for byte in bytes {
        room -= 8;
        bits |= u32::from(u8::try_from(number(byte)?).ok()?) << room;
    }
    let last = number(last)?;
    // At least one byte is left.
    (u64::from(last) < 1 << room).then(|| Ipv4Addr::from_bits(bits | last))
}

fn number(text: &str) -> Option<u32> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if text.len() > 1 && text.starts_with('0') => (text, 8),
        None => (text, 10),
    };
    // from_str_radix takes a sign, too.
    digits.bytes().all(|byte| byte.is_ascii_alphanumeric()).then(|| u32::from_str_radix(digits, radix).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_that_getaddrinfo_takes() {
        let table = [
            ("10.87.0.2", "10.87.0.2"),
            ("::1", "::1"),
            ("[::1]", "::1"),
            ("::ffff:10.0.0.1", "::ffff:10.0.0.1"),
            ("127.1", "127.0.0.1"),
            ("10.1.258", "10.1.1.2"),
            ("2130706433", "127.0.0.1"),
            ("0x7f000001", "127.0.0.1"),
            ("010.0.0.1", "8.0.0.1"),
            ("0", "0.0.0.0"),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text), Some(expected.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn names_are_not_addresses() {
        for text in [
            "",
            ".",
            "1.2.3.4.5",
            "256.1",
            "1.2.3.256",
            "1.2.65536",
            "4294967296",
            "0x",
            "08",
            "1.",
            "+1",
            "a.1",
            "[10.0.0.1]",
            "[::1",
            "fe80::1%1",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
