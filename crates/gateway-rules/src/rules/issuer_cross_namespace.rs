//! The issuer is in another namespace than the Gateway.
//!
//! The Certificates of an Istio Gateway are created where its gateway Pods run, and an Issuer is looked
//! up there too. So anyone who may write Gateways in their own namespace can use an Issuer that belongs
//! to the owner of the gateway. If there are tenants, `issuer-not-allowed` decides instead.
//!
//! Warned about, with `gateway_namespaces: [{labels: {istio: ingressgateway}, namespace: istio-system}]`:
//! ```yaml
//! selector: {istio: ingressgateway}
//! cert-manager.io/issuer: company-ca
//! ```
//! Accepted:
//! ```yaml
//! selector: {istio: ingressgateway}
//! cert-manager.io/cluster-issuer: letsencrypt
//! ```

use crate::context::{Context, FoundIssuer};
use crate::rule::{Findings, Rule};
use crate::tenancy::Tenancy;
use crate::text::quote;

/// `issuer-cross-namespace`
pub const RULE: Rule = Rule::warn("issuer-cross-namespace", check).forbidden();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    if !matches!(context.tenancy(), Tenancy::Unasked) {
        return;
    }
    let own = context.gateway.metadata.namespace;
    for FoundIssuer { object, outcome } in context.issuers() {
        if outcome.is_ok() && object.namespace.as_deref().is_some_and(|namespace| namespace != own) {
            let problem = format!("{object} is used from namespace {}", quote(own));
            findings
                .report(context.issuer_path(), problem)
                .subject(object.to_string())
                .help("Use a ClusterIssuer. Platform team: restrict its users with tenants.");
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, issuer, istio};
    use rstest::rstest;
    use serde_json::{Value, json};

    const FOUND: &str =
        "warn metadata.annotations[cert-manager.io/issuer] | Issuer \"ca\" in namespace \"istio-system\"";

    fn cluster() -> TestCluster {
        TestCluster::default()
            .object(issuer("team-a", "ca").ready())
            .object(issuer("istio-system", "ca").ready())
            .object(cluster_issuer("le").ready())
    }

    fn placed(gateway: GatewayFixture, namespace: &str) -> GatewayFixture {
        gateway.settings(json!({
            "gateway_namespaces": [{"labels": {"istio": "ingressgateway"}, "namespace": namespace}],
        }))
    }

    #[rstest]
    #[case::of_the_gateway_pods(istio("shop"), "istio-system", "issuer", "ca", &[FOUND])]
    #[case::own_namespace(istio("shop"), "team-a", "issuer", "ca", &[])]
    #[case::cluster_issuer(istio("shop"), "istio-system", "cluster-issuer", "le", &[])]
    #[case::absent(istio("shop"), "istio-system", "issuer", "absent", &[])]
    #[case::gateway_api(gateway_api("shop"), "istio-system", "issuer", "ca", &[])]
    fn found(
        #[case] gateway: GatewayFixture,
        #[case] namespace: &str,
        #[case] key: &str,
        #[case] name: &str,
        #[case] expected: &[&str],
    ) {
        let gateway = placed(gateway.cert_manager(key, name), namespace);
        assert_eq!(gateway.found_by("issuer-cross-namespace", &cluster()), expected);
    }

    #[rstest]
    #[case::of_a_tenant(json!({"namespaces": ["team-a"]}))]
    #[case::of_no_tenant(json!({"namespaces": ["team-b"]}))]
    fn tenants_decide_instead(#[case] tenant: Value) {
        let gateway = placed(istio("shop").cert_manager("issuer", "ca"), "istio-system").tenant(tenant);
        assert_eq!(gateway.found_by("issuer-cross-namespace", &cluster()), Vec::<String>::new());
    }
}
