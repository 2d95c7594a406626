//! No solver of the ACME issuer answers for a name.
//!
//! For each name of an Order cert-manager uses the solver with the best match: by `dnsNames`, then by the
//! longest of `dnsZones`, then by the number of `matchLabels`, which are compared with the labels of the
//! Certificate. If none matches, the Order stays pending forever, and only an Event says why. A wildcard
//! needs a `dns01` solver, an IP address an `http01` solver. An issuer without any solvers is not
//! checked: its CA can know in advance who owns the names.
//!
//! Rejected, if the issuer has only an `http01` solver:
//! ```yaml
//! hosts: ["*.shop.example.com"]
//! ```
//! Accepted:
//! ```yaml
//! hosts: [shop.example.com]
//! ```
//! With `acme_wildcards: any` in the settings, the CA is assumed to offer HTTP-01 for wildcards too.
//! Certificates of a Gateway API Gateway have its labels; those of an Istio Gateway have the labels that
//! `copy_labels` lists.

use certificate_shim::Certificate;
use certificate_shim::gateway::GatewayKind;

use crate::context::Context;
use crate::issuance::{Issuance, Name, acme_issuances};
use crate::issuer::acme::Solver;
use crate::issuer::solver::Fit;
use crate::rule::{Findings, Rule};
use crate::text::{quote, quoted_list};

/// `acme-solver-missing`
pub const RULE: Rule = Rule::reject("acme-solver-missing", check);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    for found in acme_issuances(context) {
        let Some(picker) = found.picker(context.settings) else { continue };
        for name in found.issuance.names() {
            if picker.pick(name.text, name.is_ip).is_some() {
                continue;
            }
            let Some((index, solver, fit)) = picker.closest(name.text, name.is_ip) else { break };
            let (reason, help) = misfit(context, &found.issuance, &name, solver, fit);
            let problem = format!(
                "{} has no solver for {}; the closest, spec.acme.solvers[{index}], {reason}",
                found.object,
                quote(name.text)
            );
            findings
                .report(name.path(), problem)
                .subject(name.text)
                .help(help)
                .about(name.certificate.map(Certificate::secret))
                .rests_on(found.object);
        }
    }
}

/// The reason why the closest solver does not answer for the name, and the help.
fn misfit(
    context: &Context<'_>,
    issuance: &Issuance<'_>,
    name: &Name<'_>,
    solver: &Solver<'_>,
    fit: Fit,
) -> (String, &'static str) {
    let mut reasons: Vec<String> = Vec::new();
    let mut help = "";
    let mut add = |reason: String, fix: &'static str| {
        reasons.push(reason);
        help = fix;
    };
    if fit.zones.is_none() {
        let zones = &solver.dns_zones;
        let is_meant = |zone: &&&str| zone.strip_prefix("*.").is_some_and(|zone| name.text.ends_with(zone));
        match zones.iter().find(is_meant) {
            Some(zone) => add(
                format!("has the dnsZone {}, which is only that name and nothing below it", quote(zone)),
                "Use another issuer. Platform team: remove \"*.\" from the zone.",
            ),
            None => add(
                format!("is limited to the dnsZones {}", quoted_list(zones)),
                "Use a host in one of them, or another issuer. Platform team: add the zone to the solver.",
            ),
        }
    }
    if fit.names.is_none() {
        add(
            format!("is limited to the dnsNames {}", quoted_list(&solver.dns_names)),
            "Use one of them, or another issuer. Platform team: add the name to the solver.",
        );
    }
    if fit.labels.is_none() {
        let missing = solver.match_labels.iter().find(|(key, value)| issuance.label(key) != Some(value));
        let (key, value) = missing.unwrap_or((&"", &""));
        let is_istio = context.gateway.kind == GatewayKind::Istio;
        let is_copied = !is_istio || context.settings.plan.takes_label(key);
        add(
            format!("is limited to Certificates with the label {}", quote(&format!("{key}: {value}"))),
            if is_copied {
                "Add the label to the Gateway, or use another issuer."
            } else if context.gateway.metadata.labels.get(key) == Some(value) {
                "Use another issuer. Platform team: add the label to copy_labels."
            } else {
                "Use another issuer, or add the label. Platform team: add it to copy_labels too."
            },
        );
    }
    if !fit.offered {
        if solver.http01.is_none() && !solver.dns01 {
            add(
                "has neither http01 nor dns01".to_owned(),
                "Use another issuer. Platform team: add http01 or dns01 to the solver.",
            );
        } else if name.is_ip {
            add(
                "uses DNS-01, but an IP address needs HTTP-01".to_owned(),
                "Use a host name, or an issuer with an http01 solver.",
            );
        } else {
            add(
                "uses HTTP-01, but a wildcard needs DNS-01".to_owned(),
                "List the hosts, or use an issuer with a dns01 solver.",
            );
        }
    }
    (reasons.join(" and "), help)
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{
        GatewayFixture, TestCluster, cluster_issuer, gateway_api, issuer, istio, listener_set,
    };
    use crate::rule::Caller;
    use rstest::rstest;
    use serde_json::{Value, json};

    const ID: &str = "acme-solver-missing";

    fn cluster(solvers: Value) -> TestCluster {
        TestCluster::default()
            .object(cluster_issuer("le").ready().solvers(solvers))
            .object(gateway_api("web"))
    }

    fn http01() -> Value {
        json!({"http01": {"ingress": {"ingressClassName": "istio"}}})
    }

    fn annotated(gateway: GatewayFixture) -> GatewayFixture {
        gateway.cert_manager("cluster-issuer", "le")
    }

    fn shop(host: &str) -> GatewayFixture {
        annotated(istio("shop")).with("/spec/servers/0/hosts/0", json!(host))
    }

    fn web(host: &str) -> GatewayFixture {
        annotated(gateway_api("web")).with("/spec/listeners/0/hostname", json!(host))
    }

    /// The one finding of this rule: the closest solver and why it does not answer.
    fn reason(gateway: &GatewayFixture, solvers: &Value) -> Option<(String, String)> {
        let mut findings = gateway.checked(&cluster(solvers.clone()), Caller::Admission).findings;
        findings.retain(|finding| finding.rule == ID);
        assert!(findings.len() < 2, "{findings:?}");
        let finding = findings.pop()?;
        let (_, reason) = finding.problem.split_once("; the closest, spec.acme.solvers").unwrap();
        Some((reason.to_owned(), finding.help))
    }

    /// A tenant can write the names and the issuer, so their product is bounded.
    #[rstest]
    #[case::at_most(9_999, 1)]
    #[case::more(10_000, 0)]
    fn many_zones(#[case] zones: usize, #[case] findings: usize) {
        let zones: Vec<String> = (0..zones).map(|i| format!("z{i}.example.org")).collect();
        let solvers = json!([{"selector": {"dnsZones": zones}, "dns01": {}}]);
        let hosts: Vec<String> = (0..10).map(|i| format!("h{i}.example.com")).collect();
        let gateway = shop("x").with("/spec/servers/0/hosts", json!(hosts));
        assert_eq!(gateway.found_by(ID, &cluster(solvers)).len().min(1), findings);
    }

    #[rstest]
    #[case::in_a_zone(json!([{"selector": {"dnsZones": ["example.com"]}, "dns01": {}}]), "*.example.com")]
    #[case::no_solvers(json!([]), "*.example.com")]
    // Since 1.20 cert-manager adds the Gateway itself to the solver's parentRefs.
    #[case::route_of_another_gateway(
        json!([{"http01": {"gatewayHTTPRoute": {"parentRefs": [{"name": "other"}]}}}]), "a.example.com"
    )]
    fn solved(#[case] solvers: Value, #[case] host: &str) {
        let set = annotated(listener_set("extra")).with("/spec/listeners/0/hostname", json!(host));
        for gateway in [shop(host), web(host), set] {
            assert_eq!(gateway.found(&cluster(solvers.clone())), Vec::<String>::new());
        }
    }

    #[rstest]
    #[case::wildcard_by_http01(json!([http01()]), "*.example.com", "[0], uses HTTP-01")]
    #[case::address_by_dns01(json!([{"dns01": {}}]), "192.0.2.1", "[0], uses DNS-01")]
    #[case::no_challenge(json!([{}]), "a.example.com", "[0], has neither http01 nor dns01")]
    #[case::zones(
        json!([http01(), {"selector": {"dnsZones": ["example.org", "b.example.com"]}, "dns01": {}}]),
        "*.example.com",
        "[1], is limited to the dnsZones \"example.org\", \"b.example.com\""
    )]
    #[case::wildcard_zone(
        json!([{"selector": {"dnsZones": ["*.example.org", "*.example.com"]}, "dns01": {}}]),
        "a.example.com",
        "[0], has the dnsZone \"*.example.com\""
    )]
    #[case::wildcard_zone_of_another_domain(
        json!([{"selector": {"dnsZones": ["*.example.org"]}, "dns01": {}}]),
        "a.example.com",
        "[0], is limited to the dnsZones"
    )]
    #[case::names(
        json!([{"selector": {"dnsNames": ["b.example.com"]}, "dns01": {}}]),
        "a.example.com",
        "[0], is limited to the dnsNames \"b.example.com\""
    )]
    #[case::two_reasons(
        json!([{"selector": {"dnsZones": ["example.org"]}, "http01": {}}]),
        "*.example.com",
        "[0], is limited to the dnsZones \"example.org\" and uses HTTP-01"
    )]
    fn not_solved(#[case] solvers: Value, #[case] host: &str, #[case] expected: &str) {
        let places = [(shop(host), "spec.servers[0].hosts[0]"), (web(host), "spec.listeners[0].hostname")];
        for (gateway, path) in places {
            let found = gateway.found(&cluster(solvers.clone()));
            assert_eq!(found, [format!("{ID} reject {path} | {host}")]);
            let (reason, help) = reason(&gateway, &solvers).unwrap();
            assert!(reason.starts_with(expected), "{reason}");
            assert!((1..=120).contains(&help.len()), "{help}");
        }
    }

    #[test]
    fn some_cas_offer_http01_for_wildcards() {
        let gateway = shop("*.example.com").settings(json!({"acme_wildcards": "any"}));
        assert_eq!(gateway.found(&cluster(json!([http01()]))), Vec::<String>::new());
    }

    const COPIED: [&str; 1] = ["team"];
    const NONE: [&str; 0] = [];

    #[rstest]
    #[case::gateway_api_with(web("a.example.com").label("team", "a"), &NONE, None)]
    #[case::gateway_api_without(web("a.example.com"), &NONE, Some("Add the label to the Gateway"))]
    #[case::gateway_api_with_another(web("a.example.com").label("team", "b"), &NONE, Some("Add the label"))]
    #[case::istio_without(shop("a.example.com"), &NONE, Some("Use another issuer, or add the label."))]
    #[case::istio_not_copied(
        shop("a.example.com").label("team", "a"), &NONE, Some("Use another issuer. Platform team: ")
    )]
    #[case::istio_copied(shop("a.example.com").label("team", "a"), &COPIED, None)]
    #[case::istio_would_be_copied(shop("a.example.com"), &COPIED, Some("Add the label to the Gateway"))]
    fn labels(#[case] gateway: GatewayFixture, #[case] copied: &[&str], #[case] fix: Option<&str>) {
        let labels = json!({"app": "shop", "team": "a"});
        let gateway = gateway.label("app", "shop");
        let copied: Vec<&str> = copied.iter().copied().chain(["app"]).collect();
        let solvers = json!([{"selector": {"matchLabels": labels}, "dns01": {}}]);
        let found = reason(&gateway.settings(json!({"copy_labels": copied})), &solvers);
        assert_eq!(found.is_some(), fix.is_some());
        if let Some(((reason, help), fix)) = found.zip(fix) {
            assert_eq!(reason, "[0], is limited to Certificates with the label \"team: a\"");
            assert!(help.starts_with(fix), "{help}");
        }
    }

    #[test]
    fn names_of_annotations_are_those_of_every_certificate() {
        let cluster = cluster(json!([{"selector": {"dnsZones": ["example.com"]}, "dns01": {}}]));
        let gateway = shop("a.example.org").cert_manager("alt-names", "b.example.com,b.example.org");
        let findings =
            gateway.cert_manager("ip-sans", "192.0.2.1").checked(&cluster, Caller::Admission).findings;
        let annotation = |key| format!("metadata.annotations[cert-manager.io/{key}]");
        let found: Vec<_> = findings
            .iter()
            .map(|finding| (finding.path.clone(), finding.certificate.as_ref().map(ToString::to_string)))
            .collect();
        assert_eq!(
            found,
            [
                ("spec.servers[0].hosts[0]".to_owned(), Some("team-a/shop-tls".to_owned())),
                (annotation("alt-names"), None),
                (annotation("ip-sans"), None),
            ]
        );
    }

    #[test]
    fn each_namespace_has_its_own_issuer() {
        let gateway = istio("shop").cert_manager("issuer", "acme").settings(
            json!({"rules": {"issuer-cross-namespace": "off"}, "gateway_namespaces": [
                {"labels": {"istio": "ingressgateway", "zone": "a"}, "namespace": "zone-a"},
                {"labels": {"istio": "ingressgateway", "zone": "b"}, "namespace": "zone-b"},
            ]}),
        );
        let cluster = TestCluster::default()
            .object(issuer("zone-a", "acme").ready().solvers(json!([http01()])))
            .object(issuer("zone-b", "acme").ready().solvers(json!([{"dns01": {}}])));
        let gateway = gateway.with("/spec/servers/0/hosts/0", json!("*.example.com"));
        let findings = gateway.checked(&cluster, Caller::Admission).findings;
        let secrets: Vec<_> =
            findings.iter().map(|finding| finding.certificate.as_ref().unwrap().to_string()).collect();
        assert_eq!(secrets, ["zone-a/shop-tls"]);
    }

    #[test]
    fn other_issuers_need_no_solver() {
        let spec = json!({"ca": {"secretName": "ca"}});
        let cluster = TestCluster::default().object(cluster_issuer("le").ready().spec(spec));
        assert_eq!(shop("*.example.com").found(&cluster), Vec::<String>::new());
    }

    #[test]
    fn a_rejection_is_checked_with_a_fresh_issuer() {
        let cluster = cluster(json!([http01()]));
        assert_eq!(shop("*.example.com").create(&cluster).code, Some(422));
        assert_eq!(cluster.asked(), ["ClusterIssuer le", "ClusterIssuer le fresh"]);
    }
}
