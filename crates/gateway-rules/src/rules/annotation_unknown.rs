//! An annotation looks like one of cert-manager's, and is none.
//!
//! cert-manager ignores what it does not know: a misspelt `cluster-issuer` gets no certificate, a
//! misspelt `duration` the default of 90 days. The group `certmanager.k8s.io` was given up with
//! release 0.11.
//!
//! Warned about, on Gateways without an issuer, too:
//! ```yaml
//! cert-manager.io/clusterissuer: letsencrypt
//! certmanager.k8s.io/issuer: ca
//! ```
//! Accepted silently:
//! ```yaml
//! cert-manager.io/cluster-issuer: letsencrypt
//! ```

use certificate_shim::annotation;

use super::{Applies, Findings, Judges, Rule};
use crate::context::{Context, annotation_path};
use crate::finding::{Level, Refusal};
use crate::text::shorten;

/// `annotation-unknown`
pub const RULE: Rule = Rule {
    id: "annotation-unknown",
    default: Level::Warn,
    refusal: Refusal::Invalid,
    applies: Applies::Everywhere,
    judges: Judges::All,
    check,
};

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    for key in context.gateway.metadata.annotations.keys() {
        if annotation::find(key).is_some() {
            continue;
        }
        let suggestion = annotation::suggestion(key);
        let legacy = annotation::is_legacy(key);
        let resembles =
            legacy || key.starts_with("cert-manager.io/") || key.starts_with("acme.cert-manager.io/");
        if !resembles && suggestion.is_none() {
            continue;
        }
        let what = if legacy {
            "cert-manager does not read annotations of that group since release 0.11"
        } else {
            "cert-manager does not know it"
        };
        let mend = match suggestion {
            Some(meant) => format!("Did you mean {meant}?"),
            None => "Correct or remove it.".to_owned(),
        };
        findings.add(annotation_path(&shorten(key, 120)), *key, what, mend);
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{TestCluster, cluster_issuer, istio};
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case::none("example.com/issuer", None)]
    #[case::known("cert-manager.io/duration", None)]
    #[case::misspelt(
        "cert-manager.io/clusterissuer",
        Some("cert-manager does not know it. Did you mean cert-manager.io/cluster-issuer?")
    )]
    #[case::case(
        "cert-manager.io/Duration",
        Some("cert-manager does not know it. Did you mean cert-manager.io/duration?")
    )]
    #[case::misspelt_group(
        "cert-manger.io/issuer",
        Some("cert-manager does not know it. Did you mean cert-manager.io/issuer?")
    )]
    #[case::unknown(
        "cert-manager.io/rate-limit",
        Some("cert-manager does not know it. Correct or remove it.")
    )]
    #[case::unknown_acme(
        "acme.cert-manager.io/x",
        Some("cert-manager does not know it. Correct or remove it.")
    )]
    #[case::legacy(
        "certmanager.k8s.io/issuer",
        Some(
            "cert-manager does not read annotations of that group since release 0.11. Did you mean cert-manager.io/issuer?"
        )
    )]
    #[case::legacy_unknown(
        "certmanager.k8s.io/xyz",
        Some(
            "cert-manager does not read annotations of that group since release 0.11. Correct or remove it."
        )
    )]
    #[case::another_of_its_groups("awspca.cert-manager.io/x", None)]
    fn found(#[case] key: &str, #[case] expected: Option<&str>) {
        let cluster = TestCluster::default().object(cluster_issuer("le").ready());
        let gateway = istio("shop").cert_manager("cluster-issuer", "le").annotation(key, "2160h");
        let expected: Vec<String> = expected
            .map(|text| format!("annotation-unknown: metadata.annotations[{key}]: {text}"))
            .into_iter()
            .collect();
        assert_eq!(gateway.findings(&cluster), expected);
    }

    #[test]
    fn on_a_gateway_that_names_no_issuer() {
        let gateway = istio("shop").cert_manager("clusterissuer", "le");
        let answer = gateway.create(&TestCluster::default());
        assert!(answer.accepted);
        assert_eq!(
            answer.warnings,
            [
                "annotation-unknown: metadata.annotations[cert-manager.io/clusterissuer]: cert-manager does not know it. Did you mean cert-manager.io/cluster-issuer?"
            ]
        );
    }

    #[test]
    fn as_a_refusal_it_is_ratcheted() {
        let strict = |gateway: crate::fixtures::GatewayFixture| {
            gateway.settings(json!({"rules": {"annotation-unknown": "reject"}}))
        };
        let old = strict(istio("shop").cert_manager("clusterissuer", "le"));
        let cluster = TestCluster::default();
        assert!(!old.create(&cluster).accepted);
        assert!(old.clone().annotation("a", "b").update_from(&old, &cluster).accepted);
        assert!(!old.clone().cert_manager("isuer", "le").update_from(&old, &cluster).accepted);
    }
}
