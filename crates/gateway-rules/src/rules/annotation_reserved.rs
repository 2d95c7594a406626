//! The Gateway has an annotation that belongs on cert-manager's own objects.
//!
//! On a Certificate, `http01-override-ingress-*` and `http01-parentref*` select the Ingress or Gateway
//! that answers a challenge. If an operator copies annotations from Gateways to Certificates, everyone
//! who can edit a Gateway could change the routes of others with them. `http01-edit-in-place: "true"`
//! does the same with an Ingress that has the Gateway's name. `http01-parentreffallback` on a
//! ListenerSet is accepted: it selects the set's own parent.
//!
//! Rejected:
//! ```yaml
//! acme.cert-manager.io/http01-parentrefname: shared
//! ```
//! Accepted, with the HTTP-01 solver that the issuer configures:
//! ```yaml
//! cert-manager.io/cluster-issuer: letsencrypt
//! ```

use certificate_shim::annotation;

use crate::context::{Context, annotation_path};
use crate::rule::{Findings, Rule};

/// `annotation-reserved`
pub const RULE: Rule = Rule::reject("annotation-reserved", check).forbidden().of_planned();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    for (key, value) in &context.written.metadata.annotations {
        if is_reserved(key, value) {
            findings
                .report(
                    annotation_path(key),
                    "it lets this Gateway's ACME challenges modify resources of others",
                )
                .subject(format!("{key} {value}"))
                .help("Remove it.");
        }
    }
}

/// Whether the annotation selects where an HTTP-01 challenge is answered.
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
        let key = format!("acme.cert-manager.io/{key}");
        gateway.cert_manager("cluster-issuer", "le").annotation(&key, value)
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
    fn keys(#[case] key: &str, #[case] value: &str, #[case] is_reported: bool) {
        let path = format!("metadata.annotations[acme.cert-manager.io/{key}]");
        let line = format!("annotation-reserved reject {path} | acme.cert-manager.io/{key} {value}");
        for gateway in [istio("shop"), gateway_api("web"), listener_set("extra")] {
            let gateway = with(gateway, key, value);
            assert_eq!(gateway.create(&cluster()).code, is_reported.then_some(403));
            if is_reported {
                assert_eq!(gateway.found(&cluster()), [line.as_str()], "no other rule reports it");
            } else {
                assert_eq!(gateway.found_by("annotation-reserved", &cluster()), Vec::<String>::new());
            }
        }
    }

    /// A parent can name an issuer for a tenant's ListenerSet at any time.
    #[test]
    fn a_listener_set_without_issuer() {
        let key = "acme.cert-manager.io/http01-parentrefname";
        let set = listener_set("extra").annotation(key, "shared").tenant(serde_json::json!({}));
        assert_eq!(set.create(&cluster()).code, Some(403));
        assert_eq!(set.rules(&cluster()), ["annotation-reserved reject"]);
    }

    #[test]
    fn without_an_issuer_it_has_no_effect() {
        let gateway = istio("shop").annotation("acme.cert-manager.io/http01-parentrefname", "shared");
        assert_eq!(gateway.rules(&cluster()), ["annotation-without-effect warn"]);
    }
}
