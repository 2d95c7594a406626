//! The CA will look for an HTTP-01 challenge at this Gateway and not find it.
//!
//! The CA asks port 80 of the host. Istio redirects all of a host's paths where `httpsRedirect` is
//! set, so that the challenge has to be answered on port 443 as well. An Ingress that the solver
//! makes for a class other than `istio` is served by another controller, and an HTTPRoute without
//! `parentRefs` is not made at all: cert-manager fills them in for Gateway API only.
//!
//! Warned about, for an Istio Gateway whose issuer solves with `http01`:
//! ```yaml
//! servers:
//! - port: {number: 80, name: http, protocol: HTTP}
//!   hosts: [shop.example.com]
//!   tls: {httpsRedirect: true}
//! ```
//! Accepted silently: the same Gateway with an issuer whose solver for that host is `dns01`, or
//! ```yaml
//! servers:
//! - port: {number: 80, name: http, protocol: HTTP}
//!   hosts: [shop.example.com]
//! ```
//! Redirects of Gateway API are made in HTTPRoutes, which are not looked at.

use std::collections::BTreeSet;

use certificate_shim::annotation;
use certificate_shim::gateway::{Gateway, GatewayKind, Spec, host_name};
use certificate_shim::template::Template;

use super::{Applies, Findings, Judges, Rule};
use crate::context::Context;
use crate::finding::{Level, Refusal};
use crate::issuance::acme_issuances;
use crate::issuer::acme::Http01;
use crate::named::covers;
use crate::text::quote;

/// `acme-reachability`
pub const RULE: Rule = Rule {
    id: "acme-reachability",
    default: Level::Warn,
    refusal: Refusal::Invalid,
    applies: Applies::Everywhere,
    judges: Judges::Annotated,
    check,
};

/// The class whose Ingresses Istio serves (`ingressClass` of its mesh configuration).
const ISTIO_CLASS: &str = "istio";

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    if context.gateway.kind != GatewayKind::Istio {
        return;
    }
    let redirected = redirected_hosts(context.gateway);
    for found in acme_issuances(context) {
        let picker = found.picker(context.settings);
        let Some(first) = found.issuance.certificates.first() else { continue };
        for name in found.issuance.names() {
            let Some(http01) = picker.pick(name.text, name.is_ip).and_then(|solver| solver.http01) else {
                continue;
            };
            let (why, mend) = if covers(&redirected, name.text) {
                (
                    "this Gateway redirects port 80 of it to HTTPS".to_owned(),
                    "Remove that httpsRedirect, answer on port 443 too, or use a dns01 solver.",
                )
            } else if let Some(class) = foreign_class(http01, &first.template) {
                (
                    format!("Istio does not serve ingress class {}", quote(class)),
                    "Use a solver of class istio or dns01, unless port 80 of it is elsewhere.",
                )
            } else if lacks_parents(http01, &first.template) {
                (
                    "the solver's HTTPRoute has no parentRefs".to_owned(),
                    "Have parentRefs added to the solver, or use one of class istio or dns01.",
                )
            } else {
                continue;
            };
            let what = format!("{} solves {} by HTTP-01, and {why}", found.object, quote(name.text));
            findings.push(name.path(), name.text.to_owned(), what, mend.to_owned()).about(name.certificate);
        }
    }
}

/// The hosts of servers on port 80 that redirect, without namespaces, in lower case.
fn redirected_hosts(gateway: &Gateway<'_>) -> BTreeSet<String> {
    let mut hosts = BTreeSet::new();
    let Spec::Servers { servers, .. } = &gateway.spec else { return hosts };
    for server in servers {
        let redirects = server.tls.as_ref().is_some_and(|tls| tls.https_redirect);
        if server.port == Some(80) && redirects {
            for host in &server.hosts {
                hosts.insert(host_name(host).into_owned());
            }
        }
    }
    hosts
}

/// The class of the solver's Ingress, where it is one that Istio does not serve. Annotations of the
/// Certificate come before the issuer (`applyIngressParameterAnnotationOverrides` in
/// pkg/controller/acmeorders/util.go).
fn foreign_class<'c>(http01: Http01<'c>, template: &'c Template) -> Option<&'c str> {
    let Http01::Ingress { class } = http01 else { return None };
    let annotation = |key| template.annotations.get(key).map(String::as_str);
    let class = if annotation(annotation::HTTP01_OVERRIDE_INGRESS_NAME).is_some() {
        ""
    } else {
        annotation(annotation::HTTP01_OVERRIDE_INGRESS_CLASS_NAME)
            .or(annotation(annotation::HTTP01_OVERRIDE_INGRESS_CLASS))
            .unwrap_or(class)
    };
    Some(class).filter(|class| !class.is_empty() && *class != ISTIO_CLASS)
}

fn lacks_parents(http01: Http01<'_>, template: &Template) -> bool {
    http01 == Http01::Route { has_parents: false }
        && !template.annotations.contains_key(annotation::HTTP01_PARENT_REF_NAME)
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio};
    use rstest::rstest;
    use serde_json::{Value, json};

    const REDIRECT: &str = "this Gateway redirects port 80 of it to HTTPS. Remove that httpsRedirect, answer on port 443 too, or use a dns01 solver.";
    const CLASS: &str = "Istio does not serve ingress class \"nginx\". Use a solver of class istio or dns01, unless port 80 of it is elsewhere.";
    const PARENTS: &str = "the solver's HTTPRoute has no parentRefs. Have parentRefs added to the solver, or use one of class istio or dns01.";

    fn ingress(class: &str) -> Value {
        json!({"http01": {"ingress": {"ingressClassName": class}}})
    }

    fn cluster(solver: &Value) -> TestCluster {
        let acme = |name| cluster_issuer(name).ready().solvers(json!([solver]));
        TestCluster::default().object(acme("le")).object(acme("other"))
    }

    fn shop() -> GatewayFixture {
        istio("shop").cert_manager("cluster-issuer", "le")
    }

    fn port_80(gateway: GatewayFixture, host: &str, tls: Value) -> GatewayFixture {
        let port = json!({"number": 80, "name": "http", "protocol": "HTTP"});
        gateway.push("/spec/servers", json!({"port": port, "hosts": [host], "tls": tls}))
    }

    fn redirecting(host: &str) -> GatewayFixture {
        port_80(shop(), host, json!({"httpsRedirect": true}))
    }

    #[rstest]
    #[case::redirect(redirecting("shop.team-a.example.com"), ingress("istio"), REDIRECT)]
    #[case::with_a_namespace(redirecting("team-a/SHOP.team-a.example.com."), ingress("istio"), REDIRECT)]
    #[case::of_a_wildcard(redirecting("*.example.com"), ingress("istio"), REDIRECT)]
    #[case::of_every_host(redirecting("*"), ingress("istio"), REDIRECT)]
    #[case::the_redirect_is_told_first(redirecting("*"), ingress("nginx"), REDIRECT)]
    #[case::class(shop(), ingress("nginx"), CLASS)]
    #[case::old_field(shop(), json!({"http01": {"ingress": {"class": "nginx"}}}), CLASS)]
    #[case::route(shop(), json!({"http01": {"gatewayHTTPRoute": {}}}), PARENTS)]
    fn found(#[case] gateway: GatewayFixture, #[case] solver: Value, #[case] why: &str) {
        assert_eq!(
            gateway.findings(&cluster(&solver)),
            [format!(
                "acme-reachability: spec.servers[0].hosts[0]: ClusterIssuer \"le\" solves \"shop.team-a.example.com\" by HTTP-01, and {why}"
            )]
        );
    }

    #[rstest]
    #[case::no_redirect(port_80(shop(), "*", json!({})), ingress("istio"))]
    #[case::of_another_host(redirecting("web.team-a.example.com"), ingress("istio"))]
    #[case::of_another_wildcard(redirecting("*.shop.team-a.example.com"), ingress("istio"))]
    #[case::dns01(redirecting("*"), json!({"dns01": {}}))]
    #[case::no_class(shop(), json!({"http01": {"ingress": {}}}))]
    #[case::route(shop(), json!({"http01": {"gatewayHTTPRoute": {"parentRefs": [{"name": "web"}]}}}))]
    #[case::gateway_api(gateway_api("web").cert_manager("cluster-issuer", "le"), ingress("nginx"))]
    fn not_found(#[case] gateway: GatewayFixture, #[case] solver: Value) {
        assert_eq!(gateway.findings(&cluster(&solver)), Vec::<String>::new());
    }

    #[rstest]
    #[case::by_name("http01-override-ingress-name", "web", ingress("nginx"), 0)]
    #[case::by_class("http01-override-ingress-class", "nginx", ingress("istio"), 1)]
    #[case::by_class_name("http01-override-ingress-ingressclassname", "istio", ingress("nginx"), 0)]
    #[case::by_parent("http01-parentrefname", "web", json!({"http01": {"gatewayHTTPRoute": {}}}), 0)]
    fn overridden(#[case] key: &str, #[case] value: &str, #[case] solver: Value, #[case] expected: usize) {
        let key = format!("acme.cert-manager.io/{key}");
        let gateway = shop().annotation(&key, value).settings(json!({"copy_annotations": [key]}));
        let findings = gateway.findings(&cluster(&solver));
        let found = findings.iter().filter(|finding| finding.starts_with("acme-reachability: "));
        assert_eq!(found.count(), expected, "{findings:?}");
    }

    fn strict(host: &str) -> GatewayFixture {
        let gateway = shop().with("/spec/servers/0/hosts/0", json!(host));
        gateway.settings(json!({"rules": {"acme-reachability": "reject"}}))
    }

    #[rstest]
    #[case::kept(strict("a.example.com"), true)]
    #[case::another_host(strict("b.example.com"), false)]
    #[case::another_secret(strict("a.example.com").with("/spec/servers/0/tls/credentialName", json!("b-tls")), false)]
    #[case::another_issuer(strict("a.example.com").cert_manager("cluster-issuer", "other"), false)]
    fn updates(#[case] old: GatewayFixture, #[case] let_through: bool) {
        let new = strict("a.example.com").annotation("a", "b");
        assert_eq!(new.update_from(&old, &cluster(&ingress("nginx"))).accepted, let_through);
    }
}
