//! Sizes for people: decimal units, three digits.

/// `1.23 MB`, `45.6 kB`, `789 B`.
pub(crate) fn human(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    // In thousandths of the unit, so that no floating point is needed.
    let mut thousandths = bytes;
    let mut unit = 0;
    while thousandths >= 999_500 && unit + 1 < UNITS.len() {
        thousandths /= 1000;
        unit += 1;
    }
    let unit = UNITS.get(unit).copied().unwrap_or_default();
    match thousandths {
        0..=9_994 => {
            let hundredths = (thousandths + 5) / 10;
            format!("{}.{:02} {unit}", hundredths / 100, hundredths % 100)
        }
        9_995..=99_949 => {
            let tenths = (thousandths + 50) / 100;
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
        _ => format!("{} {unit}", (thousandths + 500) / 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_a_unit() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.00 kB"),
            (1_234, "1.23 kB"),
            (9_996, "10.0 kB"),
            (45_678, "45.7 kB"),
            (999_499, "999 kB"),
            (999_500, "1.00 MB"),
            (18_300_000, "18.3 MB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(human(bytes), text, "{bytes}");
        }
    }
}
