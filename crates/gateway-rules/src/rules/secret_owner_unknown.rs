//! Whether the Secrets belong to other objects was not looked up.
//!
//! The policy may not read Certificates, the API server did not answer, or there are more Secrets
//! than `lookups.max` (8 unless set). The rest of the Gateway is judged.
//!
//! Warned about, where the policy was not granted lookups of Certificates; accepted silently with
//! rbac.yaml applied and in the ClusterAdmissionPolicy:
//! ```yaml
//! contextAwareResources:
//! - {apiVersion: cert-manager.io/v1, kind: Certificate}
//! ```
//! For Gateways with more Secrets, in the settings:
//! ```yaml
//! lookups: {max: 20}
//! ```

use certificate_shim::Certificate;

use super::{Applies, Findings, Judges, Rule};
use crate::context::Context;
use crate::finding::{Level, Refusal};

use crate::answer::list;
use crate::lookup::LookupError;

/// `secret-owner-unknown`
pub const RULE: Rule = Rule {
    id: "secret-owner-unknown",
    default: Level::Warn,
    refusal: Refusal::Undetermined,
    applies: Applies::Everywhere,
    judges: Judges::Annotated,
    check,
};

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    for found in context.certificates() {
        let (error, mend) = match &found.outcome {
            Ok(_) | Err(LookupError::NotFound) => continue,
            Err(error @ (LookupError::Forbidden | LookupError::NotGranted(_))) => {
                (error, "Unless the platform team grants it, nobody sees whose Secret it is.")
            }
            Err(error) => (error, "Whose Secret it is was not seen: apply it again if in doubt."),
        };
        // One is enough: the others fail likewise.
        findings.add("spec", "Certificate", error.what(&found.object), mend);
        break;
    }
    let max = context.settings.lookups.max;
    let rest: Vec<_> = context.plan.certificates.iter().skip(max).map(Certificate::secret).collect();
    if !rest.is_empty() && context.issuer_ref().is_some() {
        let what = format!("whose Secrets they are was not looked up of {}", list(&rest, 100));
        let mend = format!("The platform team can raise lookups.max, which is {max}.");
        findings.add("spec", "lookups.max", what, mend);
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, certificate, cluster_issuer, gateway_api, istio};
    use crate::lookup::{Grant, LookupError};
    use rstest::rstest;
    use serde_json::json;

    const GRANT: &str = "Unless the platform team grants it, nobody sees whose Secret it is.";
    const AGAIN: &str = "Whose Secret it is was not seen: apply it again if in doubt.";

    fn cluster() -> TestCluster {
        TestCluster::default().object(cluster_issuer("le").ready())
    }

    /// An Istio Gateway with that many servers, each with a Secret of its own.
    fn servers(count: usize) -> GatewayFixture {
        let server = |i: usize| {
            json!({
                "port": {"number": 443, "name": format!("s{i}"), "protocol": "HTTPS"},
                "hosts": [format!("s{i}.example.com")],
                "tls": {"mode": "SIMPLE", "credentialName": format!("tls-{i}")},
            })
        };
        let servers: Vec<_> = (0..count).map(server).collect();
        istio("shop").cert_manager("cluster-issuer", "le").with("/spec/servers", json!(servers))
    }

    #[rstest]
    #[case::forbidden(
        LookupError::Forbidden,
        "the policy server may not read Certificate \"tls-0\" in namespace \"team-a\"",
        GRANT
    )]
    #[case::not_granted(
        LookupError::NotGranted(Grant::Resource),
        "this policy was not granted lookups of cert-manager.io/v1 Certificate",
        GRANT
    )]
    #[case::no_capability(
        LookupError::NotGranted(Grant::Capability),
        "this policy was not granted the host capability kubernetes/get_resource",
        GRANT
    )]
    #[case::not_served(
        LookupError::KindNotServed,
        "the API server does not serve Certificate in cert-manager.io/v1",
        AGAIN
    )]
    #[case::unavailable(LookupError::Unavailable("code 503".into()), "the API server did not answer for Certificate \"tls-0\" in namespace \"team-a\" (code 503)", AGAIN)]
    fn an_error_is_told_once(#[case] error: LookupError, #[case] what: &str, #[case] mend: &str) {
        let cluster = ["tls-0", "tls-1"].iter().fold(cluster(), |cluster, name| {
            cluster.answer(&certificate("team-a", name).reference(), Err(error.clone()))
        });
        let answer = servers(2).create(&cluster);
        assert!(answer.accepted);
        assert_eq!(answer.warnings, [format!("secret-owner-unknown: spec: {what}. {mend}")]);
    }

    #[rstest]
    #[case::as_many_as_may(8, json!({}), 8, None)]
    #[case::one_more(9, json!({}), 8, Some(
        "secret-owner-unknown: spec: whose Secrets they are was not looked up of team-a/tls-8. The platform team can raise lookups.max, which is 8."
    ))]
    #[case::two(3, json!({"lookups": {"max": 2}}), 2, Some(
        "secret-owner-unknown: spec: whose Secrets they are was not looked up of team-a/tls-2. The platform team can raise lookups.max, which is 2."
    ))]
    #[case::many(100, json!({}), 8, Some(
        "secret-owner-unknown: spec: whose Secrets they are was not looked up of team-a/tls-8,team-a/tls-9,team-a/tls-10,team-a/tls-11,team-a/tls-12 and 87 more. The platform team can raise lookups.max, which is 8."
    ))]
    fn no_more_than_settings_say(
        #[case] count: usize,
        #[case] settings: serde_json::Value,
        #[case] asked: usize,
        #[case] expected: Option<&str>,
    ) {
        let cluster = cluster();
        let answer = servers(count).settings(settings).create(&cluster);
        assert_eq!(answer.warnings, expected.into_iter().collect::<Vec<_>>());
        assert_eq!(cluster.asked_for_certificates().len(), asked);
    }

    #[test]
    fn gateway_api_too() {
        let cluster =
            cluster().answer(&certificate("team-a", "web-tls").reference(), Err(LookupError::Forbidden));
        let gateway = gateway_api("web").cert_manager("cluster-issuer", "le");
        assert_eq!(gateway.findings_of("secret-owner-unknown", &cluster).len(), 1);
    }

    #[test]
    fn off_with_the_others_nothing_is_looked_up() {
        let cluster = cluster();
        let off = ["secret-not-owned", "secret-without-owner", "secret-owner-unknown"];
        off.iter().fold(servers(1), |gateway, rule| gateway.level(rule, "off")).create(&cluster);
        assert_eq!(cluster.asked_for_certificates(), Vec::<String>::new());
    }

    #[rstest]
    #[case::as_many(9, true)]
    #[case::fewer(8, false)]
    fn updates(#[case] before: usize, #[case] let_through: bool) {
        let gateway = |count| servers(count).level("secret-owner-unknown", "reject");
        let answer = gateway(9).annotation("a", "b").update_from(&gateway(before), &cluster());
        assert_eq!(answer.accepted, let_through);
    }
}
