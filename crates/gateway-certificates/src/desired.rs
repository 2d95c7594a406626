//! The Certificates that a Gateway gets, and the reasons why it does not get the others.

use certificate_shim::Certificate;
use certificate_shim::credential::is_reserved;
use certificate_shim::plan::{PlanFault, SecretName};
use gateway_rules::CheckResult;
use gateway_rules::finding::{Finding, Level};
use gateway_rules::rules::{annotation_conflict, annotation_invalid, certificate_invalid};

/// The reason why a Certificate is neither created nor changed. An existing one is kept unchanged.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// The id of the rule, or of the controller's own reason (docs/controller.md).
    pub rule: &'static str,
    /// The complete line: `rule: path: problem. Help.`
    pub text: String,
}

impl Violation {
    /// A rejection by the controller itself: the problem as a clause, and the help as a sentence.
    pub fn new(rule: &'static str, problem: impl AsRef<str>, help: impl AsRef<str>) -> Self {
        Violation { rule, text: format!("{rule}: {}. {}", problem.as_ref(), help.as_ref()) }
    }
}

impl From<&Finding> for Violation {
    fn from(finding: &Finding) -> Self {
        Violation { rule: finding.rule, text: finding.to_string() }
    }
}

/// A Certificate that a Gateway requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired<'j> {
    /// The Certificate.
    pub certificate: &'j Certificate,
    /// The reasons why it is withheld; empty if it is not.
    pub violations: Vec<Violation>,
}

/// The Certificates of a plan, in its order. A rejection that names a Certificate withholds that one; any
/// other rejection withholds all.
pub fn desired(result: &CheckResult) -> Vec<Desired<'_>> {
    let of_all = violations_of_all(result);
    let desired = |certificate| {
        let mut violations = of_all.clone();
        violations.extend(violations_of_one(result, certificate));
        Desired { certificate, violations }
    };
    result.plan.certificates.iter().map(desired).collect()
}

/// The reasons why a Gateway gets no Certificate at all; empty if it can get some.
///
/// Settings can turn off every rule, but some errors remain: contradicting issuer annotations, and
/// annotations that cannot be read.
pub fn violations_of_all(result: &CheckResult) -> Vec<Violation> {
    let of_all = result.at(Level::Reject).filter(|finding| finding.certificate.is_none());
    let mut violations: Vec<Violation> = of_all.map(Violation::from).collect();
    let mut add = |rule: &'static str, problem: String, help: &str| {
        if violations.iter().all(|violation| violation.rule != rule) {
            violations.push(Violation::new(rule, problem, help));
        }
    };
    if result.issuer.is_some() && !result.issuer_is_sound {
        add(
            annotation_conflict::RULE.id,
            "the annotations do not name exactly one issuer".to_owned(),
            "Correct the issuer annotations.",
        );
    }
    for fault in &result.plan.faults {
        let problem = format!("metadata.annotations[{}]: the value cannot be read", fault.key);
        add(annotation_invalid::RULE.id, problem, &format!("Use {}.", fault.accepts()));
    }
    for fault in &result.plan.contradictions {
        let help = match fault {
            PlanFault::PairOfEd25519 { .. } => {
                "Use one credentialName, or set private-key-algorithm to RSA or ECDSA."
            }
            PlanFault::KeysDiffer { .. } => "Use another Secret in one of the two places.",
        };
        add(certificate_invalid::RULE.id, fault.to_string(), help);
    }
    violations
}

/// The rejections for Secrets that the Gateway names without planning a Certificate for them.
pub fn violations_of_unplanned(result: &CheckResult) -> Vec<(SecretName, Violation)> {
    let planned = result.planned();
    result
        .at(Level::Reject)
        .filter_map(|finding| Some((finding.certificate.clone()?, Violation::from(finding))))
        .filter(|(secret, _)| planned.binary_search(secret).is_err())
        .collect()
}

fn violations_of_one(result: &CheckResult, certificate: &Certificate) -> Vec<Violation> {
    let secret = certificate.secret();
    let about = result.at(Level::Reject).filter(|finding| finding.certificate.as_ref() == Some(&secret));
    let mut violations: Vec<Violation> = about.map(Violation::from).collect();
    if is_reserved(&certificate.secret_name) {
        let problem = format!("Istio reserves the Secret {secret} for a CA");
        violations.push(Violation::new("secret-reserved", problem, "Use another Secret."));
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{checked, gateway, ready};
    use rstest::rstest;
    use serde_json::{Value, json};

    fn ids(violations: &[Violation]) -> Vec<&str> {
        violations.iter().map(|violation| violation.rule).collect()
    }

    #[rstest]
    #[case::fine(json!({}), &[])]
    #[case::missing_issuer(json!({"cert-manager.io/cluster-issuer": "other"}), &["issuer-not-found"])]
    #[case::two_issuers(json!({"cert-manager.io/issuer": "ca"}), &["annotation-conflict"])]
    #[case::not_a_duration(json!({"cert-manager.io/duration": "90d"}), &["annotation-invalid"])]
    fn of_all(#[case] annotations: Value, #[case] expected: &[&str]) {
        let object =
            gateway("team-a", "shop").annotations(annotations).server("shop-tls", &["shop.example.com"]);
        checked(&object.build(), &json!({}), &ready("le"), |result| {
            assert_eq!(ids(&violations_of_all(result)), expected);
            let desired = desired(result);
            assert_eq!(desired.len(), 1);
            assert_eq!(ids(&desired[0].violations), expected);
        });
    }

    #[rstest]
    #[case::two_issuers(json!({"cert-manager.io/issuer": "ca"}), "annotation-conflict")]
    #[case::not_a_duration(json!({"cert-manager.io/duration": "90d"}), "annotation-invalid")]
    fn errors_that_settings_cannot_allow(#[case] annotations: Value, #[case] rule: &str) {
        let object =
            gateway("team-a", "shop").annotations(annotations).server("shop-tls", &["shop.example.com"]);
        checked(&object.build(), &json!({"rules": {rule: "off"}}), &ready("le"), |result| {
            assert_eq!(ids(&violations_of_all(result)), [rule]);
        });
    }

    #[test]
    fn contradictions_have_their_own_help() {
        let help = |annotations: Value, second: &str| {
            let mut object = gateway("team-a", "shop")
                .annotations(annotations)
                .server("a-tls", &["a.example.com"])
                .server("b-tls", &["b.example.com"])
                .build();
            object["spec"]["servers"][1]["tls"] =
                json!({"mode": "SIMPLE", "credentialNames": ["b-tls", second]});
            let mut text = String::new();
            // The rule is off, so only the controller's own rejection is left.
            let settings = json!({"rules": {"certificate-invalid": "off"}});
            checked(&object, &settings, &ready("le"), |result| {
                text = violations_of_all(result)[0].text.clone();
            });
            text
        };
        let ed25519 = help(json!({"cert-manager.io/private-key-algorithm": "Ed25519"}), "c-tls");
        assert!(ed25519.ends_with("Use one credentialName, or set private-key-algorithm to RSA or ECDSA."));
        let differ = help(json!({}), "a-tls");
        assert!(differ.ends_with("Use another Secret in one of the two places."), "{differ}");
    }

    #[test]
    fn one_of_two() {
        let settings = json!({
            "tenants": [{"name": "a", "namespaces": ["team-a"], "dns_names": ["**"], "secrets": ["a-*"],
                "issuers": [{"kind": "ClusterIssuer", "name": "*"}]}],
        });
        let object =
            gateway("team-a", "shop").server("a-tls", &["a.example.com"]).server("b-tls", &["b.example.com"]);
        checked(&object.build(), &settings, &ready("le"), |result| {
            let found: Vec<_> = desired(result)
                .iter()
                .map(|desired| (desired.certificate.secret_name.clone(), desired.violations.len()))
                .collect();
            assert_eq!(found, [("a-tls".to_owned(), 0), ("b-tls".to_owned(), 1)]);
        });
    }

    #[test]
    fn the_secrets_of_cas_are_reserved() {
        let object = gateway("team-a", "shop").server("cacerts", &["a.example.com"]);
        checked(
            &object.build(),
            &json!({"rules": {"credential-name-invalid": "off"}}),
            &ready("le"),
            |result| {
                assert_eq!(ids(&desired(result)[0].violations), ["secret-reserved"]);
            },
        );
    }
}
