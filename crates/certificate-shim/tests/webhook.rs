//! The Certificates that cert-manager's webhook rejects.

use certificate_shim::Certificate;
use certificate_shim::gateway::{Gateway, GatewayKind};
use certificate_shim::issuer_ref::resolve;
use certificate_shim::plan::{Options, plan};
use certificate_shim::webhook::{validate, validate_own, validate_template};
use rstest::rstest;
use serde_json::json;

fn certificate(secret: &str, annotations: &[(&str, &str)]) -> Certificate {
    let mut all = json!({"cert-manager.io/issuer": "ca"});
    for (key, value) in annotations {
        all[format!("cert-manager.io/{key}")] = json!(value);
    }
    let tls = json!({"mode": "Terminate", "certificateRefs": [{"name": secret}]});
    let object = json!({
        "metadata": {"name": "web", "namespace": "ns", "annotations": all},
        "spec": {"listeners": [
            {"name": "a", "protocol": "HTTPS", "hostname": "a.com", "tls": tls},
            {"name": "b", "protocol": "HTTPS", "hostname": "192.0.2.1", "tls": tls},
        ]},
    });
    let gateway = Gateway::read(GatewayKind::GatewayApi, "ns", &object).unwrap();
    let plan = plan(&gateway, &resolve(&gateway).unwrap().reference, &[], &Options::default());
    plan.issued()[0].clone()
}

fn rejected(certificate: &Certificate) -> Vec<String> {
    validate(certificate).into_iter().map(|error| error.text).collect()
}

#[rstest]
#[case::nothing(&[])]
#[case::common_name_at_its_limit(&[("common-name", &"x".repeat(64) as &str)])]
#[case::shortest(&[("duration", "1h")])]
#[case::just_below(&[("duration", "1h"), ("renew-before", "59m59.999999999s")])]
#[case::at_least(&[("duration", "1h"), ("renew-before", "5m")])]
#[case::just_below_the_default(&[("renew-before", "2159h59m59.999999999s")])]
#[case::percentage_of_an_hour(&[("duration", "1h"), ("renew-before-percentage", "91")])]
#[case::percentage_alone_is_not_checked(&[("renew-before-percentage", "101")])]
#[case::addresses(&[("ip-sans", "::1,192.0.2.2")])]
#[case::mail(&[("email-sans", "a@b")])]
#[case::external_kind(&[("issuer-kind", "AWSPCAIssuer"), ("issuer-group", "awspca.cert-manager.io")])]
#[case::empty_kind(&[("issuer-kind", "")])]
#[case::template(&[("secret-template", r#"{"labels": {"a.b/C_d": "", "x": "Y.z"}, "annotations": {"Example.COM/a": "any thing"}}"#)])]
fn accepted(#[case] annotations: &[(&str, &str)]) {
    assert_eq!(rejected(&certificate("web", annotations)), Vec::<String>::new());
}

#[rstest]
#[case::common_name("common-name", &"é".repeat(33), "spec.commonName: Too long: may not be more than 64 bytes")]
#[case::address_counted_after_the_hosts(
    "ip-sans",
    "::1, ::2",
    "spec.ipAddresses[2]: Invalid value: \" ::2\": invalid IP address"
)]
#[case::mail(
    "email-sans",
    "a@b, c@d",
    "spec.emailAddresses[1]: Invalid value: \" c@d\": invalid email address: it is not of the form local@domain"
)]
#[case::empty_mail(
    "email-sans",
    "",
    "spec.emailAddresses[0]: Invalid value: \"\": invalid email address: it is not of the form local@domain"
)]
#[case::kind(
    "issuer-kind",
    "Foo",
    "spec.issuerRef.kind: Invalid value: \"Foo\": must be one of Issuer or ClusterIssuer"
)]
#[case::too_short(
    "duration",
    "59m",
    "spec.duration: Invalid value: 3540000000000: certificate duration must be greater than 1h0m0s"
)]
#[case::renewed_too_late(
    "renew-before",
    "4m59s",
    "spec.renewBefore: Invalid value: 299000000000: certificate renewBefore must be greater than 5m0s"
)]
#[case::renewed_immediately(
    "renew-before",
    "2160h",
    "spec.renewBefore: Invalid value: 7776000000000000: certificate duration 2160h0m0s must be greater than renewBefore 2160h0m0s"
)]
#[case::label_value(
    "secret-template",
    r#"{"labels": {"a": "-"}}"#,
    "spec.secretTemplate.labels: Invalid value: \"-\": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)]
#[case::label_prefix_without_text(
    "secret-template",
    r#"{"labels": {"/a": ""}}"#,
    "spec.secretTemplate.labels: Invalid value: \"/a\": prefix part must be non-empty"
)]
#[case::annotation_with_two_slashes(
    "secret-template",
    r#"{"annotations": {"a/b/c": ""}}"#,
    "spec.secretTemplate.annotations: Invalid value: \"a/b/c\": a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
)]
#[case::too_large("secret-template", &format!(r#"{{"annotations": {{"a": "{}"}}}}"#, "v".repeat(262_144)), "spec.secretTemplate.annotations: Too long: may not be more than 262144 bytes")]
fn rejected_for_one_annotation(#[case] key: &str, #[case] value: &str, #[case] expected: &str) {
    let certificate = certificate("web", &[(key, value)]);
    let errors = validate(&certificate);
    assert_eq!(rejected(&certificate), [expected]);
    assert_eq!(errors[0].field.annotation(), Some(format!("cert-manager.io/{key}").as_str()));
    assert_eq!(errors[0].to_string(), expected);
    assert_eq!(validate_own(&certificate), []);
    assert_eq!(validate_template(&certificate.template).len(), 1);
}

#[rstest]
#[case::empty_group(&[("issuer-kind", "Foo"), ("issuer-group", "")],
    &["spec.issuerRef.kind: Invalid value: \"Foo\": must be one of Issuer or ClusterIssuer (did you forget to set spec.issuerRef.kind.group?)"])]
#[case::renewal_twice(&[("duration", "2h"), ("renew-before", "2h"), ("renew-before-percentage", "0")], &[
    "spec.renewBefore: Invalid value: 7200000000000: renewBefore and renewBeforePercentage are mutually exclusive and cannot both be set",
    "spec.renewBeforePercentage: Invalid value: 0: renewBefore and renewBeforePercentage are mutually exclusive and cannot both be set",
    "spec.renewBefore: Invalid value: 7200000000000: certificate duration 2h0m0s must be greater than renewBefore 2h0m0s",
    "spec.renewBeforePercentage: Invalid value: 0: certificate renewBeforePercentage must result in a renewBefore less than duration",
])]
#[case::percentage_of_an_hour(&[("duration", "1h"), ("renew-before-percentage", "92")],
    &["spec.renewBeforePercentage: Invalid value: 92: certificate renewBeforePercentage must result in a renewBefore greater than 5m0s"])]
#[case::percentage_that_wraps_around(&[("duration", "2160h"), ("renew-before-percentage", "-2147483648")],
    &["spec.renewBeforePercentage: Invalid value: -2147483648: certificate renewBeforePercentage must result in a renewBefore greater than 5m0s"])]
#[case::percentage_beyond_64_bits(&[("duration", "2562047h"), ("renew-before-percentage", "-100")],
    &["spec.renewBeforePercentage: Invalid value: -100: certificate renewBeforePercentage must result in a renewBefore greater than 5m0s"])]
fn rejected_for_several_annotations(#[case] annotations: &[(&str, &str)], #[case] expected: &[&str]) {
    assert_eq!(rejected(&certificate("web", annotations)), expected);
}

#[rstest]
#[case::empty("", &["Required value: must be specified"])]
#[case::upper_case("Web", &["Invalid value: \"Web\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"])]
#[case::too_long(&"a".repeat(254), &[&format!("Invalid value: \"{}\": must be no more than 253 characters", "a".repeat(254)) as &str])]
fn rejected_for_the_secrets_name(#[case] secret: &str, #[case] expected: &[&str]) {
    let certificate = certificate(secret, &[]);
    let expected: Vec<String> =
        expected.iter().map(|problem| format!("spec.secretName: {problem}")).collect();
    assert_eq!(rejected(&certificate), expected);
    assert_eq!(validate_own(&certificate).len(), expected.len());
    assert_eq!(validate_template(&certificate.template), []);
}

#[test]
fn a_certificate_needs_a_name() {
    let mut certificate = certificate("web", &[]);
    certificate.hosts.clear();
    assert_eq!(
        rejected(&certificate),
        [
            "spec: Invalid value: \"\": at least one of commonName (from the commonName field or from a literalSubject), \
         dnsNames, emailSANs, ipAddresses, otherNames, or uriSANs must be set"
        ]
    );
}
