//! Files with WASI 0.3, where their bytes and a directory's entries are streams, and their failures futures.

use wasip3::cli::{environment, exit, stderr, stdout};
use wasip3::exports::cli::run::Guest;
use wasip3::filesystem::preopens;
use wasip3::filesystem::types::{Descriptor, DescriptorFlags, ErrorCode, OpenFlags, PathFlags};
use wasip3::wit_stream;

const USAGE: &str = "\
usage: p3-files read PATH         print a file
       p3-files write PATH TEXT   make or replace a file
       p3-files append PATH TEXT  write to the end of a file
       p3-files copy FROM TO      copy a file, without its bytes passing through this program
       p3-files ls PATH           list a folder, sorted
";

struct Files;

wasip3::cli::command::export!(Files);

/// Why the program fails.
enum Failure {
    Usage,
    File(ErrorCode),
    Output,
}

impl From<ErrorCode> for Failure {
    fn from(error: ErrorCode) -> Self {
        Self::File(error)
    }
}

impl Guest for Files {
    async fn run() -> Result<(), ()> {
        let args = environment::get_arguments();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let (message, code) = match run(args.get(1..).unwrap_or_default()).await {
            Ok(()) => return Ok(()),
            Err(Failure::Usage) => (USAGE.to_owned(), 2),
            Err(Failure::File(error)) => (format!("p3-files: {error:?}\n"), 1),
            Err(Failure::Output) => (String::new(), 1),
        };
        let _ = print(message, stderr::write_via_stream).await;
        exit::exit_with_code(code);
        Err(())
    }
}

async fn run(args: &[&str]) -> Result<(), Failure> {
    let root = preopens::get_directories().into_iter().find(|(_, name)| name == "/");
    let (root, _) = root.ok_or(ErrorCode::NoEntry)?;
    match args {
        ["read", path] => {
            let (bytes, read) = open_to_read(&root, path).await?.read_via_stream(0);
            stdout::write_via_stream(bytes).await.map_err(|_| Failure::Output)?;
            read.await?;
        }
        ["write", path, text] => {
            let file = create(&root, path).await?;
            let (mut writer, reader) = wit_stream::new();
            let written = file.write_via_stream(reader, 0);
            // What is left over was refused; the future tells why.
            writer.write_all(text.as_bytes().to_vec()).await;
            drop(writer);
            written.await?;
        }
        ["append", path, text] => {
            let file = open(&root, path, OpenFlags::empty(), DescriptorFlags::WRITE).await?;
            let (mut writer, reader) = wit_stream::new();
            let written = file.append_via_stream(reader);
            writer.write_all(text.as_bytes().to_vec()).await;
            drop(writer);
            written.await?;
        }
        ["copy", from, to] => {
            let (bytes, read) = open_to_read(&root, from).await?.read_via_stream(0);
            create(&root, to).await?.write_via_stream(bytes, 0).await?;
            read.await?;
        }
        ["ls", path] => {
            let flags = DescriptorFlags::READ;
            let (entries, read) = open(&root, path, OpenFlags::DIRECTORY, flags).await?.read_directory();
            let mut names: Vec<String> = entries.collect().await.into_iter().map(|entry| entry.name + "\n").collect();
            read.await?;
            names.sort();
            print(names.concat(), stdout::write_via_stream).await?;
        }
        _ => return Err(Failure::Usage),
    }
    Ok(())
}

async fn open_to_read(root: &Descriptor, path: &str) -> Result<Descriptor, ErrorCode> {
    open(root, path, OpenFlags::empty(), DescriptorFlags::READ).await
}

async fn create(root: &Descriptor, path: &str) -> Result<Descriptor, ErrorCode> {
    open(root, path, OpenFlags::CREATE | OpenFlags::TRUNCATE, DescriptorFlags::WRITE).await
}

async fn open(
    root: &Descriptor,
    path: &str,
    how: OpenFlags,
    flags: DescriptorFlags,
) -> Result<Descriptor, ErrorCode> {
    let path = path.trim_start_matches('/').to_owned();
    root.open_at(PathFlags::SYMLINK_FOLLOW, path, how, flags).await
}

/// Writes a text to a standard stream.
async fn print<F, E>(
    text: String,
    stream: impl FnOnce(wasip3::wit_bindgen::rt::async_support::StreamReader<u8>) -> F,
) -> Result<(), Failure>
where
    F: IntoFuture<Output = Result<(), E>>,
{
    let (mut writer, reader) = wit_stream::new();
    let printed = stream(reader);
    writer.write_all(text.into_bytes()).await;
    drop(writer);
    printed.await.map_err(|_| Failure::Output)
}
