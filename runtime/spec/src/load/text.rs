//! From bytes to text that a parser may see.

use super::node::Mark;

/// A larger source is refused. etcd, and so Kubernetes, takes objects up to 1.5 MiB.
pub(crate) const MAX_SOURCE_BYTES: usize = 8 << 20;

/// Why a text cannot be read: not YAML, not JSON, or out of bounds.
#[derive(Debug)]
pub(crate) struct SyntaxError {
    pub(crate) mark: Mark,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl SyntaxError {
    pub(crate) fn new(mark: Mark, message: impl Into<String>) -> Self {
        Self { mark, message: message.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Where a text starts.
pub(crate) const START: Mark = Mark { line: 1, column: 1 };

/// The text without its byte order mark.
pub(crate) fn decode(bytes: &[u8]) -> Result<&str, SyntaxError> {
    if bytes.len() > MAX_SOURCE_BYTES {
        let message = format!("too large: {} bytes, at most {MAX_SOURCE_BYTES} are read", bytes.len());
        return Err(SyntaxError::new(START, message).hint("split it into several files"));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(SyntaxError::new(START, "is UTF-16 text").hint("save it as UTF-8"));
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let mark = end_of(&String::from_utf8_lossy(valid));
            return Err(SyntaxError::new(mark, "is not UTF-8 text").hint("save it as UTF-8"));
        }
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if let Some((at, unprintable)) = text.char_indices().find(|(_, c)| !printable(*c)) {
        let message = format!("contains the unprintable character U+{:04X}", u32::from(unprintable));
        return Err(SyntaxError::new(end_of(&text[..at]), message)
            .hint("remove it, or write it as an escape in a double-quoted string"));
    }
    Ok(text)
}

/// YAML 1.2.2, 5.1. The byte order mark is left out: a second one is most often a file joined to another.
fn printable(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}'
        | '\u{ff00}'..='\u{fffd}' | '\u{10000}'..)
}

/// Where what follows `before` stands.
pub(crate) fn end_of(before: &str) -> Mark {
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let last = before.rsplit('\n').next().unwrap_or(before);
    Mark { line, column: last.chars().count() + 1 }
}
