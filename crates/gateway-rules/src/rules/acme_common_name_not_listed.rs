//! The common name is not among the names of a Certificate of an ACME issuer.
//!
//! An ACME Order proves names, and the common name has to be one of them: the same text stands in
//! the hosts, in `alt-names` or in `ip-sans`. cert-manager fails the request for good where it is
//! not. Every Secret of the Gateway has a Certificate of its own, with that common name in each.
//!
//! Refused:
//! ```yaml
//! cert-manager.io/cluster-issuer: letsencrypt
//! cert-manager.io/common-name: Shop
//! # spec.servers[0].hosts: [shop.example.com]
//! ```
//! Accepted:
//! ```yaml
//! cert-manager.io/cluster-issuer: letsencrypt
//! cert-manager.io/common-name: shop.example.com
//! # spec.servers[0].hosts: [shop.example.com]
//! ```

use std::net::IpAddr;

use certificate_shim::Certificate;
use certificate_shim::annotation;
use certificate_shim::certificate::wildcard_over;
use certificate_shim::gateway::GatewayKind;

use super::{Applies, Findings, Judges, Rule};
use crate::context::{Context, annotation_path};
use crate::finding::{Level, Refusal};
use crate::issuance::acme_issuances;
use crate::text::quote;

/// `acme-common-name-not-listed`
pub const RULE: Rule = Rule {
    id: "acme-common-name-not-listed",
    default: Level::Reject,
    refusal: Refusal::Invalid,
    applies: Applies::Everywhere,
    judges: Judges::Annotated,
    check,
};

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    for found in acme_issuances(context) {
        let Some(first) = found.issuance.certificates.first() else { continue };
        let name = first.template.common_name.as_str();
        let is_added = first.template.alt_names.iter().any(|added| added == name)
            || first.template.ip_sans.iter().any(|added| is_address(added, name));
        if name.is_empty() {
            continue;
        }
        let lower = name.to_ascii_lowercase();
        let wildcard = wildcard_over(&lower);
        for certificate in &found.issuance.certificates {
            let has = |wanted: &&str| {
                certificate.hosts.iter().any(|host| host.name == *wanted)
                    || first.template.alt_names.iter().any(|added| added == wanted)
            };
            // An Istio Gateway's Certificate leaves out a name that another of its names is or covers.
            let others = [Some(lower.as_str()), wildcard.as_deref()].into_iter().flatten();
            let covering = others.filter(|other| is_istio(certificate) && *other != name).find(has);
            let is_host =
                certificate.hosts.iter().any(|host| host.name == name || is_address(&host.name, name));
            if is_host || (is_added && covering.is_none()) {
                continue;
            }
            let secret = certificate.secret();
            let what = format!(
                "{} is not among the names of Certificate {secret}, and {} is an ACME issuer",
                quote(name),
                found.object
            );
            let mend = match covering {
                Some(wildcard) => {
                    format!("Use {} instead, or remove the annotation.", quote(wildcard))
                }
                None => format!(
                    "Use one of its names, add it to {}, or remove the annotation.",
                    annotation::ALT_NAMES
                ),
            };
            findings
                .push(annotation_path(annotation::COMMON_NAME), name.to_owned(), what, mend)
                .about(Some(certificate))
                .resting_on(found.object);
        }
    }
}

fn is_istio(certificate: &Certificate) -> bool {
    certificate.template.owner.kind == GatewayKind::Istio
}

/// Whether `name` is that address as Go writes it: the common name is compared as text with the
/// addresses of the request. Forms that only differ in how zeros are cut short are let through.
fn is_address(address: &str, name: &str) -> bool {
    let parse = |text: &str| text.parse::<IpAddr>().ok().map(|address| address.to_canonical());
    let as_go = !name.bytes().any(|byte| byte.is_ascii_uppercase()) && !name.starts_with("::ffff:");
    as_go && parse(name).is_some_and(|name| parse(address) == Some(name))
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio};
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::{Value, json};

    fn cluster() -> TestCluster {
        let acme = |name| cluster_issuer(name).ready().spec(json!({"acme": {}}));
        let ca = cluster_issuer("ca").ready().spec(json!({"ca": {"secretName": "ca"}}));
        TestCluster::default().object(acme("le")).object(acme("other")).object(ca)
    }

    fn named(gateway: GatewayFixture, name: &str) -> GatewayFixture {
        gateway.cert_manager("cluster-issuer", "le").cert_manager("common-name", name)
    }

    fn hosts(hosts: Value) -> GatewayFixture {
        istio("shop").with("/spec/servers/0/hosts", hosts)
    }

    #[rstest]
    #[case::the_host(istio("shop"), "shop.team-a.example.com")]
    #[case::gateway_api(gateway_api("web"), "web.team-a.example.com")]
    #[case::none(istio("shop"), "")]
    #[case::alternative(istio("shop").cert_manager("alt-names", "a.example.com"), "a.example.com")]
    #[case::address(istio("shop").cert_manager("ip-sans", "192.0.2.1"), "192.0.2.1")]
    #[case::address_as_go_writes_it(gateway_api("web").cert_manager("ip-sans", "2001:DB8:0:0::1"), "2001:db8::1")]
    #[case::mapped_address(gateway_api("web").cert_manager("ip-sans", "::ffff:192.0.2.1"), "192.0.2.1")]
    #[case::the_wildcard(hosts(json!(["*.example.com", "a.example.com"])), "*.example.com")]
    fn is_among_the_names(#[case] gateway: GatewayFixture, #[case] name: &str) {
        assert_eq!(named(gateway, name).findings(&cluster()), Vec::<String>::new());
    }

    #[rstest]
    #[case::a_title(istio("shop"), "Shop", "team-a/shop-tls")]
    #[case::gateway_api(gateway_api("web"), "Web", "team-a/web-tls")]
    #[case::case_matters(gateway_api("web"), "WEB.team-a.example.com", "team-a/web-tls")]
    #[case::address_in_another_form(istio("shop").cert_manager("ip-sans", "2001:db8::1"), "2001:DB8::1", "team-a/shop-tls")]
    fn is_not(#[case] gateway: GatewayFixture, #[case] name: &str, #[case] secret: &str) {
        assert_eq!(
            named(gateway, name).findings(&cluster()),
            [format!(
                "acme-common-name-not-listed: metadata.annotations[cert-manager.io/common-name]: \"{name}\" is not among the names of Certificate {secret}, and ClusterIssuer \"le\" is an ACME issuer. Use one of its names, add it to cert-manager.io/alt-names, or remove the annotation."
            )]
        );
    }

    #[rstest]
    #[case::host(hosts(json!(["*.example.com", "a.example.com"])))]
    #[case::alternative(hosts(json!(["*.example.com"])).cert_manager("alt-names", "a.example.com"))]
    #[case::both_alternatives(istio("shop").cert_manager("alt-names", "a.example.com,*.example.com"))]
    fn is_left_out_for_a_wildcard(#[case] gateway: GatewayFixture) {
        let findings = named(gateway, "a.example.com").findings(&cluster());
        assert_eq!(findings.len(), 1);
        assert!(
            findings[0].ends_with("Use \"*.example.com\" instead, or remove the annotation."),
            "{findings:?}"
        );
    }

    #[test]
    fn is_left_out_for_the_same_in_lower_case() {
        let gateway = istio("shop").cert_manager("alt-names", "SHOP.team-a.example.com");
        let findings = named(gateway, "SHOP.team-a.example.com").findings(&cluster());
        assert_eq!(findings.len(), 1);
        assert!(findings[0].contains("Use \"shop.team-a.example.com\" instead"), "{findings:?}");
    }

    proptest! {
        /// It is found where the Certificate that is created has no such name.
        #[test]
        fn found_as_created(
            hosts in prop::collection::vec("(\\*|[ab])\\.(x|c\\.x)", 1..3),
            alt_names in prop::collection::vec("(\\*|[abA])\\.(x|c\\.x)", 1..4),
            name in "(\\*|[abAB])\\.(x|c\\.x)",
        ) {
            let web = gateway_api("web").with("/spec/listeners/0/hostname", json!(hosts[0]));
            for gateway in [istio("shop").with("/spec/servers/0/hosts", json!(hosts)), web] {
                let gateway = named(gateway, &name).cert_manager("alt-names", &alt_names.join(","));
                let created = gateway.in_context(&cluster(), |context| {
                    context.plan.certificates[0].dns_names().contains(&name.as_str())
                });
                let found = gateway.findings(&cluster()).iter().any(|finding| finding.starts_with("acme-common-name-not-listed"));
                prop_assert_eq!(found, !created);
            }
        }
    }

    #[test]
    fn every_certificate_needs_it() {
        let gateway = named(istio("shop"), "shop.team-a.example.com").push(
            "/spec/servers",
            json!({
                "port": {"number": 8443, "name": "b", "protocol": "HTTPS"},
                "hosts": ["b.example.com"], "tls": {"mode": "SIMPLE", "credentialName": "b-tls"},
            }),
        );
        let findings = gateway.findings(&cluster());
        assert_eq!(findings.len(), 1);
        assert!(findings[0].contains("Certificate team-a/b-tls"), "{findings:?}");
    }

    #[test]
    fn other_issuers_take_any() {
        let gateway = named(istio("shop"), "Shop").cert_manager("cluster-issuer", "ca");
        assert_eq!(gateway.findings(&cluster()), Vec::<String>::new());
    }

    #[rstest]
    #[case::kept(named(istio("shop"), "Shop"), true)]
    #[case::another_name(named(istio("shop"), "Web"), false)]
    #[case::another_secret(named(istio("shop"), "Shop").with("/spec/servers/0/tls/credentialName", json!("b-tls")), false)]
    #[case::another_issuer(named(istio("shop"), "Shop").cert_manager("cluster-issuer", "other"), false)]
    fn updates(#[case] old: GatewayFixture, #[case] let_through: bool) {
        let new = named(istio("shop"), "Shop").annotation("a", "b");
        assert_eq!(new.update_from(&old, &cluster()).accepted, let_through);
    }
}
