//! An annotation asks for what an ACME issuer leaves out.
//!
//! cert-manager asks an ACME CA for a duration only where the issuer has `enableDurationFeature`. A
//! subject and mail addresses go along in the request, and the CAs drop or refuse them; of the
//! usages they grant what a server needs, so that a certificate for `client auth` does not come.
//!
//! Warned about:
//! ```yaml
//! cert-manager.io/cluster-issuer: letsencrypt
//! cert-manager.io/duration: 2400h
//! cert-manager.io/usages: server auth,client auth
//! ```
//! Accepted silently:
//! ```yaml
//! cert-manager.io/cluster-issuer: letsencrypt
//! cert-manager.io/usages: digital signature,key encipherment,server auth
//! ```

use certificate_shim::annotation;
use certificate_shim::value::usage;

use super::{Applies, Findings, Judges, Rule, subject_not_allowed};
use crate::context::{Context, annotation_path};
use crate::finding::{Level, Refusal};
use crate::issuer::acme::Acme;

/// `acme-ignored`
pub const RULE: Rule = Rule {
    id: "acme-ignored",
    default: Level::Warn,
    refusal: Refusal::Invalid,
    applies: Applies::Everywhere,
    judges: Judges::Annotated,
    check,
};

/// What a server's certificate is for; `signing` is another word for `digital signature`.
const GRANTED: [&str; 4] = ["digital signature", "signing", "key encipherment", "server auth"];

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    for found in context.issuers() {
        let Some(acme) = found.own().and_then(Acme::of) else { continue };
        let issuer = &found.object;
        let mut report = |key: &str, what: String, mend: &str| {
            let value = context.gateway.annotation(key).unwrap_or_default();
            // What cannot be read is told by annotation-invalid.
            let is_read = context.plan.faults.iter().all(|fault| fault.key != key);
            if !value.is_empty() && is_read {
                findings.push(annotation_path(key), format!("{key}: {value}"), what, mend.to_owned());
            }
        };
        if !acme.asks_duration {
            report(
                annotation::DURATION,
                format!("{issuer} does not ask its CA for a duration, so the CA sets it"),
                "Remove it, or have enableDurationFeature set if the CA takes a duration.",
            );
        }
        for key in subject_not_allowed::KEYS {
            let what = format!(
                "{issuer} is an ACME issuer, whose CA puts names into a certificate and nothing else"
            );
            report(key, what, "Remove it, or use another issuer.");
        }
        let usages = context.gateway.annotation(annotation::USAGES).unwrap_or_default();
        let refused = |usages: Vec<&'static str>| usages.into_iter().find(|usage| !GRANTED.contains(usage));
        if let Some(refused) = usage::parse(usages).ok().and_then(refused) {
            report(
                annotation::USAGES,
                format!(
                    "{issuer} is an ACME issuer, whose CA signs for servers and leaves out \"{refused}\""
                ),
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
            .object(cluster_issuer("other").ready().spec(json!({"acme": {}})))
            .object(cluster_issuer("timed").ready().spec(json!({"acme": {"enableDurationFeature": true}})))
            .object(cluster_issuer("ca").ready().spec(json!({"ca": {"secretName": "ca"}})))
    }

    const DROPPED: &str = "ClusterIssuer \"le\" is an ACME issuer, whose CA puts names into a certificate and nothing else. Remove it, or use another issuer.";

    #[rstest]
    #[case::duration(
        "duration",
        "48h",
        "ClusterIssuer \"le\" does not ask its CA for a duration, so the CA sets it. Remove it, or have enableDurationFeature set if the CA takes a duration."
    )]
    #[case::subject("subject-organizations", "Example", DROPPED)]
    #[case::serial_number("subject-serialnumber", "1", DROPPED)]
    #[case::mail("email-sans", "a@example.com", DROPPED)]
    #[case::usage(
        "usages",
        "server auth,client auth",
        "ClusterIssuer \"le\" is an ACME issuer, whose CA signs for servers and leaves out \"client auth\". Remove that usage, or use another issuer."
    )]
    fn found(#[case] key: &str, #[case] value: &str, #[case] expected: &str) {
        for gateway in [istio("shop"), gateway_api("web")] {
            let gateway = gateway.cert_manager(key, value);
            assert_eq!(
                gateway.clone().cert_manager("cluster-issuer", "le").findings(&cluster()),
                [format!("acme-ignored: metadata.annotations[cert-manager.io/{key}]: {expected}")]
            );
            assert_eq!(
                gateway.cert_manager("cluster-issuer", "ca").findings(&cluster()),
                Vec::<String>::new()
            );
        }
    }

    #[rstest]
    #[case::asked_for("timed", "duration", "48h")]
    #[case::of_a_server("le", "usages", "digital signature,key encipherment,server auth")]
    #[case::empty("le", "subject-serialnumber", "")]
    #[case::another("le", "alt-names", "b.example.com")]
    fn not_found(#[case] issuer: &str, #[case] key: &str, #[case] value: &str) {
        let gateway = istio("shop").cert_manager("cluster-issuer", issuer).cert_manager(key, value);
        assert_eq!(gateway.findings(&cluster()), Vec::<String>::new());
    }

    #[test]
    fn what_cannot_be_read_is_told_once() {
        let gateway = istio("shop").cert_manager("cluster-issuer", "le").cert_manager("duration", "90d");
        let findings = gateway.findings(&cluster());
        assert_eq!(findings.len(), 1);
        assert!(findings[0].starts_with("annotation-invalid: "), "{findings:?}");
    }

    fn lasting(duration: &str) -> GatewayFixture {
        let settings = json!({"rules": {"acme-ignored": "reject"}});
        istio("shop")
            .cert_manager("cluster-issuer", "le")
            .cert_manager("duration", duration)
            .settings(settings)
    }

    #[rstest]
    #[case::kept(lasting("48h"), true)]
    #[case::another_duration(lasting("49h"), false)]
    #[case::another_secret(lasting("48h").with("/spec/servers/0/tls/credentialName", json!("b-tls")), false)]
    #[case::another_issuer(lasting("48h").cert_manager("cluster-issuer", "other"), false)]
    fn updates(#[case] old: GatewayFixture, #[case] let_through: bool) {
        assert_eq!(lasting("48h").annotation("a", "b").update_from(&old, &cluster()).accepted, let_through);
    }
}
