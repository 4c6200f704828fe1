//! What the user sees: terminals and colours, tables, sizes, progress, log lines, JSON lines.

pub(crate) mod json;
pub(crate) mod log;
pub(crate) mod progress;
pub(crate) mod size;
pub(crate) mod table;
pub(crate) mod usage;
pub(crate) mod usage_json;

use std::borrow::Cow;
use std::io::{self, IsTerminal as _, Write};

use serde::Serialize;

use crate::error::CliError;

const RED: &str = "31";
const YELLOW: &str = "33";
const CYAN: &str = "36";

/// What is known about one of the process' streams.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stream {
    /// Whether a person looks at it.
    pub(crate) terminal: bool,
    /// Whether to use colours: on a terminal, unless `NO_COLOR` (no-color.org) or a dumb terminal says otherwise.
    pub(crate) color: bool,
}

/// Standard output and standard error.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Streams {
    pub(crate) stdout: Stream,
    pub(crate) stderr: Stream,
}

impl Streams {
    /// Looks at the process' own streams.
    pub(crate) fn detect() -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        let stream = |terminal: bool| Stream { terminal, color: terminal && !no_color && !dumb };
        Self { stdout: stream(io::stdout().is_terminal()), stderr: stream(io::stderr().is_terminal()) }
    }

    /// `error: …` on standard error.
    pub(crate) fn say_error(&self, text: &str) {
        self.say_labelled("error", RED, text);
    }

    /// `warning: …` on standard error.
    pub(crate) fn say_warning(&self, text: &str) {
        self.say_labelled("warning", YELLOW, text);
    }

    /// `hint: …` on standard error, below what it is about.
    pub(crate) fn say_hint(&self, text: &str) {
        self.say_labelled("  hint", CYAN, text);
    }

    /// A line on standard error.
    pub(crate) fn say(&self, text: &str) {
        write_stderr(&printable(text));
    }

    fn say_labelled(&self, label: &str, color: &str, text: &str) {
        write_stderr(&format!("{} {}", paint(self.stderr.color, color, &format!("{label}:")), printable(text)));
    }
}

/// Nobody is left to be told that standard error is closed.
fn write_stderr(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// `text` in a colour, if colours are wanted.
pub(crate) fn paint(color: bool, code: &str, text: &str) -> String {
    if color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// Text for a terminal: guests, registries and manifests must not move its cursor in nacelle's name.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    let harmless = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    if text.chars().all(harmless) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().flat_map(|c| if harmless(c) { vec![c] } else { c.escape_default().collect() }).collect())
}

/// `1 error`, `2 errors`.
pub(crate) fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// Writes a command's whole result to standard output.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn print(text: &str) -> Result<(), CliError> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(CliError::output)
}

/// Writes a command's whole result as a JSON document.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), CliError> {
    let mut text = serde_json::to_string_pretty(value).map_err(|error| CliError::output(error.into()))?;
    text.push('\n');
    print(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_and_not_obeyed() {
        assert_eq!(printable("two\nlines\tand a tab"), "two\nlines\tand a tab");
        assert_eq!(printable("\x1b[2Jgone\r"), "\\u{1b}[2Jgone\\r");
    }
}
