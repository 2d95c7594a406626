//! The private key has an algorithm or a size that the tenant may not have.
//!
//! Without annotations cert-manager generates RSA keys of 2048 bits. If one Istio server names two
//! credentials, the second key is ECDSA P-256, or RSA 2048 if the first is ECDSA.
//!
//! Configured per tenant: `key: {algorithms, rsa_min, rsa_max, ecdsa}`. `algorithms` are some of `RSA`,
//! `ECDSA` and `Ed25519`, `rsa_min` and `rsa_max` bounds for the size of RSA keys, `ecdsa` the sizes of
//! ECDSA keys. What is omitted allows everything. Very large RSA keys cost much CPU time when they are
//! generated, so set `rsa_max`.
//!
//! Rejected, with `key: {rsa_min: 3072}`, because the default is 2048 bits:
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

use crate::context::Context;
use crate::rule::{Findings, Rule};
use crate::settings::tenants::KeyPolicy;
use crate::text::{allowed, quote};

/// `key-not-allowed`
pub const RULE: Rule = Rule::reject("key-not-allowed", check).forbidden().of_planned();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let (Some(tenant), Some(template)) = (context.tenant(), context.widest_plan().template()) else { return };
    let mut is_checked = false;
    for certificate in &context.widest_plan().certificates {
        let key = certificate.private_key;
        let is_as_annotated = key.is_like(&template.private_key);
        if is_as_annotated && is_checked {
            continue;
        }
        is_checked |= is_as_annotated;
        let Some((annotation, help)) = fault(&tenant.key, key) else { continue };
        let shown = match key.effective_size() {
            0 => key.effective_algorithm().as_str().to_owned(),
            size => format!("{} {size}", key.effective_algorithm().as_str()),
        };
        let problem = format!("tenant {} may not have {shown} keys", quote(&tenant.name));
        if is_as_annotated {
            findings.report(context.path_of(annotation), problem).subject(shown).help(help);
        } else {
            findings
                .report(certificate.path(), problem)
                .subject(shown)
                .help("Use one credential for this server, or ask the platform team.")
                .about(certificate.secret());
        }
    }
}

/// The annotation that decides, and the fix.
fn fault(policy: &KeyPolicy, key: PrivateKey) -> Option<(&'static str, String)> {
    let (algorithm, size) = (key.effective_algorithm(), key.effective_size());
    if let Some(algorithms) = &policy.algorithms
        && !algorithms.iter().any(|word| word == algorithm.as_str())
    {
        return Some((annotation::PRIVATE_KEY_ALGORITHM, allowed(algorithms, str::to_owned)));
    }
    let set = |bound: String| format!("Set {} to {bound}.", annotation::PRIVATE_KEY_SIZE);
    let help = match algorithm {
        Algorithm::Rsa => match (policy.rsa_min, policy.rsa_max) {
            (Some(min), _) if size < min => set(format!("{min} or more")),
            (_, Some(max)) if size > max => set(format!("{max} or less")),
            _ => return None,
        },
        Algorithm::Ecdsa => {
            let sizes = policy.ecdsa.as_ref().filter(|sizes| !sizes.contains(&size))?;
            let sizes: Vec<String> = sizes.iter().map(i64::to_string).collect();
            allowed(&sizes, str::to_owned)
        }
        Algorithm::Ed25519 => return None,
    };
    Some((annotation::PRIVATE_KEY_SIZE, help))
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio};
    use rstest::rstest;
    use serde_json::{Value, json};

    fn cluster() -> TestCluster {
        TestCluster::default().object(cluster_issuer("le").ready())
    }

    fn found(gateway: &GatewayFixture) -> Vec<String> {
        gateway.found_by("key-not-allowed", &cluster())
    }

    fn with(gateway: GatewayFixture, algorithm: &str, size: &str, key: Value) -> GatewayFixture {
        let gateway = gateway.cert_manager("cluster-issuer", "le").tenant(json!({"key": key}));
        [("private-key-algorithm", algorithm), ("private-key-size", size)]
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .fold(gateway, |gateway, (key, value)| gateway.cert_manager(key, value))
    }

    #[rstest]
    #[case::default("", "", json!({"algorithms": ["RSA"], "rsa_min": 2048, "rsa_max": 2048}), None)]
    #[case::default_too_small("", "", json!({"rsa_min": 3072}), Some("size] | RSA 2048"))]
    #[case::too_small("RSA", "3071", json!({"rsa_min": 3072, "rsa_max": 4096}), Some("size] | RSA 3071"))]
    #[case::large_enough("RSA", "3072", json!({"rsa_min": 3072, "rsa_max": 4096}), None)]
    #[case::small_enough("RSA", "4096", json!({"rsa_min": 3072, "rsa_max": 4096}), None)]
    #[case::too_large("RSA", "4097", json!({"rsa_min": 3072, "rsa_max": 4096}), Some("size] | RSA 4097"))]
    #[case::too_large_without_min("", "8192", json!({"rsa_max": 4096}), Some("size] | RSA 8192"))]
    #[case::default_algorithm("", "", json!({"algorithms": ["ECDSA"]}), Some("algorithm] | RSA 2048"))]
    #[case::algorithm("Ed25519", "", json!({"algorithms": ["RSA", "ECDSA"]}), Some("algorithm] | Ed25519"))]
    #[case::no_algorithm("RSA", "", json!({"algorithms": []}), Some("algorithm] | RSA 2048"))]
    #[case::second_algorithm("ECDSA", "", json!({"algorithms": ["RSA", "ECDSA"]}), None)]
    #[case::ecdsa("ECDSA", "", json!({"ecdsa": [256]}), None)]
    #[case::ecdsa_size("ECDSA", "521", json!({"ecdsa": [256, 384]}), Some("size] | ECDSA 521"))]
    #[case::no_ecdsa("ECDSA", "384", json!({"ecdsa": []}), Some("size] | ECDSA 384"))]
    #[case::ecdsa_has_other_sizes("ECDSA", "", json!({"rsa_min": 8192, "rsa_max": 8192}), None)]
    #[case::ed25519_has_no_size("Ed25519", "", json!({"rsa_min": 8192, "ecdsa": []}), None)]
    #[case::no_restriction("RSA", "8192", json!({}), None)]
    fn keys(#[case] algorithm: &str, #[case] size: &str, #[case] key: Value, #[case] expected: Option<&str>) {
        let line = |found| format!("reject metadata.annotations[cert-manager.io/private-key-{found}");
        let expected: Vec<String> = expected.map(line).into_iter().collect();
        for gateway in [istio("shop"), gateway_api("shop")] {
            assert_eq!(found(&with(gateway, algorithm, size, key.clone())), expected);
        }
    }

    fn pair(algorithm: &str, size: &str, key: Value) -> GatewayFixture {
        let tls = json!({"mode": "SIMPLE", "credentialNames": ["first", "second"]});
        with(istio("shop"), algorithm, size, key).with("/spec/servers/0/tls", tls)
    }

    /// The key of the second credential has the other algorithm, for any annotations.
    #[rstest]
    #[case::both_allowed("", "", json!({"algorithms": ["RSA", "ECDSA"]}), &[])]
    #[case::second_algorithm(
        "", "", json!({"algorithms": ["RSA"]}), &["spec.servers[0].tls.credentialNames[1] | ECDSA 256"]
    )]
    #[case::second_size(
        "", "", json!({"ecdsa": [384]}), &["spec.servers[0].tls.credentialNames[1] | ECDSA 256"]
    )]
    #[case::second_is_rsa(
        "ECDSA", "384", json!({"rsa_min": 3072}), &["spec.servers[0].tls.credentialNames[1] | RSA 2048"]
    )]
    #[case::both("RSA", "3072", json!({"algorithms": []}), &[
        "metadata.annotations[cert-manager.io/private-key-algorithm] | RSA 3072",
        "spec.servers[0].tls.credentialNames[1] | ECDSA 256",
    ])]
    fn two_credentials(
        #[case] algorithm: &str,
        #[case] size: &str,
        #[case] key: Value,
        #[case] expected: &[&str],
    ) {
        let expected: Vec<String> = expected.iter().map(|found| format!("reject {found}")).collect();
        assert_eq!(found(&pair(algorithm, size, key)), expected);
    }

    /// Before and after the pair are Secrets of the annotated kind; each second one has its own finding.
    #[test]
    fn the_annotated_kind_is_reported_once() {
        let server = |tls: Value| {
            let port = json!({"number": 8443, "name": "b", "protocol": "HTTPS"});
            json!({"port": port, "hosts": ["b.example.com"], "tls": tls})
        };
        let gateway = pair("", "", json!({"algorithms": []}))
            .push("/spec/servers", server(json!({"mode": "SIMPLE", "credentialName": "third"})))
            .push("/spec/servers", server(json!({"mode": "SIMPLE", "credentialNames": ["fourth", "fifth"]})));
        assert_eq!(
            found(&gateway),
            [
                "reject metadata.annotations[cert-manager.io/private-key-algorithm] | RSA 2048",
                "reject spec.servers[0].tls.credentialNames[1] | ECDSA 256",
                "reject spec.servers[2].tls.credentialNames[1] | ECDSA 256",
            ]
        );
    }

    #[rstest]
    #[case::the_same("2048", "shop-tls", true)]
    #[case::another_size("3072", "shop-tls", false)]
    #[case::another_secret("2048", "other-tls", false)]
    fn an_update(#[case] size: &str, #[case] secret: &str, #[case] is_accepted: bool) {
        let with = |size| with(istio("shop"), "RSA", size, json!({"rsa_min": 4096}));
        let new = with(size).annotation("a", "b");
        let new = new.with("/spec/servers/0/tls/credentialName", json!(secret));
        let response = new.update_from(&with("2048"), &cluster());
        assert_eq!((response.accepted, response.code), (is_accepted, (!is_accepted).then_some(403)));
    }

    /// The finding about the annotated kind is not about the second one of a pair.
    #[test]
    fn an_update_that_leaves_only_the_second() {
        let old = pair("RSA", "8192", json!({"rsa_max": 4096}));
        let new =
            old.clone().with("/spec/servers/0/tls", json!({"mode": "SIMPLE", "credentialName": "second"}));
        assert_eq!(new.update_from(&old, &cluster()).code, Some(403));
    }

    /// A finding about the second key is about its Certificate only.
    #[rstest]
    #[case::the_same("first", "second", true)]
    #[case::another_first("other", "second", true)]
    #[case::another_second("first", "other", false)]
    fn an_update_of_two(#[case] first: &str, #[case] second: &str, #[case] is_accepted: bool) {
        let old = pair("", "", json!({"algorithms": ["RSA"]}));
        let new = old.clone().with("/spec/servers/0/tls/credentialNames", json!([first, second]));
        assert_eq!(new.update_from(&old, &cluster()).accepted, is_accepted);
    }
}
