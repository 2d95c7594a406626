//! The namespace belongs to no tenant.
//!
//! Once there are tenants, a Gateway that asks for a certificate needs to be one's, or else every new
//! namespace could have any name and any Secret. Istio Gateways that name a credential are judged
//! annotated or not.
//!
//! Configured: `other_namespaces: accept` lets namespaces of no tenant ask for anything.
//!
//! Refused, where no tenant has the namespace `sandbox`; accepted in a namespace that one has:
//! ```yaml
//! metadata:
//!   name: web
//!   namespace: sandbox
//!   annotations: {cert-manager.io/cluster-issuer: letsencrypt-production}
//! ```

use super::{Applies, Findings, Judges, Rule};
use crate::context::Context;
use crate::finding::{Level, Refusal};
use crate::tenancy::Tenancy;
use crate::text::quote;

/// `namespace-without-tenant`
pub const RULE: Rule = Rule {
    id: "namespace-without-tenant",
    default: Level::Reject,
    refusal: Refusal::Forbidden,
    applies: Applies::Everywhere,
    judges: Judges::All,
    check,
};

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    if matches!(context.tenancy(), Tenancy::Other) && !context.settings.accept_other_namespaces {
        let namespace = context.gateway.metadata.namespace;
        let what =
            format!("namespace {} belongs to no tenant, and so may have no certificates", quote(namespace));
        let mend = "Apply it in a tenant's namespace, or ask the platform team to give this one to a tenant.";
        findings.add("metadata.namespace", namespace, what, mend);
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio};
    use rstest::rstest;
    use serde_json::json;

    const FOUND: &str = "namespace-without-tenant: metadata.namespace: namespace \"team-a\" belongs to no tenant, and so may have no certificates. Apply it in a tenant's namespace, or ask the platform team to give this one to a tenant.";

    fn cluster() -> TestCluster {
        TestCluster::default().object(cluster_issuer("le").ready())
    }

    fn annotated(gateway: GatewayFixture) -> GatewayFixture {
        gateway.cert_manager("cluster-issuer", "le")
    }

    fn of_others(gateway: GatewayFixture) -> GatewayFixture {
        gateway.tenant(json!({"namespaces": ["team-b"]}))
    }

    #[rstest]
    #[case::istio_annotated(annotated(istio("shop")), true)]
    #[case::istio_unannotated(istio("shop"), true)]
    #[case::istio_without_credential(istio("shop").with("/spec/servers/0/tls", json!({"mode": "PASSTHROUGH"})), false)]
    #[case::istio_annotated_without_credential(annotated(istio("shop")).with("/spec/servers/0/tls", json!({"mode": "PASSTHROUGH"})), true)]
    #[case::gateway_api_annotated(annotated(gateway_api("shop")), true)]
    #[case::gateway_api_unannotated(gateway_api("shop"), false)]
    #[case::gateway_api_that_speaks_of_cert_manager(gateway_api("shop").cert_manager("alt-names", "x.org"), false)]
    fn namespaces_of_no_tenant(#[case] gateway: GatewayFixture, #[case] expected: bool) {
        let findings = of_others(gateway).findings(&cluster());
        assert_eq!(findings.contains(&FOUND.to_owned()), expected, "{findings:?}");
    }

    #[test]
    fn a_tenant_s_namespace() {
        assert_eq!(istio("shop").tenant(json!({})).findings(&cluster()), Vec::<String>::new());
    }

    #[test]
    fn accepted_where_settings_say_so() {
        let gateway = istio("shop").settings(json!({"other_namespaces": "accept"}));
        assert_eq!(of_others(gateway).findings(&cluster()), Vec::<String>::new());
    }

    #[test]
    fn no_tenants_at_all() {
        for settings in
            [json!({}), json!({"tenants": []}), json!({"tenants": [], "other_namespaces": "reject"})]
        {
            assert_eq!(
                annotated(istio("shop")).settings(settings).findings(&cluster()),
                Vec::<String>::new()
            );
        }
    }

    #[test]
    fn an_update() {
        let old = of_others(istio("shop"));
        assert_eq!(old.create(&cluster()).code, Some(403));
        assert!(old.clone().annotation("a", "b").update_from(&old, &cluster()).accepted);
        let other_secret = old.clone().with("/spec/servers/0/tls/credentialName", json!("other"));
        assert!(!other_secret.update_from(&old, &cluster()).accepted);
        assert!(!annotated(old.clone()).update_from(&old, &cluster()).accepted);
    }
}
