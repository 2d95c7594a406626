//! No tenant owns the namespace.
//!
//! Once there are tenants, only their namespaces may have Gateways with certificates. Otherwise every
//! new namespace could get any name and serve any Secret. Istio Gateways and ListenerSets that name a
//! Secret are checked even if they name no issuer. With `other_namespaces: accept`, namespaces that no
//! tenant owns may have any certificate.
//!
//! Rejected, if no tenant owns the namespace `sandbox`:
//! ```yaml
//! metadata: {namespace: sandbox}
//! cert-manager.io/cluster-issuer: letsencrypt
//! ```
//! Accepted, if a tenant owns the namespace `team-a`:
//! ```yaml
//! metadata: {namespace: team-a}
//! cert-manager.io/cluster-issuer: letsencrypt
//! ```

use crate::context::Context;
use crate::rule::{Findings, Rule};
use crate::tenancy::{Tenancy, asks_for_certificates};
use crate::text::quote;

/// `namespace-without-tenant`
pub const RULE: Rule = Rule::reject("namespace-without-tenant", check).forbidden().of_all().about_whole();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let asks = asks_for_certificates(context.written, context.gateway);
    if asks && matches!(context.tenancy(), Tenancy::Other) && !context.settings.accept_other_namespaces {
        let namespace = context.gateway.metadata.namespace;
        let problem =
            format!("no tenant owns namespace {}, so it may not have certificates", quote(namespace));
        findings
            .report("metadata.namespace", problem)
            .subject(namespace)
            .help("Use a namespace of a tenant, or ask the platform team to assign this one to a tenant.");
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio, listener_set};
    use rstest::rstest;
    use serde_json::{Value, json};

    fn of(gateway: GatewayFixture, settings: Value) -> Vec<String> {
        let parent = gateway_api("web").cert_manager("cluster-issuer", "le");
        let cluster = TestCluster::default().object(cluster_issuer("le").ready()).object(parent);
        gateway.settings(settings).found_by("namespace-without-tenant", &cluster)
    }

    fn tenants(tenant: Value) -> Value {
        let mut full = json!({"name": "b", "issuers": [], "dns_names": []});
        for (field, value) in tenant.as_object().unwrap() {
            full[field] = value.clone();
        }
        json!({"tenants": [full]})
    }

    fn annotated(gateway: GatewayFixture) -> GatewayFixture {
        gateway.cert_manager("cluster-issuer", "le")
    }

    /// With that instead of its first server's TLS.
    fn tls(gateway: GatewayFixture, tls: Value) -> GatewayFixture {
        gateway.with("/spec/servers/0/tls", tls)
    }

    /// With one plain listener.
    fn plain(gateway: GatewayFixture) -> GatewayFixture {
        gateway.spec("listeners", json!([{"name": "http", "port": 80, "protocol": "HTTP"}]))
    }

    #[rstest]
    #[case::istio_annotated(annotated(istio("shop")), true)]
    #[case::istio_unannotated(istio("shop"), true)]
    #[case::istio_certificate_file(tls(istio("shop"), json!({"serverCertificate": "/etc/tls.crt"})), true)]
    #[case::istio_without_secret(tls(istio("shop"), json!({"mode": "PASSTHROUGH"})), false)]
    #[case::istio_annotated_only(annotated(tls(istio("shop"), json!({"mode": "PASSTHROUGH"}))), true)]
    #[case::gateway_api_annotated(annotated(gateway_api("shop")), true)]
    #[case::gateway_api_annotated_without_tls(annotated(plain(gateway_api("shop"))), true)]
    #[case::gateway_api_unannotated(gateway_api("shop"), false)]
    #[case::gateway_api_only_names(gateway_api("shop").cert_manager("alt-names", "x.org"), false)]
    #[case::gateway_api_only_kind(gateway_api("shop").cert_manager("issuer-kind", "ClusterIssuer"), false)]
    #[case::set_annotated(annotated(plain(listener_set("extra"))), true)]
    #[case::set_without_issuer(listener_set("extra").spec("parentRef", json!({"name": "other"})), true)]
    #[case::set_with_inherited_issuer(listener_set("extra"), true)]
    #[case::set_without_tls(plain(listener_set("extra")), false)]
    #[case::set_only_kind(plain(listener_set("extra")).cert_manager("issuer-kind", "ClusterIssuer"), false)]
    fn found(#[case] gateway: GatewayFixture, #[case] is_reported: bool) {
        let expected = if is_reported { &["reject metadata.namespace | team-a"][..] } else { &[] };
        assert_eq!(of(gateway, tenants(json!({"namespaces": ["team-b"]}))), expected);
    }

    /// Whatever the hosts are served with.
    #[rstest]
    #[case::file(json!({"serverCertificate": "/a"}), json!({"serverCertificate": "/b"}))]
    #[case::file_next_to_a_secret(
        json!({"credentialName": "a", "privateKey": "/a"}),
        json!({"credentialName": "a", "privateKey": "/b"})
    )]
    #[case::builtin(json!({"credentialName": "builtin://a"}), json!({"credentialName": "builtin://b"}))]
    #[case::unreadable(json!({"credentialName": "vault://a"}), json!({"credentialName": "vault://b"}))]
    fn updates(#[case] old: Value, #[case] new: Value) {
        let with = |tls_: &Value, host: &str| {
            let gateway = tls(istio("shop"), tls_.clone()).with("/spec/servers/0/hosts/0", json!(host));
            gateway.settings(tenants(json!({"namespaces": ["team-b"]})))
        };
        let accepted = |gateway: GatewayFixture| {
            gateway.update_from(&with(&old, "a.x"), &TestCluster::default()).accepted
        };
        assert!(accepted(with(&old, "a.x").label("a", "b")), "nothing new");
        assert!(!accepted(with(&old, "b.x")), "another host");
        assert!(!accepted(with(&new, "a.x")), "served with something else");
    }

    #[rstest]
    #[case::no_settings(json!({}))]
    #[case::no_tenants(json!({"tenants": [], "other_namespaces": "reject"}))]
    #[case::its_tenant(tenants(json!({"namespaces": ["team-a"]})))]
    #[case::accepted({
        let mut settings = tenants(json!({"namespaces": ["team-b"]}));
        settings["other_namespaces"] = json!("accept");
        settings
    })]
    #[case::unknown_namespace(tenants(json!({"namespace_selector": {"match_labels": {"team": "b"}}})))]
    fn not_found(#[case] settings: Value) {
        assert_eq!(of(annotated(istio("shop")), settings), Vec::<String>::new());
    }
}
