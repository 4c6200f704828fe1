//! One record of the CRI log format: `2016-10-06T00:17:09.669794202Z stdout F line`.

use std::io::Write as _;

use bytes::Bytes;
use jiff::Timestamp;

use super::{LogLine, MAX_LINE};
use crate::output::Stream;

/// The most bytes of one record, its newline included: the prefix needs fewer than 64.
pub const MAX_RECORD: usize = MAX_LINE + 64;

/// Why a line of a log file is not a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// A field is missing: the record was cut short, or this is no CRI log.
    #[error("not a CRI log record: expected `TIME STREAM TAG TEXT`")]
    Shape,
    /// The first field.
    #[error("{0:?} is not an RFC 3339 time")]
    Time(String),
    /// The second field.
    #[error("{0:?} is not a stream: expected stdout or stderr")]
    Stream(String),
    /// The third field.
    #[error("{0:?} is not a tag: expected F or P")]
    Tag(String),
    /// Longer than any record can be.
    #[error("longer than {MAX_RECORD} bytes")]
    TooLong,
}

/// Appends one record, its newline included, to `record`.
pub fn write(line: &LogLine, record: &mut Vec<u8>) {
    let stream = match line.stream {
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
    };
    let tag = if line.partial { 'P' } else { 'F' };
    // Nine digits always: records then sort by time as text. Writing to a Vec cannot fail.
    let _ = write!(record, "{:.9} {stream} {tag} ", line.time);
    record.extend_from_slice(&line.bytes);
    record.push(b'\n');
}

/// Reads one record, given without its newline.
///
/// # Errors
/// [`ParseError`] when it is not one.
pub fn parse(record: &Bytes) -> Result<LogLine, ParseError> {
    let mut fields = record.splitn(4, |byte| *byte == b' ');
    let (Some(time), Some(stream), Some(tag), Some(text)) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(ParseError::Shape);
    };
    let shown = |field: &[u8]| String::from_utf8_lossy(field.get(..40).unwrap_or(field)).into_owned();
    let time = std::str::from_utf8(time)
        .ok()
        .and_then(|time| time.parse::<Timestamp>().ok())
        .ok_or_else(|| ParseError::Time(shown(time)))?;
    let stream = match stream {
        b"stdout" => Stream::Stdout,
        b"stderr" => Stream::Stderr,
        _ => return Err(ParseError::Stream(shown(stream))),
    };
    // The CRI allows further tags after a colon.
    let partial = match tag.split(|byte| *byte == b':').next() {
        Some(b"F") => false,
        Some(b"P") => true,
        _ => return Err(ParseError::Tag(shown(tag))),
    };
    Ok(LogLine { stream, time, partial, bytes: record.slice_ref(text) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn writes_the_documented_form() {
        let line = LogLine {
            stream: Stream::Stdout,
            time: "2016-10-06T00:17:09.6697942Z".parse().unwrap(),
            partial: false,
            bytes: Bytes::from_static(b"hello  world"),
        };
        let mut record = Vec::new();
        write(&line, &mut record);
        assert_eq!(record, b"2016-10-06T00:17:09.669794200Z stdout F hello  world\n");
    }

    #[test]
    fn reads_what_other_runtimes_write() {
        let record = Bytes::from_static(b"2016-10-06T02:17:10.1+02:00 stderr P:x ");
        let line = parse(&record).unwrap();
        assert_eq!(line.time, "2016-10-06T00:17:10.1Z".parse().unwrap());
        assert_eq!((line.stream, line.partial, &line.bytes[..]), (Stream::Stderr, true, &b""[..]));
    }

    #[test]
    fn says_what_is_wrong() {
        let error = |record: &'static str| parse(&Bytes::from_static(record.as_bytes())).unwrap_err();
        assert_eq!(error("2016-10-06T00:17:09Z stdout F"), ParseError::Shape);
        assert_eq!(error("yesterday stdout F x"), ParseError::Time("yesterday".into()));
        assert_eq!(error("2016-10-06T00:17:09Z stdin F x"), ParseError::Stream("stdin".into()));
        assert_eq!(error("2016-10-06T00:17:09Z stdout X x"), ParseError::Tag("X".into()));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            seconds in 0i64..4_000_000_000, nanos in 0i32..1_000_000_000, stdout: bool, partial: bool,
            text in prop::collection::vec(any::<u8>().prop_filter("newline", |b| *b != b'\n'), 0..100),
        ) {
            let line = LogLine {
                stream: if stdout { Stream::Stdout } else { Stream::Stderr },
                time: Timestamp::new(seconds, nanos).unwrap(),
                partial,
                bytes: text.into(),
            };
            let mut record = Vec::new();
            write(&line, &mut record);
            prop_assert!(record.len() <= MAX_RECORD);
            prop_assert_eq!(record.pop(), Some(b'\n'));
            prop_assert_eq!(parse(&record.into()).unwrap(), line);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse(&bytes.into());
        }
    }
}
