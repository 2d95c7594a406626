//! Settings as the user gives them, and what manifests without a cluster need changed in them.

use std::path::Path;

use policy_host::{ContextAwareResource, documents};
use serde_json::{Map, Value, json};

use crate::Error;

/// Reads a settings file, YAML or JSON.
///
/// # Errors
/// [`Error::File`].
pub fn load(path: &Path) -> Result<Value, Error> {
    documents::read_value(path).map_err(|reason| Error::File { path: path.display().to_string(), reason })
}

/// The settings that the module is judged with. Issuers that are not in the files may well be in the cluster, so that
/// they are missing is a warning unless the user switched it off; with `strict`, what cannot be known refuses.
#[must_use]
pub fn for_manifests(settings: &Value, strict: bool) -> Value {
    let mut settings = match settings {
        Value::Null => Map::new(),
        Value::Object(map) => map.clone(),
        // The module will say what is wrong with it.
        other => return other.clone(),
    };
    let (rule, level) = if strict { ("issuer-pending", "reject") } else { ("issuer-not-found", "warn") };
    let rules = settings.entry("rules").or_insert(Value::Null);
    if rules.is_null() {
        *rules = json!({});
    }
    if let Some(rules) = rules.as_object_mut()
        && rules.get(rule).and_then(Value::as_str) != Some("off")
    {
        rules.insert(rule.to_owned(), Value::from(level));
    }
    Value::Object(settings)
}

/// An external issuer kind of the setting `issuer_kinds`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerKind {
    /// What has to be granted for it.
    pub resource: ContextAwareResource,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
}

/// The kinds of `issuer_kinds`: whoever sets them grants them in the policy's contextAwareResources too.
#[must_use]
pub fn issuer_kinds(settings: &Value) -> Vec<IssuerKind> {
    let kinds = settings.get("issuer_kinds").and_then(Value::as_array).into_iter().flatten();
    kinds
        .filter_map(|kind| {
            let text = |key: &str| kind.get(key).and_then(Value::as_str).map(str::to_owned);
            let resource = ContextAwareResource { api_version: text("api_version")?, kind: text("kind")? };
            Some(IssuerKind { resource, namespaced: text("scope").as_deref() != Some("Cluster") })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::none(json!(null), false, json!({"rules": {"issuer-not-found": "warn"}}))]
    #[case::none_strict(json!(null), true, json!({"rules": {"issuer-pending": "reject"}}))]
    #[case::null_rules(json!({"rules": null}), false, json!({"rules": {"issuer-not-found": "warn"}}))]
    #[case::raised(json!({"rules": {"issuer-not-found": "reject"}}), false, json!({"rules": {"issuer-not-found": "warn"}}))]
    #[case::off_stays_off(json!({"rules": {"issuer-not-found": "off"}}), false, json!({"rules": {"issuer-not-found": "off"}}))]
    #[case::strict_leaves_the_other(
        json!({"rules": {"issuer-not-found": "warn"}}), true,
        json!({"rules": {"issuer-not-found": "warn", "issuer-pending": "reject"}})
    )]
    #[case::others_stay(json!({"role": "both"}), true, json!({"role": "both", "rules": {"issuer-pending": "reject"}}))]
    #[case::no_object(json!([1]), false, json!([1]))]
    #[case::no_rules(json!({"rules": 3}), false, json!({"rules": 3}))]
    fn manifests_soften_or_sharpen(#[case] settings: Value, #[case] strict: bool, #[case] expected: Value) {
        assert_eq!(for_manifests(&settings, strict), expected);
    }

    #[test]
    fn issuer_kinds_are_what_is_granted() {
        let settings = json!({"issuer_kinds": [
            {"group": "x.io", "kind": "A", "api_version": "x.io/v1", "scope": "Cluster"},
            {"group": "x.io", "kind": "B", "api_version": "x.io/v1", "scope": "Namespaced"},
            {"kind": "no version"},
        ]});
        let found: Vec<_> =
            issuer_kinds(&settings).into_iter().map(|kind| (kind.resource.kind, kind.namespaced)).collect();
        assert_eq!(found, [("A".to_owned(), false), ("B".to_owned(), true)]);
    }
}
