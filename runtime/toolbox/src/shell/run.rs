//! Does what a script says.

use std::pin::Pin;

use nacelle_infra::fs::{Device, OpenHow};

use super::expand::{TooLong, Variables};
use super::parse::{Node, Redirection, Simple};
use super::token::{Output, is_name};
use crate::failure::{Failure, Outcome, words};
use crate::process::{Pace, Process, Tree};
use crate::streams::{Input, Sink};

/// How a part of a script has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    /// With `$?`; what follows goes on.
    Next,
    /// The whole script ends.
    Exit(u8),
    /// So many loops end.
    Break(u32),
    /// One loop fewer than that ends, and the last begins its next round.
    Continue(u32),
}

/// A script that runs.
struct Shell<'a> {
    process: &'a Process,
    tree: Tree,
    variables: Variables,
    pace: Pace,
}

/// Where a command's streams lead.
struct Streams {
    stdin: Input,
    stdout: Sink,
    stderr: Sink,
}

impl From<TooLong> for Failure {
    fn from(error: TooLong) -> Self {
        Failure::usage(error.to_string())
    }
}

pub(super) async fn run(process: &Process, script: &Node, arguments: &[String]) -> Outcome {
    let positional = if arguments.is_empty() { vec!["sh".to_owned()] } else { arguments.to_vec() };
    let mut shell = Shell {
        process,
        tree: process.tree.clone(),
        variables: Variables::new(&process.env, positional),
        pace: Pace::default(),
    };
    Ok(match shell.node(script).await? {
        Flow::Exit(code) => code,
        Flow::Next | Flow::Break(_) | Flow::Continue(_) => shell.variables.status,
    })
}

type Running<'a> = Pin<Box<dyn Future<Output = Result<Flow, Failure>> + Send + 'a>>;

impl Shell<'_> {
    fn succeeded(&self) -> bool {
        self.variables.status == 0
    }

    /// Boxed, since nodes lie in one another; how deep is bounded by the parser.
    fn node<'a>(&'a mut self, node: &'a Node) -> Running<'a> {
        Box::pin(async move {
            self.pace.step().await;
            match node {
                Node::Simple(simple) => self.simple(simple).await,
                Node::List(nodes) => {
                    for node in nodes {
                        match self.node(node).await? {
                            Flow::Next => {}
                            flow => return Ok(flow),
                        }
                    }
                    Ok(Flow::Next)
                }
                Node::And(first, second) | Node::Or(first, second) => match self.node(first).await? {
                    Flow::Next if self.succeeded() == matches!(node, Node::And(..)) => self.node(second).await,
                    flow => Ok(flow),
                },
                Node::Not(node) => {
                    let flow = self.node(node).await?;
                    self.variables.status = u8::from(self.succeeded());
                    Ok(flow)
                }
                Node::If { condition, then, otherwise } => match self.node(condition).await? {
                    Flow::Next if self.succeeded() => self.node(then).await,
                    Flow::Next => {
                        self.variables.status = 0;
                        match otherwise {
                            Some(otherwise) => self.node(otherwise).await,
                            None => Ok(Flow::Next),
                        }
                    }
                    flow => Ok(flow),
                },
                Node::Loop { condition, until, body } => {
                    // Of the last round; 0 when there was none.
                    let mut status = 0;
                    loop {
                        match after_round(self.node(condition).await?) {
                            Round::Goes if self.succeeded() != *until => {}
                            Round::Goes | Round::Ends => break,
                            Round::Leaves(flow) => return Ok(flow),
                        }
                        let flow = self.node(body).await?;
                        status = self.variables.status;
                        match after_round(flow) {
                            Round::Goes => {}
                            Round::Ends => break,
                            Round::Leaves(flow) => return Ok(flow),
                        }
                    }
                    self.variables.status = status;
                    Ok(Flow::Next)
                }
                Node::For { name, words, body } => {
                    let words = self.variables.fields(words)?;
                    self.variables.status = 0;
                    for word in words {
                        self.variables.set(name, word)?;
                        match after_round(self.node(body).await?) {
                            Round::Goes => {}
                            Round::Ends => break,
                            Round::Leaves(flow) => return Ok(flow),
                        }
                    }
                    Ok(Flow::Next)
                }
            }
        })
    }

    async fn simple(&mut self, simple: &Simple) -> Result<Flow, Failure> {
        let argv = self.variables.fields(&simple.words)?;
        let streams = match self.streams(&simple.redirects)? {
            Ok(streams) => streams,
            Err(why) => {
                self.process.complain("sh", &why).await;
                self.variables.status = 1;
                return Ok(Flow::Next);
            }
        };
        let mut assigned = Vec::new();
        for (name, word) in &simple.assignments {
            assigned.push((name, self.variables.text(word)?));
        }
        let Some(name) = argv.first() else {
            for (name, value) in assigned {
                self.variables.set(name, value)?;
            }
            self.variables.status = 0;
            return Ok(Flow::Next);
        };
        if let Some(flow) = self.special(name, &argv, &streams).await? {
            return Ok(flow);
        }
        let mut env = self.variables.environment();
        for (name, value) in assigned {
            env.retain(|(known, _)| known != name);
            env.push((name.clone(), value));
        }
        let Streams { stdin, stdout, stderr } = streams;
        let process = Process {
            argv,
            env,
            tree: self.tree.clone(),
            stdin,
            stdout,
            stderr,
            memory: self.process.memory.clone(),
            programs: self.process.programs.clone(),
            depth: self.process.depth.saturating_add(1),
        };
        self.variables.status = self.process.programs.run(process).await;
        Ok(Flow::Next)
    }

    /// Commands that change the shell itself. `None` for any other.
    async fn special(&mut self, name: &str, argv: &[String], streams: &Streams) -> Result<Option<Flow>, Failure> {
        let number = |default: u32| match argv.get(1) {
            None => Some(default),
            Some(text) => text.parse::<u32>().ok(),
        };
        let mut status = 0;
        match (name, argv) {
            (":", _) => {}
            ("exit", _) => {
                let code = number(self.variables.status.into());
                let code = code.ok_or_else(|| Failure::usage("exit: a number is needed"))?;
                return Ok(Some(Flow::Exit(u8::try_from(code & 0xff).unwrap_or(u8::MAX))));
            }
            ("break" | "continue", _) => {
                let loops = number(1).filter(|loops| *loops > 0);
                let loops = loops.ok_or_else(|| Failure::usage(format!("{name}: a number of loops is needed")))?;
                return Ok(Some(if name == "break" { Flow::Break(loops) } else { Flow::Continue(loops) }));
            }
            ("cd", [_, dir]) => match self.tree.open_dir(dir) {
                Ok(_) => self.tree.working_dir = self.tree.absolute(dir).map_err(|errno| Failure::at(dir, errno))?,
                Err(errno) => {
                    let _ = streams.stderr.write(format!("sh: cd: {dir}: {}\n", words(errno)).into()).await;
                    status = 1;
                }
            },
            ("export", [_, names @ ..]) => {
                for word in names {
                    let (name, value) = match word.split_once('=') {
                        Some((name, value)) => (name, Some(value)),
                        None => (word.as_str(), None),
                    };
                    if !is_name(name) {
                        return Err(Failure::usage(format!("export: {name:?} is no name")));
                    }
                    if let Some(value) = value {
                        self.variables.set(name, value.to_owned())?;
                    }
                    self.variables.export(name);
                }
            }
            ("exec", [_, _, ..])
            | ("cd" | "export" | "exec" | "set" | "." | "eval" | "trap" | "unset" | "read" | "wait", _) => {
                let what = format!("`{name}` as it is used here is not supported by this built-in shell");
                return Err(Failure::usage(what));
            }
            _ => return Ok(None),
        }
        self.variables.status = status;
        Ok(Some(Flow::Next))
    }

    /// Where a command's streams lead; in words why one leads nowhere.
    fn streams(&self, redirects: &[Redirection]) -> Result<Result<Streams, String>, Failure> {
        let Process { stdin, stdout, stderr, .. } = self.process;
        let mut streams = Streams { stdin: stdin.clone(), stdout: stdout.clone(), stderr: stderr.clone() };
        for redirect in redirects {
            match redirect {
                Redirection::In(word) => {
                    let path = self.variables.text(word)?;
                    match self.tree.open_to_read(&path) {
                        Ok(file) if file.device() == Some(Device::Stdin) => streams.stdin = stdin.clone(),
                        Ok(file) => streams.stdin = Input::file(file),
                        Err(errno) => return Ok(Err(format!("{path}: {}", words(errno)))),
                    }
                }
                Redirection::Out { from, append, to } => {
                    let path = self.variables.text(to)?;
                    let how =
                        OpenHow { write: true, create: true, truncate: !append, follow: true, ..OpenHow::default() };
                    let sink = match self.tree.open(&path, how) {
                        Ok(file) => match file.device() {
                            Some(Device::Stdout) => stdout.clone(),
                            Some(Device::Stderr) => stderr.clone(),
                            _ => Sink::File(file),
                        },
                        Err(errno) => return Ok(Err(format!("cannot create {path}: {}", words(errno)))),
                    };
                    *streams.output(*from) = sink;
                }
                Redirection::Duplicate { from, to } => {
                    let to = streams.output(*to).clone();
                    *streams.output(*from) = to;
                }
            }
        }
        Ok(Ok(streams))
    }
}

impl Streams {
    fn output(&mut self, which: Output) -> &mut Sink {
        match which {
            Output::Stdout => &mut self.stdout,
            Output::Stderr => &mut self.stderr,
        }
    }
}

/// What a loop does after a part of a round.
enum Round {
    Goes,
    Ends,
    Leaves(Flow),
}

fn after_round(flow: Flow) -> Round {
    match flow {
        Flow::Next | Flow::Continue(0 | 1) => Round::Goes,
        Flow::Break(0 | 1) => Round::Ends,
        Flow::Break(loops) => Round::Leaves(Flow::Break(loops - 1)),
        Flow::Continue(loops) => Round::Leaves(Flow::Continue(loops - 1)),
        Flow::Exit(code) => Round::Leaves(Flow::Exit(code)),
    }
}
