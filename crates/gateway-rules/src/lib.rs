//! The rules of gateway-issuer-policy: settings, lookups and a Gateway in, the verdict out.
//!
//! The crate is pure: it asks for cluster objects through [`Cluster`], and knows no SDK, no
//! client, no I/O and no clock. The policy calls [`decide`]; the controller calls [`judge`]. Read
//! it in this order:
//!
//! * [`mod@decide`]: one request from payload to answer, step by step;
//! * [`request`], [`settings`]: what comes in;
//! * [`default_issuer`]: the one mutation;
//! * [`mod@judge`], [`context`], [`rules`]: what is found out, one file a rule;
//! * [`tenancy`], [`named`]: whose a Gateway is, and what it names;
//! * [`lookup`], [`issuer`], [`certificates`], [`parent`]: cluster objects, what an issuer says about
//!   itself, whom a Certificate belongs to, and what a ListenerSet inherits;
//! * [`issuance`]: which issuer is asked for which names;
//! * [`mod@ratchet`]: what an update is not refused for;
//! * [`finding`], [`answer`]: what goes out.
#![forbid(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unreachable,
    clippy::todo
)]

mod catalog;
pub mod check;
pub mod context;
pub mod decide;
pub mod default_issuer;
pub mod finding;
#[cfg(test)]
mod fixtures;
pub mod issuance;
pub mod issuer;
pub mod lookup;
#[cfg(test)]
mod messages;
pub mod named;
pub mod ownership;
pub mod parent;
pub mod ratchet;
pub mod request;
pub mod response;
pub mod rule;
pub mod rules;
pub mod servers;
pub mod settings;
pub mod tenancy;
pub mod text;

pub use check::{CheckResult, check};
pub use decide::decide;
pub use lookup::{Cluster, LookupError, ObjectRef};
pub use response::Response;
pub use settings::Settings;
