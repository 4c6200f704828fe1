//! Containers' lines on standard output.
//!
//! One container in all: its bytes, as they are. Several: each line behind an aligned `pod/container | `, in a colour
//! of its own on a terminal. Bytes are passed through as they are, UTF-8 or not.
//!
//! A line that a guest has not finished yet (`partial`) stays open: when the same stream goes on, so does the line;
//! when another one writes first, the line is broken, as otherwise two containers' words would stand on it.

use std::collections::BTreeSet;
use std::io::{self, Write};

use super::paint;

/// Colours that can be told apart on dark and light backgrounds; red is left to errors.
const COLORS: [&str; 10] = ["36", "33", "32", "35", "34", "96", "93", "92", "95", "94"];

/// A container, by its names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ContainerName {
    pub(crate) namespace: String,
    pub(crate) pod: String,
    pub(crate) container: String,
}

/// How containers are named in front of their lines.
#[derive(Clone, Debug)]
pub(crate) struct Prefixes {
    /// In the order of the manifests, which is the order of the colours.
    containers: Vec<ContainerName>,
    with_namespace: bool,
    width: usize,
    color: bool,
}

impl Prefixes {
    /// Prefixes for a run of these containers.
    pub(crate) fn new(containers: Vec<ContainerName>, color: bool) -> Self {
        let pods: BTreeSet<_> = containers.iter().map(|c| (&c.namespace, &c.pod)).collect();
        let names: BTreeSet<_> = containers.iter().map(|c| &c.pod).collect();
        let with_namespace = pods.len() > names.len();
        let mut prefixes = Self { containers, with_namespace, width: 0, color };
        prefixes.width = prefixes.containers.iter().map(|c| prefixes.name(c).len()).max().unwrap_or(0);
        prefixes
    }

    /// `pod/container`; the namespace comes in front when two pods have the same name.
    pub(crate) fn name(&self, container: &ContainerName) -> String {
        let ContainerName { namespace, pod, container } = container;
        if self.with_namespace { format!("{namespace}/{pod}/{container}") } else { format!("{pod}/{container}") }
    }

    /// Whether it is the only container of the run. One that came to it later is told from that.
    fn plain(&self, container: &ContainerName) -> bool {
        match self.containers.as_slice() {
            [] => true,
            [only] => only == container,
            _ => false,
        }
    }

    /// What stands in front of a line; nothing when there is one container in all.
    fn prefix(&self, container: &ContainerName) -> String {
        if self.plain(container) {
            return String::new();
        }
        let position = self.containers.iter().position(|c| c == container).unwrap_or(self.containers.len());
        let color = COLORS.get(position % COLORS.len()).copied().unwrap_or_default();
        let width = self.width;
        let name = self.name(container);
        paint(self.color, color, &format!("{name:<width$} |")) + " "
    }
}

/// Writes containers' lines.
pub(crate) struct LogPrinter<W> {
    out: W,
    prefixes: Prefixes,
    /// Whose line is open.
    open: Option<(ContainerName, &'static str)>,
}

impl<W: Write> LogPrinter<W> {
    /// A printer that writes to `out`.
    pub(crate) fn new(out: W, prefixes: Prefixes) -> Self {
        Self { out, prefixes, open: None }
    }

    /// Writes a line without its newline, or, when it is `partial`, the beginning or the middle of one. `stream` is
    /// `stdout` or `stderr`. What is written may stay in a buffer until [`Self::flush`].
    ///
    /// # Errors
    /// When `out` fails.
    pub(crate) fn line(
        &mut self,
        container: &ContainerName,
        stream: &'static str,
        bytes: &[u8],
        partial: bool,
    ) -> io::Result<()> {
        let goes_on = self.open.as_ref().is_some_and(|(open, of)| open == container && *of == stream);
        if !goes_on {
            self.close_before(Some(container))?;
            self.out.write_all(self.prefixes.prefix(container).as_bytes())?;
        }
        self.out.write_all(bytes)?;
        if partial {
            self.open = Some((container.clone(), stream));
        } else {
            self.open = None;
            self.out.write_all(b"\n")?;
        }
        Ok(())
    }

    /// Ends an open line, except where bytes are passed through as they are.
    ///
    /// # Errors
    /// When `out` fails.
    pub(crate) fn close(&mut self) -> io::Result<()> {
        self.close_before(None)
    }

    fn close_before(&mut self, next: Option<&ContainerName>) -> io::Result<()> {
        let Some((open, _)) = self.open.take() else { return Ok(()) };
        let of_one = next.is_none_or(|next| *next == open) && self.prefixes.plain(&open);
        if of_one { Ok(()) } else { self.out.write_all(b"\n") }
    }

    /// Writes a JSON line, newline included.
    ///
    /// # Errors
    /// When `out` fails.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)
    }

    /// Hands on what is in the buffer.
    ///
    /// # Errors
    /// When `out` fails.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// How containers are named.
    pub(crate) fn prefixes(&self) -> &Prefixes {
        &self.prefixes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(namespace: &str, pod: &str, container: &str) -> ContainerName {
        ContainerName { namespace: namespace.into(), pod: pod.into(), container: container.into() }
    }

    fn print(containers: &[&ContainerName], color: bool, lines: &[(&ContainerName, &[u8], bool)]) -> Vec<u8> {
        let prefixes = Prefixes::new(containers.iter().map(|c| (*c).clone()).collect(), color);
        let mut out = Vec::new();
        let mut printer = LogPrinter::new(&mut out, prefixes);
        for (container, bytes, partial) in lines {
            printer.line(container, "stdout", bytes, *partial).unwrap();
        }
        printer.close().unwrap();
        out
    }

    #[test]
    fn one_container_is_plain_and_its_bytes_are_kept() {
        let only = name("default", "p", "c");
        assert_eq!(print(&[&only], true, &[(&only, b"\xff\x00 raw", false)]), b"\xff\x00 raw\n");
    }

    #[test]
    fn one_container_gets_no_newline_that_it_did_not_write() {
        let only = name("default", "p", "c");
        assert_eq!(print(&[&only], false, &[(&only, b"no newline", true)]), b"no newline");
    }

    #[test]
    fn one_that_comes_later_is_told_from_the_only_one() {
        let (only, late) = (name("default", "p", "c"), name("default", "p", "debug"));
        let out = print(&[&only], false, &[(&only, b"be", true), (&late, b"x", false), (&only, b"gin", true)]);
        assert_eq!(String::from_utf8(out).unwrap(), "be\np/debug | x\ngin");
    }

    #[test]
    fn prefixes_are_aligned() {
        let (a, b) = (name("default", "web", "app"), name("default", "web", "log-shipper"));
        let out = print(&[&a, &b], false, &[(&a, b"one", false), (&b, b"two", false)]);
        assert_eq!(String::from_utf8(out).unwrap(), "web/app         | one\nweb/log-shipper | two\n");
    }

    #[test]
    fn pods_of_one_name_are_told_apart_by_namespace() {
        let (a, b) = (name("blue", "web", "app"), name("green", "web", "app"));
        let out = print(&[&a, &b], false, &[(&a, b"1", false), (&b, b"2", false)]);
        assert_eq!(String::from_utf8(out).unwrap(), "blue/web/app  | 1\ngreen/web/app | 2\n");
    }

    #[test]
    fn only_the_prefix_is_coloured() {
        let (a, b) = (name("default", "p", "a"), name("default", "p", "b"));
        let out = print(&[&a, &b], true, &[(&b, b"x", false)]);
        assert_eq!(String::from_utf8(out).unwrap(), "\x1b[33mp/b |\x1b[0m x\n");
    }

    #[test]
    fn an_open_line_goes_on_unless_another_container_writes() {
        let (a, b) = (name("default", "p", "a"), name("default", "p", "b"));
        let alone = print(&[&a, &b], false, &[(&a, b"be", true), (&a, b"gin", false)]);
        assert_eq!(String::from_utf8(alone).unwrap(), "p/a | begin\n");
        let broken = print(&[&a, &b], false, &[(&a, b"be", true), (&b, b"x", false), (&a, b"gin", true)]);
        assert_eq!(String::from_utf8(broken).unwrap(), "p/a | be\np/b | x\np/a | gin\n");
    }
}
