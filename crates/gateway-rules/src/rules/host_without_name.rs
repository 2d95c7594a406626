//! A server wants a certificate and leaves no name for it.
//!
//! Its hosts are `*` alone, which serves every name and is none. A certificate needs names; they can
//! come from `alt-names`, `common-name` or `ip-sans`, too.
//!
//! Refused:
//! ```yaml
//! hosts: ["*"]
//! tls: {mode: SIMPLE, credentialName: shop-tls}
//! ```
//! Accepted:
//! ```yaml
//! hosts: ["shop.example.com", "*.shop.example.com"]
//! tls: {mode: SIMPLE, credentialName: shop-tls}
//! ```

use certificate_shim::annotation;
use certificate_shim::skip::SkipReason;

use super::{Applies, Findings, Judges, Rule};
use crate::context::Context;
use crate::finding::{Level, Refusal};

use crate::servers::{add, skipped};
use crate::text::quote;

/// `host-without-name`
pub const RULE: Rule = Rule {
    id: "host-without-name",
    default: Level::Reject,
    refusal: Refusal::Invalid,
    applies: Applies::Everywhere,
    judges: Judges::Annotated,
    check,
};

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    skipped(context, |reason, place, named| {
        if *reason == SkipReason::NoName {
            let what = format!("they leave no name for the certificate in {}: * is none", quote(named.text));
            let mend = format!("Name the hosts, or give the names in {}.", annotation::ALT_NAMES);
            add(findings, context, named.text, place, "", (what, mend));
        }
    });
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, istio};
    use rstest::rstest;
    use serde_json::{Value, json};

    const EXPECTED: &str = "spec.servers[0].hosts: they leave no name for the certificate in \"shop-tls\": * is none. Name the hosts, or give the names in cert-manager.io/alt-names.";

    fn cluster() -> TestCluster {
        TestCluster::default().object(cluster_issuer("le").ready())
    }

    fn with_hosts(hosts: Value) -> GatewayFixture {
        istio("shop").cert_manager("cluster-issuer", "le").with("/spec/servers/0/hosts", hosts)
    }

    #[rstest]
    #[case::any(json!(["*"]), true)]
    #[case::any_of_a_namespace(json!(["team-a/*", "./*"]), true)]
    #[case::none(json!([]), true)]
    #[case::one_beside(json!(["*", "shop.example.com"]), false)]
    #[case::wildcard(json!(["*.example.com"]), false)]
    fn found(#[case] hosts: Value, #[case] expected: bool) {
        let gateway = with_hosts(hosts);
        let expected = if expected { vec![EXPECTED] } else { vec![] };
        assert_eq!(gateway.findings_of("host-without-name", &cluster()), expected);
        let named = gateway.cert_manager("alt-names", "shop.example.com");
        assert_eq!(named.findings(&cluster()), Vec::<String>::new());
    }

    #[test]
    fn a_name_from_another_server_of_the_secret() {
        let server = json!({
            "port": {"number": 8443, "name": "b", "protocol": "HTTPS"}, "hosts": ["b.example.com"],
            "tls": {"mode": "SIMPLE", "credentialName": "shop-tls"},
        });
        let gateway = with_hosts(json!(["*"])).push("/spec/servers", server);
        assert_eq!(gateway.findings(&cluster()), Vec::<String>::new());
    }

    #[rstest]
    #[case::the_same(json!(["*"]), true)]
    #[case::had_a_name(json!(["shop.example.com"]), false)]
    fn updates(#[case] before: Value, #[case] let_through: bool) {
        let new = with_hosts(json!(["*"])).annotation("a", "b");
        assert_eq!(new.update_from(&with_hosts(before), &cluster()).accepted, let_through);
    }
}
