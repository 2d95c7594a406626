//! The CA cannot find an HTTP-01 challenge of this Gateway.
//!
//! The CA requests the challenge on port 80 of the host. With `httpsRedirect` Istio redirects all paths of
//! the host, so the challenge must be answered on port 443 too. Istio serves only Ingresses of the class
//! `istio`; an Ingress that a solver creates with another class belongs to another controller. A solver
//! with `gatewayHTTPRoute` needs `parentRefs`, which cert-manager adds for Gateway API only.
//!
//! Warned about, if the issuer solves by `http01`:
//! ```yaml
//! servers:
//! - port: {number: 443, name: https, protocol: HTTPS}
//!   hosts: [shop.example.com]
//!   tls: {mode: SIMPLE, credentialName: shop-tls}
//! - port: {number: 80, name: http, protocol: HTTP}
//!   hosts: [shop.example.com]
//!   tls: {httpsRedirect: true}
//! ```
//! Accepted:
//! ```yaml
//! servers:
//! - port: {number: 443, name: https, protocol: HTTPS}
//!   hosts: [shop.example.com]
//!   tls: {mode: SIMPLE, credentialName: shop-tls}
//! - port: {number: 80, name: http, protocol: HTTP}
//!   hosts: [shop.example.com]
//! ```
//! The Gateway with the redirect is accepted if the issuer has a `dns01` solver for the host. Gateway API
//! redirects in HTTPRoutes, which are not checked.

use std::collections::BTreeSet;

use certificate_shim::Certificate;
use certificate_shim::annotation;
use certificate_shim::gateway::{Gateway, GatewayKind, Spec, host_name};
use certificate_shim::template::Template;

use crate::context::Context;
use crate::issuance::acme_issuances;
use crate::issuer::acme::Http01;
use crate::named::covers;
use crate::rule::{Findings, Rule};
use crate::text::quote;

/// `acme-reachability`
pub const RULE: Rule = Rule::warn("acme-reachability", check);

/// The class of the Ingresses that Istio serves (`ingressClass` of its mesh configuration).
const ISTIO_CLASS: &str = "istio";

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    if context.gateway.kind != GatewayKind::Istio {
        return;
    }
    let redirected = redirected_hosts(context.gateway);
    for found in acme_issuances(context) {
        let Some(picker) = found.picker(context.settings) else { continue };
        let template = found.issuance.template;
        for name in found.issuance.names() {
            let Some(http01) = picker.pick(name.text, name.is_ip).and_then(|solver| solver.http01) else {
                continue;
            };
            let (reason, help) = if covers(&|host| redirected.contains(host), name.text) {
                (
                    "this Gateway redirects port 80 to HTTPS".to_owned(),
                    "Remove httpsRedirect, answer on port 443 too, or use an issuer with a dns01 solver.",
                )
            } else if let Some(class) = foreign_class(http01, template) {
                (
                    format!("Istio does not serve the ingress class {}", quote(class)),
                    "Use an issuer with class istio or dns01, unless port 80 is served elsewhere.",
                )
            } else if lacks_parents(http01, template) {
                (
                    "the solver has no valid parentRefs".to_owned(),
                    "Use another issuer. Platform team: add parentRefs to the solver.",
                )
            } else {
                continue;
            };
            let problem = format!("{} solves {} by HTTP-01, but {reason}", found.object, quote(name.text));
            findings
                .report(name.path(), problem)
                .subject(name.text)
                .help(help)
                .about(name.certificate.map(Certificate::secret))
                .rests_on(found.object);
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

/// The class of the solver's Ingress, if Istio does not serve it. Annotations of the Certificate take
/// precedence over the issuer (`applyIngressParameterAnnotationOverrides` in
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

/// Whether the solver's HTTPRoute has no valid parents. Which ones it has does not matter: cert-manager
/// adds the one of the annotations, which need a name and a kind
/// (`applyGatewayAPIAnnotationParentRefOverride` in pkg/controller/acmeorders/util.go).
fn lacks_parents(http01: Http01<'_>, template: &Template) -> bool {
    let Http01::Route { has_parents } = http01 else { return false };
    let [name, kind] = [annotation::HTTP01_PARENT_REF_NAME, annotation::HTTP01_PARENT_REF_KIND]
        .map(|key| template.annotations.contains_key(key));
    name != kind || !(name || has_parents)
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio, listener_set};
    use rstest::rstest;
    use serde_json::{Value, json};

    const ID: &str = "acme-reachability";

    fn ingress(class: &str) -> Value {
        json!({"http01": {"ingress": {"ingressClassName": class}}})
    }

    fn route(parents: Value) -> Value {
        json!({"http01": {"gatewayHTTPRoute": {"parentRefs": parents}}})
    }

    fn cluster(solver: &Value) -> TestCluster {
        TestCluster::default()
            .object(cluster_issuer("le").ready().solvers(json!([solver])))
            .object(gateway_api("web"))
    }

    fn annotated(gateway: GatewayFixture) -> GatewayFixture {
        gateway.cert_manager("cluster-issuer", "le")
    }

    fn shop() -> GatewayFixture {
        annotated(istio("shop"))
    }

    /// A second server for that host.
    fn with_server(port: u16, host: &str, tls: Value) -> GatewayFixture {
        let port = json!({"number": port, "name": "http", "protocol": "HTTP"});
        shop().push("/spec/servers", json!({"port": port, "hosts": [host], "tls": tls}))
    }

    fn redirecting(host: &str) -> GatewayFixture {
        with_server(80, host, json!({"httpsRedirect": true}))
    }

    /// The first words of the reason, for a solver that answers for the host of the Gateway.
    fn reason(gateway: &GatewayFixture, solver: &Value) -> Option<&'static str> {
        let findings = gateway.findings_of(ID, &cluster(solver));
        ["redirects port 80", "ingress class \"nginx\"", "no valid parentRefs"]
            .into_iter()
            .find(|reason| findings.iter().any(|finding| finding.contains(reason)))
    }

    #[rstest]
    #[case::redirect(redirecting("shop.team-a.example.com"), ingress("istio"), "redirects port 80")]
    #[case::with_a_namespace(
        redirecting("team-a/SHOP.team-a.example.com."),
        ingress("istio"),
        "redirects port 80"
    )]
    #[case::redirected_wildcard(redirecting("*.example.com"), ingress("istio"), "redirects port 80")]
    #[case::every_host_redirected(redirecting("*"), ingress("istio"), "redirects port 80")]
    #[case::the_redirect_comes_first(redirecting("*"), ingress("nginx"), "redirects port 80")]
    #[case::class(shop(), ingress("nginx"), "ingress class \"nginx\"")]
    #[case::old_field(shop(), json!({"http01": {"ingress": {"class": "nginx"}}}), "ingress class \"nginx\"")]
    #[case::no_parents(shop(), route(json!(null)), "no valid parentRefs")]
    fn unreachable(#[case] gateway: GatewayFixture, #[case] solver: Value, #[case] expected: &str) {
        assert_eq!(
            gateway.found(&cluster(&solver)),
            [format!("{ID} warn spec.servers[0].hosts[0] | shop.team-a.example.com")]
        );
        assert_eq!(reason(&gateway, &solver), Some(expected));
    }

    #[rstest]
    #[case::no_redirect(with_server(80, "*", json!({})), ingress("istio"))]
    #[case::no_redirect_but_mutual(
        with_server(80, "*", json!({"mode": "MUTUAL", "credentialName": "b"})), ingress("istio")
    )]
    #[case::redirect_of_another_port(
        with_server(8080, "*", json!({"httpsRedirect": true})), ingress("istio")
    )]
    #[case::redirect_of_another_host(redirecting("web.team-a.example.com"), ingress("istio"))]
    #[case::redirect_below_the_host(redirecting("*.shop.team-a.example.com"), ingress("istio"))]
    #[case::dns01(redirecting("*"), json!({"dns01": {}}))]
    #[case::no_class(shop(), json!({"http01": {"ingress": {}}}))]
    #[case::class_of_istio(shop(), ingress("istio"))]
    #[case::parents(shop(), route(json!([{"name": "other"}])))]
    #[case::gateway_api(annotated(gateway_api("web")), ingress("nginx"))]
    #[case::gateway_api_without_parents(annotated(gateway_api("web")), route(json!([])))]
    // Since 1.20 cert-manager adds the Gateway itself to the solver's parentRefs.
    #[case::gateway_api_with_other_parents(annotated(gateway_api("web")), route(json!([{"name": "other"}])))]
    #[case::listener_set_with_other_parents(
        annotated(listener_set("extra")), route(json!([{"name": "other"}]))
    )]
    fn reachable(#[case] gateway: GatewayFixture, #[case] solver: Value) {
        assert_eq!(gateway.found_by(ID, &cluster(&solver)), Vec::<String>::new());
    }

    #[rstest]
    #[case::name("http01-override-ingress-name", "web", ingress("nginx"), None)]
    #[case::class(
        "http01-override-ingress-class",
        "nginx",
        ingress("istio"),
        Some("ingress class \"nginx\"")
    )]
    #[case::class_name("http01-override-ingress-ingressclassname", "istio", ingress("nginx"), None)]
    #[case::parent_without_kind(
        "http01-parentrefname",
        "web",
        route(json!([{"name": "other"}])),
        Some("no valid parentRefs")
    )]
    fn overridden_by_annotations(
        #[case] key: &str,
        #[case] value: &str,
        #[case] solver: Value,
        #[case] expected: Option<&str>,
    ) {
        let key = format!("acme.cert-manager.io/{key}");
        let gateway = shop().annotation(&key, value).settings(json!({"copy_annotations": [key]}));
        assert_eq!(reason(&gateway, &solver), expected);
    }

    #[test]
    fn a_parent_with_name_and_kind() {
        let keys = ["name", "kind"].map(|part| format!("acme.cert-manager.io/http01-parentref{part}"));
        let gateway = shop().annotation(&keys[0], "web").annotation(&keys[1], "Gateway");
        let gateway = gateway.settings(json!({"copy_annotations": keys}));
        assert_eq!(reason(&gateway, &route(json!([]))), None);
    }

    #[test]
    fn the_class_name_comes_before_the_class() {
        let keys = ["class", "ingressclassname"]
            .map(|key| format!("acme.cert-manager.io/http01-override-ingress-{key}"));
        let gateway = shop().annotation(&keys[0], "nginx").annotation(&keys[1], "istio");
        let gateway = gateway.settings(json!({"copy_annotations": keys}));
        assert_eq!(reason(&gateway, &ingress("istio")), None);
    }

    #[test]
    fn a_rejection_is_checked_with_a_fresh_issuer() {
        let cluster = cluster(&ingress("nginx"));
        assert!(!shop().level(ID, "reject").create(&cluster).accepted);
        assert_eq!(cluster.asked(), ["ClusterIssuer le", "ClusterIssuer le fresh"]);
    }

    #[test]
    fn names_are_of_one_certificate_or_of_all() {
        let gateway = shop().cert_manager("alt-names", "b.example.com");
        let findings = gateway.checked(&cluster(&ingress("nginx")), crate::rule::Caller::Admission).findings;
        let about = |finding: &crate::finding::Finding| {
            (finding.subject.clone(), finding.certificate.as_ref().map(ToString::to_string))
        };
        let found: Vec<_> = findings.iter().filter(|finding| finding.rule == ID).map(about).collect();
        let expected = [("shop.team-a.example.com", Some("team-a/shop-tls")), ("b.example.com", None)];
        assert_eq!(found, expected.map(|(name, secret)| (name.to_owned(), secret.map(str::to_owned))));
    }
}
