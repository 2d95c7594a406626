//! The Secret would get labels or annotations that the tenant may not set.
//!
//! Other controllers act on them: reflector, kubernetes-replicator and kubed copy the Secret, including
//! its private key, into other namespaces if it has a certain annotation, and labels can make another
//! tool prune or adopt it.
//!
//! Configured per tenant: `secret_template: {labels, annotations}`, globs for the keys that it may set.
//! An empty list allows none; without the list all are allowed.
//!
//! Rejected, with `secret_template: {labels: [team], annotations: []}`:
//! ```yaml
//! cert-manager.io/secret-template: '{"annotations": {"reflector.v1.k8s.emberstack.com/reflection-allowed": "true"}}'
//! ```
//! Accepted:
//! ```yaml
//! cert-manager.io/secret-template: '{"labels": {"team": "a"}}'
//! ```

use certificate_shim::annotation;

use crate::context::Context;
use crate::rule::{Findings, Rule};
use crate::settings::tenants::SecretMetadata;
use crate::text::{allowed, quote};

/// `secret-metadata-not-allowed`
pub const RULE: Rule = Rule::reject("secret-metadata-not-allowed", check).forbidden().of_planned();

/// Controllers that copy Secrets, by the prefix of their keys.
const COPIERS: [(&str, &str); 3] = [
    ("reflector.v1.k8s.emberstack.com/", "reflector"),
    ("replicator.v1.mittwald.de/", "kubernetes-replicator"),
    ("kubed.appscode.com/", "kubed"),
];

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let (Some(tenant), Some(template)) = (context.tenant(), context.widest_plan().template()) else { return };
    let (template, path) = (&template.secret_template, context.path_of(annotation::SECRET_TEMPLATE));
    let SecretMetadata { labels, annotations } = &tenant.secret_metadata;
    for (field, given, keys) in
        [("label", &template.labels, labels), ("annotation", &template.annotations, annotations)]
    {
        let Some(keys) = keys else { continue };
        for (key, value) in given.iter().filter(|(key, _)| !keys.allow(key)) {
            let copier = COPIERS.iter().find(|(prefix, _)| key.starts_with(prefix));
            let effect = copier.map(|(_, name)| format!("; {name} would copy the private key"));
            let problem = format!(
                "tenant {} may not set the {field} {}{}",
                quote(&tenant.name),
                quote(key),
                effect.unwrap_or_default()
            );
            findings
                .report(path.as_str(), problem)
                .subject(format!("{field} {key}={value}"))
                .help(allowed(&keys.0, quote));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio};
    use rstest::rstest;
    use serde_json::{Value, json};

    fn cluster() -> TestCluster {
        TestCluster::default().object(cluster_issuer("le").ready())
    }

    fn with(gateway: GatewayFixture, template: Value, allowed: Value) -> GatewayFixture {
        gateway
            .cert_manager("cluster-issuer", "le")
            .cert_manager("secret-template", &template.to_string())
            .tenant(json!({"secret_template": allowed}))
    }

    /// A label and an annotation.
    fn both() -> Value {
        json!({"labels": {"team": "a"}, "annotations": {"x": "y"}})
    }

    #[rstest]
    #[case::label(json!({"labels": {"team": "a"}}), json!({"labels": ["app", "team"]}), &[])]
    #[case::prefix(json!({"annotations": {"e.com/x": "a"}}), json!({"annotations": ["e.com/*"]}), &[])]
    #[case::left_out(both(), json!({}), &[])]
    #[case::no_labels(both(), json!({"labels": []}), &["label team=a"])]
    #[case::no_annotations(both(), json!({"annotations": []}), &["annotation x=y"])]
    #[case::both(both(), json!({"labels": ["app"], "annotations": ["z"]}), &[
        "label team=a", "annotation x=y",
    ])]
    #[case::each_its_own(both(), json!({"labels": ["x"], "annotations": ["team"]}), &[
        "label team=a", "annotation x=y",
    ])]
    #[case::two(json!({"labels": {"b": "1", "a": "2", "team": "3"}}), json!({"labels": ["team"]}), &[
        "label a=2", "label b=1",
    ])]
    #[case::case_counts(json!({"labels": {"Team": "a"}}), json!({"labels": ["team"]}), &["label Team=a"])]
    #[case::not_readable(json!([]), json!({"labels": [], "annotations": []}), &[])]
    fn keys(#[case] template: Value, #[case] allowed: Value, #[case] expected: &[&str]) {
        let line = |found| format!("reject metadata.annotations[cert-manager.io/secret-template] | {found}");
        let expected: Vec<String> = expected.iter().map(line).collect();
        for gateway in [istio("shop"), gateway_api("shop")] {
            let gateway = with(gateway, template.clone(), allowed.clone());
            assert_eq!(gateway.found_by("secret-metadata-not-allowed", &cluster()), expected);
        }
    }

    #[rstest]
    #[case::reflector("reflector.v1.k8s.emberstack.com/reflection-allowed", Some("reflector"))]
    #[case::replicator("replicator.v1.mittwald.de/replicate-to", Some("kubernetes-replicator"))]
    #[case::kubed("kubed.appscode.com/sync", Some("kubed"))]
    #[case::another("example.com/kubed.appscode.com", None)]
    fn copiers(#[case] key: &str, #[case] copier: Option<&str>) {
        let gateway =
            with(istio("shop"), json!({"annotations": {(key): "true"}}), json!({"annotations": []}));
        let message = gateway.create(&cluster()).message.unwrap();
        let shown = message.split_once(" would copy").and_then(|(start, _)| start.split("; ").last());
        assert_eq!(shown, copier, "{message}");
    }

    #[rstest]
    #[case::the_same("a", true)]
    #[case::another_value("b", false)]
    fn an_update(#[case] value: &str, #[case] is_accepted: bool) {
        let with = |value: &str| {
            with(istio("shop"), json!({"annotations": {"x": value}}), json!({"annotations": []}))
        };
        let response = with(value).annotation("a", "b").update_from(&with("a"), &cluster());
        assert_eq!((response.accepted, response.code), (is_accepted, (!is_accepted).then_some(403)));
    }
}
