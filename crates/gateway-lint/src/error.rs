//! What keeps a verdict from being reached.

/// Why nothing could be judged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The policy or its surroundings cannot be used.
    #[error(transparent)]
    Host(#[from] policy_host::Error),
    /// Files that cannot be read or parsed: one line each.
    #[error(transparent)]
    Documents(#[from] policy_host::documents::ReadErrors),
    /// A file cannot be read or parsed.
    #[error("{path}: {reason}")]
    File {
        /// The file as it was named.
        path: String,
        /// Why not.
        reason: String,
    },
    /// The policy does not take the settings.
    #[error("the settings are not valid: {0}")]
    Settings(String),
    /// There is nothing to judge, which is rather a wrong path than a clean folder.
    #[error("no YAML or JSON file with Kubernetes objects in {0}")]
    Nothing(String),
}
