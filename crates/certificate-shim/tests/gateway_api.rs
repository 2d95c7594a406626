//! The Certificates of Gateway API's Gateways and ListenerSets. These tests contain what is not in the
//! conformance corpus.

use certificate_shim::gateway::{Gateway, GatewayKind};
use certificate_shim::issuer_ref::{IssuerRef, resolve};
use certificate_shim::listener_set::{inherit, is_orphaned};
use certificate_shim::plan::{Options, Plan, plan, secrets_named};
use rstest::rstest;
use serde_json::{Value, json};

fn listener(name: &str, hostname: &str, secret: &str) -> Value {
    json!({
        "name": name, "port": 443, "protocol": "HTTPS", "hostname": hostname,
        "tls": {"mode": "Terminate", "certificateRefs": [{"group": "", "kind": "Secret", "name": secret}]},
    })
}

fn object(listeners: &[Value], annotations: Value) -> Value {
    json!({
        "metadata": {"name": "web", "namespace": "team-a", "uid": "u-1", "annotations": annotations,
            "labels": {"app": "web", "applyset.kubernetes.io/part-of": "x"}},
        "spec": {"listeners": listeners, "parentRef": {"name": "parent"}},
    })
}

fn planned(kind: GatewayKind, object: &Value) -> Plan {
    let gateway = Gateway::read(kind, "team-a", object).unwrap();
    let issuer = IssuerRef { name: "ca".into(), kind: "Issuer".into(), group: "cert-manager.io".into() };
    let copy =
        Options { copy_labels: vec!["app".into()], copy_annotations: vec!["*".into()], ..Options::default() };
    plan(&gateway, &issuer, &["elsewhere"], &copy)
}

#[test]
fn the_placement_and_the_copy_lists_apply_only_to_istio() {
    let annotations = json!({"example.com/a": "b"});
    let plan = planned(GatewayKind::GatewayApi, &object(&[listener("a", "a.com", "web")], annotations));
    let metadata = plan.certificates[0].to_json()["metadata"].take();
    assert_eq!(metadata["namespace"], "team-a");
    assert_eq!(metadata["labels"], json!({"app": "web"}));
    assert_eq!(
        metadata["annotations"],
        json!({
            "acme.cert-manager.io/http01-parentrefkind": "Gateway",
            "acme.cert-manager.io/http01-parentrefname": "web",
        })
    );
}

#[rstest]
#[case::not_set(None, &["ListenerSet", "web"])]
#[case::set(Some("true"), &["Gateway", "parent", "team-a"])]
#[case::one(Some("1"), &["Gateway", "parent", "team-a"])]
#[case::capital(Some("T"), &["Gateway", "parent", "team-a"])]
#[case::not_a_boolean(Some("yes"), &["ListenerSet", "web"])]
#[case::mixed_case(Some("tRUE"), &["ListenerSet", "web"])]
#[case::false_(Some("false"), &["ListenerSet", "web"])]
fn the_solver_of_a_listener_set(#[case] fallback: Option<&str>, #[case] expected: &[&str]) {
    let annotations = json!({"acme.cert-manager.io/http01-parentreffallback": fallback});
    let plan = planned(GatewayKind::ListenerSet, &object(&[listener("a", "a.com", "web")], annotations));
    let certificate = &plan.certificates[0];
    assert_eq!(certificate.annotations().into_values().collect::<Vec<_>>(), expected);
    assert_eq!(certificate.to_json()["metadata"]["ownerReferences"][0]["kind"], "ListenerSet");
}

#[rstest]
#[case::name_of_the_parent(json!({"issuer": "p"}), json!({}), Some(("p", "Issuer", "cert-manager.io")))]
#[case::own_name_stays(json!({"issuer": "p"}), json!({"cluster-issuer": "s"}), Some(("s", "ClusterIssuer", "cert-manager.io")))]
#[case::empty_own_name_stays(json!({"issuer": "p"}), json!({"issuer": ""}), Some(("", "Issuer", "cert-manager.io")))]
#[case::kind_is_overwritten(json!({"issuer-kind": "P", "issuer-group": "p"}), json!({"issuer": "s", "issuer-kind": "S"}), Some(("s", "P", "p")))]
#[case::kind_stays_if_the_parent_has_none(json!({"issuer": "p"}), json!({"issuer-kind": "S"}), Some(("p", "S", "cert-manager.io")))]
#[case::other_annotations(json!({"duration": "1h"}), json!({}), None)]
fn inherited(#[case] parent: Value, #[case] set: Value, #[case] expected: Option<(&str, &str, &str)>) {
    let annotated = |annotations: Value| {
        let keys = annotations.as_object().unwrap().iter();
        let annotations: serde_json::Map<_, _> =
            keys.map(|(key, value)| (format!("cert-manager.io/{key}"), value.clone())).collect();
        object(&[], annotations.into())
    };
    let (parent, set) = (annotated(parent), annotated(set));
    let parent = Gateway::read(GatewayKind::GatewayApi, "team-a", &parent).unwrap();
    let mut set = Gateway::read(GatewayKind::ListenerSet, "team-a", &set).unwrap();
    inherit(&mut set, &parent);
    let reference = resolve(&set).map(|resolution| resolution.reference);
    let reference = reference.as_ref().map(|r| (r.name.as_str(), r.kind.as_str(), r.group.as_str()));
    assert_eq!(reference, expected);
    assert_eq!(set.annotation("cert-manager.io/duration"), None);
}

#[rstest]
#[case::parent_exists(json!({"name": "p"}), Some(json!({})), false)]
#[case::parent_is_missing(json!({"name": "p"}), None, true)]
#[case::parent_is_being_deleted(json!({"name": "p"}), Some(json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}})), true)]
#[case::parent_has_no_name(json!({}), Some(json!({})), true)]
#[case::no_parent(json!(null), Some(json!({})), true)]
fn orphaned(#[case] reference: Value, #[case] parent: Option<Value>, #[case] expected: bool) {
    let set = json!({"spec": {"parentRef": reference}});
    let set = Gateway::read(GatewayKind::ListenerSet, "team-a", &set).unwrap();
    let parent =
        parent.as_ref().map(|parent| Gateway::read(GatewayKind::GatewayApi, "team-a", parent).unwrap());
    assert_eq!(is_orphaned(&set, parent.as_ref()), expected);
}

#[test]
fn all_annotation_faults_are_in_cert_managers_order() {
    let annotations = json!({
        "cert-manager.io/secret-template": "{",
        "cert-manager.io/private-key-rotation-policy": "Sometimes",
        "cert-manager.io/private-key-size": "1024",
        "cert-manager.io/private-key-encoding": "DER",
        "cert-manager.io/private-key-algorithm": "ECDSA",
        "cert-manager.io/revision-history-limit": "0",
        "cert-manager.io/usages": "server auth, bogus",
        "cert-manager.io/renew-before-percentage": "50%",
        "cert-manager.io/renew-before": "",
        "cert-manager.io/duration": format!("{}d", "9".repeat(100)),
        "cert-manager.io/subject-streetaddresses": "",
        "cert-manager.io/subject-organizationalunits": "a\nb",
        "cert-manager.io/subject-organizations": "a\"",
        "cert-manager.io/common-name": "fine",
    });
    let plan = planned(GatewayKind::GatewayApi, &object(&[listener("a", "a.com", "web")], annotations));
    let keys: Vec<&str> =
        plan.faults.iter().map(|fault| fault.key.strip_prefix("cert-manager.io/").unwrap()).collect();
    assert_eq!(
        keys,
        [
            "subject-organizations",
            "subject-organizationalunits",
            "subject-streetaddresses",
            "duration",
            "renew-before",
            "renew-before-percentage",
            "usages",
            "revision-history-limit",
            "private-key-encoding",
            "private-key-size",
            "private-key-rotation-policy",
            "secret-template",
        ]
    );
    assert!(plan.faults.iter().all(|fault| !fault.accepts().is_empty()));
    assert!(plan.issued().is_empty());
    assert_eq!(plan.certificates[0].template.common_name, "fine");

    let duration = &plan.faults[3];
    assert_eq!(duration.value, format!("{}…", "9".repeat(64)));
    let size = &plan.faults[9];
    assert_eq!(
        size.to_string(),
        "invalid ingress annotation \"cert-manager.io/private-key-size\": invalid private key size for ECDSA algorithm \"1024\""
    );
}

#[test]
fn a_size_is_not_checked_if_the_algorithm_is_invalid() {
    let annotations =
        json!({"cert-manager.io/private-key-algorithm": "ecdsa", "cert-manager.io/private-key-size": "256"});
    let plan = planned(GatewayKind::GatewayApi, &object(&[listener("a", "a.com", "web")], annotations));
    assert_eq!(
        plan.faults.iter().map(|fault| fault.key).collect::<Vec<_>>(),
        ["cert-manager.io/private-key-algorithm"]
    );
}

#[test]
fn places_are_paths_of_listeners() {
    let mut both = listener("a", "a.com", "x");
    both["tls"]["certificateRefs"] = json!([{"name": "y"}, {"name": "x"}]);
    let plan = planned(GatewayKind::GatewayApi, &object(&[listener("b", "b.com", "x"), both], json!({})));
    let x = &plan.certificates[0];
    let places: Vec<String> = x.places.iter().map(ToString::to_string).collect();
    assert_eq!(
        places,
        ["spec.listeners[0].tls.certificateRefs[0].name", "spec.listeners[1].tls.certificateRefs[1].name"]
    );
    assert_eq!(x.hosts[1].place.to_string(), "spec.listeners[1].hostname");
    assert_eq!(plan.secrets().iter().map(ToString::to_string).collect::<Vec<_>>(), ["team-a/x", "team-a/y"]);
}

#[test]
fn all_named_secrets_are_listed() {
    let listeners = json!([
        {"protocol": "HTTP", "tls": {"certificateRefs": [{"name": "b"}, {"name": "a", "namespace": "other"}]}},
        {"tls": {"mode": "Passthrough", "certificateRefs": [{"name": "b"}, {"name": "c", "kind": "ConfigMap", "namespace": ""}]}},
        {},
    ]);
    let object = json!({"spec": {"listeners": listeners}});
    let gateway = Gateway::read(GatewayKind::GatewayApi, "team-a", &object).unwrap();
    let named: Vec<String> =
        secrets_named(&gateway, &["elsewhere"]).iter().map(ToString::to_string).collect();
    assert_eq!(named, ["other/a", "team-a/b", "team-a/c"]);
}
