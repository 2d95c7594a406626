//! The owners of Secrets were not checked.
//!
//! The policy may not read Certificates, the API server did not answer, or the Gateway has more Secrets
//! than `lookups.max` (8 by default). Everything else about the Gateway is checked. An update looks up only
//! the owners of Secrets that it adds or changes.
//!
//! Warned about, with `lookups: {max: 1}`:
//! ```yaml
//! servers:
//! - port: {number: 443, name: shop, protocol: HTTPS}
//!   hosts: [shop.example.com]
//!   tls: {mode: SIMPLE, credentialName: shop-tls}
//! - port: {number: 443, name: blog, protocol: HTTPS}
//!   hosts: [blog.example.com]
//!   tls: {mode: SIMPLE, credentialName: blog-tls}
//! ```
//! Accepted:
//! ```yaml
//! servers:
//! - port: {number: 443, name: shop, protocol: HTTPS}
//!   hosts: [shop.example.com]
//!   tls: {mode: SIMPLE, credentialName: shop-tls}
//! - port: {number: 443, name: blog, protocol: HTTPS}
//!   hosts: [blog.example.com]
//!   tls: {mode: SIMPLE, credentialName: shop-tls}
//! ```
//! To let the policy read Certificates, apply rbac.yaml and set in the ClusterAdmissionPolicy:
//! ```yaml
//! contextAwareResources:
//! - {apiVersion: cert-manager.io/v1, kind: Certificate}
//! ```

use crate::context::Context;
use crate::lookup::LookupError;
use crate::response::list;
use crate::rule::{Findings, Rule};

/// `secret-owner-unknown`
pub const RULE: Rule = Rule::warn("secret-owner-unknown", check).undetermined();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let certificates = context.certificates();
    if let Some((list, error)) = &certificates.failed_list {
        let problem = format!("Certificates were looked up by name only: {}", error.problem_of_list(list));
        findings.report("spec", problem).subject("list").help(context.help_of_list(error, list));
    }
    for found in &certificates.found {
        let Err(error) = &found.outcome else { continue };
        if *error == LookupError::NotFound {
            continue;
        }
        let problem = format!("the owners of Secrets were not checked: {}", error.problem(&found.object));
        findings.report("spec", problem).subject("Certificate").help(context.help(error, &found.object));
        // The others fail for the same reason.
        break;
    }
    if !certificates.unchecked.is_empty() {
        let max = context.settings.lookups.max;
        let secrets = list(&certificates.unchecked, 100);
        let problem =
            format!("the owners of these Secrets were not checked, as lookups.max is {max}: {secrets}");
        let help = "Use fewer Secrets. Platform team: increase lookups.max.";
        findings.report("spec", problem).subject("lookups.max").help(help);
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, certificate, cluster_issuer, gateway_api, istio};
    use crate::lookup::{Grant, LookupError};
    use rstest::rstest;
    use serde_json::{Value, json};

    const ID: &str = "secret-owner-unknown";

    fn cluster() -> TestCluster {
        TestCluster::default().object(cluster_issuer("le").ready())
    }

    /// An Istio Gateway with that many servers, each with a Secret of its own.
    fn servers(count: usize) -> GatewayFixture {
        let server = |i: usize| {
            json!({
                "port": {"number": 443, "name": format!("s{i}"), "protocol": "HTTPS"},
                "hosts": [format!("s{i}.example.com")],
                "tls": {"mode": "SIMPLE", "credentialName": format!("tls-{i}")},
            })
        };
        let servers: Vec<Value> = (0..count).map(server).collect();
        istio("shop").cert_manager("cluster-issuer", "le").with("/spec/servers", json!(servers))
    }

    fn at_most(max: usize, gateway: GatewayFixture) -> GatewayFixture {
        gateway.settings(json!({"lookups": {"max": max}}))
    }

    #[rstest]
    #[case::forbidden(LookupError::Forbidden, "grant get on certificates.cert-manager.io")]
    #[case::not_granted(LookupError::NotGranted(Grant::Resource), "contextAwareResources")]
    #[case::no_capability(LookupError::NotGranted(Grant::Capability), "grant the capability")]
    #[case::not_served(LookupError::KindNotServed, "install cert-manager")]
    #[case::unavailable(LookupError::Unavailable("code 503".into()), "Try again")]
    fn an_error_is_reported_once(#[case] error: LookupError, #[case] help: &str) {
        let failing = |name| certificate("team-a", name).reference();
        let cluster = cluster()
            .answer(&failing("tls-1"), Err(error.clone()))
            .answer(&failing("tls-2"), Err(error.clone()));
        let gateway = servers(3);
        assert_eq!(gateway.found(&cluster), [format!("{ID} warn spec | Certificate")]);
        let findings = gateway.findings(&cluster);
        assert!(findings[0].contains(&error.problem(&failing("tls-1"))), "{findings:?}");
        assert!(findings[0].contains(help), "{findings:?}");
    }

    /// Whatever the list has was compared; if it fails, as many as settings allow are looked up by name.
    #[rstest]
    #[case::listed(None, &[])]
    #[case::failed(Some(LookupError::Forbidden), &["warn spec | list", "warn spec | lookups.max"])]
    fn lists(#[case] error: Option<LookupError>, #[case] expected: &[&str]) {
        let gateway = servers(9).settings(json!({"lookups": {"list": ["certificates"]}}));
        let mut cluster = cluster();
        if let Some(error) = error {
            cluster = cluster.failing_list("Certificate", error);
        }
        assert_eq!(gateway.found_by(ID, &cluster), expected);
        assert_eq!(cluster.asked_for_certificates().len(), if expected.is_empty() { 0 } else { 8 });
        if !expected.is_empty() {
            let finding = &gateway.findings_of(ID, &cluster)[0];
            assert!(finding.contains("grant list and watch on certificates.cert-manager.io"), "{finding}");
        }
    }

    #[rstest]
    #[case::as_many_as_by_default(servers(8), 8, None)]
    #[case::one_more_than_by_default(servers(9), 8, Some("team-a/tls-8"))]
    #[case::one_more_than_set(at_most(2, servers(3)), 2, Some("team-a/tls-2"))]
    #[case::many(at_most(2, servers(100)), 2, Some("team-a/tls-2,team-a/tls-3,"))]
    #[case::none_is_asked_for(at_most(1, servers(3).cert_manager("issuer", "x")), 0, None)]
    fn more_than_settings_allow(
        #[case] gateway: GatewayFixture,
        #[case] asked: usize,
        #[case] unchecked: Option<&str>,
    ) {
        let cluster = cluster();
        let expected = unchecked.map(|_| "warn spec | lookups.max".to_owned());
        assert_eq!(gateway.found_by(ID, &cluster), expected.into_iter().collect::<Vec<_>>());
        assert_eq!(cluster.asked_for_certificates().len(), asked);
        let findings = gateway.findings_of(ID, &cluster);
        if let Some(unchecked) = unchecked {
            assert!(findings[0].contains(&format!(" {asked}: {unchecked}")), "{findings:?}");
        }
    }

    #[test]
    fn gateway_api_too() {
        let cluster =
            cluster().answer(&certificate("team-a", "web-tls").reference(), Err(LookupError::Forbidden));
        let gateway = gateway_api("web").cert_manager("cluster-issuer", "le");
        assert_eq!(gateway.found_by(ID, &cluster).len(), 1);
    }

    #[test]
    fn nothing_is_looked_up_if_all_rules_about_owners_are_off() {
        let rules = ["secret-not-owned", "secret-without-owner", ID];
        let asked = |off: &[&str]| {
            let cluster = cluster();
            off.iter().fold(servers(1), |gateway, rule| gateway.level(rule, "off")).create(&cluster);
            cluster.asked_for_certificates().len()
        };
        assert_eq!((asked(&rules[..2]), asked(&rules)), (1, 0));
    }

    /// An update looks up the owners of the Secrets that it changes, so only those count.
    #[rstest]
    #[case::nothing_changed(9, 9, 0, 0)]
    #[case::one_more(8, 9, 1, 0)]
    #[case::nine_more(1, 10, 8, 1)]
    fn updates(#[case] before: usize, #[case] now: usize, #[case] asked: usize, #[case] reported: usize) {
        let cluster = cluster();
        let gateway = |count| servers(count).level(ID, "reject");
        let response = gateway(now).annotation("a", "b").update_from(&gateway(before), &cluster);
        assert_eq!(response.accepted, reported == 0);
        assert_eq!(cluster.asked_for_certificates().len(), asked);
        assert_eq!(
            response.message.is_some_and(|message| message.contains(": team-a/tls-9.")),
            reported == 1
        );
    }
}
