//! The issuer exists, and nobody knows yet whether it can issue.
//!
//! It has no `Ready` condition, or one that is `Unknown`: it was just created, cert-manager does
//! not run, or no controller serves that kind. Requests wait until the condition is `True`.
//!
//! Warned about, while the Issuer has no status; accepted silently as soon as it is Ready:
//! ```yaml
//! cert-manager.io/issuer: ca
//! ```

use super::{Applies, Findings, Judges, Rule};
use crate::context::{Context, FoundIssuer};
use crate::finding::{Level, Refusal};
use crate::issuer::Ready;
use crate::text::quote;

/// `issuer-pending`
pub const RULE: Rule = Rule {
    id: "issuer-pending",
    default: Level::Warn,
    refusal: Refusal::Invalid,
    applies: Applies::Everywhere,
    judges: Judges::Annotated,
    check,
};

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    for FoundIssuer { object, outcome } in context.issuers() {
        let Ok(issuer) = outcome else { continue };
        let what = match Ready::of(issuer).status {
            "True" | "False" => continue,
            "" => format!("{object} has no Ready condition yet"),
            status => format!("the Ready condition of {object} is {}", quote(status)),
        };
        let mend = "Certificates wait until it is True; if it stays, see whether cert-manager runs.";
        findings.add_resting_on(object, context.issuer_path(), what, mend);
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{IssuerFixture, TestCluster, issuer, istio};
    use rstest::rstest;

    #[rstest]
    #[case::no_status(
        issuer("team-a", "ca"),
        Some("Issuer \"ca\" in namespace \"team-a\" has no Ready condition yet")
    )]
    #[case::unknown(
        issuer("team-a", "ca").condition("Unknown", "", ""),
        Some("the Ready condition of Issuer \"ca\" in namespace \"team-a\" is \"Unknown\"")
    )]
    #[case::ready(issuer("team-a", "ca").ready(), None)]
    fn pending(#[case] issuer: IssuerFixture, #[case] expected: Option<&str>) {
        let cluster = TestCluster::default().object(issuer);
        let expected: Vec<String> = expected
            .map(|what| format!("issuer-pending: metadata.annotations[cert-manager.io/issuer]: {what}. Certificates wait until it is True; if it stays, see whether cert-manager runs."))
            .into_iter()
            .collect();
        assert_eq!(istio("shop").cert_manager("issuer", "ca").findings(&cluster), expected);
    }
}
