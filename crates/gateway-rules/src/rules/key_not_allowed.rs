//! The private key is of a kind that the tenant may not have.
//!
//! Without annotations cert-manager makes RSA keys of 2048 bits; of a pair of credentials on one Istio
//! server the second is ECDSA on P-256, or RSA where the first is ECDSA.
//!
//! Configured per tenant: `key: {algorithms, rsa_min, ecdsa}`: which of `RSA`, `ECDSA` and `Ed25519`,
//! the least bits of an RSA key, and the sizes of ECDSA keys. What is left out asks nothing.
//!
//! Refused, with `key: {rsa_min: 3072}`, since it is a key of 2048 bits:
//! ```yaml
//! cert-manager.io/private-key-algorithm: RSA
//! ```
//! Accepted:
//! ```yaml
//! cert-manager.io/private-key-algorithm: RSA
//! cert-manager.io/private-key-size: "3072"
//! ```

use certificate_shim::annotation;
use certificate_shim::template::{Algorithm, PrivateKey};

use super::{Applies, Findings, Judges, Rule};
use crate::context::Context;
use crate::finding::{Level, Refusal};
use crate::settings::tenants::Tenant;
use crate::text::{allowed, quote};

/// `key-not-allowed`
pub const RULE: Rule = Rule {
    id: "key-not-allowed",
    default: Level::Reject,
    refusal: Refusal::Forbidden,
    applies: Applies::Everywhere,
    judges: Judges::Annotated,
    check,
};

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let (Some(tenant), Some(template)) = (context.tenant(), context.template()) else { return };
    let mut is_told = false;
    for certificate in &context.plan.certificates {
        let key = certificate.private_key;
        let is_as_annotated = key.is_like(&template.private_key);
        if is_as_annotated && is_told {
            continue;
        }
        is_told |= is_as_annotated;
        let Some((annotation, mend)) = fault(tenant, key) else { continue };
        let shown = match key.effective_size() {
            0 => key.effective_algorithm().as_str().to_owned(),
            size => format!("{} {size}", key.effective_algorithm().as_str()),
        };
        let what = format!("tenant {} may not have private keys of {shown}", quote(&tenant.name));
        if is_as_annotated {
            findings.add(context.path_of(annotation), shown, what, mend);
        } else {
            let place = certificate.places.first().map(ToString::to_string).unwrap_or_default();
            findings.add_about(&certificate.secret(), place, shown, what, mend);
        }
    }
}

/// The annotation that would mend it, and how.
fn fault(tenant: &Tenant, key: PrivateKey) -> Option<(&'static str, String)> {
    let (algorithm, size) = (key.effective_algorithm(), key.effective_size());
    if let Some(algorithms) = &tenant.algorithms
        && !algorithms.iter().any(|word| word == algorithm.as_str())
    {
        return Some((annotation::PRIVATE_KEY_ALGORITHM, allowed(algorithms, str::to_owned)));
    }
    let sizes = match algorithm {
        Algorithm::Rsa => format!("{} bits or more", tenant.rsa_min.filter(|min| size < *min)?),
        Algorithm::Ecdsa => {
            let sizes = tenant.ecdsa.as_ref().filter(|sizes| !sizes.contains(&size))?;
            let mut shown = Vec::new();
            for size in sizes {
                shown.push(size.to_string());
            }
            return Some((annotation::PRIVATE_KEY_SIZE, allowed(&shown, str::to_owned)));
        }
        Algorithm::Ed25519 => return None,
    };
    Some((annotation::PRIVATE_KEY_SIZE, allowed(&[sizes], str::to_owned)))
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio};
    use rstest::rstest;
    use serde_json::{Value, json};

    const ALGORITHM: &str = "key-not-allowed: metadata.annotations[cert-manager.io/private-key-algorithm]: tenant \"a\" may not have private keys of";
    const SIZE: &str = "key-not-allowed: metadata.annotations[cert-manager.io/private-key-size]: tenant \"a\" may not have private keys of";
    const ASK: &str = "for others, ask the platform team.";

    fn cluster() -> TestCluster {
        TestCluster::default().object(cluster_issuer("le").ready())
    }

    fn asking(gateway: GatewayFixture, algorithm: &str, size: &str, key: Value) -> GatewayFixture {
        let gateway = gateway.cert_manager("cluster-issuer", "le").tenant(json!({"key": key}));
        [("private-key-algorithm", algorithm), ("private-key-size", size)]
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .fold(gateway, |gateway, (key, value)| gateway.cert_manager(key, value))
    }

    #[rstest]
    #[case::default("", "", json!({"algorithms": ["RSA"], "rsa_min": 2048}), None)]
    #[case::default_too_small("", "", json!({"rsa_min": 3072}), Some(format!("{SIZE} RSA 2048. Allowed are 3072 bits or more; {ASK}")))]
    #[case::large_enough("RSA", "4096", json!({"rsa_min": 3072}), None)]
    #[case::default_algorithm("", "", json!({"algorithms": ["ECDSA"]}), Some(format!("{ALGORITHM} RSA 2048. Allowed are ECDSA; {ASK}")))]
    #[case::algorithm("Ed25519", "", json!({"algorithms": ["RSA", "ECDSA"]}), Some(format!("{ALGORITHM} Ed25519. Allowed are RSA, ECDSA; {ASK}")))]
    #[case::ecdsa("ECDSA", "", json!({"ecdsa": [256]}), None)]
    #[case::ecdsa_size("ECDSA", "521", json!({"ecdsa": [256, 384]}), Some(format!("{SIZE} ECDSA 521. Allowed are 256, 384; {ASK}")))]
    #[case::no_ecdsa("ECDSA", "384", json!({"ecdsa": []}), Some(format!("{SIZE} ECDSA 384. None are allowed; ask the platform team.")))]
    #[case::others_are_not_meant("ECDSA", "", json!({"rsa_min": 8192}), None)]
    #[case::ed25519_has_no_size("Ed25519", "", json!({"rsa_min": 8192, "ecdsa": []}), None)]
    #[case::nothing_asked("RSA", "2048", json!({}), None)]
    fn keys(
        #[case] algorithm: &str,
        #[case] size: &str,
        #[case] key: Value,
        #[case] expected: Option<String>,
    ) {
        for gateway in [istio("shop"), gateway_api("shop")] {
            let gateway = asking(gateway, algorithm, size, key.clone());
            assert_eq!(gateway.findings(&cluster()), expected.iter().cloned().collect::<Vec<_>>());
        }
    }

    fn pair(key: Value) -> GatewayFixture {
        asking(istio("shop"), "", "", key)
            .with("/spec/servers/0/tls", json!({"mode": "SIMPLE", "credentialNames": ["rsa", "ecdsa"]}))
    }

    #[test]
    fn the_second_of_a_pair_is_of_another_kind() {
        assert_eq!(pair(json!({"algorithms": ["RSA", "ECDSA"]})).findings(&cluster()), Vec::<String>::new());
        assert_eq!(
            pair(json!({"algorithms": ["RSA"]})).findings(&cluster()),
            [format!(
                "key-not-allowed: spec.servers[0].tls.credentialNames[1]: tenant \"a\" may not have private keys of ECDSA 256. Allowed are RSA; {ASK}"
            )]
        );
    }

    #[test]
    fn what_all_have_in_common_is_told_once() {
        let server = json!({"port": {"number": 8443, "name": "b", "protocol": "HTTPS"}, "hosts": ["b.example.com"], "tls": {"mode": "SIMPLE", "credentialName": "b-tls"}});
        let gateway = asking(istio("shop"), "", "", json!({"rsa_min": 3072})).push("/spec/servers", server);
        assert_eq!(gateway.findings(&cluster()).len(), 1);
    }

    #[test]
    fn an_update() {
        let with = |size| asking(istio("shop"), "RSA", size, json!({"rsa_min": 4096}));
        assert_eq!(with("2048").create(&cluster()).code, Some(403));
        assert!(with("2048").annotation("a", "b").update_from(&with("2048"), &cluster()).accepted);
        assert!(!with("3072").update_from(&with("2048"), &cluster()).accepted);
        let pair = pair(json!({"algorithms": ["RSA"]}));
        assert!(pair.clone().annotation("a", "b").update_from(&pair, &cluster()).accepted);
        let other = pair.clone().with("/spec/servers/0/tls/credentialNames/1", json!("other"));
        assert!(!other.update_from(&pair, &cluster()).accepted);
    }
}
