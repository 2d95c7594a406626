//! Two listeners of one Gateway or ListenerSet have the same name.
//!
//! Listener names must be unique: the API server rejects the object. In a manifest such a name is
//! often a copied listener that was not renamed.
//!
//! Warned about:
//! ```yaml
//! kind: GatewayAPI
//! listeners:
//! - name: web
//!   port: 443
//!   protocol: HTTPS
//!   hostname: shop.example.com
//!   tls: {mode: Terminate, certificateRefs: [{name: shop-tls}]}
//! - {name: web, port: 80, protocol: HTTP}
//! ```
//! Accepted:
//! ```yaml
//! kind: GatewayAPI
//! listeners:
//! - name: web
//!   port: 443
//!   protocol: HTTPS
//!   hostname: shop.example.com
//!   tls: {mode: Terminate, certificateRefs: [{name: shop-tls}]}
//! - {name: web-plain, port: 80, protocol: HTTP}
//! ```

use std::collections::BTreeMap;

use certificate_shim::gateway::Spec;

use crate::context::Context;
use crate::rule::{Findings, Rule};
use crate::text::quote;

/// `listener-name-duplicated`
pub const RULE: Rule = Rule::warn("listener-name-duplicated", check);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let Spec::Listeners(listeners) = &context.gateway.spec else { return };
    let mut indices: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, listener) in listeners.iter().enumerate().filter(|(_, listener)| !listener.name.is_empty()) {
        let first = *indices.entry(listener.name).or_insert(index);
        if first != index {
            let name = quote(listener.name);
            let problem = format!("the API server rejects {name}: spec.listeners[{first}] has the same name");
            findings
                .report(format!("spec.listeners[{index}].name"), problem)
                .subject(listener.name)
                .help("Rename one of the listeners.");
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{TestCluster, cluster_issuer, gateway_api, istio, listener_set};
    use rstest::rstest;
    use serde_json::{Value, json};

    #[rstest]
    #[case::distinct(&[json!("a"), json!("b"), json!("A")], &[])]
    #[case::twice(&[json!("a"), json!("b"), json!("a")], &["warn spec.listeners[2].name | a"])]
    #[case::three_times(&[json!("a"), json!("a"), json!("a")], &[
        "warn spec.listeners[1].name | a",
        "warn spec.listeners[2].name | a",
    ])]
    #[case::missing(&[json!(null), json!(null)], &[])]
    fn found(#[case] names: &[Value], #[case] expected: &[&str]) {
        let listener = |name: &Value| json!({"name": name, "port": 80, "protocol": "HTTP"});
        let listeners: Vec<Value> = names.iter().map(listener).collect();
        let cluster = TestCluster::default().object(cluster_issuer("le").ready()).object(gateway_api("web"));
        for gateway in [gateway_api("web"), listener_set("extra")] {
            let gateway = gateway.with("/spec/listeners", json!(listeners));
            assert_eq!(gateway.found(&cluster), Vec::<String>::new());
            let annotated = gateway.cert_manager("cluster-issuer", "le");
            assert_eq!(annotated.found_by("listener-name-duplicated", &cluster), expected);
        }
    }

    #[test]
    fn servers_can_share_a_name() {
        let server = json!({"name": "a", "port": {"number": 80, "protocol": "HTTP"}, "hosts": ["a.com"]});
        let gateway = istio("shop").cert_manager("cluster-issuer", "le");
        let gateway = gateway.push("/spec/servers", server.clone()).push("/spec/servers", server);
        let cluster = TestCluster::default().object(cluster_issuer("le").ready());
        assert_eq!(gateway.found(&cluster), Vec::<String>::new());
    }
}
