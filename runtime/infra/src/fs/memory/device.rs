//! The devices that the runtime knows.

use rustix::rand::{GetRandomFlags, getrandom};

use crate::fs::{Errno, FsResult};

/// A device that the runtime knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// `/dev/null`.
    Null,
    /// `/dev/zero`.
    Zero,
    /// `/dev/random`.
    Random,
    /// `/dev/urandom`.
    Urandom,
    /// `/dev/stdin`: a stream, which the holder of the descriptor knows; the same for the next two.
    Stdin,
    /// `/dev/stdout`.
    Stdout,
    /// `/dev/stderr`.
    Stderr,
}

impl Device {
    /// All of them, with their names in `/dev`.
    pub(crate) const ALL: [(&'static str, Self); 7] = [
        ("null", Self::Null),
        ("zero", Self::Zero),
        ("random", Self::Random),
        ("urandom", Self::Urandom),
        ("stdin", Self::Stdin),
        ("stdout", Self::Stdout),
        ("stderr", Self::Stderr),
    ];

    /// Streams have no positions: ESPIPE.
    pub(super) fn read(self, buffer: &mut [u8]) -> FsResult<usize> {
        match self {
            Self::Null => Ok(0),
            Self::Zero => {
                buffer.fill(0);
                Ok(buffer.len())
            }
            Self::Random | Self::Urandom => fill_random(buffer),
            Self::Stdin | Self::Stdout | Self::Stderr => Err(Errno::SPIPE),
        }
    }

    /// Takes everything and keeps nothing.
    pub(super) fn write(self, bytes: &[u8]) -> FsResult<usize> {
        match self {
            Self::Null | Self::Zero | Self::Random | Self::Urandom => Ok(bytes.len()),
            Self::Stdin | Self::Stdout | Self::Stderr => Err(Errno::SPIPE),
        }
    }
}

fn fill_random(buffer: &mut [u8]) -> FsResult<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match getrandom(&mut buffer[filled..], GetRandomFlags::empty()) {
            Ok(read) => filled += read,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
