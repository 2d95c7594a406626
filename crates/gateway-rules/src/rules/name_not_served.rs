//! An annotation adds a name that the Gateway does not serve.
//!
//! `alt-names` and `common-name` put names into the certificate that are none of the Gateway's hosts:
//! whoever has the key can answer for them elsewhere. A wildcard host covers the names below it at any
//! depth, as Gateways serve them. A common name that reads as no host is left alone.
//!
//! Configured: off unless `rules: {name-not-served: reject}` or `warn` turns it on.
//!
//! Refused, where the hosts are `shop.example.com` and `*.api.example.com`:
//! ```yaml
//! cert-manager.io/alt-names: admin.example.com
//! ```
//! Accepted:
//! ```yaml
//! cert-manager.io/alt-names: v1.api.example.com
//! ```

use std::collections::BTreeSet;

use certificate_shim::annotation;

use super::{Applies, Findings, Judges, Rule};
use crate::context::Context;
use crate::finding::{Level, Refusal};
use crate::named::{covers, each_host, is_host_like};
use crate::text::quote;

/// `name-not-served`
pub const RULE: Rule = Rule {
    id: "name-not-served",
    default: Level::Off,
    refusal: Refusal::Invalid,
    applies: Applies::Everywhere,
    judges: Judges::Annotated,
    check,
};

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let Some(template) = context.template() else { return };
    let mut hosts: BTreeSet<String> = BTreeSet::new();
    each_host(context, &mut |host, _, _| {
        hosts.insert(host.to_owned());
    });
    let mut check = |path: &str, name: &str| {
        if !covers(&hosts, name) {
            let what = format!("{} is none of the Gateway's hosts", quote(name));
            findings.add(path, name, what, "Remove it, or serve it: add it to the hosts.");
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

    fn cluster() -> TestCluster {
        TestCluster::default().object(cluster_issuer("le").ready())
    }

    fn asking(gateway: GatewayFixture, key: &str, value: &str) -> GatewayFixture {
        gateway
            .cert_manager("cluster-issuer", "le")
            .cert_manager(key, value)
            .settings(json!({"rules": {"name-not-served": "reject"}}))
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
    fn names(#[case] host: &str, #[case] name: &str, #[case] covered: bool) {
        for (gateway, pointer) in
            [(istio("shop"), "/spec/servers/0/hosts/0"), (gateway_api("shop"), "/spec/listeners/0/hostname")]
        {
            for key in ["alt-names", "common-name"] {
                let gateway = asking(gateway.clone().with(pointer, json!(host)), key, name);
                let findings = gateway.findings(&cluster());
                let expected = format!(
                    "name-not-served: metadata.annotations[cert-manager.io/{key}]: \"{name}\" is none of the Gateway's hosts. Remove it, or serve it: add it to the hosts."
                );
                assert_eq!(findings.contains(&expected), !covered, "{findings:?}");
            }
        }
    }

    #[test]
    fn a_server_of_every_host() {
        let gateway =
            asking(istio("shop"), "alt-names", "a.example.com").with("/spec/servers/0/hosts/0", json!("*"));
        assert!(gateway.create(&cluster()).accepted);
    }

    #[rstest]
    #[case::words("Payments ingress")]
    #[case::one_label("payments")]
    fn a_common_name_that_is_no_host(#[case] name: &str) {
        assert!(asking(istio("shop"), "common-name", name).create(&cluster()).accepted);
    }

    #[test]
    fn off_by_default() {
        let gateway = istio("shop").cert_manager("cluster-issuer", "le").cert_manager("alt-names", "x.org");
        assert_eq!(gateway.findings(&cluster()), Vec::<String>::new());
    }

    #[test]
    fn a_name_of_very_many_labels() {
        let gateway = asking(istio("shop"), "alt-names", &"a.".repeat(100_000));
        assert_eq!(gateway.create(&cluster()).code, Some(422));
    }

    #[test]
    fn an_update() {
        let with = |names| asking(istio("shop"), "alt-names", names);
        assert_eq!(with("x.org").create(&cluster()).code, Some(422));
        assert!(with("x.org").annotation("a", "b").update_from(&with("x.org"), &cluster()).accepted);
        assert!(!with("x.org,y.org").update_from(&with("x.org"), &cluster()).accepted);
    }
}
