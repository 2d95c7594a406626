//! The issuer was changed after its `Ready` condition was written.
//!
//! The condition is about an earlier spec (its `observedGeneration` is less than
//! `metadata.generation`). Whether the issuer can issue with its present spec is not known yet.
//!
//! Warned about, right after Issuer `ca` was edited:
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

/// `issuer-stale`
pub const RULE: Rule = Rule::warn("issuer-stale", check);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    for FoundIssuer { object, outcome } in context.issuers() {
        let Ok(issuer) = outcome else { continue };
        if Ready::of(issuer).is_stale() {
            let problem = format!("{object} was changed after its Ready condition was written");
            findings
                .report(context.issuer_path(), problem)
                .subject(object.to_string())
                .help(
                    "Check its status again later. If it stays behind, check that its controller is running.",
                )
                .rests_on(object);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{IssuerFixture, TestCluster, issuer, istio};
    use rstest::rstest;

    const FOUND: &str =
        "warn metadata.annotations[cert-manager.io/issuer] | Issuer \"ca\" in namespace \"team-a\"";

    fn ca(generation: i64, observed: i64) -> IssuerFixture {
        issuer("team-a", "ca").ready().generations(generation, observed)
    }

    #[rstest]
    #[case::behind(ca(2, 1), &[FOUND])]
    #[case::up_to_date(ca(2, 2), &[])]
    #[case::no_generations(issuer("team-a", "ca").ready(), &[])]
    #[case::absent(issuer("team-b", "ca").ready().generations(2, 1), &[])]
    fn found(#[case] issuer: IssuerFixture, #[case] expected: &[&str]) {
        let gateway = istio("shop").cert_manager("issuer", "ca");
        assert_eq!(gateway.found_by("issuer-stale", &TestCluster::default().object(issuer)), expected);
    }

    /// If the level is reject, a cached issuer can be older than the API server's.
    #[test]
    fn a_rejection_reads_the_issuer_again() {
        let cluster = TestCluster::default().object(ca(2, 1));
        istio("shop").cert_manager("issuer", "ca").level("issuer-stale", "reject").create(&cluster);
        assert_eq!(cluster.asked(), ["Issuer team-a/ca", "Issuer team-a/ca fresh"]);
    }
}
