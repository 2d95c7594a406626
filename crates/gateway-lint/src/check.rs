//! Judging every Gateway in a set of files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use policy_host::documents::{self, Document};
use policy_host::{AdmissionResponse, Host, Manifests, Metadata};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::admission::{create, is_judged, namespace_of, set_defaults};
use crate::settings::{for_manifests, issuer_kinds};
use crate::{Error, Policy};

/// How to judge.
#[derive(Debug, Clone)]
pub struct Options {
    /// The policy's settings; null for none.
    pub settings: Value,
    /// Where objects without a namespace go.
    pub namespace: String,
    /// Whether what manifests cannot tell refuses: issuers that are not in them, and issuers without a status.
    pub strict: bool,
}

/// The verdicts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// One for each Gateway, in the order of the files.
    pub results: Vec<Verdict>,
    /// How many there are of each.
    pub summary: Summary,
    /// What is odd about the files.
    pub notes: Vec<String>,
}

/// The module's answer for one Gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// The file; `-` for standard input.
    pub file: String,
    /// Which document of the file, from 1.
    pub document: usize,
    /// Which item of a list, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<usize>,
    /// The Gateway's apiVersion.
    pub api_version: String,
    /// The Gateway's kind.
    pub kind: String,
    /// The namespace that it is created in.
    pub namespace: String,
    /// Its name; with generateName the prefix and `*`.
    pub name: String,
    /// Whether it would be admitted.
    pub allowed: bool,
    /// The code of a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// Why it is refused: one line a finding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What the rules found.
    pub findings: Vec<Finding>,
    /// What whoever applies it would be told.
    pub warnings: Vec<String>,
    /// The issuer that it uses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The Secrets that certificates would be written to, as the module lists them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secrets: Option<String>,
    /// What the policy changes, as an RFC 6902 patch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch: Option<Value>,
}

/// A finding as the policy's audit annotation has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The rule's id.
    pub rule: String,
    /// `reject` or `warn`.
    pub level: String,
    /// Where in the object.
    pub path: String,
}

/// How many Gateways there are of each verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// All of them.
    pub gateways: usize,
    /// Those that would be admitted.
    pub accepted: usize,
    /// Those of the accepted that have warnings.
    pub warned: usize,
    /// Those of the accepted that the policy changes.
    pub mutated: usize,
    /// Those that would not be admitted.
    pub refused: usize,
}

/// Judges every Gateway in the files; `-` is standard input.
///
/// # Errors
/// Everything that keeps a verdict from being reached. A refusal is a verdict.
pub fn check(policy: Policy, paths: &[PathBuf], options: &Options) -> Result<Report, Error> {
    let documents = documents::read(paths)?;
    if documents.is_empty() {
        let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        return Err(Error::Nothing(paths.join(", ")));
    }
    judge(policy, &documents, options)
}

/// Judges every Gateway among objects that were read before.
///
/// # Errors
/// As [`check()`].
pub fn judge(policy: Policy, documents: &[Document], options: &Options) -> Result<Report, Error> {
    let metadata = policy.metadata.ok_or_else(|| Error::File {
        path: "metadata.yml".to_owned(),
        reason: "has to lie beside the policy's module".to_owned(),
    })?;
    let host = host(policy.module, &metadata, documents, options)?;
    let answer = host.validate_settings(&options.settings)?;
    if !answer.valid {
        return Err(Error::Settings(answer.message.unwrap_or_default()));
    }
    let settings = for_manifests(&options.settings, options.strict);
    let mut results = Vec::new();
    for document in documents.iter().filter(|document| is_judged(&metadata, document)) {
        let evaluation = host.validate(&create(document, &options.namespace), &settings)?;
        results.push(verdict(document, &options.namespace, evaluation.response));
    }
    let summary = Summary::of(&results);
    Ok(Report { results, summary, notes: duplicates(&metadata, documents, &options.namespace) })
}

fn host(
    module: policy_host::Module,
    metadata: &Metadata,
    documents: &[Document],
    options: &Options,
) -> Result<Host, Error> {
    let kinds = issuer_kinds(&options.settings);
    let mut grants = metadata.grants()?;
    grants.resources.extend(kinds.iter().map(|kind| kind.resource.clone()));
    // Kinds of other issuers are served even where their definitions are not in the files.
    let mut cluster: Vec<Document> = kinds.iter().map(definition).collect();
    cluster.extend(documents.iter().cloned());
    cluster.iter_mut().for_each(|document| set_defaults(&mut document.object));
    if !options.strict {
        for document in cluster.iter_mut().filter(|document| {
            let kind = (document.api_version(), document.kind());
            matches!(kind, ("cert-manager.io/v1", "Issuer" | "ClusterIssuer"))
                || kinds
                    .iter()
                    .any(|known| (known.resource.api_version.as_str(), known.resource.kind.as_str()) == kind)
        }) {
            documents::assume_ready(&mut document.object);
        }
    }
    let cluster = Manifests::from_documents(&cluster, &options.namespace)?;
    Ok(Host::for_policy(module, metadata, cluster)?.grants(grants))
}

fn definition(kind: &crate::settings::IssuerKind) -> Document {
    let (group, version) =
        kind.resource.api_version.split_once('/').unwrap_or(("", &kind.resource.api_version));
    let plural = format!("{}s", kind.resource.kind.to_lowercase());
    let object = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group,
            "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
            "names": {"kind": kind.resource.kind, "plural": plural},
            "versions": [{"name": version, "served": true}],
        },
    });
    Document { path: "issuer_kinds".into(), number: 1, item: None, object }
}

fn verdict(document: &Document, namespace: &str, response: AdmissionResponse) -> Verdict {
    let text = |pointer: &str| document.object.pointer(pointer).and_then(Value::as_str);
    let name = match (text("/metadata/name"), text("/metadata/generateName")) {
        (Some(name), _) => name.to_owned(),
        (None, Some(prefix)) => format!("{prefix}*"),
        (None, None) => String::new(),
    };
    let annotation =
        |key: &str| response.audit_annotations.as_ref().and_then(|annotations| annotations.get(key));
    Verdict {
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
    fn of(results: &[Verdict]) -> Self {
        let count = |fits: fn(&Verdict) -> bool| results.iter().filter(|result| fits(result)).count();
        Self {
            gateways: results.len(),
            accepted: count(|result| result.allowed),
            warned: count(|result| result.allowed && !result.warnings.is_empty()),
            mutated: count(|result| result.allowed && result.patch.is_some()),
            refused: count(|result| !result.allowed),
        }
    }
}

/// Objects that stand in the files more than once, with different content. Each Gateway is judged for itself; of what is
/// looked up the later one counts, as when both are applied.
fn duplicates(metadata: &Metadata, documents: &[Document], namespace: &str) -> Vec<String> {
    let mut seen: BTreeMap<[String; 4], Vec<&Document>> = BTreeMap::new();
    for document in documents {
        let looked_up =
            metadata.context_aware_resources.iter().any(|resource| resource.kind == document.kind());
        let Some(name) = document.object.pointer("/metadata/name").and_then(Value::as_str) else { continue };
        if !looked_up && !is_judged(metadata, document) {
            continue;
        }
        let group = document.api_version().split_once('/').map_or("", |(group, _)| group);
        let key = [group, document.kind(), &namespace_of(document, namespace), name].map(str::to_owned);
        seen.entry(key).or_default().push(document);
    }
    let differ = |found: &&Vec<&Document>| found.iter().any(|document| document.object != found[0].object);
    let note = |found: &Vec<&Document>| {
        let places: BTreeSet<String> = found.iter().map(|document| document.place()).collect();
        let places: Vec<String> = places.into_iter().collect();
        let name = found[0].object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        let last = found.last().map(|document| document.place()).unwrap_or_default();
        format!(
            "{} {}/{name} stands in the files {} times, differently: {}. Where it is looked up, the one in {last} counts.",
            found[0].kind(),
            namespace_of(found[0], namespace),
            found.len(),
            places.join("; "),
        )
    };
    seen.values().filter(|found| found.len() > 1).filter(differ).map(note).collect()
}
