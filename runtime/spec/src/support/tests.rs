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
            let row = ["[cpu]", "[memory]", "[ephemeral-storage]", "[nacelle.dev/fuel]", "[hugepages-*]"]
                .iter()
                .fold(row.clone(), |row, key| row.replace(key, "[]"));
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

fn said(spec: &str) -> Vec<String> {
    let text = format!("apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\nspec:\n{spec}");
    let loaded = crate::load(&[crate::Source { name: "p".to_owned(), bytes: text.into_bytes() }]);
    loaded.diagnostics.iter().map(ToString::to_string).collect()
}

const NOTHING: [String; 0] = [];

#[test]
fn a_field_without_effect_is_a_warning_with_its_reason() {
    let said = said(
        "  nodeSelector: {disk: ssd}\n  hostUsers: false\n  runtimeClassName: x\n  containers:\n  - {name: app, image: app}\n",
    );
    assert_eq!(
        said,
        [
            "p:6:3: warning: spec.nodeSelector: has no effect here: there is one node, and the pod runs on it",
            "p:8:3: warning: spec.runtimeClassName: has no effect here: a container's image decides what runs it",
        ]
    );
}

#[test]
fn defaults_that_are_written_out_say_nothing() {
    let container = "{name: app, image: app, tty: false, terminationMessagePath: /dev/termination-log, \
                     terminationMessagePolicy: File, securityContext: {}, resources: {}}";
    let spec = format!(
        "  dnsPolicy: ClusterFirst\n  schedulerName: default-scheduler\n  hostPID: false\n  priority: 0\n  subdomain: \"\"\n  tolerations: []\n  \
         ephemeralContainers: []\n  securityContext: {{}}\n  hostAliases: null\n  containers:\n  - {container}\n"
    );
    assert_eq!(said(&spec), NOTHING);
}

#[test]
fn limits_are_known_by_their_resource() {
    let limits =
        "{cpu: 1, memory: 1Gi, ephemeral-storage: 1Gi, nacelle.dev/fuel: 1M, example.com/gpu: 1, hugepages-1Gi: 1Gi}";
    let said = said(&format!("  containers:\n  - name: app\n    image: app\n    resources:\n      limits: {limits}\n"));
    for rejected in
        ["[example.com/gpu]: not supported: this node has cpu", "[hugepages-1Gi]: not supported: this node has no"]
    {
        let path = format!("error: spec.containers[0].resources.limits{rejected}");
        assert_eq!(said.iter().filter(|line| line.contains(&path)).count(), 1, "{said:?}");
    }
    for key in ["cpu", "memory", "ephemeral-storage", "nacelle.dev/fuel"] {
        assert!(!said.iter().any(|line| line.contains(&format!("limits[{key}]"))), "{said:?}");
    }
}

#[test]
fn own_annotations_that_are_not_known_are_named() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n  annotations:\n    nacelle.dev/fule: '1'\n    other/x: '1'\n\
                spec: {containers: [{name: app, image: app}]}\n";
    let loaded = crate::load(&[crate::Source { name: "p".to_owned(), bytes: text.into() }]);
    let said: Vec<_> = loaded.diagnostics.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("p:6:5: warning: metadata.annotations[nacelle.dev/fule]: "), "{said:?}");
    assert!(!loaded.has_errors());
}
