//! Paths as the command line gives them.

use wasip2::filesystem::preopens;
use wasip2::filesystem::types::{Descriptor, ErrorCode};

/// A directory to start from, and a path for the host.
pub(crate) struct Path {
    pub(crate) base: Descriptor,
    pub(crate) path: String,
}

impl Path {
    /// # Errors
    /// `no-entry` where the container has no such directory to start from.
    pub(crate) fn new(text: &str) -> Result<Self, ErrorCode> {
        let (name, path) = text.strip_prefix(".:").map_or(("/", text), |path| (".", path));
        let base = preopens::get_directories().into_iter().find(|(_, preopened)| preopened == name);
        let (base, _) = base.ok_or(ErrorCode::NoEntry)?;
        Ok(Self { base, path: expand(path) })
    }
}

/// Repeats what is in braces: `a/{b*3}` is `a/bbb`, and `{NUL*1}` the character that ends a string in C.
pub(crate) fn expand(text: &str) -> String {
    let Some((before, rest)) = text.split_once('{') else {
        return text.to_owned();
    };
    let Some(((name, count), after)) =
        rest.split_once('}').and_then(|(inside, after)| Some((inside.rsplit_once('*')?, after)))
    else {
        return text.to_owned();
    };
    let Ok(count) = count.parse() else {
        return text.to_owned();
    };
    let name = if name == "NUL" { "\0" } else { name };
    format!("{before}{}{}", name.repeat(count), expand(after))
}
