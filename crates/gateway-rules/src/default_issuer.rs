//! The default issuer: which Gateways get it, and the annotations that name it.

use certificate_shim::annotation;
use certificate_shim::gateway::{Gateway, GatewayKind};
use certificate_shim::issuer_ref::{CERT_MANAGER_GROUP, CLUSTER_ISSUER_KIND, ISSUER_KIND, IssuerRef};
use certificate_shim::placement::placement;
use certificate_shim::plan::plan;
use serde_json::{Map, Value};

use crate::settings::{DefaultIssuer, DefaultWhen, Settings};

/// Asks for the default issuer, or refuses it; cert-manager reads it on Ingresses only.
const TLS_ACME: &str = "kubernetes.io/tls-acme";

/// Whether the annotations alone let a Gateway have the default issuer. Cheap: it looks at nothing
/// else, so that most requests can be left alone without reading their spec.
pub fn is_wanted(gateway: &DefaultIssuer, annotations: &std::collections::BTreeMap<&str, &str>) -> bool {
    let asked = match (annotations.get(TLS_ACME).and_then(|value| go_bool(value)), gateway.when) {
        (Some(asked), _) => asked,
        (None, DefaultWhen::Always) => true,
        (None, DefaultWhen::TlsAcme) => false,
    };
    asked && !annotations.keys().any(|key| speaks_of_an_issuer(key))
}

/// Whether an annotation names an issuer, or was meant to.
fn speaks_of_an_issuer(key: &str) -> bool {
    const KEYS: [&str; 4] =
        [annotation::ISSUER, annotation::CLUSTER_ISSUER, annotation::ISSUER_KIND, annotation::ISSUER_GROUP];
    KEYS.contains(&key) || annotation::suggestion(key).is_some_and(|meant| KEYS.contains(&meant))
}

/// Go's `strconv.ParseBool`, as cert-manager reads `kubernetes.io/tls-acme` on an Ingress.
fn go_bool(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Whether the issuer would bring the Gateway a Certificate, and leave none of its TLS servers or
/// listeners without: only then is it added.
pub fn is_useful(default: &DefaultIssuer, gateway: &Gateway<'_>, settings: &Settings) -> bool {
    let placement = placement(gateway, settings.gateway_namespaces.as_deref());
    let plan = plan(gateway, &default.issuer, &placement, &settings.copy);
    gateway.kind != GatewayKind::ListenerSet && !plan.certificates.is_empty() && plan.skipped.is_empty()
}

/// Writes the annotations that name the issuer into the object, and nothing else.
pub fn annotate(object: &mut Value, issuer: &IssuerRef) {
    let own_group = issuer.group == CERT_MANAGER_GROUP;
    let cluster = own_group && issuer.kind == CLUSTER_ISSUER_KIND;
    let mut add = vec![(if cluster { annotation::CLUSTER_ISSUER } else { annotation::ISSUER }, &issuer.name)];
    if !cluster && issuer.kind != ISSUER_KIND {
        add.push((annotation::ISSUER_KIND, &issuer.kind));
    }
    if !own_group {
        add.push((annotation::ISSUER_GROUP, &issuer.group));
    }
    let annotations = child(child(object, "metadata"), "annotations");
    if let Value::Object(annotations) = annotations {
        for (key, value) in add {
            annotations.insert(key.to_owned(), Value::String(value.clone()));
        }
    }
}

/// The object below `parent`, made where it is absent or null. The caller has read both as objects.
fn child<'v>(parent: &'v mut Value, name: &str) -> &'v mut Value {
    if parent.is_null() {
        *parent = Value::Object(Map::new());
    }
    let Value::Object(fields) = parent else { return parent };
    let child = fields.entry(name).or_insert(Value::Null);
    if child.is_null() {
        *child = Value::Object(Map::new());
    }
    child
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;
    use std::collections::BTreeMap;

    fn default(when: DefaultWhen) -> DefaultIssuer {
        let issuer = IssuerRef { name: "le".into(), kind: "Issuer".into(), group: "cert-manager.io".into() };
        DefaultIssuer { issuer, when, on_update: false }
    }

    #[rstest]
    #[case::asked("true", true, true)]
    #[case::asked_as_go_reads_it("1", true, true)]
    #[case::refused("false", false, false)]
    #[case::neither("yes", false, true)]
    #[case::empty("", false, true)]
    fn tls_acme(#[case] value: &str, #[case] when_asked: bool, #[case] always: bool) {
        let annotations = BTreeMap::from([(TLS_ACME, value)]);
        assert_eq!(is_wanted(&default(DefaultWhen::TlsAcme), &annotations), when_asked);
        assert_eq!(is_wanted(&default(DefaultWhen::Always), &annotations), always);
    }

    #[rstest]
    #[case::nothing(&[], true)]
    #[case::another_annotation(&["cert-manager.io/duration"], true)]
    #[case::somebody_elses(&["example.com/issuer"], true)]
    #[case::issuer(&["cert-manager.io/issuer"], false)]
    #[case::cluster_issuer(&["cert-manager.io/cluster-issuer"], false)]
    #[case::kind(&["cert-manager.io/issuer-kind"], false)]
    #[case::group(&["cert-manager.io/issuer-group"], false)]
    #[case::misspelt(&["cert-manager.io/clusterissuer"], false)]
    #[case::upper_case(&["cert-manager.io/Issuer"], false)]
    #[case::legacy(&["certmanager.k8s.io/issuer"], false)]
    #[case::legacy_cluster_issuer(&["certmanager.k8s.io/cluster-issuer"], false)]
    fn always_but_where_an_issuer_is_spoken_of(#[case] keys: &[&str], #[case] expected: bool) {
        let annotations = keys.iter().map(|key| (*key, "x")).collect();
        assert_eq!(is_wanted(&default(DefaultWhen::Always), &annotations), expected);
    }

    #[rstest]
    #[case::no_metadata(json!({"spec": 1}))]
    #[case::null_metadata(json!({"metadata": null, "spec": 1}))]
    #[case::no_annotations(json!({"metadata": {}, "spec": 1}))]
    #[case::null_annotations(json!({"metadata": {"annotations": null}, "spec": 1}))]
    #[case::empty_annotations(json!({"metadata": {"annotations": {}}, "spec": 1}))]
    fn absent_null_and_empty_annotations(#[case] mut object: Value) {
        annotate(&mut object, &default(DefaultWhen::Always).issuer);
        assert_eq!(object, json!({"metadata": {"annotations": {"cert-manager.io/issuer": "le"}}, "spec": 1}));
    }

    #[rstest]
    #[case::issuer("Issuer", "cert-manager.io", json!({"cert-manager.io/issuer": "x"}))]
    #[case::cluster_issuer("ClusterIssuer", "cert-manager.io", json!({"cert-manager.io/cluster-issuer": "x"}))]
    #[case::external("K", "example.com", json!({
        "cert-manager.io/issuer": "x", "cert-manager.io/issuer-kind": "K", "cert-manager.io/issuer-group": "example.com"
    }))]
    #[case::external_issuer("Issuer", "example.com", json!({"cert-manager.io/issuer": "x", "cert-manager.io/issuer-group": "example.com"}))]
    #[case::external_cluster_issuer("ClusterIssuer", "example.com", json!({
        "cert-manager.io/issuer": "x", "cert-manager.io/issuer-kind": "ClusterIssuer", "cert-manager.io/issuer-group": "example.com"
    }))]
    fn what_names_the_issuer_resolves_to_it(
        #[case] kind: &str,
        #[case] group: &str,
        #[case] expected: Value,
    ) {
        let issuer = IssuerRef { name: "x".into(), kind: kind.into(), group: group.into() };
        let mut object = json!({});
        annotate(&mut object, &issuer);
        assert_eq!(object["metadata"]["annotations"], expected);
        let gateway = Gateway::read(GatewayKind::Istio, "ns", &object).unwrap();
        let resolution = certificate_shim::issuer_ref::resolve(&gateway).unwrap();
        assert_eq!((resolution.reference, resolution.faults), (issuer, vec![]));
    }
}
