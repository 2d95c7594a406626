//! The answer to a request: what the API client reads, and what audit logs and tools read.

use std::collections::BTreeSet;
use std::fmt::Display;

use certificate_shim::plan::SecretName;
use serde_json::{Map, Value, json};

use crate::finding::{Finding, Level, Refusal};
use crate::judge::Judgement;
use crate::text::shorten;

/// The most characters of one line of the message.
const LINE: usize = 1024;
/// The most bytes of the message.
const MESSAGE: usize = 8 * 1024;
/// The most characters of one warning: what the API server lets through whole.
const WARNING: usize = 256;
/// The most warnings; the API server drops what exceeds 4 KiB together.
const WARNINGS: usize = 15;
/// The most bytes of one audit annotation.
const AUDIT: usize = 4 * 1024;

/// A policy's answer, as a Kubewarden host takes it (`ValidationResponse` of the SDK).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answer {
    /// Whether the request goes through.
    pub accepted: bool,
    /// Why not: one line a finding.
    pub message: Option<String>,
    /// The HTTP code of a refusal.
    pub code: Option<u16>,
    /// The object with the default issuer; none where nothing was added.
    pub mutated_object: Option<Value>,
    /// `issuer`, `secrets` and `findings`; empty where nothing was judged.
    pub audit_annotations: Vec<(&'static str, String)>,
    /// What the API client is told although the request goes through.
    pub warnings: Vec<String>,
}

impl Answer {
    /// Accepts without a word.
    pub fn accept() -> Self {
        Answer { accepted: true, ..Answer::default() }
    }

    /// Accepts with another object.
    pub fn mutate(object: Option<Value>) -> Self {
        Answer { mutated_object: object, ..Answer::accept() }
    }

    /// Refuses for one reason.
    pub fn refuse(code: u16, message: impl Display) -> Self {
        let message = Some(shorten(&message.to_string(), MESSAGE));
        Answer { accepted: false, code: Some(code), message, ..Answer::default() }
    }

    /// What a judgement comes to. `let_through` says what becomes of the faults that were there
    /// before and are let through.
    pub fn of(judgement: &Judgement, mutated_object: Option<Value>, let_through: Option<String>) -> Self {
        let rejects: Vec<&Finding> = at(judgement, Level::Reject).collect();
        let mut warnings: Vec<String> = at(judgement, Level::Warn).map(Finding::to_string).collect();
        warnings.extend(let_through);
        let accepted = rejects.is_empty();
        Answer {
            accepted,
            code: (!accepted).then(|| code(&rejects)),
            message: (!accepted).then(|| message(&rejects)),
            mutated_object: mutated_object.filter(|_| accepted),
            audit_annotations: audit_annotations(judgement),
            warnings: bounded_warnings(&warnings),
        }
    }

    /// The answer as the host reads it, with its keys sorted.
    pub fn into_json(self) -> Value {
        let mut answer = Map::new();
        answer.insert("accepted".to_owned(), json!(self.accepted));
        let optional = [
            ("message", self.message.map(Value::String)),
            ("code", self.code.map(Value::from)),
            ("mutated_object", self.mutated_object),
            ("audit_annotations", object(self.audit_annotations)),
            ("warnings", (!self.warnings.is_empty()).then(|| Value::from(self.warnings))),
        ];
        for (key, value) in optional {
            if let Some(value) = value {
                answer.insert(key.to_owned(), value);
            }
        }
        Value::Object(answer)
    }
}

fn object(entries: Vec<(&'static str, String)>) -> Option<Value> {
    let mut fields = Map::new();
    for (key, value) in entries {
        fields.insert(key.to_owned(), Value::String(value));
    }
    (!fields.is_empty()).then_some(Value::Object(fields))
}

fn at(judgement: &Judgement, level: Level) -> impl Iterator<Item = &Finding> {
    judgement.findings.iter().filter(move |finding| finding.level == level)
}

fn code(rejects: &[&Finding]) -> u16 {
    let all = |refusal| rejects.iter().all(|finding| finding.refusal == refusal);
    if all(Refusal::Undetermined) {
        500
    } else if all(Refusal::Forbidden) {
        403
    } else {
        422
    }
}

/// One line a finding, each line once, and how many more there are where they do not fit.
fn message(rejects: &[&Finding]) -> String {
    let mut lines: Vec<String> = Vec::new();
    for finding in rejects {
        let line = shorten(&finding.to_string(), LINE);
        if !lines.contains(&line) {
            lines.push(line);
        }
        if lines.iter().map(|line| line.len() + 1).sum::<usize>() > MESSAGE {
            lines.pop();
            break;
        }
    }
    let shown = |finding: &&&Finding| !lines.contains(&shorten(&finding.to_string(), LINE));
    match rejects.iter().filter(shown).count() {
        0 => {}
        more => lines.push(format!("and {more} more")),
    }
    lines.join("\n")
}

/// Each warning once; where they are too many the last one is kept, which may speak of all.
fn bounded_warnings(warnings: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = warnings.iter().map(|warning| shorten(warning, WARNING)).collect();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    lines.retain(|line| seen.insert(line.clone()));
    let more = lines.len().saturating_sub(WARNINGS);
    if more > 0 {
        let last = lines.pop();
        lines.truncate(WARNINGS - 2);
        lines.extend(last);
        lines.push(format!("and {} more", more + 1));
    }
    lines
}

fn audit_annotations(judgement: &Judgement) -> Vec<(&'static str, String)> {
    let mut annotations = vec![("findings", audited_findings(&judgement.findings))];
    if let Some(issuer) = judgement.issuer.as_ref().filter(|_| judgement.issuer_is_sound) {
        let issuer = format!("{}.{}/{}", issuer.effective_kind(), issuer.effective_group(), issuer.name);
        annotations.push(("issuer", shorten(&issuer, 1024)));
    }
    let planned = judgement.planned();
    if judgement.issuer_is_sound && !planned.is_empty() {
        annotations.push(("secrets", list(&planned, AUDIT)));
    }
    annotations
}

/// `[{"level": .., "path": .., "rule": ..}]`, sorted, each once, cut between two findings.
fn audited_findings(findings: &[Finding]) -> String {
    let finding = |finding: &Finding| {
        json!({"rule": finding.rule, "level": finding.level.as_str(), "path": shorten(&finding.path, 256)})
            .to_string()
    };
    let mut entries: BTreeSet<String> = BTreeSet::new();
    for entry in findings.iter().map(finding) {
        entries.insert(entry);
    }
    format!("[{}]", joined(entries.iter(), AUDIT - 2).0)
}

/// `namespace/name,namespace/name`, as many as fit, and how many more there are.
pub fn list(secrets: &[SecretName], most: usize) -> String {
    let names: Vec<String> = secrets.iter().map(|s| format!("{}/{}", s.namespace, s.name)).collect();
    match joined(names.iter(), most.saturating_sub(20)) {
        (list, 0) => list,
        (list, left) => format!("{list} and {left} more"),
    }
}

/// As many entries as fit, separated by commas, and how many are left.
fn joined<'e>(entries: impl ExactSizeIterator<Item = &'e String>, most: usize) -> (String, usize) {
    let mut list = String::new();
    let mut left = entries.len();
    for entry in entries {
        if list.len() + 1 + entry.len() > most {
            break;
        }
        if !list.is_empty() {
            list.push(',');
        }
        list.push_str(entry);
        left -= 1;
    }
    (list, left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use certificate_shim::Plan;
    use rstest::rstest;

    fn finding(level: Level, refusal: Refusal, path: &str) -> Finding {
        Finding {
            rule: "some-rule",
            level,
            refusal,
            path: path.to_owned(),
            subject: String::new(),
            what: "it is wrong".to_owned(),
            mend: "Mend it.".to_owned(),
            certificate: None,
            rests_on: None,
        }
    }

    fn judgement(findings: Vec<Finding>) -> Judgement {
        Judgement {
            issuer: None,
            issuer_is_sound: false,
            named: vec![],
            plan: Plan::default(),
            issuers_are_known: false,
            findings,
        }
    }

    use Refusal::*;

    #[rstest]
    #[case::invalid(&[Invalid], 422)]
    #[case::forbidden(&[Forbidden, Forbidden], 403)]
    #[case::undetermined(&[Undetermined], 500)]
    #[case::forbidden_and_invalid(&[Forbidden, Invalid], 422)]
    #[case::undetermined_and_invalid(&[Undetermined, Invalid], 422)]
    #[case::undetermined_and_forbidden(&[Undetermined, Forbidden], 422)]
    fn codes(#[case] refusals: &[Refusal], #[case] expected: u16) {
        let findings = refusals.iter().map(|refusal| finding(Level::Reject, *refusal, "p")).collect();
        assert_eq!(Answer::of(&judgement(findings), None, None).code, Some(expected));
    }

    #[test]
    fn a_warning_does_not_refuse() {
        let findings = vec![finding(Level::Warn, Undetermined, "p")];
        let answer = Answer::of(&judgement(findings), Some(json!({})), None);
        assert_eq!((answer.accepted, answer.code, answer.message), (true, None, None));
        assert_eq!(answer.warnings, ["some-rule: p: it is wrong. Mend it."]);
        assert_eq!(answer.mutated_object, Some(json!({})));
    }

    #[test]
    fn a_refusal_does_not_mutate() {
        let findings = vec![finding(Level::Reject, Invalid, "p")];
        assert_eq!(Answer::of(&judgement(findings), Some(json!({})), None).mutated_object, None);
    }

    #[test]
    fn lines_stand_once_and_in_order() {
        let findings = ["b", "a", "b"].map(|path| finding(Level::Reject, Invalid, path)).to_vec();
        let answer = Answer::of(&judgement(findings), None, None);
        assert_eq!(
            answer.message.unwrap(),
            "some-rule: b: it is wrong. Mend it.\nsome-rule: a: it is wrong. Mend it."
        );
    }

    #[test]
    fn everything_is_bounded() {
        let long = "x".repeat(2000);
        let mut findings: Vec<Finding> =
            (0..500).map(|i| finding(Level::Reject, Invalid, &format!("{i}{long}"))).collect();
        findings.extend((0..500).map(|i| finding(Level::Warn, Invalid, &format!("{i}{long}"))));
        let answer = Answer::of(&judgement(findings), None, Some("about all of them".to_owned()));
        let message = answer.message.unwrap();
        assert!(message.len() <= MESSAGE + 20, "{}", message.len());
        assert_eq!(message.lines().last(), Some("and 493 more"));
        assert_eq!(answer.warnings.len(), WARNINGS);
        assert!(answer.warnings.iter().all(|warning| warning.chars().count() <= WARNING));
        assert_eq!(answer.warnings[WARNINGS - 2..], ["about all of them", "and 487 more"]);
        let findings = &answer.audit_annotations[0].1;
        assert!(findings.len() <= AUDIT);
        assert!(serde_json::from_str::<Vec<Value>>(findings).unwrap().len() > 5);
    }

    #[test]
    fn audit_annotations_are_sorted_compact_json() {
        let findings = vec![
            finding(Level::Warn, Invalid, "spec"),
            finding(Level::Reject, Invalid, "metadata"),
            finding(Level::Reject, Invalid, "metadata"),
        ];
        let answer = Answer::of(&judgement(findings), None, None);
        assert_eq!(
            answer.audit_annotations,
            [(
                "findings",
                r#"[{"level":"reject","path":"metadata","rule":"some-rule"},{"level":"warn","path":"spec","rule":"some-rule"}]"#
                    .to_owned()
            )]
        );
    }

    #[test]
    fn secrets_are_listed_as_far_as_they_fit() {
        let secret = |i: usize| SecretName { namespace: "team-a".into(), name: format!("secret-{i:03}") };
        let secrets: Vec<SecretName> = (0..3).map(secret).collect();
        assert_eq!(list(&secrets, 4096), "team-a/secret-000,team-a/secret-001,team-a/secret-002");
        assert_eq!(list(&secrets, 60), "team-a/secret-000,team-a/secret-001 and 1 more");
    }

    #[test]
    fn the_host_reads_sorted_keys() {
        let answer = Answer::refuse(400, "no").into_json().to_string();
        assert_eq!(answer, r#"{"accepted":false,"code":400,"message":"no"}"#);
        assert_eq!(Answer::accept().into_json().to_string(), r#"{"accepted":true}"#);
    }
}
