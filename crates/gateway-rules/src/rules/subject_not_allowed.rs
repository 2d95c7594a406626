//! The certificate would have subject fields or mail addresses, which the tenant may not have.
//!
//! CA issuers sign organizations, countries and mail addresses as they are asked for, unverified; who
//! reads them takes them for the CA's word.
//!
//! Configured per tenant: `subject: deny`. It covers the annotations `subject-*` and `email-sans`.
//!
//! Refused:
//! ```yaml
//! cert-manager.io/subject-organizations: Another Company
//! ```
//! Accepted: Gateways without these annotations, such as:
//! ```yaml
//! cert-manager.io/cluster-issuer: company-ca
//! ```

use certificate_shim::annotation;

use super::{Applies, Findings, Judges, Rule};
use crate::context::Context;
use crate::finding::{Level, Refusal};
use crate::text::quote;

/// `subject-not-allowed`
pub const RULE: Rule = Rule {
    id: "subject-not-allowed",
    default: Level::Reject,
    refusal: Refusal::Forbidden,
    applies: Applies::Everywhere,
    judges: Judges::Annotated,
    check,
};

/// The annotations that say whose a certificate is, besides its names.
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
    if context.template().is_none() {
        return;
    }
    for key in KEYS {
        if let Some(value) = context.gateway.annotation(key).filter(|value| !value.is_empty()) {
            let what =
                format!("tenant {} may have neither subject fields nor mail addresses", quote(&tenant.name));
            findings.add(
                context.path_of(key),
                value,
                what,
                "Remove the annotation, or ask the platform team.",
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
        TestCluster::default().object(cluster_issuer("le").ready())
    }

    fn asking(gateway: GatewayFixture, annotations: &[(&str, &str)], subject: &str) -> GatewayFixture {
        let gateway = gateway.cert_manager("cluster-issuer", "le").tenant(json!({"subject": subject}));
        annotations.iter().fold(gateway, |gateway, (key, value)| gateway.cert_manager(key, value))
    }

    #[rstest]
    #[case::organization(&[("subject-organizations", "A")])]
    #[case::several(&[("subject-countries", "DE"), ("subject-serialnumber", "1")])]
    #[case::mail(&[("email-sans", "a@example.com")])]
    #[case::none(&[])]
    #[case::empty_serial_number(&[("subject-serialnumber", "")])]
    #[case::a_common_name_is_none(&[("common-name", "shop.team-a.example.com")])]
    fn fields(#[case] annotations: &[(&str, &str)]) {
        for gateway in [istio("shop"), gateway_api("shop")] {
            let text = |(key, _): &(&str, &str)| {
                format!(
                    "subject-not-allowed: metadata.annotations[cert-manager.io/{key}]: tenant \"a\" may have neither subject fields nor mail addresses. Remove the annotation, or ask the platform team."
                )
            };
            let found = annotations.iter().filter(|(key, value)| !value.is_empty() && *key != "common-name");
            let expected: Vec<String> = found.map(text).collect();
            assert_eq!(asking(gateway.clone(), annotations, "deny").findings(&cluster()), expected);
            assert_eq!(asking(gateway, annotations, "allow").findings(&cluster()), Vec::<String>::new());
        }
    }

    #[test]
    fn an_update() {
        let with = |name| asking(istio("shop"), &[("subject-organizations", name)], "deny");
        assert_eq!(with("A").create(&cluster()).code, Some(403));
        assert!(with("A").annotation("a", "b").update_from(&with("A"), &cluster()).accepted);
        assert!(!with("B").update_from(&with("A"), &cluster()).accepted);
    }
}
