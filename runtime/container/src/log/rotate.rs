//! Names and order of a log's files.
//!
//! As the kubelet does, `0.log` becomes `0.log.20260101-000000` (UTC). A second rotation within the same second, or
//! after the clock was set back, takes the newest name with a counter (`….0001`): names always sort by age.
//! Rotated files are not compressed.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

/// The rotated files of the log at `path`, oldest first.
pub(super) fn rotated(path: &Path) -> io::Result<Vec<PathBuf>> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Ok(Vec::new());
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let is_rotated = entry
            .file_name()
            .to_str()
            .and_then(|entry| entry.strip_prefix(name)?.strip_prefix('.'))
            .is_some_and(is_suffix);
        if is_rotated {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Moves the log at `path` aside and removes the oldest files, so that `keep` rotated ones are left. Returns the bytes
/// of those that were removed.
pub(super) fn rotate(path: &Path, now: Timestamp, keep: usize) -> io::Result<u64> {
    let existing = rotated(path)?;
    let mut removed = 0;
    if keep == 0 {
        removed = remove(path)?;
    } else {
        let newest = existing.last().and_then(|newest| suffix(path, newest));
        let mut target = path.as_os_str().to_owned();
        target.push(".");
        target.push(next_suffix(newest, now));
        std::fs::rename(path, target)?;
    }
    // The file just moved aside is not in `existing`.
    let surplus = existing.len().saturating_sub(keep.saturating_sub(1));
    for old in existing.iter().take(surplus) {
        removed += remove(old)?;
    }
    Ok(removed)
}

fn remove(path: &Path) -> io::Result<u64> {
    let size = std::fs::metadata(path)?.len();
    std::fs::remove_file(path)?;
    Ok(size)
}

fn suffix<'a>(path: &Path, rotated: &'a Path) -> Option<&'a str> {
    rotated.to_str()?.strip_prefix(path.to_str()?)?.strip_prefix('.')
}

/// `20260101-000000` or `20260101-000000.0001`.
fn is_suffix(suffix: &str) -> bool {
    let (stamp, counter) = suffix.split_once('.').unwrap_or((suffix, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    stamp.len() == 15
        && stamp.split_once('-').is_some_and(|(day, time)| day.len() == 8 && digits(day) && digits(time))
        && digits(counter)
}

/// A suffix for `now` that sorts after `newest`.
fn next_suffix(newest: Option<&str>, now: Timestamp) -> String {
    let stamp = now.strftime("%Y%m%d-%H%M%S").to_string();
    match newest {
        Some(newest) if newest >= stamp.as_str() => {
            let (stamp, counter) = newest.split_once('.').unwrap_or((newest, "0"));
            let counter = counter.parse::<u64>().unwrap_or(0).saturating_add(1);
            format!("{stamp}.{counter:04}")
        }
        _ => stamp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_age_whatever_the_clock_does() {
        let now: Timestamp = "2026-01-01T00:00:00.5Z".parse().unwrap();
        assert_eq!(next_suffix(None, now), "20260101-000000");
        assert_eq!(next_suffix(Some("20251231-235959"), now), "20260101-000000");
        assert_eq!(next_suffix(Some("20260101-000000"), now), "20260101-000000.0001");
        assert_eq!(next_suffix(Some("20260101-000000.0009"), now), "20260101-000000.0010");
        assert_eq!(next_suffix(Some("20270101-000000"), now), "20270101-000000.0001");
        assert!(is_suffix("20260101-000000") && is_suffix("20260101-000000.0001"));
        assert!(!is_suffix("gz") && !is_suffix("20260101-000000.gz") && !is_suffix("20260101-00000x"));
    }
}
