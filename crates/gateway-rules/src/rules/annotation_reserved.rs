//! An annotation that belongs to cert-manager's own objects stands on the Gateway.
//!
//! `http01-override-ingress-*` and `http01-parentref*` say on a Certificate whose Ingress or Gateway
//! answers a challenge. Where an operator has annotations copied from Gateways to Certificates, they
//! would let whoever may edit a Gateway change the routes of others. `http01-edit-in-place: "true"`
//! does the same for an Ingress of the Gateway's name. On a ListenerSet `http01-parentreffallback`
//! is fine: it means the set's own parent.
//!
//! Refused:
//! ```yaml
//! acme.cert-manager.io/http01-parentrefname: shared
//! ```
//! Accepted: the HTTP-01 solver as the issuer configures it:
//! ```yaml
//! cert-manager.io/cluster-issuer: letsencrypt
//! ```

use certificate_shim::annotation;

use super::{Applies, Findings, Judges, Rule};
use crate::context::{Context, annotation_path};
use crate::finding::{Level, Refusal};

use crate::text::shorten;

/// `annotation-reserved`
pub const RULE: Rule = Rule {
    id: "annotation-reserved",
    default: Level::Reject,
    refusal: Refusal::Forbidden,
    applies: Applies::Everywhere,
    judges: Judges::Annotated,
    check,
};

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    for (key, value) in &context.gateway.metadata.annotations {
        if is_reserved(key, value) {
            let what = "it could have the challenges of this Gateway change what is not its own";
            findings.add(annotation_path(&shorten(key, 120)), format!("{key} {value}"), what, "Remove it.");
        }
    }
}

/// Whether the annotation steers where an HTTP-01 challenge is answered.
pub fn is_reserved(key: &str, value: &str) -> bool {
    match key {
        annotation::HTTP01_PARENT_REF_NAME
        | annotation::HTTP01_PARENT_REF_KIND
        | annotation::HTTP01_PARENT_REF_NAMESPACE => true,
        annotation::HTTP01_EDIT_IN_PLACE => value == "true",
        _ => key.starts_with("acme.cert-manager.io/http01-override-ingress-"),
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio, listener_set};
    use rstest::rstest;

    fn cluster() -> TestCluster {
        TestCluster::default().object(cluster_issuer("le").ready()).object(gateway_api("web"))
    }

    fn with(gateway: GatewayFixture, key: &str, value: &str) -> GatewayFixture {
        gateway.cert_manager("cluster-issuer", "le").annotation(&format!("acme.cert-manager.io/{key}"), value)
    }

    #[rstest]
    #[case::override_name("http01-override-ingress-name", "other", true)]
    #[case::override_class("http01-override-ingress-class", "nginx", true)]
    #[case::override_class_name("http01-override-ingress-ingressclassname", "", true)]
    #[case::parent_name("http01-parentrefname", "shared", true)]
    #[case::parent_kind("http01-parentrefkind", "Gateway", true)]
    #[case::parent_namespace("http01-parentrefnamespace", "infra", true)]
    #[case::edit_in_place("http01-edit-in-place", "true", true)]
    #[case::not_in_place("http01-edit-in-place", "false", false)]
    #[case::fallback("http01-parentreffallback", "true", false)]
    #[case::class("http01-ingress-class", "nginx", false)]
    fn found(#[case] key: &str, #[case] value: &str, #[case] expected: bool) {
        let text = format!(
            "metadata.annotations[acme.cert-manager.io/{key}]: it could have the challenges of this Gateway change what is not its own. Remove it."
        );
        for gateway in [istio("shop"), gateway_api("web"), listener_set("extra")] {
            let gateway = with(gateway, key, value);
            let expected = if expected { vec![text.clone()] } else { vec![] };
            assert_eq!(gateway.findings_of("annotation-reserved", &cluster()), expected);
            assert_eq!(gateway.create(&cluster()).code, (!expected.is_empty()).then_some(403));
            if !expected.is_empty() {
                assert_eq!(gateway.findings(&cluster()).len(), 1, "it is told once");
            }
        }
    }

    #[rstest]
    #[case::the_same("shared", true)]
    #[case::another_value("other", false)]
    fn updates(#[case] before: &str, #[case] let_through: bool) {
        let new = with(istio("shop"), "http01-parentrefname", "shared");
        let old = with(istio("shop"), "http01-parentrefname", before);
        assert_eq!(new.clone().annotation("a", "b").update_from(&old, &cluster()).accepted, let_through);
        assert!(!new.update_from(&istio("shop"), &cluster()).accepted);
    }
}
