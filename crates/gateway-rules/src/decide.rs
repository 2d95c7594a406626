//! One request through the policy: decode, leave what is not ours, default, judge, ratchet, answer.

use certificate_shim::gateway::{Gateway, GatewayKind, Metadata};
use serde_json::Value;

use crate::answer::{self, Answer};
use crate::finding::Level;
use crate::judge::{Judgement, judge, judge_from_memory};
use crate::lookup::{Cluster, LookupError, Lookups};
use crate::ratchet::ratchet;
use crate::request::{Operation, Request, Unreadable};
use crate::rules::{Asker, lookup_failed};
use crate::settings::{DefaultIssuer, Role, Settings};
use crate::tenancy::{self, Tenancy};
use crate::{default_issuer, named, parent, text};

/// The prefixes of cert-manager's annotations, today's and the ones before 0.11.
const PREFIXES: [&str; 2] = ["cert-manager.io/", "certmanager.k8s.io/"];

/// Answers the payload of a `validate` call.
pub fn decide(payload: &[u8], cluster: &dyn Cluster) -> Answer {
    let (request, settings) = match Request::decode(payload) {
        Ok(decoded) => decoded,
        Err(unreadable) => return refuse_unreadable(&unreadable),
    };
    match Settings::read(&settings) {
        Ok(settings) => decide_request(request, &settings, cluster),
        Err(problems) => Answer::refuse(500, format!("the policy's settings: {}", problems.join("; "))),
    }
}

/// Answers one request under those settings.
pub fn decide_request(request: Request, settings: &Settings, cluster: &dyn Cluster) -> Answer {
    judge_request(request, settings, cluster).unwrap_or_else(|unreadable| refuse_unreadable(&unreadable))
}

fn refuse_unreadable(unreadable: &Unreadable) -> Answer {
    Answer::refuse(400, format!("{unreadable}. Correct the object and apply it again."))
}

fn judge_request(request: Request, settings: &Settings, cluster: &dyn Cluster) -> Result<Answer, Unreadable> {
    let Request { kind, operation, is_subresource, namespace, mut object, old_object, user } = request;
    let (Some(kind), Some(operation)) = (kind, operation) else { return Ok(Answer::accept()) };
    if is_subresource {
        return Ok(Answer::accept());
    }
    if object.is_null() {
        return Err(Unreadable::NoObject);
    }
    let metadata = Metadata::read(&namespace, &object)?;
    if metadata.deleting {
        return Ok(Answer::accept());
    }
    if operation == Operation::Update
        && !settings.reject_existing_violations
        && is_alike(&object, &old_object)
    {
        return Ok(Answer::accept());
    }
    let is_wanted = |default: &&DefaultIssuer| {
        settings.role != Role::Validate
            && kind != GatewayKind::ListenerSet
            && (operation == Operation::Create || default.on_update)
            && default_issuer::is_wanted(default, &metadata.annotations)
    };
    let candidate = settings.default_issuers().find(is_wanted);
    let speaks_of_cert_manager =
        metadata.annotations.keys().any(|key| PREFIXES.iter().any(|prefix| key.starts_with(prefix)));
    // A ListenerSet may inherit what it does not say itself.
    let is_judged = speaks_of_cert_manager || kind == GatewayKind::ListenerSet;
    // An Istio Gateway serves every Secret that it names, which is for its tenant's rules to judge.
    let may_name_secrets = kind == GatewayKind::Istio && !settings.tenants.is_empty();
    if !is_judged && !may_name_secrets && candidate.is_none() {
        return Ok(Answer::accept());
    }

    let lookups = Lookups::new(cluster, settings.lookups.fresh).of_user(user);
    let default = match candidate {
        Some(candidate) => {
            let gateway = Gateway::read(kind, &namespace, &object)?;
            match default_for(&gateway, candidate, settings, &lookups) {
                Ok(default) => default.filter(is_wanted),
                Err(error) => {
                    return Ok(Answer::refuse(500, lookup_failed::message(&namespace, &error)));
                }
            }
        }
        None => None,
    };
    if let Some(default) = default {
        default_issuer::annotate(&mut object, &default.issuer);
    }
    let defaulted = default.is_some();
    if settings.role == Role::Default || !(is_judged || may_name_secrets || defaulted) {
        return Ok(Answer::mutate(defaulted.then_some(object)));
    }

    let gateway = Gateway::read(kind, &namespace, &object)?;
    if !(is_judged || defaulted || named::names_credential(&gateway)) {
        return Ok(Answer::accept());
    }
    let old = Some(&old_object).filter(|old| {
        operation == Operation::Update && !old.is_null() && !settings.reject_existing_violations
    });
    // An old object that cannot be read had no finding that could be let through.
    let old = old.and_then(|old| Gateway::read(kind, &namespace, old).ok());

    let (mut judgement, mut lowered) = judge_update(&gateway, old.as_ref(), settings, &lookups);
    let mut rests_on: Vec<_> = judgement
        .findings
        .iter()
        .filter(|finding| finding.level == Level::Reject)
        .filter_map(|finding| finding.rests_on.clone())
        .collect();
    if judgement.is_refused() {
        rests_on.extend(parent::reference(&gateway));
        rests_on.push(tenancy::object(&namespace));
    }
    if lookups.refresh(rests_on.iter()) {
        (judgement, lowered) = judge_update(&gateway, old.as_ref(), settings, &lookups);
    }
    let let_through = (lowered && !judgement.is_refused()).then(|| let_through(kind, &judgement));
    Ok(Answer::of(&judgement, defaulted.then_some(object), let_through))
}

/// Whether an update leaves everything alone that certificates depend on.
fn is_alike(object: &Value, old_object: &Value) -> bool {
    // Absent, null and empty are one.
    let is_something =
        |part: &&Value| !part.is_null() && part.as_object().is_none_or(|fields| !fields.is_empty());
    ["/metadata/labels", "/metadata/annotations", "/spec"].iter().all(|pointer| {
        object.pointer(pointer).filter(is_something) == old_object.pointer(pointer).filter(is_something)
    })
}

/// The default issuer of a Gateway that would get a Certificate by one: its tenant's, or the one for
/// all. Without that knowledge there is none to be had.
fn default_for<'s>(
    gateway: &Gateway<'_>,
    candidate: &DefaultIssuer,
    settings: &'s Settings,
    lookups: &Lookups<'_>,
) -> Result<Option<&'s DefaultIssuer>, LookupError> {
    if !default_issuer::is_useful(candidate, gateway, settings) {
        return Ok(None);
    }
    let of_all = settings.default_issuer.as_ref();
    if settings.tenants.iter().all(|tenant| tenant.default_issuer.is_none()) {
        return Ok(of_all);
    }
    match Tenancy::of(gateway.metadata.namespace, settings, lookups) {
        Tenancy::Tenant(tenant) => Ok(tenant.default_issuer.as_ref().or(of_all)),
        Tenancy::Unasked | Tenancy::Other => Ok(of_all),
        Tenancy::Undetermined(error) => Err(error),
    }
}

/// Judges the Gateway, and lowers what its old state had already; whether there was any of that.
fn judge_update(
    gateway: &Gateway<'_>,
    old: Option<&Gateway<'_>>,
    settings: &Settings,
    lookups: &Lookups<'_>,
) -> (Judgement, bool) {
    let mut judgement = judge(gateway, settings, lookups, Asker::Admission);
    let lowered = match old {
        Some(old) if judgement.is_refused() => {
            ratchet(&mut judgement, &judge_from_memory(old, settings, lookups))
        }
        _ => false,
    };
    (judgement, lowered)
}

/// What becomes of a Gateway whose faults are let through because it had them before.
fn let_through(kind: GatewayKind, judgement: &Judgement) -> String {
    match kind {
        GatewayKind::Istio => {
            let planned = judgement.planned();
            let secrets = if planned.is_empty() { &judgement.named } else { &planned };
            let list = answer::list(secrets, 120);
            let which = if list.is_empty() { "its Certificates".to_owned() } else { format!("Certificates {list}") };
            text::shorten(&format!("let through since the Gateway had these faults before: {which} stay unchanged until they are mended"), 256)
        }
        GatewayKind::GatewayApi | GatewayKind::ListenerSet => {
            "let through since the object had these faults before: cert-manager goes on issuing as far as it can".to_owned()
        }
    }
}

#[cfg(test)]
mod tests;
