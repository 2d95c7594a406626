//! Errors that prevent a check.

/// The reason why no Gateway could be checked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The policy or its environment cannot be used.
    #[error(transparent)]
    Host(#[from] policy_host::Error),
    /// Files cannot be read or parsed: one line each.
    #[error(transparent)]
    Documents(#[from] policy_host::documents::ReadErrors),
    /// One file cannot be read or parsed.
    #[error("{path}: {reason}")]
    File {
        /// The path of the file, as given.
        path: String,
        /// The reason.
        reason: String,
    },
    /// The policy rejects the settings.
    #[error("the settings are not valid: {0}")]
    Settings(String),
    /// There are no objects to check: most likely a wrong path.
    #[error("no YAML or JSON file with Kubernetes objects in {0}: check the path")]
    Nothing(String),
}
