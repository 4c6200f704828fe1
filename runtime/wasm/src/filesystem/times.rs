//! Times between the host's clock and WASI's, which counts seconds from 1970 and adds nanoseconds.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nacelle_infra::fs::Errno;

const NANOS_PER_SECOND: u32 = 1_000_000_000;

/// The time that is `seconds` from 1970, with nanoseconds added.
///
/// # Errors
/// `EINVAL` for a second's worth of nanoseconds, `EOVERFLOW` for what the host cannot express.
pub(super) fn to_system(seconds: i64, nanoseconds: u32) -> Result<SystemTime, Errno> {
    if nanoseconds >= NANOS_PER_SECOND {
        return Err(Errno::INVAL);
    }
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    time.and_then(|time| time.checked_add(Duration::from_nanos(nanoseconds.into()))).ok_or(Errno::OVERFLOW)
}

/// Whole seconds from 1970, and the nanoseconds to add; `None` for what is beyond either.
pub(super) fn from_system(time: SystemTime) -> Option<(i64, u32)> {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => Some((i64::try_from(after.as_secs()).ok()?, after.subsec_nanos())),
        Err(before) => {
            let before = before.duration();
            let seconds = i64::try_from(before.as_secs()).ok()?.checked_neg()?;
            match before.subsec_nanos() {
                0 => Some((seconds, 0)),
                nanos => Some((seconds.checked_sub(1)?, NANOS_PER_SECOND - nanos)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn before_1970_nanoseconds_count_up_too() {
        let time = to_system(-2, 500_000_000).unwrap();
        assert_eq!(UNIX_EPOCH.duration_since(time).unwrap(), Duration::from_millis(1500));
        assert_eq!(from_system(time), Some((-2, 500_000_000)));
    }

    #[test]
    fn what_cannot_be_expressed_is_refused() {
        assert_eq!(to_system(0, NANOS_PER_SECOND), Err(Errno::INVAL));
        assert_eq!(to_system(i64::MAX, NANOS_PER_SECOND - 1).err(), None);
        assert_eq!(to_system(i64::MIN, 0).err(), None);
    }

    proptest! {
        #[test]
        fn a_time_survives_the_way_there_and_back(seconds in -(1_i64 << 40)..1 << 40, nanos in 0..NANOS_PER_SECOND) {
            prop_assert_eq!(from_system(to_system(seconds, nanos).unwrap()), Some((seconds, nanos)));
        }
    }
}
