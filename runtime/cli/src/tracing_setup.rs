//! What the libraries trace goes to standard error: `RUST_LOG` decides when it is set, else `-v` and `-q`.

use tracing_subscriber::EnvFilter;

/// How much the libraries may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verbosity {
    /// `-q`.
    Quiet,
    /// Neither flag.
    Normal,
    /// `-v`.
    Verbose,
    /// `-vv` and more.
    Debug,
}

impl Verbosity {
    /// A directive holds for every target that begins with its name, so `nacelle` stands for all of nacelle's crates.
    /// What other libraries have to say is in nacelle's own errors already.
    fn directives(self) -> &'static str {
        match self {
            Self::Quiet => "off,nacelle=error",
            Self::Normal => "off,nacelle=warn",
            Self::Verbose => "warn,nacelle=info",
            Self::Debug => "info,nacelle=debug",
        }
    }
}

/// Installs the subscriber of this process.
pub(crate) fn install(verbosity: Verbosity) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(verbosity.directives()));
    // It can only fail when one is installed already, and then that one serves.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(crate::output::Streams::detect().stderr.color)
        .try_init();
}
