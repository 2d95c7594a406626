//! The annotations that make an existing Certificate: the inverse of how certificate-shim reads them.

use std::collections::BTreeMap;

use certificate_shim::annotation;
use certificate_shim::issuer_ref::{CLUSTER_ISSUER_KIND, ISSUER_KIND, IssuerRef};
use certificate_shim::names::Names;
use serde_json::{Map, Value, json};

/// Annotations by their keys.
pub type Annotations = BTreeMap<&'static str, String>;

/// Whether an annotation of a Gateway is one that [`annotations`] can return.
pub fn is_shim_annotation(key: &str) -> bool {
    annotation::find(key).is_some_and(|known| known.read_from == annotation::ReadFrom::All)
}

/// The annotations of a Gateway that make a Certificate with this `spec`, if its servers already request
/// these hosts and IP addresses.
///
/// Values that no annotation can express are left out, such as a name that contains a comma. Comparing the
/// plan with the Certificate shows them.
pub fn annotations(spec: &Value, hosts: &Names, addresses: &[&str]) -> Annotations {
    let mut all = Annotations::new();
    let mut put = |key: &'static str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            all.insert(key, value);
        }
    };
    let text = |pointer: &str| spec.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let number = |pointer: &str| spec.pointer(pointer).and_then(Value::as_i64).map(|value| value.to_string());
    let list = |pointer: &str| strings(spec, pointer);

    for (key, value) in issuer(&issuer_ref(spec)) {
        put(key, Some(value));
    }
    put(annotation::COMMON_NAME, text("/commonName"));
    put(annotation::ALT_NAMES, joined(list("/dnsNames").into_iter().filter(|name| !hosts.covers(name))));
    put(annotation::IP_SANS, joined(list("/ipAddresses").into_iter().filter(|ip| !addresses.contains(ip))));
    put(annotation::EMAIL_SANS, joined(list("/emailAddresses").into_iter()));
    for (key, field) in SUBJECT {
        put(key, csv(&list(&format!("/subject/{field}"))));
    }
    put(annotation::SUBJECT_SERIAL_NUMBER, text("/subject/serialNumber"));
    put(annotation::DURATION, text("/duration"));
    put(annotation::RENEW_BEFORE, text("/renewBefore"));
    put(annotation::RENEW_BEFORE_PERCENTAGE, number("/renewBeforePercentage"));
    put(annotation::USAGES, joined(list("/usages").into_iter()));
    put(annotation::REVISION_HISTORY_LIMIT, number("/revisionHistoryLimit"));
    put(annotation::PRIVATE_KEY_ALGORITHM, text("/privateKey/algorithm"));
    put(annotation::PRIVATE_KEY_ENCODING, text("/privateKey/encoding"));
    put(annotation::PRIVATE_KEY_SIZE, number("/privateKey/size").filter(|size| size != "0"));
    put(annotation::PRIVATE_KEY_ROTATION_POLICY, text("/privateKey/rotationPolicy"));
    put(annotation::SECRET_TEMPLATE, secret_template(spec));
    all
}

/// The annotations with lists of a subject, and their fields.
pub const SUBJECT: [(&str, &str); 7] = [
    (annotation::SUBJECT_ORGANIZATIONS, "organizations"),
    (annotation::SUBJECT_ORGANIZATIONAL_UNITS, "organizationalUnits"),
    (annotation::SUBJECT_COUNTRIES, "countries"),
    (annotation::SUBJECT_PROVINCES, "provinces"),
    (annotation::SUBJECT_LOCALITIES, "localities"),
    (annotation::SUBJECT_POSTAL_CODES, "postalCodes"),
    (annotation::SUBJECT_STREET_ADDRESSES, "streetAddresses"),
];

/// `spec.issuerRef` of a Certificate.
pub fn issuer_ref(spec: &Value) -> IssuerRef {
    let text = |name: &str| {
        let value = spec.pointer(&format!("/issuerRef/{name}")).and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    };
    IssuerRef { name: text("name"), kind: text("kind"), group: text("group") }
}

/// The strings in a list; empty if it is absent.
pub fn strings<'v>(object: &'v Value, pointer: &str) -> Vec<&'v str> {
    let items = object.pointer(pointer).and_then(Value::as_array);
    items.into_iter().flatten().filter_map(Value::as_str).collect()
}

fn issuer(reference: &IssuerRef) -> Vec<(&'static str, String)> {
    let kind = reference.effective_kind();
    if reference.is_own_group() && kind == CLUSTER_ISSUER_KIND {
        return vec![(annotation::CLUSTER_ISSUER, reference.name.clone())];
    }
    let mut annotations = vec![(annotation::ISSUER, reference.name.clone())];
    if kind != ISSUER_KIND {
        annotations.push((annotation::ISSUER_KIND, kind.to_owned()));
    }
    if !reference.is_own_group() {
        annotations.push((annotation::ISSUER_GROUP, reference.group.clone()));
    }
    annotations
}

/// The items of a list that is separated by commas.
fn joined<'v>(items: impl Iterator<Item = &'v str>) -> Option<String> {
    let items: Vec<&str> = items.filter(|item| !item.is_empty() && !item.contains(',')).collect();
    (!items.is_empty()).then(|| items.join(","))
}

/// One record of Go's encoding/csv.
fn csv(fields: &[&str]) -> Option<String> {
    let quoted = |field: &&str| {
        if field.contains([',', '"', '\n', '\r']) || fields == [""] {
            format!("\"{}\"", field.replace('"', "\"\""))
        } else {
            (*field).to_owned()
        }
    };
    (!fields.is_empty()).then(|| fields.iter().map(quoted).collect::<Vec<_>>().join(","))
}

/// `spec.secretTemplate` as JSON, without the annotations that certificate-shim rejects.
fn secret_template(spec: &Value) -> Option<String> {
    let mut template = Map::new();
    for field in ["annotations", "labels"] {
        let entries = spec.pointer(&format!("/secretTemplate/{field}")).and_then(Value::as_object);
        let is_allowed = |key: &str| field == "labels" || !key.starts_with("cert-manager.io/");
        let entries: Map<String, Value> = entries
            .into_iter()
            .flatten()
            .filter(|(key, _)| is_allowed(key))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        if !entries.is_empty() {
            template.insert(field.to_owned(), Value::Object(entries));
        }
    }
    (!template.is_empty()).then(|| json!(template).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use certificate_shim::value::csv as shim_csv;
    use proptest::prelude::*;
    use rstest::rstest;

    fn derived(spec: Value) -> Vec<(String, String)> {
        let all = annotations(&spec, &Names::default(), &[]);
        all.into_iter().map(|(key, value)| (key.replace("cert-manager.io/", ""), value)).collect()
    }

    #[rstest]
    #[case::issuer(json!({"name": "ca"}), &[("issuer", "ca")])]
    #[case::kind_and_group(json!({"name": "ca", "kind": "Issuer", "group": "cert-manager.io"}), &[("issuer", "ca")])]
    #[case::cluster_issuer(json!({"name": "le", "kind": "ClusterIssuer"}), &[("cluster-issuer", "le")])]
    #[case::external(
        json!({"name": "x", "kind": "AWSPCAIssuer", "group": "awspca.cert-manager.io"}),
        &[("issuer", "x"), ("issuer-group", "awspca.cert-manager.io"), ("issuer-kind", "AWSPCAIssuer")]
    )]
    #[case::cluster_issuer_of_another_group(
        json!({"name": "x", "kind": "ClusterIssuer", "group": "example.com"}),
        &[("issuer", "x"), ("issuer-group", "example.com"), ("issuer-kind", "ClusterIssuer")]
    )]
    fn issuers(#[case] reference: Value, #[case] expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        assert_eq!(derived(json!({"issuerRef": reference})), expected);
    }

    #[rstest]
    #[case::names(json!({"dnsNames": ["a.example.com", "b,c"]}), "alt-names", Some("a.example.com"))]
    #[case::csv(json!({"subject": {"organizations": ["A, Inc.", "B \"C\""]}}), "subject-organizations", Some("\"A, Inc.\",\"B \"\"C\"\"\""))]
    #[case::one_empty_field(json!({"subject": {"countries": [""]}}), "subject-countries", Some("\"\""))]
    #[case::size_zero(json!({"privateKey": {"size": 0}}), "private-key-size", None)]
    #[case::size(json!({"privateKey": {"size": 4096}}), "private-key-size", Some("4096"))]
    #[case::no_usages(json!({"usages": []}), "usages", None)]
    #[case::usages(json!({"usages": ["server auth", "client auth"]}), "usages", Some("server auth,client auth"))]
    #[case::template(
        json!({"secretTemplate": {"annotations": {"cert-manager.io/x": "1", "a": "2"}, "labels": {"cert-manager.io/x": "3"}}}),
        "secret-template", Some(r#"{"annotations":{"a":"2"},"labels":{"cert-manager.io/x":"3"}}"#)
    )]
    #[case::forbidden_template(json!({"secretTemplate": {"annotations": {"cert-manager.io/x": "1"}}}), "secret-template", None)]
    fn one(#[case] spec: Value, #[case] key: &str, #[case] expected: Option<&str>) {
        let all: BTreeMap<String, String> = derived(spec).into_iter().collect();
        assert_eq!(all.get(key).map(String::as_str), expected);
    }

    #[test]
    fn names_that_the_hosts_cover_are_not_added() {
        let hosts: Names = ["*.example.com", "b.example.org"].iter().collect();
        let spec = json!({"dnsNames": ["a.example.com", "b.example.org", "c.example.org"], "ipAddresses": ["192.0.2.1", "192.0.2.2"]});
        let all = annotations(&spec, &hosts, &["192.0.2.1"]);
        assert_eq!(all[annotation::ALT_NAMES], "c.example.org");
        assert_eq!(all[annotation::IP_SANS], "192.0.2.2");
    }

    /// Every annotation that certificate-shim reads from an Istio Gateway can be derived.
    #[test]
    fn the_table_is_complete() {
        let spec = json!({
            "issuerRef": {"name": "x", "kind": "K", "group": "example.com"},
            "commonName": "x", "dnsNames": ["x"], "ipAddresses": ["192.0.2.1"], "emailAddresses": ["x@example.com"],
            "subject": {"organizations": ["x"], "organizationalUnits": ["x"], "countries": ["x"], "provinces": ["x"],
                "localities": ["x"], "postalCodes": ["x"], "streetAddresses": ["x"], "serialNumber": "x"},
            "duration": "2160h", "renewBefore": "360h", "renewBeforePercentage": 30, "usages": ["any"],
            "revisionHistoryLimit": 3,
            "privateKey": {"algorithm": "RSA", "encoding": "PKCS8", "size": 4096, "rotationPolicy": "Never"},
            "secretTemplate": {"labels": {"x": "y"}},
        });
        let mut all: Vec<&str> = annotations(&spec, &Names::default(), &[]).into_keys().collect();
        // The only one that excludes others.
        all.push(annotation::CLUSTER_ISSUER);
        all.sort_unstable();
        let mut known: Vec<&str> =
            annotation::TABLE.iter().map(|one| one.key).filter(|key| is_shim_annotation(key)).collect();
        known.sort_unstable();
        assert_eq!(all, known);
    }

    proptest! {
        #[test]
        fn certificate_shim_reads_the_same_list(fields in prop::collection::vec("[a ,\"\n#']{0,5}", 1..4)) {
            let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
            let text = csv(&fields).unwrap();
            prop_assert_eq!(shim_csv::parse(&text).unwrap(), fields);
        }
    }
}
