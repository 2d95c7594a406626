//! The issuer exists and says that it cannot issue.
//!
//! cert-manager lets requests wait for an issuer whose `Ready` condition is `False`: a CA whose
//! Secret is missing, an ACME account that could not be registered. The condition's own reason is
//! in the message. A refusal that rests on a cached object is checked against the API server first.
//!
//! Refused, while the ClusterIssuer's condition is `Ready=False`; accepted as soon as it is `True`:
//! ```yaml
//! cert-manager.io/cluster-issuer: letsencrypt-production
//! ```

use super::{Applies, Findings, Judges, Rule};
use crate::context::{Context, FoundIssuer};
use crate::finding::{Level, Refusal};
use crate::issuer::Ready;
use crate::text::{one_line, quote, shorten};

/// `issuer-not-ready`
pub const RULE: Rule = Rule {
    id: "issuer-not-ready",
    default: Level::Reject,
    refusal: Refusal::Invalid,
    applies: Applies::Everywhere,
    judges: Judges::Annotated,
    check,
};

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    for FoundIssuer { object, outcome } in context.issuers() {
        let Ok(issuer) = outcome else { continue };
        let ready = Ready::of(issuer);
        if ready.status != "False" {
            continue;
        }
        let reason = match (one_line(ready.reason), one_line(ready.message)) {
            (reason, message) if message.is_empty() => quote(&reason),
            (reason, message) => format!("{}: {}", shorten(&reason, 60), shorten(&message, 300)),
        };
        let what = format!("{object} cannot issue now ({})", reason.trim_end_matches('.'));
        findings.add_resting_on(
            object,
            context.issuer_path(),
            what,
            "Wait until its Ready condition is True, have it mended, or name another issuer.",
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{TestCluster, cluster_issuer, istio};
    use rstest::rstest;

    const MEND: &str = "Wait until its Ready condition is True, have it mended, or name another issuer.";

    #[rstest]
    #[case::with_message(
        "ErrRegisterACMEAccount",
        "Failed to register:\n 503.",
        "ClusterIssuer \"le\" cannot issue now (ErrRegisterACMEAccount: Failed to register: 503)"
    )]
    #[case::without_message("ErrGetKeyPair", "", "ClusterIssuer \"le\" cannot issue now (\"ErrGetKeyPair\")")]
    fn not_ready(#[case] reason: &str, #[case] message: &str, #[case] expected: &str) {
        let cluster = TestCluster::default().object(cluster_issuer("le").condition("False", reason, message));
        assert_eq!(
            istio("shop").cert_manager("cluster-issuer", "le").findings(&cluster),
            [format!(
                "issuer-not-ready: metadata.annotations[cert-manager.io/cluster-issuer]: {expected}. {MEND}"
            )]
        );
    }

    #[test]
    fn ready() {
        let cluster = TestCluster::default().object(cluster_issuer("le").ready());
        assert_eq!(
            istio("shop").cert_manager("cluster-issuer", "le").findings(&cluster),
            Vec::<String>::new()
        );
    }

    #[test]
    fn the_reason_is_bounded() {
        let cluster =
            TestCluster::default().object(cluster_issuer("le").condition("False", "R", &"x".repeat(9999)));
        let findings = istio("shop").cert_manager("cluster-issuer", "le").findings(&cluster);
        assert!(findings[0].len() < 600, "{}", findings[0].len());
    }
}
