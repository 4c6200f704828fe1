//! The examples of docs/cli.md do what they show.
//!
//! A `yaml` block whose first line is `# NAME` is a file of that name. A `console` block is commands behind `$ `, each
//! followed by what it prints: standard output, then standard error. `echo $?` shows the exit code of the command before
//! it.

use std::process::Output;

use super::support::World;

/// Blocks of the document: language and lines.
fn blocks(document: &str) -> Vec<(String, Vec<&str>)> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, Vec<&str>)> = None;
    for line in document.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(language), None) => open = Some((language.to_owned(), Vec::new())),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some((_, lines))) => lines.push(line),
            (None, None) => {}
        }
    }
    blocks
}

fn printed(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8(both).unwrap();
    let mut lines = String::new();
    for line in text.lines() {
        match line.split_once(r#""time":""#) {
            Some((before, after)) => {
                let (_, rest) = after.split_once('"').unwrap();
                lines.push_str(&format!("{before}\"time\":\"[TIME]\"{rest}\n"));
            }
            None => lines.push_str(&format!("{line}\n")),
        }
    }
    lines
}

#[test]
fn examples_do_what_they_show() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md");
    let document = std::fs::read_to_string(path).unwrap();
    let world = World::new();
    let mut commands = 0;
    for (language, lines) in blocks(&document) {
        if let ("yaml", Some(name)) = (language.as_str(), lines[0].strip_prefix("# ")) {
            world.write(name, lines.join("\n") + "\n");
        }
        if language != "console" {
            continue;
        }
        let mut code = None;
        let mut lines = lines.into_iter().peekable();
        while let Some(line) = lines.next() {
            let command = line.strip_prefix("$ ").unwrap_or_else(|| panic!("not a command: {line}"));
            let mut expected = String::new();
            while let Some(line) = lines.next_if(|line| !line.starts_with("$ ")) {
                expected.push_str(line);
                expected.push('\n');
            }
            if command == "echo $?" {
                assert_eq!(code, Some(expected.trim_end().parse().unwrap()), "{command}");
                continue;
            }
            let args: Vec<&str> = command.split_whitespace().skip(1).collect();
            let output = world.output(&args);
            assert_eq!(printed(&output), expected, "{command}");
            code = output.status.code();
            commands += 1;
        }
    }
    assert!(commands >= 7, "docs/cli.md has lost its examples");
}
