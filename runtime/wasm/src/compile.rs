//! Compiling a program into a cache entry, in this process or in a child.
//!
//! The child is this same code behind [`compile_worker_main`]: `INPUT OUTPUT DIGEST COMPATIBILITY` on its command line,
//! the reason on its standard error when it fails, and one of two exit codes: [`BAD_PROGRAM`] when the program is at
//! fault, [`FAILED`] when something else is.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::{ExitCode, Stdio};

use sha2::{Digest, Sha256};
use wasmtime::Engine;

use crate::config::Compiler;
use crate::engine::{self, Code};
use crate::format::Format;
use crate::model::Model;

/// Exit code of a worker whose input is not a program that can run here.
const BAD_PROGRAM: u8 = 2;
/// Exit code of a worker that failed for another reason.
const FAILED: u8 = 1;
/// The most bytes of a worker's words that are passed on.
const MAX_WORDS: usize = 4096;
/// The largest program: beyond it, compilation takes minutes and gigabytes.
const MAX_PROGRAM_BYTES: u64 = 512 * 1024 * 1024;

/// Why a program was not compiled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CompileError {
    /// The program is at fault.
    #[error("{0}")]
    BadProgram(String),
    /// Something else is.
    #[error("cannot compile: {0}")]
    Failed(String),
}

/// What to compile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job<'a> {
    /// The program.
    pub(crate) input: &'a Path,
    /// Where the compiled component goes.
    pub(crate) output: &'a Path,
    /// `sha256:…` that the program's bytes must have.
    pub(crate) digest: &'a str,
    /// The engine's compatibility key that the code must have.
    pub(crate) compatibility: &'a str,
}

/// Does one job in the way that `compiler` says.
pub(crate) async fn compile(compiler: &Compiler, engine: &Engine, job: Job<'_>) -> Result<(), CompileError> {
    match compiler {
        Compiler::InProcess => {
            let engine = engine.clone();
            let (input, output, digest) = (job.input.to_owned(), job.output.to_owned(), job.digest.to_owned());
            let work = tokio::task::spawn_blocking(move || compile_here(&engine, &input, &output, &digest));
            work.await.unwrap_or_else(|error| Err(CompileError::Failed(format!("the compiler died: {error}"))))
        }
        Compiler::Subprocess { exe, args } => in_child(exe, args, job).await,
    }
}

async fn in_child(exe: &Path, args: &[String], job: Job<'_>) -> Result<(), CompileError> {
    let output = tokio::process::Command::new(exe)
        .args(args)
        .args([job.input, job.output])
        .args([job.digest, job.compatibility])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // A Ctrl-C at the terminal is for the runtime, which stops its pods in order; it ends this child by dropping it.
        .process_group(0)
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| CompileError::Failed(format!("cannot run {}: {error}", exe.display())))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(output.stderr.get(..MAX_WORDS).unwrap_or(&output.stderr));
    let words = words.trim().to_owned();
    match output.status.code() {
        Some(code) if code == i32::from(BAD_PROGRAM) => Err(CompileError::BadProgram(words)),
        Some(code) if code == i32::from(FAILED) => Err(CompileError::Failed(words)),
        _ if words.is_empty() => {
            Err(CompileError::Failed(format!("the compiler process ended with {}", output.status)))
        }
        _ => Err(CompileError::Failed(format!("the compiler process ended with {}: {words}", output.status))),
    }
}

/// What the program at `path` needs. Of one that cannot be compiled it does not matter.
pub(crate) fn model(path: &Path) -> Model {
    let fits = std::fs::metadata(path).is_ok_and(|metadata| metadata.len() <= MAX_PROGRAM_BYTES);
    let program = if fits { std::fs::read(path).unwrap_or_default() } else { Vec::new() };
    Model::of(&program)
}

fn compile_here(engine: &Engine, input: &Path, output: &Path, digest: &str) -> Result<(), CompileError> {
    let failed = |what: &str, path: &Path, error: std::io::Error| {
        CompileError::Failed(format!("cannot {what} {}: {error}", path.display()))
    };
    let size = std::fs::metadata(input).map_err(|error| failed("read", input, error))?.len();
    if size > MAX_PROGRAM_BYTES {
        return Err(CompileError::BadProgram(format!(
            "the program has {size} bytes, and the most that can be compiled is {MAX_PROGRAM_BYTES}"
        )));
    }
    let bytes = std::fs::read(input).map_err(|error| failed("read", input, error))?;
    let found = format!("sha256:{}", crate::hex(&Sha256::digest(&bytes)));
    if found != digest {
        return Err(CompileError::BadProgram(format!("its content has changed: it was {digest} and is {found}")));
    }
    let code = precompile(engine, bytes)?;
    // Not created anew: when it is gone, whoever asked for it is too.
    let file = std::fs::File::options().write(true).truncate(true).open(output);
    file.and_then(|mut file| file.write_all(&code)).map_err(|error| failed("write", output, error))
}

fn precompile(engine: &Engine, bytes: Vec<u8>) -> Result<Vec<u8>, CompileError> {
    let component = match Format::detect(&bytes).map_err(CompileError::BadProgram)? {
        Format::Component => bytes,
        Format::Module => crate::adapt::adapt(&bytes).map_err(CompileError::BadProgram)?,
    };
    engine.precompile_component(&component).map_err(|error| {
        CompileError::BadProgram(format!(
            "the program is damaged or uses WebAssembly features that this runtime does not know: {error:#}"
        ))
    })
}

/// The entry point of a compiler process, for [`Compiler::Subprocess`]: `args` are what follows the embedder's own
/// arguments on the command line.
pub fn compile_worker_main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    match worker(args.into_iter().collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let (words, code) = match error {
                CompileError::BadProgram(words) => (words, BAD_PROGRAM),
                CompileError::Failed(words) => (words, FAILED),
            };
            // Nobody is left to tell when standard error is gone; the exit code says it as well.
            let _ = std::io::stderr().write_all(words.as_bytes());
            ExitCode::from(code)
        }
    }
}

/// The engine whose code has this compatibility key: the key says what is to be compiled for.
fn engine_of(compatibility: Option<&str>) -> Result<Engine, CompileError> {
    for code in Code::all() {
        let engine = engine::compile_engine(code).map_err(|error| CompileError::Failed(format!("{error:#}")))?;
        if compatibility == Some(&engine::compatibility_key(&engine)) {
            return Ok(engine);
        }
    }
    let why = "the program that compiles is another version than the one that runs: restart it";
    Err(CompileError::Failed(why.to_owned()))
}

fn worker(args: Vec<OsString>) -> Result<(), CompileError> {
    let failed = |words: &str| CompileError::Failed(words.to_owned());
    let [input, output, digest, compatibility] =
        <[OsString; 4]>::try_from(args).map_err(|_| failed("usage: INPUT OUTPUT DIGEST COMPATIBILITY"))?;
    let digest = digest.to_str().ok_or_else(|| failed("the digest is not UTF-8"))?;
    let engine = engine_of(compatibility.to_str())?;
    compile_here(&engine, Path::new(&input), Path::new(&output), digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_finds_the_kind_of_code_that_is_meant() {
        let key = |code| engine::compatibility_key(&engine::compile_engine(code).unwrap());
        let keys: Vec<_> = Code::all().map(key).collect();
        let different: std::collections::HashSet<_> = keys.iter().collect();
        assert_eq!(different.len(), keys.len(), "code of one is not run by the other");
        for wanted in &keys {
            assert_eq!(&engine::compatibility_key(&engine_of(Some(wanted)).unwrap()), wanted);
        }
        assert!(engine_of(Some("another")).is_err() && engine_of(None).is_err());
    }
}
