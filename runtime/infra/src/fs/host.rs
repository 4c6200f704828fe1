//! A directory of the host as a tree: hostPath, emptyDir on a disk, an image as a volume. Or a single file of the host.
//!
//! Everything goes through descriptors. A name is looked up in a directory that is held open, and the kernel follows no
//! link on the way ([`sys`]); where several components are gone through in one system call, openat2(2) is told to refuse
//! links, and where it is missing the namespace walks. So whatever a guest, or somebody on the host, puts in place of a
//! directory meanwhile, nothing outside of the tree is reached.
//!
//! - Pipes, sockets and devices are seen, renamed and removed like any file, but never opened: a guest neither waits for
//!   another process nor reaches a device. ENXIO and EPERM.
//! - procfs is refused: what is in it speaks of the process that opens it, which is the runtime. EACCES.
//! - Names that are not UTF-8 cannot be said in WASI: listing a directory gives EILSEQ for each, and a link that points
//!   to one is EILSEQ.
//! - A tree holds a share of the process's descriptors, directories on the way to what is open included: EMFILE.
//! - A file that a guest makes belongs to the user of the runtime, and has 0666, a directory 0777, less the umask.
//!
//! Small operations are done in line; whoever calls takes those that may take long to a thread that may wait.
//!
//! Must not depend on what mounts it.

mod count;
mod dir;
mod file;
mod listing;
mod quota;
mod stat;
mod sys;
#[cfg(test)]
mod tests;

pub(crate) use dir::HostDir;
pub(crate) use file::{HostFile, HostLeaf};
pub(crate) use listing::HostListing;
pub use quota::DiskQuota;
