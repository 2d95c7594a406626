//! Makes a failing sequence smaller while it still has a violation of the same kind.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Decide, Sequence};

/// A sequence with a violation of that kind from which nothing more can be left out.
pub fn shrink(sequence: &Sequence, kind: &str, decide: &Decide) -> Sequence {
    let mut smallest = sequence.clone();
    let fails =
        |sequence: &Sequence| sequence.run(decide).violations.iter().any(|violation| violation.kind == kind);
    while let Some(smaller) = smaller(&smallest).into_iter().find(fails) {
        smallest = smaller;
    }
    smallest
}

/// The sequences with one part less: a request, an object, a setting, or a field of all versions of the
/// objects or of one version.
fn smaller(sequence: &Sequence) -> Vec<Sequence> {
    let mut all = Vec::new();
    // Keeps the sequence if the change left anything out.
    let mut add = |change: &dyn Fn(&mut Sequence) -> bool| {
        let mut smaller = sequence.clone();
        if change(&mut smaller) {
            all.push(smaller);
        }
    };
    for index in 0..sequence.requests.len() {
        add(&|smaller| smaller.requests.len() > 1 && smaller.requests.remove(index).object.is_object());
    }
    for index in 0..sequence.start.len() {
        add(&|smaller| smaller.start.remove(index).is_object());
    }
    for setting in ["/gateway_namespaces", "/rules", "/existing_violations", "/tenants/0/default_issuer"] {
        add(&|smaller| remove(&mut smaller.settings, setting));
    }
    let mut fields = BTreeSet::new();
    let count = objects(&mut sequence.clone()).map(|object| optional_fields(object, "", &mut fields)).count();
    for field in &fields {
        add(&|smaller| objects(smaller).filter_map(|object| remove(object, field).then_some(())).count() > 0);
        for index in 0..count {
            add(&|smaller| objects(smaller).nth(index).is_some_and(|object| remove(object, field)));
        }
    }
    all
}

fn objects(sequence: &mut Sequence) -> impl Iterator<Item = &mut Value> {
    let requests = sequence.requests.iter_mut().map(|request| &mut request.object);
    sequence.start.iter_mut().chain(requests)
}

/// Fields that the schemas or the generator require.
const REQUIRED: [&str; 12] = [
    "apiVersion",
    "kind",
    "metadata",
    "name",
    "namespace",
    "annotations",
    "spec",
    "parentRef",
    "port",
    "number",
    "protocol",
    "hosts",
];

/// Collects the JSON pointers of what can be left out of an object.
fn optional_fields(value: &Value, path: &str, fields: &mut BTreeSet<String>) {
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(fields) => {
            let escaped = |key: &String| key.replace('~', "~0").replace('/', "~1");
            fields.iter().map(|(key, value)| (escaped(key), value)).collect()
        }
        Value::Array(items) => {
            items.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect()
        }
        _ => Vec::new(),
    };
    for (key, value) in inner {
        let pointer = format!("{path}/{key}");
        if !REQUIRED.contains(&key.as_str()) {
            fields.insert(pointer.clone());
        }
        optional_fields(value, &pointer, fields);
    }
}

/// Removes what a JSON pointer points at; whether there was anything.
fn remove(value: &mut Value, pointer: &str) -> bool {
    let Some((parent, key)) = pointer.rsplit_once('/') else { return false };
    match value.pointer_mut(parent) {
        Some(Value::Object(fields)) => fields.remove(&key.replace("~1", "/").replace("~0", "~")).is_some(),
        Some(Value::Array(items)) => {
            let index = key.parse().ok().filter(|index| *index < items.len());
            index.is_some_and(|index: usize| !items.remove(index).is_null())
        }
        _ => false,
    }
}
