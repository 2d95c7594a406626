//! The certificate has subject fields or email addresses, and the tenant may not have any.
//!
//! CA issuers sign organizations, countries and email addresses without verifying them. Readers
//! of the certificate assume that the CA has confirmed them.
//!
//! Configured per tenant: `subject: deny`. It applies to the annotations `subject-*` and `email-sans`.
//!
//! Rejected, with `subject: deny`:
//! ```yaml
//! cert-manager.io/subject-organizations: Another Company
//! ```
//! Accepted:
//! ```yaml
//! cert-manager.io/common-name: shop.example.com
//! ```

use certificate_shim::annotation;

use crate::context::Context;
use crate::rule::{Findings, Rule};
use crate::text::quote;

/// `subject-not-allowed`
pub const RULE: Rule = Rule::reject("subject-not-allowed", check).forbidden().of_planned();

/// The annotations with subject fields and email addresses.
pub(super) const KEYS: [&str; 9] = [
    annotation::SUBJECT_ORGANIZATIONS,
    annotation::SUBJECT_ORGANIZATIONAL_UNITS,
    annotation::SUBJECT_COUNTRIES,
    annotation::SUBJECT_PROVINCES,
    annotation::SUBJECT_LOCALITIES,
    annotation::SUBJECT_POSTAL_CODES,
    annotation::SUBJECT_STREET_ADDRESSES,
    annotation::SUBJECT_SERIAL_NUMBER,
    annotation::EMAIL_SANS,
];

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let Some(tenant) = context.tenant().filter(|tenant| tenant.denies_subject) else { return };
    if context.widest_plan().template().is_none() {
        return;
    }
    for key in KEYS {
        if let Some(value) = context.gateway.annotation(key).filter(|value| !value.is_empty()) {
            let problem =
                format!("tenant {} may have neither subject fields nor email addresses", quote(&tenant.name));
            findings
                .report(context.path_of(key), problem)
                .subject(format!("{key}={value}"))
                .help("Remove the annotation, or ask the platform team.");
        }
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

    fn with(gateway: GatewayFixture, annotations: &[(&str, &str)]) -> GatewayFixture {
        let gateway = gateway.tenant(json!({"subject": "deny"}));
        annotations.iter().fold(gateway, |gateway, (key, value)| gateway.cert_manager(key, value))
    }

    fn found(gateway: &GatewayFixture) -> Vec<String> {
        gateway.clone().cert_manager("cluster-issuer", "le").found_by("subject-not-allowed", &cluster())
    }

    #[rstest]
    #[case::organizations("subject-organizations", "A")]
    #[case::organizational_units("subject-organizationalunits", "A")]
    #[case::countries("subject-countries", "DE")]
    #[case::provinces("subject-provinces", "A")]
    #[case::localities("subject-localities", "A")]
    #[case::postal_codes("subject-postalcodes", "1")]
    #[case::street_addresses("subject-streetaddresses", "A")]
    #[case::serial_number("subject-serialnumber", "1")]
    #[case::email_addresses("email-sans", "a@example.com")]
    #[case::separators_only("subject-organizations", ",")]
    fn each_field(#[case] key: &str, #[case] value: &str) {
        let line =
            format!("reject metadata.annotations[cert-manager.io/{key}] | cert-manager.io/{key}={value}");
        for gateway in [istio("shop"), gateway_api("shop")] {
            let gateway = with(gateway, &[(key, value)]);
            assert_eq!(found(&gateway), [line.as_str()]);
            assert_eq!(found(&gateway.clone().tenant(json!({"subject": "allow"}))).len(), 0);
            assert_eq!(found(&gateway.tenant(json!({}))).len(), 0, "allowed by default");
        }
    }

    #[rstest]
    #[case::none(&[], 0)]
    #[case::empty_serial_number(&[("subject-serialnumber", "")], 0)]
    #[case::common_name(&[("common-name", "shop.team-a.example.com")], 0)]
    #[case::several(&[("subject-countries", "DE"), ("subject-serialnumber", "1")], 2)]
    fn fields(#[case] annotations: &[(&str, &str)], #[case] expected: usize) {
        assert_eq!(found(&with(istio("shop"), annotations)).len(), expected);
    }

    #[test]
    fn without_issuer_nothing_is_issued() {
        let gateway = with(istio("shop"), &[("subject-countries", "DE")]);
        assert_eq!(gateway.found_by("subject-not-allowed", &cluster()).len(), 0);
        let no_secret = gateway.with("/spec/servers/0/tls", json!({"mode": "PASSTHROUGH"}));
        assert_eq!(found(&no_secret).len(), 0, "no Certificate has it");
    }

    #[rstest]
    #[case::the_same("subject-organizations", "A", true)]
    #[case::another("subject-organizations", "B", false)]
    #[case::in_another_field("subject-localities", "A", false)]
    fn an_update(#[case] key: &str, #[case] value: &str, #[case] is_accepted: bool) {
        let with = |key, value| with(istio("shop"), &[(key, value)]).cert_manager("cluster-issuer", "le");
        let old = with("subject-organizations", "A");
        let response = with(key, value).annotation("a", "b").update_from(&old, &cluster());
        assert_eq!((response.accepted, response.code), (is_accepted, (!is_accepted).then_some(403)));
    }
}
