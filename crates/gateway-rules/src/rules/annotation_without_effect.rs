//! One of cert-manager's annotations has no effect on this Gateway.
//!
//! It belongs on another object, is read from Gateway API objects but not from Istio's, or the Gateway
//! has no issuer.
//!
//! Warned about:
//! ```yaml
//! cert-manager.io/uri-sans: spiffe://example.com/shop
//! ```
//! Accepted, like all that [annotations.md](annotations.md) lists for this kind of Gateway:
//! ```yaml
//! cert-manager.io/alt-names: www.example.com
//! ```

use certificate_shim::annotation::{self, CLUSTER_ISSUER, ISSUER, ISSUER_GROUP, ISSUER_KIND, ReadFrom};
use certificate_shim::gateway::GatewayKind;

use super::annotation_reserved;
use crate::context::{Context, annotation_path};
use crate::rule::{Findings, Rule};

/// `annotation-without-effect`
pub const RULE: Rule = Rule::warn("annotation-without-effect", check).of_all();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let has_issuer = context.issuer.is_some() || context.has_assumed_issuer;
    for (key, value) in &context.written.metadata.annotations {
        if has_issuer && annotation_reserved::is_reserved(key, value) {
            continue;
        }
        let Some(known) = annotation::find(key) else { continue };
        // ListenerSets inherit kind and group from their parent, also one that names no issuer.
        let is_inherited = matches!(known.key, ISSUER_KIND | ISSUER_GROUP);
        if is_inherited && context.gateway.kind != GatewayKind::Istio {
            continue;
        }
        let is_read = known.is_read_from(context.gateway.kind);
        let problem = match known.read_from {
            ReadFrom::None => format!("it has no effect on a Gateway: {}", known.accepts),
            ReadFrom::ListenerSet if !is_read => {
                "it has no effect on a Gateway, only on a ListenerSet".to_owned()
            }
            _ if !is_read => "it has no effect on an Istio Gateway, only on Gateway API objects".to_owned(),
            _ if !has_issuer => "it has no effect without an issuer".to_owned(),
            _ => continue,
        };
        let help = if is_read {
            format!("Add {ISSUER} or {CLUSTER_ISSUER}, or remove it.")
        } else {
            "Remove it.".to_owned()
        };
        findings.report(annotation_path(key), problem).subject(*key).help(help);
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio, listener_set};
    use rstest::rstest;

    const CLASS: &str = "acme.cert-manager.io/http01-ingress-class";
    const FALLBACK: &str = "acme.cert-manager.io/http01-parentreffallback";
    const OVERRIDE: &str = "acme.cert-manager.io/http01-override-ingress-name";

    fn cluster() -> TestCluster {
        let parent = gateway_api("web").cert_manager("issuer-kind", "ClusterIssuer");
        TestCluster::default().object(cluster_issuer("le").ready()).object(parent)
    }

    fn le(gateway: GatewayFixture) -> GatewayFixture {
        gateway.cert_manager("issuer", "le").cert_manager("issuer-kind", "ClusterIssuer")
    }

    #[rstest]
    #[case::read(le(istio("shop")), "cert-manager.io/alt-names", false)]
    #[case::never_read(le(istio("shop")), "cert-manager.io/uri-sans", true)]
    #[case::never_read_on_gateway_api(le(gateway_api("web")), "cert-manager.io/uri-sans", true)]
    #[case::class_on_istio(le(istio("shop")), CLASS, true)]
    #[case::class_on_gateway_api(le(gateway_api("web")), CLASS, false)]
    #[case::ignored_listeners(le(istio("shop")), "cert-manager.io/ignore-tls-listeners", true)]
    #[case::fallback_on_istio(le(istio("shop")), FALLBACK, true)]
    #[case::fallback_on_gateway_api(le(gateway_api("web")), FALLBACK, true)]
    #[case::fallback_on_a_listener_set(le(listener_set("extra")), FALLBACK, false)]
    #[case::no_issuer(istio("shop"), "cert-manager.io/duration", true)]
    #[case::an_inherited_key_without_issuer(listener_set("extra"), "example.com/x", false)]
    #[case::reserved(le(istio("shop")), OVERRIDE, false)]
    #[case::reserved_without_issuer(istio("shop"), OVERRIDE, true)]
    fn keys(#[case] gateway: GatewayFixture, #[case] key: &str, #[case] is_reported: bool) {
        let gateway = gateway.annotation(key, "2160h");
        let expected = is_reported.then(|| format!("warn metadata.annotations[{key}] | {key}"));
        let found = gateway.found_by("annotation-without-effect", &cluster());
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
    }
}
