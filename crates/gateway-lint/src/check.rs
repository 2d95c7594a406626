//! Checks every Gateway in a set of files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use gateway_rules::Settings;
use gateway_rules::settings::{IssuerKind, Scope};
use policy_host::documents::{self, Document};
use policy_host::{AdmissionResponse, ContextAwareResource, Host, Manifests, Metadata};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::admission::{create, is_checked, namespace_of, set_defaults};
use crate::settings::for_manifests;
use crate::{Error, Policy};

/// Options of a check.
#[derive(Debug, Clone)]
pub struct Options {
    /// The policy's settings; null for none.
    pub settings: Value,
    /// The namespace of objects that do not specify one.
    pub namespace: String,
    /// Whether a Gateway is rejected if its issuer is not in the files, or has no status.
    pub strict: bool,
}

/// The results of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// One result per Gateway, in the order of the files.
    pub results: Vec<GatewayResult>,
    /// The number of Gateways by result.
    pub summary: Summary,
    /// Remarks about the files.
    pub notes: Vec<String>,
}

/// The module's response for one Gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayResult {
    /// The path of the file; `-` for standard input.
    pub file: String,
    /// The number of the document in the file, from 1.
    pub document: usize,
    /// The number of the item in a list, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<usize>,
    /// The Gateway's apiVersion.
    pub api_version: String,
    /// The Gateway's kind.
    pub kind: String,
    /// The namespace that the Gateway is created in.
    pub namespace: String,
    /// The Gateway's name; with generateName the prefix and `*`.
    pub name: String,
    /// Whether the Gateway would be accepted.
    pub allowed: bool,
    /// The HTTP status code of a rejection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// The message of a rejection: one line per finding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The rules' findings.
    pub findings: Vec<Finding>,
    /// The warnings that the API client would see.
    pub warnings: Vec<String>,
    /// The issuer that the Gateway uses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The Secrets that certificates would be written to, in the module's format.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secrets: Option<String>,
    /// The changes that the policy makes, as an RFC 6902 patch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch: Option<Value>,
}

/// A finding, in the format of the policy's audit annotation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The rule's id.
    pub rule: String,
    /// `reject` or `warn`.
    pub level: String,
    /// The path in the object.
    pub path: String,
}

/// The number of Gateways by result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// All Gateways.
    pub gateways: usize,
    /// Gateways that would be accepted.
    pub accepted: usize,
    /// Accepted Gateways with warnings.
    pub warned: usize,
    /// Accepted Gateways that the policy changes.
    pub mutated: usize,
    /// Gateways that would be rejected.
    pub rejected: usize,
}

/// Checks every Gateway in the files; `-` is standard input.
///
/// # Errors
/// [`Error::Documents`] and [`Error::Nothing`] for the files, [`Error::Settings`] for the settings,
/// [`Error::File`] and [`Error::Host`] for the policy. A rejected Gateway is not an error.
pub fn check(policy: Policy, paths: &[PathBuf], options: &Options) -> Result<Report, Error> {
    let documents = documents::read(paths)?;
    if documents.is_empty() {
        let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        return Err(Error::Nothing(paths.join(", ")));
    }
    check_documents(policy, &documents, options)
}

/// Checks every Gateway among objects that are already read.
///
/// # Errors
/// [`Error::Settings`] for the settings, [`Error::File`] and [`Error::Host`] for the policy.
pub fn check_documents(policy: Policy, documents: &[Document], options: &Options) -> Result<Report, Error> {
    let metadata = policy.metadata.ok_or_else(|| Error::File {
        path: "metadata.yml".to_owned(),
        reason: "not found next to the module".to_owned(),
    })?;
    // The policy itself reports invalid settings, since another policy can have other settings.
    let kinds = Settings::read(&options.settings).map(|settings| settings.issuer_kinds).unwrap_or_default();
    let cluster = cluster(documents, &kinds, options)?;
    let notes = duplicates(&metadata, documents, &cluster, &options.namespace);
    let mut grants = metadata.grants()?;
    grants.resources.extend(
        kinds.iter().map(|kind| ContextAwareResource {
            api_version: kind.api_version.clone(),
            kind: kind.kind.clone(),
        }),
    );
    let host = Host::for_policy(policy.module, &metadata, cluster)?.grants(grants);
    let validation = host.validate_settings(&options.settings)?;
    if !validation.valid {
        return Err(Error::Settings(validation.message.unwrap_or_default()));
    }
    let settings = for_manifests(&options.settings, options.strict);
    let mut results = Vec::new();
    for document in documents.iter().filter(|document| is_checked(&metadata, document)) {
        let evaluation = host.validate(&create(document, &options.namespace), &settings)?;
        results.push(result(document, &options.namespace, evaluation.response));
    }
    let summary = Summary::of(&results);
    Ok(Report { results, summary, notes })
}

fn cluster(documents: &[Document], kinds: &[IssuerKind], options: &Options) -> Result<Manifests, Error> {
    // The kinds of external issuers are served even if their definitions are not in the files.
    let mut cluster: Vec<Document> = kinds.iter().map(definition).collect();
    cluster.extend(documents.iter().cloned());
    cluster.iter_mut().for_each(|document| set_defaults(&mut document.object));
    if !options.strict {
        for document in cluster.iter_mut().filter(|document| {
            let kind = (document.api_version(), document.kind());
            matches!(kind, ("cert-manager.io/v1", "Issuer" | "ClusterIssuer"))
                || kinds.iter().any(|known| (known.api_version.as_str(), known.kind.as_str()) == kind)
        }) {
            documents::assume_ready(&mut document.object);
        }
    }
    Ok(Manifests::from_documents(&cluster, &options.namespace)?)
}

fn definition(kind: &IssuerKind) -> Document {
    let version = kind.api_version.rsplit('/').next().unwrap_or_default();
    let plural = format!("{}s", kind.kind.to_lowercase());
    let object = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{}", kind.group)},
        "spec": {
            "group": kind.group,
            "scope": if kind.scope == Scope::Cluster { "Cluster" } else { "Namespaced" },
            "names": {"kind": kind.kind, "plural": plural},
            "versions": [{"name": version, "served": true}],
        },
    });
    Document { path: "issuer_kinds".into(), number: 1, item: None, object }
}

fn result(document: &Document, namespace: &str, response: AdmissionResponse) -> GatewayResult {
    let text = |pointer: &str| document.object.pointer(pointer).and_then(Value::as_str);
    let name = match (text("/metadata/name"), text("/metadata/generateName")) {
        (Some(name), _) => name.to_owned(),
        (None, Some(prefix)) => format!("{prefix}*"),
        (None, None) => String::new(),
    };
    let annotation =
        |key: &str| response.audit_annotations.as_ref().and_then(|annotations| annotations.get(key));
    GatewayResult {
        file: document.path.display().to_string(),
        document: document.number,
        item: document.item,
        api_version: document.api_version().to_owned(),
        kind: document.kind().to_owned(),
        namespace: namespace_of(document, namespace),
        name,
        allowed: response.allowed,
        code: response.code(),
        message: response.status.as_ref().and_then(|status| status.message.clone()),
        findings: annotation("findings").and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default(),
        issuer: annotation("issuer").cloned(),
        secrets: annotation("secrets").cloned(),
        patch: response.patch().map(|patch| json!(patch)),
        warnings: response.warnings.unwrap_or_default(),
    }
}

impl Summary {
    fn of(results: &[GatewayResult]) -> Self {
        let count = |fits: fn(&GatewayResult) -> bool| results.iter().filter(|result| fits(result)).count();
        Self {
            gateways: results.len(),
            accepted: count(|result| result.allowed),
            warned: count(|result| result.allowed && !result.warnings.is_empty()),
            mutated: count(|result| result.allowed && result.patch.is_some()),
            rejected: count(|result| !result.allowed),
        }
    }
}

/// Notes about objects that are defined more than once with different content. Each Gateway is checked on its
/// own. A lookup returns the last definition, as when all are applied.
fn duplicates(
    metadata: &Metadata,
    documents: &[Document],
    cluster: &Manifests,
    default_namespace: &str,
) -> Vec<String> {
    let mut seen: BTreeMap<[String; 3], Vec<&Document>> = BTreeMap::new();
    for document in documents {
        let looked_up =
            metadata.context_aware_resources.iter().any(|resource| resource.kind == document.kind());
        let Some(name) = document.object.pointer("/metadata/name").and_then(Value::as_str) else { continue };
        if !looked_up && !is_checked(metadata, document) {
            continue;
        }
        let group = document.api_version().split_once('/').map_or("", |(group, _)| group);
        let is_namespaced = cluster.is_namespaced(document.api_version(), document.kind());
        let name = match is_namespaced {
            true => format!("{}/{name}", namespace_of(document, default_namespace)),
            false => name.to_owned(),
        };
        let key = [group.to_owned(), document.kind().to_owned(), name];
        seen.entry(key).or_default().push(document);
    }
    let differ = |found: &[&Document]| found.iter().any(|document| document.object != found[0].object);
    let note = |(key, found): (&[String; 3], &Vec<&Document>)| {
        let [_, kind, name] = key;
        let places: BTreeSet<String> = found.iter().map(|document| document.place()).collect();
        let places: Vec<String> = places.into_iter().collect();
        let last = found.last().map(|document| document.place()).unwrap_or_default();
        format!(
            "{kind} {name} is defined {} times with different content: {}. Lookups use the last one ({last}).",
            found.len(),
            places.join("; "),
        )
    };
    seen.iter().filter(|(_, found)| differ(found)).map(note).collect()
}
