//! Certificates as readable YAML.

use std::fmt::Write as _;

use certificate_shim::Certificate;
use certificate_shim::owner::OWNER_UID;
use gateway_rules::text::one_line;
use serde_json::Value;
use yaml_serde::Mapping;

/// The keys that come first in every object; the others follow in alphabetical order.
const FIRST: &[&str] = &[
    "apiVersion",
    "name",
    "namespace",
    "kind",
    "group",
    "labels",
    "annotations",
    "secretName",
    "issuerRef",
    "commonName",
    "dnsNames",
    "ipAddresses",
    "emailAddresses",
];

/// A Certificate as a YAML document, with a comment about its source.
///
/// Manifests have no uid, and an owner reference without a uid is invalid. In this case the owner
/// reference is omitted, and so is the uid in the record of an owner in another namespace.
pub fn document(certificate: &Certificate, source: &str) -> String {
    let mut object = certificate.to_json();
    let metadata = object.get_mut("metadata").and_then(Value::as_object_mut);
    if let Some(metadata) = metadata.filter(|_| certificate.template.owner.uid.is_empty()) {
        metadata.remove("ownerReferences");
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove(OWNER_UID);
        }
    }
    let mut text = format!("---\n# {}\n", one_line(source));
    // Texts, numbers, lists and maps can always be serialized as YAML.
    let _ = write!(text, "{}", yaml_serde::to_string(&ordered(object)).unwrap_or_default());
    text
}

fn ordered(value: Value) -> yaml_serde::Value {
    use yaml_serde::Value as Yaml;
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(String, Value)> = map.into_iter().collect();
            entries.sort_by(|(a, _), (b, _)| rank(a).cmp(&rank(b)));
            let entries = entries.into_iter().map(|(key, value)| (Yaml::String(key), ordered(value)));
            Yaml::Mapping(entries.collect::<Mapping>())
        }
        Value::Array(items) => Yaml::Sequence(items.into_iter().map(ordered).collect()),
        Value::String(text) => Yaml::String(text),
        Value::Bool(value) => Yaml::Bool(value),
        Value::Number(number) => yaml_serde::to_value(number).unwrap_or_default(),
        Value::Null => Yaml::Null,
    }
}

fn rank(key: &str) -> (usize, &str) {
    (FIRST.iter().position(|first| *first == key).unwrap_or(FIRST.len()), key)
}
