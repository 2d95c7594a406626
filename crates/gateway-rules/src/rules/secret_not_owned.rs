//! The Secret is another object's: its Certificate is there and belongs to somebody else.
//!
//! cert-manager leaves a Certificate alone whose controller is another object, and says nothing; our
//! controller never overwrites one that is not its own. For Istio that includes Certificates that
//! belong to nobody: what somebody made by hand among the gateways' Secrets is not a tenant's to
//! take. An earlier Gateway of the same kind, namespace and name is no other object.
//!
//! Refused, where the Ingress `old` has the Certificate `shop-tls`:
//! ```yaml
//! tls: {mode: SIMPLE, credentialName: shop-tls}
//! ```
//! Accepted:
//! ```yaml
//! tls: {mode: SIMPLE, credentialName: shop-gateway-tls}
//! ```
//! The policy has to be allowed to look Certificates up (see `secret-owner-unknown`).

use certificate_shim::gateway::GatewayKind;

use super::{Applies, Findings, Judges, Rule};
use crate::context::Context;
use crate::finding::{Level, Refusal};

use crate::certificates::{Owner, owner};

/// `secret-not-owned`
pub const RULE: Rule = Rule {
    id: "secret-not-owned",
    default: Level::Reject,
    refusal: Refusal::Invalid,
    applies: Applies::Everywhere,
    judges: Judges::Annotated,
    check,
};

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let istio = context.gateway.kind == GatewayKind::Istio;
    for found in context.certificates() {
        let Ok(certificate) = &found.outcome else { continue };
        let (subject, whose) = match owner(certificate, context.gateway) {
            Owner::Another(owner) => (owner.clone(), format!("belongs to {owner}")),
            Owner::Nobody if istio => (String::new(), "was made by somebody else".to_owned()),
            Owner::ThisGateway | Owner::Nobody => continue,
        };
        let what = format!("{} {whose}, so nothing is issued for this one", found.object);
        let mend = if istio {
            "Name another Secret, or have that Certificate removed."
        } else {
            "Name another Secret, or remove that Certificate."
        };
        findings.add_about_found(found, subject, what, mend);
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{
        CertificateFixture, GatewayFixture, TestCluster, certificate, cluster_issuer, gateway_api, issuer,
        istio, listener_set,
    };
    use rstest::rstest;
    use serde_json::json;

    const ISTIO: &str = "networking.istio.io/v1";
    const GATEWAY_API: &str = "gateway.networking.k8s.io/v1";

    fn cluster(certificate: CertificateFixture) -> TestCluster {
        TestCluster::default()
            .object(cluster_issuer("le").ready())
            .object(issuer("team-a", "ca").ready())
            .object(gateway_api("web"))
            .object(certificate)
    }

    fn annotated(gateway: GatewayFixture) -> GatewayFixture {
        gateway.cert_manager("cluster-issuer", "le")
    }

    fn shop() -> CertificateFixture {
        certificate("team-a", "shop-tls")
    }

    #[rstest]
    #[case::ours(shop().owned_by(ISTIO, "Gateway", "shop"), None)]
    #[case::another_version(shop().owned_by("networking.istio.io/v1beta1", "Gateway", "shop"), None)]
    #[case::recorded(shop().recorded("team-a", "shop"), None)]
    #[case::nobody(shop(), Some("was made by somebody else"))]
    #[case::another_gateway(shop().owned_by(ISTIO, "Gateway", "web"), Some("belongs to Gateway.networking.istio.io \"web\""))]
    #[case::another_api(shop().owned_by(GATEWAY_API, "Gateway", "shop"), Some("belongs to Gateway.gateway.networking.k8s.io \"shop\""))]
    #[case::ingress(shop().owned_by("networking.k8s.io/v1", "Ingress", "shop"), Some("belongs to Ingress.networking.k8s.io \"shop\""))]
    #[case::core(shop().owned_by("v1", "ConfigMap", "shop"), Some("belongs to ConfigMap \"shop\""))]
    #[case::recorded_of_another(shop().recorded("team-b", "shop"), Some("belongs to Gateway.networking.istio.io \"shop\" in namespace \"team-b\""))]
    #[case::the_controller_counts(
        shop().recorded("team-a", "shop").owned_by("networking.k8s.io/v1", "Ingress", "shop"),
        Some("belongs to Ingress.networking.k8s.io \"shop\"")
    )]
    fn of_istio(#[case] certificate: CertificateFixture, #[case] expected: Option<&str>) {
        let expected = expected.map(|whose| format!("spec.servers[0].tls.credentialName: Certificate \"shop-tls\" in namespace \"team-a\" {whose}, so nothing is issued for this one. Name another Secret, or have that Certificate removed."));
        let cluster = cluster(certificate);
        let findings = annotated(istio("shop")).findings_of("secret-not-owned", &cluster);
        assert_eq!(findings, expected.into_iter().collect::<Vec<_>>());
        assert_eq!(cluster.asked_for_certificates(), ["Certificate team-a/shop-tls"]);
    }

    #[rstest]
    #[case::ours(gateway_api("web"), GATEWAY_API, "Gateway", "web", None)]
    #[case::ours_of_a_set(listener_set("web"), GATEWAY_API, "ListenerSet", "web", None)]
    #[case::the_parents(
        listener_set("web"),
        GATEWAY_API,
        "Gateway",
        "web",
        Some("Gateway.gateway.networking.k8s.io \"web\"")
    )]
    #[case::istio(gateway_api("web"), ISTIO, "Gateway", "web", Some("Gateway.networking.istio.io \"web\""))]
    fn of_gateway_api(
        #[case] gateway: GatewayFixture,
        #[case] api_version: &str,
        #[case] kind: &str,
        #[case] name: &str,
        #[case] expected: Option<&str>,
    ) {
        let expected = expected.map(|whose| format!("spec.listeners[0].tls.certificateRefs[0].name: Certificate \"web-tls\" in namespace \"team-a\" belongs to {whose}, so nothing is issued for this one. Name another Secret, or remove that Certificate."));
        let cluster = cluster(certificate("team-a", "web-tls").owned_by(api_version, kind, name));
        let findings = annotated(gateway).findings_of("secret-not-owned", &cluster);
        assert_eq!(findings, expected.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn in_the_placement() {
        let known = json!({"gateway_namespaces": [{"labels": {"istio": "ingressgateway"}, "namespace": "istio-system"}]});
        let gateway = annotated(istio("shop")).settings(known);
        let of = |certificate: CertificateFixture| {
            gateway.findings_of("secret-not-owned", &cluster(certificate)).len()
        };
        let there = certificate("istio-system", "shop-tls");
        assert_eq!(of(there.clone().recorded("team-a", "shop")), 0);
        assert_eq!(of(there.clone().recorded("team-b", "shop")), 1);
        // An owner of that name in the gateways' namespace is another Gateway.
        assert_eq!(of(there.owned_by(ISTIO, "Gateway", "shop")), 1);
        assert_eq!(of(shop()), 0);
    }

    #[test]
    fn a_name_that_is_not_given_yet_owns_nothing() {
        let gateway =
            annotated(istio("shop")).metadata("name", json!(null)).metadata("generateName", json!("shop-"));
        let findings =
            gateway.findings_of("secret-not-owned", &cluster(shop().owned_by(ISTIO, "Gateway", "shop")));
        assert_eq!(findings.len(), 1);
    }

    #[test]
    fn an_issuer_that_is_not_clear_asks_for_nothing() {
        let cluster = cluster(shop());
        let gateway = annotated(istio("shop")).cert_manager("issuer", "x");
        assert_eq!(gateway.findings_of("secret-not-owned", &cluster), Vec::<String>::new());
        assert_eq!(cluster.asked_for_certificates(), Vec::<String>::new());
    }

    #[test]
    fn what_rests_on_a_cache_is_looked_up_once_more() {
        let cached = shop().owned_by("networking.k8s.io/v1", "Ingress", "old");
        let fresh = shop().owned_by(ISTIO, "Gateway", "shop");
        let cluster = cluster(cached.clone()).fresh_answer(&cached.reference(), Ok(fresh.into()));
        assert!(annotated(istio("shop")).create(&cluster).accepted);
        assert_eq!(
            cluster.asked_for_certificates(),
            ["Certificate team-a/shop-tls", "Certificate team-a/shop-tls fresh"]
        );
    }

    fn other_secret(gateway: GatewayFixture) -> GatewayFixture {
        gateway.with("/spec/servers/0/tls/credentialName", json!("other-tls"))
    }

    #[rstest]
    #[case::the_same(annotated(istio("shop")), true)]
    #[case::another_secret(other_secret(annotated(istio("shop"))), false)]
    #[case::another_issuer(istio("shop").cert_manager("issuer", "ca"), false)]
    #[case::not_annotated(istio("shop"), false)]
    fn updates(#[case] old: GatewayFixture, #[case] let_through: bool) {
        let cluster = cluster(shop().recorded("team-b", "shop"));
        let answer = annotated(istio("shop")).annotation("a", "b").update_from(&old, &cluster);
        assert_eq!(answer.accepted, let_through);
        assert!(!cluster.asked_for_certificates().contains(&"Certificate team-a/other-tls".to_owned()));
    }
}
