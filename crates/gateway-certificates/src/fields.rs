//! Field ownership: the fields of a Certificate that the controller owns, from its
//! `metadata.managedFields`.
//!
//! The owned fields must be equal to the desired ones. If another client changes a field, that client
//! owns it. If a field is removed from the plan, the controller still owns it. Comparing the owned part
//! with the desired state finds both.
//!
//! The API server records a POST and an apply of one manager as two entries
//! (<https://kubernetes.io/docs/reference/using-api/server-side-apply/#upgrading-from-client-side-apply-to-server-side-apply>).
//! While the entry of the POST exists, a field that the apply omits is not removed. Therefore [`as_applied`]
//! converts it to an apply entry before the first change.

use certificate_shim::owner::OWNER_NAME;
use serde_json::{Map, Value, json};

pub use certificate_shim::owner::FIELD_MANAGER as MANAGER;

/// The part of an object that the controller owns.
pub fn owned(object: &Value) -> Value {
    let fields = union(entries(object).filter(|entry| is_ours(entry)));
    match fields.is_empty() {
        true => Value::Object(Map::new()),
        false => project(object, &fields),
    }
}

/// `metadata.managedFields` with all of the controller's entries merged into one apply entry; `None` if
/// that is already the case.
pub fn as_applied(object: &Value) -> Option<Value> {
    let updated = entries(object).find(|entry| is_ours(entry) && entry["operation"] != "Apply")?;
    let mut rest: Vec<Value> = entries(object).filter(|entry| !is_ours(entry)).cloned().collect();
    rest.push(json!({
        "manager": MANAGER,
        "operation": "Apply",
        "apiVersion": updated["apiVersion"],
        "time": updated["time"],
        "fieldsType": "FieldsV1",
        "fieldsV1": union(entries(object).filter(|entry| is_ours(entry))),
    }));
    Some(Value::Array(rest))
}

/// `metadata.managedFields` for an object that the controller takes over: the fields of `desired` belong to no
/// client that wrote them by a POST, PUT or PATCH. Otherwise they would stay when the plan does not contain
/// them any more. Clients that apply keep theirs, since they apply them again. `None` if there are no such
/// fields.
pub fn as_taken_over(object: &Value, desired: &Value) -> Option<Value> {
    let mut changed = false;
    let mut reduced = Vec::new();
    for entry in entries(object) {
        let mut entry = entry.clone();
        let is_update = entry["operation"] == "Update" && entry.get("subresource").is_none();
        if is_update
            && !is_ours(&entry)
            && let Some(fields) = entry["fieldsV1"].as_object_mut()
        {
            changed |= subtract(fields, desired);
            if fields.is_empty() {
                continue;
            }
        }
        reduced.push(entry);
    }
    if reduced.is_empty() {
        // With an empty list, the API server would record all fields as owned before the first apply.
        let first = entries(object).next()?;
        reduced.push(json!({
            "manager": MANAGER,
            "operation": "Apply",
            "apiVersion": first["apiVersion"],
            "time": first["time"],
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {"f:secretName": {}}},
        }));
    }
    changed.then_some(Value::Array(reduced))
}

/// Removes the fields of a value from a field set. Returns whether it changed.
fn subtract(fields: &mut Map<String, Value>, value: &Value) -> bool {
    let mut changed = false;
    for (name, value) in value.as_object().into_iter().flatten() {
        let name = ["f:", name].concat();
        let Some(Value::Object(below)) = fields.get_mut(&name) else { continue };
        let is_list = value.is_array() && below.keys().any(|key| key.starts_with("k:"));
        if value.is_object() && !below.is_empty() {
            changed |= subtract(below, value);
        } else if !is_list {
            below.clear();
            changed = true;
        }
        if below.keys().all(|key| key == ".") && !is_list {
            fields.remove(&name);
        }
    }
    changed
}

/// The controller's entries in `metadata.managedFields`, reduced to the fields that identify the owner.
pub fn owner_entries(object: &Value) -> Value {
    let reduced = |entry: &Value| {
        let metadata = &entry["fieldsV1"]["f:metadata"];
        let record = ["f:", OWNER_NAME].concat();
        let mut annotations = Map::new();
        if let Some(name) = metadata["f:annotations"].get(&record) {
            annotations.insert(record, name.clone());
        }
        json!({"manager": MANAGER, "fieldsV1": {"f:metadata": {
            "f:ownerReferences": metadata["f:ownerReferences"], "f:annotations": annotations,
        }}})
    };
    entries(object).filter(|entry| is_ours(entry)).map(reduced).collect()
}

/// The other managers of a field, sorted. The path has the form `spec.dnsNames`, as in messages.
pub fn other_managers(object: &Value, path: &str) -> Vec<String> {
    let owns = |entry: &&Value| {
        let mut fields = entry.get("fieldsV1");
        for name in path.split('.') {
            fields = fields.and_then(|fields| fields.get(["f:", name].concat()));
        }
        fields.is_some()
    };
    let managers = entries(object).filter(|entry| !is_ours(entry)).filter(owns);
    let mut names: Vec<String> =
        managers.filter_map(|entry| entry["manager"].as_str()).map(str::to_owned).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn entries(object: &Value) -> impl Iterator<Item = &Value> {
    object.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten()
}

fn is_ours(entry: &Value) -> bool {
    let subresource = entry.get("subresource").and_then(Value::as_str).unwrap_or_default();
    entry["manager"] == MANAGER && subresource.is_empty()
}

fn union<'e>(entries: impl Iterator<Item = &'e Value>) -> Map<String, Value> {
    let mut all = Map::new();
    for fields in entries.filter_map(|entry| entry.get("fieldsV1")?.as_object()) {
        merge(&mut all, fields);
    }
    all
}

fn merge(into: &mut Map<String, Value>, from: &Map<String, Value>) {
    for (key, fields) in from {
        let into = into.entry(key.as_str()).or_insert_with(|| json!({}));
        if let (Value::Object(into), Value::Object(fields)) = (into, fields) {
            merge(into, fields);
        }
    }
}

/// The part of a value that a field set selects (`FieldsV1` in apimachinery's meta/v1/types.go): `f:`
/// selects a field, `k:` a list item by its keys, `v:` an item of a set, `.` the value without its
/// content, and an empty set the complete value.
fn project(value: &Value, fields: &Map<String, Value>) -> Value {
    let none = Map::new();
    let below = |key: &str| fields.get(key).map(|fields| fields.as_object().unwrap_or(&none));
    match value {
        _ if fields.is_empty() => value.clone(),
        Value::Object(object) => {
            let part = |(name, value): (&String, &Value)| {
                Some((name.clone(), project(value, below(&format!("f:{name}"))?)))
            };
            object.iter().filter_map(part).collect()
        }
        Value::Array(items) => {
            let part = |item: &Value| {
                let named = fields.iter().find(|(key, _)| names(key, item))?;
                Some(project(item, named.1.as_object().unwrap_or(&none)))
            };
            items.iter().filter_map(part).collect()
        }
        _ => value.clone(),
    }
}

fn names(key: &str, item: &Value) -> bool {
    let parse = |json: &str| serde_json::from_str::<Value>(json).ok();
    match key.split_once(':') {
        Some(("k", keys)) => match parse(keys) {
            Some(Value::Object(keys)) => keys.iter().all(|(key, value)| item.get(key) == Some(value)),
            _ => false,
        },
        Some(("v", value)) => parse(value).as_ref() == Some(item),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    fn entry(operation: &str, fields: Value) -> Value {
        json!({"manager": MANAGER, "operation": operation, "apiVersion": "cert-manager.io/v1",
            "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": fields})
    }

    fn object(entries: Value) -> Value {
        json!({
            "metadata": {
                "name": "a",
                "labels": {"ours": "1", "theirs": "2"},
                "ownerReferences": [{"uid": "u1", "name": "x"}, {"uid": "u2", "name": "y"}],
                "managedFields": entries,
            },
            "spec": {"secretName": "a", "dnsNames": ["x", "y"], "issuerRef": {"name": "le", "kind": "Issuer"}},
        })
    }

    #[rstest]
    #[case::no_manager(json!([]), json!({}))]
    #[case::another_manager(json!([{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}]), json!({}))]
    #[case::our_status(json!([{"manager": MANAGER, "subresource": "status", "fieldsV1": {"f:spec": {}}}]), json!({}))]
    #[case::complete(json!([entry("Apply", json!({"f:spec": {"f:issuerRef": {}}}))]), json!({"spec": {"issuerRef": {"name": "le", "kind": "Issuer"}}}))]
    #[case::one_field(json!([entry("Update", json!({"f:spec": {".": {}, "f:issuerRef": {".": {}, "f:name": {}}}}))]), json!({"spec": {"issuerRef": {"name": "le"}}}))]
    #[case::without_content(json!([entry("Update", json!({"f:metadata": {"f:labels": {".": {}}}}))]), json!({"metadata": {"labels": {}}}))]
    #[case::an_atomic_list(json!([entry("Update", json!({"f:spec": {"f:dnsNames": {}}}))]), json!({"spec": {"dnsNames": ["x", "y"]}}))]
    #[case::an_item_by_key(json!([entry("Update", json!({"f:metadata": {"f:ownerReferences": {".": {}, "k:{\"uid\":\"u2\"}": {}}}}))]), json!({"metadata": {"ownerReferences": [{"uid": "u2", "name": "y"}]}}))]
    #[case::an_item_of_a_set(json!([entry("Update", json!({"f:spec": {"f:dnsNames": {"v:\"y\"": {}}}}))]), json!({"spec": {"dnsNames": ["y"]}}))]
    #[case::a_removed_field(json!([entry("Update", json!({"f:spec": {"f:secretName": {}, "f:duration": {}}}))]), json!({"spec": {"secretName": "a"}}))]
    #[case::both_entries(
        json!([entry("Update", json!({"f:metadata": {"f:labels": {"f:ours": {}}}})), entry("Apply", json!({"f:spec": {"f:secretName": {}}}))]),
        json!({"metadata": {"labels": {"ours": "1"}}, "spec": {"secretName": "a"}})
    )]
    #[case::no_fields(json!([{"manager": MANAGER}, 3]), json!({}))]
    fn the_owned_part(#[case] entries: Value, #[case] expected: Value) {
        assert_eq!(owned(&object(entries)), expected);
    }

    #[test]
    fn a_post_becomes_an_apply() {
        let posted = entry("Update", json!({"f:spec": {"f:secretName": {}, "f:duration": {}}}));
        let applied = entry("Apply", json!({"f:spec": {"f:secretName": {}}, "f:metadata": {}}));
        let theirs = json!({"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:spec": {}}});
        let expected = json!([
            theirs,
            entry("Apply", json!({"f:metadata": {}, "f:spec": {"f:duration": {}, "f:secretName": {}}})),
        ]);
        assert_eq!(as_applied(&object(json!([posted, theirs, applied]))), Some(expected));
        assert_eq!(as_applied(&object(json!([theirs, applied]))), None);
        assert_eq!(as_applied(&object(json!([]))), None);
    }

    #[test]
    fn what_is_taken_over_belongs_to_no_other_client() {
        let by = |manager: &str, operation: &str, fields: Value| json!({"manager": manager, "operation": operation, "fieldsV1": fields});
        let desired = json!({"spec": {"secretName": "a", "issuerRef": {"name": "le"}, "dnsNames": ["x"]}});
        let velero = json!({
            "f:metadata": {"f:ownerReferences": {"k:{\"uid\":\"u1\"}": {}}},
            "f:spec": {".": {}, "f:secretName": {}, "f:dnsNames": {}, "f:issuerRef": {".": {}, "f:name": {}, "f:kind": {}}, "f:isCA": {}},
        });
        let status = json!({"manager": "x", "operation": "Update", "subresource": "status", "fieldsV1": {"f:spec": {"f:secretName": {}}}});
        let applied = by("argocd", "Apply", json!({"f:spec": {"f:secretName": {}}}));
        let only = by("kubectl", "Update", json!({"f:spec": {"f:secretName": {}}}));
        let all = json!([by("velero", "Update", velero), status, applied, only]);
        let left = json!({
            "f:metadata": {"f:ownerReferences": {"k:{\"uid\":\"u1\"}": {}}},
            "f:spec": {".": {}, "f:issuerRef": {".": {}, "f:kind": {}}, "f:isCA": {}},
        });
        let expected = json!([by("velero", "Update", left), status, applied]);
        assert_eq!(as_taken_over(&object(all), &desired), Some(expected.clone()));
        assert_eq!(as_taken_over(&object(expected), &desired), None);

        let mut all = entry("Update", json!({"f:spec": {"f:secretName": {}, "f:dnsNames": {}}}));
        all["manager"] = json!("velero");
        let ours = entry("Apply", json!({"f:spec": {"f:secretName": {}}}));
        assert_eq!(as_taken_over(&object(json!([all])), &desired), Some(json!([ours])));
    }

    /// Nested objects with texts, numbers and lists, as in a Certificate.
    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            "[a-c]{1,2}".prop_map(Value::from),
            prop::collection::vec("[a-c]", 0..3).prop_map(Value::from),
            (0..3).prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop::collection::btree_map("[a-e]", inner, 0..4).prop_map(|map| json!(map))
        })
    }

    /// The field set of a complete value, as the API server records it.
    fn fields_of(value: &Value) -> Value {
        let Value::Object(object) = value else { return json!({}) };
        let mut fields = Map::from_iter([(".".to_owned(), json!({}))]);
        fields.extend(object.iter().map(|(name, value)| (format!("f:{name}"), fields_of(value))));
        Value::Object(fields)
    }

    proptest! {
        #[test]
        fn the_manager_of_all_fields_owns_everything(spec in value()) {
            let mut object = json!({"spec": spec});
            let fields = json!({"f:spec": fields_of(&object["spec"])});
            object["metadata"] = json!({"managedFields": [entry("Update", fields)]});
            prop_assert_eq!(owned(&object), json!({"spec": object["spec"]}));
        }

        #[test]
        fn the_merged_entry_owns_the_fields_of_both(all in value(), one in value(), other in value()) {
            let entries = [("Update", one), ("Apply", other)]
                .map(|(operation, part)| entry(operation, json!({"f:spec": fields_of(&part)})));
            let mut object = json!({"spec": all, "metadata": {"managedFields": entries}});
            let before = owned(&object);
            object["metadata"]["managedFields"] = as_applied(&object).unwrap();
            prop_assert_eq!(owned(&object), before);
            prop_assert_eq!(as_applied(&object), None);
        }

        #[test]
        fn invalid_field_sets_do_not_panic(object in value(), fields in value()) {
            let mut object = json!({"spec": object});
            object["metadata"] = json!({"managedFields": [entry("Update", json!({"f:spec": fields}))]});
            owned(&object);
            as_applied(&object);
        }
    }
}
