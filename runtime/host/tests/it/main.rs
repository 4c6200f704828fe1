//! The host over a backend that does what a test tells it to.

mod fake;
mod life;
mod programs;
