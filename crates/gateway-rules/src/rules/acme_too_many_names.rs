//! A Certificate has more names than its ACME CA takes.
//!
//! Let's Encrypt, and most CAs with it, take 100 names in one certificate; its profiles `tlsserver`
//! and `shortlived` take 25. Beyond that the CA refuses the Order.
//!
//! Warned about: a Secret for 101 hosts. Accepted silently: the same hosts on two servers with a
//! Secret each:
//! ```yaml
//! - hosts: [h1.example.com]   # up to h50
//!   tls: {mode: SIMPLE, credentialName: first-half}
//! - hosts: [h51.example.com]  # up to h101
//!   tls: {mode: SIMPLE, credentialName: second-half}
//! ```

use std::collections::BTreeSet;

use certificate_shim::Certificate;
use certificate_shim::certificate::wildcard_over;
use certificate_shim::gateway::GatewayKind;

use super::{Applies, Findings, Judges, Rule};
use crate::context::Context;
use crate::finding::{Level, Refusal};
use crate::issuance::{Name, acme_issuances};

/// `acme-too-many-names`
pub const RULE: Rule = Rule {
    id: "acme-too-many-names",
    default: Level::Warn,
    refusal: Refusal::Invalid,
    applies: Applies::Everywhere,
    judges: Judges::Annotated,
    check,
};

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    for found in acme_issuances(context) {
        let (who, most) = match found.acme.profile {
            profile @ ("tlsserver" | "shortlived") => (format!("the profile {profile}"), 25),
            _ => ("an ACME CA".to_owned(), 100),
        };
        let added = Added::of(&found.issuance.names());
        for certificate in &found.issuance.certificates {
            let count = certificate.hosts.len() + added.beside(certificate);
            if count <= most {
                continue;
            }
            let path = certificate.places.first().map_or_else(|| "spec".to_owned(), ToString::to_string);
            let secret = certificate.secret();
            let what = format!("Certificate {secret} has {count} names, and {who} takes {most}");
            let mend = "Give some of the hosts another Secret.".to_owned();
            findings.push(path, count.to_string(), what, mend).about(Some(certificate));
        }
    }
}

/// The names that annotations add to every Certificate, each once.
struct Added {
    names: BTreeSet<String>,
    /// Wildcards, sorted, and how many of the names each of them covers.
    covered: Vec<(String, usize)>,
}

impl Added {
    fn of(names: &[Name<'_>]) -> Self {
        let mut added = Added { names: BTreeSet::new(), covered: Vec::new() };
        let mut pairs: BTreeSet<String> = BTreeSet::new();
        for name in names.iter().filter(|name| name.certificate.is_none()) {
            let text = name.text.to_ascii_lowercase();
            if let Some(wildcard) = wildcard_over(&text) {
                pairs.insert(format!("{wildcard}\0{text}"));
            }
            added.names.insert(text);
        }
        for pair in &pairs {
            let wildcard = pair.split('\0').next().unwrap_or_default();
            match added.covered.last_mut() {
                Some((last, count)) if last == wildcard => *count += 1,
                _ => added.covered.push((wildcard.to_owned(), 1)),
            }
        }
        added
    }

    /// How many a Certificate has besides its hosts. That of an Istio Gateway leaves out the names
    /// that a host covers.
    fn beside(&self, certificate: &Certificate) -> usize {
        let is_istio = certificate.template.owner.kind == GatewayKind::Istio;
        let mut count = self.names.len();
        for host in &certificate.hosts {
            let mut left_out = usize::from(self.names.contains(&host.name));
            if is_istio
                && let Ok(index) = self.covered.binary_search_by(|(wildcard, _)| wildcard.cmp(&host.name))
            {
                left_out += self.covered.get(index).map_or(0, |(_, names)| *names);
            }
            count = count.saturating_sub(left_out);
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Added, acme_issuances};
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio};
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

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
    #[case::default("le", 100, "an ACME CA")]
    #[case::another_profile("other", 100, "an ACME CA")]
    #[case::tlsserver("tls", 25, "the profile tlsserver")]
    #[case::shortlived("short", 25, "the profile shortlived")]
    fn at_most(#[case] issuer: &str, #[case] most: usize, #[case] who: &str) {
        assert_eq!(hosts(issuer, most).findings(&cluster()), Vec::<String>::new());
        let more = most + 1;
        assert_eq!(
            hosts(issuer, more).findings(&cluster()),
            [format!(
                "acme-too-many-names: spec.servers[0].tls.credentialName: Certificate team-a/shop-tls has {more} names, and {who} takes {most}. Give some of the hosts another Secret."
            )]
        );
        assert_eq!(hosts("ca", more).findings(&cluster()), Vec::<String>::new());
    }

    #[rstest]
    #[case::istio(istio("shop"), "h0.example.com,h0.example.com,a.example.org", 103)]
    #[case::istio_covered(istio("shop").with("/spec/servers/0/hosts/0", json!("*.example.com")), "h0.example.com,a.example.org", 3)]
    #[case::gateway_api(gateway_api("web").with("/spec/listeners/0/hostname", json!("h0.example.com")), "h0.example.com,a.example.org,a.example.org", 102)]
    #[case::gateway_api_keeps_what_a_wildcard_covers(gateway_api("web").with("/spec/listeners/0/hostname", json!("*.example.com")), "h0.example.com", 102)]
    fn names_of_annotations(#[case] gateway: GatewayFixture, #[case] more: &str, #[case] expected: usize) {
        let alt_names = format!("{},{more}", names(100).join(","));
        let gateway = gateway.cert_manager("cluster-issuer", "le").cert_manager("alt-names", &alt_names);
        let findings = gateway.cert_manager("ip-sans", "192.0.2.1").findings(&cluster());
        let count = format!("has {expected} names");
        assert_eq!(findings.iter().any(|finding| finding.contains(&count)), expected > 100, "{findings:?}");
        assert_eq!(findings.len(), usize::from(expected > 100), "{findings:?}");
    }

    proptest! {
        /// It is the number of different names that the Certificate is created with.
        #[test]
        fn counted_as_created(
            hosts in prop::collection::vec("(\\*|[ab])\\.(x|[cd]\\.x)", 1..4),
            alt_names in prop::collection::vec("(\\*|[abAB])\\.(x|[cd]\\.x)", 1..6),
        ) {
            let annotated = |gateway: GatewayFixture| {
                gateway.cert_manager("cluster-issuer", "le").cert_manager("alt-names", &alt_names.join(","))
            };
            let web = gateway_api("web").with("/spec/listeners/0/hostname", json!(hosts[0]));
            for gateway in [istio("shop").with("/spec/servers/0/hosts", json!(hosts)), web] {
                annotated(gateway).in_context(&cluster(), |context| {
                    let found = &acme_issuances(context)[0];
                    let certificate = found.issuance.certificates[0];
                    let created = certificate.dns_names().into_iter().map(str::to_ascii_lowercase);
                    let counted = certificate.hosts.len() + Added::of(&found.issuance.names()).beside(certificate);
                    assert_eq!(counted, created.collect::<BTreeSet<_>>().len());
                });
            }
        }
    }

    fn strict(count: usize) -> GatewayFixture {
        hosts("le", count).settings(json!({"rules": {"acme-too-many-names": "reject"}}))
    }

    #[rstest]
    #[case::kept(strict(101), true)]
    #[case::one_less(strict(102), false)]
    #[case::another_secret(strict(101).with("/spec/servers/0/tls/credentialName", json!("b-tls")), false)]
    #[case::another_issuer(strict(101).cert_manager("cluster-issuer", "other"), false)]
    fn updates(#[case] old: GatewayFixture, #[case] let_through: bool) {
        assert_eq!(strict(101).annotation("a", "b").update_from(&old, &cluster()).accepted, let_through);
    }
}
