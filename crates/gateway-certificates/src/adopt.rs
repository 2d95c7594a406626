//! `gateway-certificates adopt`: hands existing Certificates over to the controller.
//!
//! For each Istio Gateway it finds the Certificates that write the Secrets of its servers, derives the
//! annotations that make the same Certificates, and compares the plan of the annotated Gateway with them.
//! The objects come from files or a cluster. Read it in this order:
//!
//! * [`objects`]: the owners of existing objects, and the tools that deploy them;
//! * [`gateways`]: the Secrets that Gateways name, and the Gateway that gets each;
//! * [`annotations`]: the annotations that make a Certificate;
//! * [`compare`]: the fields that would change;
//! * [`change`]: the labels and annotations to write;
//! * [`mod@decide`]: the decision about each Gateway;
//! * [`report`]: the output;
//! * [`cluster`]: reading from and writing to a cluster.

pub mod annotations;
pub mod change;
pub mod cluster;
pub mod compare;
pub mod decide;
pub mod gateways;
pub mod objects;
pub mod report;

use std::path::PathBuf;

use certificate_shim::plan::SecretName;
use gateway_rules::Settings;
use kube::Client;

use crate::render::{self, files::Files};
use change::Change;
use compare::Comparison;
use decide::adoptions;
use objects::Origin;

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
