//! What a judgement comes to: which Certificates a Gateway gets, and why it does not get the others.

use certificate_shim::Certificate;
use certificate_shim::credential::is_reserved;
use certificate_shim::plan::SecretName;
use gateway_rules::Judgement;
use gateway_rules::finding::{Finding, Level};
use gateway_rules::rules::{annotation_conflict, annotation_invalid, certificate_invalid};

/// Why a Certificate is neither created nor changed. One that is there is kept as it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refusal {
    /// The id of the rule, or of the controller's own reason (docs/controller.md).
    pub rule: &'static str,
    /// The whole line: `rule: path: what. How to mend it.`
    pub text: String,
}

impl Refusal {
    /// A refusal of the controller's own: what is wrong, as a clause, and how to mend it, as a
    /// sentence.
    pub fn new(rule: &'static str, what: impl AsRef<str>, mend: impl AsRef<str>) -> Self {
        Refusal { rule, text: format!("{rule}: {}. {}", what.as_ref(), mend.as_ref()) }
    }
}

impl From<&Finding> for Refusal {
    fn from(finding: &Finding) -> Self {
        Refusal { rule: finding.rule, text: finding.to_string() }
    }
}

/// A Certificate that a Gateway asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted<'j> {
    /// The Certificate.
    pub certificate: &'j Certificate,
    /// Why it is withheld; empty where it is not.
    pub refusals: Vec<Refusal>,
}

/// The Certificates of a judgement's plan, in its order. A rule's reject that names a Certificate
/// withholds that one, one that names none withholds all.
pub fn wanted(judgement: &Judgement) -> Vec<Wanted<'_>> {
    let of_all = refusals_of_all(judgement);
    let wanted = |certificate| {
        let mut refusals = of_all.clone();
        refusals.extend(refusals_of_one(judgement, certificate));
        Wanted { certificate, refusals }
    };
    judgement.plan.certificates.iter().map(wanted).collect()
}

/// Why a Gateway gets no Certificate at all; empty where it may have some.
///
/// Settings can turn every rule off, but not make sense of what has none: two issuers, or an
/// annotation that cannot be read.
pub fn refusals_of_all(judgement: &Judgement) -> Vec<Refusal> {
    let of_all = |finding: &&Finding| finding.level == Level::Reject && finding.certificate.is_none();
    let mut refusals: Vec<Refusal> = judgement.findings.iter().filter(of_all).map(Refusal::from).collect();
    let mut add = |rule: &'static str, what: String, mend: &str| {
        if refusals.iter().all(|refusal| refusal.rule != rule) {
            refusals.push(Refusal::new(rule, what, mend));
        }
    };
    if judgement.issuer.is_some() && !judgement.issuer_is_sound {
        add(
            annotation_conflict::RULE.id,
            "the annotations do not agree on one issuer".to_owned(),
            "Keep the one that is meant.",
        );
    }
    for fault in &judgement.plan.faults {
        let what = format!("metadata.annotations[{}]: it cannot be read", fault.key);
        add(annotation_invalid::RULE.id, what, &format!("It takes {}.", fault.accepts()));
    }
    for fault in &judgement.plan.contradictions {
        add(certificate_invalid::RULE.id, fault.to_string(), "Name another Secret for one of them.");
    }
    refusals
}

/// What rules refuse about Secrets that the Gateway names and plans no Certificate for.
pub fn refusals_of_unplanned(judgement: &Judgement) -> Vec<(SecretName, Refusal)> {
    let planned = judgement.planned();
    let rejects = judgement.findings.iter().filter(|finding| finding.level == Level::Reject);
    rejects
        .filter_map(|finding| Some((finding.certificate.clone()?, Refusal::from(finding))))
        .filter(|(secret, _)| planned.binary_search(secret).is_err())
        .collect()
}

fn refusals_of_one(judgement: &Judgement, certificate: &Certificate) -> Vec<Refusal> {
    let secret = certificate.secret();
    let about =
        |finding: &&Finding| finding.level == Level::Reject && finding.certificate.as_ref() == Some(&secret);
    let mut refusals: Vec<Refusal> = judgement.findings.iter().filter(about).map(Refusal::from).collect();
    if is_reserved(&certificate.secret_name) {
        let what = format!("{secret} is a Secret that Istio keeps for a CA");
        refusals.push(Refusal::new("secret-reserved", what, "Name another Secret."));
    }
    refusals
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{gateway, judged, ready};
    use rstest::rstest;
    use serde_json::{Value, json};

    fn ids(refusals: &[Refusal]) -> Vec<&str> {
        refusals.iter().map(|refusal| refusal.rule).collect()
    }

    #[rstest]
    #[case::fine(json!({}), &[])]
    #[case::an_issuer_that_is_not_there(json!({"cert-manager.io/cluster-issuer": "other"}), &["issuer-not-found"])]
    #[case::two_issuers(json!({"cert-manager.io/issuer": "ca"}), &["annotation-conflict"])]
    #[case::not_a_duration(json!({"cert-manager.io/duration": "90d"}), &["annotation-invalid"])]
    fn of_all(#[case] annotations: Value, #[case] expected: &[&str]) {
        let object =
            gateway("team-a", "shop").annotations(annotations).server("shop-tls", &["shop.example.com"]);
        judged(&object.build(), &json!({}), &ready("le"), |judgement| {
            assert_eq!(ids(&refusals_of_all(judgement)), expected);
            let wanted = wanted(judgement);
            assert_eq!(wanted.len(), 1);
            assert_eq!(ids(&wanted[0].refusals), expected);
        });
    }

    #[rstest]
    #[case::two_issuers(json!({"cert-manager.io/issuer": "ca"}), "annotation-conflict")]
    #[case::not_a_duration(json!({"cert-manager.io/duration": "90d"}), "annotation-invalid")]
    fn what_settings_cannot_allow(#[case] annotations: Value, #[case] rule: &str) {
        let object =
            gateway("team-a", "shop").annotations(annotations).server("shop-tls", &["shop.example.com"]);
        judged(&object.build(), &json!({"rules": {rule: "off"}}), &ready("le"), |judgement| {
            assert_eq!(ids(&refusals_of_all(judgement)), [rule]);
        });
    }

    #[test]
    fn one_of_two() {
        let settings = json!({
            "tenants": [{"name": "a", "namespaces": ["team-a"], "dns_names": ["**"], "secrets": ["a-*"],
                "issuers": [{"kind": "ClusterIssuer", "name": "*"}]}],
        });
        let object =
            gateway("team-a", "shop").server("a-tls", &["a.example.com"]).server("b-tls", &["b.example.com"]);
        judged(&object.build(), &settings, &ready("le"), |judgement| {
            let found: Vec<_> = wanted(judgement)
                .iter()
                .map(|wanted| (wanted.certificate.secret_name.clone(), wanted.refusals.len()))
                .collect();
            assert_eq!(found, [("a-tls".to_owned(), 0), ("b-tls".to_owned(), 1)]);
        });
    }

    #[test]
    fn the_secrets_of_cas_are_never_taken() {
        let object = gateway("team-a", "shop").server("cacerts", &["a.example.com"]);
        judged(
            &object.build(),
            &json!({"rules": {"credential-name-invalid": "off"}}),
            &ready("le"),
            |judgement| {
                assert_eq!(ids(&wanted(judgement)[0].refusals), ["secret-reserved"]);
            },
        );
    }
}
