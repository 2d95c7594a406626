//! The plan: which Certificates a Gateway asks for, and what stands in their way.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::certificate::Certificate;
use crate::collector::Collector;
use crate::credential::Credential;
use crate::fault::AnnotationFault;
use crate::gateway::{Gateway, Spec};
use crate::issuer_ref::IssuerRef;
use crate::owner::Owner;
use crate::place::{Place, ServerField};
use crate::skip::{SkipReason, Skipped, Skips};
use crate::template::Template;
use crate::{listeners, metadata, servers, translate};

/// The labels and annotations that an Istio Gateway's Certificates take over from it: keys, or
/// prefixes that end in `*`. Gateway API has cert-manager's own rule instead.
///
/// A prefix never takes what steers cert-manager or other tools: any key of `cert-manager.io` and of
/// the groups below it, the label `applyset.kubernetes.io/part-of` and the annotation
/// `kubectl.kubernetes.io/last-applied-configuration`. Such a key has to be listed by its name. The
/// keys of the owner record are never taken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Copy {
    /// Label keys.
    pub labels: Vec<String>,
    /// Annotation keys.
    pub annotations: Vec<String>,
}

/// A Secret by its name.
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

/// What a Gateway asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Listeners and servers that get no certificate although they look as if they wanted one, in
    /// their order: for Gateway API exactly those of cert-manager's `BadConfig` events.
    pub skipped: Vec<Skipped>,
    /// Annotations that cannot be read, cert-manager's first one first. None where there is no
    /// Certificate that they could spoil.
    pub faults: Vec<AnnotationFault>,
    /// What of the Gateway's wishes contradicts itself.
    pub contradictions: Vec<PlanFault>,
    /// One Certificate for each Secret, in the order in which they are first named; for Istio
    /// namespace after namespace of the placement. They hold what can be read even where something
    /// else cannot, so that it can be judged: what is really issued is [`Plan::issued`].
    pub certificates: Vec<Certificate>,
}

/// A contradiction among the wishes of an Istio Gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanFault {
    /// Two credentials share a server, so that clients can choose between RSA and ECDSA, but the
    /// annotations want Ed25519.
    PairOfEd25519 {
        /// The second credential.
        place: Place,
    },
    /// One Secret is to hold keys of different kinds.
    KeysDiffer {
        /// The Secret.
        secret: SecretName,
        /// Where it is named first.
        first: Place,
        /// Where it is named with another kind of key.
        other: Place,
    },
}

impl fmt::Display for PlanFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlanFault::PairOfEd25519 { .. } => f.write_str(
                "of two credentials one is RSA and the other ECDSA, but the annotations ask for Ed25519",
            ),
            PlanFault::KeysDiffer { secret, first, .. } => {
                write!(f, "the Secret {secret} is to hold another kind of key than at {first}")
            }
        }
    }
}

impl Plan {
    /// The Certificates that are created: all or none. One annotation that cannot be read stops
    /// cert-manager from creating any, and our controller creates none for a Gateway that
    /// contradicts itself.
    pub fn issued(&self) -> &[Certificate] {
        if self.faults.is_empty() && self.contradictions.is_empty() { &self.certificates } else { &[] }
    }

    /// The names of the Secrets that the Certificates are for, sorted.
    pub fn secrets(&self) -> Vec<SecretName> {
        let mut secrets: Vec<SecretName> = self.certificates.iter().map(Certificate::secret).collect();
        secrets.sort_unstable();
        secrets
    }
}

/// Plans the Certificates of a Gateway under an issuer, be it annotated with that issuer or not.
///
/// `placement` are the namespaces of an Istio Gateway's Secrets; without any it gets no Certificate.
/// A Gateway API Gateway has its Secrets in its own namespace, whatever the placement.
pub fn plan(gateway: &Gateway<'_>, issuer: &IssuerRef, placement: &[&str], copy: &Copy) -> Plan {
    let mut template = Template::new(Owner::of(gateway), issuer.clone());
    let faults = translate::translate(&gateway.metadata.annotations, &mut template);
    template.labels = metadata::labels(gateway, copy);
    template.annotations = metadata::annotations(gateway, copy);

    let mut collector = Collector::default();
    let key = template.private_key;
    let mut skips;
    match &gateway.spec {
        Spec::Listeners(listeners) => {
            skips = Skips::none_of(listeners.len());
            listeners::collect(gateway, listeners, key, &mut collector, &mut skips);
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
                    skips.push(Place::Server(index, ServerField::Hosts), SkipReason::NoName);
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

/// Every Secret that a Gateway names, in whatever listener or server and for whatever purpose, be it
/// right or wrong there; sorted, each once. A name without namespace is one in each namespace of the
/// placement for Istio.
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
                for credential in texts.filter_map(|text| Credential::parse_any(text).ok()) {
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
