//! A server requires client certificates but names no CA for them.
//!
//! istiod then reads the Secret `NAME-cacert`, and if there is none, `ca.crt` of the server's own Secret.
//! That is the CA that issued the server's certificate, so every client with a certificate of the same
//! issuer is accepted. ACME certificates have no `ca.crt`, so no client can connect.
//!
//! Warned about:
//! ```yaml
//! tls: {mode: MUTUAL, credentialName: shop-tls}
//! ```
//! Accepted:
//! ```yaml
//! tls: {mode: MUTUAL, credentialName: shop-tls, caCertCredentialName: shop-tls-cacert}
//! ```
//! No rule reads Secrets, so this one also warns if `NAME-cacert` exists: set it as `caCertCredentialName`,
//! or turn the rule off.

use certificate_shim::credential::{CA_SUFFIX, Credential};
use certificate_shim::place::{Place, ServerField};
use certificate_shim::plan::SecretName;

use crate::context::Context;
use crate::issuer::signs_by;
use crate::rule::{Findings, Rule};
use crate::servers::credentials;
use crate::text::shorten;

/// `client-ca-missing`
pub const RULE: Rule = Rule::warn("client-ca-missing", check);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    for named in credentials(context) {
        let Some(tls) = named.server.tls.as_ref().filter(|_| named.server.speaks_tls()) else { continue };
        let Some(mode @ ("MUTUAL" | "OPTIONAL_MUTUAL")) = tls.mode else { continue };
        let has_ca = tls.ca_cert_credential_name.is_some_and(|name| !name.is_empty());
        // Of several credentials, the name of the first counts (`SdsCaSuffix` in Istio's
        // pilot/pkg/security/model).
        let is_first = !matches!(named.place, Place::Server(_, ServerField::CredentialNames(1..)));
        let Ok(credential) = Credential::parse(named.text) else { continue };
        if has_ca || !is_first {
            continue;
        }
        let ca = format!("{}{CA_SUFFIX}", shorten(credential.name, 55));
        // istiod reads a CA from a Secret of such a name or from a ConfigMap, and from no other Secret.
        let help = format!("Create the Secret {ca} with ca.crt, or name a configmap:// CA.");
        for found in context.issuers() {
            let Ok(issuer) = &found.outcome else { continue };
            let object = &found.object;
            let problem = if signs_by(issuer, "acme") {
                format!("clients cannot connect: {mode} needs a client CA, and ACME certificates carry none")
            } else {
                format!("clients with any certificate of {object} can connect: {mode} uses its CA")
            };
            for namespace in &context.placement {
                let includes = |only: Option<&str>| only.is_none_or(|only| only == *namespace);
                if includes(object.namespace.as_deref()) && includes(credential.namespace) {
                    let name = credential.name.to_owned();
                    findings
                        .report(format!("spec.servers[{}].tls", named.index), problem.as_str())
                        .subject(named.text)
                        .help(help.as_str())
                        .about(SecretName { namespace: (*namespace).to_owned(), name })
                        .rests_on(object);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, issuer, istio};
    use crate::rule::Caller;
    use rstest::rstest;
    use serde_json::{Value, json};

    const ID: &str = "client-ca-missing";

    fn cluster() -> TestCluster {
        TestCluster::default()
            .object(cluster_issuer("le").spec(json!({"acme": {}})).ready())
            .object(issuer("team-a", "ca").spec(json!({"ca": {"secretName": "ca"}})).ready())
    }

    fn with_tls(tls: Value) -> GatewayFixture {
        istio("shop").with("/spec/servers/0/tls", tls)
    }

    fn mutual() -> GatewayFixture {
        with_tls(json!({"mode": "MUTUAL", "credentialName": "a"}))
    }

    #[rstest]
    #[case::mutual(json!({"mode": "MUTUAL", "credentialName": "a"}), Some("a"))]
    #[case::optional(json!({"mode": "OPTIONAL_MUTUAL", "credentialName": "a"}), Some("a"))]
    #[case::ca_empty(json!({"mode": "MUTUAL", "credentialName": "a", "caCertCredentialName": ""}), Some("a"))]
    #[case::with_a_namespace(
        json!({"mode": "MUTUAL", "credentialName": "kubernetes://team-a/a"}), Some("kubernetes://team-a/a")
    )]
    #[case::the_first_of_three(json!({"mode": "MUTUAL", "credentialNames": ["a", "b", "c"]}), Some("a"))]
    #[case::the_first_is_no_secret(json!({"mode": "MUTUAL", "credentialNames": ["sds://x", "b"]}), None)]
    #[case::simple(json!({"mode": "SIMPLE", "credentialName": "a"}), None)]
    #[case::mesh(json!({"mode": "ISTIO_MUTUAL", "credentialName": "a"}), None)]
    #[case::no_mode(json!({"credentialName": "a"}), None)]
    #[case::ca_set(json!({"mode": "MUTUAL", "credentialName": "a", "caCertCredentialName": "clients"}), None)]
    #[case::another_namespace(json!({"mode": "MUTUAL", "credentialName": "kubernetes://team-b/a"}), None)]
    fn servers(#[case] tls: Value, #[case] expected: Option<&str>) {
        let expected: Vec<String> =
            expected.iter().map(|name| format!("warn spec.servers[0].tls | {name}")).collect();
        for (key, name) in [("issuer", "ca"), ("cluster-issuer", "le")] {
            assert_eq!(with_tls(tls.clone()).cert_manager(key, name).found_by(ID, &cluster()), expected);
        }
    }

    #[rstest]
    #[case::http("HTTP", 0)]
    #[case::tls("TLS", 1)]
    fn only_servers_with_tls(#[case] protocol: &str, #[case] count: usize) {
        let gateway = mutual().cert_manager("issuer", "ca");
        let gateway = gateway.with("/spec/servers/0/port/protocol", json!(protocol));
        assert_eq!(gateway.found_by(ID, &cluster()).len(), count);
    }

    #[rstest]
    #[case::acme("cluster-issuer", "le", "clients cannot connect: MUTUAL needs")]
    #[case::of_ones_own("issuer", "ca", "clients with any certificate of Issuer \"ca\"")]
    fn problems(#[case] key: &str, #[case] name: &str, #[case] expected: &str) {
        let found = mutual().cert_manager(key, name).findings_of(ID, &cluster());
        assert_eq!(found.len(), 1);
        assert!(found[0].contains(expected), "{found:?}");
        assert!(found[0].contains("Secret a-cacert"), "{found:?}");
    }

    #[test]
    fn the_help_is_short_for_a_long_name() {
        let gateway = with_tls(json!({"mode": "MUTUAL", "credentialName": "a".repeat(253)}));
        let gateway = gateway.cert_manager("issuer", "ca");
        let findings = gateway.checked(&cluster(), Caller::Admission).findings;
        let help = findings.iter().find(|finding| finding.rule == ID).map(|finding| finding.help.as_str());
        assert!(help.is_some_and(|help| help.chars().count() <= 120 && help.contains("-cacert")), "{help:?}");
    }

    #[test]
    fn an_absent_issuer_is_not_reported() {
        assert_eq!(mutual().cert_manager("issuer", "absent").found_by(ID, &cluster()), Vec::<String>::new());
    }

    #[test]
    fn gateway_api_has_no_such_mode() {
        let gateway = gateway_api("web").cert_manager("issuer", "ca");
        assert_eq!(gateway.found(&cluster()), Vec::<String>::new());
    }

    #[test]
    fn the_issuer_of_each_namespace_counts() {
        let settings = json!({"rules": {"issuer-cross-namespace": "off"}, "gateway_namespaces": [
            {"labels": {"istio": "ingressgateway", "zone": "a"}, "namespace": "zone-a"},
            {"labels": {"istio": "ingressgateway", "zone": "b"}, "namespace": "zone-b"},
        ]});
        let found = |credential: &str, key: &str| {
            let tls = json!({"mode": "MUTUAL", "credentialName": credential});
            let gateway = with_tls(tls).cert_manager(key, "le").settings(settings.clone());
            let cluster = cluster().object(issuer("zone-a", "le").spec(json!({"acme": {}})).ready());
            let cluster = cluster.object(issuer("zone-b", "le").spec(json!({"ca": {}})).ready());
            let mut findings = gateway.checked(&cluster, Caller::Admission).findings;
            findings.retain(|finding| finding.rule == ID);
            let brief = |finding: &crate::finding::Finding| {
                let is_acme = finding.problem.contains("ACME");
                format!("{}{}", finding.certificate.as_ref().unwrap(), if is_acme { " acme" } else { "" })
            };
            findings.iter().map(brief).collect::<Vec<_>>()
        };
        assert_eq!(found("a", "issuer"), ["zone-a/a acme", "zone-b/a"]);
        assert_eq!(found("a", "cluster-issuer"), ["zone-a/a acme", "zone-b/a acme"]);
        assert_eq!(found("kubernetes://zone-b/a", "issuer"), ["zone-b/a"]);
    }

    #[test]
    fn a_rejection_is_checked_with_a_fresh_issuer() {
        let cluster = cluster();
        assert!(!mutual().cert_manager("issuer", "ca").level(ID, "reject").create(&cluster).accepted);
        assert_eq!(cluster.asked(), ["Issuer team-a/ca", "Issuer team-a/ca fresh"]);
    }
}
