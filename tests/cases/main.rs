//! Integration tests: the real binary, real guests, a real registry. One module a capability.

mod beside;
mod ephemeral;
mod examples;
mod exec;
mod guests;
mod images;
mod init;
mod kills;
mod lifecycle;
mod linux;
mod linux_pods;
mod linux_rootless;
mod linux_users;
mod manifests;
mod network;
mod nginx;
mod pod_interface;
mod probes;
mod resize;
mod room;
mod security;
mod stats;
mod stop;
mod volumes;
