//! Addresses: which ones WASI accepts, and their way from and to a guest.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use nacelle_infra::network::{Family, NetError};

/// The wildcard address of a family, port 0.
pub(super) fn unspecified(family: Family) -> SocketAddr {
    match family {
        Family::V4 => SocketAddr::from(([0, 0, 0, 0], 0)),
        Family::V6 => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    }
}

/// Refuses addresses of the other family. An IPv4-mapped address is one (WASI's IPv6 sockets are IPv6 only), and so is
/// an IPv4-compatible one: deprecated since 2006, and hosts disagree about its meaning.
pub(super) fn check_family(address: IpAddr, family: Family) -> Result<(), NetError> {
    let fits = match (family, address) {
        (Family::V4, IpAddr::V4(_)) => true,
        (Family::V6, IpAddr::V6(address)) => address.to_ipv4_mapped().is_none() && !is_ipv4_compatible(address),
        _ => false,
    };
    if fits { Ok(()) } else { Err(NetError::InvalidArgument) }
}

/// Refuses what nobody can be reached at: the wildcard, and port 0.
pub(super) fn check_remote(address: SocketAddr) -> Result<(), NetError> {
    if address.ip().to_canonical().is_unspecified() || address.port() == 0 {
        return Err(NetError::InvalidArgument);
    }
    Ok(())
}

/// Refuses multicast and broadcast.
pub(super) fn check_unicast(address: IpAddr) -> Result<(), NetError> {
    let unicast = match address.to_canonical() {
        IpAddr::V4(address) => !address.is_multicast() && !address.is_broadcast(),
        IpAddr::V6(address) => !address.is_multicast(),
    };
    if unicast { Ok(()) } else { Err(NetError::InvalidArgument) }
}

fn is_ipv4_compatible(address: Ipv6Addr) -> bool {
    matches!(address.segments(), [0, 0, 0, 0, 0, 0, _, _])
        && address != Ipv6Addr::UNSPECIFIED
        && address != Ipv6Addr::LOCALHOST
}

/// Conversions between the standard library's addresses and those of one version's bindings.
macro_rules! conversions {
    ($wit:path) => {
        const _: () = {
            use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

            use nacelle_infra::network::Family;
            use $wit as wit;

            fn octets(address: Ipv4Addr) -> wit::Ipv4Address {
                address.octets().into()
            }

            fn segments(address: Ipv6Addr) -> wit::Ipv6Address {
                address.segments().into()
            }

            impl From<IpAddr> for wit::IpAddress {
                fn from(address: IpAddr) -> Self {
                    match address {
                        IpAddr::V4(address) => Self::Ipv4(octets(address)),
                        IpAddr::V6(address) => Self::Ipv6(segments(address)),
                    }
                }
            }

            impl From<SocketAddr> for wit::IpSocketAddress {
                fn from(address: SocketAddr) -> Self {
                    match address {
                        SocketAddr::V4(address) => {
                            Self::Ipv4(wit::Ipv4SocketAddress { port: address.port(), address: octets(*address.ip()) })
                        }
                        SocketAddr::V6(address) => Self::Ipv6(wit::Ipv6SocketAddress {
                            port: address.port(),
                            flow_info: address.flowinfo(),
                            address: segments(*address.ip()),
                            scope_id: address.scope_id(),
                        }),
                    }
                }
            }

            impl From<wit::IpSocketAddress> for SocketAddr {
                fn from(address: wit::IpSocketAddress) -> Self {
                    match address {
                        wit::IpSocketAddress::Ipv4(wit::Ipv4SocketAddress { port, address }) => {
                            SocketAddrV4::new(<[u8; 4]>::from(address).into(), port).into()
                        }
                        wit::IpSocketAddress::Ipv6(wit::Ipv6SocketAddress { port, flow_info, address, scope_id }) => {
                            SocketAddrV6::new(<[u16; 8]>::from(address).into(), port, flow_info, scope_id).into()
                        }
                    }
                }
            }

            impl From<wit::IpAddressFamily> for Family {
                fn from(family: wit::IpAddressFamily) -> Self {
                    match family {
                        wit::IpAddressFamily::Ipv4 => Self::V4,
                        wit::IpAddressFamily::Ipv6 => Self::V6,
                    }
                }
            }

            impl From<Family> for wit::IpAddressFamily {
                fn from(family: Family) -> Self {
                    match family {
                        Family::V4 => Self::Ipv4,
                        Family::V6 => Self::Ipv6,
                    }
                }
            }
        };
    };
}

conversions!(super::p2::bindings::wasi::sockets::network);
conversions!(super::p3::bindings::wasi::sockets::types);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sockets::{p2, p3};

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_family_takes_its_own_addresses_only() {
        for (address, family) in
            [("127.0.0.1", Family::V4), ("::1", Family::V6), ("::", Family::V6), ("fd00::1", Family::V6)]
        {
            assert_eq!(check_family(ip(address), family), Ok(()), "{address}");
        }
        for (address, family) in [
            ("127.0.0.1", Family::V6),
            ("::1", Family::V4),
            ("::ffff:127.0.0.1", Family::V6),
            ("::ffff:127.0.0.1", Family::V4),
            ("::127.0.0.1", Family::V6),
        ] {
            assert_eq!(check_family(ip(address), family), Err(NetError::InvalidArgument), "{address}");
        }
    }

    #[test]
    fn a_remote_has_an_address_and_a_port() {
        let check = |text: &str| check_remote(text.parse().unwrap()).is_ok();
        assert!(check("10.0.0.1:1") && check("[::1]:65535"));
        assert!(!check("0.0.0.0:1") && !check("[::]:1") && !check("[::ffff:0.0.0.0]:1") && !check("10.0.0.1:0"));
    }

    #[test]
    fn multicast_and_broadcast_are_no_unicast() {
        let check = |text: &str| check_unicast(ip(text)).is_ok();
        assert!(check("10.255.255.255") && check("0.0.0.0") && check("fe80::1"));
        assert!(!check("224.0.0.1") && !check("255.255.255.255") && !check("ff02::1") && !check("::ffff:224.0.0.1"));
    }

    proptest! {
        #[test]
        fn addresses_survive_the_way_through_either_version(
            v6 in any::<bool>(), bits in any::<u128>(), port in any::<u16>(), flow in any::<u32>(), scope in any::<u32>(),
        ) {
            let address = if v6 {
                std::net::SocketAddrV6::new(bits.into(), port, flow, scope).into()
            } else {
                SocketAddr::from((u32::try_from(bits >> 96).unwrap().to_be_bytes(), port))
            };
            let by_p2 = p2::bindings::wasi::sockets::network::IpSocketAddress::from(address);
            let by_p3 = p3::bindings::wasi::sockets::types::IpSocketAddress::from(address);
            prop_assert_eq!(SocketAddr::from(by_p2), address);
            prop_assert_eq!(SocketAddr::from(by_p3), address);
        }
    }
}
