//! Why a listener or a server gets no certificate although it looks as if it wanted one.

use std::fmt;

use crate::credential::CredentialFault;
use crate::place::Place;
use crate::value::quote::{json_quoted, quoted};

/// A listener of a Gateway API Gateway that cert-manager skips with a `BadConfig` event, or a server
/// of an Istio Gateway that our controller could not serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Its index in the list of listeners or servers.
    pub index: usize,
    /// Its `name`; empty where it has none.
    pub name: String,
    /// What keeps it from being served: everything at once, in cert-manager's order.
    pub faults: Vec<SkipFault>,
}

/// One thing that keeps a listener or server from being served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkipFault {
    /// Where.
    pub place: Place,
    /// What.
    pub reason: SkipReason,
}

/// What keeps a listener or a server from being served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SkipReason {
    /// A listener without hostname.
    NoHostname,
    /// A listener without `tls`.
    NoTls,
    /// A listener without `certificateRefs`.
    NoCertificateRefs,
    /// A certificate reference with another group than core.
    Group(String),
    /// A certificate reference with another kind than Secret.
    Kind(String),
    /// A certificate reference into another namespace. cert-manager takes an empty one for another.
    ForeignNamespace(String),
    /// No `tls.mode`: cert-manager wants it written out, and istiod takes it for `PASSTHROUGH`.
    NoMode,
    /// A listener's `tls.mode` that cert-manager does not know.
    Mode(String),
    /// A server's `tls.mode` that Istio does not know.
    ServerMode(String),
    /// A server's credential name that is no Secret.
    Credential(CredentialFault),
    /// A server's Secret in a namespace where no gateway Pods run that could read it.
    NotInPlacement(String),
    /// A server's Secret named with `kubernetes-gateway://` by a Gateway that does not live with the
    /// gateway Pods: istiod does not serve it.
    NotWithPods(String),
    /// A third credential name: Istio takes two.
    ThirdCredential,
    /// A server's hosts leave no name for the Secret's certificate, nor do the annotations.
    NoName,
}

/// What is wrong with each listener or server, by its index.
pub(crate) struct Skips(Vec<Vec<SkipFault>>);

impl Skips {
    /// Nothing wrong with so many of them.
    pub fn none_of(count: usize) -> Self {
        Skips((0..count).map(|_| Vec::new()).collect())
    }

    /// Notes what is wrong at a place, unless the same was noted just before.
    pub fn push(&mut self, place: Place, reason: SkipReason) {
        let (Place::Listener(index, _) | Place::Server(index, _)) = place;
        let fault = SkipFault { place, reason };
        if let Some(faults) = self.0.get_mut(index).filter(|faults| faults.last() != Some(&fault)) {
            faults.push(fault);
        }
    }

    /// Whether something is wrong with one of them.
    pub fn contains(&self, index: usize) -> bool {
        self.0.get(index).is_some_and(|faults| !faults.is_empty())
    }

    /// Those that something is wrong with.
    pub fn into_skipped(self, name: impl Fn(usize) -> String) -> Vec<Skipped> {
        let skipped = |(index, faults)| Skipped { index, name: name(index), faults };
        self.0.into_iter().enumerate().filter(|(_, faults)| !faults.is_empty()).map(skipped).collect()
    }
}

impl Skipped {
    /// The text of cert-manager's event about a listener.
    pub fn event(&self) -> String {
        let texts: Vec<String> = self.faults.iter().map(SkipFault::to_string).collect();
        format!("Skipped a listener block: {}", aggregate(&texts))
    }
}

/// Several errors as one text (`NewAggregate` in apimachinery's util/errors): a single one is bare.
fn aggregate(texts: &[String]) -> String {
    match texts {
        [one] => one.clone(),
        several => format!("[{}]", several.join(", ")),
    }
}

/// The text that cert-manager's event has for it; for servers, in its manner.
impl fmt::Display for SkipFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place.in_event(), self.reason)
    }
}

/// The text without the place (`validateGatewayListenerBlock` in certificate-shim/sync.go).
impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut invalid = |value: &str, what| write!(f, "Invalid value: {}: {what}", json_quoted(value));
        let text = match self {
            SkipReason::NoHostname => "Required value: the hostname cannot be empty",
            SkipReason::NoTls => "Required value: the TLS block cannot be empty",
            SkipReason::NoCertificateRefs => "Required value: listener has no certificateRefs",
            SkipReason::NoMode => "Required value: the mode field is required",
            SkipReason::Group(group) => return unsupported(f, group, &["core", ""]),
            SkipReason::Kind(kind) => return unsupported(f, kind, &["Secret", ""]),
            SkipReason::Mode(mode) => return unsupported(f, mode, &["Terminate"]),
            SkipReason::ServerMode(mode) => return unsupported(f, mode, SERVER_MODES),
            SkipReason::ForeignNamespace(namespace) => {
                return invalid(namespace, "cross-namespace secret references are not allowed in listeners");
            }
            SkipReason::NotInPlacement(namespace) => {
                return invalid(namespace, "no gateway Pods that this Gateway selects run in that namespace");
            }
            SkipReason::NotWithPods(namespace) => {
                return invalid(
                    namespace,
                    "istiod serves kubernetes-gateway:// only to a Gateway in the Secret's own namespace",
                );
            }
            SkipReason::Credential(fault) => return fault.fmt(f),
            SkipReason::ThirdCredential => "Istio takes two credential names at most",
            SkipReason::NoName => "no host gives a name for the certificate",
        };
        f.write_str(text)
    }
}

fn unsupported(f: &mut fmt::Formatter<'_>, value: &str, supported: &[&str]) -> fmt::Result {
    let supported: Vec<String> = supported.iter().map(|word| quoted(word)).collect();
    write!(f, "Unsupported value: {}: supported values: {}", json_quoted(value), supported.join(", "))
}

/// What `tls.mode` of an Istio server may be (`ServerTLSSettings.TLSmode` in Istio's gateway.proto).
pub const SERVER_MODES: &[&str] =
    &["SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL", "ISTIO_MUTUAL", "PASSTHROUGH", "AUTO_PASSTHROUGH"];
