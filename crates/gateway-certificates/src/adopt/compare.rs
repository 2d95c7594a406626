//! Compares a Certificate with the one that its Gateway would plan, as cert-manager compares them.
//!
//! cert-manager issues a Certificate again if its spec does not match the last CertificateRequest or the
//! private key in the Secret (`RequestMatchesSpec` and `PrivateKeyMatchesSpec` in pkg/util/pki/match.go,
//! `NewTriggerPolicyChain` in internal/controller/certificates/policies). The order in lists does not matter.

use std::net::IpAddr;

use certificate_shim::issuer_ref::{CERT_MANAGER_GROUP, ISSUER_KIND};
use certificate_shim::owner::OWNER_PREFIX;
use certificate_shim::value::duration;
use serde_json::{Map, Value, json};

/// The result of a comparison.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Comparison {
    /// The fields that would change, in the order of the spec.
    pub differences: Vec<Difference>,
    /// The paths of the fields that no annotation sets. The controller leaves them unchanged.
    pub kept: Vec<String>,
}

/// A field that would change.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Its path.
    pub path: String,
    /// Its value now; null if it is absent.
    pub today: Value,
    /// Its planned value; null if it is absent.
    pub planned: Value,
    /// Whether cert-manager issues the Certificate again when it changes.
    pub reissues: bool,
}

impl Comparison {
    /// Whether cert-manager would issue the Certificate again.
    pub fn reissues(&self) -> bool {
        self.differences.iter().any(|difference| difference.reissues)
    }
}

/// How cert-manager compares a field.
#[derive(Debug, Clone, Copy)]
enum As {
    /// Equal values. An absent text is empty.
    Value,
    /// Equal values, with a default for an absent one.
    Or(&'static str),
    /// Equal items in any order.
    Set,
    /// Equal IP addresses in any order.
    Addresses,
    /// Equal durations.
    Duration,
    /// Equal sizes, with the default of the algorithm for an absent one.
    KeySize,
    /// Equal maps, entry by entry.
    Map,
}

/// When cert-manager issues a Certificate again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reissue {
    Never,
    Always,
    /// Only if the field is set before and after.
    IfBoth,
}

/// Every field that annotations and servers set, in the order in which cert-manager's API lists them.
const FIELDS: &[(&str, As, Reissue)] = &[
    ("subject.organizations", As::Set, Reissue::Always),
    ("subject.countries", As::Set, Reissue::Always),
    ("subject.organizationalUnits", As::Set, Reissue::Always),
    ("subject.localities", As::Set, Reissue::Always),
    ("subject.provinces", As::Set, Reissue::Always),
    ("subject.streetAddresses", As::Set, Reissue::Always),
    ("subject.postalCodes", As::Set, Reissue::Always),
    ("subject.serialNumber", As::Value, Reissue::Always),
    ("commonName", As::Value, Reissue::Always),
    ("duration", As::Duration, Reissue::IfBoth),
    ("renewBefore", As::Duration, Reissue::Never),
    ("renewBeforePercentage", As::Value, Reissue::Never),
    ("dnsNames", As::Set, Reissue::Always),
    ("ipAddresses", As::Addresses, Reissue::Always),
    ("emailAddresses", As::Set, Reissue::Always),
    ("secretName", As::Value, Reissue::Always),
    ("secretTemplate.annotations", As::Map, Reissue::Never),
    ("secretTemplate.labels", As::Map, Reissue::Never),
    ("issuerRef.name", As::Value, Reissue::Always),
    ("issuerRef.kind", As::Or(ISSUER_KIND), Reissue::Always),
    ("issuerRef.group", As::Or(CERT_MANAGER_GROUP), Reissue::Always),
    ("usages", As::Set, Reissue::Always),
    ("privateKey.rotationPolicy", As::Value, Reissue::Never),
    ("privateKey.encoding", As::Value, Reissue::Never),
    ("privateKey.algorithm", As::Or("RSA"), Reissue::Always),
    ("privateKey.size", As::KeySize, Reissue::Always),
    ("revisionHistoryLimit", As::Value, Reissue::Never),
];

/// Compares a Certificate with its planned object. The owner's record, which adoption adds, is not compared.
pub fn compare(today: &Value, planned: &Value) -> Comparison {
    let spec = |object: &Value| object.get("spec").cloned().unwrap_or_default();
    let (spec, planned_spec) = (spec(today), spec(planned));
    let mut differences = Vec::new();
    for (path, kind, reissue) in FIELDS {
        let (today, planned) = (field(&spec, path), field(&planned_spec, path));
        if comparable(&spec, today, *kind) == comparable(&planned_spec, planned, *kind) {
            continue;
        }
        let reissues = match reissue {
            Reissue::Never => false,
            Reissue::Always => true,
            Reissue::IfBoth => !today.is_null() && !planned.is_null(),
        };
        let path = format!("spec.{path}");
        match kind {
            As::Map => differences.extend(entries(&path, today, planned)),
            _ => {
                let (today, planned) = (today.clone(), planned.clone());
                differences.push(Difference { path, today, planned, reissues });
            }
        }
    }
    for name in ["labels", "annotations"] {
        let (today, planned) = (&today["metadata"][name], &planned["metadata"][name]);
        // Only what the plan adds: others' labels and annotations stay.
        let added = |difference: &Difference| !difference.planned.is_null();
        differences.extend(entries(&format!("metadata.{name}"), today, planned).into_iter().filter(added));
    }
    Comparison { differences, kept: kept(&spec) }
}

/// A field of a spec by its dotted path; null if it is absent.
fn field<'v>(spec: &'v Value, path: &str) -> &'v Value {
    path.split('.').fold(spec, |value, name| value.get(name).unwrap_or(&Value::Null))
}

/// The entries of two maps that differ. The owner's record is left out.
fn entries(path: &str, today: &Value, planned: &Value) -> Vec<Difference> {
    let none = Map::new();
    let (today, planned) = (today.as_object().unwrap_or(&none), planned.as_object().unwrap_or(&none));
    let mut keys: Vec<&String> = today.keys().chain(planned.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    let value = |map: &Map<String, Value>, key: &str| map.get(key).cloned().unwrap_or_default();
    keys.into_iter()
        .filter(|key| !key.starts_with(OWNER_PREFIX))
        .map(|key| Difference {
            path: format!("{path}[{key}]"),
            today: value(today, key),
            planned: value(planned, key),
            reissues: false,
        })
        .filter(|difference| difference.today != difference.planned)
        .collect()
}

/// A value in the form in which equal ones are the same for cert-manager.
fn comparable(spec: &Value, value: &Value, kind: As) -> Value {
    let items = || value.as_array().map(Vec::as_slice).unwrap_or_default().iter().filter_map(Value::as_str);
    match kind {
        As::Value => match value {
            Value::String(text) if text.is_empty() => Value::Null,
            other => other.clone(),
        },
        As::Or(default) => match value.as_str() {
            None | Some("") => json!(default),
            Some(text) => json!(text),
        },
        As::Set => {
            let mut items: Vec<&str> = items().collect();
            items.sort_unstable();
            json!(items)
        }
        As::Addresses => {
            let address = |text: &str| {
                text.parse::<IpAddr>().map_or_else(|_| text.to_owned(), |ip| ip.to_canonical().to_string())
            };
            let mut items: Vec<String> = items().map(address).collect();
            items.sort_unstable();
            json!(items)
        }
        As::Duration => match value.as_str().map(duration::parse) {
            Some(Ok(nanoseconds)) => json!(nanoseconds),
            _ => value.clone(),
        },
        As::KeySize => {
            let algorithm = comparable(spec, field(spec, "privateKey.algorithm"), As::Or("RSA"));
            match (algorithm.as_str(), value.as_i64().unwrap_or_default()) {
                (Some("RSA"), 0) => json!(2048),
                (Some("ECDSA"), 0) => json!(256),
                // cert-manager ignores the size.
                (Some("Ed25519"), _) => Value::Null,
                (_, size) => json!(size),
            }
        }
        As::Map => value.as_object().filter(|map| !map.is_empty()).map_or(Value::Null, |map| json!(map)),
    }
}

/// The paths of the fields that no annotation sets.
fn kept(spec: &Value) -> Vec<String> {
    fn walk(value: &Value, path: &str, kept: &mut Vec<String>) {
        let is_set = FIELDS.iter().any(|(known, ..)| *known == path);
        let is_parent = FIELDS.iter().any(|(known, ..)| {
            known.strip_prefix(path).is_some_and(|rest| rest.starts_with('.') || path.is_empty())
        });
        match value {
            Value::Null => {}
            _ if is_set => {}
            Value::Object(fields) if is_parent => {
                for (name, value) in fields {
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    walk(value, &path, kept);
                }
            }
            _ => kept.push(format!("spec.{path}")),
        }
    }
    let mut all = Vec::new();
    walk(spec, "", &mut all);
    all.sort_unstable();
    all
}

/// The planned object of an adopted Certificate: with its own name, and without usages unless they are
/// annotated, because cert-manager compares them strictly.
pub fn adopted(mut planned: Value, name: &str, has_usages: bool) -> Value {
    if let Some(metadata) = planned.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("name".to_owned(), json!(name));
    }
    if let Some(spec) = planned.get_mut("spec").and_then(Value::as_object_mut).filter(|_| !has_usages) {
        spec.remove("usages");
    }
    planned
}
