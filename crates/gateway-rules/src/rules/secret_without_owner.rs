//! The Secret's Certificate was made by hand: it belongs to no object.
//!
//! cert-manager leaves it alone, and says nothing: what the Gateway's annotations ask for never gets
//! into it. That may be meant, so this is a warning; for Istio it is `secret-not-owned`.
//!
//! Warned about, where somebody has applied a Certificate `web-tls`:
//! ```yaml
//! certificateRefs: [{name: web-tls}]
//! ```
//! Accepted silently:
//! ```yaml
//! certificateRefs: [{name: web-gateway-tls}]
//! ```

use certificate_shim::gateway::GatewayKind;

use super::{Applies, Findings, Judges, Rule};
use crate::context::Context;
use crate::finding::{Level, Refusal};

use crate::certificates::{Owner, owner};

/// `secret-without-owner`
pub const RULE: Rule = Rule {
    id: "secret-without-owner",
    default: Level::Warn,
    refusal: Refusal::Invalid,
    applies: Applies::Everywhere,
    judges: Judges::Annotated,
    check,
};

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    if context.gateway.kind == GatewayKind::Istio {
        return;
    }
    for found in context.certificates() {
        let Ok(certificate) = &found.outcome else { continue };
        if owner(certificate, context.gateway) == Owner::Nobody {
            let what = format!("{} was made by hand, and cert-manager does not touch it", found.object);
            let mend = "Remove it to have one made from the Gateway's annotations.";
            findings.add_about_found(found, "", what, mend);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{TestCluster, certificate, cluster_issuer, gateway_api, istio};
    use rstest::rstest;

    const EXPECTED: &str = "secret-without-owner: spec.listeners[0].tls.certificateRefs[0].name: Certificate \"web-tls\" in namespace \"team-a\" was made by hand, and cert-manager does not touch it. Remove it to have one made from the Gateway's annotations.";

    fn cluster() -> TestCluster {
        TestCluster::default()
            .object(cluster_issuer("le").ready())
            .object(certificate("team-a", "web-tls"))
            .object(certificate("team-a", "shop-tls"))
    }

    #[test]
    fn of_gateway_api_a_warning() {
        let gateway = gateway_api("web").cert_manager("cluster-issuer", "le");
        assert_eq!(gateway.findings(&cluster()), [EXPECTED]);
        assert!(gateway.create(&cluster()).accepted);
    }

    #[test]
    fn owned_or_absent() {
        let owned =
            certificate("team-a", "web-tls").owned_by("gateway.networking.k8s.io/v1", "Gateway", "web");
        let gateway = gateway_api("web").cert_manager("cluster-issuer", "le");
        assert_eq!(gateway.findings(&cluster().object(owned)), Vec::<String>::new());
        let gateway = gateway_api("other").cert_manager("cluster-issuer", "le");
        assert_eq!(gateway.findings(&cluster()), Vec::<String>::new());
    }

    #[test]
    fn of_istio_it_is_another_rule() {
        let gateway = istio("shop").cert_manager("cluster-issuer", "le");
        assert_eq!(gateway.findings_of("secret-without-owner", &cluster()), Vec::<String>::new());
    }

    #[rstest]
    #[case::the_same("web", true)]
    #[case::another_secret("other", false)]
    fn updates(#[case] before: &str, #[case] let_through: bool) {
        let gateway = |name| {
            gateway_api(name).cert_manager("cluster-issuer", "le").level("secret-without-owner", "reject")
        };
        let answer = gateway("web").annotation("a", "b").update_from(&gateway(before), &cluster());
        assert_eq!(answer.accepted, let_through);
    }
}
