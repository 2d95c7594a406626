//! The embedded policy: issuers that are missing or have no status are a warning, and with `--strict` a
//! rejection.

use std::path::PathBuf;

use assert_cmd::assert::Assert;
use rstest::rstest;
use serde_json::Value;

const HTTPS: &str = "spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 443, name: https, protocol: HTTPS}, \
    hosts: [shop.example.com], tls: {mode: SIMPLE, credentialName: shop-tls}}]}";

fn istio(annotations: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: Gateway\n\
         metadata: {{name: shop, namespace: team-a, annotations: {{{annotations}}}}}\n{HTTPS}\n---\n"
    )
}

fn gateway_api(metadata: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{{metadata}}}\n\
         spec: {{gatewayClassName: istio, listeners: [{{name: https, port: 443, protocol: HTTPS, hostname: shop.example.com, \
         tls: {{certificateRefs: [{{name: shop-tls}}]}}}}]}}\n---\n"
    )
}

fn issuer(kind: &str, status: &str) -> String {
    format!(
        "apiVersion: cert-manager.io/v1\nkind: {kind}\nmetadata: {{name: ca, namespace: team-a}}\nspec: {{ca: {{}}}}\n{status}\n---\n"
    )
}

const READY: &str = "status: {conditions: [{type: Ready, status: 'True', reason: KeyPairVerified}]}";
const FAILED: &str =
    "status: {conditions: [{type: Ready, status: 'False', reason: ErrGetKeyPair, message: no such Secret}]}";

fn check(manifests: &str, settings: Option<&str>, args: &[&str]) -> Assert {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.yaml"), manifests).unwrap();
    let mut command = assert_cmd::cargo::cargo_bin_cmd!("gateway-lint");
    command.current_dir(folder.path()).args(["check", "a.yaml", "-o", "json"]).args(args);
    if let Some(settings) = settings {
        std::fs::write(folder.path().join("settings.yaml"), settings).unwrap();
        command.args(["--settings", "settings.yaml"]);
    }
    command.assert()
}

/// `allowed`, `warned` or `rejected`, and the rules that were violated.
fn result_of(assert: &Assert) -> String {
    let report: Value = serde_json::from_slice(&assert.get_output().stdout).unwrap();
    let result = &report["results"][0];
    let word = match (result["allowed"].as_bool().unwrap(), result["warnings"].as_array().unwrap().is_empty())
    {
        (true, true) => "allowed",
        (true, false) => "warned",
        (false, _) => "rejected",
    };
    let findings = result["findings"].as_array().unwrap();
    findings
        .iter()
        .fold(word.to_owned(), |text, finding| format!("{text} {}", finding["rule"].as_str().unwrap()))
}

const ISSUER_CA: &str = "cert-manager.io/issuer: ca";

#[rstest]
#[case::no_issuer(istio(ISSUER_CA), "warned issuer-not-found", "rejected issuer-not-found")]
#[case::no_status(istio(ISSUER_CA) + &issuer("Issuer", ""), "allowed", "rejected issuer-pending")]
#[case::empty_status(istio(ISSUER_CA) + &issuer("Issuer", "status: {}"), "allowed", "rejected issuer-pending")]
#[case::ready(istio(ISSUER_CA) + &issuer("Issuer", READY), "allowed", "allowed")]
#[case::failed(istio(ISSUER_CA) + &issuer("Issuer", FAILED), "rejected issuer-not-ready", "rejected issuer-not-ready")]
#[case::cluster_issuer(istio("cert-manager.io/cluster-issuer: ca") + &issuer("ClusterIssuer", READY), "allowed", "allowed")]
#[case::other_kind(istio(ISSUER_CA) + &issuer("ClusterIssuer", READY), "warned issuer-not-found", "rejected issuer-not-found")]
#[case::unannotated(istio(""), "allowed", "allowed")]
#[case::gateway_api(
    gateway_api("name: shop, namespace: team-a, annotations: {cert-manager.io/issuer: ca}") + &issuer("Issuer", READY),
    "allowed",
    "allowed"
)]
#[case::generated_name(
    gateway_api("generateName: shop-, annotations: {cert-manager.io/issuer: ca}"),
    "warned issuer-not-found",
    "rejected issuer-not-found"
)]
fn manifests_are_checked(#[case] manifests: String, #[case] lenient: &str, #[case] strict: &str) {
    for (args, expected) in [(&[][..], lenient), (&["--strict"][..], strict)] {
        let assert = check(&manifests, None, args);
        assert_eq!(result_of(&assert), expected, "{args:?}");
        assert.code(if expected.starts_with("rejected") { 1 } else { 0 });
    }
}

#[test]
fn rules_that_are_off_stay_off() {
    let settings = "rules: {issuer-not-found: 'off', issuer-pending: 'off'}";
    assert_eq!(result_of(&check(&istio(ISSUER_CA), Some(settings), &[])), "allowed");
    let pending = istio(ISSUER_CA) + &issuer("Issuer", "");
    assert_eq!(result_of(&check(&pending, Some(settings), &["--strict"])), "allowed");
}

#[test]
fn a_default_issuer_is_added_and_looked_up() {
    let settings = "default_issuer: {name: ca, when: always}";
    let assert = check(&(istio("") + &issuer("Issuer", READY)), Some(settings), &["--strict"]).code(0);
    let report: Value = serde_json::from_slice(&assert.get_output().stdout).unwrap();
    let result = &report["results"][0];
    assert!(result["patch"].to_string().contains("cert-manager.io"), "{result}");
    assert_eq!(result["secrets"], "team-a/shop-tls");
    assert_eq!(report["summary"]["mutated"], 1);
}

#[test]
fn external_issuers_of_the_settings_are_granted_and_served() {
    let settings = "issuer_kinds: [{group: awspca.cert-manager.io, kind: AWSPCAIssuer, api_version: awspca.cert-manager.io/v1beta1, scope: Namespaced}]";
    let external = "cert-manager.io/issuer: ca, cert-manager.io/issuer-kind: AWSPCAIssuer, cert-manager.io/issuer-group: awspca.cert-manager.io";
    assert_eq!(result_of(&check(&istio(external), Some(settings), &[])), "warned issuer-not-found");
    let object = "apiVersion: awspca.cert-manager.io/v1beta1\nkind: AWSPCAIssuer\nmetadata: {name: ca, namespace: team-a}\n";
    assert_eq!(result_of(&check(&(istio(external) + object), Some(settings), &[])), "allowed");
}

#[rstest]
#[case::unknown_key("rolle: both", "rolle")]
#[case::unknown_rule("rules: {issuer-exist: warn}", "issuer-not-found")]
#[case::several("role: x\nlookups: 3", "lookups")]
fn invalid_settings_are_an_error(#[case] settings: &str, #[case] named: &str) {
    let assert = check(&istio(""), Some(settings), &[]).code(2);
    let errors = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert!(errors.starts_with("error: the settings are not valid: ") && errors.contains(named), "{errors}");
}

#[test]
fn a_recorded_review_runs_on_the_embedded_policy() {
    let reviews = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../test_data/reviews");
    let mut command = assert_cmd::cargo::cargo_bin_cmd!("gateway-lint");
    command
        .args(["run", "embedded", "--allow-context-aware", "-r"])
        .arg(reviews.join("istio-v1-delete.json"));
    let assert = command.assert().code(0);
    let response: Value = serde_json::from_slice(&assert.get_output().stdout).unwrap();
    assert_eq!(response["allowed"], true);
}
