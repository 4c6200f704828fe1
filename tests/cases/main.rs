//! Integration tests: the real binary, real guests, a real registry. One module a capability.

mod examples;
mod guests;
mod images;
mod lifecycle;
mod linux;
mod linux_pods;
mod network;
mod probes;
mod resize;
mod room;
mod security;
mod stop;
mod volumes;
