//! Work on directory trees whose content a guest or an image wrote: nothing here follows a link out of them.

mod copy;
mod remove;
mod resolve;

pub(crate) use copy::{copy_file, copy_tree};
pub(crate) use remove::{drain, remove_tree};
pub(crate) use resolve::{in_root, is_escape};

use std::io;
use std::path::Path;

use cap_std::ambient_authority;
use cap_std::fs::Dir;

/// Opens a directory of the host by its path.
pub(crate) fn open_dir(path: &Path) -> io::Result<Dir> {
    Dir::open_ambient_dir(path, ambient_authority())
}
