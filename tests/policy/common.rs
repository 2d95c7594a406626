//! Helpers to run the built module on the bundled host, with recorded requests and small clusters.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use policy_host::{Cluster, Evaluation, Host, Manifests, Metadata, Module};
use serde_json::{Value, json};

/// The module, compiled once per test binary.
pub fn module() -> Module {
    static MODULE: OnceLock<Module> = OnceLock::new();
    MODULE.get_or_init(|| Module::from_bytes(gateway_lint::MODULE).expect("the module compiles")).clone()
}

/// The policy's metadata.
pub fn metadata() -> Metadata {
    Metadata::from_yaml(gateway_lint::METADATA).expect("metadata.yml is valid")
}

/// A host with the grants in metadata.yml.
pub fn host(cluster: impl Cluster + 'static) -> Host {
    Host::for_policy(module(), &metadata(), cluster).expect("the host supports the policy")
}

/// Evaluates a request with settings in a cluster.
pub fn evaluate(request: &Value, settings: &Value, cluster: impl Cluster + 'static) -> Evaluation {
    host(cluster).validate(request, settings).expect("the request is an AdmissionReview")
}

/// The path of a file in test_data.
pub fn test_data(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("test_data").join(path)
}

/// A recorded AdmissionReview.
pub fn review(name: &str) -> Value {
    let path = test_data("reviews").join(format!("{name}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A recorded AdmissionReview with a change to its `request`.
pub fn review_with(name: &str, change: impl FnOnce(&mut Value)) -> Value {
    let mut review = review(name);
    change(&mut review["request"]);
    review
}

/// The cluster of the recordings: `letsencrypt-production` and `letsencrypt-staging` are ready
/// ClusterIssuers, `ca` is a ready Issuer of team-b.
pub fn recorded_cluster() -> Manifests {
    Manifests::load([test_data("cluster.yaml")]).expect("test_data/cluster.yaml is valid")
}

/// A cluster from a YAML text.
pub fn cluster(yaml: &str) -> Manifests {
    Manifests::from_yaml(yaml).expect("the cluster is valid")
}

/// The findings in the audit annotation of a response.
pub fn findings(evaluation: &Evaluation) -> Value {
    match evaluation.response.audit_annotations.as_ref().and_then(|annotations| annotations.get("findings")) {
        Some(findings) => serde_json::from_str(findings).expect("findings are JSON"),
        None => Value::Null,
    }
}

/// `rule: level` of each finding.
pub fn rules(evaluation: &Evaluation) -> Vec<String> {
    let word = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let findings = findings(evaluation);
    let findings = findings.as_array().into_iter().flatten();
    findings.map(|finding| format!("{}: {}", word(finding, "rule"), word(finding, "level"))).collect()
}

/// The patch of a response; null if there is none.
pub fn patch(evaluation: &Evaluation) -> Value {
    evaluation.response.patch().map_or(Value::Null, |patch| json!(patch))
}
