//! The issuer was changed after its `Ready` condition was written.
//!
//! What the condition says is about an earlier spec (`observedGeneration` is behind
//! `metadata.generation`): whether the issuer as it is now can issue, nobody has checked yet.
//!
//! Warned about right after an issuer was edited; accepted silently once cert-manager has looked at
//! the change:
//! ```yaml
//! cert-manager.io/issuer: ca
//! ```

use super::{Applies, Findings, Judges, Rule};
use crate::context::{Context, FoundIssuer};
use crate::finding::{Level, Refusal};
use crate::issuer::Ready;

/// `issuer-stale`
pub const RULE: Rule = Rule {
    id: "issuer-stale",
    default: Level::Warn,
    refusal: Refusal::Invalid,
    applies: Applies::Everywhere,
    judges: Judges::Annotated,
    check,
};

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    for FoundIssuer { object, outcome } in context.issuers() {
        let Ok(issuer) = outcome else { continue };
        if Ready::of(issuer).is_stale() {
            let what = format!("{object} was changed after its Ready condition was written");
            let mend = "Look at it again in a moment; if it stays, see whether cert-manager runs.";
            findings.add_resting_on(object, context.issuer_path(), what, mend);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{TestCluster, issuer, istio};
    use rstest::rstest;

    #[rstest]
    #[case::behind(2, 1, true)]
    #[case::up_to_date(2, 2, false)]
    fn stale(#[case] generation: i64, #[case] observed: i64, #[case] expected: bool) {
        let cluster =
            TestCluster::default().object(issuer("team-a", "ca").ready().generations(generation, observed));
        let expected: &[&str] = if expected {
            &[
                "issuer-stale: metadata.annotations[cert-manager.io/issuer]: Issuer \"ca\" in namespace \"team-a\" was changed after its Ready condition was written. Look at it again in a moment; if it stays, see whether cert-manager runs.",
            ]
        } else {
            &[]
        };
        assert_eq!(istio("shop").cert_manager("issuer", "ca").findings(&cluster), expected);
    }
}
