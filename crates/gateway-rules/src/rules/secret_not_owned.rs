//! The Certificate of a Secret belongs to another owner.
//!
//! cert-manager ignores a Certificate that another object controls, and reports nothing. The controller of
//! this project overwrites only its own Certificates. For Istio, a Certificate without an owner is
//! reported too: someone created it by hand in the gateway's namespace, and tenants may not take it over. An
//! earlier Gateway of the same kind, namespace and name counts as this one.
//!
//! Rejected, if the cluster has a Certificate `taken-tls` that the Ingress `old` controls:
//! ```yaml
//! tls: {mode: SIMPLE, credentialName: taken-tls}
//! ```
//! Accepted:
//! ```yaml
//! tls: {mode: SIMPLE, credentialName: shop-tls}
//! ```
//! The policy needs permission to look up Certificates (see secret-owner-unknown).

use certificate_shim::gateway::GatewayKind;

use crate::context::Context;
use crate::ownership::{Owner, owner};
use crate::rule::{Findings, Rule};

/// `secret-not-owned`
pub const RULE: Rule = Rule::reject("secret-not-owned", check);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let is_istio = context.gateway.kind == GatewayKind::Istio;
    for found in &context.certificates().found {
        let Ok(certificate) = &found.outcome else { continue };
        let object = &found.object;
        let (subject, problem) = match owner(certificate, context.gateway) {
            Owner::Other(owner) => {
                let problem = format!("{object} belongs to {owner}, so nothing is issued for this Gateway");
                (owner, problem)
            }
            Owner::None if is_istio => (
                "no owner".to_owned(),
                format!("{object} has no owner, so nothing is issued for this Gateway"),
            ),
            Owner::ThisGateway | Owner::None => continue,
        };
        let help = if is_istio {
            "Use another Secret. Platform team: remove that Certificate if nothing needs it."
        } else {
            "Use another Secret, or remove that Certificate."
        };
        findings
            .report(found.path.as_str(), problem)
            .subject(subject)
            .help(help)
            .about(found.secret.clone())
            .rests_on(object);
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{
        CertificateFixture, GatewayFixture, TestCluster, certificate, cluster_issuer, gateway_api, istio,
        listener_set,
    };
    use crate::rule::Caller;
    use rstest::rstest;
    use serde_json::json;

    const ID: &str = "secret-not-owned";
    const ISTIO: &str = "networking.istio.io/v1";
    const GATEWAY_API: &str = "gateway.networking.k8s.io/v1";
    const INGRESS: &str = "networking.k8s.io/v1";

    fn cluster(certificate: CertificateFixture) -> TestCluster {
        TestCluster::default()
            .object(cluster_issuer("le").ready())
            .object(gateway_api("web"))
            .object(certificate)
    }

    fn annotated(gateway: GatewayFixture) -> GatewayFixture {
        gateway.cert_manager("cluster-issuer", "le")
    }

    fn shop_tls() -> CertificateFixture {
        certificate("team-a", "shop-tls")
    }

    fn web_tls() -> CertificateFixture {
        certificate("team-a", "web-tls")
    }

    /// The lines for findings at a path about these owners.
    fn expected(path: &str, owner: Option<&str>) -> Vec<String> {
        owner.iter().map(|owner| format!("{ID} reject {path} | {owner}")).collect()
    }

    #[rstest]
    #[case::this_gateway(shop_tls().owned_by(ISTIO, "Gateway", "shop"), None)]
    #[case::in_another_version(shop_tls().owned_by("networking.istio.io/v1beta1", "Gateway", "shop"), None)]
    #[case::recorded(shop_tls().recorded("team-a", "shop"), None)]
    #[case::no_owner(shop_tls(), Some("no owner"))]
    #[case::of_another_name(
        shop_tls().owned_by(ISTIO, "Gateway", "web"), Some("Gateway.networking.istio.io \"web\"")
    )]
    #[case::of_another_group(
        shop_tls().owned_by(GATEWAY_API, "Gateway", "shop"),
        Some("Gateway.gateway.networking.k8s.io \"shop\"")
    )]
    #[case::of_another_kind(
        shop_tls().owned_by(ISTIO, "Sidecar", "shop"), Some("Sidecar.networking.istio.io \"shop\"")
    )]
    #[case::of_the_core_group(shop_tls().owned_by("v1", "ConfigMap", "shop"), Some("ConfigMap \"shop\""))]
    #[case::recorded_of_another_namespace(
        shop_tls().recorded("team-b", "shop"),
        Some("Gateway.networking.istio.io \"shop\" in namespace \"team-b\"")
    )]
    #[case::the_controller_comes_before_the_record(
        shop_tls().recorded("team-a", "shop").owned_by(INGRESS, "Ingress", "shop"),
        Some("Ingress.networking.k8s.io \"shop\"")
    )]
    fn certificates_of_istio(#[case] certificate: CertificateFixture, #[case] owner: Option<&str>) {
        let cluster = cluster(certificate);
        let path = "spec.servers[0].tls.credentialName";
        assert_eq!(annotated(istio("shop")).found(&cluster), expected(path, owner));
        assert_eq!(cluster.asked_for_certificates(), ["Certificate team-a/shop-tls"]);
    }

    #[rstest]
    #[case::this_gateway(gateway_api("web"), web_tls().owned_by(GATEWAY_API, "Gateway", "web"), None)]
    #[case::this_set(listener_set("web"), web_tls().owned_by(GATEWAY_API, "ListenerSet", "web"), None)]
    #[case::of_the_parent(
        listener_set("web"),
        web_tls().owned_by(GATEWAY_API, "Gateway", "web"),
        Some("Gateway.gateway.networking.k8s.io \"web\"")
    )]
    #[case::of_istio(
        gateway_api("web"),
        web_tls().owned_by(ISTIO, "Gateway", "web"),
        Some("Gateway.networking.istio.io \"web\"")
    )]
    #[case::no_owner(gateway_api("web"), web_tls(), None)]
    fn certificates_of_gateway_api(
        #[case] gateway: GatewayFixture,
        #[case] certificate: CertificateFixture,
        #[case] owner: Option<&str>,
    ) {
        let mut found = annotated(gateway).found(&cluster(certificate));
        found.retain(|found| found.starts_with(ID));
        assert_eq!(found, expected("spec.listeners[0].tls.certificateRefs[0].name", owner));
    }

    #[rstest]
    #[case::recorded(certificate("istio-system", "shop-tls").recorded("team-a", "shop"), false)]
    #[case::recorded_of_another(certificate("istio-system", "shop-tls").recorded("team-b", "shop"), true)]
    #[case::controlled_by_a_gateway_there(
        certificate("istio-system", "shop-tls").owned_by(ISTIO, "Gateway", "shop"), true
    )]
    #[case::in_the_gateways_own_namespace(shop_tls(), false)]
    fn in_the_placement(#[case] certificate: CertificateFixture, #[case] is_reported: bool) {
        let gateway = annotated(istio("shop")).settings(json!({"gateway_namespaces": [
            {"labels": {"istio": "ingressgateway"}, "namespace": "istio-system"},
        ]}));
        assert_eq!(gateway.found_by(ID, &cluster(certificate)).len(), usize::from(is_reported));
    }

    #[test]
    fn a_gateway_without_a_name_yet_owns_nothing() {
        let gateway = annotated(istio("shop")).metadata("name", json!(null));
        let gateway = gateway.metadata("generateName", json!("shop-"));
        let cluster = cluster(shop_tls().owned_by(ISTIO, "Gateway", "shop"));
        assert_eq!(gateway.found_by(ID, &cluster).len(), 1);
    }

    #[test]
    fn nothing_is_looked_up_under_contradictory_annotations() {
        let cluster = cluster(shop_tls());
        let gateway = annotated(istio("shop")).cert_manager("issuer", "x");
        assert_eq!(gateway.found_by(ID, &cluster), Vec::<String>::new());
        assert_eq!(cluster.asked_for_certificates(), Vec::<String>::new());
    }

    #[test]
    fn a_rejection_is_checked_with_a_fresh_certificate() {
        let cached = shop_tls().owned_by(INGRESS, "Ingress", "old");
        let fresh = shop_tls().owned_by(ISTIO, "Gateway", "shop");
        let cluster = cluster(cached.clone()).fresh_answer(&cached.reference(), Ok(fresh.into()));
        assert!(annotated(istio("shop")).create(&cluster).accepted);
        assert_eq!(
            cluster.asked_for_certificates(),
            ["Certificate team-a/shop-tls", "Certificate team-a/shop-tls fresh"]
        );
    }

    #[test]
    fn each_secret_has_its_own_finding() {
        let server = json!({
            "port": {"number": 8443, "name": "b", "protocol": "HTTPS"},
            "hosts": ["b.example.com"], "tls": {"mode": "SIMPLE", "credentialName": "b-tls"},
        });
        let gateway = annotated(istio("shop")).push("/spec/servers", server);
        let cluster = cluster(shop_tls()).object(certificate("team-a", "b-tls"));
        let findings = gateway.checked(&cluster, Caller::Admission).findings;
        let secrets: Vec<_> =
            findings.iter().map(|finding| finding.certificate.as_ref().unwrap().to_string()).collect();
        assert_eq!(secrets, ["team-a/shop-tls", "team-a/b-tls"]);
    }

    fn other_secret(gateway: GatewayFixture) -> GatewayFixture {
        gateway.with("/spec/servers/0/tls/credentialName", json!("other-tls"))
    }

    /// An update that does not change the Certificate does not look it up. An update that adds its Secret
    /// does. Secrets that only the old state names are never looked up.
    #[rstest]
    #[case::the_same_secret(annotated(istio("shop")), &[])]
    #[case::another_secret(
        other_secret(annotated(istio("shop"))),
        &["Certificate team-a/shop-tls", "Certificate team-a/shop-tls fresh"]
    )]
    #[case::not_annotated(
        istio("shop"),
        &["Certificate team-a/shop-tls", "Certificate team-a/shop-tls fresh"]
    )]
    fn lookups_of_updates(#[case] old: GatewayFixture, #[case] asked: &[&str]) {
        let cluster = cluster(shop_tls().recorded("team-b", "shop"));
        let response = annotated(istio("shop")).annotation("a", "b").update_from(&old, &cluster);
        assert_eq!(response.accepted, asked.is_empty());
        assert_eq!(cluster.asked_for_certificates(), asked);
    }
}
