//! Hosts of this Gateway make Envoy reject the whole listener.
//!
//! To distinguish two TLS servers on one port, istiod compares their hosts as text, but Envoy compares
//! the lower-cased names without namespaces. If the hosts of two servers are different for istiod and
//! equal for Envoy, such as `shop/x` and `x`, Envoy rejects the listener: no later change of any Gateway on
//! that port takes effect, and after a restart the gateway serves nothing there. A wildcard inside a label
//! has the same effect. Only hosts within one Gateway are compared.
//!
//! Rejected:
//! ```yaml
//! servers:
//! - port: {number: 443, name: one, protocol: HTTPS}
//!   hosts: [shop.example.com]
//!   tls: {mode: SIMPLE, credentialName: shop-tls}
//! - port: {number: 443, name: two, protocol: HTTPS}
//!   hosts: [Shop.example.com]
//!   tls: {mode: SIMPLE, credentialName: shop-tls}
//! ```
//! Accepted:
//! ```yaml
//! servers:
//! - port: {number: 443, name: one, protocol: HTTPS}
//!   hosts: [shop.example.com]
//!   tls: {mode: SIMPLE, credentialName: shop-tls}
//! - port: {number: 443, name: two, protocol: HTTPS}
//!   hosts: [cart.example.com]
//!   tls: {mode: SIMPLE, credentialName: shop-tls}
//! ```

use std::collections::BTreeMap;

use certificate_shim::gateway::Spec;
use certificate_shim::place::{Place, ServerField};

use crate::context::Context;
use crate::rule::{Findings, Rule};
use crate::text::quote;

/// `host-breaks-listener`
pub const RULE: Rule = Rule::reject("host-breaks-listener", check).of_all();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let Spec::Servers { servers, .. } = &context.gateway.spec else { return };
    let own = context.gateway.metadata.namespace;
    // The host as Envoy sees it, the first server with it, and the host as istiod sees it.
    let mut seen: BTreeMap<String, (usize, String)> = BTreeMap::new();
    for (index, server) in servers.iter().enumerate().filter(|(_, s)| s.tls.is_some() && s.speaks_tls()) {
        for (position, host) in server.hosts.iter().enumerate() {
            let path = || Place::Server(index, ServerField::Host(position)).to_string();
            let (text, name) = resolved(host, own);
            if is_partial_wildcard(name) {
                findings
                    .report(path(), format!("{} makes Envoy reject the listener", quote(name)))
                    .subject(*host)
                    .help("Use a whole label as the wildcard, such as *.example.com.");
                continue;
            }
            let port = server.port.unwrap_or_default();
            let key = format!("{port} {} {}", server.bind, name.to_ascii_lowercase());
            match seen.get(&key) {
                Some((other, first)) if *other != index && *first != text => {
                    let problem = format!(
                        "Envoy rejects the listener: {} is the same host as {} of spec.servers[{other}]",
                        quote(host),
                        quote(first)
                    );
                    findings.report(path(), problem).subject(key).help("Remove it from one of the servers.");
                }
                Some(_) => {}
                None => drop(seen.insert(key, (index, text))),
            }
        }
    }
}

/// A host as istiod compares it, and its name: `./` is the Gateway's own namespace, `*/` is any.
fn resolved<'h>(host: &'h str, own: &str) -> (String, &'h str) {
    match host.split_once('/') {
        None | Some(("*", _)) => {
            let name = host.strip_prefix("*/").unwrap_or(host);
            (name.to_owned(), name)
        }
        Some((".", name)) => (format!("{own}/{name}"), name),
        Some((_, name)) => (host.to_owned(), name),
    }
}

fn is_partial_wildcard(name: &str) -> bool {
    name != "*" && name.strip_prefix("*.").unwrap_or(name).contains('*')
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, istio};
    use rstest::rstest;
    use serde_json::{Value, json};

    fn server(host: &str, change: Value) -> Value {
        let mut server = json!({
            "port": {"number": 443, "name": "https", "protocol": "HTTPS"},
            "hosts": [host],
            "tls": {"mode": "SIMPLE", "credentialName": "shop-tls"},
        });
        for (pointer, value) in change.as_object().unwrap() {
            match pointer.as_str() {
                "protocol" | "number" => server["port"][pointer.as_str()] = value.clone(),
                field => server[field] = value.clone(),
            }
        }
        server
    }

    fn two(first: &str, second: &str, change: Value) -> GatewayFixture {
        istio("shop").with("/spec/servers", json!([server(first, json!({})), server(second, change)]))
    }

    fn one(hosts: Value) -> GatewayFixture {
        istio("shop").with("/spec/servers/0/hosts", hosts)
    }

    const SECOND: &str = "reject spec.servers[1].hosts[0] | 443  x.com";

    #[rstest]
    #[case::case_differs(two("x.com", "X.com", json!({})), &[SECOND])]
    #[case::a_namespace(two("x.com", "b/x.com", json!({})), &[SECOND])]
    #[case::its_own(two("x.com", "./x.com", json!({})), &[SECOND])]
    #[case::its_own_by_name(two("team-a/x.com", "./x.com", json!({})), &[])]
    #[case::two_namespaces(two("a/x.com", "b/x.com", json!({})), &[SECOND])]
    #[case::any_namespace(two("x.com", "*/x.com", json!({})), &[])]
    #[case::the_same_text_is_dropped_by_istiod(two("x.com", "x.com", json!({})), &[])]
    #[case::another_host(two("x.com", "y.com", json!({})), &[])]
    #[case::another_port(two("x.com", "X.com", json!({"number": 8443})), &[])]
    #[case::another_bind(two("x.com", "X.com", json!({"bind": "10.0.0.1"})), &[])]
    #[case::no_tls(two("x.com", "X.com", json!({"tls": null})), &[])]
    #[case::plain(two("x.com", "X.com", json!({"protocol": "HTTP"})), &[])]
    #[case::on_one_server(one(json!(["a/x.com", "b/x.com"])), &[])]
    #[case::inside_a_label(one(json!(["*-x.com"])), &["reject spec.servers[0].hosts[0] | *-x.com"])]
    #[case::in_the_middle(one(json!(["a.*.com"])), &["reject spec.servers[0].hosts[0] | a.*.com"])]
    #[case::twice(one(json!(["*.*.com"])), &["reject spec.servers[0].hosts[0] | *.*.com"])]
    #[case::with_a_namespace(one(json!(["ns/*x.com"])), &["reject spec.servers[0].hosts[0] | ns/*x.com"])]
    #[case::whole_labels(one(json!(["*.x.com", "*", "ns/*"])), &[])]
    fn found(#[case] gateway: GatewayFixture, #[case] expected: &[&str]) {
        let cluster = TestCluster::default().object(cluster_issuer("le").ready());
        let gateway = gateway.cert_manager("cluster-issuer", "le");
        assert_eq!(gateway.found_by("host-breaks-listener", &cluster), expected);
    }
}
