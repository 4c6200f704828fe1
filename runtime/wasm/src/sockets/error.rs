//! From the network's errors to those of each WASI version: one table for sockets, one for names.
//!
//! Version 0.2 lacks a code for a broken connection and calls it `unknown`, as wasmtime-wasi does; on a stream it is the
//! stream's end. Version 0.3 lacks a code for a limit on sockets; its `other` says which limit it was.

use std::io::ErrorKind;

use nacelle_infra::network::{NetError, ResolveError};
use wasmtime::component::ResourceTableError;

use super::p2::bindings::wasi::sockets::network::ErrorCode as Code2;
use super::p3::bindings::wasi::sockets::ip_name_lookup::ErrorCode as NameCode3;
use super::p3::bindings::wasi::sockets::types::ErrorCode as Code3;

/// Why a socket function did not do what it was called for: a code for the guest, or the guest's end.
#[derive(Debug)]
pub enum Failure<C> {
    /// The guest gets the code.
    Code(C),
    /// The guest has broken a rule of the interface, or holds more than it may.
    Trap(wasmtime::Error),
}

impl<C> Failure<C> {
    /// Ends the guest with these words.
    pub(super) fn trap(words: &'static str) -> Self {
        Self::Trap(wasmtime::Error::msg(words))
    }

    /// The code, for generated code.
    pub(super) fn into_code(self) -> wasmtime::Result<C> {
        match self {
            Self::Code(code) => Ok(code),
            Self::Trap(error) => Err(error),
        }
    }
}

impl<C> From<ResourceTableError> for Failure<C> {
    fn from(error: ResourceTableError) -> Self {
        Self::Trap(error.into())
    }
}

impl From<Code2> for Failure<Code2> {
    fn from(code: Code2) -> Self {
        Self::Code(code)
    }
}

impl<C: From<NetError>> From<NetError> for Failure<C> {
    fn from(error: NetError) -> Self {
        Self::Code(error.into())
    }
}

/// The table: each error, its code in 0.2, its code in 0.3.
fn codes(error: NetError) -> (Code2, Code3) {
    match error {
        NetError::AccessDenied(_) => (Code2::AccessDenied, Code3::AccessDenied),
        NetError::AddressInUse | NetError::OutOfPorts => (Code2::AddressInUse, Code3::AddressInUse),
        NetError::AddressNotBindable => (Code2::AddressNotBindable, Code3::AddressNotBindable),
        NetError::RemoteUnreachable => (Code2::RemoteUnreachable, Code3::RemoteUnreachable),
        NetError::ConnectionRefused => (Code2::ConnectionRefused, Code3::ConnectionRefused),
        NetError::ConnectionReset => (Code2::ConnectionReset, Code3::ConnectionReset),
        NetError::ConnectionAborted => (Code2::ConnectionAborted, Code3::ConnectionAborted),
        NetError::ConnectionBroken => (Code2::Unknown, Code3::ConnectionBroken),
        NetError::Timeout => (Code2::Timeout, Code3::Timeout),
        NetError::InvalidArgument => (Code2::InvalidArgument, Code3::InvalidArgument),
        NetError::InvalidState | NetError::NotConnected => (Code2::InvalidState, Code3::InvalidState),
        NetError::NotSupported => (Code2::NotSupported, Code3::NotSupported),
        NetError::DatagramTooLarge => (Code2::DatagramTooLarge, Code3::DatagramTooLarge),
        NetError::LimitReached(_) => (Code2::NewSocketLimit, Code3::Other(Some(error.to_string()))),
        NetError::Host(ErrorKind::OutOfMemory) => (Code2::OutOfMemory, Code3::OutOfMemory),
        NetError::Host(kind) => (Code2::Unknown, Code3::Other(Some(kind.to_string()))),
    }
}

impl From<NetError> for Code2 {
    fn from(error: NetError) -> Self {
        codes(error).0
    }
}

impl From<NetError> for Code3 {
    fn from(error: NetError) -> Self {
        codes(error).1
    }
}

/// The table of name lookups.
fn name_codes(error: ResolveError) -> (Code2, NameCode3) {
    match error {
        ResolveError::InvalidName => (Code2::InvalidArgument, NameCode3::InvalidArgument),
        ResolveError::Unknown => (Code2::NameUnresolvable, NameCode3::NameUnresolvable),
        ResolveError::Temporary(_) => (Code2::TemporaryResolverFailure, NameCode3::TemporaryResolverFailure),
        ResolveError::Permanent(_) => (Code2::PermanentResolverFailure, NameCode3::PermanentResolverFailure),
        ResolveError::Denied(_) => (Code2::AccessDenied, NameCode3::AccessDenied),
    }
}

impl From<ResolveError> for Code2 {
    fn from(error: ResolveError) -> Self {
        name_codes(error).0
    }
}

impl From<ResolveError> for NameCode3 {
    fn from(error: ResolveError) -> Self {
        name_codes(error).1
    }
}

#[cfg(test)]
mod tests {
    use nacelle_infra::network::DenyReason;

    use super::*;

    /// The names of the two codes, spelt alike: `access-denied` and `ErrorCode::AccessDenied`.
    fn names(two: Code2, three: impl std::fmt::Debug) -> (String, String) {
        let three = format!("{three:?}").trim_start_matches("ErrorCode::").to_lowercase();
        (two.name().replace('-', ""), three)
    }

    #[test]
    fn both_versions_name_an_error_alike() {
        for error in [
            NetError::AccessDenied(DenyReason::NoNetwork),
            NetError::AddressInUse,
            NetError::AddressNotBindable,
            NetError::RemoteUnreachable,
            NetError::ConnectionRefused,
            NetError::ConnectionReset,
            NetError::ConnectionAborted,
            NetError::Timeout,
            NetError::InvalidArgument,
            NetError::InvalidState,
            NetError::NotSupported,
            NetError::DatagramTooLarge,
            NetError::Host(ErrorKind::OutOfMemory),
        ] {
            let (two, three) = codes(error.clone());
            let (two, three) = names(two, three);
            assert_eq!(two, three, "{error:?}");
        }
        for error in [
            ResolveError::InvalidName,
            ResolveError::Unknown,
            ResolveError::Temporary(String::new()),
            ResolveError::Permanent(String::new()),
            ResolveError::Denied(DenyReason::NoNetwork),
        ] {
            let (two, three) = name_codes(error.clone());
            let (two, three) = names(two, three);
            assert_eq!(two, three, "{error:?}");
        }
    }

    #[test]
    fn what_a_version_has_no_code_for() {
        assert!(matches!(codes(NetError::ConnectionBroken), (Code2::Unknown, Code3::ConnectionBroken)));
        assert!(matches!(codes(NetError::NotConnected), (Code2::InvalidState, Code3::InvalidState)));
        assert!(matches!(codes(NetError::OutOfPorts), (Code2::AddressInUse, Code3::AddressInUse)));
        let (two, three) = codes(NetError::LimitReached("sockets"));
        assert!(matches!(two, Code2::NewSocketLimit));
        assert!(matches!(three, Code3::Other(Some(words)) if words.contains("sockets")));
        let (two, three) = codes(NetError::Host(ErrorKind::Other));
        assert!(matches!((two, three), (Code2::Unknown, Code3::Other(Some(_)))));
    }
}
