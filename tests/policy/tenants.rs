//! The examples for clusters that teams share: the result for each Gateway with the settings that reject
//! and with those that only warn; and the results of lookups for tenants with the built module.

use std::path::{Path, PathBuf};

use crate::common::{cluster, evaluate, review, review_with, rules};
use gateway_lint::{Options, Policy, Report};
use policy_host::{Evaluation, Lookup, Metadata};
use rstest::rstest;
use serde_json::{Value, json};

/// Each Gateway with the rules that reject it, and the rules that warn about it for any tenant.
const EXPECTED: &[(&str, &[&str], &[&str])] = &[
    ("checkout/checkout", &[], &[]),
    ("checkout/weak", &["key-not-allowed", "name-not-allowed"], &[]),
    ("istio-system/main", &[], &[]),
    ("sandbox/trial", &["namespace-without-tenant"], &[]),
    ("sandbox/guest", &["namespace-without-tenant"], &[]),
    ("sandbox/own", &[], &[]),
    ("shop/storefront", &[], &[]),
    ("shop/borrowed", &["name-not-allowed", "secret-not-allowed"], &[]),
    (
        "shop/smuggler",
        &["name-not-allowed", "name-not-served", "secret-metadata-not-allowed", "subject-not-allowed"],
        &["acme-ignored"],
    ),
    ("shop/lasting", &["duration-out-of-bounds", "usage-not-allowed"], &["acme-ignored"]),
    ("shop/internal", &["issuer-not-allowed"], &[]),
    ("shop-staging/previews", &["name-not-allowed"], &[]),
];

fn check(settings: &str) -> Report {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let settings = gateway_lint::settings::load(&root.join(settings)).expect("the settings can be read");
    let metadata = Metadata::from_yaml(gateway_lint::METADATA).expect("metadata.yml is valid");
    let policy = Policy { module: crate::common::module(), metadata: Some(metadata) };
    let options = Options { settings, namespace: "default".to_owned(), strict: true };
    let paths: [PathBuf; 1] = [root.join("examples/tenants")];
    gateway_lint::check(policy, &paths, &options).expect("the examples can be checked")
}

/// The rules with findings of one level for each Gateway, sorted and without duplicates.
fn found(report: &Report, level: &str) -> Vec<(String, Vec<String>)> {
    let of = |result: &gateway_lint::check::GatewayResult| {
        let findings = result.findings.iter().filter(|finding| finding.level == level);
        let mut rules: Vec<String> = findings.map(|finding| finding.rule.clone()).collect();
        rules.sort();
        rules.dedup();
        (format!("{}/{}", result.namespace, result.name), rules)
    };
    report.results.iter().map(of).collect()
}

fn expected(rules: impl Fn(&[&str], &[&str]) -> Vec<String>) -> Vec<(String, Vec<String>)> {
    let of = |(name, rejecting, warning): &(&str, &[&str], &[&str])| {
        let mut rules = rules(rejecting, warning);
        rules.sort();
        ((*name).to_owned(), rules)
    };
    EXPECTED.iter().map(of).collect()
}

fn owned(rules: &[&str]) -> Vec<String> {
    rules.iter().map(|rule| (*rule).to_owned()).collect()
}

#[test]
fn deny_by_default() {
    let report = check("examples/settings/multi-tenant.yaml");
    assert_eq!(found(&report, "reject"), expected(|rejecting, _| owned(rejecting)));
    assert_eq!(found(&report, "warn"), expected(|_, warning| owned(warning)));
    for result in &report.results {
        let rejecting =
            EXPECTED.iter().find(|(name, ..)| *name == format!("{}/{}", result.namespace, result.name));
        assert_eq!(result.allowed, rejecting.unwrap().1.is_empty(), "{}", result.name);
    }
    let defaulted: Vec<&str> = report
        .results
        .iter()
        .filter(|result| result.patch.is_some())
        .map(|result| result.name.as_str())
        .collect();
    assert_eq!(defaulted, ["storefront"]);
}

#[test]
fn on_probation() {
    let report = check("examples/settings/permissive.yaml");
    assert!(report.results.iter().all(|result| result.allowed), "{report:?}");
    assert_eq!(found(&report, "reject"), expected(|_, _| Vec::new()));
    assert_eq!(
        found(&report, "warn"),
        expected(|rejecting, warning| [owned(rejecting), owned(warning)].concat())
    );
}

/// The permissive settings differ from the others in levels alone.
#[test]
fn both_examples_have_the_same_tenants() {
    let read = |name: &str| -> Value {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/settings").join(name);
        yaml_serde::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    };
    let (multi_tenant, permissive) = (read("multi-tenant.yaml"), read("permissive.yaml"));
    for key in ["tenants", "gateway_namespaces"] {
        assert!(multi_tenant[key].is_array(), "{key}");
        assert_eq!(multi_tenant[key], permissive[key], "{key}");
    }
}

/// A tenant that is selected by a label of its namespace.
fn by_label() -> Value {
    json!({"tenants": [{
        "name": "a", "namespace_selector": {"match_labels": {"team": "a"}},
        "issuers": [{"kind": "ClusterIssuer", "name": "*"}], "dns_names": ["**"],
    }]})
}

const ISSUER: &str = "apiVersion: cert-manager.io/v1\nkind: ClusterIssuer\nmetadata: {name: letsencrypt-production, generation: 1}\nstatus: {conditions: [{type: Ready, status: 'True'}]}\n---\n";

#[rstest]
#[case::with_the_label("{name: team-a, labels: {team: a}}", None)]
#[case::without("{name: team-a}", Some("namespace-without-tenant: metadata.namespace: "))]
fn the_namespace_decides(#[case] metadata: &str, #[case] rejected: Option<&str>) {
    let cluster = cluster(&format!("{ISSUER}apiVersion: v1\nkind: Namespace\nmetadata: {metadata}\n"));
    let evaluation = evaluate(&review("istio-v1-create"), &by_label(), cluster);
    assert_eq!(evaluation.response.allowed, rejected.is_none(), "{}", evaluation.response.message());
    assert!(
        evaluation.response.message().starts_with(rejected.unwrap_or_default()),
        "{}",
        evaluation.response.message()
    );
}

#[rstest]
#[case::forbidden("forbidden", "RBAC forbids reading Namespace \"team-a\"")]
#[case::not_granted("not-granted", "not granted lookups of v1 Namespace")]
#[case::unavailable("unavailable", "the API server did not answer for Namespace \"team-a\" (ServiceError: ")]
fn a_namespace_that_cannot_be_looked_up(#[case] fault: &str, #[case] said: &str) {
    for role in ["both", "validate"] {
        let mut settings = by_label();
        settings["role"] = json!(role);
        let cluster = cluster(&format!(
            "{ISSUER}apiVersion: policy-host/v1\nkind: LookupFault\nspec: {{match: {{kind: Namespace}}, fault: {fault}}}\n"
        ));
        let evaluation = evaluate(&review("istio-v1-create"), &settings, cluster);
        assert_eq!(evaluation.response.code(), Some(500));
        assert_eq!(rules(&evaluation), ["lookup-failed: reject"]);
        assert!(evaluation.response.message().contains(said), "{}", evaluation.response.message());
    }
}

fn permission() -> Value {
    json!({"rules": {"issuer-no-permission": "reject"}})
}

/// The number of access reviews that the policy requested.
fn reviews(evaluation: &Evaluation) -> usize {
    evaluation.lookups.iter().filter(|lookup| matches!(lookup, Lookup::KubernetesCanI(_))).count()
}

const ACCESS: &str = "apiVersion: policy-host/v1\nkind: AccessRule\nspec: {group: team-a, verbs: [create], apiGroups: [cert-manager.io], resources: [certificates], namespaces: [team-a]}\n";

#[rstest]
#[case::allowed(ACCESS, None)]
#[case::denied("", Some("user \"jane\" may not create Certificates in namespace \"team-a\""))]
#[case::not_granted(
    "apiVersion: policy-host/v1\nkind: LookupFault\nspec: {match: {kind: SubjectAccessReview}, fault: capability-not-granted}\n",
    Some("host capability kubernetes/can_i")
)]
#[case::forbidden(
    "apiVersion: policy-host/v1\nkind: LookupFault\nspec: {match: {kind: SubjectAccessReview}, fault: forbidden}\n",
    Some("RBAC forbids creating SubjectAccessReviews")
)]
#[case::unavailable(
    "apiVersion: policy-host/v1\nkind: LookupFault\nspec: {match: {kind: SubjectAccessReview}, fault: service-unavailable}\n",
    Some(
        "the API server did not answer for SubjectAccessReview \"jane\" in namespace \"team-a\" (code 503)"
    )
)]
fn permission_to_create_certificates(#[case] access: &str, #[case] rejected: Option<&str>) {
    let jane = review_with("istio-v1-create", |request| {
        request["userInfo"] = json!({"username": "jane", "groups": ["team-a"]});
    });
    let evaluation = evaluate(&jane, &permission(), cluster(&format!("{ISSUER}{access}")));
    assert_eq!(reviews(&evaluation), 1);
    assert_eq!(evaluation.response.allowed, rejected.is_none(), "{}", evaluation.response.message());
    assert!(
        evaluation.response.message().contains(rejected.unwrap_or_default()),
        "{}",
        evaluation.response.message()
    );
}

#[test]
fn without_user_there_is_no_access_review() {
    let no_user = review_with("istio-v1-create", |request| request["userInfo"] = json!({}));
    let evaluation = evaluate(&no_user, &permission(), cluster(ISSUER));
    assert!(evaluation.response.allowed, "{}", evaluation.response.message());
    assert_eq!(reviews(&evaluation), 0);
}
