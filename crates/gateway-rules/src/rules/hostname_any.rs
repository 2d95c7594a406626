//! A listener has the hostname `*`.
//!
//! Istio has `*` for all hosts. Gateway API does not: the API server rejects the object. A listener
//! without `hostname` serves all hosts, but cert-manager issues nothing for it.
//!
//! Warned about:
//! ```yaml
//! hostname: "*"
//! ```
//! Accepted:
//! ```yaml
//! hostname: "*.shop.example.com"
//! ```

use certificate_shim::gateway::Spec;
use certificate_shim::place::{ListenerField, Place};

use crate::context::Context;
use crate::rule::{Findings, Rule};

/// `hostname-any`
pub const RULE: Rule = Rule::warn("hostname-any", check);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let Spec::Listeners(listeners) = &context.gateway.spec else { return };
    for (index, listener) in
        listeners.iter().enumerate().filter(|(_, listener)| listener.hostname == Some("*"))
    {
        let place = Place::Listener(index, ListenerField::Hostname);
        findings
            .report(place.to_string(), "the API server rejects the hostname \"*\"")
            .subject(listener.name)
            .help("Name the host. A listener without hostname serves all hosts, but gets no Certificate.");
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{TestCluster, cluster_issuer, gateway_api, istio, listener_set};
    use rstest::rstest;
    use serde_json::{Value, json};

    #[rstest]
    #[case::name(json!("shop.example.com"), &[])]
    #[case::wildcard(json!("*.example.com"), &[])]
    #[case::absent(json!(null), &[])]
    #[case::any(json!("*"), &["warn spec.listeners[0].hostname | https"])]
    fn found(#[case] hostname: Value, #[case] expected: &[&str]) {
        let cluster = TestCluster::default().object(cluster_issuer("le").ready()).object(gateway_api("web"));
        for gateway in [gateway_api("web"), listener_set("extra")] {
            let gateway = gateway.with("/spec/listeners/0/hostname", hostname.clone());
            assert_eq!(gateway.found(&cluster), Vec::<String>::new());
            let annotated = gateway.cert_manager("cluster-issuer", "le");
            assert_eq!(annotated.found_by("hostname-any", &cluster), expected);
            assert!(annotated.found_by("wide-wildcard", &cluster).is_empty(), "one line for one mistake");
        }
    }

    #[test]
    fn servers_can_have_any_host() {
        let cluster = TestCluster::default().object(cluster_issuer("le").ready());
        let gateway = istio("shop").cert_manager("cluster-issuer", "le");
        let gateway = gateway.with("/spec/servers/0/hosts", json!(["*", "shop.example.com"]));
        assert_eq!(gateway.found(&cluster), Vec::<String>::new());
    }
}
