//! The response to a request: for the API client, for audit logs and for tools.

use std::collections::BTreeSet;
use std::fmt::Display;

use certificate_shim::plan::SecretName;
use serde_json::{Map, Value, json};

use crate::check::CheckResult;
use crate::finding::{Cause, Finding, Level};
use crate::text::{one_line, shorten};

/// The most characters of one line of the message.
const LINE: usize = 1024;
/// The most bytes of the findings in the message.
const MESSAGE: usize = 8 * 1024;
/// The most characters of one warning that the API server does not truncate.
pub const WARNING: usize = 256;
/// The most warnings; the API server drops those beyond 4 KiB in total.
pub const WARNINGS: usize = 15;
/// The most bytes of one audit annotation.
const AUDIT: usize = 4 * 1024;
/// The fewest characters of a problem that are shown, however long its path and help are.
const PROBLEM: usize = 24;

/// The page that documents the rules, each under its id.
pub const RULES: &str =
    concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/v", env!("CARGO_PKG_VERSION"), "/docs/rules.md");

/// A policy's response, as a Kubewarden host takes it (`ValidationResponse` of the SDK).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Response {
    /// Whether the request is accepted.
    pub accepted: bool,
    /// The reason of a rejection: one line for each finding.
    pub message: Option<String>,
    /// The HTTP code of a rejection.
    pub code: Option<u16>,
    /// The object with the default issuer; `None` if nothing was added.
    pub mutated_object: Option<Value>,
    /// `findings`, `issuer`, `secrets` and `settings`; empty if nothing was checked.
    pub audit_annotations: Vec<(&'static str, String)>,
    /// Warnings, with an accepted or a rejected request.
    pub warnings: Vec<String>,
}

impl Response {
    /// Accepts silently.
    pub fn accept() -> Self {
        Response { accepted: true, ..Response::default() }
    }

    /// Accepts with another object.
    pub fn mutate(object: Option<Value>) -> Self {
        Response { mutated_object: object, ..Response::accept() }
    }

    /// Rejects for one reason.
    pub fn reject(code: u16, message: impl Display) -> Self {
        let message = Some(shorten(&message.to_string(), MESSAGE));
        Response { accepted: false, code: Some(code), message, ..Response::default() }
    }

    /// The response for a check. `notes` are further warnings; the last one is never cut off.
    /// `help` is the platform team's line at the end of a rejection.
    pub fn of(
        result: &CheckResult,
        mutated_object: Option<Value>,
        notes: impl IntoIterator<Item = String>,
        help: &str,
    ) -> Self {
        let rejects: Vec<&Finding> = result.at(Level::Reject).collect();
        let mut warnings = lines(result.at(Level::Warn), WARNING).0;
        warnings.extend(notes);
        let accepted = rejects.is_empty();
        Response {
            accepted,
            code: (!accepted).then(|| code(&rejects)),
            message: (!accepted).then(|| message(&rejects, help)),
            mutated_object: mutated_object.filter(|_| accepted),
            audit_annotations: audit_annotations(result),
            warnings: bounded(warnings),
        }
    }

    /// The response as the host reads it, with its keys sorted.
    pub fn into_json(self) -> Value {
        let mut response = Map::new();
        response.insert("accepted".to_owned(), json!(self.accepted));
        let optional = [
            ("message", self.message.map(Value::String)),
            ("code", self.code.map(Value::from)),
            ("mutated_object", self.mutated_object),
            ("audit_annotations", object(self.audit_annotations)),
            ("warnings", (!self.warnings.is_empty()).then(|| Value::from(self.warnings))),
        ];
        for (key, value) in optional {
            if let Some(value) = value {
                response.insert(key.to_owned(), value);
            }
        }
        Value::Object(response)
    }
}

fn object(entries: Vec<(&'static str, String)>) -> Option<Value> {
    let mut fields = Map::new();
    for (key, value) in entries {
        fields.insert(key.to_owned(), Value::String(value));
    }
    (!fields.is_empty()).then_some(Value::Object(fields))
}

fn code(rejects: &[&Finding]) -> u16 {
    let all = |cause| rejects.iter().all(|finding| finding.cause == cause);
    if all(Cause::Undetermined) {
        500
    } else if all(Cause::Forbidden) {
        403
    } else {
        422
    }
}

/// The findings as lines of at most `most` characters, each line once, and each help once, at its
/// first finding; and how many findings have no text any more.
fn lines<'f>(findings: impl Iterator<Item = &'f Finding>, most: usize) -> (Vec<String>, usize) {
    let mut lines = Vec::new();
    let mut cut = 0;
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut helped: BTreeSet<String> = BTreeSet::new();
    for finding in findings {
        if finding.is_cut {
            cut += 1;
        } else if seen.insert(line(finding, "", usize::MAX)) {
            let help = if helped.insert(finding.help.clone()) { finding.help.as_str() } else { "" };
            lines.push(line(finding, help, most));
        }
    }
    (lines, cut)
}

/// `rule: path: problem. Help.` If it is too long, the problem is shortened, never the help. A finding
/// that an exception accepts has the exception's reason instead of a help.
fn line(finding: &Finding, help: &str, most: usize) -> String {
    let rule = finding.rule;
    let end = match &finding.exception {
        Some(reason) => format!(" Exception: {reason}"),
        None if help.is_empty() => String::new(),
        None => format!(" {help}"),
    };
    let left = most.saturating_sub(rule.len() + end.chars().count() + ": : .".len());
    let path = shorten(&finding.path, left.saturating_sub(PROBLEM));
    let problem = shorten(&finding.problem, left - path.chars().count());
    format!("{rule}: {path}: {problem}.{end}")
}

/// One line for each finding, how many more there are if they do not fit, where to read on, and the
/// platform team's line.
fn message(rejects: &[&Finding], help: &str) -> String {
    let (mut lines, mut more) = lines(rejects.iter().copied(), LINE);
    let mut size = 0;
    let fitting = lines.iter().take_while(|line| {
        size += line.len() + 1;
        size <= MESSAGE
    });
    let fitting = fitting.count();
    more += lines.len() - fitting;
    lines.truncate(fitting);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    let mut rules: Vec<String> = Vec::new();
    for finding in rejects {
        let address = format!("{RULES}#{}", finding.rule);
        if rules.last() != Some(&address) {
            rules.push(address);
        }
    }
    lines.push(format!("Rules: {}", rules.join(", ")));
    if !help.is_empty() {
        lines.push(help.to_owned());
    }
    lines.join("\n")
}

/// Each warning once. If there are too many, the last one is kept, because it can be about all of them.
fn bounded(mut lines: Vec<String>) -> Vec<String> {
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

fn audit_annotations(result: &CheckResult) -> Vec<(&'static str, String)> {
    let mut annotations = vec![("findings", audited_findings(&result.findings))];
    if let Some(issuer) = result.issuer.as_ref().filter(|_| result.issuer_is_sound) {
        let issuer = format!("{}.{}/{}", issuer.effective_kind(), issuer.effective_group(), issuer.name);
        annotations.push(("issuer", shorten(&one_line(&issuer), 1024)));
    }
    let planned = result.planned();
    if result.issuer_is_sound && !planned.is_empty() {
        annotations.push(("secrets", list(&planned, AUDIT)));
    }
    annotations
}

/// `[{"level": .., "path": .., "rule": ..}]`, sorted, each once. If they do not fit, the last entry is
/// `{"more": n}`.
fn audited_findings(findings: &[Finding]) -> String {
    let mut entries: BTreeSet<String> = BTreeSet::new();
    let mut more = 0;
    for finding in findings {
        if finding.is_cut {
            more += 1;
            continue;
        }
        let path = shorten(&finding.path, 256);
        entries
            .insert(json!({"rule": finding.rule, "level": finding.level.as_str(), "path": path}).to_string());
    }
    let (mut list, left) = joined(entries.iter(), AUDIT - 24);
    more += left;
    if more > 0 {
        let comma = if list.is_empty() { "" } else { "," };
        list = format!("{list}{comma}{{\"more\":{more}}}");
    }
    format!("[{list}]")
}

/// `namespace/name,namespace/name`, as many as fit, and how many more there are.
pub fn list(secrets: &[SecretName], most: usize) -> String {
    let names: Vec<String> = secrets.iter().map(|secret| one_line(&secret.to_string())).collect();
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
    use crate::named::Served;
    use certificate_shim::Plan;
    use rstest::rstest;

    fn finding(level: Level, cause: Cause, path: &str) -> Finding {
        Finding {
            rule: "some-rule",
            level,
            cause,
            path: path.to_owned(),
            subject: String::new(),
            problem: "it is wrong".to_owned(),
            help: "Fix it.".to_owned(),
            certificate: None,
            rests_on: None,
            exception: None,
            is_cut: false,
        }
    }

    fn result(findings: Vec<Finding>) -> CheckResult {
        CheckResult {
            issuer: None,
            issuer_is_sound: false,
            named: vec![],
            served: Served::default(),
            plan: Plan::default(),
            issuers_are_known: false,
            findings,
        }
    }

    use Cause::*;

    #[rstest]
    #[case::invalid(&[Invalid], 422)]
    #[case::forbidden(&[Forbidden, Forbidden], 403)]
    #[case::undetermined(&[Undetermined], 500)]
    #[case::forbidden_and_invalid(&[Forbidden, Invalid], 422)]
    #[case::undetermined_and_invalid(&[Undetermined, Invalid], 422)]
    #[case::undetermined_and_forbidden(&[Undetermined, Forbidden], 422)]
    fn codes(#[case] causes: &[Cause], #[case] expected: u16) {
        let findings = causes.iter().map(|cause| finding(Level::Reject, *cause, "p")).collect();
        assert_eq!(Response::of(&result(findings), None, None, "").code, Some(expected));
    }

    #[test]
    fn a_warning_does_not_reject() {
        let findings = vec![finding(Level::Warn, Undetermined, "p")];
        let response = Response::of(&result(findings), Some(json!({})), None, "");
        assert_eq!((response.accepted, response.code, response.message), (true, None, None));
        assert_eq!(response.warnings, ["some-rule: p: it is wrong. Fix it."]);
        assert_eq!(response.mutated_object, Some(json!({})));
    }

    #[test]
    fn a_rejection_does_not_mutate() {
        let findings = vec![finding(Level::Reject, Invalid, "p")];
        assert_eq!(Response::of(&result(findings), Some(json!({})), None, "").mutated_object, None);
    }

    #[test]
    fn lines_appear_once_and_in_order() {
        let findings = ["b", "a", "b"].map(|path| finding(Level::Reject, Invalid, path)).to_vec();
        let response = Response::of(&result(findings), None, None, "");
        assert_eq!(
            response.message.unwrap(),
            format!(
                "some-rule: b: it is wrong. Fix it.\nsome-rule: a: it is wrong.\nRules: {RULES}#some-rule"
            )
        );
    }

    #[test]
    fn everything_is_bounded() {
        let long = "x".repeat(2000);
        let mut findings: Vec<Finding> =
            (0..500).map(|i| finding(Level::Reject, Invalid, &format!("{i}{long}"))).collect();
        findings.extend((0..500).map(|i| finding(Level::Warn, Invalid, &format!("{i}{long}"))));
        let response =
            Response::of(&result(findings), None, Some("about all of them".to_owned()), "ask in #tls");
        let message = response.message.unwrap();
        assert!(message.len() <= MESSAGE + 200, "{}", message.len());
        let lines: Vec<&str> = message.lines().collect();
        assert_eq!(
            lines[lines.len() - 3..],
            [
                format!("and {} more", 503 - lines.len()),
                format!("Rules: {RULES}#some-rule"),
                "ask in #tls".to_owned()
            ]
        );
        assert_eq!(response.warnings.len(), WARNINGS);
        assert!(response.warnings.iter().all(|warning| warning.chars().count() <= WARNING));
        assert_eq!(response.warnings[WARNINGS - 2..], ["about all of them", "and 487 more"]);
        let findings = &response.audit_annotations[0].1;
        assert!(findings.len() <= AUDIT);
        let findings: Vec<Value> = serde_json::from_str(findings).unwrap();
        assert_eq!(findings.last(), Some(&json!({"more": 1001 - findings.len()})));
    }

    #[test]
    fn audit_annotations_are_sorted_compact_json() {
        let findings = vec![
            finding(Level::Warn, Invalid, "spec"),
            finding(Level::Reject, Invalid, "metadata"),
            finding(Level::Reject, Invalid, "metadata"),
        ];
        let response = Response::of(&result(findings), None, None, "");
        assert_eq!(
            response.audit_annotations,
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
        let response = Response::reject(400, "no").into_json().to_string();
        assert_eq!(response, r#"{"accepted":false,"code":400,"message":"no"}"#);
        assert_eq!(Response::accept().into_json().to_string(), r#"{"accepted":true}"#);
    }
}
