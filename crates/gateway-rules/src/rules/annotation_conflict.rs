//! The issuer annotations contradict each other, or name nothing.
//!
//! cert-manager then writes one event on the Gateway and does nothing else: no Certificate is
//! created, changed or deleted.
//!
//! Refused:
//! ```yaml
//! cert-manager.io/issuer: ca
//! cert-manager.io/cluster-issuer: letsencrypt-production
//! ```
//! Accepted:
//! ```yaml
//! cert-manager.io/cluster-issuer: letsencrypt-production
//! ```

use certificate_shim::annotation;
use certificate_shim::issuer_ref::IssuerFault;

use super::{Applies, Findings, Judges, Rule};
use crate::context::Context;
use crate::finding::{Level, Refusal};

/// `annotation-conflict`
pub const RULE: Rule = Rule {
    id: "annotation-conflict",
    default: Level::Reject,
    refusal: Refusal::Invalid,
    applies: Applies::Everywhere,
    judges: Judges::Annotated,
    check,
};

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    for fault in context.issuer.iter().flat_map(|issuer| &issuer.faults) {
        let path = match fault {
            IssuerFault::NoName => context.issuer_path(),
            IssuerFault::IssuerAndClusterIssuer
            | IssuerFault::ClusterIssuerAndGroup
            | IssuerFault::ClusterIssuerAndKind => context.path_of(annotation::CLUSTER_ISSUER),
        };
        let (what, mend) = match fault {
            IssuerFault::NoName => (
                "it names no issuer".to_owned(),
                "Give the issuer's name, or remove the annotation if no certificate is wanted.".to_owned(),
            ),
            IssuerFault::IssuerAndClusterIssuer => (
                format!("{} is there too, and cert-manager takes neither", annotation::ISSUER),
                "Keep the one that is meant.".to_owned(),
            ),
            IssuerFault::ClusterIssuerAndGroup | IssuerFault::ClusterIssuerAndKind => {
                let key = fault.keys().last().copied().unwrap_or_default();
                let by = if context.is_inherited(key) { ", inherited from the parent Gateway" } else { "" };
                (
                    format!(
                        "{key} is there too{by}, and cert-manager takes it with {} only",
                        annotation::ISSUER
                    ),
                    format!("Remove {key}, or name the issuer with {}.", annotation::ISSUER),
                )
            }
        };
        findings.add(path, fault.to_string(), what, mend);
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{TestCluster, gateway_api, istio, listener_set};
    use rstest::rstest;

    const BOTH: &str = "annotation-conflict: metadata.annotations[cert-manager.io/cluster-issuer]: cert-manager.io/issuer is there too, and cert-manager takes neither. Keep the one that is meant.";
    const GROUP: &str = "annotation-conflict: metadata.annotations[cert-manager.io/cluster-issuer]: cert-manager.io/issuer-group is there too, and cert-manager takes it with cert-manager.io/issuer only. Remove cert-manager.io/issuer-group, or name the issuer with cert-manager.io/issuer.";
    const KIND: &str = "annotation-conflict: metadata.annotations[cert-manager.io/cluster-issuer]: cert-manager.io/issuer-kind is there too, and cert-manager takes it with cert-manager.io/issuer only. Remove cert-manager.io/issuer-kind, or name the issuer with cert-manager.io/issuer.";
    const NO_NAME: &str = "annotation-conflict: metadata.annotations[cert-manager.io/issuer]: it names no issuer. Give the issuer's name, or remove the annotation if no certificate is wanted.";
    const NO_CLUSTER_NAME: &str = "annotation-conflict: metadata.annotations[cert-manager.io/cluster-issuer]: it names no issuer. Give the issuer's name, or remove the annotation if no certificate is wanted.";

    #[rstest]
    #[case::none_of_it(&[], &[])]
    #[case::both(&[("issuer", "a"), ("cluster-issuer", "b")], &[BOTH])]
    #[case::no_name(&[("issuer", "")], &[NO_NAME])]
    #[case::no_cluster_name(&[("cluster-issuer", "")], &[NO_CLUSTER_NAME])]
    #[case::group(&[("cluster-issuer", "b"), ("issuer-group", "")], &[GROUP])]
    #[case::everything(
        &[("issuer", "a"), ("cluster-issuer", ""), ("issuer-kind", "K"), ("issuer-group", "g")],
        &[NO_CLUSTER_NAME, BOTH, GROUP, KIND]
    )]
    fn found(#[case] annotations: &[(&str, &str)], #[case] expected: &[&str]) {
        let gateway = annotations.iter().fold(istio("shop"), |gateway, (k, v)| gateway.cert_manager(k, v));
        let cluster = TestCluster::default();
        assert_eq!(gateway.findings(&cluster), expected);
        assert_eq!(cluster.asked(), Vec::<String>::new(), "an issuer that nobody named is not looked up");
    }

    #[test]
    fn what_a_listener_set_inherits() {
        let parent = gateway_api("web").cert_manager("issuer-kind", "ClusterIssuer");
        let cluster = TestCluster::default().object(parent);
        let text = KIND.replace(" is there too", " is there too, inherited from the parent Gateway");
        assert_eq!(listener_set("extra").cert_manager("cluster-issuer", "b").findings(&cluster), [text]);

        let parent = gateway_api("web").cert_manager("issuer", "a").cert_manager("cluster-issuer", "b");
        let cluster = TestCluster::default().object(parent);
        let text = BOTH.replace("metadata.annotations[cert-manager.io/cluster-issuer]", "spec.parentRef");
        assert_eq!(listener_set("extra").findings(&cluster), [text]);
    }
}
