//! `sleep`: waits for the sum of times such as `5`, `0.5`, `2m`.

use std::time::Duration;

use crate::failure::{Failure, Outcome};
use crate::process::Process;

/// The longest that is waited: centuries.
const MOST: Duration = Duration::from_secs(1 << 34);

pub(super) async fn run(process: &Process) -> Outcome {
    if process.arguments().is_empty() {
        return Err(Failure::usage("a time is missing"));
    }
    let mut sum = Duration::ZERO;
    for time in process.arguments() {
        let time = parse(time).ok_or_else(|| Failure::new(format!("invalid time interval {time:?}")))?;
        sum = sum.saturating_add(time).min(MOST);
    }
    tokio::time::sleep(sum).await;
    Ok(0)
}

fn parse(text: &str) -> Option<Duration> {
    let (number, unit) = match text.char_indices().last()? {
        (at, 's') => (text.get(..at)?, 1.0),
        (at, 'm') => (text.get(..at)?, 60.0),
        (at, 'h') => (text.get(..at)?, 3600.0),
        (at, 'd') => (text.get(..at)?, 86400.0),
        _ => (text, 1.0),
    };
    if number == "infinity" {
        return Some(MOST);
    }
    if !number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    let seconds: f64 = number.parse().ok()?;
    Some(Duration::try_from_secs_f64(seconds * unit).unwrap_or(MOST).min(MOST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, millis) in [("2", 2000), ("0.5", 500), (".25s", 250), ("2m", 120_000), ("1h", 3_600_000)] {
            assert_eq!(parse(text), Some(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(parse("99999999999999999999d"), Some(MOST));
        for text in ["", "s", "-1", "1x", "nan", "inf", "1e3", "ü"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
