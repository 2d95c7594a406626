//! The issuer is not one that the Gateway's tenant may use.
//!
//! What counts is the issuer that the annotations come to, whichever of them name it. A namespaced
//! issuer has to be in the Gateway's own namespace unless the entry says `namespace`: with a gateway
//! in `istio-system`, an Issuer is looked for there, where other teams' issuers are too.
//!
//! Configured per tenant: `issuers`, each with `kind` and `name`, where `*` stands for any text, and
//! with `group` and `namespace` where they are not cert-manager.io and the Gateway's own. An empty list
//! allows none. A kind of another group is taken for a namespaced one unless `issuer_kinds` has it with
//! `scope: Cluster`.
//!
//! Refused, with `issuers: [{kind: ClusterIssuer, name: "letsencrypt-*"}]`:
//! ```yaml
//! cert-manager.io/cluster-issuer: company-ca
//! ```
//! Accepted:
//! ```yaml
//! cert-manager.io/cluster-issuer: letsencrypt-production
//! ```

use certificate_shim::issuer_ref::{CERT_MANAGER_GROUP, ISSUER_KIND};

use super::{Applies, Findings, Judges, Rule};
use crate::context::Context;
use crate::finding::{Level, Refusal};
use crate::settings::Scope;
use crate::settings::tenants::AllowedIssuer;
use crate::text::{self, quote};

/// `issuer-not-allowed`
pub const RULE: Rule = Rule {
    id: "issuer-not-allowed",
    default: Level::Reject,
    refusal: Refusal::Forbidden,
    applies: Applies::Everywhere,
    judges: Judges::Annotated,
    check,
};

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let (Some(tenant), Some(reference)) = (context.tenant(), context.issuer_ref()) else { return };
    let own = context.gateway.metadata.namespace;
    let is_cluster_wide = matches!(context.settings.issuer_kind(reference), Some((_, Scope::Cluster)));
    let namespaces = if is_cluster_wide { &[""] } else { context.placement.as_slice() };
    for namespace in namespaces {
        let is_allowed = |allowed: &AllowedIssuer| {
            allowed.covers(reference) && (is_cluster_wide || allowed.covers_namespace(namespace, own))
        };
        if tenant.issuers.iter().any(is_allowed) {
            continue;
        }
        let mut issuer = text::issuer(reference);
        if !is_cluster_wide {
            issuer = format!("{issuer} in namespace {}", quote(namespace));
        }
        let mut allowed = Vec::new();
        for issuer in &tenant.issuers {
            allowed.push(describe(issuer));
        }
        let what = format!("tenant {} may not use {issuer}", quote(&tenant.name));
        findings.add(context.issuer_path(), issuer, what, text::allowed(&allowed, str::to_owned));
    }
}

/// `Issuer "*" in the Gateway's namespace`
fn describe(allowed: &AllowedIssuer) -> String {
    let AllowedIssuer { group, kind, name, namespace } = allowed;
    let is_own_group = group == CERT_MANAGER_GROUP;
    let group = if is_own_group { String::new() } else { format!(".{group}") };
    let place = match namespace {
        Some(namespace) => format!(" in namespace {}", quote(namespace)),
        None if is_own_group && kind == ISSUER_KIND => " in the Gateway's namespace".to_owned(),
        None => String::new(),
    };
    format!("{kind}{group} {}{place}", quote(name))
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, issuer, istio};
    use rstest::rstest;
    use serde_json::{Value, json};

    const PATH: &str = "issuer-not-allowed: metadata.annotations[cert-manager.io/";

    fn cluster() -> TestCluster {
        TestCluster::default()
            .object(cluster_issuer("le").ready())
            .object(cluster_issuer("ca").ready())
            .object(issuer("team-a", "ca").ready())
            .object(issuer("istio-system", "ca").ready())
    }

    fn annotated(gateway: GatewayFixture, key: &str, name: &str) -> GatewayFixture {
        gateway.cert_manager(key, name)
    }

    #[rstest]
    #[case::exact("cluster-issuer", "le", json!([{"kind": "ClusterIssuer", "name": "le"}]), None)]
    #[case::glob("cluster-issuer", "le", json!([{"kind": "ClusterIssuer", "name": "l*"}]), None)]
    #[case::second_entry("cluster-issuer", "le", json!([{"kind": "Issuer", "name": "*"}, {"kind": "ClusterIssuer", "name": "*"}]), None)]
    #[case::own_namespace("issuer", "ca", json!([{"kind": "Issuer", "name": "*"}]), None)]
    #[case::own_namespace_by_name("issuer", "ca", json!([{"kind": "Issuer", "name": "*", "namespace": "team-*"}]), None)]
    #[case::none("cluster-issuer", "le", json!([]), Some(
        "cluster-issuer]: tenant \"a\" may not use ClusterIssuer \"le\". None are allowed; ask the platform team."
    ))]
    #[case::another_name("cluster-issuer", "ca", json!([{"kind": "ClusterIssuer", "name": "l*"}]), Some(
        "cluster-issuer]: tenant \"a\" may not use ClusterIssuer \"ca\". Allowed are ClusterIssuer \"l*\"; for others, ask the platform team."
    ))]
    #[case::another_kind("cluster-issuer", "ca", json!([{"kind": "Issuer", "name": "ca"}]), Some(
        "cluster-issuer]: tenant \"a\" may not use ClusterIssuer \"ca\". Allowed are Issuer \"ca\" in the Gateway's namespace; for others, ask the platform team."
    ))]
    #[case::another_group("issuer", "ca", json!([{"group": "example.com", "kind": "Issuer", "name": "ca"}]), Some(
        "issuer]: tenant \"a\" may not use Issuer \"ca\" in namespace \"team-a\". Allowed are Issuer.example.com \"ca\"; for others, ask the platform team."
    ))]
    #[case::another_namespace("issuer", "ca", json!([{"kind": "Issuer", "name": "ca", "namespace": "istio-system"}]), Some(
        "issuer]: tenant \"a\" may not use Issuer \"ca\" in namespace \"team-a\". Allowed are Issuer \"ca\" in namespace \"istio-system\"; for others, ask the platform team."
    ))]
    fn the_list(
        #[case] key: &str,
        #[case] name: &str,
        #[case] issuers: Value,
        #[case] expected: Option<&str>,
    ) {
        for gateway in [istio("shop"), gateway_api("shop")] {
            let gateway = annotated(gateway, key, name).tenant(json!({"issuers": issuers}));
            let expected: Vec<String> = expected.iter().map(|text| format!("{PATH}{text}")).collect();
            assert_eq!(gateway.findings(&cluster()), expected);
        }
    }

    #[rstest]
    #[case::left_out(json!([{"kind": "Issuer", "name": "ca"}]), 1)]
    #[case::written(json!([{"kind": "Issuer", "name": "ca", "namespace": "istio-system"}]), 0)]
    fn an_issuer_beside_the_gateway(#[case] issuers: Value, #[case] expected: usize) {
        let settings = json!({"gateway_namespaces": [{"labels": {"istio": "ingressgateway"}, "namespace": "istio-system"}]});
        let gateway =
            annotated(istio("shop"), "issuer", "ca").settings(settings).tenant(json!({"issuers": issuers}));
        assert_eq!(gateway.findings(&cluster()).len(), expected);
    }

    /// `issuer-kind` makes a ClusterIssuer of an `issuer`.
    #[test]
    fn the_resolved_reference_counts() {
        let issuers = json!({"issuers": [{"kind": "Issuer", "name": "*"}]});
        let gateway = annotated(istio("shop"), "issuer", "ca").cert_manager("issuer-kind", "ClusterIssuer");
        assert_eq!(gateway.tenant(issuers).create(&cluster()).code, Some(403));
    }

    #[rstest]
    #[case::unknown_kinds_are_namespaced(json!([]), Some("Issuer"))]
    #[case::cluster_wide(json!([{"group": "example.com", "kind": "MyIssuer", "api_version": "v1", "scope": "Cluster"}]), None)]
    fn external_issuers_beside_the_gateway(#[case] kinds: Value, #[case] expected: Option<&str>) {
        let settings = json!({
            "gateway_namespaces": [{"labels": {"istio": "ingressgateway"}, "namespace": "istio-system"}],
            "issuer_kinds": kinds, "rules": {"issuer-not-found": "off", "issuer-external": "off"},
        });
        let gateway = annotated(istio("shop"), "issuer", "x")
            .cert_manager("issuer-kind", "MyIssuer")
            .cert_manager("issuer-group", "example.com")
            .settings(settings)
            .tenant(json!({"issuers": [{"group": "example.com", "kind": "MyIssuer", "name": "*"}]}));
        let findings = gateway.findings(&cluster());
        assert_eq!(findings.len(), usize::from(expected.is_some()), "{findings:?}");
    }

    #[test]
    fn without_tenants_everybody_may() {
        assert_eq!(
            annotated(istio("shop"), "cluster-issuer", "ca").findings(&cluster()),
            Vec::<String>::new()
        );
    }

    #[test]
    fn contradicting_annotations_are_another_rule_s() {
        let gateway = annotated(annotated(istio("shop"), "issuer", "ca"), "cluster-issuer", "ca");
        let findings = gateway.tenant(json!({"issuers": []})).findings(&cluster());
        assert!(findings.iter().all(|finding| finding.starts_with("annotation-conflict: ")), "{findings:?}");
    }

    #[rstest]
    #[case::the_same_issuer("ca", "ca", true)]
    #[case::another_issuer("le", "ca", false)]
    fn an_update(#[case] old: &str, #[case] new: &str, #[case] let_through: bool) {
        let with = |name| annotated(istio("shop"), "cluster-issuer", name).tenant(json!({"issuers": []}));
        let answer = with(new).annotation("a", "b").update_from(&with(old), &cluster());
        assert_eq!(answer.accepted, let_through);
    }
}
