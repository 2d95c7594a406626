//! A server or listener terminates TLS, but nothing provides its certificate.
//!
//! Nothing is issued for the Gateway, although it names an issuer: cert-manager writes Certificates
//! only to the Secrets that servers (`credentialName`) and listeners (`certificateRefs`) name. Not
//! reported: servers with certificate files or the mesh's own certificate, and listeners that have
//! `tls.options` or are listed in `ignore-tls-listeners`.
//!
//! Rejected:
//! ```yaml
//! certificateRefs: []
//! ```
//! Accepted:
//! ```yaml
//! certificateRefs: [{name: shop-tls}]
//! ```

use certificate_shim::gateway::GatewayKind;

use crate::context::Context;
use crate::rule::{Findings, Rule};
use crate::servers::{Reason, unissued};

/// `tls-without-secret`
pub const RULE: Rule = Rule::reject("tls-without-secret", check);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let help = match context.gateway.kind {
        GatewayKind::Istio => "Set tls.credentialName to the name of a Secret.",
        GatewayKind::GatewayApi | GatewayKind::ListenerSet => {
            "Name a Secret in certificateRefs, or list the listener in cert-manager.io/ignore-tls-listeners."
        }
    };
    for unissued in unissued(context) {
        if unissued.reason == Reason::NoSecret {
            let problem = format!("{} terminates TLS but names no Secret", unissued.label);
            findings.report(unissued.path, problem).subject(unissued.id).help(help);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio, listener_set};
    use rstest::rstest;
    use serde_json::{Value, json};

    fn cluster() -> TestCluster {
        let parent = gateway_api("web").cert_manager("cluster-issuer", "le");
        TestCluster::default().object(cluster_issuer("le").ready()).object(parent)
    }

    fn found(gateway: &GatewayFixture) -> Vec<String> {
        gateway.found_by("tls-without-secret", &cluster())
    }

    #[rstest]
    #[case::simple(json!({"mode": "SIMPLE"}), true)]
    #[case::mutual(json!({"mode": "MUTUAL"}), true)]
    #[case::optional_mutual(json!({"mode": "OPTIONAL_MUTUAL"}), true)]
    #[case::only_a_ca(json!({"mode": "MUTUAL", "caCertCredentialName": "clients"}), true)]
    #[case::empty_name(json!({"mode": "SIMPLE", "credentialName": ""}), true)]
    #[case::redirect(json!({"mode": "SIMPLE", "httpsRedirect": true}), true)]
    #[case::credential(json!({"mode": "SIMPLE", "credentialName": "shop-tls"}), false)]
    #[case::invalid_credential(json!({"mode": "SIMPLE", "credentialName": "Shop"}), false)]
    #[case::builtin(json!({"mode": "SIMPLE", "credentialName": "builtin://"}), false)]
    #[case::file(json!({"mode": "SIMPLE", "serverCertificate": "/cert.pem"}), false)]
    #[case::mesh(json!({"mode": "ISTIO_MUTUAL"}), false)]
    #[case::passthrough(json!({"mode": "PASSTHROUGH"}), false)]
    #[case::auto_passthrough(json!({"mode": "AUTO_PASSTHROUGH"}), false)]
    #[case::unknown_mode(json!({"mode": "simple"}), false)]
    #[case::no_mode(json!({}), false)]
    #[case::no_tls(json!(null), false)]
    fn servers(#[case] tls: Value, #[case] expected: bool) {
        let gateway = istio("shop").with("/spec/servers/0/tls", tls);
        assert_eq!(found(&gateway), Vec::<String>::new());
        let gateway = gateway.cert_manager("cluster-issuer", "le");
        let line = "reject spec.servers[0] |  443 shop.team-a.example.com";
        assert_eq!(found(&gateway), if expected { vec![line] } else { vec![] });
        let plain = gateway.with("/spec/servers/0/port/protocol", json!("HTTP"));
        assert_eq!(found(&plain), Vec::<String>::new());
    }

    #[rstest]
    #[case::terminates(json!({"mode": "Terminate"}), true)]
    #[case::no_mode(json!({}), true)]
    #[case::no_tls(json!(null), true)]
    #[case::no_references(json!({"mode": "Terminate", "certificateRefs": []}), true)]
    #[case::no_options(json!({"mode": "Terminate", "options": {}}), true)]
    #[case::options(
        json!({"mode": "Terminate", "options": {"gateway.istio.io/tls-terminate-mode": "ISTIO_SIMPLE"}}),
        false
    )]
    #[case::secret(json!({"mode": "Terminate", "certificateRefs": [{"name": "a"}]}), false)]
    #[case::other_kind(json!({"certificateRefs": [{"kind": "ConfigMap", "name": "a"}]}), false)]
    #[case::other_group(json!({"certificateRefs": [{"group": "a.io", "name": "a"}]}), false)]
    #[case::other_namespace(json!({"certificateRefs": [{"name": "a", "namespace": "b"}]}), false)]
    #[case::passthrough(json!({"mode": "Passthrough"}), false)]
    #[case::unknown_mode(json!({"mode": "terminate"}), false)]
    fn listeners(#[case] tls: Value, #[case] expected: bool) {
        let expected = if expected { vec!["reject spec.listeners[0] | https"] } else { vec![] };
        let own = |gateway: GatewayFixture| gateway.cert_manager("cluster-issuer", "le");
        let sets_allowed = json!({"namespaces": {"from": "All"}});
        let gateways = [
            own(gateway_api("web")),
            own(gateway_api("web")).spec("allowedListeners", sets_allowed),
            own(listener_set("extra")),
            listener_set("extra"),
        ];
        for gateway in gateways {
            let gateway = gateway.with("/spec/listeners/0/tls", tls.clone());
            assert_eq!(found(&gateway), expected);
            let excluded = gateway.clone().cert_manager("ignore-tls-listeners", "https");
            assert_eq!(found(&excluded), Vec::<String>::new());
            let plain = gateway.with("/spec/listeners/0/protocol", json!("HTTP"));
            assert_eq!(found(&plain), Vec::<String>::new());
        }
    }

    #[test]
    fn a_protocol_that_settings_take_for_tls() {
        let gateway = gateway_api("web")
            .cert_manager("cluster-issuer", "le")
            .with("/spec/listeners/0/tls", json!({"mode": "Terminate"}))
            .with("/spec/listeners/0/protocol", json!("example.com/tls"));
        assert_eq!(found(&gateway), Vec::<String>::new());
        let gateway = gateway.settings(json!({"extra_protocols": ["example.com/tls"]}));
        assert_eq!(found(&gateway), ["reject spec.listeners[0] | https"]);
    }

    #[test]
    fn silent_if_something_is_planned() {
        let listener = json!({"name": "b", "port": 8443, "protocol": "HTTPS", "hostname": "b.example.com"});
        let gateway =
            gateway_api("web").cert_manager("cluster-issuer", "le").push("/spec/listeners", listener);
        assert_eq!(found(&gateway), Vec::<String>::new());
        let server =
            json!({"port": {"number": 8443, "name": "b", "protocol": "HTTPS"}, "tls": {"mode": "SIMPLE"}});
        let gateway = istio("shop").cert_manager("cluster-issuer", "le").push("/spec/servers", server);
        assert_eq!(found(&gateway), Vec::<String>::new());
        let nowhere = gateway.settings(json!({"gateway_namespaces": []}));
        assert_eq!(nowhere.rules(&cluster()), ["gateway-namespace-unknown reject"]);
    }

    #[rstest]
    #[case::the_same(json!(["shop.team-a.example.com"]), true)]
    #[case::another_host(json!(["other.team-a.example.com"]), false)]
    fn updates(#[case] hosts: Value, #[case] accepted: bool) {
        let gateway = istio("shop").cert_manager("cluster-issuer", "le");
        let old = gateway.with("/spec/servers/0/tls", json!({"mode": "SIMPLE"}));
        let new = old.clone().annotation("a", "b").with("/spec/servers/0/hosts", hosts);
        assert_eq!(new.update_from(&old, &cluster()).accepted, accepted);
    }
}
