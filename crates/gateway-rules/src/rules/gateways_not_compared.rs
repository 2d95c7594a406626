//! The list of Istio Gateways could not be read.
//!
//! With `lookups: {list: [gateways]}` the policy lists the Istio Gateways of the cluster, to compare their
//! hosts (this version only lists them, see [limits.md](limits.md)). The list was not granted, the API
//! server did not answer, or the list is longer than 8 MiB. The rest of the Gateway is checked. With the
//! level `reject`, anyone who can create many Gateways can block all others.
//!
//! Warned about, with `lookups: {list: [gateways]}` and a list that fails:
//! ```yaml
//! hosts: [shop.example.com]
//! ```
//! Accepted: Gateways of Gateway API, each of which has its own gateway:
//! ```yaml
//! hostname: shop.example.com
//! ```

use certificate_shim::gateway::{GatewayKind, ISTIO_GROUP};

use crate::context::Context;
use crate::lookup::ListRef;
use crate::rule::{Findings, Rule};

/// `gateways-not-compared`
pub const RULE: Rule = Rule::warn("gateways-not-compared", check).undetermined();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    if context.gateway.kind != GatewayKind::Istio {
        return;
    }
    let list =
        ListRef { api_version: format!("{ISTIO_GROUP}/v1"), kind: "Gateway".to_owned(), namespace: None };
    if let Some(Err(error)) = context.list(&list) {
        findings
            .report(
                "spec",
                format!("its hosts were not compared with other Gateways: {}", error.problem_of_list(&list)),
            )
            .subject("gateways")
            .help(context.help_of_list(&error, &list));
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio};
    use crate::lookup::{Grant, LookupError};
    use rstest::rstest;
    use serde_json::json;

    fn listing(gateway: GatewayFixture) -> GatewayFixture {
        gateway.cert_manager("cluster-issuer", "le").settings(json!({"lookups": {"list": ["gateways"]}}))
    }

    #[rstest]
    #[case::not_granted(LookupError::NotGranted(Grant::List))]
    #[case::too_long(LookupError::Undetermined("the list has 9000000 bytes".into()))]
    #[case::no_answer(LookupError::Unavailable("503".into()))]
    fn a_list_that_fails(#[case] error: LookupError) {
        let cluster =
            TestCluster::default().object(cluster_issuer("le").ready()).failing_list("Gateway", error);
        assert_eq!(
            listing(istio("shop")).found_by("gateways-not-compared", &cluster),
            ["warn spec | gateways"]
        );
        assert_eq!(listing(gateway_api("web")).rules(&cluster), Vec::<String>::new());
    }

    #[test]
    fn a_list_that_succeeds() {
        let cluster = TestCluster::default().object(cluster_issuer("le").ready());
        assert_eq!(listing(istio("shop")).rules(&cluster), Vec::<String>::new());
        assert_eq!(cluster.asked(), ["ClusterIssuer le", "list Gateway"]);
    }

    #[test]
    fn nothing_is_listed_unless_settings_say_so() {
        let cluster = TestCluster::default().object(cluster_issuer("le").ready());
        let gateway = istio("shop").cert_manager("cluster-issuer", "le");
        assert_eq!(gateway.rules(&cluster), Vec::<String>::new());
        assert_eq!(cluster.asked(), ["ClusterIssuer le"]);
    }
}
