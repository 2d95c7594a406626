//! Checks Gateways in manifests before they are applied, with the policy's own module.
//!
//! [`check()`] turns every Gateway in a set of files into the request that an API server would send, and
//! evaluates it with the module on [`policy_host`]. The other objects of the files are the cluster. The
//! report contains the module's responses. The `run` command evaluates one recorded request like `kwctl run`.

pub mod admission;
pub mod check;
mod error;
pub mod policy;
pub mod run;
pub mod settings;
pub mod table;

pub use check::{Options, Report, check};
pub use error::Error;
pub use policy::Policy;

/// The policy's module, built from the same sources as this crate.
pub const MODULE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/policy.wasm"));

/// The policy's metadata.yml.
pub const METADATA: &str = include_str!("../../../metadata.yml");
