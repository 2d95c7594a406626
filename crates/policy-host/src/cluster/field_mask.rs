//! Field masks: prune an object to the dotted paths that a policy requests.
//!
//! As in `crates/policy-evaluator/src/callback_handler/kubernetes/field_mask.rs`, apiVersion, kind and
//! metadata are never pruned.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

#[derive(Default)]
struct Node {
    children: BTreeMap<String, Node>,
}

/// Prunes an object. Without a mask, or with an empty one, it stays complete.
pub(crate) fn prune(object: &mut Value, masks: Option<&BTreeSet<String>>) {
    let Some(masks) = masks else { return };
    let mut root = Node::default();
    for path in masks {
        let mut node = &mut root;
        for part in path.split('.') {
            node = node.children.entry(part.to_owned()).or_default();
        }
    }
    if root.children.is_empty() {
        return;
    }
    for kept in ["apiVersion", "kind", "metadata"] {
        root.children.insert(kept.to_owned(), Node::default());
    }
    prune_below(object, &root);
}

fn prune_below(value: &mut Value, node: &Node) {
    if node.children.is_empty() {
        return;
    }
    match value {
        Value::Object(map) => map.retain(|key, value| match node.children.get(key) {
            Some(child) => {
                prune_below(value, child);
                true
            }
            None => false,
        }),
        Value::Array(items) => items.iter_mut().for_each(|item| prune_below(item, node)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case::nested(&["status.conditions"], json!({"status": {"conditions": [{"type": "Ready", "reason": "r"}]}}))]
    #[case::through_lists(&["status.conditions.type"], json!({"status": {"conditions": [{"type": "Ready"}]}}))]
    #[case::two(&["spec", "status.x"], json!({"spec": {"ca": {}}, "status": {"x": 1}}))]
    #[case::absent(&["nothing"], json!({}))]
    #[case::into_a_scalar(&["status.x.y"], json!({"status": {"x": 1}}))]
    #[case::none(&[], json!({"spec": {"ca": {}}, "status": {"x": 1, "conditions": [{"type": "Ready", "reason": "r"}]}}))]
    #[case::metadata_stays_complete(&["metadata.name"], json!({}))]
    fn a_mask_keeps(#[case] masks: &[&str], #[case] kept: Value) {
        let mut object = json!({"apiVersion": "v1", "kind": "K", "metadata": {"name": "n", "labels": {"a": "b"}},
            "spec": {"ca": {}}, "status": {"x": 1, "conditions": [{"type": "Ready", "reason": "r"}]}});
        prune(&mut object, Some(&masks.iter().map(|mask| (*mask).to_owned()).collect()));
        let mut expected = kept;
        for key in ["apiVersion", "kind", "metadata"] {
            expected[key] = object[key].clone();
        }
        assert_eq!(object["metadata"], json!({"name": "n", "labels": {"a": "b"}}));
        assert_eq!(object, expected);
    }
}
