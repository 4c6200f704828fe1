//! A container's files and streams for tests, and commands in them.

use std::sync::Arc;

use async_trait::async_trait;
use nacelle_container::output::{self, Stream};
use nacelle_infra::budget::Budget;
use nacelle_infra::fs::{MemLimits, NamespaceBuilder, OpenHow, Ownership, Tree as FileTree};

use crate::{Command, Input, Process, Programs, Sink, Tree};

/// A tree with `/dev`, `/tmp`, a writable `/data` of 64 KiB and a read-only `/etc`.
pub(crate) struct Fixture {
    pub(crate) tree: Tree,
    pub(crate) memory: Arc<Budget>,
    pub(crate) env: Vec<(String, String)>,
}

/// What a command left.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) code: u8,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn text(&self) -> (u8, &str, &str) {
        (self.code, std::str::from_utf8(&self.stdout).unwrap(), &self.stderr)
    }
}

/// Runs commands of this crate, as a container with an empty image would.
pub(crate) struct Commands;

#[async_trait]
impl Programs for Commands {
    async fn run(&self, process: Process) -> u8 {
        let name = process.argv[0].clone();
        match Command::named(&name) {
            Some(command) => command.run(process).await.unwrap(),
            None => {
                process.complain("sh", &format!("{name}: not found")).await;
                127
            }
        }
    }
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let tree =
            |bytes| FileTree::memory(MemLimits { bytes, inodes: 10_000 }, Ownership::default(), Budget::unlimited());
        let data = tree(Some(64 * 1024));
        let etc = tree(None);
        let files = NamespaceBuilder::new(tree(None), false)
            .devices()
            .mount("/data", data, None, false)
            .mount("/etc", etc, None, true)
            .build()
            .unwrap();
        files.root().create_directory_at("tmp").ok();
        let tree = Tree { files, working_dir: "/".into() };
        Self { tree, memory: Budget::unlimited(), env: vec![("HOME".into(), "/root".into())] }
    }

    pub(crate) async fn run(&self, argv: &[&str]) -> Ran {
        self.run_with(argv, Input::empty()).await
    }

    pub(crate) async fn run_with(&self, argv: &[&str], stdin: Input) -> Ran {
        let (sender, mut receiver) = output::channel();
        let process = Process {
            argv: argv.iter().map(|&word| word.to_owned()).collect(),
            env: self.env.clone(),
            tree: self.tree.clone(),
            stdin,
            stdout: Sink::Output(sender.clone(), Stream::Stdout),
            stderr: Sink::Output(sender, Stream::Stderr),
            memory: Arc::clone(&self.memory),
            programs: Arc::new(Commands),
            depth: 0,
        };
        let command = Command::named(argv[0]).unwrap();
        let read = async {
            let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
            while let Some(chunk) = receiver.recv().await {
                match chunk.stream {
                    Stream::Stdout => stdout.extend_from_slice(&chunk.bytes),
                    Stream::Stderr => stderr.extend_from_slice(&chunk.bytes),
                }
            }
            (stdout, String::from_utf8(stderr).unwrap())
        };
        let (code, (stdout, stderr)) = tokio::join!(async { command.run(process).await.unwrap() }, read);
        Ran { code, stdout, stderr }
    }

    pub(crate) fn write(&self, path: &str, content: &[u8]) {
        let how = OpenHow { write: true, create: true, truncate: true, follow: true, ..OpenHow::default() };
        assert_eq!(self.tree.open(path, how).unwrap().write_at(0, content).unwrap(), content.len());
    }

    pub(crate) fn read(&self, path: &str) -> Option<String> {
        let file = self.tree.open_to_read(path).ok()?;
        Some(String::from_utf8(file.read_bytes_at(0, 1 << 20).unwrap().to_vec()).unwrap())
    }

    pub(crate) fn mkdir(&self, path: &str) {
        let (root, path) = self.tree.below_root(path).unwrap();
        root.create_directory_at(&path).unwrap();
    }

    pub(crate) fn symlink(&self, target: &str, path: &str) {
        let (root, path) = self.tree.below_root(path).unwrap();
        root.symlink_at(target, &path).unwrap();
    }
}
