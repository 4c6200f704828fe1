//! From Linux's error numbers to WASI's codes, for both versions.

use nacelle_infra::fs::Errno;
use wasmtime::component::ResourceTableError;

use super::{p2, p3};

/// What an operation of a guest fails with.
#[derive(Debug)]
pub(crate) enum FsError {
    /// The guest is told.
    Errno(Errno),
    /// The guest broke the rules of the interface, or the host failed: it ends here.
    Trap(wasmtime::Error),
}

impl From<Errno> for FsError {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<ResourceTableError> for FsError {
    fn from(error: ResourceTableError) -> Self {
        match error {
            // As Linux's EMFILE, for which WASI has no code: a program that leaks descriptors learns why it fails.
            ResourceTableError::Full => Self::Errno(Errno::NOMEM),
            error => Self::Trap(error.into()),
        }
    }
}

impl FsError {
    /// The code for a guest of WASI 0.2, or what ends it.
    pub(super) fn into_p2(self) -> wasmtime::Result<p2::ErrorCode> {
        match self {
            Self::Errno(errno) => Ok(errno.into()),
            Self::Trap(error) => Err(error),
        }
    }

    /// The code for a guest of WASI 0.3, or what ends it.
    pub(super) fn into_p3(self) -> wasmtime::Result<p3::ErrorCode> {
        match self {
            Self::Errno(errno) => Ok(errno.into()),
            Self::Trap(error) => Err(error),
        }
    }
}

/// Why a file's stream failed: what `filesystem-error-code` finds in a stream's error.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct StreamFailure(#[from] pub(super) Errno);

/// The table, once for both versions: pairs that they share, and the few that only one of them has.
macro_rules! error_codes {
    (both: { $($errno:ident => $code:ident,)* } only 0.2: { $($errno2:ident => $code2:ident,)* }) => {
        impl From<Errno> for p2::ErrorCode {
            fn from(errno: Errno) -> Self {
                match errno {
                    $(Errno::$errno => Self::$code,)*
                    $(Errno::$errno2 => Self::$code2,)*
                    _ => {
                        tracing::debug!(%errno, "an error that WASI has no code for");
                        Self::Io
                    }
                }
            }
        }

        impl From<Errno> for p3::ErrorCode {
            fn from(errno: Errno) -> Self {
                match errno {
                    $(Errno::$errno => Self::$code,)*
                    _ => {
                        tracing::debug!(%errno, "an error that WASI has no code for");
                        Self::Io
                    }
                }
            }
        }

        #[cfg(test)]
        const SHARED: &[Errno] = &[$(Errno::$errno),*];
        #[cfg(test)]
        const ONLY_P2: &[Errno] = &[$(Errno::$errno2),*];
    };
}

error_codes! {
    both: {
        ACCESS => Access,
        ALREADY => Already,
        BADF => BadDescriptor,
        BUSY => Busy,
        DEADLK => Deadlock,
        DQUOT => Quota,
        EXIST => Exist,
        FBIG => FileTooLarge,
        ILSEQ => IllegalByteSequence,
        INPROGRESS => InProgress,
        INTR => Interrupted,
        INVAL => Invalid,
        IO => Io,
        ISDIR => IsDirectory,
        LOOP => Loop,
        MLINK => TooManyLinks,
        MSGSIZE => MessageSize,
        NAMETOOLONG => NameTooLong,
        NODEV => NoDevice,
        NOENT => NoEntry,
        NOLCK => NoLock,
        NOMEM => InsufficientMemory,
        MFILE => InsufficientMemory,
        NFILE => InsufficientMemory,
        NOSPC => InsufficientSpace,
        NOTDIR => NotDirectory,
        NOTEMPTY => NotEmpty,
        NOTRECOVERABLE => NotRecoverable,
        NOTSUP => Unsupported,
        NOSYS => Unsupported,
        NOTTY => NoTty,
        NXIO => NoSuchDevice,
        OVERFLOW => Overflow,
        PERM => NotPermitted,
        PIPE => Pipe,
        ROFS => ReadOnly,
        SPIPE => InvalidSeek,
        TXTBSY => TextFileBusy,
        XDEV => CrossDevice,
    }
    only 0.2: {
        AGAIN => WouldBlock,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// How many codes WASI 0.2 has; 0.3 has `other` in the place of `would-block`.
    const CODES: usize = 37;

    #[test]
    fn each_code_is_given_for_some_error() {
        let p2: BTreeSet<_> =
            SHARED.iter().chain(ONLY_P2).map(|errno| format!("{:?}", p2::ErrorCode::from(*errno))).collect();
        assert_eq!(p2.len(), CODES, "{p2:?}");
        let p3: BTreeSet<_> = SHARED.iter().map(|errno| format!("{:?}", p3::ErrorCode::from(*errno))).collect();
        assert_eq!(p3.len(), CODES - 1, "{p3:?}");
    }

    #[test]
    fn both_versions_say_the_same() {
        for errno in SHARED {
            let words = p2::ErrorCode::from(*errno).name().split('-');
            let p2: String = words
                .map(|word| format!("{}{}", word.get(..1).unwrap().to_uppercase(), word.get(1..).unwrap()))
                .collect();
            assert_eq!(format!("{:?}", p3::ErrorCode::from(*errno)), format!("ErrorCode::{p2}"));
        }
    }

    #[test]
    fn what_has_no_code_is_an_io_error() {
        for number in 1..=133 {
            let errno = Errno::from_raw_os_error(number);
            if !SHARED.contains(&errno) && !ONLY_P2.contains(&errno) {
                assert!(matches!(p2::ErrorCode::from(errno), p2::ErrorCode::Io), "{errno}");
            }
        }
        assert!(matches!(p3::ErrorCode::from(Errno::AGAIN), p3::ErrorCode::Io));
    }

    #[test]
    fn a_full_table_is_told_and_an_unknown_resource_ends_the_guest() {
        assert!(matches!(FsError::from(ResourceTableError::Full), FsError::Errno(Errno::NOMEM)));
        assert!(matches!(FsError::from(ResourceTableError::NotPresent), FsError::Trap(_)));
    }
}
