//! The issuer signs each certificate with the certificate's own key.
//!
//! Nothing that a client trusts vouches for such a certificate, and there is no CA that it could be
//! told to trust. That suits a test cluster, so the rule is off unless settings turn it on.
//!
//! Refused or warned about, with `rules: {self-signed: reject}` or `warn`:
//! ```yaml
//! cert-manager.io/cluster-issuer: self-signed
//! ```
//! Accepted:
//! ```yaml
//! cert-manager.io/cluster-issuer: corporate-ca
//! ```

use super::{Applies, Findings, Judges, Rule};
use crate::context::Context;
use crate::finding::{Level, Refusal};
use crate::issuer;

/// `self-signed`
pub const RULE: Rule = Rule {
    id: "self-signed",
    default: Level::Off,
    refusal: Refusal::Invalid,
    applies: Applies::Everywhere,
    judges: Judges::Annotated,
    check,
};

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    for found in context.issuers() {
        if found.own().is_some_and(|issuer| issuer::signs_by(issuer, "selfSigned")) {
            let object = &found.object;
            let what = format!("{object} signs each certificate with its own key, which no client trusts");
            findings.add_resting_on(
                object,
                context.issuer_path(),
                what,
                "Name an issuer whose CA the clients know.",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio};
    use rstest::rstest;
    use serde_json::json;

    fn cluster() -> TestCluster {
        let self_signed = |name| cluster_issuer(name).ready().spec(json!({"selfSigned": {}}));
        let ca = cluster_issuer("ca").ready().spec(json!({"ca": {"secretName": "ca"}}));
        TestCluster::default().object(self_signed("own")).object(self_signed("other")).object(ca)
    }

    fn strict(gateway: GatewayFixture, issuer: &str) -> GatewayFixture {
        gateway.cert_manager("cluster-issuer", issuer).settings(json!({"rules": {"self-signed": "reject"}}))
    }

    #[rstest]
    #[case::istio(istio("shop"))]
    #[case::gateway_api(gateway_api("web"))]
    fn where_it_is_turned_on(#[case] gateway: GatewayFixture) {
        assert_eq!(
            strict(gateway.clone(), "own").findings(&cluster()),
            [
                "self-signed: metadata.annotations[cert-manager.io/cluster-issuer]: ClusterIssuer \"own\" signs each certificate with its own key, which no client trusts. Name an issuer whose CA the clients know."
            ]
        );
        assert_eq!(strict(gateway.clone(), "ca").findings(&cluster()), Vec::<String>::new());
        assert_eq!(gateway.cert_manager("cluster-issuer", "own").findings(&cluster()), Vec::<String>::new());
    }

    #[rstest]
    #[case::kept(strict(istio("shop"), "own"), true)]
    #[case::another_secret(strict(istio("shop"), "own").with("/spec/servers/0/tls/credentialName", json!("b-tls")), false)]
    #[case::another_issuer(strict(istio("shop"), "other"), false)]
    fn updates(#[case] old: GatewayFixture, #[case] let_through: bool) {
        let new = strict(istio("shop"), "own").annotation("a", "b");
        assert_eq!(new.update_from(&old, &cluster()).accepted, let_through);
    }
}
