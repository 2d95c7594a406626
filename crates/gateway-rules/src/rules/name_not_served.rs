//! An annotation adds a name that the Gateway does not serve.
//!
//! `alt-names` and `common-name` add names to the certificate that are not among the Gateway's hosts.
//! With its private key, someone can impersonate these names elsewhere. A wildcard host covers all names
//! below it, at any depth, because that is how Gateways serve it. A common name that does not look like
//! a host is not checked.
//!
//! Configured: off unless `rules: {name-not-served: reject}` or `warn` turns it on.
//!
//! Rejected:
//! ```yaml
//! hosts: [shop.example.com, "*.api.example.com"]
//! cert-manager.io/alt-names: admin.example.com
//! ```
//! Accepted:
//! ```yaml
//! hosts: [shop.example.com, "*.api.example.com"]
//! cert-manager.io/alt-names: v1.api.example.com
//! ```

use std::collections::BTreeSet;

use certificate_shim::annotation;

use crate::context::Context;
use crate::named::{covers, each_host, is_host_like};
use crate::rule::{Findings, Rule};
use crate::text::quote;

/// `name-not-served`
pub const RULE: Rule = Rule::off("name-not-served", check);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let Some(template) = context.template() else { return };
    let mut hosts: BTreeSet<String> = BTreeSet::new();
    each_host(context, &mut |host, _, _| {
        hosts.insert(host.to_owned());
    });
    let mut check = |path: &str, name: &str| {
        if !covers(&|host| hosts.contains(host), name) {
            let problem = format!("{} is not among the Gateway's hosts", quote(name));
            findings.report(path, problem).subject(name).help("Remove it, or add it to the hosts.");
        }
    };
    let path = context.path_of(annotation::ALT_NAMES);
    for name in &template.alt_names {
        check(&path, name);
    }
    if is_host_like(&template.common_name) {
        check(&context.path_of(annotation::COMMON_NAME), &template.common_name);
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio};
    use rstest::rstest;
    use serde_json::json;

    fn found(gateway: GatewayFixture) -> Vec<String> {
        let cluster = TestCluster::default().object(cluster_issuer("le").ready());
        let gateway = gateway.cert_manager("cluster-issuer", "le").level("name-not-served", "reject");
        gateway.found_by("name-not-served", &cluster)
    }

    #[rstest]
    #[case::a_host("shop.example.com", "Shop.example.com", true)]
    #[case::another("shop.example.com", "admin.example.com", false)]
    #[case::below("*.example.com", "a.example.com", true)]
    #[case::deeper("*.example.com", "a.b.example.com", true)]
    #[case::the_parent("*.example.com", "example.com", false)]
    #[case::the_wildcard("*.example.com", "*.example.com", true)]
    #[case::a_narrower_wildcard("*.example.com", "*.a.example.com", true)]
    #[case::a_wider_wildcard("*.a.example.com", "*.example.com", false)]
    #[case::a_wildcard_of_a_host("shop.example.com", "*.shop.example.com", false)]
    fn names(#[case] host: &str, #[case] name: &str, #[case] is_served: bool) {
        for gateway in [
            istio("shop").with("/spec/servers/0/hosts/0", json!(host)),
            gateway_api("shop").with("/spec/listeners/0/hostname", json!(host)),
        ] {
            for key in ["alt-names", "common-name"] {
                let line = format!("reject metadata.annotations[cert-manager.io/{key}] | {name}");
                let expected = [line];
                let expected = &expected[usize::from(is_served)..];
                assert_eq!(found(gateway.clone().cert_manager(key, name)), expected);
            }
        }
    }

    #[rstest]
    #[case::each_alt_name("alt-names", "x.org,y.org,shop.team-a.example.com,x.org", 2)]
    #[case::alt_name_of_one_label("alt-names", "payments", 1)]
    #[case::words("common-name", "Payments ingress", 0)]
    #[case::one_label("common-name", "payments", 0)]
    #[case::very_many_labels("alt-names", &"a.".repeat(100_000), 1)]
    fn annotations(#[case] key: &str, #[case] value: &str, #[case] expected: usize) {
        assert_eq!(found(istio("shop").cert_manager(key, value)).len(), expected);
    }

    /// Beyond the length of a DNS name no wildcard covers it, so that the cost stays linear.
    #[rstest]
    #[case::longest(253, 0)]
    #[case::too_long(254, 1)]
    fn a_name_below_a_wildcard(#[case] length: usize, #[case] expected: usize) {
        let name = format!("{}.x.org", "a".repeat(length - 6));
        let gateway = istio("shop").with("/spec/servers/0/hosts/0", json!("*.x.org"));
        assert_eq!(found(gateway.cert_manager("alt-names", &name)).len(), expected);
    }

    #[test]
    fn a_server_of_every_host() {
        let gateway = istio("shop").with("/spec/servers/0/hosts/0", json!("*"));
        assert_eq!(found(gateway.cert_manager("alt-names", "a.example.com")).len(), 0);
    }

    /// Only hosts of servers that name a certificate are served with it.
    #[test]
    fn a_server_without_credential() {
        let plain = json!({"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["x.org"]});
        let gateway = istio("shop").push("/spec/servers", plain);
        assert_eq!(found(gateway.cert_manager("alt-names", "x.org")).len(), 1);
    }

    #[test]
    fn off_by_default() {
        let gateway = istio("shop").cert_manager("cluster-issuer", "le").cert_manager("alt-names", "x.org");
        let cluster = TestCluster::default().object(cluster_issuer("le").ready());
        assert_eq!(gateway.found_by("name-not-served", &cluster).len(), 0);
    }
}
