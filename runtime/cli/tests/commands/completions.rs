//! `nacelle completions`.

use super::support::World;

#[test]
fn every_shell_gets_a_script_with_the_commands() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = world.output(&["completions", shell]);
        let script = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{shell}");
        for command in ["run", "validate", "pull", "images", "rmi", "prune"] {
            assert!(script.contains(command), "{shell}: {command} is missing");
        }
        assert!(!script.contains("__compile"), "{shell}");
    }
}

#[test]
fn bash_accepts_its_script() {
    let script = World::new().output(&["completions", "bash"]).stdout;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), script).unwrap();
    let checked = std::process::Command::new("bash").arg("-n").arg(file.path()).status();
    assert!(checked.is_ok_and(|status| status.success()));
}
