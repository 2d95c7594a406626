//! An annotation asks for something that an ACME CA ignores.
//!
//! cert-manager sends a duration to the CA only if the issuer has `enableDurationFeature`. Subject fields
//! and mail addresses are in the request, but CAs drop or reject them. Of the usages, CAs grant those of
//! a server, so there is no certificate for `client auth`.
//!
//! Warned about:
//! ```yaml
//! cert-manager.io/duration: 2400h
//! cert-manager.io/usages: server auth,client auth
//! ```
//! Accepted:
//! ```yaml
//! cert-manager.io/usages: digital signature,key encipherment,server auth
//! ```

use certificate_shim::annotation;
use certificate_shim::value::usage;

use super::subject_not_allowed;
use crate::context::{Context, annotation_path};
use crate::issuer::acme::Acme;
use crate::rule::{Findings, Rule};

/// `acme-ignored`
pub const RULE: Rule = Rule::warn("acme-ignored", check);

/// The usages of a server's certificate; `signing` is another word for `digital signature`.
const GRANTED: [&str; 4] = ["digital signature", "signing", "key encipherment", "server auth"];

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    for found in context.issuers() {
        let Some(acme) = found.own().and_then(Acme::of) else { continue };
        let issuer = &found.object;
        let mut report = |key: &str, problem: String, help: &str| {
            let value = context.gateway.annotation(key).unwrap_or_default();
            // A value that cannot be read is reported by annotation-invalid.
            let is_read = context.plan.faults.iter().all(|fault| fault.key != key);
            if !value.is_empty() && is_read {
                findings
                    .report(annotation_path(key), problem)
                    .subject(format!("{key}: {value}"))
                    .help(help)
                    .rests_on(issuer);
            }
        };
        if !acme.asks_duration {
            report(
                annotation::DURATION,
                format!("{issuer} does not send durations to its ACME CA"),
                "Remove it. Platform team: set enableDurationFeature if the CA supports it.",
            );
        }
        for key in subject_not_allowed::KEYS {
            let problem = format!("{issuer} is an ACME issuer, and its CA signs only names");
            report(key, problem, "Remove it, or use another issuer.");
        }
        let usages = context.gateway.annotation(annotation::USAGES).unwrap_or_default();
        let denied = |usages: Vec<&'static str>| usages.into_iter().find(|usage| !GRANTED.contains(usage));
        if let Some(usage) = usage::parse(usages).ok().and_then(denied) {
            report(
                annotation::USAGES,
                format!("{issuer} is an ACME issuer, and its CA does not grant the usage \"{usage}\""),
                "Remove that usage, or use another issuer.",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio};
    use rstest::rstest;
    use serde_json::json;

    fn cluster() -> TestCluster {
        TestCluster::default()
            .object(cluster_issuer("le").ready().spec(json!({"acme": {}})))
            .object(cluster_issuer("timed").ready().spec(json!({"acme": {"enableDurationFeature": true}})))
            .object(cluster_issuer("ca").ready().spec(json!({"ca": {"secretName": "ca"}})))
    }

    fn found(gateway: GatewayFixture, issuer: &str, key: &str, value: &str) -> Vec<String> {
        gateway.cert_manager("cluster-issuer", issuer).cert_manager(key, value).found(&cluster())
    }

    #[rstest]
    #[case::duration("duration", "48h")]
    #[case::subject("subject-organizations", "Example")]
    #[case::serial_number("subject-serialnumber", "1")]
    #[case::mail("email-sans", "a@example.com")]
    #[case::usage("usages", "server auth,client auth")]
    fn ignored_by_acme(#[case] key: &str, #[case] value: &str) {
        let key_in_full = format!("cert-manager.io/{key}");
        let expected =
            format!("acme-ignored warn metadata.annotations[{key_in_full}] | {key_in_full}: {value}");
        for gateway in [istio("shop"), gateway_api("web")] {
            assert_eq!(found(gateway.clone(), "le", key, value), std::slice::from_ref(&expected));
            assert_eq!(found(gateway, "ca", key, value), Vec::<String>::new());
        }
    }

    #[rstest]
    #[case::enabled_duration("timed", "duration", "48h")]
    #[case::usages_of_a_server("le", "usages", "digital signature,signing,key encipherment,server auth")]
    #[case::empty("le", "subject-serialnumber", "")]
    #[case::names("le", "alt-names", "b.example.com")]
    fn not_ignored(#[case] issuer: &str, #[case] key: &str, #[case] value: &str) {
        assert_eq!(found(istio("shop"), issuer, key, value), Vec::<String>::new());
    }

    #[test]
    fn an_unreadable_value_is_reported_once() {
        let path = "metadata.annotations[cert-manager.io/duration]";
        let found = found(istio("shop"), "le", "duration", "90d");
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with(&format!("annotation-invalid reject {path} | ")), "{found:?}");
    }

    #[test]
    fn a_rejection_is_checked_with_a_fresh_issuer() {
        let cluster = cluster();
        let gateway = istio("shop").cert_manager("cluster-issuer", "le").cert_manager("duration", "48h");
        assert!(!gateway.level("acme-ignored", "reject").create(&cluster).accepted);
        assert_eq!(cluster.asked(), ["ClusterIssuer le", "ClusterIssuer le fresh"]);
    }
}
