use k8s_openapi::api::core::v1::Pod;

use super::*;
use crate::load::Schema;

/// The paths of all fields that hold a value, as the table writes them.
fn leaves(schema: &Schema, path: &str, found: &mut Vec<String>) {
    match schema {
        Schema::Object(fields) => {
            for (name, schema) in fields {
                leaves(schema, &join(path, name), found);
            }
        }
        Schema::List(element) | Schema::Map(element) => leaves(element, &format!("{path}[]"), found),
        _ => found.push(path.to_owned()),
    }
}

/// Every row with the whole path of each field it names.
fn rows() -> Vec<String> {
    table::SECTIONS
        .iter()
        .flat_map(|section| section.bases.iter().map(move |base| (base, section.rows)))
        .flat_map(|(base, rows)| rows.iter().map(move |row| join(base, row.path)))
        .collect()
}

fn covers(row: &str, leaf: &str) -> bool {
    match row.strip_suffix(".**") {
        Some(top) => leaf.strip_prefix(top).is_some_and(|below| below.is_empty() || below.starts_with(['.', '['])),
        None => row == leaf,
    }
}

#[test]
fn every_field_of_a_pod_has_exactly_one_row() {
    let mut fields = Vec::new();
    leaves(&Schema::of::<Pod>(), "", &mut fields);
    let rows = rows();
    let wrong: Vec<_> = fields
        .iter()
        .map(|field| (field, rows.iter().filter(|row| covers(row, field)).count()))
        .filter(|(_, count)| *count != 1)
        .collect();
    assert!(wrong.is_empty(), "fields and the number of their rows: {wrong:#?}");
}

#[test]
fn no_row_is_stale() {
    let mut fields = Vec::new();
    leaves(&Schema::of::<Pod>(), "", &mut fields);
    let stale: Vec<_> = rows()
        .into_iter()
        .filter(|row| {
            // A row for one key of a map is about the map's values.
            let row = row.replace("[cpu]", "[]").replace("[memory]", "[]");
            !fields.iter().any(|field| covers(&row, field))
        })
        .collect();
    assert!(stale.is_empty(), "{stale:#?}");
}

/// `docs/pod-support.md` is this table. `UPDATE_DOCS=1` writes it.
#[test]
fn the_documentation_is_the_table() -> std::io::Result<()> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/pod-support.md");
    let expected = markdown();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        return std::fs::write(path, expected);
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == expected, "docs/pod-support.md is out of date: run the test with UPDATE_DOCS=1");
    Ok(())
}
