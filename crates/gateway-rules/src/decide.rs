//! One request through the policy: decode, accept what is not ours, default, check, ratchet, respond.

use certificate_shim::gateway::{Gateway, GatewayKind, Metadata};
use json_prune::{HEAD_ANNOTATIONS, Head, Object};
use serde_json::Value;

use crate::check::{CheckResult, check_update};
use crate::default_issuer::{self, Choice};
use crate::finding::{Cause, Finding, Level};
use crate::lookup::{Cluster, LookupError, Lookups};
use crate::request::{Operation, Request, Unreadable};
use crate::response::{self, Response};
use crate::rules::lookup_failed;
use crate::rules::object_too_large::{self, Excess, METADATA_BYTES};
use crate::settings::{DefaultIssuer, Role, Settings};
use crate::{named, parent, settings, tenancy, text};

/// The prefixes of cert-manager's annotations on Gateways, including those before 0.11.
const PREFIXES: [&str; 2] = ["cert-manager.io/", "certmanager.k8s.io/"];

/// Responds to the payload of a `validate` call.
pub fn decide(payload: &[u8], cluster: &dyn Cluster) -> Response {
    Request::decode(payload)
        .and_then(|request| respond(&request, cluster))
        .unwrap_or_else(|unreadable| reject_unreadable(&unreadable))
}

fn reject_unreadable(unreadable: &Unreadable) -> Response {
    Response::reject(400, format!("{unreadable}. Correct the object and apply it again."))
}

/// Accepts most requests after reading the head of their object; checks the others.
fn respond(request: &Request<'_>, cluster: &dyn Cluster) -> Result<Response, Unreadable> {
    let (Some(kind), Some(operation)) = (request.kind, request.operation) else {
        return Ok(Response::accept());
    };
    if request.is_subresource {
        return Ok(Response::accept());
    }
    let object = request.object.as_ref().ok_or(Unreadable::NoObject)?;
    let head = object.head(is_read_early, METADATA_BYTES)?;
    let metadata = Metadata::read(&request.namespace, &head.object)?;
    // A ListenerSet inherits the issuer that it does not name itself.
    let is_ours = kind == GatewayKind::ListenerSet
        || head.metadata_bytes > METADATA_BYTES
        || metadata.annotations.keys().any(|key| PREFIXES.iter().any(|prefix| key.starts_with(prefix)))
        || !metadata.misplaced.is_empty();
    if !is_ours && !can_concern_others(request.settings) {
        return Ok(Response::accept());
    }

    // Without settings they are null.
    let value: Value = serde_json::from_str(request.settings).unwrap_or_default();
    let settings = match Settings::read(&value) {
        Ok(settings) => settings,
        Err(problems) => {
            return Ok(Response::reject(500, format!("the policy's settings: {}", problems.join("; "))));
        }
    };
    let seen = Seen { kind, operation, object, head: &head, metadata, is_ours };
    let mut response = check_request(request, &seen, &settings, cluster)?;
    if !response.audit_annotations.is_empty() {
        response.audit_annotations.push(("settings", settings::fingerprint(&value)));
    }
    Ok(response)
}

/// Whether settings can concern an object without an annotation of cert-manager: it can get the default
/// issuer, and an Istio Gateway serves every Secret that it names, so its tenant's rules check it.
fn can_concern_others(settings: &str) -> bool {
    // An escape can spell any key.
    ["\"default_issuer\"", "\"tenants\"", "\\"].iter().any(|text| settings.contains(text))
}

/// What is known of a request before its settings are read.
struct Seen<'a> {
    kind: GatewayKind,
    operation: Operation,
    object: &'a Object<'a>,
    head: &'a Head,
    metadata: Metadata<'a>,
    is_ours: bool,
}

fn check_request(
    request: &Request<'_>,
    seen: &Seen<'_>,
    settings: &Settings,
    cluster: &dyn Cluster,
) -> Result<Response, Unreadable> {
    let Seen { kind, operation, object, head, ref metadata, is_ours } = *seen;
    let Request { namespace, old_object, .. } = request;
    let is_wanted = |default: &&DefaultIssuer| {
        settings.role != Role::Validate
            && kind != GatewayKind::ListenerSet
            && (operation == Operation::Create || default.on_update)
            && default_issuer::is_wanted(default, &metadata.annotations)
    };
    // If there are too many annotations, one that names an issuer can be missed.
    let is_whole = metadata.annotations.len() < HEAD_ANNOTATIONS;
    let candidate = settings.default_issuers().find(is_wanted).filter(|_| is_whole);
    let can_name_secrets = kind == GatewayKind::Istio && !settings.tenants.is_empty();
    if !is_ours && !can_name_secrets && candidate.is_none() {
        return Ok(Response::accept());
    }

    if let Some(excess) = object_too_large::excess(head, kind) {
        // Nobody asked for the default issuer, or for a check of servers that name no Secret.
        let is_checked = is_ours || (can_name_secrets && object.spec_contains("\"tls\""));
        if settings.role == Role::Default || !is_checked {
            let note = candidate.map(|default| default_issuer::not_allowed(default, &excess.problem));
            return Ok(accept_with(note, settings));
        }
        let is_same = old_object.as_ref().is_some_and(|old| object.is_same_text(old));
        return Ok(respond_too_large(excess, is_same, settings));
    }
    let pruned = object.pruned()?;
    // An old object that cannot be read had no finding that could be kept.
    let pruned_old = match operation {
        Operation::Update => old_object.as_ref().and_then(|old| read_old(old, kind)).unwrap_or_default(),
        Operation::Create => Value::Null,
    };
    // A Gateway that is being deleted is served until it is gone, so it is checked. But it must be
    // possible to remove its finalizers.
    if operation == Operation::Update
        && (metadata.deleting || !settings.reject_existing_violations)
        && is_unchanged(&pruned, &pruned_old)
    {
        return Ok(Response::accept());
    }
    let gateway = Gateway::read(kind, namespace, &pruned)?;
    // A part of a Gateway, such as a patch in files: nothing can be said about the whole.
    if !gateway.has_spec {
        return Ok(Response::accept());
    }
    let lookups = Lookups::new(cluster, settings.lookups).of_user(request.user()?);
    let mut default = None;
    let mut note = None;
    if let Some(candidate) = candidate {
        match default_issuer::choose(&gateway, candidate, settings, &lookups) {
            Ok(Choice::Add(chosen)) => default = Some(chosen).filter(is_wanted),
            Ok(Choice::None) => {}
            Ok(Choice::NotAllowed(warning)) => {
                note = Some(warning).filter(|_| default_issuer::is_asked_for(&metadata.annotations));
            }
            Err(error) => return Ok(reject_unknown_namespace(namespace, &error, &lookups, settings)),
        }
    }
    if settings.role == Role::Default {
        let Some(default) = default else { return Ok(accept_with(note, settings)) };
        return Ok(Response::mutate(Some(default_issuer::annotated(
            request.whole_object()?,
            &default.issuer,
        ))));
    }
    let has_old = !pruned_old.is_null() && !settings.reject_existing_violations;
    let old = if has_old { Gateway::read(kind, namespace, &pruned_old).ok() } else { None };
    let state = State { old: old.as_ref(), settings, lookups: &lookups };
    let is_checked = is_ours || (can_name_secrets && named::names_secret(&gateway));
    let Some(default) = default else {
        if !is_checked {
            return Ok(accept_with(note, settings));
        }
        return Ok(state.check(&gateway).respond(None, note, settings));
    };

    let defaulted = default_issuer::annotated(request.whole_object()?, &default.issuer);
    let checked = state.check(&Gateway::read(kind, namespace, &defaulted)?);
    let rejects: Vec<&Finding> = checked.result.at(Level::Reject).collect();
    let is_determined = rejects.iter().any(|finding| finding.cause != Cause::Undetermined);
    if default_issuer::is_asked_for(&metadata.annotations) {
        let note = (!rejects.is_empty()).then(|| default_issuer::note(default));
        return Ok(checked.respond(Some(defaulted), note, settings));
    }
    if !is_determined {
        return Ok(checked.respond(Some(defaulted), None, settings));
    }
    // The Gateway did not ask for this issuer, so findings about it do not reject: it stays as written.
    let note = rejects.first().map(|finding| default_issuer::not_added(default, finding));
    let written = if is_checked { state.check(&gateway) } else { Checked::default() };
    Ok(written.respond(None, note, settings))
}

/// Accepts an object that is not checked.
fn accept_with(note: Option<String>, settings: &Settings) -> Response {
    match note {
        None => Response::accept(),
        note => Checked::default().respond(None, note, settings),
    }
}

/// The old state of an object, unless it is too large to be read.
fn read_old(object: &Object<'_>, kind: GatewayKind) -> Option<Value> {
    let head = object.head(is_read_early, METADATA_BYTES).ok()?;
    if object_too_large::excess(&head, kind).is_some() { None } else { object.pruned().ok() }
}

/// Whether an annotation decides if anything else is read: one of cert-manager's, or one that asks for
/// the default issuer or looks like the name of an issuer.
fn is_read_early(key: &str) -> bool {
    PREFIXES.iter().any(|prefix| key.starts_with(prefix))
        || key == default_issuer::TLS_ACME
        || (key.len() <= 100 && key.contains("issuer"))
}

fn respond_too_large(excess: Excess, is_same: bool, settings: &Settings) -> Response {
    let mut result = CheckResult::default();
    object_too_large::report(excess, &mut result.findings);
    if is_same {
        result.findings.iter_mut().for_each(|finding| finding.level = Level::Warn);
    }
    Response::of(&result, None, None, &settings.help)
}

/// Whether an update changes nothing that certificates depend on.
fn is_unchanged(object: &Value, old_object: &Value) -> bool {
    // Absent, null and empty are the same.
    let is_something =
        |part: &&Value| !part.is_null() && part.as_object().is_none_or(|fields| !fields.is_empty());
    ["/metadata/labels", "/metadata/annotations", "/spec"].iter().all(|pointer| {
        object.pointer(pointer).filter(is_something) == old_object.pointer(pointer).filter(is_something)
    })
}

/// The response if the default issuer is unknown, because it depends on a Namespace that could not be looked
/// up.
fn reject_unknown_namespace(
    namespace: &str,
    error: &LookupError,
    lookups: &Lookups<'_>,
    settings: &Settings,
) -> Response {
    let mut result = CheckResult::default();
    lookup_failed::report_namespace(namespace, error, lookups, &mut result.findings);
    Response::of(&result, None, None, &settings.help)
}

/// The input of the check of a new state.
struct State<'a> {
    old: Option<&'a Gateway<'a>>,
    settings: &'a Settings,
    lookups: &'a Lookups<'a>,
}

/// A checked Gateway.
#[derive(Default)]
struct Checked {
    result: CheckResult,
    /// The warning about findings that the old state had too.
    kept: Option<String>,
}

impl State<'_> {
    /// Checks the Gateway. A rejection that rests on cached objects is checked once more, with fresh
    /// ones.
    fn check(&self, gateway: &Gateway<'_>) -> Checked {
        let State { old, settings, lookups } = *self;
        let (mut result, mut lowered) = check_update(gateway, old, settings, lookups);
        if result.is_rejected() {
            let rests_on = result.at(Level::Reject).filter_map(|finding| finding.rests_on.clone());
            let mut rests_on: Vec<_> = rests_on.collect();
            rests_on.extend(parent::reference(gateway));
            rests_on.push(tenancy::object(gateway.metadata.namespace));
            if lookups.refresh(rests_on.iter()) {
                (result, lowered) = check_update(gateway, old, settings, lookups);
            }
        }
        let kept = (lowered && !result.is_rejected()).then(|| kept(gateway.kind, &result));
        Checked { result, kept }
    }
}

impl Checked {
    /// The response, with a note among its warnings; `object` is the accepted object if it differs from
    /// the written one.
    fn respond(&self, object: Option<Value>, note: Option<String>, settings: &Settings) -> Response {
        let notes = note.into_iter().chain(self.kept.clone());
        Response::of(&self.result, object, notes, &settings.help)
    }
}

/// The warning about an update that is accepted although its object still has earlier problems.
fn kept(kind: GatewayKind, result: &CheckResult) -> String {
    const START: &str = "existing_violations: accepted, because the object already had these problems.";
    let planned = result.planned();
    let text = match kind {
        _ if planned.is_empty() => START.to_owned(),
        GatewayKind::Istio => {
            let list = response::list(&planned, 120);
            format!("{START} Certificates {list} will not change until they are fixed.")
        }
        GatewayKind::GatewayApi | GatewayKind::ListenerSet => {
            format!("{START} cert-manager keeps issuing what it can.")
        }
    };
    text::shorten(&text, response::WARNING)
}

#[cfg(test)]
mod tests;
