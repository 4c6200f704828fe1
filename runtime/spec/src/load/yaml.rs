//! YAML text to trees.
//!
//! ```text
//! text ──split at `---`──► chunks ──saphyr-parser──► events ──Builder──► Node per document
//! ```
//!
//! Documents are split before they are parsed, as `kubectl` does it: a syntax error ends its own document only, and the
//! documents after it are still checked. `---` at the start of a line cannot be part of a document's content (YAML
//! 1.2.2, 9.1.2), so nothing is split that belongs together.

use std::collections::BTreeMap;
use std::rc::Rc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, Tag};

use super::merge;
use super::node::{Entry, Mark, NODE_WEIGHT, Node, NodeValue, Scalar, ScalarKind};
use super::scalar::{resolve, resolve_tagged};
use super::text::SyntaxError;

/// Deeper nesting is refused: no Kubernetes object comes near it, and recursion over a tree is bounded by it.
pub(crate) const MAX_DEPTH: usize = 128;

/// More documents in one source are refused.
pub(crate) const MAX_DOCUMENTS: usize = 10_000;

/// Longer field names are refused; Kubernetes has none over 320 bytes outside of `managedFields`.
const MAX_KEY_BYTES: usize = 4096;

/// What the documents of one source may weigh with their aliases written out (see [`Node::weight`]). It stops alias
/// bombs ("billion laughs").
pub(crate) const MAX_WEIGHT: usize = 64 << 20;

/// Parses all documents; empty ones are left out.
pub(crate) fn parse(text: &str) -> (Vec<Rc<Node>>, Vec<SyntaxError>) {
    let mut documents = Vec::new();
    let mut errors = Vec::new();
    let mut weight = 0;
    for chunk in chunks(text) {
        let mut builder = Builder { first_line: chunk.first_line, weight, ..Builder::default() };
        if let Err(error) = builder.run(chunk.text) {
            errors.push(error);
        }
        weight = builder.weight;
        documents.append(&mut builder.documents);
        let too_many = documents.len() > MAX_DOCUMENTS;
        if too_many {
            let mark = documents.get(MAX_DOCUMENTS).map_or(Mark { line: 1, column: 1 }, |node| node.mark);
            documents.truncate(MAX_DOCUMENTS);
            let message = format!("too many documents: at most {MAX_DOCUMENTS} are read");
            errors.push(SyntaxError::new(mark, message).hint("split them into several files"));
        }
        if too_many || weight > MAX_WEIGHT {
            break;
        }
    }
    (documents, errors)
}

struct Chunk<'a> {
    text: &'a str,
    /// The lines before it.
    first_line: usize,
}

/// Splits before each `---` line; directives and comments stay with the document they introduce.
fn chunks(text: &str) -> Vec<Chunk<'_>> {
    let mut chunks = Vec::new();
    let (mut start, mut start_line) = (0, 0);
    let mut has_content = false;
    let mut at = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let is_marker =
            line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']));
        if is_marker && has_content {
            chunks.push(Chunk { text: &text[start..at], first_line: start_line });
            (start, start_line) = (at, number);
        }
        has_content |= is_marker || !(line.trim().is_empty() || line.starts_with(['#', '%']));
        at += line.len();
    }
    chunks.push(Chunk { text: &text[start..], first_line: start_line });
    chunks
}

/// Builds trees from the events of one chunk.
#[derive(Default)]
struct Builder {
    first_line: usize,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Rc<Node>>,
    documents: Vec<Rc<Node>>,
    weight: usize,
}

/// A list or map whose end has not come.
enum Open {
    List {
        mark: Mark,
        anchor: usize,
        items: Vec<Rc<Node>>,
    },
    Map {
        mark: Mark,
        anchor: usize,
        entries: Vec<Entry>,
        key: Option<(String, Mark, bool)>,
        merges: Vec<(Mark, Rc<Node>)>,
    },
}

impl Builder {
    fn run(&mut self, text: &str) -> Result<(), SyntaxError> {
        let mut parser = Parser::new_from_str(text);
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(|error| self.syntax_error(&error))?;
            self.event(event, span)?;
        }
        Ok(())
    }

    fn mark(&self, marker: Marker) -> Mark {
        Mark { line: marker.line() + self.first_line, column: marker.col() + 1 }
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), SyntaxError> {
        let mark = self.mark(span.start);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                let kind =
                    scalar_kind(&text, plain, tag.as_deref()).map_err(|message| SyntaxError::new(mark, message))?;
                let node = Rc::new(Node::scalar(mark, Scalar { text: text.into_owned(), kind }));
                if let (true, NodeValue::Scalar(scalar)) = (self.awaits_key(), &node.value) {
                    self.name(anchor, &node);
                    return self.key(scalar.text.clone(), plain, kind, mark);
                }
                self.charge(mark, node.weight)?;
                self.value(node, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                self.start(mark, tag.as_deref(), "seq")?;
                self.charge(mark, NODE_WEIGHT)?;
                self.open.push(Open::List { mark, anchor, items: Vec::new() });
                Ok(())
            }
            Event::MappingStart(anchor, tag) => {
                self.start(mark, tag.as_deref(), "map")?;
                self.charge(mark, NODE_WEIGHT)?;
                self.open.push(Open::Map { mark, anchor, entries: Vec::new(), key: None, merges: Vec::new() });
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::List { mark, anchor, items }) => self.value(Rc::new(Node::list(mark, items)), anchor),
                Some(Open::Map { mark, anchor, mut entries, merges, .. }) => {
                    for (mark, merged) in &merges {
                        self.charge(*mark, merged.weight)?;
                    }
                    merge::apply(&mut entries, merges)?;
                    self.value(Rc::new(Node::map(mark, entries)), anchor)
                }
                None => Ok(()),
            },
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return Err(SyntaxError::new(mark, "an alias to a value that contains it")
                        .hint("an alias (*name) can only repeat a value that has ended before it"));
                };
                if self.awaits_key() {
                    let NodeValue::Scalar(scalar) = &node.value else { return Err(complex_key(mark)) };
                    return self.key(scalar.text.clone(), false, ScalarKind::String, mark);
                }
                self.charge(mark, node.weight)?;
                self.value(node, 0)
            }
            Event::DocumentStart(_) => {
                self.anchors.clear();
                Ok(())
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn awaits_key(&self) -> bool {
        matches!(self.open.last(), Some(Open::Map { key: None, .. }))
    }

    fn start(&self, mark: Mark, tag: Option<&Tag>, own: &str) -> Result<(), SyntaxError> {
        if self.awaits_key() {
            return Err(complex_key(mark));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(SyntaxError::new(mark, format!("nested too deep: at most {MAX_DEPTH} levels are read")));
        }
        match tag {
            Some(tag) if !(tag.is_yaml_core_schema() && tag.suffix == own) => {
                Err(SyntaxError::new(mark, unknown_tag(tag)))
            }
            _ => Ok(()),
        }
    }

    fn key(&mut self, text: String, plain: bool, kind: ScalarKind, mark: Mark) -> Result<(), SyntaxError> {
        check_key(&text, mark)?;
        let is_merge = plain && text == "<<";
        let renamed = match kind {
            ScalarKind::String => None,
            ScalarKind::Null => Some("null".to_owned()),
            ScalarKind::Bool(value) => Some(value.to_string()),
            ScalarKind::Integer(value) => Some(value.to_string()),
            ScalarKind::Float(value) => Some(value.to_string()),
        };
        if let Some(renamed) = renamed.filter(|renamed| *renamed != text) {
            let message = format!("Kubernetes reads the unquoted key {text:?} as {renamed:?}");
            return Err(SyntaxError::new(mark, message).hint(format!("quote it: {text:?}")));
        }
        self.charge(mark, text.len())?;
        if let Some(Open::Map { key, .. }) = self.open.last_mut() {
            *key = Some((text, mark, is_merge));
        }
        Ok(())
    }

    fn value(&mut self, node: Rc<Node>, anchor: usize) -> Result<(), SyntaxError> {
        self.name(anchor, &node);
        match self.open.last_mut() {
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, merges, .. }) => match key.take() {
                Some((_, mark, true)) => merges.push((mark, node)),
                Some((key, mark, false)) => entries.push(Entry { key, mark, node }),
                None => {}
            },
            None => {
                if !node.is_null() {
                    self.documents.push(node);
                }
            }
        }
        Ok(())
    }

    /// Remembers an anchor's value; 0 stands for none.
    fn name(&mut self, anchor: usize, node: &Rc<Node>) {
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(node));
        }
    }

    fn charge(&mut self, mark: Mark, weight: usize) -> Result<(), SyntaxError> {
        self.weight = self.weight.saturating_add(weight);
        if self.weight > MAX_WEIGHT {
            return Err(SyntaxError::new(mark, "too large when its aliases are written out"));
        }
        Ok(())
    }

    fn syntax_error(&self, error: &saphyr_parser::ScanError) -> SyntaxError {
        let (message, hint) = super::words::explain(error.info());
        let error = SyntaxError::new(self.mark(*error.marker()), message);
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

/// Field names end up in every path below them, so that a long one is multiplied by what is wrong there.
pub(crate) fn check_key(key: &str, mark: Mark) -> Result<(), SyntaxError> {
    if key.len() > MAX_KEY_BYTES {
        return Err(SyntaxError::new(mark, format!("a field name too long: at most {MAX_KEY_BYTES} bytes are read")));
    }
    Ok(())
}

fn complex_key(mark: Mark) -> SyntaxError {
    SyntaxError::new(mark, "a list or map cannot be a field name")
        .hint("if this is a template ({{ … }}), render it first; if it is text, quote it")
}

fn unknown_tag(tag: &Tag) -> String {
    let name = if tag.is_yaml_core_schema() { format!("!!{}", tag.suffix) } else { tag.to_string() };
    format!("the tag {name} does not fit this value")
}

fn scalar_kind(text: &str, plain: bool, tag: Option<&Tag>) -> Result<ScalarKind, String> {
    match tag {
        None if plain => Ok(resolve(text)),
        None => Ok(ScalarKind::String),
        // The non-specific tag: not to be resolved.
        Some(tag) if tag.suffix.is_empty() || (tag.handle.is_empty() && tag.suffix == "!") => Ok(ScalarKind::String),
        Some(tag) if tag.is_yaml_core_schema() => resolve_tagged(&tag.suffix, text).ok_or_else(|| unknown_tag(tag)),
        Some(tag) => Err(unknown_tag(tag)),
    }
}
