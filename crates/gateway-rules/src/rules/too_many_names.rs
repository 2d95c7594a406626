//! A Certificate has more names than its tenant may have in one.
//!
//! Certificates with many names are slow to issue, because an ACME server validates each name, and one
//! name that fails delays all others. Every DNS name and IP address counts once, without regard to
//! case, and the common name if it is not among them.
//!
//! Configured per tenant: `max_names`. Without it there is no limit.
//!
//! Rejected, with `max_names: 2`:
//! ```yaml
//! hosts: [shop.example.com, www.example.com, api.example.com]
//! ```
//! Accepted:
//! ```yaml
//! hosts: [shop.example.com, www.example.com]
//! ```

use certificate_shim::Certificate;

use crate::context::Context;
use crate::rule::{Findings, Rule};
use crate::shared_names::{Hosts, SharedNames};
use crate::text::quote;

/// `too-many-names`
pub const RULE: Rule = Rule::reject("too-many-names", check).forbidden().of_planned().about_whole();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let (Some(tenant), Some(template)) = (context.tenant(), context.widest_plan().template()) else { return };
    let Some(most) = tenant.max_names else { return };
    let shared = SharedNames::of(template);
    for certificate in &context.widest_plan().certificates {
        let count = count(certificate, &shared);
        if count <= most {
            continue;
        }
        let secret = certificate.secret();
        let problem = format!(
            "the Certificate {} has {count} names; tenant {} may have at most {most} in each",
            quote(&secret.to_string()),
            quote(&tenant.name)
        );
        findings
            .report(certificate.path(), problem)
            .subject(secret.to_string())
            .help("Remove names, give some hosts another Secret, or ask the platform team.")
            .about(secret);
    }
}

/// The number of distinct names of a Certificate.
fn count(certificate: &Certificate, shared: &SharedNames) -> usize {
    let hosts = Hosts::of(&certificate.hosts);
    let name = certificate.template.common_name.to_ascii_lowercase();
    let is_listed = name.is_empty()
        || hosts.dns_names.contains(&name)
        || hosts.addresses.contains(&name)
        || shared.addresses.contains(&name)
        || (shared.dns_names.contains(&name) && !shared.has_wildcard(&name, &hosts));
    shared.count_with(&hosts) + usize::from(!is_listed)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{SharedNames, count};
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio, listener_set};
    use crate::rule::Caller;
    use certificate_shim::Certificate;
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::{Value, json};

    fn cluster() -> TestCluster {
        TestCluster::default().object(cluster_issuer("le").ready())
    }

    fn annotated(gateway: GatewayFixture) -> GatewayFixture {
        gateway.cert_manager("cluster-issuer", "le")
    }

    fn found(gateway: &GatewayFixture) -> Vec<String> {
        gateway.found_by("too-many-names", &cluster())
    }

    /// An annotated Istio Gateway with these hosts.
    fn with(hosts: &[&str]) -> GatewayFixture {
        annotated(istio("shop").with("/spec/servers/0/hosts", json!(hosts)))
    }

    fn two() -> GatewayFixture {
        with(&["a.x.org", "b.x.org"])
    }

    fn web(host: &str) -> GatewayFixture {
        annotated(gateway_api("web").with("/spec/listeners/0/hostname", json!(host)))
    }

    fn with_common_name(gateway: GatewayFixture) -> GatewayFixture {
        gateway.cert_manager("alt-names", "b.x.org").cert_manager("common-name", "b.x.org")
    }

    /// The tenant may have two names. The case names tell how many there are.
    #[rstest]
    #[case::two(two(), false)]
    #[case::three(with(&["a.x.org", "b.x.org", "c.x.org"]), true)]
    #[case::two_of_istio_in_two_forms(with(&["a.x.org", "b.x.org", "ns/A.x.org."]), false)]
    #[case::three_with_an_address(with(&["a.x.org", "b.x.org", "192.0.2.1"]), true)]
    #[case::one_covered_by_a_wildcard(with(&["*.x.org", "b.x.org", "c.x.org"]), false)]
    #[case::two_with_every_host(with(&["a.x.org", "b.x.org", "*"]), false)]
    #[case::three_with_alt_names(two().cert_manager("alt-names", "A.x.org,c.x.org"), true)]
    #[case::two_with_alt_names(two().cert_manager("alt-names", "A.x.org"), false)]
    #[case::three_with_ip_sans(two().cert_manager("ip-sans", "192.0.2.1"), true)]
    #[case::two_with_ip_sans(with(&["a.x.org", "192.0.2.1"]).cert_manager("ip-sans", "192.0.2.1"), false)]
    #[case::three_with_a_common_name(two().cert_manager("common-name", "Shop"), true)]
    #[case::two_with_a_common_name(two().cert_manager("common-name", "B.x.org"), false)]
    #[case::three_with_a_common_name_that_istio_drops_from_alt_names(
        with_common_name(with(&["*.x.org", "a.y.org"])),
        true
    )]
    #[case::two_with_a_common_name_that_gateway_api_keeps_there(with_common_name(web("*.x.org")), false)]
    #[case::two_with_mail(two().cert_manager("email-sans", "a@x.org"), false)]
    #[case::gateway_api_keeps_them(web("*.x.org").cert_manager("alt-names", "b.x.org,c.x.org"), true)]
    #[case::istio_drops_covered_names(with(&["*.x.org"]).cert_manager("alt-names", "b.x.org,c.x.org"), false)]
    fn two_names(#[case] gateway: GatewayFixture, #[case] is_reported: bool) {
        let gateway = gateway.tenant(json!({"max_names": 2}));
        assert_eq!(found(&gateway).len(), usize::from(is_reported));
        assert_eq!(found(&gateway.tenant(json!({}))).len(), 0, "no limit");
    }

    fn server(secret: &str, hosts: &[&str]) -> Value {
        let port = json!({"number": 443, "name": secret, "protocol": "HTTPS"});
        json!({"port": port, "hosts": hosts, "tls": {"mode": "SIMPLE", "credentialName": secret}})
    }

    #[test]
    fn each_certificate() {
        let gateway = with(&["a.x.org", "b.x.org"])
            .push("/spec/servers", server("b", &["b.x.org"]))
            .push("/spec/servers", server("c", &["c.x.org", "d.x.org"]))
            .tenant(json!({"max_names": 1}));
        assert_eq!(
            found(&gateway),
            [
                "reject spec.servers[0].tls.credentialName | team-a/shop-tls",
                "reject spec.servers[2].tls.credentialName | team-a/c",
            ]
        );
        let findings = gateway.checked(&cluster(), Caller::Controller).findings;
        let about: Vec<String> =
            findings.iter().filter_map(|finding| Some(finding.certificate.as_ref()?.to_string())).collect();
        assert_eq!(about, ["team-a/shop-tls", "team-a/c"], "the others are issued");
    }

    #[test]
    fn a_listener_set_without_issuer() {
        let set = listener_set("extra").cert_manager("alt-names", "a.x.org").tenant(json!({"max_names": 1}));
        let expected = ["reject spec.listeners[0].tls.certificateRefs[0].name | team-a/extra-tls"];
        assert_eq!(found(&set), expected);
    }

    #[test]
    fn without_issuer_there_is_no_certificate() {
        let gateway = istio("shop").with("/spec/servers/0/hosts", json!(["a.x.org", "b.x.org"]));
        assert_eq!(found(&gateway.tenant(json!({"max_names": 1}))).len(), 0);
    }

    /// The names that the Certificate is created with.
    fn created(certificate: &Certificate) -> usize {
        let lower = |names: Vec<&str>| -> BTreeSet<String> {
            names.into_iter().map(str::to_ascii_lowercase).collect()
        };
        let (dns_names, addresses) = (lower(certificate.dns_names()), lower(certificate.ip_addresses()));
        let common_name = certificate.template.common_name.to_ascii_lowercase();
        let is_listed =
            common_name.is_empty() || dns_names.contains(&common_name) || addresses.contains(&common_name);
        dns_names.len() + addresses.len() + usize::from(!is_listed)
    }

    const NAME: &str = "(\\*|[ab])\\.(x|[cd]\\.x)|10\\.0\\.0\\.[12]|::[aA]";

    proptest! {
        #[test]
        fn counted_as_created(
            hosts in prop::collection::vec(NAME, 1..5),
            alt_names in prop::collection::vec("(\\*|[abAB])\\.(x|[cd]\\.x)|10\\.0\\.0\\.1", 1..6),
            ip_sans in prop::collection::vec("10\\.0\\.0\\.[123]|::[aA]|::b", 1..4),
            common_name in "(|shop|(\\*|[abAB])\\.(x|[cd]\\.x)|10\\.0\\.0\\.[13])",
            annotations in 0..8_u8,
        ) {
            let mut gateways = [with(&hosts.iter().map(String::as_str).collect::<Vec<_>>()), web(&hosts[0])];
            for gateway in &mut gateways {
                let values = [alt_names.join(","), ip_sans.join(","), common_name.clone()];
                let keys = ["alt-names", "ip-sans", "common-name"];
                for (bit, (key, value)) in keys.iter().zip(values).enumerate() {
                    if annotations & (1 << bit) != 0 {
                        *gateway = gateway.clone().cert_manager(key, &value);
                    }
                }
                gateway.in_context(&cluster(), |context| {
                    let shared = SharedNames::of(context.template().unwrap());
                    for certificate in &context.plan.certificates {
                        assert_eq!(count(certificate, &shared), created(certificate));
                    }
                });
            }
        }
    }

    /// The old Certificate has three names, and the tenant may have one.
    #[rstest]
    #[case::a_label(with(&["a.x.org", "b.x.org", "c.x.org"]).label("x", "y"), true)]
    #[case::fewer_but_too_many(with(&["c.x.org", "a.x.org"]), true)]
    #[case::more(with(&["a.x.org", "b.x.org", "c.x.org", "d.x.org"]), false)]
    #[case::another(with(&["a.x.org", "d.x.org"]), false)]
    #[case::another_secret(
        with(&["a.x.org", "b.x.org"]).with("/spec/servers/0/tls/credentialName", json!("b")), false
    )]
    fn an_update(#[case] new: GatewayFixture, #[case] is_accepted: bool) {
        let old = with(&["a.x.org", "b.x.org", "c.x.org"]);
        let response = new.tenant(json!({"max_names": 1})).update_from(&old, &cluster());
        assert_eq!((response.accepted, response.code), (is_accepted, (!is_accepted).then_some(403)));
    }
}
