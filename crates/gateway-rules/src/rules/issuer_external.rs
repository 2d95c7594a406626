//! The issuer is of a kind that this policy cannot look up.
//!
//! Issuers of other API groups are somebody else's to serve. Unless settings name their kind under
//! `issuer_kinds`, neither its existence nor its readiness is checked.
//!
//! Warned about:
//! ```yaml
//! cert-manager.io/issuer: pca
//! cert-manager.io/issuer-kind: AWSPCAClusterIssuer
//! cert-manager.io/issuer-group: awspca.cert-manager.io
//! ```
//! Accepted silently, and looked up, with
//! `issuer_kinds: [{group: awspca.cert-manager.io, kind: AWSPCAClusterIssuer, api_version: v1beta1, scope: Cluster}]`.

use super::{Applies, Findings, Judges, Rule};
use crate::context::Context;
use crate::finding::{Level, Refusal};
use crate::text;

/// `issuer-external`
pub const RULE: Rule = Rule {
    id: "issuer-external",
    default: Level::Warn,
    refusal: Refusal::Invalid,
    applies: Applies::Everywhere,
    judges: Judges::Annotated,
    check,
};

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let Some(reference) = context.issuer_ref() else { return };
    if !reference.is_own_group() && context.settings.issuer_kind(reference).is_none() {
        let issuer = text::issuer(reference);
        findings.add(
            context.issuer_path(),
            issuer.clone(),
            format!("{issuer} was not looked up, because settings do not name its kind"),
            "Make sure that it exists; the platform team can add its kind to issuer_kinds.",
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{TestCluster, istio};
    use rstest::rstest;
    use serde_json::{Value, json};

    #[rstest]
    #[case::not_named(json!({}), &[], &[
        "issuer-external: metadata.annotations[cert-manager.io/issuer]: AWSPCAIssuer.awspca.cert-manager.io \"pca\" was not looked up, because settings do not name its kind. Make sure that it exists; the platform team can add its kind to issuer_kinds."
    ])]
    #[case::other_kind_named(
        json!({"issuer_kinds": [{"group": "awspca.cert-manager.io", "kind": "AWSPCAClusterIssuer", "api_version": "v1beta1", "scope": "Cluster"}]}),
        &[], &[
        "issuer-external: metadata.annotations[cert-manager.io/issuer]: AWSPCAIssuer.awspca.cert-manager.io \"pca\" was not looked up, because settings do not name its kind. Make sure that it exists; the platform team can add its kind to issuer_kinds."
    ])]
    #[case::named(
        json!({"issuer_kinds": [{"group": "awspca.cert-manager.io", "kind": "AWSPCAIssuer", "api_version": "v1beta1", "scope": "Namespaced"}]}),
        &["AWSPCAIssuer team-a/pca"], &[
        "issuer-not-found: metadata.annotations[cert-manager.io/issuer]: there is no AWSPCAIssuer \"pca\" in namespace \"team-a\". Correct the name, or create it first (if both come with one apply: dependsOn or a sync wave)."
    ])]
    fn external(#[case] settings: Value, #[case] asked: &[&str], #[case] expected: &[&str]) {
        let cluster = TestCluster::default();
        let gateway = istio("shop")
            .cert_manager("issuer", "pca")
            .cert_manager("issuer-kind", "AWSPCAIssuer")
            .cert_manager("issuer-group", "awspca.cert-manager.io")
            .settings(settings);
        assert_eq!(gateway.findings(&cluster), expected);
        assert_eq!(cluster.asked(), asked);
    }
}
