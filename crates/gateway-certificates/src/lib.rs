//! The controller that creates and keeps the cert-manager Certificates of annotated Istio Gateways.
//!
//! cert-manager watches Gateway API, never Istio's Gateways; this closes the gap, under the very rules
//! that the policy judges them by at admission. Read it in this order:
//!
//! * [`kinds`], [`mod@watch`], [`objects`], [`cache`]: what is watched, and what is remembered of it;
//! * [`queue`]: which Gateway is looked at next;
//! * [`wanted`], [`mod@decide`]: what has to be done for one, from the caches alone;
//! * [`mod@reconcile`], [`writes`], [`fields`]: how it is done;
//! * [`events`], [`metrics`], [`pods`], [`mod@said`]: what is told;
//! * [`settings`], [`leader`], [`serve`], [`mod@run`]: the process;
//! * [`mod@render`]: the same without a cluster.

pub mod cache;
pub mod decide;
pub mod events;
pub mod fields;
pub mod kinds;
pub mod leader;
pub mod metrics;
pub mod objects;
pub mod pods;
pub mod queue;
pub mod reconcile;
pub mod render;
pub mod run;
pub mod said;
pub mod serve;
pub mod settings;
#[cfg(test)]
mod testing;
pub mod wanted;
pub mod watch;
pub mod writes;
