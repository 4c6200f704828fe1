//! `$(NAME)` references, with the rules of Kubernetes' `third_party/forked/golang/expansion`.
//!
//! `$(NAME)` is replaced by the variable's value and left as it stands when there is no such variable; `$$` is one
//! `$`, so `$$(NAME)` is the text `$(NAME)`; any other `$` stands for itself. Values are not expanded again.

use std::collections::HashMap;

/// The longest text an expansion may make, in bytes: what a Linux kernel takes as arguments and environment.
pub const MAX_EXPANDED: usize = 2 * 1024 * 1024;

/// References multiplied a text beyond [`MAX_EXPANDED`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text is longer than {MAX_EXPANDED} bytes once its $(NAME) references are expanded")]
pub struct ExpandedTooLong;

/// Replaces the references in `input`; `value_of` answers `None` for an undefined name, whose reference is kept.
///
/// # Errors
/// When the result would be longer than [`MAX_EXPANDED`].
pub fn expand<'v>(input: &str, mut value_of: impl FnMut(&str) -> Option<&'v str>) -> Result<String, ExpandedTooLong> {
    let mut output = String::with_capacity(input.len());
    let mut rest = input;
    // Once no `)` follows, none follows later: without this, `$($($(…` would be searched again at every `$(`.
    let mut closed = true;
    while let Some(dollar) = rest.find('$') {
        output.push_str(&rest[..dollar]);
        rest = &rest[dollar..];
        if let Some(after) = rest.strip_prefix("$$") {
            output.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix("$(").filter(|_| closed).and_then(|r| r.split_once(')')) {
            match value_of(name) {
                Some(value) => output.push_str(value),
                None => output.push_str(&rest[..rest.len() - after.len()]),
            }
            rest = after;
        } else {
            closed = closed && !rest.starts_with("$(");
            output.push('$');
            rest = &rest[1..];
        }
        if output.len() > MAX_EXPANDED {
            return Err(ExpandedTooLong);
        }
    }
    output.push_str(rest);
    if output.len() > MAX_EXPANDED {
        return Err(ExpandedTooLong);
    }
    Ok(output)
}

/// Expands each of a container's `command` or `args` with its environment.
///
/// # Errors
/// When all of them together would be longer than [`MAX_EXPANDED`].
pub fn expand_args(argv: &[String], env: &[(String, String)]) -> Result<Vec<String>, ExpandedTooLong> {
    let values: HashMap<&str, &str> = env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut total = 0;
    let mut expanded = Vec::with_capacity(argv.len());
    for arg in argv {
        let arg = expand(arg, |name| values.get(name).copied())?;
        total += arg.len();
        if total > MAX_EXPANDED {
            return Err(ExpandedTooLong);
        }
        expanded.push(arg);
    }
    Ok(expanded)
}
