//! The Gateway names an issuer, but nothing is issued for it.
//!
//! No server or listener needs a Certificate: each has no TLS, passes it through, or is excluded.
//! There is one finding for each of them, unless another rule reports it. A Gateway of Gateway API
//! that allows ListenerSets (`spec.allowedListeners`) is not checked, since they inherit its issuer.
//!
//! Warned about:
//! ```yaml
//! port: {number: 80, name: http, protocol: HTTP}
//! tls: null
//! ```
//! Accepted:
//! ```yaml
//! port: {number: 443, name: https, protocol: HTTPS}
//! tls: {mode: SIMPLE, credentialName: shop-tls}
//! ```

use certificate_shim::gateway::GatewayKind;

use crate::context::Context;
use crate::rule::{Findings, Rule};
use crate::servers::{Reason, unissued};

/// `nothing-issued`
pub const RULE: Rule = Rule::warn("nothing-issued", check);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let (needs_one, help) = match context.gateway.kind {
        GatewayKind::Istio => {
            (true, "Set tls.credentialName on an HTTPS server, or remove the issuer annotation.")
        }
        GatewayKind::GatewayApi => (!context.gateway.allows_listener_sets, LISTENERS),
        // An inherited issuer is not meant for each of its listeners.
        GatewayKind::ListenerSet => (context.written.is_annotated(), LISTENERS),
    };
    if !needs_one {
        return;
    }
    let unissued = unissued(context);
    // Another finding says why nothing is issued.
    if unissued.iter().any(|unissued| !matches!(unissued.reason, Reason::Clause(_))) {
        return;
    }
    for unissued in unissued {
        if let Reason::Clause(clause) = &unissued.reason {
            let problem = format!("{} {clause}", unissued.label);
            let subject = format!("{} {clause}", unissued.id);
            findings.report(unissued.path, problem).subject(subject).help(help);
        }
    }
}

const LISTENERS: &str =
    "Name a Secret in certificateRefs of an HTTPS listener, or remove the issuer annotation.";

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio, listener_set};
    use rstest::rstest;
    use serde_json::{Value, json};

    fn cluster() -> TestCluster {
        TestCluster::default().object(cluster_issuer("le").ready()).object(annotated(gateway_api("web")))
    }

    fn annotated(gateway: GatewayFixture) -> GatewayFixture {
        gateway.cert_manager("cluster-issuer", "le")
    }

    #[rstest]
    #[case::issued(json!({}), &[])]
    #[case::plain(json!({"/port/protocol": "HTTP", "/tls": null}), &["has protocol \"HTTP\""])]
    #[case::plain_with_redirect(json!({"/port/protocol": "HTTP", "/tls": {"httpsRedirect": true}}), &[
        "has protocol \"HTTP\""
    ])]
    #[case::no_tls(json!({"/tls": null}), &["has no tls"])]
    #[case::no_mode(json!({"/tls": {}}), &["has no TLS mode, so it passes TLS through"])]
    #[case::unknown_mode(json!({"/tls": {"mode": "simple"}}), &["has the unknown TLS mode \"simple\""])]
    #[case::passthrough(json!({"/tls": {"mode": "PASSTHROUGH"}}), &["passes TLS through"])]
    #[case::auto_passthrough(json!({"/tls": {"mode": "AUTO_PASSTHROUGH"}}), &["passes TLS through"])]
    #[case::mesh(json!({"/tls": {"mode": "ISTIO_MUTUAL"}}), &[
        "serves the certificate of the mesh (ISTIO_MUTUAL)"
    ])]
    #[case::file(json!({"/tls": {"mode": "MUTUAL", "privateKey": "/key.pem"}}), &[
        "serves a certificate from a file (tls.privateKey)"
    ])]
    fn servers(#[case] changes: Value, #[case] expected: &[&str]) {
        let mut gateway = annotated(istio("shop"));
        for (pointer, value) in changes.as_object().unwrap() {
            gateway = gateway.with(&format!("/spec/servers/0{pointer}"), value.clone());
        }
        let line = |clause: &&str| {
            format!("nothing-issued warn spec.servers[0] |  443 shop.team-a.example.com {clause}")
        };
        assert_eq!(gateway.found(&cluster()), expected.iter().map(line).collect::<Vec<_>>());
        let nowhere = gateway.settings(json!({"gateway_namespaces": []}));
        assert_eq!(nowhere.rules(&cluster()), ["gateway-namespace-unknown reject"]);
    }

    /// Another rule reports the reason.
    #[rstest]
    #[case::no_secret(json!({"/tls": {"mode": "SIMPLE"}}), "tls-without-secret reject")]
    #[case::no_mode(json!({"/tls/mode": null}), "tls-mode-unsupported reject")]
    #[case::no_name(json!({"/hosts": ["*"]}), "host-without-name reject")]
    #[case::invalid_credential(json!({"/tls/credentialName": "Shop"}), "credential-name-invalid reject")]
    #[case::unused(json!({"/tls/mode": "ISTIO_MUTUAL"}), "credential-unused warn")]
    #[case::unused_without_tls(json!({"/port/protocol": "HTTP"}), "credential-unused warn")]
    #[case::external(json!({"/tls/credentialName": "sds://shop"}), "credential-external warn")]
    fn other_rules(#[case] changes: Value, #[case] expected: &str) {
        let mut gateway = annotated(istio("shop"));
        for (pointer, value) in changes.as_object().unwrap() {
            gateway = gateway.with(&format!("/spec/servers/0{pointer}"), value.clone());
        }
        assert_eq!(gateway.rules(&cluster()), [expected]);
    }

    fn plain(gateway: GatewayFixture) -> GatewayFixture {
        gateway.with("/spec/listeners", json!([{"name": "http", "port": 80, "protocol": "HTTP"}]))
    }

    fn listener(gateway: GatewayFixture, field: &str, value: Value) -> GatewayFixture {
        gateway.with(&format!("/spec/listeners/0/{field}"), value)
    }

    const PLAIN: &[&str] = &["nothing-issued warn spec.listeners[0] | http has protocol \"HTTP\""];
    const PASSES_THROUGH: &[&str] = &["nothing-issued warn spec.listeners[0] | https passes TLS through"];
    const EXCLUDED: &[&str] =
        &["nothing-issued warn spec.listeners[0] | https is excluded by ignore-tls-listeners"];
    const SKIPPED: &[&str] =
        &["listener-skipped warn spec.listeners[0].hostname | \"https\" it has no hostname"];

    #[rstest]
    #[case::issued(annotated(gateway_api("web")), &[])]
    #[case::plain(plain(annotated(gateway_api("web"))), PLAIN)]
    #[case::passthrough(
        listener(annotated(gateway_api("web")), "tls", json!({"mode": "Passthrough"})),
        PASSES_THROUGH
    )]
    #[case::excluded(annotated(gateway_api("web")).cert_manager("ignore-tls-listeners", "https"), EXCLUDED)]
    #[case::skipped(listener(annotated(gateway_api("web")), "hostname", json!(null)), SKIPPED)]
    #[case::no_secret(
        listener(annotated(gateway_api("web")), "tls", json!({"mode": "Terminate"})),
        &["tls-without-secret reject spec.listeners[0] | https"]
    )]
    #[case::set(annotated(listener_set("extra")), &[])]
    #[case::plain_set(plain(annotated(listener_set("extra"))), PLAIN)]
    #[case::plain_set_below_an_issuer(plain(listener_set("extra")), &[])]
    #[case::skipped_set_below_an_issuer(listener(listener_set("extra"), "hostname", json!(null)), SKIPPED)]
    fn listeners(#[case] gateway: GatewayFixture, #[case] expected: &[&str]) {
        assert_eq!(gateway.found(&cluster()), expected);
    }

    #[rstest]
    #[case::absent(json!(null), 1)]
    #[case::from_is_absent(json!({"namespaces": {}}), 1)]
    #[case::from_none(json!({"namespaces": {"from": "None"}}), 1)]
    #[case::from_same(json!({"namespaces": {"from": "Same"}}), 0)]
    #[case::from_all(json!({"namespaces": {"from": "All"}}), 0)]
    fn listener_sets_can_inherit_the_issuer(#[case] allowed: Value, #[case] expected: usize) {
        let gateway = plain(annotated(gateway_api("web"))).spec("allowedListeners", allowed);
        assert_eq!(gateway.found(&cluster()).len(), expected);
    }

    #[rstest]
    #[case::no_servers(annotated(istio("shop")).with("/spec/servers", json!(null)))]
    #[case::no_listeners(annotated(gateway_api("web")).with("/spec/listeners", json!([])))]
    #[case::no_spec(annotated(istio("shop")).with("/spec", json!(null)))]
    #[case::no_spec_of_listeners(annotated(gateway_api("web")).with("/spec", json!(null)))]
    fn a_patch(#[case] gateway: GatewayFixture) {
        assert_eq!(gateway.found_by("nothing-issued", &cluster()), Vec::<String>::new());
        assert_eq!(gateway.found_by("tls-without-secret", &cluster()), Vec::<String>::new());
    }

    /// Each server by its name; silent if another rule says why nothing is issued.
    #[test]
    fn each_server() {
        let server = |name: &str, protocol: &str, tls: Value| {
            let port = json!({"number": 1, "protocol": protocol});
            json!({"name": name, "port": port, "tls": tls, "hosts": ["a", "b"]})
        };
        let servers = [
            server("http", "HTTP", json!(null)),
            server("none", "HTTPS", json!({"mode": "SIMPLE"})),
            server("unused", "HTTP", json!({"credentialName": "a"})),
            server("tls", "TLS", json!({"mode": "PASSTHROUGH"})),
        ];
        let gateway = annotated(istio("shop")).with("/spec/servers", json!(servers));
        let expected = [
            "tls-without-secret reject spec.servers[1] | none 1 a b",
            "credential-unused warn spec.servers[2].tls.credentialName | a on a port with protocol \"HTTP\"",
        ];
        assert_eq!(gateway.found(&cluster()), expected);
        let servers =
            [server("http", "HTTP", json!(null)), server("tls", "TLS", json!({"mode": "PASSTHROUGH"}))];
        let gateway = annotated(istio("shop")).with("/spec/servers", json!(servers));
        let expected = [
            "nothing-issued warn spec.servers[0] | http 1 a b has protocol \"HTTP\"",
            "nothing-issued warn spec.servers[1] | tls 1 a b passes TLS through",
        ];
        assert_eq!(gateway.found(&cluster()), expected);
    }
}
