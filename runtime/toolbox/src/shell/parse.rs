//! From tokens to what is to be done.

use std::iter::Peekable;
use std::vec::IntoIter;

use super::token::{Output, Part, Redirect, ScriptError, Separator, Token, Word, is_name, tokens};

/// How deep a script's parts may lie in one another.
const MAX_NESTING: usize = 32;

/// Something to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Simple(Simple),
    /// One after the other.
    List(Vec<Node>),
    /// The second if the first succeeds.
    And(Box<Node>, Box<Node>),
    /// The second if the first fails.
    Or(Box<Node>, Box<Node>),
    Not(Box<Node>),
    If {
        condition: Box<Node>,
        then: Box<Node>,
        otherwise: Option<Box<Node>>,
    },
    /// `while`, or `until`.
    Loop {
        condition: Box<Node>,
        until: bool,
        body: Box<Node>,
    },
    For {
        name: String,
        words: Vec<Word>,
        body: Box<Node>,
    },
}

/// A command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Simple {
    pub(super) assignments: Vec<(String, Word)>,
    pub(super) words: Vec<Word>,
    /// In order.
    pub(super) redirects: Vec<Redirection>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Redirection {
    In(Word),
    Out { from: Output, append: bool, to: Word },
    Duplicate { from: Output, to: Output },
}

const END_OF: [&str; 8] = ["then", "elif", "else", "fi", "do", "done", "}", "esac"];
const UNSUPPORTED: [&str; 5] = ["case", "function", "select", "[[", "time"];

/// Reads a whole script.
pub(super) fn parse(script: &str) -> Result<Node, ScriptError> {
    let mut parser = Parser { tokens: tokens(script)?.into_iter().peekable(), nesting: 0 };
    let list = parser.list()?;
    match parser.tokens.next() {
        None => Ok(list),
        Some(token) => Err(parser.unexpected(&token)),
    }
}

struct Parser {
    tokens: Peekable<IntoIter<Token>>,
    nesting: usize,
}

impl Parser {
    /// Commands up to a word that ends something, or the script's end.
    fn list(&mut self) -> Result<Node, ScriptError> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return Err(ScriptError::Syntax(format!("more than {MAX_NESTING} levels of nesting")));
        }
        let mut nodes = Vec::new();
        loop {
            while self.tokens.next_if(|token| *token == Token::Separator(Separator::Newline)).is_some() {}
            match self.tokens.peek() {
                None => break,
                Some(Token::Word(word)) if word.plain().is_some_and(|word| END_OF.contains(&word)) => break,
                Some(_) => nodes.push(self.and_or()?),
            }
            match self.tokens.peek() {
                Some(Token::Separator(Separator::Semicolon | Separator::Newline)) => drop(self.tokens.next()),
                _ => break,
            }
        }
        self.nesting -= 1;
        Ok(match nodes.len() {
            1 => nodes.remove(0),
            _ => Node::List(nodes),
        })
    }

    fn and_or(&mut self) -> Result<Node, ScriptError> {
        let mut left = self.negated()?;
        while let Some(Token::Separator(separator @ (Separator::And | Separator::Or))) =
            self.tokens.next_if(|token| matches!(token, Token::Separator(Separator::And | Separator::Or)))
        {
            while self.tokens.next_if(|token| *token == Token::Separator(Separator::Newline)).is_some() {}
            let (first, second) = (Box::new(left), Box::new(self.negated()?));
            left = match separator {
                Separator::And => Node::And(first, second),
                _ => Node::Or(first, second),
            };
        }
        Ok(left)
    }

    fn negated(&mut self) -> Result<Node, ScriptError> {
        let mut negations = 0_u32;
        while self.keyword("!") {
            negations += 1;
        }
        let node = self.command()?;
        Ok(if negations % 2 == 1 { Node::Not(Box::new(node)) } else { node })
    }

    fn command(&mut self) -> Result<Node, ScriptError> {
        let keyword = match self.tokens.peek() {
            Some(Token::Word(word)) => word.plain().map(str::to_owned),
            _ => None,
        };
        let node = match keyword.as_deref() {
            Some(word) if UNSUPPORTED.contains(&word) => {
                return Err(ScriptError::Unsupported(format!("`{word}`")));
            }
            Some("if") => {
                self.tokens.next();
                self.branches()?
            }
            Some(word @ ("while" | "until")) => {
                self.tokens.next();
                let condition = Box::new(self.non_empty(word)?);
                Node::Loop { condition, until: word == "until", body: self.body()? }
            }
            Some("for") => {
                self.tokens.next();
                self.for_loop()?
            }
            Some("{") => {
                self.tokens.next();
                let list = self.non_empty("{")?;
                self.expect("}")?;
                list
            }
            _ => return self.simple().map(Node::Simple),
        };
        if let Some(Token::Redirect(_)) = self.tokens.peek() {
            return Err(ScriptError::Unsupported("a redirection of a whole `if`, loop or `{ … }`".to_owned()));
        }
        Ok(node)
    }

    fn branches(&mut self) -> Result<Node, ScriptError> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return Err(ScriptError::Syntax(format!("more than {MAX_NESTING} levels of nesting")));
        }
        let condition = Box::new(self.non_empty("if")?);
        self.expect("then")?;
        let then = Box::new(self.non_empty("then")?);
        let otherwise = if self.keyword("elif") {
            Some(Box::new(self.branches()?))
        } else {
            let otherwise = if self.keyword("else") { Some(Box::new(self.non_empty("else")?)) } else { None };
            self.expect("fi")?;
            otherwise
        };
        self.nesting -= 1;
        Ok(Node::If { condition, then, otherwise })
    }

    fn for_loop(&mut self) -> Result<Node, ScriptError> {
        let name = match self.tokens.next() {
            Some(Token::Word(word)) => word.plain().filter(|name| is_name(name)).map(str::to_owned),
            _ => None,
        };
        let name = name.ok_or_else(|| ScriptError::Syntax("`for` needs a name".to_owned()))?;
        self.expect("in")?;
        let mut words = Vec::new();
        while let Some(Token::Word(word)) = self.tokens.next_if(|token| matches!(token, Token::Word(_))) {
            words.push(word);
        }
        match self.tokens.next() {
            Some(Token::Separator(Separator::Semicolon | Separator::Newline)) => {}
            Some(token) => return Err(self.unexpected(&token)),
            None => return Err(ScriptError::Syntax("`do` is missing".to_owned())),
        }
        while self.tokens.next_if(|token| *token == Token::Separator(Separator::Newline)).is_some() {}
        Ok(Node::For { name, words, body: self.body()? })
    }

    fn body(&mut self) -> Result<Box<Node>, ScriptError> {
        self.expect("do")?;
        let body = Box::new(self.non_empty("do")?);
        self.expect("done")?;
        Ok(body)
    }

    fn simple(&mut self) -> Result<Simple, ScriptError> {
        let mut simple = Simple::default();
        loop {
            match self.tokens.next_if(|token| !matches!(token, Token::Separator(_))) {
                Some(Token::Word(word)) => match as_assignment(&word) {
                    Some(assignment) if simple.words.is_empty() => simple.assignments.push(assignment),
                    _ => simple.words.push(word),
                },
                Some(Token::Redirect(Redirect::Duplicate { from, to })) => {
                    simple.redirects.push(Redirection::Duplicate { from, to });
                }
                Some(Token::Redirect(redirect)) => {
                    let Some(Token::Word(word)) = self.tokens.next() else {
                        return Err(ScriptError::Syntax("a redirection leads nowhere".to_owned()));
                    };
                    simple.redirects.push(match redirect {
                        Redirect::Out { from, append } => Redirection::Out { from, append, to: word },
                        _ => Redirection::In(word),
                    });
                }
                _ => break,
            }
        }
        if simple == Simple::default() {
            return Err(match self.tokens.peek().cloned() {
                Some(token) => self.unexpected(&token),
                None => ScriptError::Syntax("a command is missing at the end".to_owned()),
            });
        }
        Ok(simple)
    }

    fn non_empty(&mut self, after: &str) -> Result<Node, ScriptError> {
        match self.list()? {
            Node::List(nodes) if nodes.is_empty() => {
                Err(ScriptError::Syntax(format!("there is no command after `{after}`")))
            }
            list => Ok(list),
        }
    }

    /// Takes a keyword if it is next.
    fn keyword(&mut self, keyword: &str) -> bool {
        self.tokens.next_if(|token| matches!(token, Token::Word(word) if word.plain() == Some(keyword))).is_some()
    }

    fn expect(&mut self, keyword: &str) -> Result<(), ScriptError> {
        if self.keyword(keyword) { Ok(()) } else { Err(ScriptError::Syntax(format!("`{keyword}` is missing"))) }
    }

    fn unexpected(&self, token: &Token) -> ScriptError {
        let what = match token {
            Token::Word(word) => word.plain().unwrap_or("a word"),
            Token::Separator(Separator::Semicolon) => ";",
            Token::Separator(Separator::Newline) => "the end of a line",
            Token::Separator(Separator::And) => "&&",
            Token::Separator(Separator::Or) => "||",
            Token::Redirect(_) => "a redirection",
        };
        ScriptError::Syntax(format!("`{what}` is unexpected"))
    }
}

/// `NAME=word`.
fn as_assignment(word: &Word) -> Option<(String, Word)> {
    let [Part::Plain(first), rest @ ..] = &*word.0 else { return None };
    let (name, value) = first.split_once('=').filter(|(name, _)| is_name(name))?;
    let mut parts = Vec::new();
    if !value.is_empty() {
        parts.push(Part::Plain(value.to_owned()));
    }
    parts.extend_from_slice(rest);
    Some((name.to_owned(), Word(parts)))
}
