//! The Certificate of a Secret has no owner: someone created it by hand.
//!
//! cert-manager does not change such a Certificate and reports nothing, so the Gateway's annotations have
//! no effect on it. That can be intended, so this is a warning. For Istio it is secret-not-owned.
//!
//! Warned about, if the cluster has a Certificate `manual-tls` without an owner:
//! ```yaml
//! certificateRefs: [{name: manual-tls}]
//! ```
//! Accepted:
//! ```yaml
//! certificateRefs: [{name: shop-tls}]
//! ```

use certificate_shim::gateway::GatewayKind;

use crate::context::Context;
use crate::ownership::{Owner, owner};
use crate::rule::{Findings, Rule};

/// `secret-without-owner`
pub const RULE: Rule = Rule::warn("secret-without-owner", check);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    if context.gateway.kind == GatewayKind::Istio {
        return;
    }
    for found in &context.certificates().found {
        let Ok(certificate) = &found.outcome else { continue };
        if owner(certificate, context.gateway) == Owner::None {
            let problem = format!("{} has no owner, so cert-manager does not change it", found.object);
            findings
                .report(found.path.as_str(), problem)
                .subject("no owner")
                .help("Remove the issuer annotation to keep it, or the Certificate to get a managed one.")
                .about(found.secret.clone())
                .rests_on(&found.object);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, certificate, cluster_issuer, gateway_api, istio};
    use rstest::rstest;

    const ID: &str = "secret-without-owner";

    fn cluster() -> TestCluster {
        let owned = certificate("team-a", "owned-tls").owned_by("networking.k8s.io/v1", "Ingress", "owned");
        TestCluster::default()
            .object(cluster_issuer("le").ready())
            .object(certificate("team-a", "web-tls"))
            .object(certificate("team-a", "shop-tls"))
            .object(owned)
    }

    #[rstest]
    #[case::no_owner(gateway_api("web"), true)]
    #[case::owned(gateway_api("owned"), false)]
    #[case::no_certificate(gateway_api("absent"), false)]
    #[case::istio(istio("shop"), false)]
    fn certificates(#[case] gateway: GatewayFixture, #[case] is_reported: bool) {
        let expected = "warn spec.listeners[0].tls.certificateRefs[0].name | no owner";
        let found = gateway.cert_manager("cluster-issuer", "le").found_by(ID, &cluster());
        assert_eq!(found, is_reported.then_some(expected).into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn a_rejection_is_about_the_secret_and_checked_with_a_fresh_certificate() {
        let cluster = cluster();
        let gateway = gateway_api("web").cert_manager("cluster-issuer", "le").level(ID, "reject");
        assert!(!gateway.create(&cluster).accepted);
        assert_eq!(
            cluster.asked_for_certificates(),
            ["Certificate team-a/web-tls", "Certificate team-a/web-tls fresh"]
        );
        let findings = gateway.checked(&cluster, crate::rule::Caller::Admission).findings;
        assert_eq!(findings[0].certificate.as_ref().unwrap().to_string(), "team-a/web-tls");
    }
}
