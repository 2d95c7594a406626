//! cert-manager's webhook would refuse a Certificate of this Gateway.
//!
//! Each annotation can be read, but what they make together is no sound Certificate: it renews
//! before it was issued, lasts less than an hour, has a common name that is too long. Creating it
//! fails, and again only cert-manager's log tells. For Istio it is also one Secret that is to hold
//! different kinds of keys.
//!
//! Refused:
//! ```yaml
//! cert-manager.io/duration: 24h
//! cert-manager.io/renew-before: 48h
//! ```
//! Accepted:
//! ```yaml
//! cert-manager.io/duration: 24h
//! cert-manager.io/renew-before: 8h
//! ```

use certificate_shim::annotation;
use certificate_shim::plan::PlanFault;
use certificate_shim::webhook::{Field, FieldError, validate_own, validate_template};

use super::{Applies, Findings, Judges, Rule};
use crate::context::{Context, annotation_path};
use crate::finding::{Level, Refusal};
use crate::text::{one_line, shorten};

/// `certificate-invalid`
pub const RULE: Rule = Rule {
    id: "certificate-invalid",
    default: Level::Reject,
    refusal: Refusal::Invalid,
    applies: Applies::Everywhere,
    judges: Judges::Annotated,
    check,
};

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let plan = &context.plan;
    if let Some(certificate) = plan.certificates.first() {
        for error in validate_template(&certificate.template) {
            // Which issuer is meant is annotation-conflict's to say, where that is not clear.
            let of_issuer = matches!(error.field, Field::IssuerName | Field::IssuerKind);
            if !of_issuer || context.issuer_ref().is_some() {
                let path = error.field.annotation().map_or_else(|| "spec".to_owned(), annotation_path);
                findings.add(path, subject(&error), what(&error), mend(error.field));
            }
        }
    }
    for certificate in &plan.certificates {
        for error in validate_own(certificate) {
            let path = certificate.places.first().map_or_else(|| "spec".to_owned(), ToString::to_string);
            let secret = certificate.secret();
            findings.add_about(&secret, path, subject(&error), what(&error), mend(error.field));
        }
    }
    for fault in &plan.contradictions {
        let (place, mend) = match fault {
            PlanFault::PairOfEd25519 { place } => {
                (place, "Give one credentialName, or let private-key-algorithm be RSA or ECDSA.")
            }
            PlanFault::KeysDiffer { other, .. } => (other, "Name another Secret in one of the two places."),
        };
        findings.add(place.to_string(), fault.to_string(), fault.to_string(), mend);
    }
}

fn subject(error: &FieldError) -> String {
    shorten(&error.text, 300)
}

fn what(error: &FieldError) -> String {
    format!("cert-manager's webhook refuses the Certificate ({})", shorten(&one_line(&error.text), 400))
}

fn mend(field: Field) -> String {
    let accepts = field.annotation().and_then(annotation::find).map(|annotation| annotation.accepts);
    match (field, accepts) {
        (Field::SecretName, _) => {
            "Name the Secret with lower-case letters, digits, hyphens and dots, at most 253 of them."
                .to_owned()
        }
        (_, Some(accepts)) => format!("It takes {accepts}."),
        (_, None) => "Give it a host, or a name in an annotation.".to_owned(),
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

    #[rstest]
    #[case::fine(&[("duration", "24h"), ("renew-before", "8h")], &[])]
    #[case::renews_too_early(&[("duration", "24h"), ("renew-before", "48h")], &[
        "certificate-invalid: metadata.annotations[cert-manager.io/renew-before]: cert-manager's webhook refuses the Certificate (spec.renewBefore: Invalid value: 172800000000000: certificate duration 24h0m0s must be greater than renewBefore 48h0m0s). It takes a Go duration of at least 5m and less than the duration, such as 360h; there are no days."
    ])]
    #[case::too_short(&[("duration", "30m")], &[
        "certificate-invalid: metadata.annotations[cert-manager.io/duration]: cert-manager's webhook refuses the Certificate (spec.duration: Invalid value: 1800000000000: certificate duration must be greater than 1h0m0s). It takes a Go duration of at least 1h, such as 2160h or 90m; there are no days."
    ])]
    #[case::no_kind_of_cert_manager(&[("issuer-kind", "MyIssuer")], &[
        "certificate-invalid: metadata.annotations[cert-manager.io/issuer-kind]: cert-manager's webhook refuses the Certificate (spec.issuerRef.kind: Invalid value: \"MyIssuer\": must be one of Issuer or ClusterIssuer). It takes a kind, together with issuer; Issuer or ClusterIssuer unless issuer-group names another group."
    ])]
    fn of_annotations(#[case] annotations: &[(&str, &str)], #[case] expected: &[&str]) {
        for gateway in [istio("shop"), gateway_api("web")] {
            let gateway = if annotations.iter().any(|(key, _)| *key == "issuer-kind") {
                gateway.cert_manager("issuer", "le")
            } else {
                gateway.cert_manager("cluster-issuer", "le")
            };
            let gateway = annotations.iter().fold(gateway, |gateway, (k, v)| gateway.cert_manager(k, v));
            assert_eq!(gateway.findings(&cluster()), expected);
        }
    }

    #[test]
    fn a_secret_name_that_nothing_can_have() {
        let gateway = gateway_api("web").cert_manager("cluster-issuer", "le");
        let gateway = gateway.with("/spec/listeners/0/tls/certificateRefs/0/name", json!("Web_TLS"));
        assert_eq!(
            gateway.findings(&cluster()),
            [
                "certificate-invalid: spec.listeners[0].tls.certificateRefs[0].name: cert-manager's webhook refuses the Certificate (spec.secretName: Invalid value: \"Web_TLS\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')). Name the Secret with lower-case letters, digits, hyphens and dots, at most 253 of them."
            ]
        );
    }

    fn pair(gateway: GatewayFixture) -> GatewayFixture {
        gateway.cert_manager("cluster-issuer", "le").with(
            "/spec/servers/0/tls",
            json!({"mode": "SIMPLE", "credentialNames": ["shop-rsa", "shop-ecdsa"]}),
        )
    }

    #[test]
    fn a_pair_of_credentials_is_rsa_and_ecdsa() {
        assert_eq!(pair(istio("shop")).findings(&cluster()), Vec::<String>::new());
        assert_eq!(
            pair(istio("shop")).cert_manager("private-key-algorithm", "Ed25519").findings(&cluster()),
            [
                "certificate-invalid: spec.servers[0].tls.credentialNames[1]: of two credentials one is RSA and the other ECDSA, but the annotations ask for Ed25519. Give one credentialName, or let private-key-algorithm be RSA or ECDSA."
            ]
        );
    }

    #[test]
    fn one_secret_with_two_kinds_of_keys() {
        let gateway = pair(istio("shop")).push(
            "/spec/servers",
            json!({
                "port": {"number": 8443, "name": "b", "protocol": "HTTPS"}, "hosts": ["b.example.com"],
                "tls": {"mode": "SIMPLE", "credentialName": "shop-ecdsa"},
            }),
        );
        assert_eq!(
            gateway.findings(&cluster()),
            [
                "certificate-invalid: spec.servers[1].tls.credentialName: the Secret team-a/shop-ecdsa is to hold another kind of key than at spec.servers[0].tls.credentialNames[1]. Name another Secret in one of the two places."
            ]
        );
    }

    #[test]
    fn an_issuer_that_is_not_clear_is_told_once() {
        let findings = istio("shop").cert_manager("issuer", "").findings(&cluster());
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].starts_with("annotation-conflict"));
    }

    #[rstest]
    #[case::kept("48h", true)]
    #[case::another("49h", false)]
    fn updates(#[case] before: &str, #[case] let_through: bool) {
        let gateway = istio("shop").cert_manager("cluster-issuer", "le").cert_manager("duration", "24h");
        let old = gateway.clone().cert_manager("renew-before", before);
        let new = gateway.cert_manager("renew-before", "48h").annotation("a", "b");
        assert_eq!(new.update_from(&old, &cluster()).accepted, let_through);
    }
}
