//! Kubernetes quantities (`100m`, `1.5Gi`, `1e3`) as exact numbers.
//!
//! The API type keeps a quantity as the string the user wrote. [`Amount`] is that string's value, in whole billionths:
//! the finest step Kubernetes keeps. What is finer is rounded away from zero, as the API server does; what is larger
//! than 2^63-1 is an error here, where the API server caps it silently.

use std::fmt;
use std::str::FromStr;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

const BINARY_SUFFIXES: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const DECIMAL_SUFFIXES: [&str; 6] = ["k", "M", "G", "T", "P", "E"];
const NANOS: i128 = 1_000_000_000;
const NANOS_PER_MILLI: i128 = 1_000_000;
/// Longer texts are refused before any arithmetic.
const MAX_TEXT: usize = 128;
/// More integer digits than this in billionths cannot be at most 2^63-1.
const MAX_DIGITS: i64 = 30;

/// The value of a quantity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount {
    nanos: i128,
}

/// Why a text is not a quantity, or a quantity not usable as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not of the form number, suffix.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    /// A number followed by a suffix that is none.
    #[error("unable to parse quantity's suffix")]
    Suffix,
    /// Larger in magnitude than 2^63-1.
    #[error("must be no larger than 9223372036854775807")]
    TooLarge,
    /// Below zero where only a size makes sense.
    #[error("must be greater than or equal to 0")]
    Negative,
}

/// What a suffix multiplies by: `10^ten * 1024^kibi`.
struct Scale {
    ten: i64,
    kibi: usize,
}

impl Amount {
    /// Zero.
    pub const ZERO: Self = Self { nanos: 0 };

    /// A whole number of units.
    pub fn from_units(units: u64) -> Self {
        Self { nanos: i128::from(units) * NANOS }
    }

    /// A number of thousandths.
    pub fn from_millis(millis: u64) -> Self {
        Self { nanos: i128::from(millis) * NANOS_PER_MILLI }
    }

    /// The value of the text of a quantity.
    ///
    /// # Errors
    /// When it is not a quantity or larger than 2^63-1.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        if text.len() > MAX_TEXT {
            return Err(QuantityError::Format);
        }
        let (negative, rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, suffix) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
            return Err(QuantityError::Format);
        }
        let scale = Scale::parse(suffix)?;
        let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).map(|digit| digit - b'0').collect();
        for _ in 0..scale.kibi {
            multiply_1024(&mut digits);
        }
        let fraction_digits = i64::try_from(fraction.len()).map_err(|_| QuantityError::Format)?;
        let nanos = place(&digits, scale.ten - fraction_digits + 9)?;
        if nanos > i128::from(i64::MAX) * NANOS {
            return Err(QuantityError::TooLarge);
        }
        Ok(Self { nanos: if negative { -nanos } else { nanos } })
    }

    /// The value in whole units (bytes, for memory), rounded up.
    ///
    /// # Errors
    /// When it is negative.
    pub fn bytes(self) -> Result<u64, QuantityError> {
        self.rounded_up(NANOS)
    }

    /// The value in thousandths (millicores, for cpu), rounded up.
    ///
    /// # Errors
    /// When it is negative, or in thousandths larger than 2^64-1.
    pub fn millis(self) -> Result<u64, QuantityError> {
        self.rounded_up(NANOS_PER_MILLI)
    }

    /// Whether it is below zero.
    pub fn is_negative(self) -> bool {
        self.nanos < 0
    }

    /// Whether it is zero.
    pub fn is_zero(self) -> bool {
        self.nanos == 0
    }

    /// Whether it is a whole number of units.
    pub fn is_whole(self) -> bool {
        self.nanos % NANOS == 0
    }

    /// The sum; capped at the largest value, like the sums Kubernetes makes of requests.
    #[must_use]
    pub fn saturating_add(self, other: Self) -> Self {
        Self { nanos: self.nanos.saturating_add(other.nanos) }
    }

    fn rounded_up(self, step: i128) -> Result<u64, QuantityError> {
        if self.nanos < 0 {
            return Err(QuantityError::Negative);
        }
        let steps = self.nanos / step + i128::from(self.nanos % step != 0);
        u64::try_from(steps).map_err(|_| QuantityError::TooLarge)
    }
}

impl Scale {
    fn parse(suffix: &str) -> Result<Self, QuantityError> {
        let (ten, kibi) = match suffix {
            "n" => (-9, 0),
            "u" => (-6, 0),
            "m" => (-3, 0),
            "" => (0, 0),
            "k" => (3, 0),
            "M" => (6, 0),
            "G" => (9, 0),
            "T" => (12, 0),
            "P" => (15, 0),
            "E" => (18, 0),
            "Ki" => (0, 1),
            "Mi" => (0, 2),
            "Gi" => (0, 3),
            "Ti" => (0, 4),
            "Pi" => (0, 5),
            "Ei" => (0, 6),
            _ => (exponent(suffix).ok_or(QuantityError::Suffix)?, 0),
        };
        Ok(Self { ten, kibi })
    }
}

/// The number in `e3`, `E-6`, `e+2`.
fn exponent(suffix: &str) -> Option<i64> {
    let number = suffix.strip_prefix(['e', 'E'])?;
    let digits = number.strip_prefix(['+', '-']).unwrap_or(number);
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    number.parse::<i32>().ok().map(i64::from)
}

/// Multiplies a number of decimal digits, most significant first.
fn multiply_1024(digits: &mut Vec<u8>) {
    let mut carry = 0u32;
    for digit in digits.iter_mut().rev() {
        let product = u32::from(*digit) * 1024 + carry;
        *digit = decimal_digit(product);
        carry = product / 10;
    }
    while carry > 0 {
        digits.insert(0, decimal_digit(carry));
        carry /= 10;
    }
}

fn decimal_digit(number: u32) -> u8 {
    u8::try_from(number % 10).unwrap_or(0)
}

/// `digits * 10^exponent`, rounded up to a whole number.
fn place(digits: &[u8], exponent: i64) -> Result<i128, QuantityError> {
    let Some(first) = digits.iter().position(|digit| *digit != 0) else { return Ok(0) };
    let digits = &digits[first..];
    let length = i64::try_from(digits.len()).map_err(|_| QuantityError::TooLarge)?;
    let whole = length + exponent;
    if whole > MAX_DIGITS {
        return Err(QuantityError::TooLarge);
    }
    // At most MAX_DIGITS digits are kept, which fit.
    let whole = usize::try_from(whole.max(0)).unwrap_or(0);
    let kept = &digits[..whole.min(digits.len())];
    let mut value = kept.iter().fold(0i128, |value, digit| value * 10 + i128::from(*digit));
    for _ in kept.len()..whole {
        value *= 10;
    }
    Ok(value + i128::from(digits[kept.len()..].iter().any(|digit| *digit != 0)))
}

impl FromStr for Amount {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl TryFrom<&Quantity> for Amount {
    type Error = QuantityError;

    fn try_from(quantity: &Quantity) -> Result<Self, Self::Error> {
        Self::parse(&quantity.0)
    }
}

/// In decimal, with the coarsest of the suffixes `""`, `m`, `u`, `n` that loses nothing.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (step, suffix) in [(NANOS, ""), (NANOS_PER_MILLI, "m"), (1_000, "u")] {
            if self.nanos % step == 0 {
                return write!(f, "{}{suffix}", self.nanos / step);
            }
        }
        write!(f, "{}n", self.nanos)
    }
}

/// A number of bytes in Kubernetes' canonical form: with the largest suffix that leaves a whole number, powers of 1024
/// or of 1000 as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize {
    bytes: u64,
    step: u64,
}

impl ByteSize {
    /// `bytes`, shown with the kind of suffix that `written` has.
    pub fn in_the_form_of(written: &Quantity, bytes: u64) -> Self {
        Self { bytes, step: if written.0.ends_with('i') { 1024 } else { 1000 } }
    }

    /// `bytes`, shown with powers of 1024.
    pub fn binary(bytes: u64) -> Self {
        Self { bytes, step: 1024 }
    }

    /// The number.
    pub fn bytes(self) -> u64 {
        self.bytes
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suffixes = if self.step == 1024 { &BINARY_SUFFIXES } else { &DECIMAL_SUFFIXES };
        let mut rest = self.bytes;
        let mut suffix = "";
        for next in suffixes {
            if rest == 0 || !rest.is_multiple_of(self.step) {
                break;
            }
            rest /= self.step;
            suffix = next;
        }
        write!(f, "{rest}{suffix}")
    }
}

#[cfg(test)]
mod tests;
