//! Every recorded request with the built module: once with all issuers ready, and once without issuers.

use crate::common::{cluster, evaluate, patch, recorded_cluster, review, review_with, rules, test_data};
use policy_host::{Evaluation, Lookup};
use rstest::rstest;
use serde_json::{Value, json};

/// The expected result of a recorded request.
enum Expected {
    /// Not checked: accepted without warnings and lookups.
    LeftAlone,
    /// Not annotated, but with other cert-manager keys: checked without a lookup, with these findings.
    Looked(&'static [&'static str]),
    /// Checked: the lookups, the issuer and the Secrets in the audit annotations, and the code without
    /// issuers, which is `None` if the ratchet accepts the request.
    Checked {
        looked_up: &'static [&'static str],
        issuer: &'static str,
        secrets: &'static str,
        without: Option<u16>,
    },
}

use Expected::{Checked, LeftAlone, Looked};

const STOREFRONT: Expected = Checked {
    looked_up: &["ClusterIssuer letsencrypt-production", "Certificate team-a/storefront-tls"],
    issuer: "ClusterIssuer.cert-manager.io/letsencrypt-production",
    secrets: "team-a/storefront-tls",
    without: Some(422),
};

const RECORDINGS: &[(&str, Expected)] = &[
    (
        "gateway-api-v1-create",
        Checked {
            looked_up: &["Issuer team-b/ca", "Certificate team-b/web-tls"],
            issuer: "Issuer.cert-manager.io/ca",
            secrets: "team-b/web-tls",
            without: Some(422),
        },
    ),
    ("gateway-api-v1-delete-collection", LeftAlone),
    ("gateway-api-v1-update-status", LeftAlone),
    ("gateway-api-v1beta1-create-unannotated", LeftAlone),
    ("istio-v1-create", STOREFRONT),
    ("istio-v1-create-dry-run", STOREFRONT),
    ("istio-v1-create-mutating", STOREFRONT),
    (
        "istio-v1-create-generate-name",
        Checked {
            looked_up: &["Issuer team-a/ca", "Certificate team-a/preview-tls"],
            issuer: "Issuer.cert-manager.io/ca",
            secrets: "team-a/preview-tls",
            without: Some(422),
        },
    ),
    (
        "istio-v1-create-generate-name-mutating",
        Checked {
            looked_up: &["Issuer team-a/ca", "Certificate team-a/preview-tls"],
            issuer: "Issuer.cert-manager.io/ca",
            secrets: "team-a/preview-tls",
            without: Some(422),
        },
    ),
    ("istio-v1-create-typo-by-user", Looked(&["annotation-unknown: warn"])),
    ("istio-v1-delete", LeftAlone),
    ("istio-v1-update-finalizer", LeftAlone),
    (
        "istio-v1-update-issuer",
        Checked {
            looked_up: &["ClusterIssuer letsencrypt-staging", "Certificate team-a/storefront-tls"],
            issuer: "ClusterIssuer.cert-manager.io/letsencrypt-staging",
            secrets: "team-a/storefront-tls",
            without: Some(422),
        },
    ),
    (
        "istio-v1-update-label",
        Checked {
            looked_up: &["ClusterIssuer letsencrypt-production"],
            issuer: "ClusterIssuer.cert-manager.io/letsencrypt-production",
            secrets: "team-a/storefront-tls",
            without: None,
        },
    ),
    ("istio-v1-update-server-side-apply", STOREFRONT),
    ("istio-v1-update-while-deleting", LeftAlone),
    (
        "istio-v1alpha3-create-passthrough-and-mutual",
        Checked {
            looked_up: &["Issuer team-b/ca", "Certificate team-b/mtls-tls"],
            issuer: "Issuer.cert-manager.io/ca",
            secrets: "team-b/mtls-tls",
            without: Some(422),
        },
    ),
    ("istio-v1alpha3-delete", LeftAlone),
    ("istio-v1beta1-create-unannotated", LeftAlone),
    (
        "listenerset-v1-create",
        Checked {
            looked_up: &[
                "Gateway team-b/web",
                "ClusterIssuer letsencrypt-production",
                "Certificate team-b/extra-tls",
            ],
            issuer: "ClusterIssuer.cert-manager.io/letsencrypt-production",
            secrets: "team-b/extra-tls",
            without: Some(422),
        },
    ),
];

/// The parent of the recorded ListenerSet.
const PARENT: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web, namespace: team-b}
";

/// A ready Issuer for the requests that name `ca` in team-a.
const CA_OF_TEAM_A: &str = "
apiVersion: cert-manager.io/v1
kind: Issuer
metadata: {name: ca, namespace: team-a}
status: {conditions: [{type: Ready, status: 'True'}]}
";

fn looked_up(evaluation: &Evaluation) -> Vec<String> {
    let name = |lookup: &Lookup| match lookup {
        Lookup::KubernetesGetResource(get) => {
            let namespace =
                get.namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
            format!("{} {namespace}{}", get.kind, get.name)
        }
        other => panic!("the policy only gets objects by name: {other:?}"),
    };
    evaluation.lookups.iter().map(name).collect()
}

fn audit<'e>(evaluation: &'e Evaluation, key: &str) -> Option<&'e str> {
    evaluation.response.audit_annotations.as_ref()?.get(key).map(String::as_str)
}

#[test]
fn with_all_issuers() {
    for (name, expected) in RECORDINGS {
        let cluster = if name.contains("generate-name") { cluster(CA_OF_TEAM_A) } else { recorded_cluster() };
        let evaluation = evaluate(&review(name), &json!({}), cluster);
        assert!(evaluation.response.allowed, "{name}: {}", evaluation.response.message());
        assert_eq!(evaluation.response.patch, None, "{name}");
        match expected {
            LeftAlone => {
                assert_eq!(evaluation.response.audit_annotations, None, "{name}");
                assert_eq!(evaluation.response.warnings, None, "{name}");
                assert!(evaluation.lookups.is_empty(), "{name}");
            }
            Looked(findings) => {
                assert_eq!(rules(&evaluation), *findings, "{name}");
                assert_eq!(audit(&evaluation, "issuer"), None, "{name}");
                assert!(evaluation.lookups.is_empty(), "{name}");
            }
            Checked { looked_up: expected, issuer, secrets, .. } => {
                assert_eq!(looked_up(&evaluation), *expected, "{name}");
                assert_eq!(audit(&evaluation, "issuer"), Some(*issuer), "{name}");
                assert_eq!(audit(&evaluation, "secrets"), Some(*secrets), "{name}");
                let found: &[&str] = match *name {
                    "istio-v1alpha3-create-passthrough-and-mutual" => &["client-ca-missing: warn"],
                    _ => &[],
                };
                assert_eq!(rules(&evaluation), found, "{name}");
            }
        }
    }
}

#[test]
fn without_issuers() {
    for (name, expected) in RECORDINGS {
        let evaluation = evaluate(&review(name), &json!({}), cluster(PARENT));
        let without = match expected {
            LeftAlone | Looked(_) => None,
            Checked { without, .. } => *without,
        };
        assert_eq!(evaluation.response.allowed, without.is_none(), "{name}");
        assert_eq!(evaluation.response.code(), without, "{name}");
        let findings = match (expected, without) {
            (LeftAlone, _) => vec![],
            (Looked(findings), _) => findings.to_vec(),
            (_, Some(_)) => vec!["issuer-not-found: reject"],
            (_, None) => vec!["issuer-not-found: warn"],
        };
        assert_eq!(rules(&evaluation), findings, "{name}");
    }
}

#[test]
fn every_recording_is_used() {
    let files = std::fs::read_dir(test_data("reviews")).unwrap();
    let mut files: Vec<String> =
        files.map(|file| file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned()).collect();
    files.sort();
    let mut known: Vec<&str> = RECORDINGS.iter().map(|(name, _)| *name).collect();
    known.sort();
    assert_eq!(known, files);
}

fn default_issuer(role: &str) -> Value {
    json!({"role": role, "default_issuer": {"name": "letsencrypt-production", "kind": "ClusterIssuer", "when": "always"}})
}

#[rstest]
#[case::istio("istio-v1beta1-create-unannotated", "/metadata/annotations/cert-manager.io~1cluster-issuer")]
#[case::gateway_api(
    "gateway-api-v1beta1-create-unannotated",
    "/metadata/annotations/cert-manager.io~1cluster-issuer"
)]
fn the_default_issuer_is_a_patch_of_one_annotation(#[case] name: &str, #[case] path: &str) {
    for role in ["both", "default"] {
        let evaluation = evaluate(&review(name), &default_issuer(role), recorded_cluster());
        assert!(evaluation.response.allowed, "{}", evaluation.response.message());
        assert_eq!(
            patch(&evaluation),
            json!([{"op": "add", "path": path, "value": "letsencrypt-production"}])
        );
    }
    let evaluation = evaluate(&review(name), &default_issuer("validate"), recorded_cluster());
    assert_eq!(patch(&evaluation), Value::Null);
}

#[rstest]
#[case::absent(|object: &mut Value| { object["metadata"].as_object_mut().unwrap().remove("annotations"); }, "add")]
#[case::null(|object: &mut Value| object["metadata"]["annotations"] = Value::Null, "replace")]
#[case::empty(|object: &mut Value| object["metadata"]["annotations"] = json!({}), "add")]
fn a_default_for_absent_null_and_empty_annotations(#[case] change: fn(&mut Value), #[case] operation: &str) {
    let review = review_with("istio-v1beta1-create-unannotated", |request| change(&mut request["object"]));
    let evaluation = evaluate(&review, &default_issuer("both"), recorded_cluster());
    let patch = patch(&evaluation);
    assert_eq!(patch.as_array().map(Vec::len), Some(1), "{patch}");
    assert_eq!(patch[0]["op"], operation);
    assert!(patch.to_string().contains("letsencrypt-production"));
}

#[test]
fn role_default_accepts_other_gateways() {
    let evaluation = evaluate(&review("istio-v1-create"), &default_issuer("default"), cluster(""));
    assert!(evaluation.response.allowed);
    assert_eq!((patch(&evaluation), evaluation.lookups.len()), (Value::Null, 0));
}

#[test]
fn the_host_rejects_a_patch_of_a_policy_that_may_not_mutate() {
    let host = crate::common::host(recorded_cluster()).mutating(false);
    let name = "istio-v1beta1-create-unannotated";
    let refused = host.validate(&review(name), &default_issuer("both")).unwrap();
    assert!(!refused.response.allowed);
    let passed = host.validate(&review(name), &default_issuer("validate")).unwrap();
    assert!(passed.response.allowed);
}

#[test]
fn an_unreadable_object_is_rejected_with_a_path_and_without_its_content() {
    let review = review_with("istio-v1-create", |request| {
        request["object"]["spec"]["servers"] = json!("s3cret");
    });
    let evaluation = evaluate(&review, &json!({}), recorded_cluster());
    assert_eq!(evaluation.response.code(), Some(400));
    assert_eq!(
        evaluation.response.message(),
        "spec.servers: expected a list, found a string. Correct the object and apply it again."
    );
}

#[rstest]
#[case::valid(json!({}), None)]
#[case::everything_wrong(
    json!({"role": "x", "rules": {"issuer-not-redy": "warn"}, "lookups": {"fresh": 1}, "zzz": true}),
    Some("role: \"x\" is not one of: both, default, validate\nrules.issuer-not-redy: unknown rule; did you mean issuer-not-ready?\nlookups.fresh: expected true or false, found a number\nzzz: unknown setting; known here: ")
)]
fn settings_are_validated(#[case] settings: Value, #[case] expected: Option<&str>) {
    let answer = crate::common::host(cluster("")).validate_settings(&settings).unwrap();
    assert_eq!(answer.valid, expected.is_none());
    let message = answer.message.unwrap_or_default();
    assert!(message.starts_with(expected.unwrap_or_default()), "{message}");
}

#[test]
fn the_protocol() {
    assert_eq!(crate::common::host(cluster("")).protocol_version().unwrap(), "v1");
}
