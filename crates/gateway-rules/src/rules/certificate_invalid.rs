//! cert-manager's webhook would reject a Certificate of this Gateway.
//!
//! Each annotation can be parsed, but together they do not make a valid Certificate: it would be
//! renewed before it is issued, last less than an hour, or have too long a common name. Creating it
//! fails, and the error appears only in cert-manager's log. On Istio Gateways the rule also reports a
//! Secret that would need two kinds of keys.
//!
//! Rejected:
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

use crate::context::Context;
use crate::rule::{Findings, Rule};
use crate::text::{one_line, quote, shorten};

/// `certificate-invalid`
pub const RULE: Rule = Rule::reject("certificate-invalid", check);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let plan = &context.plan;
    for error in plan.template().map(validate_template).unwrap_or_default() {
        // annotation-conflict reports an issuer that the annotations do not agree on.
        let is_about_issuer = matches!(error.field, Field::IssuerName | Field::IssuerKind);
        if !is_about_issuer || context.issuer_ref().is_some() {
            let path = error.field.annotation().map_or_else(|| "spec".to_owned(), |key| context.path_of(key));
            findings.report(path, problem(&error)).subject(&error.text).help(help(error.field));
        }
    }
    for certificate in &plan.certificates {
        for error in validate_own(certificate) {
            findings
                .report(certificate.path(), problem(&error))
                .subject(&error.text)
                .help(help(error.field))
                .about(certificate.secret());
        }
    }
    for fault in &plan.contradictions {
        let (place, subject, problem, help) = match fault {
            PlanFault::PairOfEd25519 { place } => (
                place,
                "Ed25519".to_owned(),
                "a pair of credentials needs RSA and ECDSA keys, and the annotations ask for Ed25519"
                    .to_owned(),
                "Use a single credentialName, or set private-key-algorithm to RSA or ECDSA.",
            ),
            PlanFault::KeysDiffer { secret, first, other } => (
                other,
                secret.to_string(),
                format!(
                    "Secret {} needs a different kind of key here than at {first}",
                    quote(&secret.to_string())
                ),
                "Name another Secret in one of the two places.",
            ),
        };
        findings.report(place.to_string(), problem).subject(subject).help(help);
    }
}

fn problem(error: &FieldError) -> String {
    let reason = shorten(&one_line(&error.text), 400);
    format!("cert-manager's webhook would reject the Certificate ({reason})")
}

fn help(field: Field) -> String {
    match field.annotation().and_then(annotation::find) {
        Some(annotation) => format!("Use {}.", annotation.accepts),
        None => "Use at most 253 lower-case letters, digits, hyphens and dots.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{GatewayFixture, TestCluster, cluster_issuer, gateway_api, istio, listener_set};
    use crate::rule::Caller;
    use certificate_shim::plan::SecretName;
    use rstest::rstest;
    use serde_json::{Value, json};

    const ID: &str = "certificate-invalid";

    fn cluster() -> TestCluster {
        TestCluster::default().object(cluster_issuer("le").ready())
    }

    fn with(gateway: GatewayFixture, annotations: &[(&str, &str)]) -> GatewayFixture {
        annotations.iter().fold(gateway, |gateway, (key, value)| gateway.cert_manager(key, value))
    }

    /// The paths of what the rule reports.
    fn paths(gateway: &GatewayFixture, cluster: &TestCluster) -> Vec<String> {
        let path = |line: &String| line.split(' ').nth(1).unwrap_or_default().to_owned();
        gateway.found_by(ID, cluster).iter().map(path).collect()
    }

    #[rstest]
    #[case::valid(&[("cluster-issuer", "le"), ("duration", "24h"), ("renew-before", "8h")], None)]
    #[case::renewed_too_early(
        &[("cluster-issuer", "le"), ("duration", "24h"), ("renew-before", "48h")], Some("renew-before")
    )]
    #[case::too_short(&[("cluster-issuer", "le"), ("duration", "30m")], Some("duration"))]
    #[case::kind_of_no_issuer(&[("issuer", "le"), ("issuer-kind", "MyIssuer")], Some("issuer-kind"))]
    #[case::conflicting_kind(&[("cluster-issuer", "le"), ("issuer-kind", "MyIssuer")], None)]
    #[case::conflicting_kind_and_too_short(
        &[("cluster-issuer", "le"), ("issuer-kind", "MyIssuer"), ("duration", "30m")], Some("duration")
    )]
    #[case::no_name(&[("issuer", "")], None)]
    fn of_annotations(#[case] annotations: &[(&str, &str)], #[case] expected: Option<&str>) {
        let expected = expected.map(|key| format!("metadata.annotations[cert-manager.io/{key}]"));
        let expected: Vec<String> = expected.into_iter().collect();
        for gateway in [istio("shop"), gateway_api("web")] {
            assert_eq!(paths(&with(gateway, annotations), &cluster()), expected);
        }
    }

    #[test]
    fn an_inherited_kind() {
        let cluster = cluster().object(gateway_api("web").cert_manager("issuer-kind", "MyIssuer"));
        let set = listener_set("extra").cert_manager("issuer", "le");
        assert_eq!(paths(&set, &cluster), ["spec.parentRef"]);
    }

    #[rstest]
    #[case::the_same("48h", true)]
    #[case::another_value("49h", false)]
    fn updates(#[case] before: &str, #[case] is_accepted: bool) {
        let gateway = |renew_before: &str| {
            with(
                istio("shop"),
                &[("cluster-issuer", "le"), ("duration", "24h"), ("renew-before", renew_before)],
            )
        };
        let response = gateway("48h").annotation("a", "b").update_from(&gateway(before), &cluster());
        assert_eq!(response.accepted, is_accepted);
    }

    #[test]
    fn the_name_of_a_secret() {
        let gateway = gateway_api("web").cert_manager("cluster-issuer", "le");
        let path = "/spec/listeners/0/tls/certificateRefs/0/name";
        let gateway = gateway.with(path, json!("Web_TLS"));
        let path = "spec.listeners[0].tls.certificateRefs[0].name";
        assert_eq!(paths(&gateway, &cluster()), [path]);
        let secret = SecretName { namespace: "team-a".into(), name: "Web_TLS".into() };
        assert_eq!(gateway.checked(&cluster(), Caller::Admission).findings[0].certificate, Some(secret));
    }

    fn server(name: &str) -> Value {
        let port = json!({"number": 8443, "name": "b", "protocol": "HTTPS"});
        json!({"port": port, "hosts": ["b.example.com"], "tls": {"mode": "SIMPLE", "credentialName": name}})
    }

    #[rstest]
    #[case::a_pair(&[], None, &[])]
    #[case::a_pair_of_ed25519(
        &[("private-key-algorithm", "Ed25519")],
        None,
        &["reject spec.servers[0].tls.credentialNames[1] | Ed25519"],
    )]
    #[case::one_secret_with_another_key(
        &[], Some("shop-ecdsa"), &["reject spec.servers[1].tls.credentialName | team-a/shop-ecdsa"]
    )]
    #[case::one_secret_with_the_same_key(&[], Some("shop-rsa"), &[])]
    fn kinds_of_keys(
        #[case] annotations: &[(&str, &str)],
        #[case] second: Option<&str>,
        #[case] expected: &[&str],
    ) {
        let pair = json!({"mode": "SIMPLE", "credentialNames": ["shop-rsa", "shop-ecdsa"]});
        let mut gateway =
            istio("shop").cert_manager("cluster-issuer", "le").with("/spec/servers/0/tls", pair);
        if let Some(name) = second {
            gateway = gateway.push("/spec/servers", server(name));
        }
        assert_eq!(with(gateway, annotations).found_by(ID, &cluster()), expected);
    }
}
