//! The Gateway names an issuer, and there is nothing to issue.
//!
//! No server or listener is left that a Certificate could be made for: all are plain, pass TLS
//! through, are exempt or skipped. Of Gateway API's Gateways this is said only where no ListenerSet
//! can inherit the issuer (`spec.allowedListeners` absent, or `from: None`), and of a ListenerSet only
//! where it names the issuer itself or has a listener that is skipped.
//!
//! Refused:
//! ```yaml
//! cert-manager.io/cluster-issuer: letsencrypt
//! # ...
//! servers:
//! - port: {number: 80, name: http, protocol: HTTP}
//!   hosts: [shop.example.com]
//! ```
//! Accepted: the same without the annotation, or with a server that serves a Secret:
//! ```yaml
//! - port: {number: 443, name: https, protocol: HTTPS}
//!   hosts: [shop.example.com]
//!   tls: {mode: SIMPLE, credentialName: shop-tls}
//! ```

use certificate_shim::gateway::GatewayKind;

use super::{Applies, Findings, Judges, Rule};
use crate::context::Context;
use crate::finding::{Level, Refusal};

/// `nothing-issued`
pub const RULE: Rule = Rule {
    id: "nothing-issued",
    default: Level::Reject,
    refusal: Refusal::Invalid,
    applies: Applies::Everywhere,
    judges: Judges::Annotated,
    check,
};

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let is_end = match context.gateway.kind {
        // Without a placement that is the finding (gateway-namespace-unknown), not this.
        GatewayKind::Istio => !context.placement.is_empty(),
        GatewayKind::GatewayApi => !context.gateway.allows_listener_sets,
        GatewayKind::ListenerSet => context.written.is_annotated() || !context.plan.skipped.is_empty(),
    };
    if !context.plan.certificates.is_empty() || !is_end {
        return;
    }
    let one = if context.gateway.kind == GatewayKind::Istio { "server" } else { "listener" };
    let what = format!("no {one} is left that a certificate could be issued for");
    let mend = if context.written.is_annotated() {
        format!("Correct the {one}s, or remove {}.", context.issuer_path())
    } else {
        "Correct the listeners, or exempt them with cert-manager.io/ignore-tls-listeners.".to_owned()
    };
    findings.add(format!("spec.{one}s"), "", what, mend);
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio, listener_set};
    use rstest::rstest;
    use serde_json::{Value, json};

    const SERVERS: &str = "spec.servers: no server is left that a certificate could be issued for. Correct the servers, or remove metadata.annotations[cert-manager.io/cluster-issuer].";
    const LISTENERS: &str = "spec.listeners: no listener is left that a certificate could be issued for. Correct the listeners, or remove metadata.annotations[cert-manager.io/cluster-issuer].";
    const INHERITED: &str = "spec.listeners: no listener is left that a certificate could be issued for. Correct the listeners, or exempt them with cert-manager.io/ignore-tls-listeners.";

    fn cluster() -> TestCluster {
        TestCluster::default().object(cluster_issuer("le").ready()).object(annotated(gateway_api("web")))
    }

    fn annotated(gateway: GatewayFixture) -> GatewayFixture {
        gateway.cert_manager("cluster-issuer", "le")
    }

    fn plain_server() -> Value {
        json!([{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["shop.example.com"]}])
    }

    fn plain_listener(gateway: GatewayFixture) -> GatewayFixture {
        gateway.with("/spec/listeners", json!([{"name": "http", "port": 80, "protocol": "HTTP"}]))
    }

    fn without_hostname(gateway: GatewayFixture) -> GatewayFixture {
        gateway.with("/spec/listeners/0/hostname", json!(null))
    }

    #[rstest]
    #[case::one(annotated(istio("shop")), None)]
    #[case::plain(annotated(istio("shop")).with("/spec/servers", plain_server()), Some(SERVERS))]
    #[case::no_servers(annotated(istio("shop")).with("/spec/servers", json!(null)), Some(SERVERS))]
    #[case::passthrough(annotated(istio("shop")).with("/spec/servers/0/tls", json!({"mode": "PASSTHROUGH"})), Some(SERVERS))]
    #[case::external(annotated(istio("shop")).with("/spec/servers/0/tls/credentialName", json!("sds://x")), Some(SERVERS))]
    #[case::listener(annotated(gateway_api("web")), None)]
    #[case::plain_listener(plain_listener(annotated(gateway_api("web"))), Some(LISTENERS))]
    #[case::skipped_listener(without_hostname(annotated(gateway_api("web"))), Some(LISTENERS))]
    #[case::ignored_listener(annotated(gateway_api("web")).cert_manager("ignore-tls-listeners", "https"), Some(LISTENERS))]
    #[case::listener_of_a_set(annotated(listener_set("extra")), None)]
    #[case::plain_listener_of_a_set(plain_listener(annotated(listener_set("extra"))), Some(LISTENERS))]
    #[case::plain_listener_below_an_issuer(plain_listener(listener_set("extra")), None)]
    #[case::skipped_listener_below_an_issuer(without_hostname(listener_set("extra")), Some(INHERITED))]
    fn found(#[case] gateway: GatewayFixture, #[case] expected: Option<&str>) {
        let findings = gateway.findings_of("nothing-issued", &cluster());
        assert_eq!(findings, expected.into_iter().collect::<Vec<_>>());
    }

    #[rstest]
    #[case::absent(json!(null), true)]
    #[case::from_is_absent(json!({"namespaces": {}}), true)]
    #[case::from_none(json!({"namespaces": {"from": "None"}}), true)]
    #[case::from_same(json!({"namespaces": {"from": "Same"}}), false)]
    #[case::from_all(json!({"namespaces": {"from": "All"}}), false)]
    fn where_listener_sets_can_inherit_the_issuer(#[case] allowed: Value, #[case] expected: bool) {
        let gateway = plain_listener(annotated(gateway_api("web"))).spec("allowedListeners", allowed);
        assert_eq!(!gateway.findings(&cluster()).is_empty(), expected);
    }

    #[test]
    fn a_placement_that_nobody_knows_is_another_finding() {
        let gateway = annotated(istio("shop")).settings(json!({"gateway_namespaces": []}));
        assert_eq!(gateway.findings_of("nothing-issued", &cluster()), Vec::<String>::new());
    }

    #[rstest]
    #[case::the_same(annotated(istio("shop")).with("/spec/servers", plain_server()), true)]
    #[case::had_one(annotated(istio("shop")), false)]
    #[case::not_annotated(istio("shop").with("/spec/servers", plain_server()), false)]
    #[case::another_issuer(istio("shop").cert_manager("issuer", "ca").with("/spec/servers", plain_server()), false)]
    fn updates(#[case] old: GatewayFixture, #[case] let_through: bool) {
        let new = annotated(istio("shop")).with("/spec/servers", plain_server()).annotation("a", "b");
        assert_eq!(new.update_from(&old, &cluster()).accepted, let_through);
    }
}
