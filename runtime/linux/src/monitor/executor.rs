//! The last step of a process on its way to be a container's program: filters, then execve(2).

use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use caps::{CapSet, Capability};
use libcontainer::oci_spec::runtime::Spec;
use libcontainer::workload::{Executor, ExecutorError, ExecutorValidationError};
use seccompiler::BpfProgram;

use super::console;
use crate::protocol::Size;
use crate::{se_linux, sys};

/// What a message about a program that is not there begins with: it comes back as text, through a pipe.
pub(super) const NOT_FOUND: &str = "exec: ";

/// Runs a program as libcontainer's own executor does, after installing its system call filter.
#[derive(Clone, Debug, Default)]
pub(super) struct Program {
    /// Installed in this order.
    pub(super) filters: Vec<BpfProgram>,
    /// Capabilities that the process has only to install its filters.
    pub(super) extra: Vec<Capability>,
    /// SELinux' label of it.
    pub(super) label: Option<String>,
    /// How large its terminal is, if that is known: said before the program could look.
    pub(super) size: Option<Size>,
    /// Where it is said why the program cannot be executed. Closed by execve(2).
    pub(super) report: Option<Arc<OwnedFd>>,
}

impl Executor for Program {
    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        find(spec).map(drop).map_err(ExecutorValidationError::ArgValidationError)
    }

    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        let failed = self.become_program(spec);
        if let (Err(ExecutorError::Other(words)), Some(report)) = (&failed, &self.report) {
            // Who does not hear it takes it for an early end.
            let _ = rustix::io::write(report, words.as_bytes());
        }
        failed
    }
}

impl Program {
    /// Returns only why it cannot be done.
    fn become_program(&self, spec: &Spec) -> Result<(), ExecutorError> {
        let path = find(spec).map_err(ExecutorError::Other)?;
        let name = path.display().to_string();
        let c_string = |bytes: &[u8]| CString::new(bytes).map_err(|_| ExecutorError::InvalidArg);
        let path = c_string(path.as_os_str().as_bytes())?;
        let argv = args(spec).iter().map(|arg| c_string(arg.as_bytes())).collect::<Result<Vec<_>, _>>()?;
        let env = std::env::vars_os().map(|(name, value)| {
            let mut pair = name.as_bytes().to_vec();
            pair.push(b'=');
            pair.extend(value.as_bytes());
            c_string(&pair)
        });
        let env = env.collect::<Result<Vec<_>, _>>()?;
        if let Some(size) = self.size {
            // It can be said again later.
            let _ = console::resize(rustix::stdio::stdin(), size);
        }
        sys::reset_signals();
        let failed =
            |what: &str, error: &dyn std::fmt::Display| ExecutorError::Other(format!("cannot {what}: {error}"));
        if let Some(label) = &self.label {
            let what = format!("give the program the label {label} (securityContext.seLinuxOptions)");
            se_linux::label_next_program(label).map_err(|error| failed(&what, &error))?;
        }
        for filter in &self.filters {
            sys::install_filter(filter).map_err(|error| failed("install the system call filter", &error))?;
        }
        for set in [CapSet::Bounding, CapSet::Effective, CapSet::Permitted] {
            for capability in &self.extra {
                caps::drop(None, set, *capability).map_err(|error| failed("drop a capability", &error))?;
            }
        }
        match sys::exec(&path, &argv, &env) {
            Ok(never) => match never {},
            Err(error) => Err(ExecutorError::Other(format!("{NOT_FOUND}{name:?}: {}", words(&error)))),
        }
    }
}

/// The kernel's words for an error, as runc says them: `permission denied`.
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_ascii_lowercase()
}

fn args(spec: &Spec) -> &[String] {
    spec.process().as_ref().and_then(|process| process.args().as_deref()).unwrap_or_default()
}

/// The program that the first argument names, looked for as execvp(3) does. Said in runc's words.
fn find(spec: &Spec) -> Result<PathBuf, String> {
    let name = args(spec).first().map_or("", String::as_str);
    if name.contains('/') {
        return match check(Path::new(name)) {
            Ok(()) => Ok(name.into()),
            Err(error) => Err(format!("{NOT_FOUND}{name:?}: {}", words(&error.into()))),
        };
    }
    let env = spec.process().as_ref().and_then(|process| process.env().as_deref()).unwrap_or_default();
    let path = env.iter().find_map(|pair| pair.strip_prefix("PATH=")).unwrap_or_default();
    let mut refused = None;
    for dir in path.split(':').filter(|_| !name.is_empty()) {
        let candidate = Path::new(if dir.is_empty() { "." } else { dir }).join(name);
        match check(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(rustix::io::Errno::ACCESS) => refused = Some(candidate),
            Err(_) => {}
        }
    }
    match refused {
        Some(path) => Err(format!("{NOT_FOUND}{path:?}: {}", words(&rustix::io::Errno::ACCESS.into()))),
        None => Err(format!("{NOT_FOUND}{name:?}: executable file not found in $PATH")),
    }
}

/// Whether a file is there that this process may execute.
fn check(path: &Path) -> Result<(), rustix::io::Errno> {
    let stat = rustix::fs::stat(path)?;
    if rustix::fs::FileType::from_raw_mode(stat.st_mode) != rustix::fs::FileType::RegularFile {
        return Err(rustix::io::Errno::ACCESS);
    }
    rustix::fs::access(path, rustix::fs::Access::EXEC_OK)
}
