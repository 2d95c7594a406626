//! `gateway-certificates adopt`: hands existing Certificates over to the controller.
//!
//! For each Istio Gateway it finds the Certificates that write the Secrets of its servers, derives the
//! annotations that make the same Certificates, and compares the plan of the annotated Gateway with them.
//! The objects come from files or a cluster. Read it in this order:
//!
//! * [`objects`]: the owners of existing objects, and the tools that deploy them;
//! * [`annotations`]: the annotations that make a Certificate;
//! * [`compare`]: the fields that would change;
//! * this file: what is done about each Gateway;
//! * [`report`]: the output;
//! * [`cluster`]: reading from and writing to a cluster.

pub mod annotations;
pub mod cluster;
pub mod compare;
pub mod objects;
pub mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use certificate_shim::gateway::{Gateway, GatewayKind};
use certificate_shim::issuer_ref::resolve;
use certificate_shim::owner::{ADOPTED, OWNER_HASH, OWNER_UID, Owner};
use certificate_shim::placement::placement;
use certificate_shim::plan::{Plan, SecretName, plan};
use certificate_shim::{Certificate, annotation};
use gateway_rules::lookup::Lookups;
use gateway_rules::rule::Caller;
use gateway_rules::{Cluster, LookupError, ObjectRef, Settings, check};
use kube::Client;
use manifests::Document;
use serde_json::{Map, Value, json};

use crate::desired::{desired, violations_of_all};
use crate::fields::MANAGER;
use crate::render::{self, files::Files};
use annotations::{Annotations, annotations, is_shim_annotation};
use compare::{Comparison, adopted, compare};
use objects::{Deployer, Origin, deployer, name_of, origin, text};

/// An effect that needs consent before anything is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Effect {
    /// cert-manager issues an adopted Certificate again.
    Reissue,
    /// The controller creates a Certificate for another Secret that the Gateway names. cert-manager then
    /// overwrites that Secret if it exists.
    Create,
}

/// What can be done about a Gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// There is no Certificate to adopt.
    Nothing,
    /// All of its Certificates are adopted already.
    Adopted,
    /// It can be adopted, if these effects are accepted. Sorted; usually empty.
    Adoptable(Vec<Effect>),
    /// It is left alone, for these reasons: at least one.
    LeftAlone(Vec<String>),
}

/// The result for one Gateway.
#[derive(Debug, Clone, PartialEq)]
pub struct Adoption {
    /// Its namespace and name.
    pub gateway: SecretName,
    /// Where it is defined, for messages; empty in a cluster.
    pub place: String,
    /// What can be done.
    pub outcome: Outcome,
    /// The Certificates that write its Secrets, in the order of its plan.
    pub certificates: Vec<Adoptee>,
    /// Remarks, one line each.
    pub notes: Vec<String>,
    /// The changes: those of Certificates first, then the Gateway's. Empty unless it can be adopted.
    pub changes: Vec<Change>,
}

/// A Certificate that writes a Secret of the Gateway.
#[derive(Debug, Clone, PartialEq)]
pub struct Adoptee {
    /// Its namespace and name.
    pub name: SecretName,
    /// The Secret that it writes.
    pub secret: String,
    /// Its owner today.
    pub origin: Origin,
    /// The effects of the adoption; `None` if the Gateway is left alone before they are known.
    pub comparison: Option<Comparison>,
}

/// The changes of an object's labels and annotations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The kind: `Certificate` or `Gateway`.
    pub kind: &'static str,
    /// The apiVersion of the object.
    pub api_version: String,
    /// Its namespace and name.
    pub name: SecretName,
    /// Where it is defined, for messages; empty in a cluster.
    pub place: String,
    /// Its resourceVersion; empty in files.
    pub resource_version: String,
    /// The tool that deploys it, so that its source has to be changed.
    pub deployer: Option<Deployer>,
    /// The changed annotations, by key.
    pub annotations: BTreeMap<String, Entry>,
    /// The changed labels, by key.
    pub labels: BTreeMap<String, Entry>,
}

/// The change of one label or annotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its value now.
    pub today: Option<String>,
    /// Its new value; `None` to remove it.
    pub planned: Option<String>,
}

impl Change {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.annotations.is_empty() && self.labels.is_empty()
    }

    /// The changes as a JSON merge patch, which fails if the object was changed since it was read.
    pub fn patch(&self) -> Value {
        let map = |entries: &BTreeMap<String, Entry>| -> Map<String, Value> {
            entries.iter().map(|(key, entry)| (key.clone(), json!(entry.planned))).collect()
        };
        let mut metadata = json!({"resourceVersion": self.resource_version});
        for (field, entries) in [("annotations", &self.annotations), ("labels", &self.labels)] {
            if !entries.is_empty() {
                metadata[field] = json!(map(entries));
            }
        }
        json!({"metadata": metadata})
    }
}

/// The settings, and the Gateways to look at.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// The settings of the controller.
    pub settings: &'a Settings,
    /// The only Gateways; all if it is empty.
    pub only: &'a [SecretName],
}

/// The result of the command.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// The report for standard output.
    pub text: String,
    /// Remarks about the input, one line each.
    pub notes: Vec<String>,
    /// Writes that failed, one line each.
    pub errors: Vec<String>,
    /// Whether nothing is left to do by hand: no Gateway is left alone or needs consent, and with `--write`,
    /// everything was written.
    pub is_complete: bool,
}

/// Reports on the Gateways in files and folders; `-` is standard input. Objects that do not specify a
/// namespace are in `namespace`.
///
/// # Errors
/// The files cannot be read, or contain no objects.
pub fn in_files(paths: &[PathBuf], namespace: &str, scope: &Scope<'_>) -> Result<Report, render::Error> {
    let documents = render::documents(paths)?;
    // The issuer can be in the cluster.
    let settings = render::settings_for_files(scope.settings);
    let files = Files::new(documents, &settings, namespace);
    let adoptions = adoptions(&files, &Scope { settings: &settings, ..*scope });
    let mut report = Report { notes: files.notes(), ..Report::default() };
    for adoption in &adoptions {
        report.text.push_str(&report::adoption(adoption));
    }
    report.finish(&adoptions, scope, adoptions.iter().all(Adoption::is_without_obstacle));
    Ok(report)
}

/// Reports on the Gateways of a cluster. Writes the changes if `allowed` is given: the accepted effects.
///
/// # Errors
/// The cluster cannot be read. Writes that fail are in the report.
pub async fn in_cluster(
    client: &Client,
    scope: &Scope<'_>,
    allowed: Option<&[Effect]>,
) -> Result<Report, cluster::Error> {
    let documents = cluster::read(client, scope.settings).await?;
    let files = Files::new(documents, scope.settings, "");
    let adoptions = adoptions(&files, scope);
    let mut report = Report::default();
    let mut is_complete = true;
    for adoption in &adoptions {
        report.text.push_str(&report::adoption(adoption));
        let Some(allowed) = allowed else {
            is_complete &= adoption.is_without_obstacle();
            continue;
        };
        let written = cluster::write(client, adoption, allowed).await;
        for line in &written.lines {
            report.text.push_str(&format!("  {line}\n"));
        }
        report.errors.extend(written.error);
        is_complete &= written.is_complete;
    }
    report.finish(&adoptions, scope, is_complete);
    Ok(report)
}

impl Report {
    fn finish(&mut self, adoptions: &[Adoption], scope: &Scope<'_>, is_complete: bool) {
        let is_unknown = |name: &&SecretName| adoptions.iter().all(|adoption| adoption.gateway != **name);
        let unknown: Vec<&SecretName> = scope.only.iter().filter(is_unknown).collect();
        self.notes
            .extend(unknown.iter().map(|name| format!("there is no Gateway {name} that names a Secret")));
        self.text.push_str(&report::totals(adoptions));
        self.is_complete = is_complete && unknown.is_empty();
    }
}

impl Adoption {
    /// Whether it is not left alone and needs no consent.
    pub fn is_without_obstacle(&self) -> bool {
        match &self.outcome {
            Outcome::Nothing | Outcome::Adopted => true,
            Outcome::Adoptable(effects) => effects.is_empty(),
            Outcome::LeftAlone(_) => false,
        }
    }
}

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

/// A Gateway and the Secrets that its servers name.
struct Named<'f> {
    document: &'f Document,
    name: SecretName,
    /// The Gateway, or the reason why it cannot be read.
    gateway: Result<Gateway<'f>, String>,
    placement: Vec<&'f str>,
    secrets: Vec<SecretName>,
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
        for (adoptee, (secret, document)) in adoption.certificates.iter_mut().zip(found) {
            adoptee.comparison = self.comparison(named, &annotated, secret, document);
        }
        let marks: Vec<Change> = found.iter().map(|(_, document)| mark(document, gateway)).collect();
        let of_gateway = change_of_gateway(named.document, &chosen);
        let withheld = self.withheld(&annotated, found, &marks);
        if !withheld.is_empty() {
            adoption.outcome = Outcome::LeftAlone(withheld);
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

    /// The reasons why the controller would withhold Certificates of the annotated Gateway.
    fn withheld(
        &self,
        annotated: &Value,
        found: &[(&SecretName, &Document)],
        marks: &[Change],
    ) -> Vec<String> {
        let namespace = text(annotated, "/metadata/namespace");
        let Ok(gateway) = Gateway::read(GatewayKind::Istio, namespace, annotated) else { return Vec::new() };
        let marked = found
            .iter()
            .zip(marks)
            .map(|((_, document), change)| (name_of(&document.object), applied(&document.object, change)));
        let marked = Marked { files: self.files, certificates: marked.collect() };
        let result =
            check(&gateway, self.settings, &Lookups::new(&marked, self.settings.lookups), Caller::Controller);
        let of_all = violations_of_all(&result);
        let mut lines: Vec<String> = of_all.iter().map(|violation| violation.text.clone()).collect();
        for desired in desired(&result) {
            let secret = desired.certificate.secret();
            let own = desired.violations.iter().filter(|violation| !of_all.contains(violation));
            lines.extend(own.map(|violation| format!("{secret}: {}", violation.text)));
        }
        lines.into_iter().map(|line| format!("the controller would withhold Certificates: {line}")).collect()
    }
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

impl<'f> Named<'f> {
    fn new(document: &'f Document, settings: &'f Settings) -> Self {
        let object = &document.object;
        let name = name_of(object);
        let read = Gateway::read(GatewayKind::Istio, text(object, "/metadata/namespace"), object);
        let mut named =
            Named { document, name, gateway: Err(String::new()), placement: Vec::new(), secrets: Vec::new() };
        let gateway = match read {
            Ok(gateway) if gateway.metadata.name.is_empty() => Err("metadata.name is missing".to_owned()),
            other => other.map_err(|malformed| malformed.to_string()),
        };
        if let Ok(gateway) = &gateway {
            named.placement = placement(gateway, settings.gateway_namespaces.as_deref());
        }
        let bare = annotated(object, &any_issuer());
        if let Ok(bare) = Gateway::read(GatewayKind::Istio, &named.name.namespace, &bare) {
            let issuer = resolve(&bare).map(|resolution| resolution.reference);
            let plan = issuer.map(|issuer| plan(&bare, &issuer, &named.placement, &settings.plan));
            let certificates = plan.map(|plan| plan.certificates).unwrap_or_default();
            named.secrets = certificates.iter().map(Certificate::secret).collect();
        }
        named.gateway = gateway;
        named
    }

    /// The order in which Gateways get a Secret: its Certificate's owner, an annotated one, the oldest.
    fn rank(&self, writers: &[&Document]) -> impl Ord + use<> {
        let object = &self.document.object;
        let is_owner = self.gateway.as_ref().is_ok_and(|gateway| {
            let owned = |document: &&Document| {
                !matches!(origin(&document.object, gateway), Origin::HandMade | Origin::Other(_))
            };
            writers.iter().any(owned)
        });
        let is_annotated = self.gateway.as_ref().is_ok_and(Gateway::is_annotated);
        let text = |pointer| text(object, pointer).to_owned();
        (!is_owner, !is_annotated, text("/metadata/creationTimestamp"), text("/metadata/uid"))
    }
}

/// The Gateway that each Secret is adopted for; among equals the first.
fn claims(
    gateways: &[Named<'_>],
    writers: &BTreeMap<SecretName, Vec<&Document>>,
) -> BTreeMap<SecretName, SecretName> {
    let mut by_secret: BTreeMap<&SecretName, Vec<&Named<'_>>> = BTreeMap::new();
    for named in
        gateways.iter().filter(|named| named.gateway.as_ref().is_ok_and(|gateway| !gateway.metadata.deleting))
    {
        for secret in &named.secrets {
            by_secret.entry(secret).or_default().push(named);
        }
    }
    let first = |(secret, all): (&SecretName, Vec<&Named<'_>>)| {
        let writers = writers.get(secret).map(Vec::as_slice).unwrap_or_default();
        let first = all.into_iter().min_by_key(|named| named.rank(writers))?;
        Some((secret.clone(), first.name.clone()))
    };
    by_secret.into_iter().filter_map(first).collect()
}

/// Annotations with which every Secret that a Gateway names is planned, even if its hosts are not names.
fn any_issuer() -> Annotations {
    [(annotation::ISSUER, "any".to_owned()), (annotation::COMMON_NAME, "any".to_owned())].into()
}

/// A Gateway with these annotations instead of those that certificate-shim reads.
fn annotated(gateway: &Value, annotations: &Annotations) -> Value {
    let mut gateway = gateway.clone();
    let Some(metadata) = gateway.get_mut("metadata").and_then(Value::as_object_mut) else { return gateway };
    let entry = metadata.entry("annotations").or_insert_with(|| json!({}));
    if !entry.is_object() {
        *entry = json!({});
    }
    if let Some(all) = entry.as_object_mut() {
        all.retain(|key, _| !is_shim_annotation(key));
        all.extend(annotations.iter().map(|(key, value)| ((*key).to_owned(), json!(value))));
    }
    gateway
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

/// The record of the owner in a Certificate, and the mark that it was adopted.
fn mark(document: &Document, gateway: &Gateway<'_>) -> Change {
    let mut change = change("Certificate", document);
    if origin(&document.object, gateway) == Origin::Ours {
        return change;
    }
    let owner = Owner::of(gateway);
    // A manifest can be deployed to several clusters, where the Gateway has other uids.
    let keeps_uid = |key: &str| key != OWNER_UID || (!owner.uid.is_empty() && change.deployer.is_none());
    let record: Vec<(&str, &str)> = owner.record().into_iter().filter(|(key, _)| keeps_uid(key)).collect();
    for (key, value) in record.into_iter().chain([(ADOPTED, "true")]) {
        put(&mut change.annotations, key, objects::annotation(&document.object, key), Some(value));
    }
    put(&mut change.labels, OWNER_HASH, objects::label(&document.object, OWNER_HASH), Some(&owner.hash));
    change
}

fn change_of_gateway(document: &Document, chosen: &Annotations) -> Change {
    let mut change = change("Gateway", document);
    for known in annotation::TABLE.iter().filter(|known| is_shim_annotation(known.key)) {
        let today = objects::annotation(&document.object, known.key);
        put(&mut change.annotations, known.key, today, chosen.get(known.key).map(String::as_str));
    }
    change
}

fn change(kind: &'static str, document: &Document) -> Change {
    Change {
        kind,
        api_version: document.api_version().to_owned(),
        name: name_of(&document.object),
        place: place(document),
        resource_version: text(&document.object, "/metadata/resourceVersion").to_owned(),
        deployer: deployer(&document.object),
        annotations: BTreeMap::new(),
        labels: BTreeMap::new(),
    }
}

fn put(entries: &mut BTreeMap<String, Entry>, key: &str, today: Option<&str>, planned: Option<&str>) {
    if today != planned {
        let entry = Entry { today: today.map(str::to_owned), planned: planned.map(str::to_owned) };
        entries.insert(key.to_owned(), entry);
    }
}

/// Where an object is defined; empty for one of a cluster.
fn place(document: &Document) -> String {
    if document.path.as_os_str().is_empty() { String::new() } else { document.place() }
}

/// The object after a change.
fn applied(object: &Value, change: &Change) -> Value {
    let mut object = object.clone();
    for (field, entries) in [("annotations", &change.annotations), ("labels", &change.labels)] {
        let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { continue };
        let map = metadata.entry(field).or_insert_with(|| json!({}));
        let Some(map) = map.as_object_mut() else { continue };
        for (key, entry) in entries {
            match &entry.planned {
                Some(value) => map.insert(key.clone(), json!(value)),
                None => map.remove(key),
            };
        }
    }
    object
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
