//! The ratchet: an update is not refused for what the object already had.
//!
//! A finding becomes a warning only where the old object has a finding of the same rule about the
//! same subject, for the same Certificate and the same issuer. A finding that names no Certificate
//! counts for every Secret that the object names, so that a Secret which the old object did not
//! name is judged anew, and so is everything below a changed issuer.

use std::collections::BTreeSet;

use certificate_shim::issuer_ref::IssuerRef;
use certificate_shim::plan::SecretName;

use crate::finding::{Finding, Level};
use crate::judge::Judgement;
use crate::rules::Rule;

/// What makes two findings the same.
type Key<'a> = (&'a str, &'a str, Option<&'a IssuerRef>, Option<&'a SecretName>);

/// Lowers to warnings what the old object already had; whether there was anything to lower.
pub fn ratchet(new: &mut Judgement, old: &Judgement) -> bool {
    let mut had: BTreeSet<Key<'_>> = BTreeSet::new();
    for finding in &old.findings {
        had.extend(keys(finding, old.issuer.as_ref(), &old.named));
        if finding.certificate.is_none() {
            had.insert(key(finding, old.issuer.as_ref(), None));
        }
    }
    let (issuer, named) = (new.issuer.as_ref(), &new.named);
    let mut lowered = false;
    for finding in &mut new.findings {
        let before = finding.level == Level::Reject
            && !Rule::is_fixed(finding.rule)
            && keys(finding, issuer, named).all(|key| had.contains(&key));
        if before {
            finding.level = Level::Warn;
            lowered = true;
        }
    }
    lowered
}

/// The keys of a finding: one for its Certificate, or one for every Secret that the object names,
/// or one without where it names none.
fn keys<'a>(
    finding: &'a Finding,
    issuer: Option<&'a IssuerRef>,
    named: &'a [SecretName],
) -> impl Iterator<Item = Key<'a>> {
    let own = finding.certificate.as_ref();
    let every = if own.is_none() { named } else { &[] };
    let none = own.is_none() && named.is_empty();
    own.into_iter()
        .chain(every)
        .map(Some)
        .chain(none.then_some(None))
        .map(move |secret| key(finding, issuer, secret))
}

fn key<'a>(finding: &'a Finding, issuer: Option<&'a IssuerRef>, secret: Option<&'a SecretName>) -> Key<'a> {
    (finding.rule, &finding.subject, issuer, secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Refusal;
    use rstest::rstest;

    fn secret(name: &str) -> SecretName {
        SecretName { namespace: "team-a".into(), name: name.into() }
    }

    /// A judgement with findings about (rule, subject, Certificate) under an issuer, of an object
    /// that names those Secrets.
    fn judgement(
        issuer: Option<&str>,
        named: &[&str],
        findings: &[(&'static str, &str, Option<&str>)],
    ) -> Judgement {
        let finding = |(rule, subject, certificate): &(&'static str, &str, Option<&str>)| Finding {
            rule,
            level: Level::Reject,
            refusal: Refusal::Invalid,
            path: String::new(),
            subject: (*subject).to_owned(),
            what: String::new(),
            mend: String::new(),
            certificate: certificate.map(secret),
            rests_on: None,
        };
        Judgement {
            issuer: issuer.map(|name| IssuerRef {
                name: name.into(),
                kind: "Issuer".into(),
                group: "cert-manager.io".into(),
            }),
            issuer_is_sound: true,
            named: named.iter().map(|name| secret(name)).collect(),
            plan: certificate_shim::Plan::default(),
            issuers_are_known: false,
            findings: findings.iter().map(finding).collect(),
        }
    }

    fn old() -> Judgement {
        judgement(Some("ca"), &["a"], &[("r", "host", Some("a")), ("all", "ca", None)])
    }

    #[rstest]
    #[case::the_same(judgement(Some("ca"), &["a"], &[("r", "host", Some("a"))]), old(), true)]
    #[case::the_same_without_certificate(judgement(Some("ca"), &["a"], &[("all", "ca", None)]), old(), true)]
    #[case::other_rule(judgement(Some("ca"), &["a"], &[("s", "host", Some("a"))]), old(), false)]
    #[case::other_host(judgement(Some("ca"), &["a"], &[("r", "other", Some("a"))]), old(), false)]
    #[case::other_secret(judgement(Some("ca"), &["b"], &[("r", "host", Some("b"))]), old(), false)]
    #[case::other_issuer(judgement(Some("cb"), &["a"], &[("r", "host", Some("a"))]), old(), false)]
    #[case::a_further_secret(judgement(Some("ca"), &["a", "b"], &[("all", "ca", None)]), old(), false)]
    #[case::a_secret_less(judgement(Some("ca"), &["a"], &[("all", "ca", None)]), judgement(Some("ca"), &["a", "b"], &[("all", "ca", None)]), true)]
    #[case::all_secrets_gone(judgement(Some("ca"), &[], &[("all", "ca", None)]), old(), true)]
    #[case::no_secrets_in_either(judgement(Some("ca"), &[], &[("all", "ca", None)]), judgement(Some("ca"), &[], &[("all", "ca", None)]), true)]
    #[case::first_secret(judgement(Some("ca"), &["a"], &[("all", "ca", None)]), judgement(Some("ca"), &[], &[("all", "ca", None)]), false)]
    #[case::specific_once_general(judgement(Some("ca"), &["a"], &[("all", "ca", Some("a"))]), old(), true)]
    #[case::not_annotated_before(judgement(Some("ca"), &["a"], &[("r", "host", Some("a"))]), judgement(None, &["a"], &[]), false)]
    #[case::not_annotated_before_with_a_finding(
        judgement(Some("ca"), &["a"], &[("r", "host", Some("a"))]), judgement(None, &["a"], &[("r", "host", Some("a"))]), false
    )]
    #[case::never_annotated(judgement(None, &["a"], &[("r", "host", Some("a"))]), judgement(None, &["a"], &[("r", "host", Some("a"))]), true)]
    #[case::no_longer_annotated(judgement(None, &["a"], &[("r", "host", Some("a"))]), old(), false)]
    fn lowered(#[case] mut new: Judgement, #[case] old: Judgement, #[case] expected: bool) {
        assert_eq!(ratchet(&mut new, &old), expected);
        assert_eq!(new.is_refused(), !expected);
    }

    #[test]
    fn each_finding_by_itself() {
        let mut new = judgement(Some("ca"), &["a"], &[("r", "host", Some("a")), ("r", "new", Some("a"))]);
        assert!(ratchet(&mut new, &old()));
        let levels: Vec<Level> = new.findings.iter().map(|finding| finding.level).collect();
        assert_eq!(levels, [Level::Warn, Level::Reject]);
    }
}
