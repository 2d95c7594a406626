//! An annotation looks like one of cert-manager's, but cert-manager does not know it.
//!
//! cert-manager ignores unknown annotations: with a misspelt `cluster-issuer` there is no certificate,
//! with a misspelt `duration` it lasts the default of 90 days. The group `certmanager.k8s.io` has not
//! been read since release 0.11. Gateways without an issuer are checked too.
//!
//! Warned about:
//! ```yaml
//! cert-manager.io/clusterissuer: letsencrypt
//! certmanager.k8s.io/issuer: ca
//! ```
//! Accepted:
//! ```yaml
//! cert-manager.io/cluster-issuer: letsencrypt
//! ```

use certificate_shim::annotation;

use crate::context::{Context, annotation_path};
use crate::rule::{Findings, Rule};

/// `annotation-unknown`
pub const RULE: Rule = Rule::warn("annotation-unknown", check).of_all();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    for key in context.written.metadata.annotations.keys() {
        if annotation::find(key).is_some() {
            continue;
        }
        let is_of_cert_manager = annotation::is_of_cert_manager(key);
        // Comparing with every key that is known is expensive.
        if is_of_cert_manager && findings.is_full() {
            findings.report("", "").subject(*key);
            continue;
        }
        let suggestion = annotation::suggestion(key);
        if !is_of_cert_manager && suggestion.is_none() {
            continue;
        }
        let problem = if annotation::is_legacy(key) {
            "cert-manager has not read annotations of this group since release 0.11"
        } else {
            "cert-manager does not know this annotation"
        };
        let help = match suggestion {
            Some(known) => format!("Rename it to {known}, or remove it."),
            None => "Correct or remove it.".to_owned(),
        };
        findings.report(annotation_path(key), problem).subject(*key).help(help);
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{TestCluster, audited, cluster_issuer, istio};
    use crate::rule::Caller;
    use rstest::rstest;

    const MENTIONED: &str = "cert-manager.io/";

    #[rstest]
    #[case::of_another_group("example.com/issuer", None)]
    #[case::known("cert-manager.io/duration", None)]
    #[case::misspelt("cert-manager.io/clusterissuer", Some("cert-manager.io/cluster-issuer"))]
    #[case::case("cert-manager.io/Duration", Some("cert-manager.io/duration"))]
    #[case::misspelt_group("cert-manger.io/issuer", Some("cert-manager.io/issuer"))]
    #[case::unknown("cert-manager.io/rate-limit", Some(""))]
    #[case::unknown_acme("acme.cert-manager.io/x", Some(""))]
    #[case::legacy("certmanager.k8s.io/issuer", Some("cert-manager.io/issuer"))]
    #[case::legacy_unknown("certmanager.k8s.io/xyz", Some(""))]
    #[case::of_a_group_below("awspca.cert-manager.io/x", None)]
    fn keys(#[case] key: &str, #[case] suggestion: Option<&str>) {
        let cluster = TestCluster::default().object(cluster_issuer("le").ready());
        let gateway = istio("shop").cert_manager("cluster-issuer", "le").annotation(key, "2160h");
        let expected =
            suggestion.map(|_| format!("annotation-unknown warn metadata.annotations[{key}] | {key}"));
        assert_eq!(gateway.found(&cluster), expected.into_iter().collect::<Vec<_>>());
        for finding in gateway.checked(&cluster, Caller::Admission).findings {
            match suggestion.unwrap_or_default() {
                "" => assert!(!finding.help.contains(MENTIONED), "{}", finding.help),
                known => assert!(finding.help.contains(&format!(" {known},")), "{}", finding.help),
            }
        }
    }

    #[test]
    fn on_a_gateway_without_an_issuer() {
        let response = istio("shop").cert_manager("clusterissuer", "le").create(&TestCluster::default());
        assert!(response.accepted);
        assert_eq!(
            audited(&response),
            ["annotation-unknown warn metadata.annotations[cert-manager.io/clusterissuer]"]
        );
    }

    #[test]
    fn a_key_with_control_characters_is_shown_quoted() {
        let gateway = istio("shop").cert_manager("x\n\u{1b}[2J", "");
        let finding = &gateway.checked(&TestCluster::default(), Caller::Admission).findings[0];
        assert!(!finding.path.contains(char::is_control), "{:?}", finding.path);
    }
}
