//! Help is what most people read of the documentation.

use super::support::World;

#[test]
fn every_command_has_help() {
    let world = World::new();
    for command in ["run", "validate", "pull", "images", "rmi", "prune", "version", "completions"] {
        insta::assert_snapshot!(format!("help-{command}"), world.run(&[command, "--help"]));
    }
}

#[test]
fn the_command_line_as_a_whole() {
    insta::assert_snapshot!(World::new().run(&["--help"]));
}

#[test]
fn a_command_is_needed() {
    let output = World::new().output(&[]);
    assert_eq!(output.status.code(), Some(125));
    assert!(output.stdout.is_empty());
}

#[test]
fn a_command_that_is_misspelt() {
    insta::assert_snapshot!(World::new().run(&["runn"]));
}

#[test]
fn the_compiler_of_guests_is_not_for_people() {
    let help = World::new().run(&["--help"]);
    assert!(!help.contains("__compile"), "{help}");
}
