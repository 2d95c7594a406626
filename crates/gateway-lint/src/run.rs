//! Evaluates one request like `kwctl run`: the same flags, the same JSON, the same exit codes.
//!
//! As in `crates/kwctl/src/command/run.rs` and `config/policy_definition.rs`, every host capability is
//! granted, context-aware resources only on demand, mutation is allowed, and the settings are validated
//! first.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use policy_host::{
    AdmissionResponse, Capabilities, Cluster, Grants, Host, HostError, Lookup, Manifests, Metadata, Replay,
};
use serde_json::Value;

use crate::{Error, Policy};

/// The request to evaluate, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The path of the request or of an AdmissionReview around it; `-` for standard input.
    pub request: PathBuf,
    /// The policy's settings; null for none.
    pub settings: Value,
    /// Whether the policy may read the kinds in its metadata.
    pub allow_context_aware: bool,
    /// Patterns of the host capabilities that the policy may use.
    pub allowed_host_capabilities: Vec<String>,
    /// The source of the answers to lookups.
    pub cluster: ClusterSource,
}

/// The source of the answers to lookups.
#[derive(Debug, Clone)]
pub enum ClusterSource {
    /// None: every lookup fails as without a kubeconfig.
    None,
    /// A recording.
    Replay(PathBuf),
    /// A folder or file of manifests.
    Manifests(PathBuf),
}

/// The response, and warnings about the evaluation.
#[derive(Debug)]
pub struct Outcome {
    /// The response, for standard output.
    pub response: AdmissionResponse,
    /// The warnings, for standard error.
    pub warnings: Vec<String>,
}

struct NoCluster;

impl Cluster for NoCluster {
    fn answer(&self, _lookup: &Lookup) -> Result<String, HostError> {
        Err(HostError::callback("kube::Client was not initialized properly"))
    }
}

/// Evaluates one request.
///
/// # Errors
/// Everything for which `kwctl run` exits with code 1: [`Error::File`] for a request that cannot be read,
/// [`Error::Settings`] for invalid settings, and [`Error::Host`] for everything else. A rejection is a
/// response.
pub fn run(policy: Policy, options: &Options) -> Result<Outcome, Error> {
    let request = read_request(&options.request)?;
    let mut warnings = Vec::new();
    let resources = match &policy.metadata {
        Some(metadata) if options.allow_context_aware => metadata.context_aware_resources.clone(),
        Some(metadata) if !metadata.context_aware_resources.is_empty() => {
            let kinds: Vec<String> = metadata
                .context_aware_resources
                .iter()
                .map(|resource| format!("{}/{}", resource.api_version, resource.kind))
                .collect();
            warnings
                .push(format!("the policy needs access to {}: pass --allow-context-aware", kinds.join(", ")));
            Default::default()
        }
        Some(_) => Default::default(),
        None => {
            warnings.push(
                "no metadata.yml next to the policy, so it may not read anything from the cluster".to_owned(),
            );
            Default::default()
        }
    };
    let capabilities = Capabilities::new(&options.allowed_host_capabilities)?;
    let replay = match &options.cluster {
        ClusterSource::Replay(path) => Some(Arc::new(Replay::load(path)?)),
        _ => None,
    };
    let cluster: Arc<dyn Cluster> = match (&replay, &options.cluster) {
        (Some(replay), _) => replay.clone(),
        (None, ClusterSource::Manifests(path)) => Arc::new(Manifests::load([path])?),
        (None, _) => Arc::new(NoCluster),
    };
    let metadata = policy.metadata.map_or_else(unannotated, Ok)?;
    let host = Host::for_policy(policy.module, &metadata, cluster)?
        .grants(Grants { capabilities, resources })
        .mutating(true);
    let settings = host.validate_settings(&options.settings)?;
    if !settings.valid {
        return Err(Error::Settings(settings.message.unwrap_or_default()));
    }
    let response = host.validate(&request, &options.settings)?.response;
    let leftovers = replay.map(|replay| replay.leftovers()).unwrap_or_default();
    if !leftovers.is_empty() {
        warnings.push(format!("the policy did not make these recorded lookups: {leftovers:?}"));
    }
    Ok(Outcome { response, warnings })
}

/// The metadata of a module without any: a waPC policy for Kubernetes requests.
fn unannotated() -> Result<Metadata, Error> {
    Ok(Metadata::from_yaml("{rules: [], mutating: true}")?)
}

fn read_request(path: &Path) -> Result<Value, Error> {
    let fail = |reason: String| Error::File { path: path.display().to_string(), reason };
    let mut text = String::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().lock().read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text))
    };
    read.map_err(|error| fail(format!("cannot be read: {error}")))?;
    serde_json::from_str(&text).map_err(|error| fail(format!("not JSON: {error}")))
}
