//! Framework of the integration tests: the `nacelle` binary in a world of its own, guests, and a real registry.
//!
//! A case says what it starts and what it waits for; nothing here sleeps for a fixed time, and every wait has a limit
//! that only a hang can reach.

mod debian;
mod guests;
mod layout;
mod linux_image;
mod nacelle;
mod pods;
mod records;
mod registry;
mod requirements;
mod sandbox;
mod unprivileged;

pub use debian::debian_root;
pub use guests::{guest, repository_root};
pub use layout::Layout;
pub use linux_image::{LinuxImage, busybox_layout, busybox_root, succeed};
pub use nacelle::{Finished, Nacelle, Running};
pub use pods::Pod;
pub use records::Records;
pub use registry::{Credentials, Registry};
pub use requirements::{have, is_root, long, skip};
pub use sandbox::Sandbox;
pub use unprivileged::Unprivileged;
