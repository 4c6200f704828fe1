//! From a script's characters to its tokens.

use std::iter::Peekable;
use std::str::Chars;

/// What a script consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Word(Word),
    /// `;`, `&&`, `||` or a newline.
    Separator(Separator),
    /// What stands before the target of a redirection.
    Redirect(Redirect),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Separator {
    Semicolon,
    Newline,
    And,
    Or,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Redirect {
    /// `<`
    In,
    /// `1>`, `2>`: cut, or with `>>` not.
    Out { from: Output, append: bool },
    /// `1>&2`, `2>&1`: complete, without a target.
    Duplicate { from: Output, to: Output },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    Stdout,
    Stderr,
}

/// A word before its expansion. One without parts is not there; one with an empty quoted part is an empty word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Word(pub(super) Vec<Part>);

/// A piece of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// As it stands there.
    Plain(String),
    /// As it stood between quotes or after a backslash: no keyword, never split.
    Quoted(String),
    /// A variable's value; unquoted it is split into words at blanks.
    Variable { name: String, quoted: bool },
}

/// Why a script is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ScriptError {
    #[error("{0} is not supported by this built-in shell; put a shell as a WebAssembly file into the image to use it")]
    Unsupported(String),
    #[error("syntax error: {0}")]
    Syntax(String),
}

impl ScriptError {
    fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported(what.into())
    }
}

impl Word {
    /// Its text if nothing in it is quoted or expanded: only then it may be a keyword.
    pub(super) fn plain(&self) -> Option<&str> {
        match &*self.0 {
            [Part::Plain(text)] => Some(text),
            _ => None,
        }
    }
}

/// Reads a whole script.
pub(super) fn tokens(script: &str) -> Result<Vec<Token>, ScriptError> {
    let mut lexer = Lexer { chars: script.chars().peekable(), tokens: Vec::new() };
    while let Some(next) = lexer.chars.peek().copied() {
        lexer.token(next)?;
    }
    Ok(lexer.tokens)
}

struct Lexer<'a> {
    chars: Peekable<Chars<'a>>,
    tokens: Vec<Token>,
}

impl Lexer<'_> {
    fn token(&mut self, next: char) -> Result<(), ScriptError> {
        let token = match next {
            ' ' | '\t' | '\r' => {
                self.chars.next();
                return Ok(());
            }
            '#' => {
                while self.chars.next_if(|next| *next != '\n').is_some() {}
                return Ok(());
            }
            '\n' => {
                self.chars.next();
                Token::Separator(Separator::Newline)
            }
            ';' => {
                self.chars.next();
                if self.chars.next_if_eq(&';').is_some() {
                    return Err(ScriptError::unsupported("`case`"));
                }
                Token::Separator(Separator::Semicolon)
            }
            '&' => {
                self.chars.next();
                match self.chars.next() {
                    Some('&') => Token::Separator(Separator::And),
                    Some('>') => return Err(ScriptError::unsupported("`&>`")),
                    _ => return Err(ScriptError::unsupported("a command in the background (`&`)")),
                }
            }
            '|' => {
                self.chars.next();
                match self.chars.next() {
                    Some('|') => Token::Separator(Separator::Or),
                    _ => return Err(ScriptError::unsupported("a pipe (`|`)")),
                }
            }
            '(' | ')' => return Err(ScriptError::unsupported("a subshell or a function (`(`)")),
            '<' => {
                self.chars.next();
                if matches!(self.chars.peek(), Some('<' | '&' | '>')) {
                    return Err(ScriptError::unsupported("a here-document or a redirection of that kind"));
                }
                Token::Redirect(Redirect::In)
            }
            '>' => self.output(Output::Stdout)?,
            '1' | '2' if self.second() == Some('>') => {
                self.chars.next();
                self.output(if next == '1' { Output::Stdout } else { Output::Stderr })?
            }
            digit if digit.is_ascii_digit() && matches!(self.second(), Some('>' | '<')) => {
                return Err(ScriptError::unsupported(format!("a redirection of descriptor {digit}")));
            }
            _ => Token::Word(self.word()?),
        };
        self.tokens.push(token);
        Ok(())
    }

    fn second(&self) -> Option<char> {
        self.chars.clone().nth(1)
    }

    /// At the `>` of a redirection.
    fn output(&mut self, from: Output) -> Result<Token, ScriptError> {
        self.chars.next();
        let redirect = match self.chars.peek() {
            Some('>') => {
                self.chars.next();
                Redirect::Out { from, append: true }
            }
            Some('|') => {
                self.chars.next();
                Redirect::Out { from, append: false }
            }
            Some('&') => {
                self.chars.next();
                let to = match self.chars.next() {
                    Some('1') => Output::Stdout,
                    Some('2') => Output::Stderr,
                    _ => return Err(ScriptError::unsupported("a redirection to a descriptor other than 1 and 2")),
                };
                Redirect::Duplicate { from, to }
            }
            _ => Redirect::Out { from, append: false },
        };
        Ok(Token::Redirect(redirect))
    }

    fn word(&mut self) -> Result<Word, ScriptError> {
        let mut word = Word::default();
        let mut plain = String::new();
        while let Some(next) = self.chars.peek().copied() {
            let part = match next {
                ' ' | '\t' | '\r' | '\n' | ';' | '&' | '|' | '<' | '>' | '(' | ')' => break,
                '\'' => {
                    self.chars.next();
                    Part::Quoted(self.single_quoted()?)
                }
                '"' => {
                    self.chars.next();
                    flush(&mut word, &mut plain);
                    self.double_quoted(&mut word)?;
                    continue;
                }
                '\\' => {
                    self.chars.next();
                    match self.chars.next() {
                        // A line that goes on.
                        Some('\n') => continue,
                        Some(next) => Part::Quoted(next.to_string()),
                        None => Part::Quoted("\\".to_owned()),
                    }
                }
                '$' => {
                    self.chars.next();
                    self.variable(false)?
                }
                '`' => return Err(ScriptError::unsupported("a command substitution (`` ` ``)")),
                '*' | '?' => {
                    return Err(ScriptError::unsupported(format!("a pattern (`{next}`; quote it if it is none)")));
                }
                '~' if plain.is_empty() && word.0.is_empty() => {
                    return Err(ScriptError::unsupported("`~` (quote it if it is no home directory)"));
                }
                next => {
                    self.chars.next();
                    plain.push(next);
                    continue;
                }
            };
            flush(&mut word, &mut plain);
            word.0.push(part);
        }
        flush(&mut word, &mut plain);
        Ok(word)
    }

    fn single_quoted(&mut self) -> Result<String, ScriptError> {
        let mut text = String::new();
        loop {
            match self.chars.next() {
                Some('\'') => return Ok(text),
                Some(next) => text.push(next),
                None => return Err(ScriptError::Syntax("a ' is not closed".to_owned())),
            }
        }
    }

    fn double_quoted(&mut self, word: &mut Word) -> Result<(), ScriptError> {
        let mut text = String::new();
        let parts = word.0.len();
        loop {
            match self.chars.next() {
                Some('"') => break,
                Some('\\') => match self.chars.next() {
                    Some('\n') => {}
                    Some(next @ ('$' | '`' | '"' | '\\')) => text.push(next),
                    Some(next) => text.extend(['\\', next]),
                    None => text.push('\\'),
                },
                Some('$') => {
                    let part = self.variable(true)?;
                    if !text.is_empty() {
                        word.0.push(Part::Quoted(std::mem::take(&mut text)));
                    }
                    word.0.push(part);
                }
                Some('`') => return Err(ScriptError::unsupported("a command substitution (`` ` ``)")),
                Some(next) => text.push(next),
                None => return Err(ScriptError::Syntax("a \" is not closed".to_owned())),
            }
        }
        // `""` is a word, though an empty one.
        if !text.is_empty() || word.0.len() == parts {
            word.0.push(Part::Quoted(text));
        }
        Ok(())
    }

    /// After a `$`.
    fn variable(&mut self, quoted: bool) -> Result<Part, ScriptError> {
        let is_name = |next: &char| next.is_ascii_alphanumeric() || *next == '_';
        let name = match self.chars.peek().copied() {
            Some('(') => return Err(ScriptError::unsupported("a command substitution or arithmetic (`$(`)")),
            Some('{') => {
                self.chars.next();
                let mut name = String::new();
                loop {
                    match self.chars.next() {
                        Some('}') if is_variable(&name) => break,
                        Some(next) if is_name(&next) || (next == '?' && name.is_empty()) => name.push(next),
                        Some(next) => {
                            let what = format!("an expansion other than ${{NAME}} (`${{{name}{next}`)");
                            return Err(ScriptError::Unsupported(what));
                        }
                        None => return Err(ScriptError::Syntax("a ${ is not closed".to_owned())),
                    }
                }
                name
            }
            Some(next @ ('?' | '#')) => {
                self.chars.next();
                next.to_string()
            }
            Some(next) if next.is_ascii_digit() => {
                self.chars.next();
                next.to_string()
            }
            Some(next) if is_name(&next) => {
                let mut name = String::new();
                while let Some(next) = self.chars.next_if(is_name) {
                    name.push(next);
                }
                name
            }
            Some(next @ ('@' | '*' | '$' | '!' | '-' | '\'' | '"')) if !(quoted && matches!(next, '\'' | '"')) => {
                return Err(ScriptError::Unsupported(format!("`${next}`")));
            }
            // A dollar that begins nothing is one.
            _ => return Ok(Part::Quoted("$".to_owned())),
        };
        Ok(Part::Variable { name, quoted })
    }
}

fn is_variable(name: &str) -> bool {
    name == "?" || !name.is_empty() && (is_name(name) || name.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Whether a variable may be called so.
pub(super) fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn flush(word: &mut Word, plain: &mut String) {
    if !plain.is_empty() {
        word.0.push(Part::Plain(std::mem::take(plain)));
    }
}
