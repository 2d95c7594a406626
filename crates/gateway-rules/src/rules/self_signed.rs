//! The issuer signs each certificate with the certificate's own key.
//!
//! No CA vouches for such a certificate, so clients cannot verify it. That can be fine on a test
//! cluster, so the rule is off by default.
//!
//! Rejected, with `rules: {self-signed: reject}`:
//! ```yaml
//! cert-manager.io/cluster-issuer: self-signed
//! ```
//! Accepted:
//! ```yaml
//! cert-manager.io/cluster-issuer: letsencrypt
//! ```

use crate::context::Context;
use crate::issuer;
use crate::rule::{Findings, Rule};

/// `self-signed`
pub const RULE: Rule = Rule::off("self-signed", check);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    for found in context.issuers() {
        if found.own().is_some_and(|issuer| issuer::signs_by(issuer, "selfSigned")) {
            let object = &found.object;
            let problem = format!("{object} is self-signed, so clients cannot verify its certificates");
            findings
                .report(context.issuer_path(), problem)
                .subject(object.to_string())
                .help("Use an issuer with a CA that the clients trust.")
                .rests_on(object);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio};
    use rstest::rstest;
    use serde_json::json;

    const PATH: &str = "metadata.annotations[cert-manager.io/cluster-issuer]";

    fn cluster() -> TestCluster {
        let external = json!({
            "apiVersion": "example.com/v1", "kind": "My",
            "metadata": {"name": "external"}, "spec": {"selfSigned": {}},
        });
        TestCluster::default()
            .object(cluster_issuer("own").ready().spec(json!({"selfSigned": {}})))
            .object(cluster_issuer("ca").ready().spec(json!({"ca": {"secretName": "ca"}})))
            .object(external)
    }

    fn external() -> GatewayFixture {
        let kind = json!({"group": "example.com", "kind": "My", "api_version": "v1", "scope": "Cluster"});
        istio("shop")
            .cert_manager("issuer", "external")
            .cert_manager("issuer-kind", "My")
            .cert_manager("issuer-group", "example.com")
            .settings(json!({"issuer_kinds": [kind]}))
    }

    #[rstest]
    #[case::istio(istio("shop").cert_manager("cluster-issuer", "own"), &["ClusterIssuer \"own\""])]
    #[case::gateway_api(gateway_api("web").cert_manager("cluster-issuer", "own"), &["ClusterIssuer \"own\""])]
    #[case::a_ca(istio("shop").cert_manager("cluster-issuer", "ca"), &[])]
    #[case::absent(istio("shop").cert_manager("cluster-issuer", "absent"), &[])]
    #[case::another_group(external(), &[])]
    fn found(#[case] gateway: GatewayFixture, #[case] subjects: &[&str]) {
        assert_eq!(gateway.found_by("self-signed", &cluster()), Vec::<String>::new(), "it is off by default");
        let expected: Vec<String> =
            subjects.iter().map(|subject| format!("reject {PATH} | {subject}")).collect();
        assert_eq!(gateway.level("self-signed", "reject").found_by("self-signed", &cluster()), expected);
    }

    /// A cached issuer can have been changed to a CA issuer since.
    #[test]
    fn a_rejection_reads_the_issuer_again() {
        let cluster = cluster();
        istio("shop").cert_manager("cluster-issuer", "own").level("self-signed", "reject").create(&cluster);
        assert_eq!(cluster.asked(), ["ClusterIssuer own", "ClusterIssuer own fresh"]);
    }
}
