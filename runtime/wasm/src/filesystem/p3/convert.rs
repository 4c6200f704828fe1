//! Between the types of wasi:filesystem 0.3 and those of `infra`.

use std::time::SystemTime;

use nacelle_infra::fs::Errno;
use wasmtime_wasi::p3::bindings::clocks::system_clock::Instant;

use super::types;
use crate::filesystem::convert::conversions;

conversions!();

fn timestamp(time: SystemTime) -> Option<Instant> {
    let (seconds, nanoseconds) = crate::filesystem::times::from_system(time)?;
    Some(Instant { seconds, nanoseconds })
}

fn system_time(time: Instant) -> Result<SystemTime, Errno> {
    crate::filesystem::times::to_system(time.seconds, time.nanoseconds)
}
