//! All results of lookups, with the built module: the recorded texts of a real host, and the faults of
//! the bundled host, with and without the causes and backtraces of a live host.

use crate::common::{cluster, evaluate, review, review_with, rules, test_data};
use policy_host::{Evaluation, Replay};
use rstest::rstest;
use serde_json::{Value, json};

/// A Gateway API Gateway in `namespace` that names the issuer in that annotation.
fn gateway(namespace: &str, annotation: &str, name: &str) -> Value {
    review_with("gateway-api-v1-create", |request| {
        request["namespace"] = json!(namespace);
        request["object"]["metadata"]["namespace"] = json!(namespace);
        let mut annotations = json!({});
        annotations[format!("cert-manager.io/{annotation}")] = json!(name);
        request["object"]["metadata"]["annotations"] = annotations;
    })
}

/// Settings with which only the issuer is looked up.
fn issuers_only() -> Value {
    json!({"rules": {"secret-not-owned": "off", "secret-without-owner": "off", "secret-owner-unknown": "off"}})
}

/// One exchange of a replay file: a lookup of the policy, and a recorded response.
fn exchange(kind: &str, namespace: Option<&str>, name: &str, fresh: bool, response: &str) -> String {
    let namespace = namespace.unwrap_or("null");
    format!(
        "- type: Exchange\n  request: |\n    !KubernetesGetResource\n    api_version: cert-manager.io/v1\n    kind: {kind}\n    name: {name}\n    namespace: {namespace}\n    disable_cache: {fresh}\n    field_masks:\n    - spec\n    - status.conditions\n{response}"
    )
}

/// The `response` of a recording, as text.
fn recorded(name: &str) -> String {
    let path = test_data("lookups").join(format!("{name}.yml"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let response = text.split_once("  response:\n").expect("a recording has a response").1;
    format!("  response:\n{response}")
}

/// Evaluates a review with recorded answers to these lookups: (kind, namespace, name, fresh, recording).
fn replay(review: &Value, lookups: &[(&str, Option<&str>, &str, bool, &str)]) -> Evaluation {
    let exchanges: Vec<String> = lookups
        .iter()
        .map(|(kind, namespace, name, fresh, file)| exchange(kind, *namespace, name, *fresh, &recorded(file)))
        .collect();
    let replay = if exchanges.is_empty() { "[]".to_owned() } else { exchanges.join("") };
    let evaluation = evaluate(review, &issuers_only(), Replay::from_yaml(&replay).expect("a replay file"));
    assert_eq!(evaluation.lookups.len(), lookups.len(), "{}", evaluation.response.message());
    evaluation
}

#[rstest]
#[case::found_ready("found-ready", "team-b", "ca", true, &[])]
#[case::absent("absent", "team-a", "nope", false, &["issuer-not-found: reject"])]
#[case::namespace_absent("ns-absent", "gone", "nope", false, &["issuer-not-found: reject"])]
#[case::forbidden("forbidden", "team-b", "ca", false, &["issuer-unknown: reject"])]
#[case::unauthorized("unauthorized", "team-b", "ca", false, &["issuer-unknown: reject"])]
#[case::down("down", "team-b", "ca", false, &["issuer-unknown: reject"])]
fn recordings_of_an_issuer(
    #[case] recording: &str,
    #[case] namespace: &str,
    #[case] name: &str,
    #[case] allowed: bool,
    #[case] expected: &[&str],
) {
    let mut lookups = vec![("Issuer", Some(namespace), name, false, recording)];
    if expected == ["issuer-not-found: reject"] {
        lookups.push(("ClusterIssuer", None, name, false, "clusterscope-absent"));
    }
    let evaluation = replay(&gateway(namespace, "issuer", name), &lookups);
    assert_eq!(evaluation.response.allowed, allowed, "{}", evaluation.response.message());
    assert_eq!(rules(&evaluation), expected);
    let code = if expected.is_empty() {
        None
    } else if expected[0].starts_with("issuer-not-found") {
        Some(422)
    } else {
        Some(500)
    };
    assert_eq!(evaluation.response.code(), code);
}

#[test]
fn recordings_of_a_cluster_issuer() {
    let name = "letsencrypt-production";
    let review = gateway("team-b", "cluster-issuer", name);
    let evaluation = replay(
        &review,
        &[
            ("ClusterIssuer", None, name, false, "found-not-ready"),
            ("ClusterIssuer", None, name, true, "found-not-ready"),
        ],
    );
    assert_eq!(evaluation.response.code(), Some(422));
    assert_eq!(rules(&evaluation), ["issuer-not-ready: reject"]);
    let message = evaluation.response.message();
    assert!(
        message.contains("ErrRegisterACMEAccount") && message.contains("connection refused"),
        "{message}"
    );

    let selfsigned = gateway("team-b", "cluster-issuer", "selfsigned");
    let evaluation =
        replay(&selfsigned, &[("ClusterIssuer", None, "selfsigned", false, "found-cluster-ready")]);
    assert!(evaluation.response.allowed, "{}", evaluation.response.message());

    // The recording without status: the host ignores the namespace.
    let evaluation = replay(&review, &[("ClusterIssuer", None, name, false, "cluster-with-ns")]);
    assert_eq!(rules(&evaluation), ["issuer-pending: warn"]);
}

/// A recording about another object than the requested one is undetermined.
#[rstest]
#[case::another_issuer("absent", "team-b", "ca")]
#[case::another_group("group-missing", "team-a", "nope")]
#[case::another_kind("kind-missing", "team-a", "nope")]
#[case::another_name("found-ready", "team-b", "other")]
#[case::another_namespace("found-ready", "team-a", "ca")]
#[case::no_namespace("no-namespace", "team-a", "nope")]
fn recordings_of_something_else(#[case] recording: &str, #[case] namespace: &str, #[case] name: &str) {
    let evaluation =
        replay(&gateway(namespace, "issuer", name), &[("Issuer", Some(namespace), name, false, recording)]);
    assert_eq!(evaluation.response.code(), Some(500), "{}", evaluation.response.message());
    assert_eq!(rules(&evaluation), ["issuer-unknown: reject"]);
    assert!(evaluation.response.message().contains("unexpected answer"), "{}", evaluation.response.message());
}

/// The names for which a real host returned something other than an object of that name.
#[rstest]
#[case::path_status("ca/status")]
#[case::query("ca?x")]
#[case::path_dots("../../../clusterissuers/letsencrypt-production")]
#[case::space("a b")]
fn names_that_are_never_looked_up(#[case] name: &str) {
    let evaluation = replay(&gateway("team-b", "issuer", name), &[]);
    assert_eq!(evaluation.response.code(), Some(422));
    assert_eq!(rules(&evaluation), ["issuer-not-found: reject"]);
}

#[test]
fn an_empty_name_is_never_looked_up() {
    let evaluation = replay(&gateway("team-b", "issuer", ""), &[]);
    assert_eq!(rules(&evaluation), ["annotation-conflict: reject"]);
}

#[test]
fn a_replay_that_is_exhausted_or_different_is_undetermined() {
    let review = gateway("team-b", "issuer", "ca");
    for (replay, said) in [
        ("[]".to_owned(), "the list of recorded responses is empty"),
        (
            exchange("Issuer", Some("team-b"), "cb", false, &recorded("found-ready")),
            "Replay error: unexpected request.",
        ),
    ] {
        let evaluation = evaluate(&review, &issuers_only(), Replay::from_yaml(&replay).unwrap());
        assert_eq!(evaluation.response.code(), Some(500));
        assert!(evaluation.response.message().contains(said), "{}", evaluation.response.message());
    }
}

/// The faults of the bundled host, and the text that the message of the rejection must contain.
const FAULTS: &[(&str, &str)] = &[
    ("group-not-served", "does not serve Issuer in cert-manager.io/v1"),
    ("kind-not-served", "does not serve Issuer in cert-manager.io/v1"),
    ("crd-removed", "does not serve Issuer in cert-manager.io/v1"),
    ("forbidden", "RBAC forbids reading Issuer \"ca\" in namespace \"team-b\""),
    ("unauthorized", "did not answer for Issuer \"ca\" in namespace \"team-b\" (code 401)"),
    ("too-many-requests", "(code 429)"),
    ("server-error", "(code 500)"),
    ("service-unavailable", "(code 503)"),
    ("unavailable", "did not answer for Issuer \"ca\" in namespace \"team-b\" (ServiceError: "),
    ("not-granted", "not granted lookups of cert-manager.io/v1 Issuer"),
    ("capability-not-granted", "host capability kubernetes/get_resource"),
];

#[test]
fn every_fault_with_every_tail() {
    for (fault, said) in FAULTS {
        for tail in ["none", "caused-by", "backtrace"] {
            for during in ["", ", during: request", ", during: discovery"] {
                let cluster = format!(
                    "apiVersion: policy-host/v1\nkind: LookupFault\nspec: {{match: {{kind: Issuer}}, fault: {fault}, tail: {tail}{during}}}\n"
                );
                let Ok(cluster) = policy_host::Manifests::from_yaml(&cluster) else {
                    assert!(!during.is_empty(), "{cluster}");
                    continue;
                };
                let evaluation = evaluate(&gateway("team-b", "issuer", "ca"), &issuers_only(), cluster);
                let place = format!("{fault}, {tail}{during}");
                assert_eq!(
                    evaluation.response.code(),
                    Some(500),
                    "{place}: {}",
                    evaluation.response.message()
                );
                assert_eq!(rules(&evaluation), ["issuer-unknown: reject"], "{place}");
                let message = evaluation.response.message();
                assert!(message.contains(said), "{place}: {message}");
                assert!(!message.contains("backtrace"), "{place}: {message}");
                assert_eq!(evaluation.lookups.len(), 1, "{place}");
            }
        }
    }
}

/// The recorded cluster, with that fault for lookups of a kind.
fn faulty(kind: &str, fault: &str) -> policy_host::Manifests {
    let recorded = std::fs::read_to_string(test_data("cluster.yaml")).unwrap();
    cluster(&format!(
        "{recorded}---\napiVersion: policy-host/v1\nkind: LookupFault\nspec: {{match: {{kind: {kind}}}, fault: {fault}}}\n"
    ))
}

#[test]
fn without_certificates_the_rest_is_checked() {
    for (fault, _) in FAULTS {
        let evaluation = evaluate(&review("istio-v1-create"), &json!({}), faulty("Certificate", fault));
        assert!(evaluation.response.allowed, "{fault}: {}", evaluation.response.message());
        assert_eq!(rules(&evaluation), ["secret-owner-unknown: warn"], "{fault}");
    }
}

#[test]
fn without_its_parent_a_listener_set_is_rejected() {
    for (fault, _) in FAULTS {
        let evaluation = evaluate(&review("listenerset-v1-create"), &json!({}), faulty("Gateway", fault));
        assert_eq!(evaluation.response.code(), Some(500), "{fault}: {}", evaluation.response.message());
        assert_eq!(rules(&evaluation)[0], "lookup-failed: reject", "{fault}");
    }
}

#[test]
fn a_lookup_that_takes_too_long_is_rejected_by_the_host() {
    let cluster = cluster(
        "apiVersion: policy-host/v1\nkind: LookupFault\nspec: {match: {kind: Issuer}, fault: slow, delayMilliseconds: 2500}\n",
    );
    let evaluation = evaluate(&gateway("team-b", "issuer", "ca"), &issuers_only(), cluster);
    assert_eq!(evaluation.response.code(), Some(500));
    assert_eq!(
        evaluation.response.message(),
        "Policy execution interrupted because it exceeded the allowed execution time"
    );
}

#[test]
fn a_namespaced_policy_cannot_look_up_anything() {
    let host = policy_host::Host::new(crate::common::module(), cluster(""));
    let evaluation = host.validate(&review("istio-v1-create"), &json!({})).unwrap();
    assert_eq!(evaluation.response.code(), Some(500));
    assert!(
        evaluation.response.message().contains("ClusterAdmissionPolicy"),
        "{}",
        evaluation.response.message()
    );
}

#[test]
fn every_recording_is_used() {
    let source = include_str!("lookups.rs");
    for file in std::fs::read_dir(test_data("lookups")).unwrap() {
        let name = file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
        let case = name.replace('-', "_");
        let named = source.contains(&format!("\"{name}\"")) || source.contains(&format!("case::{case}("));
        assert!(named || name == "empty-name", "{name}.yml is not used");
    }
}
