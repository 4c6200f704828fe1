//! Between the interface's types and those of `infra`: the part that is the same in both versions, whose types have the
//! same names but are not the same.

/// Implements the conversions for the bindings of one version.
macro_rules! conversions {
    () => {
        impl From<nacelle_infra::fs::FileKind> for types::DescriptorType {
            fn from(kind: nacelle_infra::fs::FileKind) -> Self {
                use nacelle_infra::fs::FileKind;
                match kind {
                    FileKind::File => Self::RegularFile,
                    FileKind::Directory => Self::Directory,
                    FileKind::Symlink => Self::SymbolicLink,
                    FileKind::CharDevice => Self::CharacterDevice,
                    FileKind::BlockDevice => Self::BlockDevice,
                    FileKind::Fifo => Self::Fifo,
                    FileKind::Socket => Self::Socket,
                }
            }
        }

        impl From<nacelle_infra::fs::DirEntry> for types::DirectoryEntry {
            fn from(entry: nacelle_infra::fs::DirEntry) -> Self {
                Self { type_: entry.kind.into(), name: entry.name }
            }
        }

        impl From<nacelle_infra::fs::Stat> for types::DescriptorStat {
            fn from(stat: nacelle_infra::fs::Stat) -> Self {
                Self {
                    type_: stat.kind.into(),
                    link_count: stat.nlink,
                    size: stat.size,
                    data_access_timestamp: timestamp(stat.accessed),
                    data_modification_timestamp: timestamp(stat.modified),
                    status_change_timestamp: timestamp(stat.changed),
                }
            }
        }

        impl From<crate::filesystem::ops::MetadataHash> for types::MetadataHashValue {
            fn from(hash: crate::filesystem::ops::MetadataHash) -> Self {
                Self { lower: hash.lower, upper: hash.upper }
            }
        }

        pub(super) fn follow(flags: types::PathFlags) -> bool {
            flags.contains(types::PathFlags::SYMLINK_FOLLOW)
        }

        pub(super) fn open(
            path: types::PathFlags,
            open: types::OpenFlags,
            flags: types::DescriptorFlags,
        ) -> crate::filesystem::ops::Open {
            use types::{DescriptorFlags, OpenFlags};
            let synchronised = DescriptorFlags::FILE_INTEGRITY_SYNC
                | DescriptorFlags::DATA_INTEGRITY_SYNC
                | DescriptorFlags::REQUESTED_WRITE_SYNC;
            crate::filesystem::ops::Open {
                follow: follow(path),
                create: open.contains(OpenFlags::CREATE),
                directory: open.contains(OpenFlags::DIRECTORY),
                exclusive: open.contains(OpenFlags::EXCLUSIVE),
                truncate: open.contains(OpenFlags::TRUNCATE),
                read: flags.contains(DescriptorFlags::READ),
                write: flags.contains(DescriptorFlags::WRITE),
                mutate_directory: flags.contains(DescriptorFlags::MUTATE_DIRECTORY),
                synchronised: flags.intersects(synchronised),
            }
        }

        pub(super) fn flags(descriptor: &nacelle_infra::fs::Descriptor) -> types::DescriptorFlags {
            use types::DescriptorFlags;
            let mut flags = DescriptorFlags::empty();
            if descriptor.readable() {
                flags |= DescriptorFlags::READ;
            }
            if descriptor.writable() {
                flags |= DescriptorFlags::WRITE;
            }
            if descriptor.mutable_directory() {
                flags |= DescriptorFlags::MUTATE_DIRECTORY;
            }
            flags
        }

        /// What to set a file's times to, the one of its last access first.
        pub(super) fn times(
            accessed: types::NewTimestamp,
            modified: types::NewTimestamp,
        ) -> Result<crate::filesystem::ops::Times, nacelle_infra::fs::Errno> {
            Ok(crate::filesystem::ops::Times { accessed: set_time(accessed)?, modified: set_time(modified)? })
        }

        fn set_time(time: types::NewTimestamp) -> Result<nacelle_infra::fs::SetTime, nacelle_infra::fs::Errno> {
            use nacelle_infra::fs::SetTime;
            match time {
                types::NewTimestamp::NoChange => Ok(SetTime::Keep),
                types::NewTimestamp::Now => Ok(SetTime::Now),
                types::NewTimestamp::Timestamp(time) => Ok(SetTime::To(system_time(time)?)),
            }
        }
    };
}

pub(super) use conversions;
