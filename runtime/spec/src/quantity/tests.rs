#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

fn millis(text: &str) -> u64 {
    Amount::parse(text).unwrap().millis().unwrap()
}

fn bytes(text: &str) -> u64 {
    Amount::parse(text).unwrap().bytes().unwrap()
}

#[test]
fn values_in_whole_units() {
    for (text, expected) in [
        ("0", 0),
        ("128974848", 128_974_848),
        ("129e6", 129_000_000),
        ("129M", 129_000_000),
        ("123Mi", 123 << 20),
        ("1.5Gi", 3 << 29),
        ("1Ki", 1024),
        ("1k", 1000),
        ("1E", 1_000_000_000_000_000_000),
        ("1E3", 1000),
        ("1e3", 1000),
        ("1e+3", 1000),
        ("5e-1", 1),
        ("7Ei", 7 << 60),
        ("+1", 1),
        ("1.", 1),
        (".5Ki", 512),
        ("100m", 1),
        ("1n", 1),
        ("1e-2000000000", 1),
        ("0e2000000000", 0),
        ("9223372036854775807", i64::MAX.unsigned_abs()),
        ("0.00000000000000000000000000000000000000001", 1),
    ] {
        assert_eq!(bytes(text), expected, "{text}");
    }
}

#[test]
fn values_in_thousandths() {
    for (text, expected) in [("100m", 100), ("0.1", 100), ("2", 2000), ("1u", 1), ("1500001u", 1501), ("1.5", 1500)] {
        assert_eq!(millis(text), expected, "{text}");
    }
}

#[test]
fn texts_that_are_no_quantities() {
    for text in ["", "-", "+", ".", "Ki", "abc", "1.2.3", "--1", "٣"] {
        assert_eq!(Amount::parse(text), Err(QuantityError::Format), "{text}");
    }
    for text in ["1 Gi", "1GB", "1gi", "1K", "1e", "1e+", "1ee3", "1e3Ki", "1mm", "1 ", "1é", "1e99999999999"] {
        assert_eq!(Amount::parse(text), Err(QuantityError::Suffix), "{text}");
    }
    for text in ["9223372036854775808", "8Ei", "1e19", "10E", "1e2000000000"] {
        assert_eq!(Amount::parse(text), Err(QuantityError::TooLarge), "{text}");
    }
    assert_eq!(Amount::parse(&"1".repeat(200)), Err(QuantityError::Format));
}

#[test]
fn below_zero_is_a_value_but_not_a_size() {
    let amount = Amount::parse("-1.5").unwrap();
    assert!(amount.is_negative() && amount < Amount::ZERO);
    assert_eq!(amount.bytes(), Err(QuantityError::Negative));
    assert_eq!(amount.millis(), Err(QuantityError::Negative));
}

#[test]
fn thousandths_of_the_largest_value_overflow() {
    let amount = Amount::parse("9223372036854775807").unwrap();
    assert_eq!(amount.millis(), Err(QuantityError::TooLarge));
}

/// A quantity as a fraction: mantissa, decimal digits after the point, suffix.
fn written() -> impl Strategy<Value = (u32, u32, &'static str)> {
    let suffix = prop::sample::select(vec!["n", "u", "m", "", "k", "M", "Ki", "Mi", "Gi", "e2", "E-3"]);
    (any::<u32>(), 0u32..=6, suffix)
}

fn text(&(mantissa, decimals, suffix): &(u32, u32, &str)) -> String {
    let divisor = 10u64.pow(decimals);
    let (whole, rest) = (u64::from(mantissa) / divisor, u64::from(mantissa) % divisor);
    match decimals {
        0 => format!("{whole}{suffix}"),
        _ => format!("{whole}.{rest:0width$}{suffix}", width = decimals as usize),
    }
}

/// The same as numerator over denominator.
fn rational(&(mantissa, decimals, suffix): &(u32, u32, &str)) -> (u128, u128) {
    let (numerator, denominator): (u128, u128) = match suffix {
        "n" => (1, 1_000_000_000),
        "u" => (1, 1_000_000),
        "m" | "E-3" => (1, 1000),
        "k" => (1000, 1),
        "M" => (1_000_000, 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "e2" => (100, 1),
        _ => (1, 1),
    };
    (u128::from(mantissa) * numerator, denominator * 10u128.pow(decimals))
}

proptest! {
    #[test]
    fn never_panics(text in "\\PC*") {
        let _ = Amount::parse(&text);
    }

    #[test]
    fn never_panics_on_almost_quantities(text in "[+-]?[0-9.]{0,40}[eEinumkKMGTP]{0,2}[-+]?[0-9]{0,12}") {
        if let Ok(amount) = Amount::parse(&text) {
            let _ = (amount.bytes(), amount.millis());
        }
    }

    #[test]
    fn printed_and_read_again_it_is_the_same(written in written()) {
        let amount = Amount::parse(&text(&written)).unwrap();
        prop_assert_eq!(Amount::parse(&amount.to_string()).unwrap(), amount);
    }

    #[test]
    fn exact_against_a_fraction(written in written()) {
        let (numerator, denominator) = rational(&written);
        let amount = Amount::parse(&text(&written)).unwrap();
        prop_assert_eq!(u128::from(amount.bytes().unwrap()), numerator.div_ceil(denominator));
        let millis = u64::try_from((numerator * 1000).div_ceil(denominator)).map_err(|_| QuantityError::TooLarge);
        prop_assert_eq!(amount.millis(), millis);
    }

    #[test]
    fn ordered_as_the_fractions_are(left in written(), right in written()) {
        let scaled = |value: &(u32, u32, &str)| {
            let (numerator, denominator) = rational(value);
            (numerator * 1_000_000_000).div_ceil(denominator)
        };
        let ordering = Amount::parse(&text(&left)).unwrap().cmp(&Amount::parse(&text(&right)).unwrap());
        prop_assert_eq!(ordering, scaled(&left).cmp(&scaled(&right)));
    }
}

#[test]
fn sizes_in_canonical_form() {
    for (written, canonical) in [
        ("1Gi", "1Gi"),
        ("1024Mi", "1Gi"),
        ("0.5Gi", "512Mi"),
        ("1536", "1536"),
        ("1500M", "1500M"),
        ("2000000", "2M"),
        ("1e3", "1k"),
        ("0", "0"),
    ] {
        let bytes = Amount::parse(written).unwrap().bytes().unwrap();
        assert_eq!(ByteSize::in_the_form_of(&Quantity(written.to_owned()), bytes).to_string(), canonical, "{written}");
    }
}
