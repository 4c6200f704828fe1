//! What an unquoted YAML scalar means.
//!
//! Kubernetes reads manifests with YAML 1.1's rules (sigs.k8s.io/yaml), and so must this: `defaultMode: 0644` is
//! octal, and `yes` is a boolean. A YAML 1.2 reading would take the same file for another pod.

use super::node::{Scalar, ScalarKind};

/// Reads a plain (unquoted, untagged) scalar.
pub(crate) fn resolve(text: &str) -> ScalarKind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => ScalarKind::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => ScalarKind::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => ScalarKind::Bool(false),
        ".nan" | ".NaN" | ".NAN" => ScalarKind::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => ScalarKind::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => ScalarKind::Float(f64::NEG_INFINITY),
        _ => number(text).unwrap_or(ScalarKind::String),
    }
}

/// Reads a scalar that carries one of YAML's own tags (`!!int` and so on); `None` for a tag that means nothing here or
/// does not fit the text.
pub(crate) fn resolve_tagged(suffix: &str, text: &str) -> Option<ScalarKind> {
    let kind = resolve(text);
    match (suffix, kind) {
        ("str", _) => Some(ScalarKind::String),
        ("null", ScalarKind::Null) | ("bool", ScalarKind::Bool(_)) | ("int", ScalarKind::Integer(_)) => Some(kind),
        ("float", ScalarKind::Float(_) | ScalarKind::Integer(_)) => Some(kind),
        _ => None,
    }
}

fn number(text: &str) -> Option<ScalarKind> {
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return None;
    }
    let plain: String = text.chars().filter(|c| *c != '_').collect();
    if let Some(integer) = integer(&plain) {
        return Some(ScalarKind::Integer(integer));
    }
    if is_float(&plain) { plain.parse().ok().map(ScalarKind::Float) } else { None }
}

fn integer(plain: &str) -> Option<i128> {
    let (negative, digits) = match plain.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, plain.strip_prefix('+').unwrap_or(plain)),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = if let Some(hex) = lower.strip_prefix("0x") {
        (16, hex)
    } else if let Some(binary) = lower.strip_prefix("0b") {
        (2, binary)
    } else if let Some(octal) = lower.strip_prefix("0o") {
        (8, octal)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, &lower[1..])
    } else {
        (10, lower.as_str())
    };
    if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) {
        return None;
    }
    let magnitude = i128::from_str_radix(digits, radix).ok()?;
    let value = if negative { -magnitude } else { magnitude };
    (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&value).then_some(value)
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(plain: &str) -> bool {
    let unsigned = plain.strip_prefix(['-', '+']).unwrap_or(plain);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let mantissa_fits = match mantissa.split_once('.') {
        Some((whole, fraction)) => {
            all_digits(whole) && all_digits(fraction) && !(whole.is_empty() && fraction.is_empty())
        }
        None => !mantissa.is_empty() && all_digits(mantissa),
    };
    let exponent_fits = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !digits.is_empty() && all_digits(digits)
    });
    mantissa_fits && exponent_fits
}

impl Scalar {
    /// An unquoted scalar.
    pub(crate) fn plain(text: String) -> Self {
        Self { kind: resolve(&text), text }
    }

    /// A quoted one.
    pub(crate) fn string(text: String) -> Self {
        Self { text, kind: ScalarKind::String }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_kubernetes_reads_them() {
        for (text, value) in [
            ("0", 0),
            ("8080", 8080),
            ("-1", -1),
            ("+7", 7),
            ("0644", 0o644),
            ("0o644", 0o644),
            ("0x1F", 31),
            ("0b101", 5),
            ("1_000", 1000),
            ("18446744073709551615", i128::from(u64::MAX)),
        ] {
            assert_eq!(resolve(text), ScalarKind::Integer(value), "{text}");
        }
        for (text, value) in [("0.5", 0.5), (".5", 0.5), ("1.", 1.0), ("1e3", 1000.0), ("08", 8.0), ("-2.5E-1", -0.25)]
        {
            assert_eq!(resolve(text), ScalarKind::Float(value), "{text}");
        }
    }

    #[test]
    fn what_only_looks_like_a_number_is_a_string() {
        for text in
            ["1.2.3", "100m", "1Gi", "-", "+", ".", "1e", "0x", "0xzz", "12:30", "2026-01-01", "-a", "0-0", "..."]
        {
            assert_eq!(resolve(text), ScalarKind::String, "{text}");
        }
    }

    #[test]
    fn booleans_and_nulls_are_those_of_yaml_1_1() {
        assert_eq!(resolve("yes"), ScalarKind::Bool(true));
        assert_eq!(resolve("off"), ScalarKind::Bool(false));
        assert_eq!(resolve("~"), ScalarKind::Null);
        assert_eq!(resolve("nil"), ScalarKind::String);
        assert_eq!(resolve("tRue"), ScalarKind::String);
    }

    #[test]
    fn tags_decide() {
        assert_eq!(resolve_tagged("str", "12"), Some(ScalarKind::String));
        assert_eq!(resolve_tagged("int", "12"), Some(ScalarKind::Integer(12)));
        assert_eq!(resolve_tagged("int", "x"), None);
        assert_eq!(resolve_tagged("binary", "eA=="), None);
    }
}
