//! Between the types of wasi:filesystem 0.2 and those of `infra`.

use std::time::SystemTime;

use nacelle_infra::fs::Errno;
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;

use super::types;
use crate::filesystem::convert::conversions;

conversions!();

/// A time before 1970, which this version cannot express, is left out.
fn timestamp(time: SystemTime) -> Option<Datetime> {
    let (seconds, nanoseconds) = crate::filesystem::times::from_system(time)?;
    Some(Datetime { seconds: u64::try_from(seconds).ok()?, nanoseconds })
}

fn system_time(time: Datetime) -> Result<SystemTime, Errno> {
    let seconds = i64::try_from(time.seconds).map_err(|_| Errno::OVERFLOW)?;
    crate::filesystem::times::to_system(seconds, time.nanoseconds)
}
