//! Errors of a policy, its metadata or its environment. A rejected request is not an error.

use std::path::PathBuf;

use crate::documents::ReadErrors;

/// The reason why the host cannot run a policy. Failures of the policy itself (an error, a trap, an endless
/// loop) are responses, as with the real host.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The bytes are not a WebAssembly module, or the module imports functions other than those of waPC and
    /// WASI.
    #[error("{origin}: not a waPC policy: {reason}")]
    Module {
        /// The path of the file, or a description if the bytes are not from a file.
        origin: String,
        /// The engine's error.
        reason: String,
    },
    /// The module compiles but cannot be started: it has no `__guest_call`, or its `wapc_init` failed.
    #[error("the policy cannot be started: {0}")]
    Start(String),
    /// The metadata.yml is invalid.
    #[error("{origin}: {reason}")]
    Metadata {
        /// The path of the file, or a description if the text is not from a file.
        origin: String,
        /// The location, the problem and the fix.
        reason: String,
    },
    /// A pattern does not match any host capability.
    #[error("host capability {pattern:?}: {reason}")]
    Capability {
        /// The pattern, as given.
        pattern: String,
        /// The problem, with the valid values.
        reason: String,
    },
    /// The input is neither an AdmissionReview nor its request.
    #[error("cannot read the AdmissionRequest: {0}")]
    Request(String),
    /// The settings are not an object.
    #[error("the settings must be an object (or null), not {0}")]
    Settings(&'static str),
    /// Manifests cannot be parsed, or fixtures are invalid: one line each.
    #[error(transparent)]
    Documents(#[from] ReadErrors),
    /// A recording cannot be parsed.
    #[error("{origin}: not a recording of host capabilities: {reason}")]
    Replay {
        /// The path of the file, or a description if the text is not from a file.
        origin: String,
        /// The problem, and the number of the exchange.
        reason: String,
    },
    /// The policy's answer to `protocol_version` is not a known version.
    #[error("cannot determine the policy's protocol version: {0}")]
    ProtocolVersion(String),
}
