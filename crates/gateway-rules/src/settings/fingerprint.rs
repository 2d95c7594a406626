//! The fingerprint of settings: equal in a policy and a controller that plan the same Certificates for
//! the same Gateways and know the same tenants.

use certificate_shim::owner::fnv1a;
use serde_json::{Map, Value};

const LABELS: [&str; 2] = ["labels", "match_labels"];

/// The keys that affect neither placement nor tenants nor plans, at any depth.
const LEFT_OUT: [&str; 8] =
    ["role", "default_issuer", "rules", "exceptions", "check", "existing_violations", "lookups", "help"];

/// The defaults that differ from an empty list and an absent field, by their key.
const DEFAULTS: [(&str, &str); 5] = [
    ("acme_wildcards", "dns01"),
    ("group", "cert-manager.io"),
    ("other_namespaces", "reject"),
    ("subject", "allow"),
    ("cluster_domain", "cluster.local"),
];

/// 16 hexadecimal digits: the 64-bit FNV-1a hash of the settings as compact JSON with sorted keys, without
/// keys that have their default value and those in `LEFT_OUT`. The policy writes it to the audit
/// annotation `settings`.
pub fn fingerprint(settings: &Value) -> String {
    let fields = settings.as_object().cloned().unwrap_or_default();
    let top = fields.into_iter().filter(|(key, _)| !LEFT_OUT.contains(&key.as_str()));
    fnv1a(Value::Object(canonical(top)).to_string().bytes())
}

fn canonical(fields: impl IntoIterator<Item = (String, Value)>) -> Map<String, Value> {
    let mut kept = Map::new();
    for (key, value) in fields {
        if key == "default_issuer" || is_default(&key, &value) {
            continue;
        }
        // The keys of labels are not keys of settings.
        let value = if LABELS.contains(&key.as_str()) { value } else { value_of(value) };
        kept.insert(key, value);
    }
    kept
}

fn value_of(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(canonical(fields)),
        Value::Array(items) => items.into_iter().map(value_of).collect(),
        other => other,
    }
}

fn is_default(key: &str, value: &Value) -> bool {
    let is_empty_list = |items: &Vec<Value>| items.is_empty() && DEFAULTS_TO_EMPTY.contains(&key);
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => is_empty_list(items),
        Value::String(text) => DEFAULTS.iter().any(|(name, default)| *name == key && default == text),
        _ => false,
    }
}

/// Lists that mean the same when empty and when absent.
const DEFAULTS_TO_EMPTY: [&str; 7] = [
    "issuer_kinds",
    "copy_labels",
    "copy_annotations",
    "extra_protocols",
    "tenants",
    "ip_ranges",
    "common_names",
];

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    fn tenant(field: &str, value: Value) -> Value {
        json!({"tenants": [{"name": "a", "namespaces": ["a"], "issuers": [], "dns_names": [], field: value}]})
    }

    #[rstest]
    #[case::null(json!(null), json!({}))]
    #[case::defaults_written_out(
        json!({"acme_wildcards": "dns01", "copy_labels": [], "tenants": [], "other_namespaces": "reject"}), json!({})
    )]
    #[case::what_decides_levels(
        json!({"role": "validate", "rules": {"self-signed": "warn"}, "exceptions": [1], "help": "x",
            "existing_violations": "reject", "lookups": {"max": 3}, "default_issuer": {"name": "x"}}),
        json!({})
    )]
    #[case::of_a_tenant(tenant("default_issuer", json!({"name": "x"})), tenant("wildcards", json!(false)))]
    fn equal(#[case] one: Value, #[case] other: Value) {
        assert_eq!(fingerprint(&one), fingerprint(&other));
    }

    #[rstest]
    #[case::no_gateways(json!({"gateway_namespaces": []}), json!({}))]
    #[case::no_secrets(tenant("secrets", json!([])), tenant("subject", json!("allow")))]
    #[case::no_wildcards(tenant("wildcards", json!(true)), tenant("wildcards", json!(false)))]
    #[case::labels(json!({"copy_labels": ["a"]}), json!({"copy_labels": ["b"]}))]
    fn different(#[case] one: Value, #[case] other: Value) {
        assert_ne!(fingerprint(&one), fingerprint(&other));
    }

    #[test]
    fn stable() {
        assert_eq!(fingerprint(&json!({})), "08f44b07b5901a25");
        assert_eq!(fingerprint(&json!({"copy_labels": ["a"], "acme_wildcards": "any"})).len(), 16);
    }
}
