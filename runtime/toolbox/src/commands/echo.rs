//! `echo`: words. Of options it has `-n`; backslashes are left as they are, as POSIX allows and `bash` does.

use crate::failure::Outcome;
use crate::process::Process;

pub(super) async fn run(process: &Process) -> Outcome {
    let (words, end) = match process.arguments() {
        [first, rest @ ..] if first == "-n" => (rest, ""),
        words => (words, "\n"),
    };
    process.print(words.join(" ") + end).await?;
    Ok(0)
}
