//! A wildcard covers a whole top-level domain, and its issuer is an ACME issuer.
//!
//! Istio and Gateway API take `*.com` and `*`. No public CA does: a wildcard needs a domain of its
//! own, at least two labels after `*.`, and the Order fails for all of its names. Other issuers
//! sign it; for them there is wide-wildcard.
//!
//! Refused:
//! ```yaml
//! cert-manager.io/cluster-issuer: letsencrypt
//! # spec.servers[0].hosts: ["*.shop"]
//! ```
//! Accepted:
//! ```yaml
//! cert-manager.io/cluster-issuer: letsencrypt
//! # spec.servers[0].hosts: ["*.shop.example"]
//! ```
//! For an ACME CA of your own that signs them, turn the rule off.

use certificate_shim::annotation;

use super::{Applies, Findings, Judges, Rule};
use crate::context::{Context, annotation_path};
use crate::finding::{Level, Refusal};
use crate::issuance::issuances;
use crate::issuer;
use crate::text::quote;

/// `wildcard-below-tld`
pub const RULE: Rule = Rule {
    id: "wildcard-below-tld",
    default: Level::Reject,
    refusal: Refusal::Invalid,
    applies: Applies::Everywhere,
    judges: Judges::Annotated,
    check,
};

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    check_wildcards(context, findings, true);
}

/// Reports the wide wildcards of the Certificates that an ACME issuer signs, or of all others.
pub(super) fn check_wildcards(context: &Context<'_>, findings: &mut Findings<'_>, by_acme: bool) {
    for issuance in issuances(context) {
        let Some(first) = issuance.certificates.first() else { continue };
        let is_acme = issuance.own_issuer().is_some_and(|issuer| issuer::signs_by(issuer, "acme"));
        if is_acme != by_acme {
            continue;
        }
        let mut report = |path: String, name: &str, certificate| {
            let who = if by_acme { "no public CA signs" } else { "covers a whole top-level domain" };
            let what = match by_acme {
                true => format!("{who} {}: it leaves fewer than two labels after \"*.\"", quote(name)),
                false => format!("{} {who}", quote(name)),
            };
            let mend = "Name a domain below it, such as *.example.com.".to_owned();
            let finding = findings.push(path, name.to_owned(), what, mend).about(certificate);
            if let Some(issuer) = issuance.issuer.filter(|_| by_acme) {
                finding.resting_on(&issuer.object);
            }
        };
        for name in issuance.names() {
            if is_wide(name.text) {
                report(name.path(), name.text, name.certificate);
            }
        }
        let common_name = &first.template.common_name;
        if is_wide(common_name) {
            report(annotation_path(annotation::COMMON_NAME), common_name, None);
        }
    }
}

/// Whether fewer than two labels follow the `*.` of a wildcard.
fn is_wide(name: &str) -> bool {
    let labels = |rest: &str| rest.split('.').filter(|label| !label.is_empty()).count();
    match name.strip_prefix('*') {
        Some(rest) => (rest.is_empty() || rest.starts_with('.')) && labels(rest) < 2,
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_wide;
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, issuer, istio};
    use rstest::rstest;
    use serde_json::json;

    fn cluster() -> TestCluster {
        let acme = |name| cluster_issuer(name).ready().solvers(json!([{"dns01": {}}]));
        TestCluster::default().object(acme("le")).object(acme("other"))
    }

    fn shop(host: &str) -> GatewayFixture {
        istio("shop").cert_manager("cluster-issuer", "le").with("/spec/servers/0/hosts/0", json!(host))
    }

    #[rstest]
    #[case::top_level("*.com", true)]
    #[case::trailing_dot("*.com.", true)]
    #[case::no_label("*.", true)]
    #[case::alone("*", true)]
    #[case::two_labels("*.example.com", false)]
    #[case::no_wildcard("com", false)]
    #[case::part_of_a_label("*com", false)]
    #[case::empty("", false)]
    fn wide(#[case] name: &str, #[case] expected: bool) {
        assert_eq!(is_wide(name), expected);
    }

    const WHAT: &str = "no public CA signs \"*.com\": it leaves fewer than two labels after \"*.\". Name a domain below it, such as *.example.com.";

    #[test]
    fn hosts() {
        assert_eq!(
            shop("*.com").findings(&cluster()),
            [format!("wildcard-below-tld: spec.servers[0].hosts[0]: {WHAT}")]
        );
        let gateway = gateway_api("web").cert_manager("cluster-issuer", "le");
        assert_eq!(
            gateway.with("/spec/listeners/0/hostname", json!("*.com")).findings(&cluster()),
            [format!("wildcard-below-tld: spec.listeners[0].hostname: {WHAT}")]
        );
        assert_eq!(shop("*.example.com").findings(&cluster()), Vec::<String>::new());
    }

    #[test]
    fn names_of_annotations() {
        let gateway =
            shop("a.example.com").cert_manager("alt-names", "*.com").cert_manager("common-name", "*.com");
        assert_eq!(
            gateway.findings(&cluster()),
            [
                format!("wildcard-below-tld: metadata.annotations[cert-manager.io/alt-names]: {WHAT}"),
                format!("wildcard-below-tld: metadata.annotations[cert-manager.io/common-name]: {WHAT}"),
            ]
        );
    }

    #[test]
    fn each_namespace_has_its_own_issuer() {
        let gateway =
            istio("shop").cert_manager("issuer", "ca").with("/spec/servers/0/hosts/0", json!("*.corp"));
        let gateway =
            gateway.settings(json!({"rules": {"issuer-cross-namespace": "off"}, "gateway_namespaces": [
                {"labels": {"istio": "ingressgateway", "zone": "a"}, "namespace": "zone-a"},
                {"labels": {"istio": "ingressgateway", "zone": "b"}, "namespace": "zone-b"},
            ]}));
        let cluster = TestCluster::default()
            .object(issuer("zone-a", "ca").ready().spec(json!({"acme": {}})))
            .object(issuer("zone-b", "ca").ready().spec(json!({"ca": {}})));
        let findings = gateway.findings(&cluster);
        assert_eq!(findings.len(), 2);
        assert!(findings[0].starts_with("wildcard-below-tld: "), "{findings:?}");
        assert!(findings[1].starts_with("wide-wildcard: "), "{findings:?}");
    }

    #[rstest]
    #[case::kept(shop("*.com"), true)]
    #[case::another_host(shop("*.net"), false)]
    #[case::another_secret(shop("*.com").with("/spec/servers/0/tls/credentialName", json!("b-tls")), false)]
    #[case::another_issuer(shop("*.com").cert_manager("cluster-issuer", "other"), false)]
    fn updates(#[case] old: GatewayFixture, #[case] let_through: bool) {
        assert_eq!(shop("*.com").annotation("a", "b").update_from(&old, &cluster()).accepted, let_through);
    }
}
