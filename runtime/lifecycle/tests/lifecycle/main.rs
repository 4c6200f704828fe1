//! The machine from outside: named scenarios that read as a specification, and random histories against invariants.

mod harness;
mod histories;
mod scenarios;
