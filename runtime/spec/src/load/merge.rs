//! YAML's merge key: `<<: *defaults` (yaml.org/type/merge), which Kubernetes honours.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::node::{Entry, Mark, Node, NodeValue};
use super::text::SyntaxError;

/// Adds the merged maps' fields that `entries` does not set itself; an earlier map's win over a later one's.
pub(crate) fn apply(entries: &mut Vec<Entry>, merges: Vec<(Mark, Rc<Node>)>) -> Result<(), SyntaxError> {
    if merges.is_empty() {
        return Ok(());
    }
    let mut known: BTreeSet<String> = entries.iter().map(|entry| entry.key.clone()).collect();
    let mut add = |merged: &Node| {
        for Entry { key, mark, node } in merged.entries() {
            if known.insert(key.clone()) {
                entries.push(Entry { key: key.clone(), mark: *mark, node: Rc::clone(node) });
            }
        }
    };
    for (mark, node) in merges {
        match &node.value {
            NodeValue::Map(_) => add(&node),
            NodeValue::List(items) if items.iter().all(|item| matches!(item.value, NodeValue::Map(_))) => {
                items.iter().for_each(|item| add(item));
            }
            _ => {
                return Err(SyntaxError::new(mark, "the merge key << takes a map, or a list of maps")
                    .hint("quote it (\"<<\") if it is a name"));
            }
        }
    }
    Ok(())
}
