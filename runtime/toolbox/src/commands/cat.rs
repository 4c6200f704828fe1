//! `cat`: files, one after the other.

use bytes::{Bytes, BytesMut};
use nacelle_container::output::MAX_CHUNK;
use nacelle_infra::fs::{Descriptor, Device};
use tokio::io::AsyncReadExt as _;

use crate::failure::{Failure, Outcome, words, words_of};
use crate::options::Options;
use crate::process::{Pace, Process};

pub(super) async fn run(process: &Process) -> Outcome {
    let options = Options::parse(process.arguments(), "u")?;
    let pace = Pace::default();
    if options.operands.is_empty() {
        copy_input(process, &pace).await?;
        return Ok(0);
    }
    let mut code = 0;
    for path in options.operands {
        let copied = match path.as_str() {
            "-" => copy_input(process, &pace).await,
            path => match process.tree.open_to_read(path) {
                Ok(file) if file.device() == Some(Device::Stdin) => copy_input(process, &pace).await,
                Ok(file) => copy(process, path, &file, &pace).await,
                Err(errno) => Err(Failure::at(path, errno)),
            },
        };
        match copied {
            Err(Failure::Message { message, .. }) => {
                process.complain("cat", &message).await;
                code = 1;
            }
            copied => copied?,
        }
    }
    Ok(code)
}

async fn copy(process: &Process, path: &str, file: &Descriptor, pace: &Pace) -> Result<(), Failure> {
    let mut offset = 0;
    loop {
        let bytes = file.read_bytes_at(offset, MAX_CHUNK);
        let bytes = bytes.map_err(|errno| Failure::new(format!("{path}: {}", words(errno))))?;
        if bytes.is_empty() {
            return Ok(());
        }
        offset += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        // A copy: what a file gives may be a view that keeps more of it in memory than these bytes.
        process.stdout.write(Bytes::copy_from_slice(&bytes)).await?;
        pace.step().await;
    }
}

async fn copy_input(process: &Process, pace: &Pace) -> Result<(), Failure> {
    let mut input = process.stdin.clone();
    loop {
        let mut buffer = BytesMut::with_capacity(MAX_CHUNK);
        let read = input.read_buf(&mut buffer).await;
        match read.map_err(|error| Failure::new(format!("-: {}", words_of(&error))))? {
            0 => return Ok(()),
            _ => process.stdout.write(buffer.freeze()).await?,
        }
        pace.step().await;
    }
}
