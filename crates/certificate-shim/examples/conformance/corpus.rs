//! A corpus of Gateways with the results of cert-manager's own code, and the comparison.
//!
//! One JSON object per line: `id`, `gateway`, `existing` Certificates if there are any, and
//! `expected` with `error`, `error_key`, `events`, `create`, `update` and `webhook_errors`.

use certificate_shim::fault::{AnnotationFault, FaultKind};
use certificate_shim::gateway::{Gateway, GatewayKind};
use certificate_shim::plan::{Options, Plan, plan};
use certificate_shim::read::Malformed;
use certificate_shim::webhook::{self, Field, FieldError};
use certificate_shim::{Certificate, annotation, issuer_ref};
use serde_json::{Value, json};

use crate::event;

/// One line of a corpus.
pub struct Case {
    /// Its name.
    pub id: String,
    gateway: Value,
    has_existing: bool,
    expected: Value,
}

/// The result of this crate for a Gateway.
pub struct Outcome {
    /// The first annotation that cannot be read.
    error: Option<AnnotationFault>,
    /// The messages of the `BadConfig` events.
    events: Vec<String>,
    /// The Certificates that are issued.
    certificates: Vec<Certificate>,
}

/// Reads a corpus; empty lines are skipped.
///
/// # Errors
/// The first line that is not such an object, with its number.
pub fn read(text: &str) -> Result<Vec<Case>, String> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let case = |(number, line): (usize, &str)| {
        let mut line: Value =
            serde_json::from_str(line).map_err(|error| format!("line {}: {error}", number + 1))?;
        let id = line["id"].as_str().ok_or_else(|| format!("line {}: it has no id", number + 1))?.to_owned();
        let has_existing = line["existing"].as_array().is_some_and(|existing| !existing.is_empty());
        Ok(Case { id, gateway: line["gateway"].take(), has_existing, expected: line["expected"].take() })
    };
    lines.map(case).collect()
}

/// Does what cert-manager does at one reconcile, up to the point where it looks at the Certificates
/// that exist.
///
/// # Errors
/// The first field of the Gateway that has another type than the API defines.
pub fn outcome(case: &Case) -> Result<Outcome, Malformed> {
    let kind = match case.gateway["kind"].as_str() {
        Some("ListenerSet") => GatewayKind::ListenerSet,
        _ => GatewayKind::GatewayApi,
    };
    let gateway = Gateway::read(kind, "", &case.gateway)?;
    let nothing = Outcome { error: None, events: Vec::new(), certificates: Vec::new() };
    let Some(issuer) = issuer_ref::resolve(&gateway).filter(|_| !is_deleted_in_foreground(&case.gateway))
    else {
        return Ok(nothing);
    };
    if !issuer.faults.is_empty() {
        return Ok(Outcome { events: vec![event::of_issuer(&issuer.faults)], ..nothing });
    }
    let plan: Plan = plan(&gateway, &issuer.reference, &[], &Options::default());
    Ok(Outcome {
        events: plan.skipped.iter().map(event::of_skipped).collect(),
        certificates: plan.issued().to_vec(),
        error: plan.faults.into_iter().next(),
    })
}

/// Whether cert-manager skips the Gateway because it is being deleted (`isDeletedInForeground` in
/// certificate-shim/sync.go). The finalizer is enough for that.
fn is_deleted_in_foreground(gateway: &Value) -> bool {
    let metadata = &gateway["metadata"];
    let finalizers = metadata["finalizers"].as_array().into_iter().flatten();
    metadata["deletionTimestamp"].is_string()
        || finalizers.into_iter().any(|finalizer| finalizer == "foregroundDeletion")
}

impl Outcome {
    /// The outcome as one JSON object; events have the corpus's form.
    pub fn to_json(&self, id: &str) -> Value {
        let event = |message| json!({"type": "Warning", "reason": "BadConfig", "message": message});
        let refusal = |certificate: &Certificate| {
            let errors = webhook::validate(certificate);
            let fields: Vec<String> = errors.iter().map(|error| error.field.to_string()).collect();
            let texts: Vec<String> = errors.into_iter().map(|error| error.text).collect();
            let entry = json!({"name": certificate.secret_name, "fields": fields, "errors": texts});
            if texts.is_empty() { None } else { Some(entry) }
        };
        json!({
            "id": id,
            "error_key": self.error.as_ref().map(|fault| fault.key),
            "error": self.error.as_ref().map(AnnotationFault::to_string),
            "events": self.events.iter().map(event).collect::<Vec<_>>(),
            "plan": self.certificates.iter().map(Certificate::to_json).collect::<Vec<_>>(),
            "webhook_errors": self.certificates.iter().filter_map(refusal).collect::<Vec<_>>(),
        })
    }
}

/// The differences between this crate and cert-manager.
pub fn differences(case: &Case, outcome: &Outcome) -> Vec<String> {
    let mut differences = Vec::new();
    let mut compare = |what: &str, expected: Value, found: Value| {
        if expected != found {
            differences.push(format!("{what}: expected {expected}, found {found}"));
        }
    };
    let expected = &case.expected;

    let fault = outcome.error.as_ref();
    compare("error_key", expected["error_key"].clone(), json!(fault.map(upstream_key)));
    if fault.is_none_or(has_upstream_text) {
        compare("error", expected["error"].clone(), json!(fault.map(AnnotationFault::to_string)));
    }

    let is_bad_config = |event: &&Value| event["reason"] == "BadConfig";
    let messages = |event: &Value| event["message"].clone();
    let events: Vec<Value> = list(&expected["events"]).iter().filter(is_bad_config).map(messages).collect();
    compare("events", json!(events), json!(outcome.events));

    let (created, updated) = (list(&expected["create"]), list(&expected["update"]));
    if !case.has_existing {
        let mut planned: Vec<&Certificate> = outcome.certificates.iter().collect();
        planned.sort_by_key(|certificate| (&certificate.namespace, &certificate.secret_name));
        let planned: Vec<Value> = planned.into_iter().map(Certificate::to_json).collect();
        compare("create", json!(created), json!(planned));
    }
    for object in created.iter().chain(updated) {
        let (namespace, name) = (text(&object["metadata"]["namespace"]), text(&object["metadata"]["name"]));
        let is_it = |certificate: &&Certificate| {
            namespace == certificate.namespace && name == certificate.secret_name
        };
        let planned = outcome.certificates.iter().find(is_it);
        let spec = planned.map(|certificate| certificate.to_json()["spec"].take());
        compare(&format!("spec of {name:?}"), object["spec"].clone(), json!(spec));

        let is_refusal =
            |refusal: &&Value| text(&refusal["namespace"]) == namespace && text(&refusal["name"]) == name;
        let refusal = list(&expected["webhook_errors"]).iter().find(is_refusal);
        let fields = refusal.map_or(&[][..], |refusal| list(&refusal["fields"]));
        let texts = refusal.map_or(&[][..], |refusal| list(&refusal["errors"]));
        let found = planned.map(webhook::validate).unwrap_or_default();
        let found_fields: Vec<String> = found.iter().map(|error| error.field.to_string()).collect();
        compare(&format!("webhook fields of {name:?}"), json!(fields), json!(found_fields));
        compare(
            &format!("webhook errors of {name:?}"),
            json!(expected_texts(texts)),
            json!(found_texts(&found)),
        );
    }
    differences
}

/// The annotation that cert-manager's error names, which is the wrong one in one case.
fn upstream_key(fault: &AnnotationFault) -> &'static str {
    if fault.key == annotation::SUBJECT_ORGANIZATIONAL_UNITS {
        annotation::SUBJECT_ORGANIZATIONS
    } else {
        fault.key
    }
}

/// Whether the fault always has the same text as in cert-manager. Faults in JSON do not: cert-manager
/// names any of several forbidden annotations.
fn has_upstream_text(fault: &AnnotationFault) -> bool {
    !matches!(fault.kind, FaultKind::Template(_)) && upstream_key(fault) == fault.key
}

/// The texts that are compared, which exclude those of email addresses. They are sorted, because
/// cert-manager reads labels and annotations in random order.
fn expected_texts(texts: &[Value]) -> Vec<&str> {
    let mut texts: Vec<&str> = texts.iter().filter_map(Value::as_str).collect();
    texts.retain(|text| !text.starts_with("spec.emailAddresses"));
    texts.sort_unstable();
    texts
}

fn found_texts(errors: &[FieldError]) -> Vec<&str> {
    let compared = errors.iter().filter(|error| !matches!(error.field, Field::EmailAddress(_)));
    let mut texts: Vec<&str> = compared.map(|error| error.text.as_str()).collect();
    texts.sort_unstable();
    texts
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A text; empty if absent, because empty names are omitted.
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
