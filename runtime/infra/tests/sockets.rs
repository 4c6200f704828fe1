//! A pod's sockets beside the kernel's: the same calls on both, and the same answers.

#[path = "kernel/stack.rs"]
mod stack;
#[path = "kernel/tcp.rs"]
mod tcp;
