//! An Istio Gateway has an annotation that is internal to Istio.
//!
//! istiod sets `internal.istio.io/*` on the Gateways that it generates from Gateway API objects. On another
//! Gateway, these annotations make it look as if istiod had generated it, with more rights than a tenant's
//! Gateway. istiod itself rejects only two of them. Gateways without an issuer are checked too.
//!
//! Rejected:
//! ```yaml
//! internal.istio.io/gateway-semantics: gateway
//! ```
//! Accepted, like any other annotation:
//! ```yaml
//! example.com/team: shop
//! ```

use certificate_shim::gateway::GatewayKind;

use crate::context::{Context, annotation_path};
use crate::rule::{Findings, Rule};

/// `annotation-istio-internal`
pub const RULE: Rule = Rule::reject("annotation-istio-internal", check).forbidden().of_all();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    if context.gateway.kind != GatewayKind::Istio {
        return;
    }
    for (key, value) in &context.gateway.metadata.annotations {
        if key.starts_with("internal.istio.io/") {
            findings
                .report(annotation_path(key), "it is reserved for Gateways that istiod generates")
                .subject(format!("{key} {value}"))
                .help("Remove it.");
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio};
    use rstest::rstest;

    fn annotated(gateway: GatewayFixture) -> GatewayFixture {
        gateway.cert_manager("cluster-issuer", "le")
    }

    /// Without an issuer, but with an annotation for which it is checked at all.
    fn unannotated(gateway: GatewayFixture) -> GatewayFixture {
        gateway.cert_manager("duration", "24h")
    }

    #[rstest]
    #[case::semantics(annotated(istio("shop")), "internal.istio.io/gateway-semantics", true)]
    #[case::without_an_issuer(unannotated(istio("shop")), "internal.istio.io/gateway-semantics", true)]
    #[case::any_other(annotated(istio("shop")), "internal.istio.io/x", true)]
    #[case::public(annotated(istio("shop")), "networking.istio.io/x", false)]
    #[case::no_prefix(annotated(istio("shop")), "internal.istio.io", false)]
    #[case::gateway_api(annotated(gateway_api("web")), "internal.istio.io/x", false)]
    fn keys(#[case] gateway: GatewayFixture, #[case] key: &str, #[case] is_reported: bool) {
        let cluster = TestCluster::default().object(cluster_issuer("le").ready());
        let gateway = gateway.annotation(key, "gateway");
        let expected = is_reported.then(|| format!("reject metadata.annotations[{key}] | {key} gateway"));
        let found = gateway.found_by("annotation-istio-internal", &cluster);
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
        assert_eq!(gateway.create(&cluster).code, is_reported.then_some(403));
    }
}
