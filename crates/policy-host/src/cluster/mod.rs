//! Clusters: what answers a policy's lookups.

mod access;
mod api_error;
mod faults;
mod field_mask;
mod fixtures;
mod kinds;
mod manifests;
mod replay;
mod route;
mod selector;

use std::sync::Arc;

use serde::Deserialize;

use crate::Lookup;

pub use manifests::Manifests;
pub use replay::Replay;

/// Answers lookups that the policy is granted.
pub trait Cluster: Send + Sync {
    /// The JSON that the policy gets.
    ///
    /// # Errors
    /// The text that the policy gets instead.
    fn answer(&self, lookup: &Lookup) -> Result<String, HostError>;
}

impl<T: Cluster + ?Sized> Cluster for Arc<T> {
    fn answer(&self, lookup: &Lookup) -> Result<String, HostError> {
        (**self).answer(lookup)
    }
}

/// An error of the host as a policy sees it: text alone. waPC's guest library puts `Host error: ` before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct HostError(String);

impl HostError {
    /// The whole text as it is.
    #[must_use]
    pub fn verbatim(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// A lookup that was tried and failed (`send_request_and_wait_for_response` in `runtimes/callback.rs`).
    #[must_use]
    pub fn callback(text: &str) -> Self {
        Self(format!("Callback evaluation failure: {text}"))
    }

    /// The operation is not among the policy's capabilities.
    #[must_use]
    pub fn capability_not_granted(capability: &str) -> Self {
        Self(format!(
            "Policy has not been granted access to the '{capability}' host capability. \
             The violation has been reported."
        ))
    }

    /// The kind is not among the policy's contextAwareResources.
    #[must_use]
    pub fn resource_not_granted(api_version: &str, kind: &str) -> Self {
        Self(format!(
            "Policy has not been granted access to Kubernetes {api_version}/{kind} resources. \
             The violation has been reported."
        ))
    }
}

/// What the host lets follow the first part of a failing lookup's text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tail {
    /// Nothing, as in a recording.
    #[default]
    None,
    /// The causes, where the error has any: a live host.
    CausedBy,
    /// The causes and a backtrace: a live host with RUST_BACKTRACE set, and kwctl.
    Backtrace,
}
