//! JSON text to trees: one value after the other, as `kubectl get -o json` and its likes write them.
//!
//! YAML takes almost all JSON, but neither several values in a row nor surrogate pairs in escapes.

use std::rc::Rc;

use super::node::{Entry, Mark, Node, Scalar};
use super::text::{SyntaxError, end_of};
use super::yaml::{MAX_DEPTH, MAX_DOCUMENTS, MAX_WEIGHT, check_key};

/// Whether a text is to be tried as JSON first. `{` also opens YAML's flow maps.
pub(crate) fn looks_like_json(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

/// Parses all values. An error ends it: without line structure there is nothing to take up again at.
pub(crate) fn parse(text: &str) -> (Vec<Rc<Node>>, Vec<SyntaxError>) {
    let mut reader = Reader { text, at: 0, seen: (0, Mark { line: 1, column: 1 }) };
    let mut documents: Vec<Rc<Node>> = Vec::new();
    let mut weight: usize = 0;
    loop {
        reader.skip_space();
        if reader.at >= text.len() {
            return (documents, Vec::new());
        }
        let node = match reader.value(0) {
            Ok(node) => node,
            Err(error) => return (documents, vec![error]),
        };
        weight = weight.saturating_add(node.weight);
        if documents.len() >= MAX_DOCUMENTS || weight > MAX_WEIGHT {
            let error = SyntaxError::new(node.mark, "too large").hint("split it into several files");
            return (documents, vec![error]);
        }
        documents.push(Rc::new(node));
    }
}

struct Reader<'a> {
    text: &'a str,
    /// In bytes.
    at: usize,
    /// A byte offset whose position is known; positions are asked for in ascending order.
    seen: (usize, Mark),
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn mark(&mut self) -> Mark {
        let (from, base) = self.seen;
        let step = end_of(self.text.get(from..self.at).unwrap_or_default());
        let column = if step.line == 1 { base.column + step.column - 1 } else { step.column };
        let mark = Mark { line: base.line + step.line - 1, column };
        self.seen = (self.at, mark);
        mark
    }

    fn expected<T>(&mut self, what: &str) -> Result<T, SyntaxError> {
        let found = match self.rest().chars().next() {
            Some(found) => format!("{found:?}"),
            None => "the end".to_owned(),
        };
        Err(SyntaxError::new(self.mark(), format!("not valid JSON: expected {what}, found {found}")))
    }

    fn value(&mut self, depth: usize) -> Result<Node, SyntaxError> {
        self.skip_space();
        let mark = self.mark();
        match self.peek() {
            Some(b'{' | b'[') if depth >= MAX_DEPTH => {
                Err(SyntaxError::new(mark, format!("nested too deep: at most {MAX_DEPTH} levels are read")))
            }
            Some(b'{') => self.map(mark, depth),
            Some(b'[') => self.list(mark, depth),
            Some(b'"') => Ok(Node::scalar(mark, Scalar::string(self.string()?))),
            _ => self.word(mark),
        }
    }

    fn map(&mut self, mark: Mark, depth: usize) -> Result<Node, SyntaxError> {
        let mut entries = Vec::new();
        self.at += 1;
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Node::map(mark, entries));
        }
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return self.expected("a field name in double quotes");
            }
            let key_mark = self.mark();
            let key = self.string()?;
            check_key(&key, key_mark)?;
            self.skip_space();
            if self.peek() != Some(b':') {
                return self.expected("\":\"");
            }
            self.at += 1;
            let node = Rc::new(self.value(depth + 1)?);
            entries.push(Entry { key, mark: key_mark, node });
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Node::map(mark, entries));
                }
                _ => return self.expected("\",\" or \"}\""),
            }
        }
    }

    fn list(&mut self, mark: Mark, depth: usize) -> Result<Node, SyntaxError> {
        let mut items = Vec::new();
        self.at += 1;
        self.skip_space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Node::list(mark, items));
        }
        loop {
            items.push(Rc::new(self.value(depth + 1)?));
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Node::list(mark, items));
                }
                _ => return self.expected("\",\" or \"]\""),
            }
        }
    }

    /// `null`, `true`, `false` or a number.
    fn word(&mut self, mark: Mark) -> Result<Node, SyntaxError> {
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        let rest = self.rest();
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let word = rest.get(..end).unwrap_or_default();
        let scalar = match word {
            "null" | "true" | "false" => Scalar::plain(word.to_owned()),
            _ if serde_json::from_str::<serde_json::Number>(word).is_ok() => Scalar::plain(word.to_owned()),
            _ => return self.expected("a value"),
        };
        self.at += end;
        Ok(Node::scalar(mark, scalar))
    }

    fn string(&mut self) -> Result<String, SyntaxError> {
        let bytes = self.text.as_bytes();
        let mut end = self.at + 1;
        loop {
            match bytes.get(end) {
                Some(b'\\') => end += 2,
                Some(b'"') => break,
                Some(b'\n') | None => {
                    let error = SyntaxError::new(self.mark(), "not valid JSON: a string that is not closed");
                    return Err(error.hint("write \\n for a line break inside a string"));
                }
                Some(_) => end += 1,
            }
        }
        let quoted = self.text.get(self.at..=end).unwrap_or_default();
        match serde_json::from_str(quoted) {
            Ok(string) => {
                self.at = end + 1;
                Ok(string)
            }
            Err(_) => Err(SyntaxError::new(self.mark(), "not valid JSON: an invalid escape in a string")),
        }
    }
}
