//! The commands, and what holds for all of them.

mod cat;
mod echo;
mod env;
mod ls;
mod rm;
mod sleep;
mod test;
mod touch;

use nacelle_infra::budget::{Ledger, OverBudget};

use crate::failure::Failure;
use crate::process::Process;
use crate::{shell, tar};

/// What a command is charged with while it runs, in bytes: its arguments, its buffers, a chunk on its way.
const MEMORY: u64 = 128 * 1024;

/// A command of this crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// `cat [FILE…]`
    Cat,
    /// `echo [-n] [WORD…]`
    Echo,
    /// `env`
    Env,
    /// `false`
    False,
    /// `ls [-1aAdl] [PATH…]`
    Ls,
    /// `rm [-fr] PATH…`
    Rm,
    /// `sh -c SCRIPT [NAME [ARGUMENT…]]`
    Sh,
    /// `sleep TIME…`
    Sleep,
    /// `tar -c|-x|-t [-m] [-f FILE] [-C DIR] [PATH…]`
    Tar,
    /// `test EXPRESSION` and `[ EXPRESSION ]`
    Test,
    /// `touch [-c] FILE…`
    Touch,
    /// `true`
    True,
}

impl Command {
    /// All of them, with their names.
    const ALL: [(&'static str, Self); 13] = [
        ("[", Self::Test),
        ("cat", Self::Cat),
        ("echo", Self::Echo),
        ("env", Self::Env),
        ("false", Self::False),
        ("ls", Self::Ls),
        ("rm", Self::Rm),
        ("sh", Self::Sh),
        ("sleep", Self::Sleep),
        ("tar", Self::Tar),
        ("test", Self::Test),
        ("touch", Self::Touch),
        ("true", Self::True),
    ];

    /// The command that a program's name means, if it means one: a bare name, or one in `/bin` or `/usr/bin`.
    pub fn named(program: &str) -> Option<Self> {
        let name = ["/bin/", "/usr/bin/"].into_iter().find_map(|dir| program.strip_prefix(dir)).unwrap_or(program);
        Self::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, command)| command)
    }

    /// Runs it to its end. Dropping the future ends it at once.
    ///
    /// # Errors
    /// [`OverBudget`] when the container has no memory for it.
    pub async fn run(self, process: Process) -> Result<u8, OverBudget> {
        let _held = Ledger::with_floor(process.memory.clone(), MEMORY)?;
        let name = process.argv.first().cloned().unwrap_or_default();
        let outcome = match self {
            Self::Cat => cat::run(&process).await,
            Self::Echo => echo::run(&process).await,
            Self::Env => env::run(&process).await,
            Self::False => Ok(1),
            Self::Ls => ls::run(&process).await,
            Self::Rm => rm::run(&process).await,
            Self::Sh => shell::run(&process).await,
            Self::Sleep => sleep::run(&process).await,
            Self::Tar => tar::run(&process).await,
            Self::Test => test::run(&process),
            Self::Touch => touch::run(&process).await,
            Self::True => Ok(0),
        };
        match outcome {
            Ok(code) => Ok(code),
            Err(Failure::Message { code, message }) => {
                process.complain(&name, &message).await;
                Ok(code)
            }
            // 128 and the number of SIGPIPE.
            Err(Failure::Closed) => Ok(141),
            Err(Failure::Memory(over)) => Err(over),
        }
    }
}

#[cfg(test)]
mod tests;
