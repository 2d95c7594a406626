//! The decision about each Gateway.

use std::collections::{BTreeMap, BTreeSet};

use certificate_shim::gateway::{Gateway, GatewayKind};
use certificate_shim::issuer_ref::resolve;
use certificate_shim::owner::ADOPTED;
use certificate_shim::plan::{Plan, SecretName, plan};
use certificate_shim::{Certificate, annotation};
use gateway_rules::lookup::Lookups;
use gateway_rules::rule::Caller;
use gateway_rules::{CheckResult, Cluster, LookupError, ObjectRef, Settings, check};
use manifests::Document;
use serde_json::{Value, json};

use super::annotations::{Annotations, annotations, is_shim_annotation};
use super::change::{Change, change_of_gateway, mark};
use super::compare::{Comparison, adopted, compare};
use super::gateways::{Named, annotated, any_issuer, claims};
use super::objects::{self, Origin, name_of, origin, place, text};
use super::{Adoptee, Adoption, Effect, Outcome, Scope};
use crate::desired::{desired, violations_of_all};
use crate::fields::MANAGER;
use crate::render::files::Files;

/// Decides about the Istio Gateways of these objects, in their order.
pub fn adoptions(files: &Files<'_>, scope: &Scope<'_>) -> Vec<Adoption> {
    let world = World::new(files, scope.settings);
    let gateways =
        world.gateways.iter().filter(|one| scope.only.is_empty() || scope.only.contains(&one.name));
    gateways.filter_map(|one| world.adoption(one)).collect()
}

/// The objects, with indices.
struct World<'f> {
    files: &'f Files<'f>,
    settings: &'f Settings,
    gateways: Vec<Named<'f>>,
    /// The Certificates by the Secrets that they write.
    writers: BTreeMap<SecretName, Vec<&'f Document>>,
    /// The Gateway that each Secret is adopted for.
    claims: BTreeMap<SecretName, SecretName>,
}

impl<'f> World<'f> {
    fn new(files: &'f Files<'f>, settings: &'f Settings) -> Self {
        let mut writers: BTreeMap<SecretName, Vec<&Document>> = BTreeMap::new();
        for document in files.certificates() {
            let secret = text(&document.object, "/spec/secretName");
            let namespace = text(&document.object, "/metadata/namespace");
            if !secret.is_empty() {
                let secret = SecretName { namespace: namespace.to_owned(), name: secret.to_owned() };
                writers.entry(secret).or_default().push(document);
            }
        }
        let gateways: Vec<Named<'_>> =
            files.gateways().map(|document| Named::new(document, settings)).collect();
        let claims = claims(&gateways, &writers);
        World { files, settings, gateways, writers, claims }
    }

    /// `None` for a Gateway that names no Secrets or is being deleted.
    fn adoption(&self, named: &Named<'f>) -> Option<Adoption> {
        let mut adoption = Adoption {
            gateway: named.name.clone(),
            place: place(named.document),
            outcome: Outcome::Nothing,
            certificates: Vec::new(),
            notes: Vec::new(),
            changes: Vec::new(),
        };
        let gateway = match &named.gateway {
            Ok(gateway) if gateway.metadata.deleting => return None,
            Ok(gateway) => gateway,
            Err(reason) => {
                adoption.outcome = Outcome::LeftAlone(vec![format!("it cannot be read: {reason}")]);
                return Some(adoption);
            }
        };
        if named.placement.is_empty() {
            let reason = "its selector matches no entry of gateway_namespaces, so it is not known where its Secrets are";
            adoption.outcome = Outcome::LeftAlone(vec![reason.to_owned()]);
            return Some(adoption);
        }
        if named.secrets.is_empty() {
            return None;
        }
        let mut reasons = Vec::new();
        let mut found = Vec::new();
        let mut missing = Vec::new();
        for secret in &named.secrets {
            match self.writers.get(secret).map(Vec::as_slice).unwrap_or_default() {
                [] => missing.push(secret),
                [one] => {
                    found.push((secret, *one));
                    reasons.extend(self.reason_of(named, secret, gateway, one));
                }
                [_, _, ..] => {
                    let names: Vec<String> = self
                        .writers
                        .get(secret)
                        .into_iter()
                        .flatten()
                        .map(|document| name_of(&document.object).to_string())
                        .collect();
                    reasons.push(format!(
                        "the Secret {secret} is written by several Certificates: {}. Remove all but one.",
                        names.join(", ")
                    ));
                }
            }
        }
        adoption.certificates =
            found.iter().map(|(secret, document)| adoptee(secret, document, gateway)).collect();
        adoption.notes = missing.iter().map(|secret| self.note_missing(secret)).collect();
        if reasons.is_empty() && found.is_empty() {
            return Some(adoption);
        }
        if !reasons.is_empty() {
            adoption.outcome = Outcome::LeftAlone(reasons);
            return Some(adoption);
        }
        self.compare(named, gateway, &found, !missing.is_empty(), &mut adoption);
        Some(adoption)
    }

    /// The reason why a Certificate cannot be adopted.
    fn reason_of(
        &self,
        named: &Named<'_>,
        secret: &SecretName,
        gateway: &Gateway<'_>,
        document: &Document,
    ) -> Option<String> {
        let name = name_of(&document.object);
        if document.object.pointer("/metadata/deletionTimestamp").is_some() {
            return Some(format!("the Certificate {name} is being deleted"));
        }
        if let Origin::Other(owner) = origin(&document.object, gateway) {
            return Some(format!("the Certificate {name} belongs to {owner}"));
        }
        let first = self.claims.get(secret).filter(|first| **first != named.name)?;
        Some(format!(
            "the Secret {secret} is also named by the Gateway {first}, which gets its Certificate. This Gateway goes on using the Secret without annotations."
        ))
    }

    fn note_missing(&self, secret: &SecretName) -> String {
        let elsewhere: Vec<String> = self
            .writers
            .iter()
            .filter(|(other, _)| other.name == secret.name)
            .flat_map(|(_, documents)| documents)
            .map(|document| name_of(&document.object).to_string())
            .collect();
        let hint = match elsewhere.as_slice() {
            [] => String::new(),
            some => format!(
                ". In another namespace: {}. If the gateway's Pods run there, add that namespace to gateway_namespaces in the settings",
                some.join(", ")
            ),
        };
        format!("no Certificate writes the Secret {secret}{hint}")
    }

    /// Derives the annotations and compares the plan with the Certificates.
    fn compare(
        &self,
        named: &Named<'f>,
        gateway: &Gateway<'_>,
        found: &[(&SecretName, &Document)],
        has_missing: bool,
        adoption: &mut Adoption,
    ) {
        let derived: Vec<Annotations> =
            found.iter().map(|(secret, document)| self.derived(named, gateway, secret, document)).collect();
        let Some(chosen) = self.agreed(named, found, &derived) else {
            adoption.outcome = Outcome::LeftAlone(vec![disagreement(found, &derived)]);
            return;
        };
        let annotated = annotated(&named.document.object, &chosen);
        let marks: Vec<Change> = found.iter().map(|(_, document)| mark(document, gateway)).collect();
        let of_gateway = change_of_gateway(named.document, &chosen);
        let Some(result) = self.check(&annotated, found, &marks) else { return };
        let mut reasons = withheld(&result);
        let planned = result.plan.by_secret();
        for (adoptee, (secret, document)) in adoption.certificates.iter_mut().zip(found) {
            match planned.get(&(secret.namespace.as_str(), secret.name.as_str())) {
                Some(planned) => {
                    let planned = planned_object(planned, &annotated, &document.object);
                    adoptee.comparison = Some(compare(&document.object, &planned));
                }
                None => reasons.push(format!(
                    "no annotation requests a Certificate for the Secret {secret}, because its servers have no host that is a name"
                )),
            }
        }
        if !reasons.is_empty() {
            adoption.outcome = Outcome::LeftAlone(reasons);
            return;
        }
        adoption.changes =
            marks.into_iter().chain([of_gateway]).filter(|change| !change.is_empty()).collect();
        if adoption.changes.is_empty() {
            adoption.outcome = Outcome::Adopted;
            return;
        }
        let reissues =
            adoption.certificates.iter().filter_map(|one| one.comparison.as_ref()).any(Comparison::reissues);
        let effects = [(reissues, Effect::Reissue), (has_missing, Effect::Create)];
        let effects = effects.into_iter().filter(|(happens, _)| *happens).map(|(_, effect)| effect);
        adoption.outcome = Outcome::Adoptable(effects.collect());
    }

    /// The annotations that make this Certificate. Those of one that is ours are on the Gateway already.
    fn derived(
        &self,
        named: &Named<'f>,
        gateway: &Gateway<'_>,
        secret: &SecretName,
        document: &Document,
    ) -> Annotations {
        if origin(&document.object, gateway) == Origin::Ours {
            let known = annotation::TABLE.iter().filter(|known| is_shim_annotation(known.key));
            return known
                .filter_map(|known| Some((known.key, gateway.annotation(known.key)?.to_owned())))
                .collect();
        }
        let bare = annotated(&named.document.object, &any_issuer());
        let plan = self.plan(named, &bare).unwrap_or_default();
        let planned =
            plan.by_secret().get(&(secret.namespace.as_str(), secret.name.as_str())).copied().cloned();
        let hosts = planned.as_ref().map(Certificate::host_names).unwrap_or_default();
        let addresses = planned.as_ref().map(Certificate::ip_addresses).unwrap_or_default();
        annotations(document.object.get("spec").unwrap_or(&Value::Null), &hosts, &addresses)
    }

    /// The annotations that are right for every Certificate; `None` if the Certificates differ in what
    /// annotations can express.
    ///
    /// Different annotations can mean the same: a server with two credentials requests two algorithms.
    fn agreed(
        &self,
        named: &Named<'f>,
        found: &[(&SecretName, &Document)],
        derived: &[Annotations],
    ) -> Option<Annotations> {
        let candidates: BTreeSet<&Annotations> = derived.iter().collect();
        let compare = |annotations: &Annotations, (secret, document): &(&SecretName, &Document)| {
            self.comparison(named, &annotated(&named.document.object, annotations), secret, document)
        };
        if let [only] = candidates.iter().collect::<Vec<_>>().as_slice() {
            return Some((***only).clone());
        }
        let own: Vec<_> = found.iter().zip(derived).map(|(one, own)| compare(own, one)).collect();
        // It makes no difference that the Certificate's own annotations do not make.
        let is_right = |candidate: &&Annotations| {
            found.iter().zip(&own).all(|(one, own)| match (compare(candidate, one), own) {
                (Some(result), Some(own)) => {
                    result.differences.iter().all(|difference| own.differences.contains(difference))
                }
                _ => false,
            })
        };
        candidates.into_iter().take(MOST_CANDIDATES).find(is_right).cloned()
    }

    fn comparison(
        &self,
        named: &Named<'f>,
        annotated: &Value,
        secret: &SecretName,
        document: &Document,
    ) -> Option<Comparison> {
        let plan = self.plan(named, annotated)?;
        let by_secret = plan.by_secret();
        let planned = by_secret.get(&(secret.namespace.as_str(), secret.name.as_str()))?;
        Some(compare(&document.object, &planned_object(planned, annotated, &document.object)))
    }

    fn plan(&self, named: &Named<'f>, annotated: &Value) -> Option<Plan> {
        let gateway = Gateway::read(GatewayKind::Istio, &named.name.namespace, annotated).ok()?;
        let issuer = resolve(&gateway)?.reference;
        Some(plan(&gateway, &issuer, &named.placement, &self.settings.plan))
    }

    /// What the controller finds about the annotated Gateway when its Certificates are marked.
    fn check(
        &self,
        annotated: &Value,
        found: &[(&SecretName, &Document)],
        marks: &[Change],
    ) -> Option<CheckResult> {
        let namespace = text(annotated, "/metadata/namespace");
        let gateway = Gateway::read(GatewayKind::Istio, namespace, annotated).ok()?;
        let marked = |((_, document), mark): (&(&SecretName, &Document), &Change)| {
            (name_of(&document.object), mark.applied_to(&document.object))
        };
        let certificates = found.iter().zip(marks).map(marked).collect();
        let cluster = Marked { files: self.files, certificates };
        Some(check(
            &gateway,
            self.settings,
            &Lookups::new(&cluster, self.settings.lookups),
            Caller::Controller,
        ))
    }
}

/// The reasons why the controller would withhold Certificates.
fn withheld(result: &CheckResult) -> Vec<String> {
    let of_all = violations_of_all(result);
    let mut lines: Vec<String> = of_all.iter().map(|violation| violation.text.clone()).collect();
    for desired in desired(result) {
        let secret = desired.certificate.secret();
        let own = desired.violations.iter().filter(|violation| !of_all.contains(violation));
        lines.extend(own.map(|violation| format!("{secret}: {}", violation.text)));
    }
    lines.into_iter().map(|line| format!("the controller would withhold Certificates: {line}")).collect()
}

/// More would make the comparison of thousands of different Certificates slow. A pair of credentials needs
/// two.
const MOST_CANDIDATES: usize = 8;

/// The objects, with some Certificates replaced.
struct Marked<'f> {
    files: &'f Files<'f>,
    certificates: BTreeMap<SecretName, Value>,
}

impl Cluster for Marked<'_> {
    fn get(&self, object: &ObjectRef, fields: &[&str], fresh: bool) -> Result<Value, LookupError> {
        let name =
            SecretName { namespace: object.namespace.clone().unwrap_or_default(), name: object.name.clone() };
        match self.certificates.get(&name).filter(|_| object.kind == "Certificate") {
            Some(certificate) => Ok(certificate.clone()),
            None => self.files.get(object, fields, fresh),
        }
    }

    fn help(&self, error: &LookupError, object: &ObjectRef) -> String {
        self.files.help(error, object)
    }
}

/// The planned object of a Certificate that exists.
fn planned_object(planned: &Certificate, annotated: &Value, today: &Value) -> Value {
    let is_ours = objects::managers(today).any(|manager| manager == MANAGER);
    if is_ours && objects::annotation(today, ADOPTED) != Some("true") {
        return planned.to_json();
    }
    let has_usages = objects::annotation(annotated, annotation::USAGES).is_some();
    adopted(planned.to_json(), text(today, "/metadata/name"), has_usages)
}

fn adoptee(secret: &SecretName, document: &Document, gateway: &Gateway<'_>) -> Adoptee {
    Adoptee {
        name: name_of(&document.object),
        secret: secret.name.clone(),
        origin: origin(&document.object, gateway),
        comparison: None,
    }
}

/// The annotations in which Certificates differ.
fn disagreement(found: &[(&SecretName, &Document)], derived: &[Annotations]) -> String {
    let keys: BTreeSet<&str> = derived.iter().flat_map(|annotations| annotations.keys().copied()).collect();
    let differs = |key: &&str| {
        derived.iter().any(|one| one.get(*key) != derived.first().and_then(|first| first.get(*key)))
    };
    let values = |key: &str| {
        let value = |((_, document), one): (&(&SecretName, &Document), &Annotations)| {
            let value = one.get(key).map_or_else(|| "none".to_owned(), |value| json!(value).to_string());
            format!("{value} ({})", name_of(&document.object))
        };
        let values: Vec<String> = found.iter().zip(derived).map(value).collect();
        format!("{key}: {}", values.join(", "))
    };
    let lines: Vec<String> = keys.into_iter().filter(differs).map(values).collect();
    format!(
        "its Certificates differ in what annotations can express, and annotations apply to all of them. Give each a Gateway of its own. {}",
        lines.join("; ")
    )
}
