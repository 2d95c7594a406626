//! `gateway-certificates render`: the Certificates of the Gateways in manifests.
//!
//! The files are the cluster. Some facts are only known in a cluster, so these are assumed: an issuer
//! that is not in the files can exist, an issuer without a status is Ready, and if two Gateways claim one
//! Secret, the first one in the files is older. Secrets are not read.

pub mod files;
mod yaml;

use std::collections::BTreeMap;
use std::path::PathBuf;

use certificate_shim::Gateway;
use certificate_shim::gateway::GatewayKind;
use certificate_shim::plan::SecretName;
use gateway_rules::finding::{Finding, Level};
use gateway_rules::lookup::Lookups;
use gateway_rules::ownership::{Owner, owner};
use gateway_rules::rule::Caller;
use gateway_rules::rules::issuer_not_found;
use gateway_rules::text::one_line;
use gateway_rules::{CheckResult, Settings, check};
use manifests::{Document, ReadErrors};
use serde_json::Value;

use crate::decide::foreign;
use crate::desired::{Violation, desired, violations_of_all, violations_of_unplanned};
use files::Files;

/// The reason why nothing can be rendered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Files cannot be read or parsed: one line each.
    #[error(transparent)]
    Files(#[from] ReadErrors),
    /// There are no objects: most likely a wrong path.
    #[error("no YAML or JSON file with Kubernetes objects in {0}: check the path")]
    Nothing(String),
}

/// The result for the manifests.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rendering {
    /// The Certificates as YAML documents, in the order of the Gateways in the files.
    pub certificates: String,
    /// The reasons why a Gateway does not get all of its Certificates, one line each, in the same order.
    pub violations: Vec<String>,
    /// Remarks about the files and assumptions, one line each.
    pub notes: Vec<String>,
}

/// Renders the Certificates of the annotated Istio Gateways in files and folders; `-` is standard
/// input. Objects that do not specify a namespace are in `namespace`.
///
/// # Errors
/// [`Error::Files`] if files cannot be read or parsed, and [`Error::Nothing`] if they contain no objects.
/// A rejection is not an error.
pub fn render(paths: &[PathBuf], settings: &Settings, namespace: &str) -> Result<Rendering, Error> {
    let documents = documents(paths)?;
    let settings = settings_for_files(settings);
    let files = Files::new(documents, &settings, namespace);
    let mut renderer = Renderer::new(&settings, &files);
    files.gateways().for_each(|document| renderer.gateway(document));
    Ok(renderer.finish())
}

/// The objects in files and folders; `-` is standard input.
///
/// # Errors
/// As [`render`].
pub fn documents(paths: &[PathBuf]) -> Result<Vec<Document>, Error> {
    let documents = manifests::read(paths)?;
    if documents.is_empty() {
        let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        return Err(Error::Nothing(paths.join(", ")));
    }
    Ok(documents)
}

/// The settings for files: an issuer that is not in them can be in the cluster.
pub fn settings_for_files(settings: &Settings) -> Settings {
    let mut settings = settings.clone();
    settings.levels.entry(issuer_not_found::RULE.id.to_owned()).or_insert(Level::Warn);
    settings
}

struct Renderer<'f> {
    settings: &'f Settings,
    files: &'f Files<'f>,
    rendering: Rendering,
    /// The number of annotated Gateways.
    seen: usize,
    /// The Gateway that gets each Secret.
    claims: BTreeMap<SecretName, String>,
}

impl<'f> Renderer<'f> {
    fn new(settings: &'f Settings, files: &'f Files<'f>) -> Self {
        let rendering = Rendering { notes: files.notes(), ..Rendering::default() };
        Renderer { settings, files, rendering, seen: 0, claims: BTreeMap::new() }
    }

    fn gateway(&mut self, document: &Document) {
        let text = |pointer| document.object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let namespace = text("/metadata/namespace");
        let gateway = match Gateway::read(GatewayKind::Istio, namespace, &document.object) {
            Ok(gateway) => gateway,
            Err(malformed) => {
                self.seen += 1;
                let name = format!("{namespace}/{}", text("/metadata/name"));
                let problem = format!("the Gateway cannot be read ({malformed})");
                self.refuse(
                    &name,
                    document,
                    &Violation::new("unreadable", problem, "Correct that field.").text,
                );
                return;
            }
        };
        if !gateway.is_annotated() || gateway.metadata.deleting {
            return;
        }
        self.seen += 1;
        let name = format!("{namespace}/{}", gateway.metadata.name);
        if gateway.metadata.name.is_empty() {
            let name = format!("{namespace}/{}*", text("/metadata/generateName"));
            let problem = "metadata.name: the name is missing, but it identifies the owner of Certificates";
            self.refuse(&name, document, &Violation::new("unreadable", problem, "Set metadata.name.").text);
            return;
        }
        let result = check(
            &gateway,
            self.settings,
            &Lookups::new(self.files, self.settings.lookups),
            Caller::Controller,
        );
        self.note_missing_issuers(&result);
        self.certificates(&name, document, &gateway, &result);
    }

    fn certificates(&mut self, name: &str, document: &Document, gateway: &Gateway<'_>, result: &CheckResult) {
        let of_all = violations_of_all(result);
        for violation in &of_all {
            self.refuse(name, document, &violation.text);
        }
        for desired in desired(result) {
            let secret = desired.certificate.secret();
            let own = desired.violations.iter().filter(|violation| !of_all.contains(violation));
            for violation in own {
                self.refuse(name, document, &format!("{secret}: {}", violation.text));
            }
            if !desired.violations.is_empty() {
                continue;
            }
            if let Some(violation) = self.blocker(&secret, gateway) {
                self.refuse(name, document, &format!("{secret}: {}", violation.text));
                continue;
            }
            self.claims.insert(secret, name.to_owned());
            let source = format!("Gateway {name} ({})", document.place());
            self.rendering.certificates.push_str(&yaml::document(desired.certificate, &source));
        }
        for (secret, violation) in violations_of_unplanned(result) {
            self.refuse(name, document, &format!("{secret}: {}", violation.text));
        }
    }

    /// The reason why a Gateway cannot have a Secret, independent of the levels of rules.
    fn blocker(&self, secret: &SecretName, gateway: &Gateway<'_>) -> Option<Violation> {
        let certificate = self.files.certificate(secret);
        if certificate.is_some_and(|certificate| owner(certificate, gateway) != Owner::ThisGateway) {
            return Some(foreign(format!("the Certificate {secret} belongs to another owner")));
        }
        if let Some(other) = self.files.other_writer(secret) {
            return Some(foreign(format!("the Certificate {other} writes the Secret {secret}")));
        }
        let first = self.claims.get(secret)?;
        let problem = format!("the Gateway {first}, which comes first in the files, also names the Secret");
        Some(Violation::new("claimed", problem, "Use another Secret."))
    }

    fn refuse(&mut self, name: &str, document: &Document, why: &str) {
        self.rendering.violations.push(one_line(&format!("{name} ({}): {why}", document.place())));
    }

    fn note_missing_issuers(&mut self, result: &CheckResult) {
        let missing =
            |finding: &&Finding| finding.rule == issuer_not_found::RULE.id && finding.level == Level::Warn;
        for finding in result.findings.iter().filter(missing) {
            let note = format!(
                "{} is not in the files. If it is not in the cluster either, correct its name. If it solves HTTP-01 challenges, the controller also requests a temporary certificate.",
                finding.subject
            );
            if !self.rendering.notes.contains(&note) {
                self.rendering.notes.push(note);
            }
        }
    }

    fn finish(mut self) -> Rendering {
        if self.seen == 0 {
            self.rendering.notes.push("the files contain no annotated Istio Gateway".to_owned());
        }
        self.rendering
    }
}
