//! The one function that every use of the network goes through.
