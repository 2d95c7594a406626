//! The controller that creates and maintains the cert-manager Certificates of annotated Istio Gateways.
//!
//! cert-manager watches the Gateways of Gateway API, but not those of Istio. This controller closes the
//! gap, with the same rules that the policy checks at admission. Read it in this order:
//!
//! * [`kinds`], [`mod@watch`], [`objects`], [`readiness`], [`store`], [`index`], [`cache`]: the watched objects, and the cached parts of
//!   them;
//! * [`queue`]: the Gateways to reconcile next;
//! * [`desired`], [`mod@decide`]: the decision about one Gateway, from the caches alone;
//! * [`mod@reconcile`], [`writes`], [`fields`]: carrying it out;
//! * [`events`], [`status`], [`metrics`], [`pods`], [`mod@message`]: reporting;
//! * [`settings`], [`connect`], [`leader`], [`serve`], [`mod@run`]: the process;
//! * [`mod@check`]: what would stop the controller, before it is deployed;
//! * [`mod@render`]: the same without a cluster;
//! * [`adopt`]: handing existing Certificates over to the controller.

pub mod adopt;
pub mod cache;
pub mod check;
pub mod connect;
pub mod decide;
pub mod deletions;
pub mod desired;
pub mod events;
pub mod fields;
pub mod index;
pub mod kinds;
pub mod leader;
pub mod message;
pub mod metrics;
pub mod objects;
pub mod patience;
pub mod pods;
pub mod queue;
pub mod readiness;
pub mod reconcile;
pub mod render;
pub mod run;
pub mod serve;
pub mod settings;
pub mod status;
pub mod store;
#[cfg(test)]
mod testing;
pub mod watch;
pub mod writes;
