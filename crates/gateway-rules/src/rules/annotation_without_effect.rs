//! An annotation of cert-manager's stands where nothing reads it.
//!
//! It belongs on another object, is read from Gateway API Gateways and not from Istio's, or stands
//! on a Gateway that names no issuer.
//!
//! Warned about:
//! ```yaml
//! cert-manager.io/uri-sans: spiffe://example.com/shop
//! ```
//! Accepted silently: the annotations that [annotations.md](annotations.md) lists as read from this kind of
//! Gateway, beside an issuer:
//! ```yaml
//! cert-manager.io/issuer: ca
//! cert-manager.io/alt-names: www.example.com
//! ```

use certificate_shim::annotation::{self, ReadFrom};

use super::{Applies, Findings, Judges, Rule, annotation_reserved};
use crate::context::{Context, annotation_path};
use crate::finding::{Level, Refusal};

/// `annotation-without-effect`
pub const RULE: Rule = Rule {
    id: "annotation-without-effect",
    default: Level::Warn,
    refusal: Refusal::Invalid,
    applies: Applies::Everywhere,
    judges: Judges::All,
    check,
};

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    for (key, value) in &context.gateway.metadata.annotations {
        if annotation_reserved::is_reserved(key, value) && context.issuer.is_some() {
            continue;
        }
        let Some(known) = annotation::find(key) else { continue };
        let (what, mend) = match known.read_from {
            ReadFrom::None => {
                ("nothing reads it on a Gateway".to_owned(), format!("Remove it: {}.", known.accepts))
            }
            _ if !known.is_read_from(context.gateway.kind) => {
                let kind = if known.read_from == ReadFrom::ListenerSet {
                    "ListenerSets"
                } else {
                    "Gateway API's Gateways"
                };
                (format!("it is read from {kind} only"), "Remove it.".to_owned())
            }
            _ if context.issuer.is_none() => (
                "it has no effect on a Gateway that names no issuer".to_owned(),
                format!("Add {} or {}, or remove it.", annotation::ISSUER, annotation::CLUSTER_ISSUER),
            ),
            _ => continue,
        };
        findings.add(annotation_path(key), *key, what, mend);
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{TestCluster, cluster_issuer, gateway_api, istio};
    use rstest::rstest;
    use serde_json::json;

    const ISTIO: &str = "it is read from Gateway API's Gateways only. Remove it.";
    const URI_SANS: &str =
        "nothing reads it on a Gateway. Remove it: cert-manager has the name, but does not read it.";

    #[rstest]
    #[case::read("cert-manager.io/alt-names", None, None)]
    #[case::never_read("cert-manager.io/uri-sans", Some(URI_SANS), Some(URI_SANS))]
    #[case::gateway_api_only("acme.cert-manager.io/http01-ingress-class", Some(ISTIO), None)]
    #[case::ignored_listeners("cert-manager.io/ignore-tls-listeners", Some(ISTIO), None)]
    #[case::listener_sets_only(
        "acme.cert-manager.io/http01-parentreffallback",
        Some("it is read from ListenerSets only. Remove it."),
        Some("it is read from ListenerSets only. Remove it.")
    )]
    fn found(#[case] key: &str, #[case] on_istio: Option<&str>, #[case] on_gateway_api: Option<&str>) {
        let cluster = TestCluster::default().object(cluster_issuer("le").ready());
        for (gateway, expected) in [(istio("shop"), on_istio), (gateway_api("web"), on_gateway_api)] {
            let gateway = gateway.cert_manager("cluster-issuer", "le").annotation(key, "x");
            let expected: Vec<String> = expected
                .map(|text| format!("annotation-without-effect: metadata.annotations[{key}]: {text}"))
                .into_iter()
                .collect();
            assert_eq!(gateway.findings(&cluster), expected);
        }
    }

    #[test]
    fn without_an_issuer() {
        let answer = istio("shop").cert_manager("duration", "2160h").create(&TestCluster::default());
        assert!(answer.accepted);
        assert_eq!(
            answer.warnings,
            [
                "annotation-without-effect: metadata.annotations[cert-manager.io/duration]: it has no effect on a Gateway that names no issuer. Add cert-manager.io/issuer or cert-manager.io/cluster-issuer, or remove it."
            ]
        );
    }

    #[test]
    fn as_a_refusal_it_is_ratcheted() {
        let old = istio("shop")
            .cert_manager("duration", "1h")
            .settings(json!({"rules": {"annotation-without-effect": "reject"}}));
        let cluster = TestCluster::default();
        assert!(!old.create(&cluster).accepted);
        assert!(old.clone().annotation("a", "b").update_from(&old, &cluster).accepted);
        assert!(!old.clone().cert_manager("uri-sans", "x").update_from(&old, &cluster).accepted);
    }
}
