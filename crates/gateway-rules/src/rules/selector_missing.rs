//! An Istio Gateway has no selector.
//!
//! Every gateway in the mesh then serves it, in any namespace. With
//! `gateway_namespaces`, its Certificates are created in the namespaces of all listed gateways.
//!
//! Warned about:
//! ```yaml
//! selector: null
//! ```
//! Accepted:
//! ```yaml
//! selector: {istio: ingressgateway}
//! ```

use certificate_shim::gateway::Spec;

use crate::context::Context;
use crate::rule::{Findings, Rule};

/// `selector-missing`
pub const RULE: Rule = Rule::warn("selector-missing", check);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    if let Spec::Servers { selector, .. } = &context.gateway.spec
        && selector.is_empty()
    {
        findings
            .report("spec.selector", "it is empty, so every gateway in the mesh serves this Gateway")
            .help("Select the gateway Pods by label.");
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio};
    use rstest::rstest;
    use serde_json::{Value, json};

    fn selecting(selector: Value) -> GatewayFixture {
        istio("shop").selector(selector)
    }

    #[rstest]
    #[case::one_label(selecting(json!({"istio": "ingressgateway"})), false)]
    #[case::empty(selecting(json!({})), true)]
    #[case::null(selecting(json!(null)), true)]
    #[case::gateway_api(gateway_api("web"), false)]
    fn selectors(#[case] gateway: GatewayFixture, #[case] is_reported: bool) {
        let cluster = TestCluster::default().object(cluster_issuer("le").ready());
        let expected: &[&str] = if is_reported { &["warn spec.selector | "] } else { &[] };
        let gateway = gateway.cert_manager("cluster-issuer", "le");
        assert_eq!(gateway.found_by("selector-missing", &cluster), expected);
    }
}
