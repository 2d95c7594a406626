//! Runs a Kubewarden policy (`executionMode: kubewarden-wapc`) on a desk and in tests, with the answers of
//! policy-server and kwctl.
//!
//! [`Module`] is the compiled policy, [`Metadata`] what its metadata.yml grants it, [`Host`] evaluates requests on a
//! fresh instance each. What the policy looks up is answered by a [`Cluster`]: [`Manifests`] (objects in YAML and
//! JSON files, and faults that a fixture asks for) or [`Replay`] (a recording in kwctl's format).
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
//! The rules come from the real host's sources, `crates/policy-evaluator`, `crates/policy-server` and `crates/kwctl` of
//! <https://github.com/kubewarden/kubewarden-controller> at 1.36; each item names its file.

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
