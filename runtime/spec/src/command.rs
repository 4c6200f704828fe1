//! What a container runs: the image's entrypoint and command against the manifest's `command` and `args`.
//!
//! | `command` | `args` | argv |
//! |---|---|---|
//! | – | – | image entrypoint, image command |
//! | set | – | `command` |
//! | – | set | image entrypoint, `args` |
//! | set | set | `command`, `args` |
//!
//! An empty list counts as not set. Only the manifest's parts have their `$(NAME)` references expanded.

use k8s_openapi::api::core::v1::Container;

use crate::env::{ExpandedTooLong, expand_args};

/// What an image's configuration says to run.
#[derive(Clone, Copy, Debug, Default)]
pub struct ImageCommand<'a> {
    /// `config.Entrypoint`.
    pub entrypoint: &'a [String],
    /// `config.Cmd`.
    pub cmd: &'a [String],
}

/// Why there is nothing to run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// Neither the image nor the manifest names a program.
    #[error("no command specified")]
    Empty,
    /// The manifest's references expand to too much.
    #[error(transparent)]
    TooLong(#[from] ExpandedTooLong),
}

/// The container's argv.
///
/// # Errors
/// When it is empty or too long.
pub fn resolve_argv(
    image: ImageCommand<'_>,
    container: &Container,
    env: &[(String, String)],
) -> Result<Vec<String>, CommandError> {
    let command = container.command.as_deref().unwrap_or_default();
    let args = container.args.as_deref().unwrap_or_default();
    let mut argv = match command {
        [] => image.entrypoint.to_vec(),
        command => expand_args(command, env)?,
    };
    match (command, args) {
        ([], []) => argv.extend_from_slice(image.cmd),
        (_, args) => argv.extend(expand_args(args, env)?),
    }
    if argv.is_empty() { Err(CommandError::Empty) } else { Ok(argv) }
}

#[cfg(test)]
mod tests {
    use super::{CommandError, ImageCommand, resolve_argv};
    use k8s_openapi::api::core::v1::Container;

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn the_four_rows_of_the_table() {
        let (entrypoint, cmd) = (strings(&["/ep", "$(A)"]), strings(&["cmd"]));
        let image = ImageCommand { entrypoint: &entrypoint, cmd: &cmd };
        let env = vec![("A".to_owned(), "a".to_owned())];
        for (command, args, argv) in [
            (None, None, vec!["/ep", "$(A)", "cmd"]),
            (Some(vec![]), Some(vec![]), vec!["/ep", "$(A)", "cmd"]),
            (Some(vec!["c"]), None, vec!["c"]),
            (None, Some(vec!["$(A)"]), vec!["/ep", "$(A)", "a"]),
            (Some(vec!["$(A)"]), Some(vec!["$$(A)", "$(B)"]), vec!["a", "$(A)", "$(B)"]),
        ] {
            let container = Container {
                command: command.as_deref().map(strings),
                args: args.as_deref().map(strings),
                ..Container::default()
            };
            assert_eq!(resolve_argv(image, &container, &env), Ok(strings(&argv)), "{command:?} {args:?}");
        }
    }

    #[test]
    fn an_image_without_a_command_needs_one() {
        let error = resolve_argv(ImageCommand::default(), &Container::default(), &[]);
        assert_eq!(error, Err(CommandError::Empty));
    }
}
