//! An Istio Gateway has no selector.
//!
//! Every gateway of the mesh then serves it, in whatever namespace, and its Certificates are made
//! in each of theirs.
//!
//! Warned about:
//! ```yaml
//! spec:
//!   servers: [..]
//! ```
//! Accepted silently:
//! ```yaml
//! spec:
//!   selector: {istio: ingressgateway}
//!   servers: [..]
//! ```

use certificate_shim::gateway::Spec;

use super::{Applies, Findings, Judges, Rule};
use crate::context::Context;
use crate::finding::{Level, Refusal};

/// `selector-missing`
pub const RULE: Rule = Rule {
    id: "selector-missing",
    default: Level::Warn,
    refusal: Refusal::Invalid,
    applies: Applies::Everywhere,
    judges: Judges::Annotated,
    check,
};

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    if let Spec::Servers { selector, .. } = &context.gateway.spec
        && selector.is_empty()
    {
        let what = "it is missing, so every gateway of the mesh serves this Gateway";
        findings.add("spec.selector", "", what, "Give the labels of the gateway Pods that are meant.");
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio};
    use rstest::rstest;
    use serde_json::{Value, json};

    const EXPECTED: &str = "spec.selector: it is missing, so every gateway of the mesh serves this Gateway. Give the labels of the gateway Pods that are meant.";

    fn cluster() -> TestCluster {
        TestCluster::default().object(cluster_issuer("le").ready())
    }

    fn with_selector(selector: Value) -> GatewayFixture {
        istio("shop").cert_manager("cluster-issuer", "le").selector(selector)
    }

    #[rstest]
    #[case::one_pair(json!({"istio": "ingressgateway"}), false)]
    #[case::empty(json!({}), true)]
    #[case::null(json!(null), true)]
    fn found(#[case] selector: Value, #[case] expected: bool) {
        let expected = if expected { vec![EXPECTED] } else { vec![] };
        assert_eq!(with_selector(selector).findings_of("selector-missing", &cluster()), expected);
    }

    #[test]
    fn gateway_api_has_none() {
        let gateway = gateway_api("web").cert_manager("cluster-issuer", "le");
        assert_eq!(gateway.findings(&cluster()), Vec::<String>::new());
    }

    #[rstest]
    #[case::the_same(json!({}), true)]
    #[case::had_one(json!({"istio": "ingressgateway"}), false)]
    fn updates(#[case] before: Value, #[case] let_through: bool) {
        let level = |gateway: GatewayFixture| gateway.level("selector-missing", "reject");
        let new = level(with_selector(json!({}))).annotation("a", "b");
        assert_eq!(new.update_from(&level(with_selector(before)), &cluster()).accepted, let_through);
    }
}
