//! The ways in which a policy, its metadata or its surroundings cannot be used; verdicts are never errors.

use std::path::PathBuf;

use crate::documents::ReadErrors;

/// What keeps the host from running a policy. What a policy itself does wrong (an error, a trap, a loop) is an
/// answer, as it is for the real host.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why the system refused.
        source: std::io::Error,
    },
    /// The bytes are no WebAssembly module, or one that wants something else than waPC and WASI from its host.
    #[error("{origin}: not a waPC policy: {reason}")]
    Module {
        /// The file, or a word for bytes that come from none.
        origin: String,
        /// The engine's complaint.
        reason: String,
    },
    /// The module compiled, but cannot be started: no `__guest_call`, or its `wapc_init` failed.
    #[error("the policy cannot be started: {0}")]
    Start(String),
    /// metadata.yml breaks a rule.
    #[error("{origin}: {reason}")]
    Metadata {
        /// The file, or a word for text that comes from none.
        origin: String,
        /// What is wrong, where, and how to mend it.
        reason: String,
    },
    /// A pattern names a host capability that does not exist.
    #[error("host capability {pattern:?}: {reason}")]
    Capability {
        /// The pattern as it was written.
        pattern: String,
        /// What is wrong with it, with the valid words.
        reason: String,
    },
    /// The input is neither an AdmissionReview nor its request.
    #[error("cannot read the AdmissionRequest: {0}")]
    Request(String),
    /// The settings are no object.
    #[error("the settings have to be an object (or null), not {0}")]
    Settings(&'static str),
    /// Manifests that do not parse, or fixtures that ask for something that does not exist: all of them.
    #[error(transparent)]
    Documents(#[from] ReadErrors),
    /// A recording does not parse.
    #[error("{origin}: not a recording of host capabilities: {reason}")]
    Replay {
        /// The file, or a word for text that comes from none.
        origin: String,
        /// What is wrong, and which exchange it is.
        reason: String,
    },
    /// The policy's answer to `protocol_version` is not one.
    #[error("cannot find out the policy's protocol version: {0}")]
    ProtocolVersion(String),
}
