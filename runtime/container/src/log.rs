//! Container logs on disk in the CRI log format.
