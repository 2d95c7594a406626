//! An annotation of Istio's own workings stands on an Istio Gateway.
//!
//! istiod sets `internal.istio.io/*` on the Gateways that it makes of Gateway API's. On a Gateway of
//! a tenant's they claim to be such a one, which reaches further than a tenant's Gateway may; istiod
//! refuses only two of them. Judged are the Gateways that are judged at all, annotated or not.
//!
//! Refused:
//! ```yaml
//! internal.istio.io/gateway-semantics: gateway
//! ```
//! Accepted: any other annotation:
//! ```yaml
//! example.com/team: shop
//! ```

use certificate_shim::gateway::GatewayKind;

use super::{Applies, Findings, Judges, Rule};
use crate::context::{Context, annotation_path};
use crate::finding::{Level, Refusal};

use crate::text::shorten;

/// `annotation-istio-internal`
pub const RULE: Rule = Rule {
    id: "annotation-istio-internal",
    default: Level::Reject,
    refusal: Refusal::Forbidden,
    applies: Applies::Everywhere,
    judges: Judges::All,
    check,
};

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    if context.gateway.kind != GatewayKind::Istio {
        return;
    }
    for (key, value) in &context.gateway.metadata.annotations {
        if key.starts_with("internal.istio.io/") {
            let what = "it is for Gateways that istiod makes itself";
            findings.add(annotation_path(&shorten(key, 120)), format!("{key} {value}"), what, "Remove it.");
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio};
    use rstest::rstest;

    fn cluster() -> TestCluster {
        TestCluster::default().object(cluster_issuer("le").ready())
    }

    fn with(gateway: GatewayFixture, key: &str, value: &str) -> GatewayFixture {
        gateway.cert_manager("duration", "24h").annotation(key, value)
    }

    #[rstest]
    #[case::semantics("internal.istio.io/gateway-semantics", true)]
    #[case::any_other("internal.istio.io/x", true)]
    #[case::public("networking.istio.io/x", false)]
    #[case::no_prefix("internal.istio.io", false)]
    fn found(#[case] key: &str, #[case] expected: bool) {
        let text =
            format!("metadata.annotations[{key}]: it is for Gateways that istiod makes itself. Remove it.");
        let expected = if expected { vec![text] } else { vec![] };
        // Not annotated with an issuer: judged because it speaks of cert-manager at all.
        let gateway = with(istio("shop"), key, "gateway");
        assert_eq!(gateway.findings_of("annotation-istio-internal", &cluster()), expected);
        assert_eq!(gateway.create(&cluster()).code, (!expected.is_empty()).then_some(403));
        let annotated = gateway.cert_manager("cluster-issuer", "le");
        assert_eq!(annotated.findings_of("annotation-istio-internal", &cluster()), expected);
        let other = with(gateway_api("web"), key, "gateway");
        assert_eq!(other.findings_of("annotation-istio-internal", &cluster()), Vec::<String>::new());
    }

    #[rstest]
    #[case::the_same("gateway", true)]
    #[case::another_value("other", false)]
    fn updates(#[case] before: &str, #[case] let_through: bool) {
        let new = with(istio("shop"), "internal.istio.io/gateway-semantics", "gateway").annotation("a", "b");
        let old = with(istio("shop"), "internal.istio.io/gateway-semantics", before);
        assert_eq!(new.update_from(&old, &cluster()).accepted, let_through);
    }
}
