//! A wildcard covers a whole top-level domain, and its issuer is an ACME issuer.
//!
//! Istio and Gateway API accept `*.com` and `*`, but no public CA signs them: a wildcard needs at least two
//! labels after `*.`. The Order fails for all of its names. The rule counts labels and has no public
//! suffix list, so `*.co.uk` is not reported, although no public CA signs it either. Other issuers sign
//! such wildcards; for them there is wide-wildcard.
//!
//! Rejected:
//! ```yaml
//! hosts: ["*.shop"]
//! ```
//! Accepted:
//! ```yaml
//! hosts: ["*.shop.example"]
//! ```
//! If your own ACME CA signs such wildcards, turn the rule off.

use certificate_shim::Certificate;
use certificate_shim::annotation;

use crate::context::{Context, annotation_path};
use crate::issuance::{Name, issuances};
use crate::issuer;
use crate::rule::{Findings, Rule};
use crate::text::quote;

/// `wildcard-below-tld`
pub const RULE: Rule = Rule::reject("wildcard-below-tld", check);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    check_wildcards(context, findings, true);
}

/// Reports the wide wildcards of the Certificates that an ACME issuer signs, or of all others.
pub(super) fn check_wildcards(context: &Context<'_>, findings: &mut Findings<'_>, by_acme: bool) {
    for issuance in issuances(context) {
        let is_acme = issuance.own_issuer().is_some_and(|issuer| issuer::signs_by(issuer, "acme"));
        if is_acme != by_acme {
            continue;
        }
        let mut report = |path: String, name: &str, certificate: Option<&Certificate>| {
            let problem = if by_acme {
                format!(
                    "no public CA signs {}: a wildcard needs at least two labels after \"*.\"",
                    quote(name)
                )
            } else {
                format!("{} covers a whole top-level domain", quote(name))
            };
            let finding = findings
                .report(path, problem)
                .subject(name)
                .help("Use a wildcard in your own domain, such as *.example.com.")
                .about(certificate.map(Certificate::secret));
            if let Some(issuer) = issuance.issuer {
                finding.rests_on(&issuer.object);
            }
        };
        // hostname-any reports a listener for every host.
        let is_any_host = |name: &Name<'_>| name.text == "*" && name.certificate.is_some();
        for name in issuance.names().filter(|name| is_wide(name.text) && !is_any_host(name)) {
            report(name.path(), name.text, name.certificate);
        }
        let common_name = &issuance.template.common_name;
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
    use crate::rule::Caller;
    use rstest::rstest;
    use serde_json::json;

    fn cluster() -> TestCluster {
        TestCluster::default().object(cluster_issuer("le").ready().solvers(json!([{"dns01": {}}])))
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
    #[case::public_suffix("*.co.uk", false)]
    #[case::no_wildcard("com", false)]
    #[case::part_of_a_label("*com", false)]
    #[case::empty("", false)]
    fn wide(#[case] name: &str, #[case] expected: bool) {
        assert_eq!(is_wide(name), expected);
    }

    #[rstest]
    #[case::istio(shop("*.com"), "spec.servers[0].hosts[0]")]
    #[case::gateway_api(
        gateway_api("web")
            .cert_manager("cluster-issuer", "le")
            .with("/spec/listeners/0/hostname", json!("*.com")),
        "spec.listeners[0].hostname"
    )]
    #[case::alternative(
        shop("a.example.com").cert_manager("alt-names", "*.com"),
        "metadata.annotations[cert-manager.io/alt-names]"
    )]
    fn reported(#[case] gateway: GatewayFixture, #[case] path: &str) {
        assert_eq!(gateway.found(&cluster()), [format!("wildcard-below-tld reject {path} | *.com")]);
    }

    #[test]
    fn two_labels_are_accepted() {
        assert_eq!(shop("*.example.com").found(&cluster()), Vec::<String>::new());
    }

    #[test]
    fn hosts_are_of_one_certificate_and_common_names_of_all() {
        let gateway = shop("*.com").cert_manager("common-name", "*.com");
        let findings = gateway.checked(&cluster(), Caller::Admission).findings;
        let found: Vec<_> = findings
            .iter()
            .map(|finding| (finding.path.as_str(), finding.certificate.as_ref().map(ToString::to_string)))
            .collect();
        assert_eq!(
            found,
            [
                ("spec.servers[0].hosts[0]", Some("team-a/shop-tls".to_owned())),
                ("metadata.annotations[cert-manager.io/common-name]", None),
            ]
        );
    }

    #[test]
    fn each_namespace_has_its_own_issuer() {
        let gateway = istio("shop").cert_manager("issuer", "ca").settings(
            json!({"rules": {"issuer-cross-namespace": "off"}, "gateway_namespaces": [
                {"labels": {"istio": "ingressgateway", "zone": "a"}, "namespace": "zone-a"},
                {"labels": {"istio": "ingressgateway", "zone": "b"}, "namespace": "zone-b"},
            ]}),
        );
        let cluster = TestCluster::default()
            .object(issuer("zone-a", "ca").ready().spec(json!({"acme": {}})))
            .object(issuer("zone-b", "ca").ready().spec(json!({"ca": {}})));
        let gateway = gateway.with("/spec/servers/0/hosts/0", json!("*.corp"));
        assert_eq!(gateway.rules(&cluster), ["wildcard-below-tld reject", "wide-wildcard warn"]);
    }

    #[test]
    fn a_rejection_is_checked_with_a_fresh_issuer() {
        let cluster = cluster();
        assert!(!shop("*.com").create(&cluster).accepted);
        assert_eq!(cluster.asked(), ["ClusterIssuer le", "ClusterIssuer le fresh"]);
    }
}
