//! `nacelle pull`, `images`, `rmi` and `prune` on a store that is empty.

use super::support::World;

#[test]
fn an_empty_store() {
    let world = World::new();
    let report = ["images", "prune"].map(|command| world.run(&[command])).concat()
        + &world.run(&["images", "-o", "json"])
        + &world.run(&["images", "-q"]);
    insta::assert_snapshot!(report);
}

#[test]
fn an_image_that_is_not_there() {
    insta::assert_snapshot!(World::new().run(&["rmi", "ghcr.io/example/app:1.0", "file:app.wasm"]));
}

#[test]
fn references_are_checked_before_anything_is_pulled() {
    insta::assert_snapshot!(World::new().run(&["pull", "UPPER/case", "file:readme.txt", "oci:"]));
}

#[test]
fn without_a_home_a_state_directory_is_needed() {
    let world = World::new();
    let mut command = world.command(&["images"]);
    command.env_remove("NACELLE_STATE_DIR").env_remove("HOME");
    let output = command.output().unwrap();
    // Root has a directory of its own.
    if !output.status.success() {
        assert_eq!(output.status.code(), Some(125));
        assert!(String::from_utf8(output.stderr).unwrap().contains("--state-dir"));
    }
}
