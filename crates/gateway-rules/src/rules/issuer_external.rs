//! The policy cannot look the issuer up, because its kind is not in the settings.
//!
//! Issuers of other API groups belong to other controllers. Unless `issuer_kinds` lists their kind,
//! the policy knows neither their version nor whether they are namespaced, so it checks neither their
//! existence nor their readiness.
//!
//! Warned about:
//! ```yaml
//! cert-manager.io/issuer: pca
//! cert-manager.io/issuer-kind: AWSPCAClusterIssuer
//! cert-manager.io/issuer-group: awspca.cert-manager.io
//! ```
//! Accepted:
//! ```yaml
//! cert-manager.io/cluster-issuer: letsencrypt
//! ```
//! With these settings, the first one is looked up like cert-manager's own issuers:
//! ```yaml
//! issuer_kinds:
//!   - {group: awspca.cert-manager.io, kind: AWSPCAClusterIssuer, api_version: v1beta1, scope: Cluster}
//! ```

use crate::context::Context;
use crate::rule::{Findings, Rule};
use crate::text;

/// `issuer-external`
pub const RULE: Rule = Rule::warn("issuer-external", check);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let Some(reference) = context.issuer_ref() else { return };
    if !reference.is_own_group() && context.settings.issuer_kind(reference).is_none() {
        let issuer = text::issuer(reference);
        findings
            .report(
                context.issuer_path(),
                format!("{issuer} was not checked: its kind is not listed in issuer_kinds"),
            )
            .subject(issuer)
            .help("Make sure that it exists. Platform team: add its kind to issuer_kinds.");
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{TestCluster, istio};
    use rstest::rstest;
    use serde_json::{Value, json};

    const PATH: &str = "metadata.annotations[cert-manager.io/issuer]";
    const GROUP: &str = "awspca.cert-manager.io";
    const PCA: &str = "AWSPCAIssuer.awspca.cert-manager.io \"pca\"";

    fn kinds(kind: &str) -> Value {
        json!({"issuer_kinds": [{"group": GROUP, "kind": kind, "api_version": "v1", "scope": "Namespaced"}]})
    }

    #[rstest]
    #[case::no_kinds("AWSPCAIssuer", GROUP, json!({}), Some(PCA), &[])]
    #[case::another_kind("AWSPCAIssuer", GROUP, kinds("Other"), Some(PCA), &[])]
    #[case::its_kind("AWSPCAIssuer", GROUP, kinds("AWSPCAIssuer"), None, &["AWSPCAIssuer team-a/pca"])]
    #[case::cert_manager_s("Issuer", "", json!({}), None, &["Issuer team-a/pca", "ClusterIssuer pca"])]
    #[case::unknown_kind_of_cert_manager_s("AWSPCAIssuer", "", json!({}), None, &[])]
    fn found(
        #[case] kind: &str,
        #[case] group: &str,
        #[case] settings: Value,
        #[case] subject: Option<&str>,
        #[case] asked: &[&str],
    ) {
        let cluster = TestCluster::default();
        let gateway = istio("shop")
            .cert_manager("issuer", "pca")
            .cert_manager("issuer-kind", kind)
            .cert_manager("issuer-group", group)
            .settings(settings);
        let expected: Vec<String> = subject.iter().map(|pca| format!("warn {PATH} | {pca}")).collect();
        assert_eq!(gateway.found_by("issuer-external", &cluster), expected);
        assert_eq!(cluster.asked(), asked);
    }
}
