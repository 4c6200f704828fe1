//! Where state and sockets live.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::{CliError, ErrorKind};

/// The state of a node whose user is root.
const ROOT_STATE: &str = "/var/lib/nacelle";

/// The part of the process' environment that directories depend on.
pub(crate) struct DirEnv<'a> {
    /// Reads an environment variable.
    pub(crate) var: &'a dyn Fn(&str) -> Option<OsString>,
    /// Whether the user is root.
    pub(crate) root: bool,
    /// Where relative paths start.
    pub(crate) current_dir: &'a Path,
}

impl DirEnv<'_> {
    /// The state directory: `--state-dir`, else `NACELLE_STATE_DIR`, else `$XDG_STATE_HOME/nacelle`, else
    /// `/var/lib/nacelle` for root and `~/.local/state/nacelle` for others. Always absolute.
    pub(crate) fn state_dir(&self, flag: Option<&Path>) -> Result<PathBuf, CliError> {
        if let Some(chosen) = self.chosen(flag, "NACELLE_STATE_DIR") {
            return Ok(chosen);
        }
        if let Some(home) = self.base("XDG_STATE_HOME") {
            return Ok(home.join("nacelle"));
        }
        if self.root {
            return Ok(PathBuf::from(ROOT_STATE));
        }
        match self.base("HOME") {
            Some(home) => Ok(home.join(".local/state/nacelle")),
            None => Err(CliError::new(ErrorKind::Usage, "cannot tell where to keep images: HOME is not set")
                .hint("name a directory with --state-dir or NACELLE_STATE_DIR")),
        }
    }

    /// The directory for compiled guests: `NACELLE_COMPILE_CACHE`; else it is below the state directory.
    pub(crate) fn compile_cache(&self) -> Option<PathBuf> {
        self.chosen(None, "NACELLE_COMPILE_CACHE")
    }

    fn chosen(&self, flag: Option<&Path>, variable: &str) -> Option<PathBuf> {
        let path = match flag {
            Some(path) => path.to_path_buf(),
            None => PathBuf::from((self.var)(variable).filter(|value| !value.is_empty())?),
        };
        Some(self.current_dir.join(path))
    }

    /// A base directory; the XDG specification has relative ones ignored.
    fn base(&self, variable: &str) -> Option<PathBuf> {
        (self.var)(variable).map(PathBuf::from).filter(|path| path.is_absolute())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<T>(variables: &[(&str, &str)], root: bool, ask: impl FnOnce(&DirEnv<'_>) -> T) -> T {
        let var = |name: &str| {
            variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| OsString::from(value))
        };
        ask(&DirEnv { var: &var, root, current_dir: Path::new("/here") })
    }

    fn state(variables: &[(&str, &str)], root: bool, flag: Option<&str>) -> PathBuf {
        with(variables, root, |env| env.state_dir(flag.map(Path::new)).unwrap())
    }

    #[test]
    fn the_flag_comes_before_the_variable_and_that_before_the_desktop_convention() {
        let all = [("NACELLE_STATE_DIR", "/own"), ("XDG_STATE_HOME", "/xdg"), ("HOME", "/home/me")];
        assert_eq!(state(&all, false, Some("/flag")), Path::new("/flag"));
        assert_eq!(state(&all, false, None), Path::new("/own"));
        assert_eq!(state(&all[1..], false, None), Path::new("/xdg/nacelle"));
        assert_eq!(state(&all[2..], false, None), Path::new("/home/me/.local/state/nacelle"));
        assert_eq!(state(&all[2..], true, None), Path::new("/var/lib/nacelle"));
    }

    #[test]
    fn relative_choices_start_at_the_current_directory_and_relative_bases_are_ignored() {
        assert_eq!(state(&[], true, Some("state")), Path::new("/here/state"));
        assert_eq!(state(&[("XDG_STATE_HOME", "relative")], true, None), Path::new("/var/lib/nacelle"));
    }

    #[test]
    fn without_a_home_the_user_is_asked_for_a_directory() {
        let error = with(&[], false, |env| env.state_dir(None).unwrap_err());
        assert!(error.to_string().contains("HOME is not set"));
    }
}
