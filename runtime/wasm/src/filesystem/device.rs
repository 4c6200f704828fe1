//! The devices that stand for a container's standard streams.
//!
//! `/dev/stdin`, `/dev/stdout` and `/dev/stderr` are files to open, and lead where the guest's own streams do. All other
//! files, `/dev/null` among them, do their reading and writing themselves.

use nacelle_infra::fs::{Descriptor, Device, Errno};

use crate::stdio::{Input, Output};

/// The standard streams of one instance.
pub(crate) struct Stdio {
    /// None where the container has no input: it is at its end.
    pub(crate) stdin: Option<Input>,
    pub(crate) stdout: Output,
    pub(crate) stderr: Output,
}

/// Where the bytes of a descriptor come from.
pub(super) enum Source<'a> {
    File,
    Stdin(Option<&'a Input>),
}

/// Where the bytes for a descriptor go to.
pub(super) enum Sink<'a> {
    File,
    Output(&'a Output),
}

impl Stdio {
    /// Where to read `descriptor` from.
    ///
    /// # Errors
    /// `EBADF` for an output, and for an input that was not opened to be read.
    pub(super) fn source(&self, descriptor: &Descriptor) -> Result<Source<'_>, Errno> {
        match descriptor.device() {
            Some(Device::Stdin) if descriptor.readable() => Ok(Source::Stdin(self.stdin.as_ref())),
            Some(Device::Stdin | Device::Stdout | Device::Stderr) => Err(Errno::BADF),
            _ => Ok(Source::File),
        }
    }

    /// Where to write what is written to `descriptor`.
    ///
    /// # Errors
    /// `EBADF` for the input, and for an output that was not opened to be written.
    pub(super) fn sink(&self, descriptor: &Descriptor) -> Result<Sink<'_>, Errno> {
        match descriptor.device() {
            Some(Device::Stdout) if descriptor.writable() => Ok(Sink::Output(&self.stdout)),
            Some(Device::Stderr) if descriptor.writable() => Ok(Sink::Output(&self.stderr)),
            Some(Device::Stdin | Device::Stdout | Device::Stderr) => Err(Errno::BADF),
            _ => Ok(Sink::File),
        }
    }
}
