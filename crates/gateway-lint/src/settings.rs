//! The user's settings, and the changes that a check without a cluster needs.

use std::path::Path;

use policy_host::documents;
use serde_json::{Map, Value, json};

use crate::Error;

/// Reads a settings file, YAML or JSON.
///
/// # Errors
/// [`Error::File`] if the file cannot be read or parsed.
pub fn load(path: &Path) -> Result<Value, Error> {
    documents::read_value(path).map_err(|reason| Error::File { path: path.display().to_string(), reason })
}

/// The settings for the module. Issuers that are not in the files can exist in the cluster, so
/// `issuer-not-found` is a warning unless the user switched it off. With `strict` it keeps its level, and an
/// issuer without a status is rejected.
#[must_use]
pub fn for_manifests(settings: &Value, strict: bool) -> Value {
    let mut settings = match settings {
        Value::Null => Map::new(),
        Value::Object(map) => map.clone(),
        // The module reports the error.
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
    let lookups = settings.entry("lookups").or_insert(Value::Null);
    if lookups.is_null() {
        *lookups = json!({});
    }
    // The objects are in memory, so it costs nothing to find the Certificate that writes a Secret.
    if let Some(lookups) = lookups.as_object_mut() {
        lookups.insert("list".to_owned(), json!(["certificates", "issuers"]));
    }
    Value::Object(settings)
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
    #[case::not_an_object(json!([1]), false, json!([1]))]
    #[case::no_rules(json!({"rules": 3}), false, json!({"rules": 3}))]
    fn levels_depend_on_strict(#[case] settings: Value, #[case] strict: bool, #[case] mut expected: Value) {
        if expected.is_object() {
            expected["lookups"] = json!({"list": ["certificates", "issuers"]});
        }
        assert_eq!(for_manifests(&settings, strict), expected);
    }
}
