//! A process' pipes and terminals, on this side.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::Bytes;
use nacelle_container::output::{Chunk, MAX_CHUNK, OutputSender, Stream};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::protocol::{Size, Streams};
use crate::sys;

/// One end of a pipe, or a terminal.
#[derive(Debug)]
struct End(AsyncFd<OwnedFd>);

impl End {
    fn new(fd: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        Ok(Self(sys::watched(fd)?))
    }

    async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.0.readable().await?;
            match self.try_read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                result => return result,
            }
        }
    }

    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match rustix::io::read(self.0.get_ref(), buffer) {
            // A terminal whose other end is closed.
            Err(rustix::io::Errno::IO) => Ok(0),
            result => Ok(result?),
        }
    }

    async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let mut ready = self.0.writable().await?;
            match rustix::io::write(self.0.get_ref(), bytes) {
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// The streams of a process that runs.
#[derive(Debug)]
pub(crate) struct Stdio {
    pumps: JoinSet<()>,
    input: Option<JoinHandle<()>>,
    terminal: Option<Arc<End>>,
    /// Set to `true` when the process has ended.
    ended: watch::Sender<bool>,
}

impl Stdio {
    /// Connects a process. `input_ended` is called when what it reads has come to its end.
    pub(crate) fn connect(
        streams: Streams,
        fds: Vec<OwnedFd>,
        stdin: Option<Box<dyn AsyncRead + Send + Unpin>>,
        output: OutputSender,
        input_ended: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        let (ended, waiting) = watch::channel(false);
        let mut ends = fds.into_iter().map(End::new).collect::<io::Result<Vec<_>>>()?.into_iter().map(Arc::new);
        let mut pumps = JoinSet::new();
        let mut terminal = None;
        let writer = match streams {
            Streams::Terminal => {
                terminal = ends.next();
                if let Some(end) = &terminal {
                    pumps.spawn(pump(Arc::clone(end), Stream::Stdout, output, waiting));
                }
                terminal.clone()
            }
            Streams::Pipes { stdin } => {
                let writer = if stdin { ends.next() } else { None };
                for (end, stream) in ends.zip([Stream::Stdout, Stream::Stderr]) {
                    pumps.spawn(pump(end, stream, output.clone(), waiting.clone()));
                }
                writer
            }
        };
        let input = match (stdin, writer) {
            (Some(reader), Some(writer)) => Some(tokio::spawn(async move {
                feed(reader, &writer).await;
                drop(writer);
                input_ended();
            })),
            _ => None,
        };
        Ok(Self { pumps, input, terminal, ended })
    }

    /// Says how large the terminal is, if there is one.
    pub(crate) fn resize(&self, size: Size) -> io::Result<()> {
        let Some(terminal) = &self.terminal else { return Ok(()) };
        let Size { columns, rows } = size;
        let size = rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        Ok(rustix::termios::tcsetwinsize(terminal.0.get_ref(), size)?)
    }

    /// The process has ended: returns when all that it wrote was handed over, and no sender is left.
    pub(crate) async fn finish(mut self) {
        if let Some(input) = self.input.take() {
            input.abort();
        }
        self.ended.send_replace(true);
        while self.pumps.join_next().await.is_some() {}
    }
}

impl Drop for Stdio {
    fn drop(&mut self) {
        if let Some(input) = &self.input {
            input.abort();
        }
    }
}

/// Hands over what a process writes, until its end. A background process that it left may keep its pipe open: after the
/// end what is in the pipe is all.
async fn pump(end: Arc<End>, stream: Stream, output: OutputSender, mut ended: watch::Receiver<bool>) {
    let mut buffer = vec![0; MAX_CHUNK];
    loop {
        let read = tokio::select! {
            biased;
            read = end.read(&mut buffer) => read,
            _ = ended.wait_for(|ended| *ended) => end.try_read(&mut buffer),
        };
        let Ok(length) = read else { return };
        let bytes = buffer.get(..length).unwrap_or_default();
        if bytes.is_empty() {
            return;
        }
        let chunk = Chunk::now(stream, Bytes::copy_from_slice(bytes));
        // Without a reader it is read all the same: the process must not wait for ever.
        let _ = output.send(chunk).await;
    }
}

/// Gives a process its input.
async fn feed(mut reader: Box<dyn AsyncRead + Send + Unpin>, writer: &End) {
    let mut buffer = vec![0; MAX_CHUNK];
    loop {
        match reader.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(length) => {
                if writer.write_all(buffer.get(..length).unwrap_or_default()).await.is_err() {
                    return;
                }
            }
        }
    }
}
