//! The rules of gateway-issuer-policy: from settings, lookups and a Gateway to a decision.
//!
//! The crate is pure: it asks for cluster objects through [`Cluster`], and knows no SDK, no
//! client, no I/O and no clock. The policy calls [`decide()`]; the controller calls [`check()`]. Read
//! it in this order:
//!
//! * [`mod@decide`]: one request from payload to response, step by step;
//! * [`request`], [`settings`]: the input;
//! * [`default_issuer`]: the one mutation;
//! * [`mod@check`], [`context`], [`rule`], [`rules`]: the check of one Gateway, one file per rule;
//! * [`tenancy`], [`named`], [`servers`]: the tenant that owns a Gateway, the Secrets that it names, and
//!   why a server gets no Certificate;
//! * [`lookup`], [`issuer`], [`ownership`], [`parent`]: cluster objects, the status and kind of an issuer,
//!   the owner of a Certificate, and what a ListenerSet inherits;
//! * [`issuance`]: which issuer signs which names;
//! * [`mod@ratchet`]: why an update is not rejected for problems that the object already had;
//! * [`finding`], [`response`], [`text`]: the output.
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
pub mod shared_names;
pub mod tenancy;
pub mod text;
pub mod writers;

pub use check::{CheckResult, check};
pub use decide::decide;
pub use lookup::{Cluster, LookupError, ObjectRef};
pub use response::Response;
pub use settings::Settings;
