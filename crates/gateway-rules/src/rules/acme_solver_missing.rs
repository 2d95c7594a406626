//! No solver of the ACME issuer answers for a name.
//!
//! cert-manager takes, for each name of an Order, the solver whose selector fits best: by
//! `dnsNames`, then by the longest of `dnsZones`, then by the number of `matchLabels`, which are
//! compared with the Certificate's labels. Where none fits, the Order stays pending for ever, with
//! nothing but an event. A wildcard needs a `dns01` solver, an IP address an `http01` one. An issuer
//! without any solvers is left alone: its CA may know beforehand whose names they are.
//!
//! Refused, where the issuer's only solver is `http01`:
//! ```yaml
//! cert-manager.io/cluster-issuer: letsencrypt
//! # spec.servers[0].hosts: ["*.shop.example.com"]
//! ```
//! Accepted:
//! ```yaml
//! cert-manager.io/cluster-issuer: letsencrypt
//! # spec.servers[0].hosts: ["shop.example.com"]
//! ```
//! `acme_wildcards: any` in the settings says that the CA offers HTTP-01 for wildcards as well.
//! Certificates of a Gateway API Gateway carry its labels, those of an Istio Gateway the labels
//! that `copy_labels` lists.

use certificate_shim::Certificate;
use certificate_shim::gateway::GatewayKind;

use super::{Applies, Findings, Judges, Rule};
use crate::context::Context;
use crate::finding::{Level, Refusal};
use crate::issuance::{Name, acme_issuances};
use crate::issuer::acme::Solver;
use crate::issuer::solver::Fit;
use crate::text::{quote, quoted_list};

/// `acme-solver-missing`
pub const RULE: Rule = Rule {
    id: "acme-solver-missing",
    default: Level::Reject,
    refusal: Refusal::Invalid,
    applies: Applies::Everywhere,
    judges: Judges::Annotated,
    check,
};

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    for found in acme_issuances(context) {
        let picker = found.picker(context.settings);
        for name in found.issuance.names() {
            if picker.pick(name.text, name.is_ip).is_some() {
                continue;
            }
            let Some((index, solver, fit)) = picker.closest(name.text, name.is_ip) else { break };
            let (why, mend) =
                misfit(context, found.issuance.certificates.first().copied(), &name, solver, fit);
            let what = format!(
                "{} has no solver for {}; the closest, spec.acme.solvers[{index}], {why}",
                found.object,
                quote(name.text)
            );
            findings
                .push(name.path(), name.text.to_owned(), what, mend)
                .about(name.certificate)
                .resting_on(found.object);
        }
    }
}

/// Why the closest solver does not answer for the name, and what to do about it.
fn misfit(
    context: &Context<'_>,
    certificate: Option<&Certificate>,
    name: &Name<'_>,
    solver: &Solver<'_>,
    fit: Fit,
) -> (String, String) {
    let mut why = String::new();
    let mut mend = String::new();
    let mut add = |clause: &str, sentence: &str| {
        let separator = if why.is_empty() { "" } else { " and " };
        why.extend([separator, clause]);
        mend = sentence.to_owned();
    };
    if fit.zones.is_none() {
        let zones = &solver.dns_zones;
        let meant = |zone: &&&str| zone.strip_prefix("*.").is_some_and(|zone| name.text.ends_with(zone));
        match zones.iter().find(meant) {
            Some(zone) => add(
                &format!("has the dnsZone {}, which is that very name and nothing below it", quote(zone)),
                "The platform team has to write the zone without \"*.\".",
            ),
            None => add(
                &format!("is for the dnsZones {}", quoted_list(zones)),
                "Use a host in one of them or another issuer, or have the zone added to the solver.",
            ),
        }
    }
    if fit.names.is_none() {
        add(
            &format!("is for the dnsNames {}", quoted_list(&solver.dns_names)),
            "Use one of them or another issuer, or have the name added to the solver.",
        );
    }
    if fit.labels.is_none() {
        let label = |key: &str| certificate.and_then(|certificate| certificate.label(key));
        let lacking = solver.match_labels.iter().find(|(key, value)| label(key) != Some(value));
        let (key, value) = lacking.unwrap_or((&"", &""));
        let clause = format!("is for Certificates with the label {}", quote(&format!("{key}: {value}")));
        let is_istio = context.gateway.kind == GatewayKind::Istio;
        if is_istio && context.gateway.metadata.labels.get(key) == Some(value) {
            add(&clause, &format!("The platform team has to list {} in copy_labels.", quote(key)));
        } else if is_istio {
            let sentence =
                format!("Use another issuer, or add the label (copy_labels has to list {}).", quote(key));
            add(&clause, &sentence);
        } else {
            add(&clause, "Add the label to the Gateway, or use another issuer.");
        }
    }
    if !fit.offered {
        if solver.http01.is_none() && !solver.dns01 {
            add("answers neither HTTP-01 nor DNS-01", "The platform team has to mend the solver.");
        } else if name.is_ip {
            add(
                "answers DNS-01, and an IP address takes HTTP-01",
                "Use a host name, or an issuer with an http01 solver.",
            );
        } else {
            add(
                "answers HTTP-01, and a wildcard takes DNS-01",
                "Write out the hosts, or use an issuer with a dns01 solver.",
            );
        }
    }
    (why, mend)
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, issuer, istio};
    use rstest::rstest;
    use serde_json::{Value, json};

    const HTTP01: &str = "acme-solver-missing: spec.servers[0].hosts[0]: ClusterIssuer \"le\" has no solver for \"*.example.com\"; the closest, spec.acme.solvers[0], answers HTTP-01, and a wildcard takes DNS-01. Write out the hosts, or use an issuer with a dns01 solver.";

    fn cluster(solvers: Value) -> TestCluster {
        TestCluster::default().object(cluster_issuer("le").ready().solvers(solvers))
    }

    fn http01() -> Value {
        json!({"http01": {"ingress": {"ingressClassName": "istio"}}})
    }

    fn shop(host: &str) -> GatewayFixture {
        istio("shop").cert_manager("cluster-issuer", "le").with("/spec/servers/0/hosts/0", json!(host))
    }

    fn web(host: &str) -> GatewayFixture {
        gateway_api("web")
            .cert_manager("cluster-issuer", "le")
            .with("/spec/listeners/0/hostname", json!(host))
    }

    #[rstest]
    #[case::no_solvers(json!([]), "*.example.com")]
    #[case::http01(json!([http01()]), "www.example.com")]
    #[case::dns01(json!([http01(), {"dns01": {"webhook": {}}}]), "*.example.com")]
    #[case::zone(json!([{"selector": {"dnsZones": ["example.com"]}, "dns01": {"webhook": {}}}]), "*.example.com")]
    #[case::null_selector(json!([{"selector": null, "dns01": {}}]), "*.example.com")]
    fn a_solver_answers(#[case] solvers: Value, #[case] host: &str) {
        for gateway in [shop(host), web(host)] {
            assert_eq!(gateway.findings(&cluster(solvers.clone())), Vec::<String>::new());
        }
    }

    #[rstest]
    #[case::wildcard(json!([http01()]), "*.example.com", "\"*.example.com\"; the closest, spec.acme.solvers[0], answers HTTP-01, and a wildcard takes DNS-01. Write out the hosts, or use an issuer with a dns01 solver.")]
    #[case::address(json!([{"dns01": {}}]), "192.0.2.1", "\"192.0.2.1\"; the closest, spec.acme.solvers[0], answers DNS-01, and an IP address takes HTTP-01. Use a host name, or an issuer with an http01 solver.")]
    #[case::no_challenge(json!([{}]), "a.example.com", "\"a.example.com\"; the closest, spec.acme.solvers[0], answers neither HTTP-01 nor DNS-01. The platform team has to mend the solver.")]
    #[case::zones(
        json!([http01(), {"selector": {"dnsZones": ["example.org", "b.example.com"]}, "dns01": {}}]), "*.example.com",
        "\"*.example.com\"; the closest, spec.acme.solvers[1], is for the dnsZones \"example.org\", \"b.example.com\". Use a host in one of them or another issuer, or have the zone added to the solver."
    )]
    #[case::wildcard_zone(
        json!([{"selector": {"dnsZones": ["*.example.com"]}, "dns01": {}}]), "a.example.com",
        "\"a.example.com\"; the closest, spec.acme.solvers[0], has the dnsZone \"*.example.com\", which is that very name and nothing below it. The platform team has to write the zone without \"*.\"."
    )]
    #[case::names(
        json!([{"selector": {"dnsNames": ["b.example.com"]}, "dns01": {}}]), "a.example.com",
        "\"a.example.com\"; the closest, spec.acme.solvers[0], is for the dnsNames \"b.example.com\". Use one of them or another issuer, or have the name added to the solver."
    )]
    #[case::two_reasons(
        json!([{"selector": {"dnsZones": ["example.org"]}, "http01": {}}]), "*.example.com",
        "\"*.example.com\"; the closest, spec.acme.solvers[0], is for the dnsZones \"example.org\" and answers HTTP-01, and a wildcard takes DNS-01. Write out the hosts, or use an issuer with a dns01 solver."
    )]
    fn no_solver(#[case] solvers: Value, #[case] host: &str, #[case] expected: &str) {
        let found = |path: &str| {
            [format!("acme-solver-missing: {path}: ClusterIssuer \"le\" has no solver for {expected}")]
        };
        assert_eq!(shop(host).findings(&cluster(solvers.clone())), found("spec.servers[0].hosts[0]"));
        assert_eq!(web(host).findings(&cluster(solvers)), found("spec.listeners[0].hostname"));
    }

    #[test]
    fn the_ca_may_take_http01_for_wildcards() {
        let gateway = shop("*.example.com").settings(json!({"acme_wildcards": "any"}));
        assert_eq!(gateway.findings(&cluster(json!([http01()]))), Vec::<String>::new());
    }

    #[rstest]
    #[case::gateway_api_with(web("a.example.com").label("team", "a"), json!({}), None)]
    #[case::gateway_api_without(web("a.example.com"), json!({}), Some("Add the label to the Gateway, or use another issuer."))]
    #[case::istio_without(shop("a.example.com"), json!({}), Some("Use another issuer, or add the label (copy_labels has to list \"team\")."))]
    #[case::istio_not_copied(shop("a.example.com").label("team", "a"), json!({}), Some("The platform team has to list \"team\" in copy_labels."))]
    #[case::istio_copied(shop("a.example.com").label("team", "a"), json!({"copy_labels": ["team"]}), None)]
    fn labels(#[case] gateway: GatewayFixture, #[case] settings: Value, #[case] mend: Option<&str>) {
        let cluster = cluster(json!([{"selector": {"matchLabels": {"team": "a"}}, "dns01": {}}]));
        let findings = gateway.settings(settings).findings(&cluster);
        assert_eq!(findings.len(), usize::from(mend.is_some()), "{findings:?}");
        if let Some(mend) = mend {
            let expected =
                format!("spec.acme.solvers[0], is for Certificates with the label \"team: a\". {mend}");
            assert!(findings[0].ends_with(&expected), "{findings:?}");
        }
    }

    #[test]
    fn names_of_annotations() {
        let cluster = cluster(json!([{"selector": {"dnsZones": ["example.com"]}, "dns01": {}}]));
        let gateway = shop("a.example.com").cert_manager("alt-names", "b.example.com,b.example.org");
        let findings = gateway.cert_manager("ip-sans", "192.0.2.1").findings(&cluster);
        let paths: Vec<&str> = findings.iter().map(|finding| finding.split(": ").nth(1).unwrap()).collect();
        assert_eq!(
            paths,
            [
                "metadata.annotations[cert-manager.io/alt-names]",
                "metadata.annotations[cert-manager.io/ip-sans]"
            ]
        );
    }

    #[test]
    fn each_namespace_has_its_own_issuer() {
        let gateway = shop("*.example.com").settings(
            json!({"rules": {"issuer-cross-namespace": "off"}, "gateway_namespaces": [
                {"labels": {"istio": "ingressgateway", "zone": "a"}, "namespace": "zone-a"},
                {"labels": {"istio": "ingressgateway", "zone": "b"}, "namespace": "zone-b"},
            ]}),
        );
        let cluster = TestCluster::default()
            .object(issuer("zone-a", "acme").ready().solvers(json!([http01()])))
            .object(issuer("zone-b", "acme").ready().solvers(json!([{"dns01": {}}])));
        let gateway = gateway.metadata("annotations", json!({"cert-manager.io/issuer": "acme"}));
        let findings = gateway.findings(&cluster);
        assert_eq!(findings.len(), 1);
        assert!(
            findings[0].contains("Issuer \"acme\" in namespace \"zone-a\" has no solver"),
            "{findings:?}"
        );
    }

    #[test]
    fn other_issuers_have_no_solvers() {
        let spec = json!({"ca": {"secretName": "ca"}});
        let cluster = TestCluster::default().object(cluster_issuer("le").ready().spec(spec));
        assert_eq!(shop("*.example.com").findings(&cluster), Vec::<String>::new());
    }

    #[test]
    fn a_refusal_is_looked_up_once_more() {
        let cluster = cluster(json!([http01()]));
        let answer = shop("*.example.com").create(&cluster);
        assert_eq!((answer.code, answer.message.as_deref()), (Some(422), Some(HTTP01)));
        assert_eq!(cluster.asked(), ["ClusterIssuer le", "ClusterIssuer le fresh"]);
    }

    #[rstest]
    #[case::kept(shop("*.example.com"), true)]
    #[case::another_host(shop("*.example.org"), false)]
    #[case::another_secret(shop("*.example.com").with("/spec/servers/0/tls/credentialName", json!("b-tls")), false)]
    #[case::another_issuer(shop("*.example.com").cert_manager("cluster-issuer", "other"), false)]
    fn updates(#[case] old: GatewayFixture, #[case] let_through: bool) {
        let new = shop("*.example.com").annotation("a", "b");
        assert_eq!(new.update_from(&old, &cluster(json!([http01()]))).accepted, let_through);
    }
}
