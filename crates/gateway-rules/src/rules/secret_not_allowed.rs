//! The Gateway names a Secret that its tenant may not use.
//!
//! Istio serves a TLS Secret in the namespace of the gateway Pods for every Gateway that names it, in any
//! namespace. A team could serve another team's certificate that way, or have
//! its Secret overwritten. So every Istio Gateway that names a credential is checked, with and without
//! an issuer annotation, CA credentials included. A credential from which istiod reads no Secret is
//! rejected for every tenant.
//!
//! Configured per tenant: `secrets`, globs for the names that it may use in every namespace. An empty
//! list allows none; without the list all are allowed.
//!
//! Rejected, with `secrets: ["team-a-*"]`:
//! ```yaml
//! tls: {mode: SIMPLE, credentialName: team-b-web}
//! ```
//! Accepted:
//! ```yaml
//! tls: {mode: SIMPLE, credentialName: team-a-web}
//! ```

use crate::context::Context;
use crate::named::{Named, each_secret};
use crate::rule::{Findings, Rule};
use crate::text::{allowed, quote};

/// `secret-not-allowed`
pub const RULE: Rule = Rule::reject("secret-not-allowed", check).forbidden().of_all();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let Some(tenant) = context.tenant() else { return };
    each_secret(context, &mut |path, named| match named {
        Named::Unreadable(text) => findings.report_each_with(&[], text, || {
            let problem = format!("istiod reads no Secret from {}", quote(text));
            (path.to_string(), problem, "Write only the name of a Secret.".to_owned())
        }),
        Named::Secret(name, places) => {
            let Some(secrets) = &tenant.secrets else { return };
            if !secrets.allow(name) {
                findings.report_each_with(&places, name, || {
                    let problem =
                        format!("tenant {} may not use the Secret {}", quote(&tenant.name), quote(name));
                    (path.to_string(), problem, allowed(&secrets.0, quote))
                });
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio, listener_set};
    use rstest::rstest;
    use serde_json::{Value, json};

    const NONE: &[&str] = &[];

    fn cluster() -> TestCluster {
        TestCluster::default().object(cluster_issuer("le").ready())
    }

    fn annotated(gateway: GatewayFixture) -> GatewayFixture {
        gateway.cert_manager("cluster-issuer", "le")
    }

    fn found(gateway: &GatewayFixture) -> Vec<String> {
        gateway.found_by("secret-not-allowed", &cluster())
    }

    fn with_tls(tls: Value) -> GatewayFixture {
        istio("shop").with("/spec/servers/0/tls", tls).tenant(json!({"secrets": ["shop-*"]}))
    }

    #[rstest]
    #[case::allowed("shop-tls", None)]
    #[case::another("other-tls", Some("other-tls"))]
    #[case::with_scheme("kubernetes://other-tls", Some("other-tls"))]
    #[case::with_namespace("team-a/other-tls", Some("other-tls"))]
    #[case::another_scheme_at_the_end("team-a/other-tls/x://y", Some("other-tls"))]
    #[case::the_namespace_is_not_the_name("shop-x/other-tls", Some("other-tls"))]
    #[case::gateway_scheme("kubernetes-gateway://team-a/other-tls", Some("other-tls"))]
    #[case::sds_falls_back("sds://other-tls", Some("other-tls"))]
    #[case::sds_with_a_scheme("sds://kubernetes://other-tls", Some("other-tls"))]
    #[case::sds_of_an_allowed_one("sds://shop-tls", None)]
    #[case::a_ca("other-cacert", Some("other-cacert"))]
    #[case::a_ca_that_is_allowed("shop-cacert", None)]
    #[case::builtin("builtin://", None)]
    #[case::unknown_scheme("vault://shop-tls", Some("vault://shop-tls"))]
    #[case::invalid_scheme("invalid://shop-tls", Some("invalid://shop-tls"))]
    #[case::upper_case("Shop-tls", Some("Shop-tls"))]
    #[case::no_name("shop-tls/", Some("shop-tls/"))]
    fn credentials(#[case] credential: &str, #[case] subject: Option<&str>) {
        for (field, tls) in [
            ("credentialName", json!({"mode": "SIMPLE", "credentialName": credential})),
            ("credentialNames[0]", json!({"mode": "SIMPLE", "credentialNames": [credential]})),
            ("caCertCredentialName", json!({"mode": "MUTUAL", "caCertCredentialName": credential})),
        ] {
            let line = |subject| format!("reject spec.servers[0].tls.{field} | {subject}");
            let expected: Vec<String> = subject.map(line).into_iter().collect();
            assert_eq!(found(&with_tls(tls.clone())), expected);
            assert_eq!(found(&annotated(with_tls(tls))), expected);
        }
    }

    /// A ConfigMap contains only the CA of client certificates.
    #[rstest]
    #[case::ca("caCertCredentialName", true)]
    #[case::certificate("credentialName", false)]
    fn a_config_map(#[case] field: &str, #[case] is_allowed: bool) {
        let gateway = with_tls(json!({"mode": "MUTUAL", (field): "configmap://team-a/ca"}));
        assert_eq!(found(&gateway).is_empty(), is_allowed);
    }

    #[test]
    fn every_credential_of_every_server() {
        let tls = json!({
            "mode": "MUTUAL", "credentialNames": ["shop-a", "b", "c"], "credentialName": "d",
            "caCertCredentialName": "e",
        });
        let gateway = with_tls(tls).push("/spec/servers", json!({"tls": {"credentialName": "f"}}));
        assert_eq!(
            found(&gateway),
            [
                "reject spec.servers[0].tls.credentialNames[1] | b",
                "reject spec.servers[0].tls.credentialNames[2] | c",
                "reject spec.servers[0].tls.credentialName | d",
                "reject spec.servers[0].tls.caCertCredentialName | e",
                "reject spec.servers[1].tls.credentialName | f",
            ]
        );
    }

    #[rstest]
    #[case::left_out("shop-tls", json!({}), true)]
    #[case::none("shop-tls", json!({"secrets": []}), false)]
    #[case::all("shop-tls", json!({"secrets": ["*"]}), true)]
    #[case::several("shop-tls", json!({"secrets": ["a", "shop-tls"]}), true)]
    #[case::unreadable_without_list("vault://x", json!({}), false)]
    #[case::unreadable_of_all("vault://x", json!({"secrets": ["*"]}), false)]
    fn the_list(#[case] credential: &str, #[case] fields: Value, #[case] is_allowed: bool) {
        let gateway = istio("shop").with("/spec/servers/0/tls/credentialName", json!(credential));
        assert_eq!(found(&gateway.tenant(fields)).is_empty(), is_allowed);
    }

    #[test]
    fn without_tenants_nothing_is_checked() {
        assert_eq!(
            found(&annotated(with_tls(json!({"credentialName": "vault://x"})).settings(json!({})))),
            NONE
        );
    }

    /// Listeners that this version of cert-manager skips are checked too.
    #[rstest]
    #[case::a_gateway(gateway_api("web"), &["0].name | web-tls"])]
    #[case::an_exempt_listener(
        gateway_api("web").cert_manager("ignore-tls-listeners", "https"),
        &["0].name | web-tls"]
    )]
    #[case::another_protocol(
        gateway_api("web").with("/spec/listeners/0/protocol", json!("example.com/tls")),
        &["0].name | web-tls"]
    )]
    #[case::several(
        gateway_api("web")
            .push("/spec/listeners/0/tls/certificateRefs", json!({"name": "shop-b"}))
            .push("/spec/listeners/0/tls/certificateRefs", json!({"name": "c"})),
        &["0].name | web-tls", "2].name | c"]
    )]
    #[case::passthrough(gateway_api("web").with("/spec/listeners/0/tls/mode", json!("Passthrough")), NONE)]
    fn listeners(#[case] gateway: GatewayFixture, #[case] expected: &[&str]) {
        let gateway = gateway.tenant(json!({"secrets": ["shop-*"]}));
        let line = |found: &&str| format!("reject spec.listeners[0].tls.certificateRefs[{found}");
        let expected: Vec<String> = expected.iter().map(line).collect();
        assert_eq!(found(&annotated(gateway.clone())), expected);
        assert_eq!(found(&gateway), NONE, "without annotation nothing is issued");
    }

    /// Its parent can name an issuer at any time.
    #[test]
    fn a_listener_set_without_issuer() {
        let set = listener_set("extra").tenant(json!({"secrets": ["shop-*"]}));
        assert_eq!(found(&set), ["reject spec.listeners[0].tls.certificateRefs[0].name | extra-tls"]);
    }

    #[test]
    fn in_every_namespace_of_the_placement_shown_once() {
        let pods = |namespace| json!({"labels": {"istio": "ingressgateway"}, "namespace": namespace});
        let known = json!({"gateway_namespaces": [pods("istio-a"), pods("istio-b")]});
        let gateway = istio("web").settings(known).tenant(json!({"secrets": []}));
        assert_eq!(found(&gateway), ["reject spec.servers[0].tls.credentialName | web-tls"; 2]);
        let message = gateway.create(&cluster()).message.unwrap();
        assert_eq!(message.matches("secret-not-allowed: ").count(), 1, "{message}");
    }

    #[rstest]
    #[case::the_same("other-tls", "other-tls", true)]
    #[case::in_another_form("other-tls", "kubernetes://team-a/other-tls", true)]
    #[case::another("other-tls", "third-tls", false)]
    #[case::another_namespace("other-tls", "istio-system/other-tls", false)]
    #[case::unreadable("vault://x", "vault://x", true)]
    #[case::unreadable_and_another("vault://x", "vault://y", false)]
    fn an_update(#[case] old: &str, #[case] new: &str, #[case] is_accepted: bool) {
        let with = |name: &str| with_tls(json!({"mode": "SIMPLE", "credentialName": name}));
        let response = with(new).annotation("a", "b").update_from(&with(old), &cluster());
        assert_eq!(response.accepted, is_accepted, "{response:?}");
    }
}
