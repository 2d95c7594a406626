//! The plan: the Certificates that a Gateway requests, and the errors that prevent them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::certificate::Certificate;
use crate::collector::Collector;
use crate::credential::secret_of;
use crate::fault::AnnotationFault;
use crate::gateway::{Gateway, Spec};
use crate::issuer_ref::IssuerRef;
use crate::owner::Owner;
use crate::place::{Place, ServerField};
use crate::skip::{ServerFault, SkipFault, Skipped, Skips};
use crate::template::Template;
use crate::{listeners, metadata, servers, translate};

/// The configuration of cert-manager and the controller that plans depend on.
///
/// The copy lists contain the keys that Certificates of an Istio Gateway copy from it, or prefixes that
/// end in `*`. Gateway API's Gateways use cert-manager's own rule instead. A prefix never matches keys
/// that control cert-manager or other tools: the keys of `cert-manager.io` and of its subdomains, the
/// label `applyset.kubernetes.io/part-of` and the annotation
/// `kubectl.kubernetes.io/last-applied-configuration`. These must be listed by their full names. The
/// keys of the owner record are never copied.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// The keys of the labels to copy.
    pub copy_labels: Vec<String>,
    /// The keys of the annotations to copy.
    pub copy_annotations: Vec<String>,
    /// The protocols of Gateway API listeners that count as TLS in addition to HTTPS and TLS, compared
    /// case-sensitively (cert-manager's flag `--gateway-api-extra-protocols`).
    pub extra_protocols: Vec<String>,
}

/// The namespace and name of a Secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// `namespace/name`
impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The Certificates that a Gateway requests.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The listeners and servers that request a certificate but cannot get one, in order. For Gateway
    /// API, these are exactly those in cert-manager's `BadConfig` events.
    pub skipped: Vec<Skipped>,
    /// The annotations that cannot be read, in cert-manager's order. Empty if there are no Certificates.
    pub faults: Vec<AnnotationFault>,
    /// The requests of the Gateway that contradict each other.
    pub contradictions: Vec<PlanFault>,
    /// One Certificate for each Secret, in the order in which the Secrets are first named. For Istio,
    /// they are sorted by the namespaces of the placement first. If some annotations cannot be read,
    /// the Certificates contain the others, so that these can be checked. [`Plan::issued`] returns the
    /// Certificates that are actually created.
    pub certificates: Vec<Certificate>,
}

/// A contradiction between the requests of an Istio Gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanFault {
    /// A server has two credentials, which must be RSA and ECDSA, but the annotations request Ed25519.
    PairOfEd25519 {
        /// The second credential.
        place: Place,
    },
    /// One Secret is requested with different keys.
    KeysDiffer {
        /// The Secret.
        secret: SecretName,
        /// The place where it is named first.
        first: Place,
        /// The place where it is named with another key.
        other: Place,
    },
}

impl fmt::Display for PlanFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlanFault::PairOfEd25519 { .. } => f.write_str(
                "two credentials need an RSA and an ECDSA key, but the annotations request Ed25519",
            ),
            PlanFault::KeysDiffer { secret, first, .. } => {
                write!(f, "the Secret {secret} is requested with another key at {first}")
            }
        }
    }
}

impl Plan {
    /// The Certificates that are created: all or none. cert-manager creates none if an annotation
    /// cannot be read, and the controller creates none if there are contradictions.
    pub fn issued(&self) -> &[Certificate] {
        if self.faults.is_empty() && self.contradictions.is_empty() { &self.certificates } else { &[] }
    }

    /// The template of all Certificates; `None` if there are none.
    pub fn template(&self) -> Option<&Template> {
        self.certificates.first().map(|certificate| certificate.template.as_ref())
    }

    /// The Certificates by the namespace and name of their Secret.
    pub fn by_secret(&self) -> BTreeMap<(&str, &str), &Certificate> {
        let mut by_secret = BTreeMap::new();
        for certificate in &self.certificates {
            by_secret.insert(certificate.secret_key(), certificate);
        }
        by_secret
    }

    /// The names of the Certificates' Secrets, sorted.
    pub fn secrets(&self) -> Vec<SecretName> {
        self.by_secret().into_values().map(Certificate::secret).collect()
    }
}

/// Plans the Certificates of a Gateway with the given issuer, which can differ from the annotated one.
///
/// `placement` contains the namespaces of an Istio Gateway's Secrets. If it is empty, the Gateway gets
/// no Certificates. It is ignored for Gateway API, where Secrets are in the Gateway's own namespace.
pub fn plan(gateway: &Gateway<'_>, issuer: &IssuerRef, placement: &[&str], options: &Options) -> Plan {
    plan_for(gateway, issuer, placement, options, Which::Planned)
}

/// Like [`plan`], but with every listener that some version of cert-manager, with some flags, issues for
/// ([`listeners::issuable`]).
pub fn plan_of_issuable(
    gateway: &Gateway<'_>,
    issuer: &IssuerRef,
    placement: &[&str],
    options: &Options,
) -> Plan {
    plan_for(gateway, issuer, placement, options, Which::Issuable)
}

/// The listeners of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// Those that this version of cert-manager issues for.
    Planned,
    /// Those that any version issues for.
    Issuable,
}

fn plan_for(
    gateway: &Gateway<'_>,
    issuer: &IssuerRef,
    placement: &[&str],
    options: &Options,
    which: Which,
) -> Plan {
    let mut template = Template::new(Owner::of(gateway), issuer.clone());
    let faults = translate::translate(&gateway.metadata.annotations, &mut template);
    template.labels = metadata::labels(gateway, options);
    template.annotations = metadata::annotations(gateway, options);

    let mut collector = Collector::default();
    let key = template.private_key;
    let mut skips;
    match &gateway.spec {
        Spec::Listeners(listeners) => {
            skips = Skips::none_of(listeners.len());
            listeners::collect(gateway, listeners, options, which, key, &mut collector, &mut skips);
        }
        Spec::Servers { servers, .. } => {
            skips = Skips::none_of(servers.len());
            servers::collect(gateway, servers, placement, key, &mut collector, &mut skips);
            template.make_names_distinct();
            collector.drop_covered(&template.alt_names);
        }
    }

    let template = Arc::new(template);
    let issue_temporary = metadata::edits_in_place(gateway);
    let (drafts, contradictions) = collector.into_parts();
    let mut certificates = Vec::new();
    for draft in drafts {
        if draft.hosts.is_empty() && !template.has_names() {
            for place in draft.places {
                if let Place::Server(index, _) = place {
                    skips.push(index, SkipFault::Server(ServerField::Hosts, ServerFault::NoName));
                }
            }
            continue;
        }
        certificates.push(Certificate {
            namespace: draft.namespace.to_owned(),
            secret_name: draft.secret_name.to_owned(),
            hosts: draft.hosts,
            places: draft.places,
            private_key: draft.key,
            issue_temporary,
            template: Arc::clone(&template),
        });
    }
    let name = |index: usize| match &gateway.spec {
        Spec::Listeners(listeners) => listeners.get(index).map_or("", |listener| listener.name).to_owned(),
        Spec::Servers { servers, .. } => servers.get(index).map_or("", |server| server.name).to_owned(),
    };
    Plan {
        skipped: skips.into_skipped(name),
        faults: if certificates.is_empty() { Vec::new() } else { faults },
        contradictions,
        certificates,
    }
}

/// All Secrets that a Gateway names, in any listener or server and for any purpose, including invalid
/// ones. They are sorted and without duplicates. For Istio, a name without a namespace means one Secret in
/// each namespace of the placement.
pub fn secrets_named(gateway: &Gateway<'_>, placement: &[&str]) -> Vec<SecretName> {
    let mut secrets: BTreeSet<(&str, &str)> = BTreeSet::new();
    match &gateway.spec {
        Spec::Listeners(listeners) => {
            for reference in
                listeners.iter().flat_map(|listener| &listener.tls).flat_map(|tls| &tls.certificate_refs)
            {
                let namespace = reference.namespace.filter(|namespace| !namespace.is_empty());
                secrets.insert((namespace.unwrap_or(gateway.metadata.namespace), reference.name));
            }
        }
        Spec::Servers { servers, .. } => {
            for tls in servers.iter().filter_map(|server| server.tls.as_ref()) {
                let one = [tls.credential_name, tls.ca_cert_credential_name];
                let texts = one.into_iter().flatten().chain(tls.credential_names.iter().copied());
                for credential in texts.filter_map(secret_of) {
                    match credential.namespace {
                        Some(namespace) => secrets.extend([(namespace, credential.name)]),
                        None => {
                            secrets.extend(placement.iter().map(|namespace| (*namespace, credential.name)))
                        }
                    }
                }
            }
        }
    }
    let name = |(namespace, name): (&str, &str)| SecretName {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    };
    secrets.into_iter().map(name).collect()
}
