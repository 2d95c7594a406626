//! A wildcard covers a whole top-level domain, and its issuer is not an ACME issuer or not known.
//!
//! Your own CA signs `*.corp` on request. Anyone who has that key can impersonate every host directly
//! below.
//!
//! Warned about:
//! ```yaml
//! cert-manager.io/cluster-issuer: corporate-ca
//! hosts: ["*.corp"]
//! ```
//! Accepted:
//! ```yaml
//! cert-manager.io/cluster-issuer: corporate-ca
//! hosts: ["*.shop.corp"]
//! ```

use crate::context::Context;
use crate::rule::{Findings, Rule};
use crate::rules::wildcard_below_tld::check_wildcards;

/// `wide-wildcard`
pub const RULE: Rule = Rule::warn("wide-wildcard", check);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    check_wildcards(context, findings, false);
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio};
    use rstest::rstest;
    use serde_json::json;

    const ID: &str = "wide-wildcard";

    fn cluster() -> TestCluster {
        let ca = cluster_issuer("ca").ready().spec(json!({"ca": {"secretName": "ca"}}));
        TestCluster::default().object(ca)
    }

    fn shop(host: &str) -> GatewayFixture {
        istio("shop").cert_manager("cluster-issuer", "ca").with("/spec/servers/0/hosts/0", json!(host))
    }

    fn unknown_issuer(gateway: GatewayFixture) -> GatewayFixture {
        let external = json!({
            "cert-manager.io/issuer": "pca",
            "cert-manager.io/issuer-kind": "PCA",
            "cert-manager.io/issuer-group": "example.com",
        });
        gateway.metadata("annotations", external)
    }

    #[rstest]
    #[case::istio(shop("*.corp"), "spec.servers[0].hosts[0]")]
    #[case::gateway_api(
        gateway_api("web")
            .cert_manager("cluster-issuer", "ca")
            .with("/spec/listeners/0/hostname", json!("*.corp")),
        "spec.listeners[0].hostname"
    )]
    #[case::issuer_that_is_not_known(unknown_issuer(shop("*.corp")), "spec.servers[0].hosts[0]")]
    fn reported(#[case] gateway: GatewayFixture, #[case] path: &str) {
        assert_eq!(gateway.found_by(ID, &cluster()), [format!("warn {path} | *.corp")]);
    }

    #[test]
    fn a_rejection_is_checked_with_a_fresh_issuer() {
        let cluster = cluster();
        assert!(!shop("*.corp").level(ID, "reject").create(&cluster).accepted);
        assert_eq!(cluster.asked(), ["ClusterIssuer ca", "ClusterIssuer ca fresh"]);
    }

    #[test]
    fn two_labels_are_narrow_enough() {
        assert_eq!(shop("*.shop.corp").found(&cluster()), Vec::<String>::new());
    }
}
