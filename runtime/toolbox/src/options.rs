//! Command lines: single-letter options, then operands.

use crate::failure::Failure;

/// What a command line holds.
pub(crate) struct Options<'a> {
    letters: Vec<char>,
    /// What follows the options.
    pub(crate) operands: &'a [String],
}

impl<'a> Options<'a> {
    /// Reads the arguments after the name. `known` are the letters that the command has.
    ///
    /// # Errors
    /// A usage error for any other option.
    pub(crate) fn parse(arguments: &'a [String], known: &str) -> Result<Self, Failure> {
        let mut letters = Vec::new();
        let mut operands = arguments;
        while let [first, rest @ ..] = operands {
            let Some(cluster) = first.strip_prefix('-').filter(|cluster| !cluster.is_empty()) else { break };
            operands = rest;
            if cluster == "-" {
                break;
            }
            if let Some(unknown) = cluster.chars().find(|letter| !known.contains(*letter)) {
                let option = if unknown == '-' { first.clone() } else { format!("-{unknown}") };
                return Err(Failure::usage(format!("option {option} is not supported by this built-in command")));
            }
            letters.extend(cluster.chars());
        }
        Ok(Self { letters, operands })
    }

    /// Whether a letter is there.
    pub(crate) fn has(&self, letter: char) -> bool {
        self.letters.contains(&letter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_cluster_and_end_with_two_dashes() {
        let line = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let arguments = line(&["-rf", "-r", "--", "-x"]);
        let options = Options::parse(&arguments, "rf").unwrap();
        assert!(options.has('r') && options.has('f') && !options.has('x'));
        assert_eq!(options.operands, ["-x"]);
        let arguments = line(&["-", "-r"]);
        assert_eq!(Options::parse(&arguments, "r").unwrap().operands, ["-", "-r"]);
        for (words, option) in [(["-rx"], "-x"), (["--help"], "--help")] {
            let arguments = line(&words);
            let error = Options::parse(&arguments, "r").err().unwrap();
            assert_eq!(error.to_string(), format!("option {option} is not supported by this built-in command"));
        }
    }
}
