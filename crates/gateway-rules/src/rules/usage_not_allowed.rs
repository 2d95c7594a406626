//! The certificate would be for a purpose that the tenant may not have.
//!
//! `client auth` makes it a client's identity wherever the CA is trusted, `cert sign` a CA of its own;
//! CA issuers sign both. Without the annotation a certificate is for `digital signature` and
//! `key encipherment`.
//!
//! Configured per tenant: `usages`, the ones that it may have, as cert-manager writes them. Without the
//! list all are allowed.
//!
//! Refused, with `usages: [digital signature, key encipherment, server auth]`:
//! ```yaml
//! cert-manager.io/usages: client auth
//! ```
//! Accepted:
//! ```yaml
//! cert-manager.io/usages: digital signature,server auth
//! ```

use certificate_shim::annotation;
use certificate_shim::value::usage::USAGES;

use super::{Applies, Findings, Judges, Rule};
use crate::context::Context;
use crate::finding::{Level, Refusal};
use crate::text::{allowed, quote};

/// `usage-not-allowed`
pub const RULE: Rule = Rule {
    id: "usage-not-allowed",
    default: Level::Reject,
    refusal: Refusal::Forbidden,
    applies: Applies::Everywhere,
    judges: Judges::Annotated,
    check,
};

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let (Some(tenant), Some(template)) = (context.tenant(), context.template()) else { return };
    let Some(usages) = &tenant.usages else { return };
    // What stands twice in the annotation is told once.
    for usage in USAGES.iter().filter(|usage| template.usages.contains(usage)) {
        if !usages.iter().any(|allowed| allowed == usage) {
            let what = format!("tenant {} may not have the usage {}", quote(&tenant.name), quote(usage));
            findings.add(context.path_of(annotation::USAGES), *usage, what, allowed(usages, quote));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio};
    use rstest::rstest;
    use serde_json::{Value, json};

    fn cluster() -> TestCluster {
        TestCluster::default().object(cluster_issuer("le").ready())
    }

    fn asking(gateway: GatewayFixture, usages: Option<&str>, allowed: Value) -> GatewayFixture {
        let gateway = gateway.cert_manager("cluster-issuer", "le").tenant(json!({"usages": allowed}));
        usages.into_iter().fold(gateway, |gateway, usages| gateway.cert_manager("usages", usages))
    }

    #[rstest]
    #[case::allowed(Some("digital signature,server auth"), json!(["server auth", "digital signature"]), &[])]
    #[case::another(Some("client auth, server auth"), json!(["server auth"]), &["client auth"])]
    #[case::twice(Some("client auth,client auth"), json!(["server auth"]), &["client auth"])]
    #[case::default(None, json!(["digital signature", "key encipherment"]), &[])]
    #[case::default_not_allowed(None, json!(["server auth"]), &["digital signature", "key encipherment"])]
    #[case::another_word_for_it(Some("signing"), json!(["server auth"]), &["signing"])]
    #[case::left_out(Some("cert sign,any"), Value::Null, &[])]
    fn the_list(#[case] usages: Option<&str>, #[case] allowed: Value, #[case] expected: &[&str]) {
        for gateway in [istio("shop"), gateway_api("shop")] {
            let listed = if allowed.as_array().is_some_and(|list| list.len() == 2) {
                String::new()
            } else {
                "\"server auth\"".to_owned()
            };
            let text = |usage: &&str| {
                format!(
                    "usage-not-allowed: metadata.annotations[cert-manager.io/usages]: tenant \"a\" may not have the usage \"{usage}\". Allowed are {listed}; for others, ask the platform team."
                )
            };
            let expected: Vec<String> = expected.iter().map(text).collect();
            assert_eq!(asking(gateway, usages, allowed.clone()).findings(&cluster()), expected);
        }
    }

    #[test]
    fn an_update() {
        let with = |usages| asking(istio("shop"), Some(usages), json!(["server auth"]));
        assert_eq!(with("client auth").create(&cluster()).code, Some(403));
        assert!(
            with("client auth").annotation("a", "b").update_from(&with("client auth"), &cluster()).accepted
        );
        assert!(!with("client auth,cert sign").update_from(&with("client auth"), &cluster()).accepted);
    }
}
