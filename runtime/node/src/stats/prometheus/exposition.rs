//! Writes the text format: families of samples, each with its help and its type.
//!
//! A writer of our own, since values have times, and few libraries write those.

use std::fmt::Write as _;

use jiff::Timestamp;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// What kind of metric it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

/// A value. Nothing here needs a float, so nothing is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// A number.
    Count(u64),
    /// Nanoseconds, written as seconds.
    Nanos(u64),
}

impl Value {
    /// A time, as the seconds since 1970.
    pub(super) fn time(time: Timestamp) -> Self {
        Self::Nanos(u64::try_from(time.as_nanosecond()).unwrap_or(0))
    }
}

/// The text so far.
#[derive(Debug, Default)]
pub(super) struct Exposition {
    text: String,
}

/// A family that samples are added to. Without samples, nothing of it is written.
pub(super) struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
    kind: Kind,
    help: &'static str,
    begun: bool,
}

impl Exposition {
    /// Begins a family; each name once.
    pub(super) fn family(&mut self, name: &'static str, kind: Kind, help: &'static str) -> Family<'_> {
        Family { text: &mut self.text, name, kind, help, begun: false }
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}

impl Family<'_> {
    /// Adds a sample.
    pub(super) fn sample<'l>(
        &mut self,
        labels: impl IntoIterator<Item = (&'l str, &'l str)>,
        value: Value,
        time: Option<Timestamp>,
    ) {
        // Writing to a string cannot fail.
        let _ = self.write(labels, value, time);
    }

    fn write<'l>(
        &mut self,
        labels: impl IntoIterator<Item = (&'l str, &'l str)>,
        value: Value,
        time: Option<Timestamp>,
    ) -> std::fmt::Result {
        let (text, name) = (&mut *self.text, self.name);
        if !std::mem::replace(&mut self.begun, true) {
            writeln!(text, "# HELP {name} {}\n# TYPE {name} {}", self.help, self.kind.as_str())?;
        }
        text.push_str(name);
        let mut separator = '{';
        for (label, value) in labels {
            write!(text, "{separator}{label}=\"")?;
            escape(text, value);
            text.push('"');
            separator = ',';
        }
        if separator == ',' {
            text.push('}');
        }
        match value {
            Value::Count(count) => write!(text, " {count}")?,
            Value::Nanos(nanos) => {
                let fraction = format!("{:09}", nanos % NANOS_PER_SECOND);
                let fraction = fraction.trim_end_matches('0');
                let dot = if fraction.is_empty() { "" } else { "." };
                write!(text, " {}{dot}{fraction}", nanos / NANOS_PER_SECOND)?;
            }
        }
        match time {
            Some(time) => writeln!(text, " {}", time.as_millisecond()),
            None => writeln!(text),
        }
    }
}

/// As label values are written: names of images and nodes may hold anything.
fn escape(text: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_exact_and_labels_escaped() {
        let mut exposition = Exposition::default();
        exposition.family("empty", Kind::Gauge, "None.").sample([], Value::Count(u64::MAX), None);
        exposition.family("unused", Kind::Gauge, "Nothing.");
        let mut family = exposition.family("a_seconds_total", Kind::Counter, "Some.");
        family.sample(
            [("l", "a\"b\\c\nd"), ("m", "")],
            Value::Nanos(1_500_000_001),
            Timestamp::from_millisecond(7).ok(),
        );
        family.sample([("l", "x")], Value::Nanos(2_000_000_000), None);
        let expected = "# HELP empty None.\n# TYPE empty gauge\nempty 18446744073709551615\n\
                        # HELP a_seconds_total Some.\n# TYPE a_seconds_total counter\n\
                        a_seconds_total{l=\"a\\\"b\\\\c\\nd\",m=\"\"} 1.500000001 7\na_seconds_total{l=\"x\"} 2\n";
        assert_eq!(exposition.into_text(), expected);
    }
}
