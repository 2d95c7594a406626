//! The Gateway asks for more Certificates than its tenant may have.
//!
//! Every Secret gets a Certificate of its own, in each namespace where gateway Pods read it. One Gateway
//! with hundreds of Secrets keeps cert-manager busy, uses up rate limits of the CA that all tenants
//! share, and a ResourceQuota in the gateway's namespace cannot tell tenants apart.
//!
//! Configured per tenant: `max_certificates`, for one Gateway or ListenerSet. Without it there is no
//! limit.
//!
//! Rejected, with `max_certificates: 1`:
//! ```yaml
//! servers:
//!   - port: {number: 443, name: https-shop, protocol: HTTPS}
//!     hosts: [shop.example.com]
//!     tls: {mode: SIMPLE, credentialName: shop-tls}
//!   - port: {number: 443, name: https-api, protocol: HTTPS}
//!     hosts: [api.example.com]
//!     tls: {mode: SIMPLE, credentialName: api-tls}
//! ```
//! Accepted, because both hosts share a Secret:
//! ```yaml
//! hosts: [shop.example.com, api.example.com]
//! ```

use crate::context::Context;
use crate::rule::{Findings, Rule};
use crate::text::quote;

/// `too-many-certificates`
pub const RULE: Rule = Rule::reject("too-many-certificates", check).forbidden().of_planned().about_whole();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let Some(tenant) = context.tenant() else { return };
    let count = context.widest_plan().certificates.len();
    let Some(most) = tenant.max_certificates.filter(|most| count > *most) else { return };
    let kind = context.gateway.kind.kind();
    let name = quote(&tenant.name);
    let problem =
        format!("this {kind} needs {count} Certificates; tenant {name} may have at most {most} per {kind}");
    findings
        .report("spec", problem)
        .subject(tenant.name.as_str())
        .help("Use one Secret for several hosts, or ask the platform team.");
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio, listener_set};
    use rstest::rstest;
    use serde_json::{Value, json};

    fn cluster() -> TestCluster {
        TestCluster::default().object(cluster_issuer("le").ready())
    }

    fn annotated(gateway: GatewayFixture) -> GatewayFixture {
        gateway.cert_manager("cluster-issuer", "le")
    }

    fn server(secret: &str) -> Value {
        let port = json!({"number": 443, "name": secret, "protocol": "HTTPS"});
        let host = format!("{secret}.example.com");
        json!({"port": port, "hosts": [host], "tls": {"mode": "SIMPLE", "credentialName": secret}})
    }

    /// An annotated Gateway with these Secrets.
    fn with(secrets: &[&str]) -> GatewayFixture {
        let servers: Vec<Value> = secrets.iter().map(|secret| server(secret)).collect();
        annotated(istio("shop").with("/spec/servers", json!(servers)))
    }

    fn two_namespaces(gateway: GatewayFixture) -> GatewayFixture {
        let pods = |namespace| json!({"labels": {"istio": "ingressgateway"}, "namespace": namespace});
        gateway.settings(json!({"gateway_namespaces": [pods("istio-a"), pods("istio-b")]}))
    }

    fn listeners(gateway: GatewayFixture) -> GatewayFixture {
        let reference = json!({"group": "", "kind": "Secret", "name": "b"});
        gateway.push("/spec/listeners/0/tls/certificateRefs", reference)
    }

    #[rstest]
    #[case::at_most(with(&["a", "b"]), json!(2), false)]
    #[case::more(with(&["a", "b", "c"]), json!(2), true)]
    #[case::one_secret_twice(with(&["a", "b", "a"]), json!(2), false)]
    #[case::no_limit(with(&["a", "b", "c"]), Value::Null, false)]
    #[case::each_namespace(two_namespaces(with(&["a"])), json!(1), true)]
    #[case::each_namespace_within(two_namespaces(with(&["a"])), json!(2), false)]
    #[case::unannotated(istio("shop").push("/spec/servers", server("b")), json!(1), false)]
    #[case::gateway_api(annotated(listeners(gateway_api("web"))), json!(1), true)]
    #[case::gateway_api_within(annotated(gateway_api("web")), json!(1), false)]
    #[case::listener_set_without_issuer(listeners(listener_set("extra")), json!(1), true)]
    fn limits(#[case] gateway: GatewayFixture, #[case] most: Value, #[case] is_reported: bool) {
        let gateway = gateway.tenant(json!({"max_certificates": most}));
        let expected = ["reject spec | a"];
        let expected = &expected[usize::from(!is_reported)..];
        assert_eq!(gateway.found_by("too-many-certificates", &cluster()), expected);
    }

    /// The old Gateway has three Certificates, and the tenant may have one.
    #[rstest]
    #[case::a_label(with(&["a", "b", "c"]).label("x", "y"), true)]
    #[case::fewer_but_too_many(with(&["a", "b"]), true)]
    #[case::as_many_as_allowed(with(&["a"]), true)]
    #[case::more(with(&["a", "b", "c", "d"]), false)]
    #[case::as_many_with_another(with(&["a", "b", "d"]), false)]
    #[case::fewer_with_another(with(&["a", "d"]), false)]
    #[case::another_host(with(&["a", "b", "c"]).with("/spec/servers/0/hosts/0", json!("x.org")), false)]
    fn an_update(#[case] new: GatewayFixture, #[case] is_accepted: bool) {
        let old = with(&["a", "b", "c"]);
        let response = new.tenant(json!({"max_certificates": 1})).update_from(&old, &cluster());
        assert_eq!((response.accepted, response.code), (is_accepted, (!is_accepted).then_some(403)));
    }
}
