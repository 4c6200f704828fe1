//! `nacelle version`.

use super::support::World;

#[test]
fn what_it_is_built_on() {
    let output = World::new().output(&["version", "--output", "json"]);
    let versions: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(versions["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(versions["wasi"], serde_json::json!(["0.1", "0.2", "0.3"]));
    let wasmtime = versions["wasmtime"].as_str().unwrap();
    assert!(
        wasmtime.split('.').count() == 3 && wasmtime.split('.').all(|part| part.parse::<u32>().is_ok()),
        "{wasmtime}"
    );
}

#[test]
fn for_people() {
    let text = World::new().run(&["version"]);
    assert!(text.contains(&format!("nacelle   {}\n", env!("CARGO_PKG_VERSION"))), "{text}");
    assert!(text.contains("WASI      0.1, 0.2, 0.3\n"), "{text}");
}
