//! An open file or directory, as a guest holds it.

use std::ops::Deref;

use nacelle_infra::fs::{Descriptor, FileKind};

/// A descriptor, and what the guest asked for when it opened it.
///
/// `get-flags` tells whether `mutate-directory` was among that. It is not what decides: programs of preview 1 change
/// directories through descriptors that were opened without, since their interface has no such flag. So the namespace is
/// always asked for the right to change directories, and the mount says no where it is read-only.
#[derive(Debug)]
#[expect(unreachable_pub, reason = "the bindings name it again, and are public as generated")]
pub struct OpenFile {
    descriptor: Descriptor,
    mutation: Mutation,
}

/// Whether a guest asked for the right to change what is in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mutation {
    Asked,
    NotAsked,
}

impl OpenFile {
    pub(super) fn new(descriptor: Descriptor, mutation: Mutation) -> Self {
        Self { descriptor, mutation }
    }

    pub(super) fn is_directory(&self) -> bool {
        self.kind() == FileKind::Directory
    }

    /// What `get-flags` says about `mutate-directory`.
    pub(super) fn shows_mutation(&self) -> bool {
        self.is_directory() && self.mutation == Mutation::Asked
    }

    /// What to read, write or sync with, for as long as that takes.
    pub(super) fn descriptor(&self) -> Descriptor {
        self.descriptor.clone()
    }
}

impl Deref for OpenFile {
    type Target = Descriptor;

    fn deref(&self) -> &Descriptor {
        &self.descriptor
    }
}
