//! An annotation holds a value that cert-manager cannot read.
//!
//! One such value stops it from creating any of the Gateway's Certificates. There is no event and no
//! status: a line in the log of cert-manager's controller is all that tells.
//!
//! Refused:
//! ```yaml
//! cert-manager.io/duration: 90d
//! ```
//! Accepted:
//! ```yaml
//! cert-manager.io/duration: 2160h
//! ```
//! [annotations.md](annotations.md) says what each annotation may hold.

use super::{Applies, Findings, Judges, Rule};
use crate::context::{Context, annotation_path};
use crate::finding::{Level, Refusal};
use crate::text::{one_line, shorten};

/// `annotation-invalid`
pub const RULE: Rule = Rule {
    id: "annotation-invalid",
    default: Level::Reject,
    refusal: Refusal::Invalid,
    applies: Applies::Everywhere,
    judges: Judges::Annotated,
    check,
};

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    for fault in &context.plan.faults {
        let reason = fault.error.split_once("\": ").map_or(fault.error.as_str(), |(_, reason)| reason);
        findings.add(
            annotation_path(fault.key),
            format!("{}: {}", fault.key, fault.value),
            format!("cert-manager cannot read it ({})", shorten(&one_line(reason), 300)),
            format!("It takes {}.", fault.accepts()),
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{TestCluster, cluster_issuer, gateway_api, istio};
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case::fine(&[("duration", "2160h"), ("private-key-size", "4096")], &[])]
    #[case::days(&[("duration", "90d")], &[
        "annotation-invalid: metadata.annotations[cert-manager.io/duration]: cert-manager cannot read it (time: unknown unit \"d\" in duration \"90d\"). It takes a Go duration of at least 1h, such as 2160h or 90m; there are no days."
    ])]
    #[case::all_of_them_in_cert_managers_order(&[("usages", "server auth,none"), ("revision-history-limit", "0"), ("duration", "")], &[
        "annotation-invalid: metadata.annotations[cert-manager.io/duration]: cert-manager cannot read it (time: invalid duration \"\"). It takes a Go duration of at least 1h, such as 2160h or 90m; there are no days.",
        "annotation-invalid: metadata.annotations[cert-manager.io/usages]: cert-manager cannot read it (invalid key usage name \"none\"). It takes key usages, separated by commas, such as digital signature, key encipherment, server auth.",
        "annotation-invalid: metadata.annotations[cert-manager.io/revision-history-limit]: cert-manager cannot read it (revision history limit must be a positive number \"0\"). It takes a whole number from 1 to 2147483647.",
    ])]
    fn found(#[case] annotations: &[(&str, &str)], #[case] expected: &[&str]) {
        let cluster = TestCluster::default().object(cluster_issuer("le").ready());
        for gateway in [istio("shop"), gateway_api("web")] {
            let gateway = gateway.cert_manager("cluster-issuer", "le");
            let gateway = annotations.iter().fold(gateway, |gateway, (k, v)| gateway.cert_manager(k, v));
            assert_eq!(gateway.findings(&cluster), expected);
        }
    }

    #[test]
    fn a_value_that_spoils_nothing_is_no_finding() {
        let cluster = TestCluster::default().object(cluster_issuer("le").ready());
        let gateway = gateway_api("web").cert_manager("cluster-issuer", "le").cert_manager("duration", "90d");
        let gateway = gateway.with("/spec/listeners/0/protocol", json!("HTTP"));
        let findings = gateway.findings(&cluster);
        assert!(findings.iter().all(|finding| !finding.starts_with("annotation-invalid")), "{findings:?}");
    }

    #[rstest]
    #[case::kept("90d", true)]
    #[case::another_bad_value("91d", false)]
    fn updates(#[case] before: &str, #[case] let_through: bool) {
        let cluster = TestCluster::default().object(cluster_issuer("le").ready());
        let gateway = istio("shop").cert_manager("cluster-issuer", "le");
        let old = gateway.clone().cert_manager("duration", before);
        let new = gateway.cert_manager("duration", "90d").annotation("a", "b");
        assert_eq!(new.update_from(&old, &cluster).accepted, let_through);
    }
}
