//! `gateway-certificates render`: the Certificates that would be made of the Gateways in manifests.
//!
//! The files are the cluster. What only a cluster knows is taken as follows: an issuer that is not in
//! the files may be there, one without status is Ready, and of two Gateways that claim one Secret the
//! one that stands first in the files is the older one. Secrets are not looked at.

mod files;
mod yaml;

use std::collections::BTreeMap;
use std::path::PathBuf;

use certificate_shim::Gateway;
use certificate_shim::gateway::GatewayKind;
use certificate_shim::plan::SecretName;
use gateway_rules::certificates::{Owner, owner};
use gateway_rules::finding::{Finding, Level};
use gateway_rules::lookup::Lookups;
use gateway_rules::rules::{Asker, issuer_not_found};
use gateway_rules::text::one_line;
use gateway_rules::{Judgement, Settings, judge};
use manifests::{Document, ReadErrors};
use serde_json::Value;

use crate::decide::foreign;
use crate::wanted::{Refusal, refusals_of_all, refusals_of_unplanned, wanted};
use files::Files;

/// Why nothing can be told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Files that cannot be read or parsed: one line each.
    #[error(transparent)]
    Files(#[from] ReadErrors),
    /// There is nothing to look at, which is rather a wrong path than a clean folder.
    #[error("no YAML or JSON file with Kubernetes objects in {0}")]
    Nothing(String),
}

/// What the manifests come to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rendering {
    /// The Certificates as YAML documents, in the order of the Gateways in the files.
    pub certificates: String,
    /// Why a Gateway does not get all its Certificates, one line each, in the same order.
    pub refusals: Vec<String>,
    /// What is odd about the files, and what is taken for granted, one line each.
    pub notes: Vec<String>,
}

/// Renders the Certificates of the annotated Istio Gateways in files and folders; `-` is standard
/// input. `namespace` is that of objects that name none.
///
/// # Errors
/// Everything that keeps the files from being read. A refusal is a result.
pub fn render(paths: &[PathBuf], settings: &Settings, namespace: &str) -> Result<Rendering, Error> {
    let documents = manifests::read(paths)?;
    if documents.is_empty() {
        let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        return Err(Error::Nothing(paths.join(", ")));
    }
    let mut settings = settings.clone();
    settings.levels.entry(issuer_not_found::RULE.id).or_insert(Level::Warn);
    let files = Files::new(documents, &settings, namespace);
    let mut renderer = Renderer::new(&settings, &files);
    files.gateways().for_each(|document| renderer.gateway(document));
    Ok(renderer.finish())
}

struct Renderer<'f> {
    settings: &'f Settings,
    files: &'f Files<'f>,
    rendering: Rendering,
    /// How many annotated Gateways there were.
    seen: usize,
    /// Who gets each Secret.
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
                let what = format!("the Gateway cannot be read ({malformed})");
                self.refuse(&name, document, &Refusal::new("unreadable", what, "Correct it.").text);
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
            let what = "metadata.name: it is empty, and a Certificate has to say whom it belongs to";
            self.refuse(&name, document, &Refusal::new("unreadable", what, "Name it.").text);
            return;
        }
        let judgement = judge(&gateway, self.settings, &Lookups::new(self.files, false), Asker::Controller);
        self.note_missing_issuers(&judgement);
        self.certificates(&name, document, &gateway, &judgement);
    }

    fn certificates(
        &mut self,
        name: &str,
        document: &Document,
        gateway: &Gateway<'_>,
        judgement: &Judgement,
    ) {
        let of_all = refusals_of_all(judgement);
        for refusal in &of_all {
            self.refuse(name, document, &refusal.text);
        }
        for wanted in wanted(judgement) {
            let secret = wanted.certificate.secret();
            let own = wanted.refusals.iter().filter(|refusal| !of_all.contains(refusal));
            for refusal in own {
                self.refuse(name, document, &format!("{secret}: {}", refusal.text));
            }
            if !wanted.refusals.is_empty() {
                continue;
            }
            if let Some(refusal) = self.hindrance(&secret, gateway) {
                self.refuse(name, document, &format!("{secret}: {}", refusal.text));
                continue;
            }
            self.claims.insert(secret, name.to_owned());
            let source = format!("Gateway {name} ({})", document.place());
            self.rendering.certificates.push_str(&yaml::document(wanted.certificate, &source));
        }
        for (secret, refusal) in refusals_of_unplanned(judgement) {
            self.refuse(name, document, &format!("{secret}: {}", refusal.text));
        }
    }

    /// Why a Secret is not to be had, whatever the settings make of the rules.
    fn hindrance(&self, secret: &SecretName, gateway: &Gateway<'_>) -> Option<Refusal> {
        let certificate = self.files.certificate(secret);
        if certificate.is_some_and(|certificate| owner(certificate, gateway) != Owner::ThisGateway) {
            return Some(foreign(secret, "it is not this Gateway's"));
        }
        if let Some(other) = self.files.other_writer(secret) {
            return Some(foreign(secret, &format!("the Certificate {other} writes that Secret")));
        }
        let first = self.claims.get(secret)?;
        let what = format!("the Gateway {first} stands first in the files and names the Secret, too");
        Some(Refusal::new("claimed", what, "Name another Secret."))
    }

    fn refuse(&mut self, name: &str, document: &Document, why: &str) {
        self.rendering.refusals.push(one_line(&format!("{name} ({}): {why}", document.place())));
    }

    fn note_missing_issuers(&mut self, judgement: &Judgement) {
        let missing =
            |finding: &&Finding| finding.rule == issuer_not_found::RULE.id && finding.level == Level::Warn;
        for finding in judgement.findings.iter().filter(missing) {
            let note = format!(
                "{} is not in the files: it is in the cluster, or its name is wrong. Where it solves by HTTP-01, the controller asks for a temporary certificate, too.",
                finding.subject
            );
            if !self.rendering.notes.contains(&note) {
                self.rendering.notes.push(note);
            }
        }
    }

    fn finish(mut self) -> Rendering {
        if self.seen == 0 {
            self.rendering.notes.push("there is no annotated Istio Gateway in the files".to_owned());
        }
        self.rendering
    }
}
