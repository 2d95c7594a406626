//! A Certificate has more names than its ACME CA accepts.
//!
//! Let's Encrypt and most other CAs accept 100 names in one certificate; Let's Encrypt's profiles
//! `tlsserver` and `shortlived` accept 25. The CA rejects an Order for more.
//!
//! Warned about, if the issuer has `profile: tlsserver`:
//! ```yaml
//! hosts: [
//!   a.example.com, b.example.com, c.example.com, d.example.com, e.example.com, f.example.com,
//!   g.example.com, h.example.com, i.example.com, j.example.com, k.example.com, l.example.com,
//!   m.example.com, n.example.com, o.example.com, p.example.com, q.example.com, r.example.com,
//!   s.example.com, t.example.com, u.example.com, v.example.com, w.example.com, x.example.com,
//!   y.example.com, z.example.com]
//! ```
//! Accepted:
//! ```yaml
//! hosts: ["*.example.com"]
//! ```
//! Also accepted: the same hosts on two servers with a Secret each.

use crate::context::Context;
use crate::issuance::acme_issuances;
use crate::rule::{Findings, Rule};
use crate::shared_names::{Hosts, SharedNames};

/// `acme-too-many-names`
pub const RULE: Rule = Rule::warn("acme-too-many-names", check);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    for found in acme_issuances(context) {
        let (ca, most) = match found.acme.profile {
            profile @ ("tlsserver" | "shortlived") => (format!("the profile {profile}"), 25),
            _ => ("an ACME CA".to_owned(), 100),
        };
        let shared = SharedNames::of(found.issuance.template);
        for certificate in found.issuance.certificates {
            let count = shared.count_with(&Hosts::of(&certificate.hosts));
            if count <= most {
                continue;
            }
            let secret = certificate.secret();
            let problem = format!("Certificate {secret} has {count} names, but {ca} accepts at most {most}");
            findings
                .report(certificate.path(), problem)
                .subject(most.to_string())
                .help("Use another Secret for some hosts, a wildcard, or fewer cert-manager.io/alt-names.")
                .about(secret)
                .rests_on(found.object);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio};
    use crate::issuance::acme_issuances;
    use crate::shared_names::{Hosts, SharedNames};
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    const ID: &str = "acme-too-many-names";

    fn cluster() -> TestCluster {
        let acme = |name, profile| cluster_issuer(name).ready().spec(json!({"acme": {"profile": profile}}));
        TestCluster::default()
            .object(acme("le", ""))
            .object(acme("other", "classic"))
            .object(acme("tls", "tlsserver"))
            .object(acme("short", "shortlived"))
            .object(cluster_issuer("ca").ready().spec(json!({"ca": {"secretName": "ca"}})))
    }

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|i| format!("h{i}.example.com")).collect()
    }

    fn hosts(issuer: &str, count: usize) -> GatewayFixture {
        istio("shop")
            .cert_manager("cluster-issuer", issuer)
            .with("/spec/servers/0/hosts", json!(names(count)))
    }

    #[rstest]
    #[case::no_profile("le", 100, "an ACME CA")]
    #[case::another_profile("other", 100, "an ACME CA")]
    #[case::tlsserver("tls", 25, "the profile tlsserver")]
    #[case::shortlived("short", 25, "the profile shortlived")]
    fn at_most(#[case] issuer: &str, #[case] most: usize, #[case] ca: &str) {
        assert_eq!(hosts(issuer, most).found(&cluster()), Vec::<String>::new());
        let more = hosts(issuer, most + 1);
        let path = "spec.servers[0].tls.credentialName";
        assert_eq!(more.found(&cluster()), [format!("{ID} warn {path} | {most}")]);
        let expected = format!("has {} names, but {ca} accepts at most {most}.", most + 1);
        assert!(more.findings(&cluster())[0].contains(&expected));
        assert_eq!(hosts("ca", most + 1).found(&cluster()), Vec::<String>::new());
    }

    #[rstest]
    #[case::of_istio(istio("shop"), "h0.example.com,h0.example.com,a.example.org", Some(103))]
    #[case::covered_by_a_host_of_istio(
        istio("shop").with("/spec/servers/0/hosts/0", json!("*.example.com")),
        "h0.example.com,a.example.org",
        None
    )]
    #[case::of_gateway_api(
        gateway_api("web").with("/spec/listeners/0/hostname", json!("h0.example.com")),
        "h0.example.com,a.example.org,a.example.org",
        Some(102)
    )]
    #[case::covered_by_a_host_of_gateway_api(
        gateway_api("web").with("/spec/listeners/0/hostname", json!("*.example.com")),
        "h0.example.com",
        Some(102)
    )]
    #[case::the_address_is_a_host(
        istio("shop").with("/spec/servers/0/hosts/0", json!("192.0.2.1")),
        "a.example.org",
        Some(102)
    )]
    fn names_of_annotations(
        #[case] gateway: GatewayFixture,
        #[case] more: &str,
        #[case] expected: Option<usize>,
    ) {
        let alt_names = format!("{},{more}", names(100).join(","));
        let gateway = gateway.cert_manager("cluster-issuer", "le").cert_manager("alt-names", &alt_names);
        let gateway = gateway.cert_manager("ip-sans", "192.0.2.1,no-address");
        let findings = gateway.findings_of(ID, &cluster());
        assert_eq!(findings.len(), usize::from(expected.is_some()), "{findings:?}");
        if let Some(expected) = expected {
            assert!(findings[0].contains(&format!("has {expected} names")), "{findings:?}");
        }
    }

    proptest! {
        /// It is the number of different names that the Certificate is created with.
        #[test]
        fn counted_as_created(
            hosts in prop::collection::vec("(\\*|[ab])\\.(x|[cd]\\.x)|192\\.0\\.2\\.[12]", 1..4),
            alt_names in prop::collection::vec("(\\*|[abAB])\\.(x|[cd]\\.x)", 1..6),
            ip_sans in prop::collection::vec("192\\.0\\.2\\.[12]", 1..3),
        ) {
            let web = gateway_api("web").with("/spec/listeners/0/hostname", json!(hosts[0]));
            for gateway in [istio("shop").with("/spec/servers/0/hosts", json!(hosts)), web] {
                let gateway = gateway.cert_manager("cluster-issuer", "le");
                let gateway = gateway.cert_manager("alt-names", &alt_names.join(","));
                gateway.cert_manager("ip-sans", &ip_sans.join(",")).in_context(&cluster(), |context| {
                    let issuance = acme_issuances(context).next().unwrap().issuance;
                    let certificate = &issuance.certificates[0];
                    let names = certificate.dns_names().into_iter().chain(certificate.ip_addresses());
                    let created: BTreeSet<String> = names.map(str::to_ascii_lowercase).collect();
                    let counted = SharedNames::of(issuance.template).count_with(&Hosts::of(&certificate.hosts));
                    assert_eq!(counted, created.len());
                });
            }
        }
    }

    #[test]
    fn more_names_than_before_are_no_new_problem() {
        let hosts = |count| hosts("le", count).level(ID, "reject");
        assert!(hosts(103).update_from(&hosts(102), &cluster()).accepted);
        assert!(!hosts(101).update_from(&hosts(100), &cluster()).accepted);
    }

    #[test]
    fn a_rejection_is_checked_with_a_fresh_issuer() {
        let cluster = cluster();
        assert!(!hosts("le", 101).level(ID, "reject").create(&cluster).accepted);
        assert_eq!(cluster.asked(), ["ClusterIssuer le", "ClusterIssuer le fresh"]);
    }

    #[test]
    fn each_certificate_is_counted_by_itself() {
        let server = json!({
            "port": {"number": 8443, "name": "b", "protocol": "HTTPS"},
            "hosts": ["b.example.com"], "tls": {"mode": "SIMPLE", "credentialName": "b-tls"},
        });
        let gateway = hosts("le", 101).push("/spec/servers", server);
        let findings = gateway.checked(&cluster(), crate::rule::Caller::Admission).findings;
        let secrets: Vec<_> = findings.iter().map(|finding| finding.certificate.as_ref().unwrap()).collect();
        assert_eq!(secrets.iter().map(ToString::to_string).collect::<Vec<_>>(), ["team-a/shop-tls"]);
    }
}
