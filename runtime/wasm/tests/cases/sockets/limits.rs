//! Containers talk to each other.
