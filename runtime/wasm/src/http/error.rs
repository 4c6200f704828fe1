//! What guests are told of failures: WASI's error codes, as exactly as the host knows.

use std::io;

use nacelle_infra::network::{NetError, ResolveError};
use rustls::Error as TlsError;
use wasmtime_wasi_http::Error;

/// A failure of a connection that HTTP is spoken on.
pub(super) fn of_hyper(error: &hyper::Error) -> Error {
    if let Some(cause) = cause::<io::Error>(error) {
        return of_io(cause);
    }
    if error.is_timeout() {
        Error::HttpResponseTimeout
    } else if error.is_parse_too_large() {
        Error::HttpResponseHeaderSectionSize(None)
    } else if error.is_incomplete_message() {
        Error::HttpResponseIncomplete
    } else if error.is_canceled() || error.is_closed() {
        Error::ConnectionTerminated
    } else {
        Error::HttpProtocolError
    }
}

/// A failure of a stream that is connected.
fn of_io(error: &io::Error) -> Error {
    if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) {
        return of_rustls(error);
    }
    match error.kind() {
        io::ErrorKind::TimedOut => Error::ConnectionReadTimeout,
        _ => Error::ConnectionTerminated,
    }
}

/// A failure of a TLS handshake.
pub(super) fn of_tls(error: &io::Error) -> Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) {
        Some(error) => of_rustls(error),
        None if error.kind() == io::ErrorKind::UnexpectedEof => Error::ConnectionTerminated,
        None => of_io(error),
    }
}

fn of_rustls(error: &TlsError) -> Error {
    match error {
        TlsError::InvalidCertificate(_) | TlsError::NoCertificatesPresented => Error::TlsCertificateError,
        TlsError::AlertReceived(alert) => {
            Error::TlsAlertReceived { alert_id: Some(u8::from(*alert)), alert_message: Some(format!("{alert:?}")) }
        }
        _ => Error::TlsProtocolError,
    }
}

/// A connection that could not be made.
pub(super) fn of_connect(error: &NetError) -> Error {
    match error {
        NetError::AccessDenied(_) => Error::HttpRequestDenied,
        NetError::ConnectionRefused => Error::ConnectionRefused,
        NetError::RemoteUnreachable => Error::DestinationIpUnroutable,
        NetError::Timeout => Error::ConnectionTimeout,
        NetError::LimitReached(_) | NetError::OutOfPorts => Error::ConnectionLimitReached,
        NetError::ConnectionReset | NetError::ConnectionAborted | NetError::ConnectionBroken => {
            Error::ConnectionTerminated
        }
        NetError::InvalidArgument => Error::DestinationIpProhibited,
        other => Error::InternalError(Some(other.to_string())),
    }
}

/// A name that could not be looked up.
pub(super) fn of_resolve(error: &ResolveError) -> Error {
    let failed = |rcode: &str| Error::DnsError { rcode: Some(rcode.to_owned()), info_code: None };
    match error {
        ResolveError::InvalidName => Error::HttpRequestUriInvalid,
        ResolveError::Unknown => failed("NXDOMAIN"),
        ResolveError::Temporary(_) => failed("SERVFAIL"),
        ResolveError::Permanent(_) => failed("REFUSED"),
        ResolveError::Denied(_) => Error::HttpRequestDenied,
    }
}

/// The first cause of this type behind an error.
fn cause<'a, T: std::error::Error + 'static>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a T> {
    let mut next = error.source();
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use nacelle_infra::network::DenyReason;
    use rustls::AlertDescription;

    use super::*;

    #[test]
    fn policy_is_told_from_failure() {
        let denied = of_connect(&NetError::AccessDenied(DenyReason::EgressPolicy));
        assert!(matches!(denied, Error::HttpRequestDenied));
        assert!(matches!(of_connect(&NetError::ConnectionRefused), Error::ConnectionRefused));
        assert!(matches!(of_resolve(&ResolveError::Denied(DenyReason::NoNetwork)), Error::HttpRequestDenied));
    }

    #[test]
    fn certificates_and_alerts_are_told_apart() {
        let of = |error| of_tls(&io::Error::new(io::ErrorKind::InvalidData, error));
        assert!(matches!(of(TlsError::NoCertificatesPresented), Error::TlsCertificateError));
        let alert = of(TlsError::AlertReceived(AlertDescription::HandshakeFailure));
        assert!(matches!(alert, Error::TlsAlertReceived { alert_id: Some(40), .. }));
        assert!(matches!(of(TlsError::DecryptError), Error::TlsProtocolError));
    }
}
