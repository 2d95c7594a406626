//! The `Ready` condition of the issuer is `False`.
//!
//! The issuer reports that it cannot issue: the Secret of a CA is missing, or an ACME account could not
//! be registered. cert-manager lets requests wait until the condition is `True`. The condition's reason
//! and message are in the finding. Before it rejects because of a cached issuer, the policy reads the
//! issuer from the API server again.
//!
//! Rejected, if the `Ready` condition of ClusterIssuer `company-ca` is `False`:
//! ```yaml
//! cert-manager.io/cluster-issuer: company-ca
//! ```
//! Accepted:
//! ```yaml
//! cert-manager.io/cluster-issuer: letsencrypt
//! ```

use crate::context::{Context, FoundIssuer};
use crate::issuer::Ready;
use crate::rule::{Findings, Rule};
use crate::text::{one_line, shorten};

/// `issuer-not-ready`
pub const RULE: Rule = Rule::reject("issuer-not-ready", check);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    for FoundIssuer { object, outcome } in context.issuers() {
        let Ok(issuer) = outcome else { continue };
        let ready = Ready::of(issuer);
        if ready.status == "False" {
            findings
                .report(context.issuer_path(), format!("{object} is not Ready{}", reason(&ready)))
                .subject(object.to_string())
                .help("Wait until the issuer is Ready, fix it, or name another one.")
                .rests_on(object);
        }
    }
}

/// ` (Reason: message)`, or nothing if the condition has neither.
fn reason(ready: &Ready<'_>) -> String {
    let mut parts = vec![shorten(&one_line(ready.reason), 60), shorten(&one_line(ready.message), 300)];
    parts.retain(|part| !part.is_empty());
    if parts.is_empty() {
        return String::new();
    }
    format!(" ({})", parts.join(": ").trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{IssuerFixture, TestCluster, cluster_issuer, istio};
    use rstest::rstest;

    const FOUND: &str = "reject metadata.annotations[cert-manager.io/cluster-issuer] | ClusterIssuer \"le\"";

    fn le(status: &str) -> IssuerFixture {
        cluster_issuer("le").condition(status, "", "")
    }

    #[rstest]
    #[case::not_ready(le("False"), &[FOUND])]
    #[case::ready(le("True"), &[])]
    #[case::unknown(le("Unknown"), &[])]
    #[case::no_condition(cluster_issuer("le"), &[])]
    #[case::absent(cluster_issuer("other").condition("False", "", ""), &[])]
    fn found(#[case] issuer: IssuerFixture, #[case] expected: &[&str]) {
        let gateway = istio("shop").cert_manager("cluster-issuer", "le");
        assert_eq!(gateway.found_by("issuer-not-ready", &TestCluster::default().object(issuer)), expected);
    }

    #[rstest]
    #[case::both("ErrInit", "no\n account.", " is not Ready (ErrInit: no account). ")]
    #[case::reason_only("ErrInit", "", " is not Ready (ErrInit). ")]
    #[case::message_only("", "no account", " is not Ready (no account). ")]
    #[case::neither("", "", " is not Ready. ")]
    #[case::long_reason(&"x".repeat(61), "", &format!("({}…)", "x".repeat(59)))]
    #[case::long_message("", &"x".repeat(301), &format!("({}…)", "x".repeat(299)))]
    fn reasons(#[case] reason: &str, #[case] message: &str, #[case] expected: &str) {
        let cluster = TestCluster::default().object(cluster_issuer("le").condition("False", reason, message));
        let findings = istio("shop").cert_manager("cluster-issuer", "le").findings(&cluster);
        assert!(findings.len() == 1 && findings[0].contains(expected), "{findings:?}");
    }

    /// A cached issuer can have become Ready since.
    #[test]
    fn a_rejection_reads_the_issuer_again() {
        let cluster = TestCluster::default().object(le("False"));
        istio("shop").cert_manager("cluster-issuer", "le").create(&cluster);
        assert_eq!(cluster.asked(), ["ClusterIssuer le", "ClusterIssuer le fresh"]);
    }
}
