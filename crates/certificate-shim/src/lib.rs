//! Gateways and their cert-manager annotations in, the Certificates they ask for out.
//!
//! The semantics are those of cert-manager 1.21's `pkg/controller/certificate-shim`; Istio's
//! Gateways, which cert-manager does not watch, enter by the same door. The crate is pure: no
//! Kubernetes client, no I/O, no clock. Read it in this order:
//!
//! * [`read`]: JSON objects, read leniently, with a path in every complaint;
//! * [`gateway`]: the part of a Gateway that decides about certificates;
//! * [`issuer_ref`]: which issuer the annotations name;
//! * [`placement`]: the namespaces in which the Gateway's Secrets are read;
//! * [`annotation`]: the table of all annotations;
//! * [`plan`]: what a Gateway asks for, put together from its listeners or servers, its annotations
//!   and its metadata;
//! * [`certificate`]: a Certificate of the plan, down to the object that is created;
//! * [`skip`] and [`fault`]: what is wrong with a listener or server, and with an annotation.
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

pub mod annotation;
pub mod certificate;
mod collector;
pub mod credential;
pub mod fault;
pub mod gateway;
pub mod issuer_ref;
pub mod listener_set;
mod listeners;
mod metadata;
pub mod name;
pub mod owner;
pub mod place;
pub mod placement;
pub mod plan;
pub mod read;
mod servers;
pub mod skip;
mod translate;
pub mod value;
pub mod webhook;

pub use certificate::Certificate;
pub use gateway::Gateway;
pub use issuer_ref::IssuerRef;
pub use plan::Plan;
