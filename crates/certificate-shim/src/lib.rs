//! Computes the Certificates that a Gateway requests with cert-manager annotations.
//!
//! The behaviour is that of `pkg/controller/certificate-shim` in cert-manager 1.21. Istio's Gateways,
//! which cert-manager does not watch, are handled in the same way. The crate is pure: no Kubernetes
//! client, no I/O, no clock. Read it in this order:
//!
//! * [`read`]: JSON objects, read leniently, with a path in every error;
//! * [`gateway`]: the fields of a Gateway that are relevant for certificates;
//! * [`issuer_ref`]: the issuer that the annotations name;
//! * [`placement`]: the namespaces in which the Gateway's Secrets are read;
//! * [`annotation`]: the table of all annotations;
//! * [`plan`]: the Certificates that a Gateway requests with its listeners or servers, its annotations
//!   and its metadata;
//! * [`certificate`]: one Certificate of the plan, [`template`]: the fields that all have in common,
//!   and [`names`]: their DNS names;
//! * [`skip`] and [`fault`]: the errors of a listener or server, and of an annotation;
//! * [`webhook`]: the fields of a Certificate that cert-manager's webhook rejects;
//! * [`value`]: the grammars of annotation values.
//!
//! ```
//! use certificate_shim::gateway::{Gateway, GatewayKind};
//! use certificate_shim::plan::{Options, plan};
//! use certificate_shim::issuer_ref::resolve;
//!
//! let object = serde_json::json!({
//!     "metadata": {"name": "web", "annotations": {
//!         "cert-manager.io/cluster-issuer": "letsencrypt",
//!         "cert-manager.io/renew-before": "360h",
//!     }},
//!     "spec": {"servers": [{
//!         "port": {"number": 443, "protocol": "HTTPS"},
//!         "tls": {"mode": "SIMPLE", "credentialName": "web-tls"},
//!         "hosts": ["team-a/www.example.com"],
//!     }]},
//! });
//! let gateway = Gateway::read(GatewayKind::Istio, "team-a", &object)?;
//! let issuer = resolve(&gateway).expect("the Gateway is annotated").reference;
//! let plan = plan(&gateway, &issuer, &["istio-system"], &Options::default());
//!
//! let [certificate] = plan.issued() else { panic!("one Certificate") };
//! assert_eq!(certificate.secret().to_string(), "istio-system/web-tls");
//! assert_eq!(certificate.dns_names(), ["www.example.com"]);
//! assert_eq!(certificate.to_json()["spec"]["renewBefore"], "360h0m0s");
//! # Ok::<_, certificate_shim::read::Malformed>(())
//! ```
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
pub mod listeners;
mod metadata;
pub mod name;
pub mod names;
mod object;
pub mod owner;
pub mod place;
pub mod placement;
pub mod plan;
pub mod read;
mod servers;
pub mod skip;
pub mod template;
mod translate;
pub mod value;
pub mod webhook;

pub use certificate::Certificate;
pub use gateway::Gateway;
pub use issuer_ref::IssuerRef;
pub use plan::Plan;
