//! The reasons why a listener or server gets no certificate although it seems to request one.

use crate::credential::CredentialFault;
use crate::place::{ListenerField, Place, ServerField};

/// A listener of a Gateway API Gateway that cert-manager skips with a `BadConfig` event, or a server
/// of an Istio Gateway that our controller cannot issue for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Its index in the list of listeners or servers.
    pub index: usize,
    /// Its `name`; empty if it has none.
    pub name: String,
    /// All its faults, in cert-manager's order.
    pub faults: Vec<SkipFault>,
}

/// One fault of a listener or server: the field and the problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SkipFault {
    /// A fault of a Gateway API listener.
    Listener(ListenerField, ListenerFault),
    /// A fault of a server of an Istio Gateway.
    Server(ServerField, ServerFault),
}

/// The reason why cert-manager skips a listener (`validateGatewayListenerBlock` in certificate-shim/sync.go).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenerFault {
    /// No `hostname`.
    NoHostname,
    /// No `tls`.
    NoTls,
    /// No `certificateRefs`.
    NoCertificateRefs,
    /// A certificate reference with a group other than core.
    Group(String),
    /// A certificate reference with a kind other than Secret.
    Kind(String),
    /// A certificate reference to another namespace. cert-manager treats an empty one as another.
    ForeignNamespace(String),
    /// No `tls.mode`.
    NoMode,
    /// A `tls.mode` that cert-manager does not know.
    UnknownMode(String),
}

/// The reason why a server of an Istio Gateway, or one of its credentials, gets no certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerFault {
    /// No `tls.mode`: istiod uses `PASSTHROUGH`.
    NoMode,
    /// A `tls.mode` that Istio does not know.
    UnknownMode(String),
    /// A credential that does not refer to a Secret for a server certificate.
    Credential(CredentialFault),
    /// A Secret in a namespace without gateway Pods that could read it.
    NotInPlacement(String),
    /// A Secret named with `kubernetes-gateway://` by a Gateway outside the gateway Pods' namespace:
    /// istiod does not serve it.
    NotWithPods(String),
    /// A third credential: Istio accepts two.
    ThirdCredential,
    /// Neither the hosts of one of the server's Secrets nor the annotations give the certificate a name.
    NoName,
}

/// The values of `tls.mode` of an Istio server (`ServerTLSSettings.TLSmode` in Istio's gateway.proto).
pub const SERVER_MODES: &[&str] =
    &["SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL", "ISTIO_MUTUAL", "PASSTHROUGH", "AUTO_PASSTHROUGH"];

impl SkipFault {
    /// Its place in the Gateway, given the index of the listener or server.
    pub fn place(&self, index: usize) -> Place {
        match self {
            SkipFault::Listener(field, _) => Place::Listener(index, *field),
            SkipFault::Server(field, _) => Place::Server(index, *field),
        }
    }
}

/// The faults of each listener or server, by its index.
pub(crate) struct Skips(Vec<Vec<SkipFault>>);

impl Skips {
    /// No faults, for that many listeners or servers.
    pub fn none_of(count: usize) -> Self {
        Skips((0..count).map(|_| Vec::new()).collect())
    }

    /// Adds a fault, unless the same one was added last.
    pub fn push(&mut self, index: usize, fault: SkipFault) {
        if let Some(faults) = self.0.get_mut(index).filter(|faults| faults.last() != Some(&fault)) {
            faults.push(fault);
        }
    }

    /// Whether that listener or server has a fault.
    pub fn contains(&self, index: usize) -> bool {
        self.0.get(index).is_some_and(|faults| !faults.is_empty())
    }

    /// Those with a fault.
    pub fn into_skipped(self, name: impl Fn(usize) -> String) -> Vec<Skipped> {
        let skipped = |(index, faults)| Skipped { index, name: name(index), faults };
        self.0.into_iter().enumerate().filter(|(_, faults)| !faults.is_empty()).map(skipped).collect()
    }
}
