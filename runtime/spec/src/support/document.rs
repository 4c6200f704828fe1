//! The table as a page of documentation.

use std::fmt::Write as _;

use super::{Support, table};
use crate::annotations;

/// The table of Pod fields as Markdown: what `docs/pod-support.md` holds.
pub fn markdown() -> String {
    let mut text = String::from(INTRODUCTION);
    for section in table::SECTIONS {
        let _ = writeln!(text, "\n## {}\n", section.title);
        let bases: Vec<_> =
            section.bases.iter().filter(|base| !base.is_empty()).map(|base| format!("`{base}`")).collect();
        if !bases.is_empty() {
            let _ = writeln!(text, "Under {}:\n", bases.join(" and "));
        }
        text.push_str("| field | support | |\n|---|---|---|\n");
        for row in section.rows {
            let (support, note) = describe(&row.support);
            let _ = writeln!(text, "| `{}` | {support} | {note} |", row.path);
        }
    }
    let _ = writeln!(
        text,
        "\n## Annotations\n\nUnder `metadata.annotations`, with the prefix `{}`:\n",
        annotations::PREFIX
    );
    text.push_str("| annotation | value | effect |\n|---|---|---|\n");
    for annotation in annotations::ALL {
        let _ = writeln!(text, "| `{}` | {} | {} |", annotation.name, annotation.values, annotation.effect);
    }
    text
}

const INTRODUCTION: &str = "# Pod fields

<!-- Generated from runtime/spec/src/support/table.rs. To update: UPDATE_DOCS=1 cargo test -p nacelle-spec -->

Every field of a Kubernetes 1.37 Pod is in one of these tables.

- **honoured**: does what Kubernetes says it does.
- **warning**: accepted, has no effect here, and `nacelle` says so.
- **rejected**: would change what the pod does and is not honoured, so the manifest is refused.

`[]` stands for each element of a list or each value of a map, `.**` for a field and all below it. A field that is
absent, null, an empty text or an empty list is never warned about or rejected, nor is a value that is given here as
honoured.
";

fn describe(support: &Support) -> (&'static str, String) {
    match support {
        Support::Honoured(note) => ("honoured", (*note).to_owned()),
        Support::Warned(why) => ("warning", (*why).to_owned()),
        Support::Rejected(why) => ("rejected", (*why).to_owned()),
        Support::Unbuilt("") => ("rejected", "not built yet".to_owned()),
        Support::Unbuilt(instead) => ("rejected", format!("not built yet: {instead}")),
        Support::Only(values, otherwise) => {
            let values: Vec<_> = values
                .iter()
                .map(|value| if value.is_empty() { "`\"\"`".to_owned() } else { format!("`{value}`") })
                .collect();
            let (support, note) = describe(otherwise);
            ("honoured", format!("{}; otherwise {support}: {note}", values.join(", ")))
        }
    }
}
