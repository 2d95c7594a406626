//! The common name is not among the names of a Certificate of an ACME issuer.
//!
//! The common name must be one of the names in the ACME Order: the same text in the hosts, in
//! `alt-names` or in `ip-sans`. Otherwise cert-manager fails the request permanently. Each Secret of the
//! Gateway has a separate Certificate, and the common name is added to all of them.
//!
//! Rejected:
//! ```yaml
//! cert-manager.io/common-name: Shop
//! ```
//! Accepted:
//! ```yaml
//! cert-manager.io/common-name: shop.example.com
//! ```

use std::net::IpAddr;

use certificate_shim::annotation;
use certificate_shim::certificate::wildcard_over;
use certificate_shim::gateway::GatewayKind;

use crate::context::{Context, annotation_path};
use crate::issuance::acme_issuances;
use crate::rule::{Findings, Rule};
use crate::text::quote;

/// `acme-common-name-not-listed`
pub const RULE: Rule = Rule::reject("acme-common-name-not-listed", check);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    for found in acme_issuances(context) {
        let template = found.issuance.template;
        let name = template.common_name.as_str();
        // The template is the same for every Certificate.
        let is_ip_san = template.ip_sans.iter().any(|added| is_address(added, name));
        if name.is_empty() || is_ip_san {
            continue;
        }
        let is_alt_name = template.alt_names.iter().any(|added| added == name);
        // A Certificate of an Istio Gateway omits names that another of its names covers.
        let is_istio = template.owner.kind == GatewayKind::Istio;
        let wildcard = wildcard_over(&name.to_ascii_lowercase());
        let covers = |other: &&str| {
            let is_other = |name: &str| other.eq_ignore_ascii_case(name);
            is_istio && (is_other(name) || wildcard.as_deref().is_some_and(is_other))
        };
        let covering_alt_name = template.alt_names.iter().map(String::as_str).find(covers);
        for certificate in found.issuance.certificates {
            let hosts = || certificate.hosts.iter().map(|host| host.name.as_str());
            let covering_host = hosts().find(covers);
            if hosts().any(|host| host == name || is_address(host, name))
                || (is_alt_name && covering_host.is_none())
            {
                continue;
            }
            let (instead, help) = match covering_host.or(covering_alt_name) {
                Some(covering) => (
                    format!(", which has {} instead", quote(covering)),
                    "Use the name that the Certificate has, or remove the annotation.",
                ),
                None => (
                    String::new(),
                    "Use one of its names, add it to cert-manager.io/alt-names, or remove the annotation.",
                ),
            };
            let (secret, issuer) = (certificate.secret(), found.object);
            let problem = format!(
                "{} is not among the names of Certificate {secret}{instead}, but {issuer} (ACME) requires it",
                quote(name)
            );
            findings
                .report(annotation_path(annotation::COMMON_NAME), problem)
                .subject(name)
                .help(help)
                .about(secret)
                .rests_on(issuer);
        }
    }
}

/// Whether `name` is that address as Go writes it: the common name is compared as text with the
/// addresses of the request. Forms that differ only in how zeros are shortened are accepted.
fn is_address(address: &str, name: &str) -> bool {
    let parse = |text: &str| text.parse::<IpAddr>().ok().map(|address| address.to_canonical());
    let is_as_go = !name.bytes().any(|byte| byte.is_ascii_uppercase()) && !name.starts_with("::ffff:");
    is_as_go && parse(name).is_some_and(|name| parse(address) == Some(name))
}

#[cfg(test)]
mod tests {
    use crate::context::Context;
    use crate::finding::{Finding, Level};
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio};
    use crate::rule::Findings;
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::{Value, json};

    const ID: &str = "acme-common-name-not-listed";

    fn cluster() -> TestCluster {
        let ca = cluster_issuer("ca").ready().spec(json!({"ca": {"secretName": "ca"}}));
        TestCluster::default().object(cluster_issuer("le").ready().spec(json!({"acme": {}}))).object(ca)
    }

    fn named(gateway: GatewayFixture, name: &str) -> GatewayFixture {
        gateway.cert_manager("cluster-issuer", "le").cert_manager("common-name", name)
    }

    fn hosts(hosts: Value) -> GatewayFixture {
        istio("shop").with("/spec/servers/0/hosts", hosts)
    }

    /// The findings of this rule alone.
    fn found(context: &Context<'_>) -> Vec<Finding> {
        let mut findings = Vec::new();
        super::check(context, &mut Findings::of(&super::RULE, Level::Reject, &mut findings));
        findings
    }

    fn alt_names(gateway: GatewayFixture, names: &str) -> GatewayFixture {
        gateway.cert_manager("alt-names", names)
    }

    fn ip_sans(gateway: GatewayFixture, addresses: &str) -> GatewayFixture {
        gateway.cert_manager("ip-sans", addresses)
    }

    #[rstest]
    #[case::the_host(istio("shop"), "shop.team-a.example.com")]
    #[case::gateway_api(gateway_api("web"), "web.team-a.example.com")]
    #[case::none(istio("shop"), "")]
    #[case::alternative(alt_names(istio("shop"), "a.example.com"), "a.example.com")]
    #[case::below_a_wildcard_of_gateway_api(
        alt_names(gateway_api("web"), "*.example.com,a.example.com"),
        "a.example.com"
    )]
    #[case::address(ip_sans(istio("shop"), "192.0.2.1"), "192.0.2.1")]
    #[case::address_of_a_host(hosts(json!(["2001:db8:0::1"])), "2001:db8::1")]
    #[case::address_as_go_writes_it(ip_sans(gateway_api("web"), "2001:DB8:0:0::1"), "2001:db8::1")]
    #[case::mapped_address(ip_sans(gateway_api("web"), "::ffff:192.0.2.1"), "192.0.2.1")]
    #[case::the_wildcard(hosts(json!(["*.example.com", "a.example.com"])), "*.example.com")]
    fn is_listed(#[case] gateway: GatewayFixture, #[case] name: &str) {
        assert_eq!(named(gateway, name).found(&cluster()), Vec::<String>::new());
    }

    #[rstest]
    #[case::a_title(istio("shop"), "Shop", None)]
    #[case::gateway_api(gateway_api("web"), "Web", None)]
    #[case::in_another_case(gateway_api("web"), "WEB.team-a.example.com", None)]
    #[case::below_a_wildcard_of_gateway_api(
        gateway_api("web").with("/spec/listeners/0/hostname", json!("*.example.com")), "a.example.com", None
    )]
    #[case::address_in_another_form(ip_sans(istio("shop"), "2001:db8::1"), "2001:DB8::1", None)]
    #[case::mapped_address(ip_sans(istio("shop"), "192.0.2.1"), "::ffff:192.0.2.1", None)]
    #[case::host_below_a_wildcard(
        hosts(json!(["*.example.com", "a.example.com"])), "a.example.com", Some("*.example.com")
    )]
    #[case::alternative_below_a_wildcard(
        alt_names(hosts(json!(["*.example.com"])), "a.example.com"), "a.example.com", Some("*.example.com")
    )]
    #[case::both_alternatives(
        alt_names(istio("shop"), "a.example.com,*.EXAMPLE.com"),
        "a.example.com",
        Some("*.EXAMPLE.com")
    )]
    #[case::host_in_lower_case(
        alt_names(istio("shop"), "SHOP.team-a.example.com"),
        "SHOP.team-a.example.com",
        Some("shop.team-a.example.com")
    )]
    fn is_not_listed(#[case] gateway: GatewayFixture, #[case] name: &str, #[case] instead: Option<&str>) {
        let gateway = named(gateway, name);
        let path = "metadata.annotations[cert-manager.io/common-name]";
        assert_eq!(gateway.found(&cluster()), [format!("{ID} reject {path} | {name}")]);
        let problem = gateway.in_context(&cluster(), |context| found(context)[0].problem.clone());
        let expected = instead.map(|instead| format!("which has \"{instead}\" instead"));
        assert!(problem.contains(expected.as_deref().unwrap_or_default()), "{problem}");
        assert_eq!(problem.contains("instead"), expected.is_some(), "{problem}");
    }

    #[test]
    fn other_issuers_accept_any() {
        let gateway = named(istio("shop"), "Shop").cert_manager("cluster-issuer", "ca");
        assert_eq!(gateway.found(&cluster()), Vec::<String>::new());
    }

    #[test]
    fn a_rejection_is_checked_with_a_fresh_issuer() {
        let cluster = cluster();
        assert!(!named(istio("shop"), "Shop").create(&cluster).accepted);
        assert_eq!(cluster.asked(), ["ClusterIssuer le", "ClusterIssuer le fresh"]);
    }

    /// As many servers as alternative names. One server has the common name among its hosts.
    #[test]
    fn every_certificate_needs_it() {
        const MANY: usize = 2000;
        let server = |i: usize| {
            json!({
                "port": {"number": 443, "name": format!("s{i}"), "protocol": "HTTPS"},
                "hosts": [format!("s{i}.example.com")],
                "tls": {"mode": "SIMPLE", "credentialName": format!("tls-{i}")},
            })
        };
        let servers: Vec<Value> = (0..MANY).map(server).collect();
        let names: Vec<String> = (0..MANY).map(|i| format!("a{i}.example.org")).collect();
        let gateway = named(istio("shop"), "s7.example.com").with("/spec/servers", json!(servers));
        let missing = alt_names(gateway.clone(), &names.join(","));
        let secrets = missing.in_context(&cluster(), |context| -> Vec<String> {
            found(context).iter().map(|finding| finding.certificate.as_ref().unwrap().name.clone()).collect()
        });
        let expected: Vec<String> = (0..MANY).filter(|i| *i != 7).map(|i| format!("tls-{i}")).collect();
        assert_eq!(secrets, expected);
        let listed = alt_names(gateway, &format!("{},s7.example.com", names.join(",")));
        assert_eq!(listed.in_context(&cluster(), |context| found(context).len()), 0);
    }

    proptest! {
        /// It is reported if the Certificate that is created has no such name.
        #[test]
        fn reported_as_created(
            hosts in prop::collection::vec("(\\*|[ab])\\.(x|c\\.x)", 1..3),
            alternatives in prop::collection::vec("(\\*|[abA])\\.(x|c\\.x)", 1..4),
            name in "(\\*|[abAB])\\.(x|c\\.x)",
        ) {
            let web = gateway_api("web").with("/spec/listeners/0/hostname", json!(hosts[0]));
            for gateway in [istio("shop").with("/spec/servers/0/hosts", json!(hosts)), web] {
                let gateway = alt_names(named(gateway, &name), &alternatives.join(","));
                let (created, reported) = gateway.in_context(&cluster(), |context| {
                    let created = context.plan.certificates[0].dns_names().contains(&name.as_str());
                    (created, !found(context).is_empty())
                });
                prop_assert_eq!(reported, !created);
            }
        }
    }
}
