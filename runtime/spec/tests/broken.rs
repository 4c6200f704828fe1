//! Broken manifests and what is said about them: one file each in `broken/`, named by what is wrong.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use nacelle_spec::{Source, load};

fn manifests() -> Result<Vec<PathBuf>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken");
    let mut paths = Vec::new();
    for entry in folder.read_dir()? {
        paths.push(entry?.path());
    }
    paths.sort();
    Ok(paths)
}

#[test]
fn each_broken_manifest_gets_its_messages() -> Result<()> {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("broken-messages");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for path in manifests()? {
            let name = path.file_name().and_then(|name| name.to_str()).context("a file name")?.to_owned();
            let loaded = load(&[Source { name: name.clone(), bytes: std::fs::read(&path)? }]);
            assert!(loaded.has_errors(), "{name} has no error");
            let mut shown = String::new();
            for diagnostic in &loaded.diagnostics {
                writeln!(shown, "{diagnostic}")?;
            }
            insta::assert_snapshot!(name, shown);
        }
        Ok(())
    })
}

#[test]
fn there_are_at_least_sixty() -> Result<()> {
    assert!(manifests()?.len() >= 60);
    Ok(())
}
