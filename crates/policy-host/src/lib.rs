//! Runs a Kubewarden policy (`executionMode: kubewarden-wapc`) locally and in tests, with the same responses
//! as policy-server and kwctl.
//!
//! [`Module`] is the compiled policy. [`Metadata`] is its metadata.yml, which contains the grants that it
//! needs. [`Host`] evaluates each request on a new instance. A [`Cluster`] answers the policy's lookups:
//! [`Manifests`] (objects in YAML and JSON files, and faults from fixtures) or [`Replay`] (a recording in
//! kwctl's format).
//!
//! ```no_run
//! use policy_host::{Host, Manifests, Metadata, Module};
//! use serde_json::json;
//! # fn main() -> Result<(), policy_host::Error> {
//! let module = Module::load("policy.wasm")?;
//! let metadata = Metadata::load("metadata.yml")?;
//! let host = Host::for_policy(module, &metadata, Manifests::load(["manifests/"])?)?;
//! let request = json!({"uid": "1", "operation": "CREATE", "object": {}, "userInfo": {},
//!     "kind": {"group": "", "version": "v1", "kind": "Pod"},
//!     "resource": {"group": "", "version": "v1", "resource": "pods"}});
//! let evaluation = host.validate(&request, &json!({}))?;
//! println!("{}", evaluation.response.allowed);
//! # Ok(())
//! # }
//! ```
//!
//! The behaviour follows the sources of the real host: `crates/policy-evaluator`, `crates/policy-server` and
//! `crates/kwctl` of <https://github.com/kubewarden/kubewarden-controller> at 1.36. Each item names its file.

mod callback;
mod capabilities;
mod cluster;
pub use manifests as documents;
mod error;
#[cfg(feature = "fuel")]
pub mod fuel;
mod host;
mod lookup;
mod metadata;
mod module;
mod request;
mod response;

pub use capabilities::{Capabilities, ContextAwareResource, Grants};
pub use cluster::{Cluster, HostError, Manifests, Replay, Tail};
pub use error::Error;
pub use host::{Evaluation, Host, SettingsValidationResponse};
pub use lookup::{
    KubernetesCanI, KubernetesGetResource, KubernetesListResourceAll, KubernetesListResourceNamespace,
    Lookup, ResourceAttributes, SubjectAccessReview,
};
pub use metadata::{ExecutionMode, Metadata, Operation, PolicyType, Rule};
pub use module::Module;
pub use response::{AdmissionResponse, AdmissionResponseStatus, PatchType};
