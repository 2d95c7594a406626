//! The Secret would get labels or annotations that the tenant may not give it.
//!
//! Controllers act upon them: with the right annotation reflector, kubernetes-replicator or kubed copy
//! the private key into other namespaces, and labels can make another tool prune or adopt the Secret.
//!
//! Configured per tenant: `secret_template: {labels, annotations}`, the keys that it may give, where `*`
//! stands for any text. A list that is empty allows none, one that is left out allows all.
//!
//! Refused, with `secret_template: {annotations: []}`:
//! ```yaml
//! cert-manager.io/secret-template: '{"annotations": {"reflector.v1.k8s.emberstack.com/reflection-allowed": "true"}}'
//! ```
//! Accepted, with `secret_template: {labels: [team]}`:
//! ```yaml
//! cert-manager.io/secret-template: '{"labels": {"team": "a"}}'
//! ```

use certificate_shim::annotation;

use super::{Applies, Findings, Judges, Rule};
use crate::context::Context;
use crate::finding::{Level, Refusal};
use crate::text::{allowed, quote};

/// `secret-metadata-not-allowed`
pub const RULE: Rule = Rule {
    id: "secret-metadata-not-allowed",
    default: Level::Reject,
    refusal: Refusal::Forbidden,
    applies: Applies::Everywhere,
    judges: Judges::Annotated,
    check,
};

/// Controllers that copy Secrets, by the prefix of their keys.
const COPIERS: [(&str, &str); 3] = [
    ("reflector.v1.k8s.emberstack.com/", "reflector"),
    ("replicator.v1.mittwald.de/", "kubernetes-replicator"),
    ("kubed.appscode.com/", "kubed"),
];

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let (Some(tenant), Some(template)) = (context.tenant(), context.template()) else { return };
    let (template, path) = (&template.secret_template, context.path_of(annotation::SECRET_TEMPLATE));
    for (field, given, keys) in [
        ("label", &template.labels, &tenant.secret_labels),
        ("annotation", &template.annotations, &tenant.secret_annotations),
    ] {
        let Some(keys) = keys else { continue };
        for (key, value) in given.iter().filter(|(key, _)| !keys.allow(key)) {
            let copier = COPIERS.iter().find(|(prefix, _)| key.starts_with(prefix));
            let why = copier.map(|(_, name)| format!(", by which {name} copies its private key elsewhere"));
            let what = format!(
                "tenant {} may not give its Secrets the {field} {}{}",
                quote(&tenant.name),
                quote(key),
                why.unwrap_or_default()
            );
            findings.add(path.as_str(), format!("{field} {key}={value}"), what, allowed(&keys.0, quote));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio};
    use rstest::rstest;
    use serde_json::{Value, json};

    const PATH: &str = "secret-metadata-not-allowed: metadata.annotations[cert-manager.io/secret-template]: tenant \"a\" may not give its Secrets the";

    fn cluster() -> TestCluster {
        TestCluster::default().object(cluster_issuer("le").ready())
    }

    fn asking(gateway: GatewayFixture, template: Value, allowed: Value) -> GatewayFixture {
        gateway
            .cert_manager("cluster-issuer", "le")
            .cert_manager("secret-template", &template.to_string())
            .tenant(json!({"secret_template": allowed}))
    }

    #[rstest]
    #[case::label(json!({"labels": {"team": "a"}}), json!({"labels": ["team"]}), &[])]
    #[case::prefix(json!({"annotations": {"example.com/x": "a"}}), json!({"annotations": ["example.com/*"]}), &[])]
    #[case::left_out(json!({"labels": {"team": "a"}, "annotations": {"x": "y"}}), json!({}), &[])]
    #[case::annotations_only(json!({"labels": {"team": "a"}, "annotations": {"x": "y"}}), json!({"annotations": []}), &[
        "annotation \"x\". None are allowed; ask the platform team."
    ])]
    #[case::both(json!({"labels": {"team": "a"}, "annotations": {"x": "y"}}), json!({"labels": ["app"], "annotations": ["z"]}), &[
        "label \"team\". Allowed are \"app\"; for others, ask the platform team.",
        "annotation \"x\". Allowed are \"z\"; for others, ask the platform team.",
    ])]
    #[case::reflector(json!({"annotations": {"reflector.v1.k8s.emberstack.com/reflection-allowed": "true"}}), json!({"annotations": []}), &[
        "annotation \"reflector.v1.k8s.emberstack.com/reflection-allowed\", by which reflector copies its private key elsewhere. None are allowed; ask the platform team."
    ])]
    #[case::replicator(json!({"annotations": {"replicator.v1.mittwald.de/replicate-to": "*"}}), json!({"annotations": []}), &[
        "annotation \"replicator.v1.mittwald.de/replicate-to\", by which kubernetes-replicator copies its private key elsewhere. None are allowed; ask the platform team."
    ])]
    #[case::kubed(json!({"annotations": {"kubed.appscode.com/sync": ""}}), json!({"annotations": []}), &[
        "annotation \"kubed.appscode.com/sync\", by which kubed copies its private key elsewhere. None are allowed; ask the platform team."
    ])]
    fn keys(#[case] template: Value, #[case] allowed: Value, #[case] expected: &[&str]) {
        for gateway in [istio("shop"), gateway_api("shop")] {
            let expected: Vec<String> = expected.iter().map(|text| format!("{PATH} {text}")).collect();
            assert_eq!(asking(gateway, template.clone(), allowed.clone()).findings(&cluster()), expected);
        }
    }

    #[test]
    fn a_template_that_cannot_be_read_is_another_rule_s() {
        let gateway = asking(istio("shop"), json!([]), json!({"labels": []}));
        let findings = gateway.findings(&cluster());
        assert!(findings.iter().all(|finding| finding.starts_with("annotation-invalid: ")), "{findings:?}");
    }

    #[test]
    fn an_update() {
        let with =
            |to: &str| asking(istio("shop"), json!({"annotations": {"x": to}}), json!({"annotations": []}));
        assert_eq!(with("a").create(&cluster()).code, Some(403));
        assert!(with("a").annotation("a", "b").update_from(&with("a"), &cluster()).accepted);
        assert!(!with("b").update_from(&with("a"), &cluster()).accepted);
    }
}
