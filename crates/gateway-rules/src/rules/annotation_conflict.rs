//! The issuer annotations contradict each other or name no issuer.
//!
//! cert-manager then writes an Event on the Gateway and does nothing else: no Certificate is created,
//! changed or deleted.
//!
//! Rejected:
//! ```yaml
//! cert-manager.io/issuer: ca
//! cert-manager.io/cluster-issuer: letsencrypt
//! ```
//! Accepted:
//! ```yaml
//! cert-manager.io/cluster-issuer: letsencrypt
//! ```

use certificate_shim::annotation::{CLUSTER_ISSUER, ISSUER};
use certificate_shim::issuer_ref::IssuerFault;

use crate::context::Context;
use crate::rule::{Findings, Rule};

/// `annotation-conflict`
pub const RULE: Rule = Rule::reject("annotation-conflict", check);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    // A ListenerSet inherits both names or neither.
    let is_inherited = context.is_inherited(ISSUER) || context.is_inherited(CLUSTER_ISSUER);
    let of_parent = || "Correct the parent Gateway, or name the issuer on this ListenerSet.".to_owned();
    for fault in context.issuer.iter().flat_map(|issuer| &issuer.faults) {
        let (problem, help) = match fault {
            IssuerFault::NoName if is_inherited => {
                ("the issuer annotation of the parent Gateway is empty".to_owned(), of_parent())
            }
            IssuerFault::NoName => (
                "it is empty".to_owned(),
                "Set it to the name of the issuer, or remove it if no certificate is wanted.".to_owned(),
            ),
            IssuerFault::IssuerAndClusterIssuer if is_inherited => (
                format!("the parent Gateway has {ISSUER} and {CLUSTER_ISSUER}, so cert-manager ignores both"),
                of_parent(),
            ),
            IssuerFault::IssuerAndClusterIssuer => (
                format!("{ISSUER} is also set, so cert-manager ignores both"),
                "Remove one of them.".to_owned(),
            ),
            IssuerFault::ClusterIssuerAndGroup | IssuerFault::ClusterIssuerAndKind => {
                let key = fault.keys().last().copied().unwrap_or_default();
                let (source, place) = if context.is_inherited(key) {
                    (" (inherited from the parent Gateway)", " from the parent Gateway")
                } else {
                    ("", "")
                };
                (
                    format!("{key} is also set{source}, and cert-manager accepts it only with {ISSUER}"),
                    format!("Remove {key}{place}, or use {ISSUER} instead."),
                )
            }
        };
        findings.report(context.issuer_path(), problem).subject(fault.to_string()).help(help);
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, gateway_api, istio, listener_set};
    use rstest::rstest;

    const NO_NAME: &str = "failed to determine issuer name to be used for ingress resource";
    const BOTH: &str =
        "both \"cert-manager.io/issuer\" and \"cert-manager.io/cluster-issuer\" may not be set";
    const GROUP: &str =
        "both \"cert-manager.io/cluster-issuer\" and \"cert-manager.io/issuer-group\" may not be set";
    const KIND: &str =
        "both \"cert-manager.io/cluster-issuer\" and \"cert-manager.io/issuer-kind\" may not be set";

    const ISSUER_PATH: &str = "metadata.annotations[cert-manager.io/issuer]";
    const PATH: &str = "metadata.annotations[cert-manager.io/cluster-issuer]";
    const PARENT: &str = "spec.parentRef";

    type Annotations = &'static [(&'static str, &'static str)];

    fn with(gateway: GatewayFixture, annotations: Annotations) -> GatewayFixture {
        annotations.iter().fold(gateway, |gateway, (key, value)| gateway.cert_manager(key, value))
    }

    fn lines(expected: &[(&str, &str)]) -> Vec<String> {
        expected
            .iter()
            .map(|(path, subject)| format!("annotation-conflict reject {path} | {subject}"))
            .collect()
    }

    #[rstest]
    #[case::none(&[], &[])]
    #[case::both(&[("issuer", "a"), ("cluster-issuer", "b")], &[(PATH, BOTH)])]
    #[case::no_name(&[("issuer", "")], &[(ISSUER_PATH, NO_NAME)])]
    #[case::no_cluster_name(&[("cluster-issuer", "")], &[(PATH, NO_NAME)])]
    #[case::group(&[("cluster-issuer", "b"), ("issuer-group", "")], &[(PATH, GROUP)])]
    #[case::everything(
        &[("issuer", "a"), ("cluster-issuer", ""), ("issuer-kind", "K"), ("issuer-group", "g")],
        &[(PATH, NO_NAME), (PATH, BOTH), (PATH, GROUP), (PATH, KIND)]
    )]
    fn on_a_gateway(#[case] annotations: Annotations, #[case] expected: &[(&str, &str)]) {
        let cluster = TestCluster::default();
        assert_eq!(with(istio("shop"), annotations).found(&cluster), lines(expected));
        assert_eq!(cluster.asked(), Vec::<String>::new(), "no issuer is looked up");
    }

    #[rstest]
    #[case::both(&[], &[("issuer", "a"), ("cluster-issuer", "b")], &[(PARENT, BOTH)])]
    #[case::no_name(&[], &[("issuer", "")], &[(PARENT, NO_NAME)])]
    #[case::kind(&[("cluster-issuer", "b")], &[("issuer-kind", "Issuer")], &[(PATH, KIND)])]
    #[case::nothing(&[("cluster-issuer", "b"), ("issuer-group", "g")], &[], &[(PATH, GROUP)])]
    fn inherited(
        #[case] own: Annotations,
        #[case] of_parent: Annotations,
        #[case] expected: &[(&str, &str)],
    ) {
        let cluster = TestCluster::default().object(with(gateway_api("web"), of_parent));
        assert_eq!(with(listener_set("extra"), own).found(&cluster), lines(expected));
    }
}
