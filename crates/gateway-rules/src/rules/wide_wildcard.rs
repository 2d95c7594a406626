//! A wildcard covers a whole top-level domain, and its issuer is no ACME issuer, or not known.
//!
//! A CA of your own signs `*.corp` if it is asked to; whoever holds that key can pose as every host
//! directly below.
//!
//! Warned about:
//! ```yaml
//! cert-manager.io/cluster-issuer: corporate-ca
//! # spec.servers[0].hosts: ["*.corp"]
//! ```
//! Accepted silently:
//! ```yaml
//! cert-manager.io/cluster-issuer: corporate-ca
//! # spec.servers[0].hosts: ["*.shop.corp"]
//! ```

use super::{Applies, Findings, Judges, Rule};
use crate::context::Context;
use crate::finding::{Level, Refusal};
use crate::rules::wildcard_below_tld::check_wildcards;

/// `wide-wildcard`
pub const RULE: Rule = Rule {
    id: "wide-wildcard",
    default: Level::Warn,
    refusal: Refusal::Invalid,
    applies: Applies::Everywhere,
    judges: Judges::Annotated,
    check,
};

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    check_wildcards(context, findings, false);
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio};
    use rstest::rstest;
    use serde_json::json;

    fn cluster() -> TestCluster {
        let ca = |name| cluster_issuer(name).ready().spec(json!({"ca": {"secretName": "ca"}}));
        TestCluster::default().object(ca("ca")).object(ca("other"))
    }

    fn shop(host: &str) -> GatewayFixture {
        istio("shop").cert_manager("cluster-issuer", "ca").with("/spec/servers/0/hosts/0", json!(host))
    }

    const WHAT: &str =
        "\"*.corp\" covers a whole top-level domain. Name a domain below it, such as *.example.com.";

    #[test]
    fn found() {
        let answer = shop("*.corp").create(&cluster());
        assert!(answer.accepted);
        assert_eq!(answer.warnings, [format!("wide-wildcard: spec.servers[0].hosts[0]: {WHAT}")]);
        let gateway = gateway_api("web").cert_manager("cluster-issuer", "ca");
        assert_eq!(
            gateway.with("/spec/listeners/0/hostname", json!("*.corp")).findings(&cluster()),
            [format!("wide-wildcard: spec.listeners[0].hostname: {WHAT}")]
        );
    }

    #[test]
    fn of_an_issuer_that_is_not_known() {
        let gateway = shop("*.corp").metadata("annotations", json!({
            "cert-manager.io/issuer": "pca", "cert-manager.io/issuer-kind": "PCA", "cert-manager.io/issuer-group": "example.com",
        }));
        let findings = gateway.findings(&cluster());
        assert_eq!(findings.last().unwrap(), &format!("wide-wildcard: spec.servers[0].hosts[0]: {WHAT}"));
    }

    #[test]
    fn two_labels_are_narrow_enough() {
        assert_eq!(shop("*.shop.corp").findings(&cluster()), Vec::<String>::new());
    }

    #[rstest]
    #[case::kept(shop("*.corp"), true)]
    #[case::another_host(shop("*.lan"), false)]
    #[case::another_secret(shop("*.corp").with("/spec/servers/0/tls/credentialName", json!("b-tls")), false)]
    #[case::another_issuer(shop("*.corp").cert_manager("cluster-issuer", "other"), false)]
    fn updates(#[case] old: GatewayFixture, #[case] let_through: bool) {
        let new = shop("*.corp").annotation("a", "b").settings(json!({"rules": {"wide-wildcard": "reject"}}));
        assert_eq!(new.update_from(&old, &cluster()).accepted, let_through);
    }
}
