//! Programs beside a container's own.

mod limits;
mod programs;
mod streams;

use std::sync::Arc;

use nacelle_container::output::{self, OutputReceiver, Stream};
use nacelle_container::{Container, ContainerConfig, ContainerInfra, ExecError, ExecRequest, ExitCause};
use nacelle_infra::fs::OpenHow;
use nacelle_infra::network::ContainerNetwork;
use tokio::io::DuplexStream;

use crate::support::{Host, Made, infra, preview1};

/// Waits for the end of its input, which never comes.
const WAITS: &str = "(i32.store (i32.const 0) (i32.const 1024))
    (i32.store (i32.const 4) (i32.const 1024))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))";

/// Runs for ever.
const SPINS: &str = "(loop $again (br $again))";

/// A container that waits.
struct Running {
    host: Host,
    infra: ContainerInfra,
    made: Made,
    _stdin: DuplexStream,
}

/// How an exec ended, and what it wrote.
#[derive(Debug, PartialEq)]
struct Ended {
    cause: ExitCause,
    stdout: String,
    stderr: String,
}

impl Running {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut ContainerConfig)) -> Self {
        let host = Host::new();
        let infra = infra(ContainerNetwork::none());
        for path in ["bin", "work"] {
            infra.files.root().create_directory_at(path).unwrap();
        }
        let mut config = host.config(&preview1(WAITS));
        config.env = vec![("PATH".into(), "/bin".into())];
        change(&mut config);
        let (stdin, reader) = tokio::io::duplex(64);
        let made = host.create_in(infra.clone(), config, Some(Box::new(reader))).await.unwrap();
        made.container.start().await.unwrap();
        Self { host, infra, made, _stdin: stdin }
    }

    fn container(&self) -> &Arc<dyn Container> {
        &self.made.container
    }

    fn write(&self, path: &str, content: &[u8]) {
        let how = OpenHow { write: true, create: true, truncate: true, follow: true, ..OpenHow::default() };
        let file = self.infra.files.open(path, how).unwrap();
        assert_eq!(file.write_at(0, content).unwrap(), content.len());
    }

    /// Puts a preview 1 module with this body into the tree.
    fn install(&self, path: &str, body: &str) {
        self.write(path, &wat::parse_str(preview1(body)).unwrap());
    }

    async fn exec(&self, argv: &[&str]) -> Result<Ended, ExecError> {
        self.exec_with(request(argv)).await
    }

    async fn exec_with(&self, request: ExecRequest) -> Result<Ended, ExecError> {
        let (sender, receiver) = output::channel();
        let (cause, (stdout, stderr)) = tokio::join!(self.container().exec(request, sender), read(receiver));
        Ok(Ended { cause: cause?, stdout, stderr })
    }

    /// How a shell would call its end: the code, and what it wrote.
    async fn code(&self, argv: &[&str]) -> (u8, String) {
        match self.exec(argv).await {
            Ok(ended) => (ended.cause.code(), ended.stdout + &ended.stderr),
            Err(error) => (error.code().unwrap(), error.to_string()),
        }
    }

    /// Waits until so many programs run in the container.
    async fn processes(&self, expected: u32) {
        while self.container().stats().processes != expected {
            tokio::task::yield_now().await;
        }
    }
}

fn request(argv: &[&str]) -> ExecRequest {
    ExecRequest::new(argv.iter().map(|&word| word.to_owned()).collect())
}

async fn read(mut receiver: OutputReceiver) -> (String, String) {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    while let Some(chunk) = receiver.recv().await {
        match chunk.stream {
            Stream::Stdout => stdout.extend_from_slice(&chunk.bytes),
            Stream::Stderr => stderr.extend_from_slice(&chunk.bytes),
        }
    }
    (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}
