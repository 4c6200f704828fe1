//! Drivers that carry out pods on this machine.
