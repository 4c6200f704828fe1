//! What `argv[0]` of an exec means.
//!
//! | name | tried in this order |
//! |---|---|
//! | `nacelle:pod/…` | a function that the image's own program exports, and nothing else |
//! | with a slash | a file of the tree; the image's own program; a built-in command in `/bin` or `/usr/bin` |
//! | bare | a file in PATH; the image's own program; a built-in command; a file in the working directory |
//!
//! A file wins over a built-in command of the same name, also one that cannot be run: that is then said. The working
//! directory comes last, since what lies there is data, and a file that happens to be called `test` must not change what
//! a probe does.

use nacelle_container::ExecError;
use nacelle_container::lookup::{Found, Search};
use nacelle_infra::fs::Errno;
use nacelle_toolbox::{Command, Process};

use super::Site;
use crate::pod_interface::Export;

/// What an exec runs.
#[derive(Debug)]
pub(super) enum Target {
    /// A file of the container's tree.
    Program(Found),
    /// A function that the image's own program exports.
    Export(Export),
    /// The image's own program, in a second instance.
    Entry,
    /// A command that every container has.
    BuiltIn(Command),
}

impl Target {
    /// What this process is to run.
    ///
    /// # Errors
    /// [`ExecError::NotFound`], and [`ExecError::NotExecutable`] for a directory or a device.
    pub(super) fn of(site: &Site, process: &Process) -> Result<Self, ExecError> {
        let name = process.argv.first().map_or("", String::as_str);
        let not_found = |reason: String| ExecError::NotFound { program: name.to_owned(), reason };
        let path = Search::path_of(&process.env);
        let search = Search { files: &process.tree.files, working_dir: &process.tree.working_dir, path };
        let entry = || is_entry(name, &site.config.argv).then_some(Self::Entry);
        let built_in = || Command::named(name).map(Self::BuiltIn);
        if name.is_empty() {
            return Err(not_found("no program is named".to_owned()));
        }
        if let Some(export) = Export::parse(name) {
            return export.map(Self::Export).map_err(|error| not_found(error.to_string()));
        }
        if name.contains('/') {
            return match search.at(name) {
                Ok(found) => Ok(Self::Program(found)),
                Err(Errno::NOENT | Errno::NOTDIR) => {
                    let found = entry().or_else(built_in);
                    found.ok_or_else(|| not_found("no such file or directory".to_owned()))
                }
                Err(errno) => {
                    let reason = std::io::Error::from(errno).to_string();
                    Err(ExecError::NotExecutable { program: name.to_owned(), reason })
                }
            };
        }
        let found = search.in_path(name).map(Self::Program).or_else(entry).or_else(built_in);
        let found = found.or_else(|| search.in_working_dir(name).map(Self::Program));
        found.ok_or_else(|| not_found("executable file not found in $PATH".to_owned()))
    }
}

/// Whether a name is that of the image's own program: as the container calls it, or its last part.
fn is_entry(name: &str, argv: &[String]) -> bool {
    let Some(main) = argv.first().filter(|main| !main.is_empty()) else { return false };
    let last = main.rsplit('/').next().unwrap_or(main);
    name == main || name == last || last.strip_suffix(".wasm") == Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_images_program_is_known_by_its_name() {
        let is = |name: &str, main: &str| is_entry(name, &[main.to_owned()]);
        assert!(is("/app.wasm", "/app.wasm") && is("app.wasm", "/app.wasm") && is("app", "/app.wasm"));
        assert!(is("hello", "hello"));
        assert!(!is("app", "/application.wasm") && !is("", "") && !is("/other/app.wasm", "/app.wasm"));
    }
}
