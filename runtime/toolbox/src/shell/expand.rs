//! Variables, and words in which they are replaced by their values.

use super::MAX_WORDS;
use super::token::{Part, Word};

/// What a script's words refer to.
#[derive(Debug)]
pub(super) struct Variables {
    /// In order, each name once.
    named: Vec<Variable>,
    /// `$0`, `$1`, …
    positional: Vec<String>,
    /// `$?`
    pub(super) status: u8,
    /// Bytes that all of them may take.
    most: usize,
}

#[derive(Debug)]
struct Variable {
    name: String,
    value: String,
    exported: bool,
}

/// Words or variables have become too long together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("words or variables have more than {MAX_WORDS} bytes")]
pub(super) struct TooLong;

impl Variables {
    pub(super) fn new(env: &[(String, String)], positional: Vec<String>) -> Self {
        let variable =
            |(name, value): &(String, String)| Variable { name: name.clone(), value: value.clone(), exported: true };
        let bytes: usize = env.iter().map(|(name, value)| name.len() + value.len()).sum();
        // What the container came with is bounded already.
        let most = bytes.saturating_add(MAX_WORDS);
        Self { named: env.iter().map(variable).collect(), positional, status: 0, most }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.named.iter().find(|variable| variable.name == name).map(|variable| variable.value.as_str())
    }

    pub(super) fn set(&mut self, name: &str, value: String) -> Result<(), TooLong> {
        let others = self.named.iter().filter(|variable| variable.name != name);
        let bytes: usize = others.map(|variable| variable.name.len() + variable.value.len()).sum();
        if bytes.saturating_add(name.len()).saturating_add(value.len()) > self.most {
            return Err(TooLong);
        }
        match self.named.iter_mut().find(|variable| variable.name == name) {
            Some(variable) => variable.value = value,
            None => self.named.push(Variable { name: name.to_owned(), value, exported: false }),
        }
        Ok(())
    }

    /// Commands see it from now on.
    pub(super) fn export(&mut self, name: &str) {
        match self.named.iter_mut().find(|variable| variable.name == name) {
            Some(variable) => variable.exported = true,
            None => self.named.push(Variable { name: name.to_owned(), value: String::new(), exported: true }),
        }
    }

    /// What commands see.
    pub(super) fn environment(&self) -> Vec<(String, String)> {
        let exported = self.named.iter().filter(|variable| variable.exported);
        exported.map(|variable| (variable.name.clone(), variable.value.clone())).collect()
    }

    fn value(&self, name: &str) -> String {
        match name {
            "?" => self.status.to_string(),
            "#" => self.positional.len().saturating_sub(1).to_string(),
            name => match name.parse::<usize>() {
                Ok(index) => self.positional.get(index).cloned().unwrap_or_default(),
                Err(_) => self.get(name).unwrap_or_default().to_owned(),
            },
        }
    }

    /// The words that these words become: values of unquoted variables are split at blanks, and vanish when empty.
    pub(super) fn fields(&self, words: &[Word]) -> Result<Vec<String>, TooLong> {
        let mut fields = Vec::new();
        let mut bytes = 0_usize;
        for word in words {
            let mut field: Option<String> = None;
            for part in &word.0 {
                match part {
                    Part::Plain(text) | Part::Quoted(text) => field.get_or_insert_default().push_str(text),
                    Part::Variable { name, quoted: true } => field.get_or_insert_default().push_str(&self.value(name)),
                    Part::Variable { name, quoted: false } => {
                        let value = self.value(name);
                        let is_blank = |next: char| matches!(next, ' ' | '\t' | '\n');
                        if value.starts_with(is_blank) {
                            fields.extend(field.take());
                        }
                        let mut pieces = value.split(is_blank).filter(|piece| !piece.is_empty()).peekable();
                        while let Some(piece) = pieces.next() {
                            field.get_or_insert_default().push_str(piece);
                            if pieces.peek().is_some() || value.ends_with(is_blank) {
                                fields.extend(field.take());
                            }
                        }
                        bytes = bytes.saturating_add(value.len());
                    }
                }
                bytes = bytes.saturating_add(field.as_ref().map_or(0, String::len));
                if bytes > MAX_WORDS {
                    return Err(TooLong);
                }
            }
            fields.extend(field);
        }
        Ok(fields)
    }

    /// The one word that a word becomes: of an assignment, or the target of a redirection.
    pub(super) fn text(&self, word: &Word) -> Result<String, TooLong> {
        let mut text = String::new();
        for part in &word.0 {
            match part {
                Part::Plain(part) | Part::Quoted(part) => text.push_str(part),
                Part::Variable { name, .. } => text.push_str(&self.value(name)),
            }
            if text.len() > MAX_WORDS {
                return Err(TooLong);
            }
        }
        Ok(text)
    }
}
