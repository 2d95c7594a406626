//! Clusters: the sources of the answers to a policy's lookups.

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

/// Answers the lookups that the policy may make.
pub trait Cluster: Send + Sync {
    /// Returns the JSON that the policy gets.
    ///
    /// # Errors
    /// The lookup failed: the text that the policy gets instead.
    fn answer(&self, lookup: &Lookup) -> Result<String, HostError>;
}

impl<T: Cluster + ?Sized> Cluster for Arc<T> {
    fn answer(&self, lookup: &Lookup) -> Result<String, HostError> {
        (**self).answer(lookup)
    }
}

/// An error of the host, which a policy gets as text. waPC's guest library adds the prefix `Host error: `.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct HostError(String);

impl HostError {
    /// An error with exactly this text.
    #[must_use]
    pub fn verbatim(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The error of a lookup that failed (`send_request_and_wait_for_response` in `runtimes/callback.rs`).
    #[must_use]
    pub fn callback(text: &str) -> Self {
        Self(format!("Callback evaluation failure: {text}"))
    }

    /// The error for an operation that is not in the policy's capabilities.
    #[must_use]
    pub fn capability_not_granted(capability: &str) -> Self {
        Self(format!(
            "Policy has not been granted access to the '{capability}' host capability. \
             The violation has been reported."
        ))
    }

    /// The error for a kind that is not in the policy's contextAwareResources.
    #[must_use]
    pub fn resource_not_granted(api_version: &str, kind: &str) -> Self {
        Self(format!(
            "Policy has not been granted access to Kubernetes {api_version}/{kind} resources. \
             The violation has been reported."
        ))
    }
}

/// The part of a failing lookup's text that follows the message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tail {
    /// Nothing, as in a recording.
    #[default]
    None,
    /// The causes, if the error has any: a live host.
    CausedBy,
    /// The causes and a backtrace: a live host with RUST_BACKTRACE set, and kwctl.
    Backtrace,
}
