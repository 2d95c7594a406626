//! The certificate has a key usage that the tenant may not have.
//!
//! With `client auth` a certificate identifies a client to everyone who trusts the CA, and with `cert
//! sign` it can be a CA itself. CA issuers sign both. Without the annotation the usages are `digital
//! signature` and `key encipherment`.
//!
//! Configured per tenant: `usages`, the usages that it may have, spelled as in cert-manager. Without the
//! list all are allowed.
//!
//! Rejected, with `usages: [digital signature, key encipherment, server auth]`:
//! ```yaml
//! cert-manager.io/usages: client auth
//! ```
//! Accepted:
//! ```yaml
//! cert-manager.io/usages: digital signature,server auth
//! ```

use certificate_shim::annotation;
use certificate_shim::value::usage::USAGES;

use crate::context::Context;
use crate::rule::{Findings, Rule};
use crate::text::{allowed, quote};

/// `usage-not-allowed`
pub const RULE: Rule = Rule::reject("usage-not-allowed", check).forbidden().of_planned();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let (Some(tenant), Some(template)) = (context.tenant(), context.widest_plan().template()) else { return };
    let Some(usages) = &tenant.usages else { return };
    // The annotation can hold a usage more than once.
    for usage in USAGES.iter().filter(|usage| template.usages.contains(usage)) {
        if !usages.iter().any(|allowed| allowed == usage) {
            let problem = format!("tenant {} may not have the usage {}", quote(&tenant.name), quote(usage));
            findings
                .report(context.path_of(annotation::USAGES), problem)
                .subject(*usage)
                .help(allowed(usages, quote));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio, listener_set};
    use rstest::rstest;
    use serde_json::{Value, json};

    fn cluster() -> TestCluster {
        TestCluster::default().object(cluster_issuer("le").ready())
    }

    fn with(gateway: GatewayFixture, usages: Option<&str>, allowed: Value) -> GatewayFixture {
        let gateway = gateway.cert_manager("cluster-issuer", "le").tenant(json!({"usages": allowed}));
        usages.into_iter().fold(gateway, |gateway, usages| gateway.cert_manager("usages", usages))
    }

    /// Other versions of cert-manager, or other flags, issue for these listeners.
    #[rstest]
    #[case::excluded(gateway_api("web").cert_manager("ignore-tls-listeners", "https"))]
    #[case::of_another_protocol(gateway_api("web").with("/spec/listeners/0/protocol", json!("P")))]
    #[case::of_a_listener_set(listener_set("extra").with("/spec/listeners/0/protocol", json!("P")))]
    fn listeners_that_are_left_out(#[case] gateway: GatewayFixture) {
        let tenant = json!({
            "usages": ["server auth"], "dns_names": ["**.team-a.example.com"], "subject": "deny",
            "duration": {"max": "2160h"}, "key": {"algorithms": ["RSA"]}, "max_names": 1,
            "secret_template": {"labels": []},
        });
        let gateway = gateway
            .cert_manager("cluster-issuer", "le")
            .cert_manager("usages", "client auth")
            .cert_manager("alt-names", "a.x.org,b.x.org")
            .cert_manager("duration", "87600h")
            .cert_manager("private-key-algorithm", "ECDSA")
            .cert_manager("subject-countries", "X")
            .cert_manager("secret-template", "{\"labels\": {\"a\": \"b\"}}")
            .tenant(tenant);
        let cluster = cluster().object(gateway_api("web").cert_manager("cluster-issuer", "le"));
        let rules = gateway.rules(&cluster);
        for rule in [
            "too-many-names",
            "name-not-allowed",
            "duration-out-of-bounds",
            "key-not-allowed",
            "usage-not-allowed",
            "subject-not-allowed",
            "secret-metadata-not-allowed",
        ] {
            assert!(rules.contains(&format!("{rule} reject")), "{rule}: {rules:?}");
        }
    }

    #[rstest]
    #[case::allowed(Some("digital signature,server auth"), json!(["server auth", "digital signature"]), &[])]
    #[case::another(Some("client auth, server auth"), json!(["server auth"]), &["client auth"])]
    #[case::two(Some("any,cert sign"), json!(["server auth"]), &["cert sign", "any"])]
    #[case::twice(Some("client auth,client auth"), json!(["server auth"]), &["client auth"])]
    #[case::default(None, json!(["digital signature", "key encipherment"]), &[])]
    #[case::default_not_allowed(None, json!(["server auth"]), &["digital signature", "key encipherment"])]
    #[case::synonyms_differ(Some("signing"), json!(["digital signature"]), &["signing"])]
    #[case::none_allowed(Some("server auth"), json!([]), &["server auth"])]
    #[case::left_out(Some("cert sign,any"), Value::Null, &[])]
    fn the_list(#[case] usages: Option<&str>, #[case] allowed: Value, #[case] expected: &[&str]) {
        let line = |usage| format!("reject metadata.annotations[cert-manager.io/usages] | {usage}");
        let expected: Vec<String> = expected.iter().map(line).collect();
        for gateway in [istio("shop"), gateway_api("shop")] {
            let gateway = with(gateway, usages, allowed.clone());
            assert_eq!(gateway.found_by("usage-not-allowed", &cluster()), expected);
        }
    }

    #[rstest]
    #[case::the_same("client auth", true)]
    #[case::one_more("client auth,cert sign", false)]
    fn an_update(#[case] usages: &str, #[case] is_accepted: bool) {
        let with = |usages| with(istio("shop"), Some(usages), json!(["server auth"]));
        let response = with(usages).annotation("a", "b").update_from(&with("client auth"), &cluster());
        assert_eq!((response.accepted, response.code), (is_accepted, (!is_accepted).then_some(403)));
    }
}
