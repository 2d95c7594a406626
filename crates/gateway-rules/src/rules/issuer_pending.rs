//! The issuer does not report yet whether it can issue.
//!
//! It has no `Ready` condition, or one that is `Unknown`: the issuer was just created, cert-manager
//! does not run, or no controller serves that kind. Requests wait until the condition is `True`.
//!
//! Warned about, if Issuer `ca` has no status yet:
//! ```yaml
//! cert-manager.io/issuer: ca
//! ```
//! Accepted:
//! ```yaml
//! cert-manager.io/cluster-issuer: letsencrypt
//! ```

use crate::context::{Context, FoundIssuer};
use crate::issuer::Ready;
use crate::rule::{Findings, Rule};
use crate::text::quote;

/// `issuer-pending`
pub const RULE: Rule = Rule::warn("issuer-pending", check);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    for FoundIssuer { object, outcome } in context.issuers() {
        let Ok(issuer) = outcome else { continue };
        let problem = match Ready::of(issuer).status {
            "True" | "False" => continue,
            "" => format!("{object} has no Ready condition yet"),
            status => format!("the Ready condition of {object} is {}", quote(status)),
        };
        findings
            .report(context.issuer_path(), problem)
            .subject(object.to_string())
            .help("Wait until it is Ready. If it stays pending, check that its controller is running.")
            .rests_on(object);
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{IssuerFixture, TestCluster, issuer, istio};
    use rstest::rstest;

    const FOUND: &str =
        "warn metadata.annotations[cert-manager.io/issuer] | Issuer \"ca\" in namespace \"team-a\"";

    #[rstest]
    #[case::no_condition(issuer("team-a", "ca"), &[FOUND])]
    #[case::unknown(issuer("team-a", "ca").condition("Unknown", "", ""), &[FOUND])]
    #[case::ready(issuer("team-a", "ca").ready(), &[])]
    #[case::not_ready(issuer("team-a", "ca").condition("False", "", ""), &[])]
    #[case::absent(issuer("team-b", "ca"), &[])]
    fn found(#[case] issuer: IssuerFixture, #[case] expected: &[&str]) {
        let gateway = istio("shop").cert_manager("issuer", "ca");
        assert_eq!(gateway.found_by("issuer-pending", &TestCluster::default().object(issuer)), expected);
    }

    #[rstest]
    #[case::no_condition(issuer("team-a", "ca"), "has no Ready condition yet")]
    #[case::unknown(issuer("team-a", "ca").condition("Unknown", "", ""), "is \"Unknown\"")]
    fn problems(#[case] issuer: IssuerFixture, #[case] expected: &str) {
        let findings =
            istio("shop").cert_manager("issuer", "ca").findings(&TestCluster::default().object(issuer));
        assert!(findings.len() == 1 && findings[0].contains(expected), "{findings:?}");
    }

    /// If the level is reject, a cached issuer can have become Ready since.
    #[test]
    fn a_rejection_reads_the_issuer_again() {
        let cluster = TestCluster::default().object(issuer("team-a", "ca"));
        istio("shop").cert_manager("issuer", "ca").level("issuer-pending", "reject").create(&cluster);
        assert_eq!(cluster.asked(), ["Issuer team-a/ca", "Issuer team-a/ca fresh"]);
    }
}
