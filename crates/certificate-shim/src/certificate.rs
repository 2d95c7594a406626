//! A Certificate that a Gateway requests: the Secret, its hosts and its key, and the template that all
//! Certificates of the Gateway share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::annotation::ISSUE_TEMPORARY_CERTIFICATE;
use crate::gateway::GatewayKind;
use crate::names::Names;
use crate::owner::OWNER_HASH;
use crate::place::Place;
use crate::plan::SecretName;
use crate::template::{PrivateKey, Template};

/// A Certificate that a Gateway requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Its namespace, and the Secret's.
    pub namespace: String,
    /// The Secret's name, and its own.
    pub secret_name: String,
    /// The Gateway's hosts that it is for, in their order in the Gateway, each once.
    pub hosts: Vec<Host>,
    /// The places where the Gateway names the Secret.
    pub places: Vec<Place>,
    /// `spec.privateKey`: as annotated, except for pairs in Istio's `credentialNames`.
    pub private_key: PrivateKey,
    /// Whether the Secret gets a self-signed certificate until the issuer has answered, as with
    /// `http01-edit-in-place`. For Istio this also depends on the issuer, which is not known here.
    pub issue_temporary: bool,
    /// The template, which it shares with the others.
    pub template: Arc<Template>,
}

/// A host of the Gateway in a Certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The name as it goes into the Certificate.
    pub name: String,
    /// Whether it is an IP address, and thus goes into `ipAddresses`.
    pub is_ip: bool,
    /// The place where it appears first.
    pub place: Place,
}

impl Certificate {
    /// The Secret that it is for.
    pub fn secret(&self) -> SecretName {
        SecretName { namespace: self.namespace.clone(), name: self.secret_name.clone() }
    }

    /// Namespace and name of that Secret, to compare and sort by.
    pub fn secret_key(&self) -> (&str, &str) {
        (&self.namespace, &self.secret_name)
    }

    /// The path where the Gateway names the Secret first.
    pub fn path(&self) -> String {
        self.places.first().map_or_else(|| "spec".to_owned(), Place::to_string)
    }

    /// The hosts that are DNS names.
    pub fn host_names(&self) -> Names {
        host_names(&self.hosts)
    }

    /// `spec.dnsNames`: the hosts, and what `alt-names` adds.
    ///
    /// cert-manager appends `alt-names` unchanged. The Certificates of an Istio Gateway, which this project
    /// creates, omit those that the hosts cover, see [`Names`].
    pub fn dns_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.own_names(false).collect();
        let alt_names = self.template.alt_names.iter().map(String::as_str);
        if self.template.owner.kind == GatewayKind::Istio {
            let hosts = self.host_names();
            names.extend(alt_names.filter(|name| !hosts.covers(name)));
        } else {
            names.extend(alt_names);
        }
        names
    }

    /// `spec.ipAddresses`: the hosts that are IP addresses, and what `ip-sans` adds.
    pub fn ip_addresses(&self) -> Vec<&str> {
        let mut addresses: Vec<&str> = self.own_names(true).collect();
        let ip_sans = self.template.ip_sans.iter().map(String::as_str);
        if self.template.owner.kind == GatewayKind::Istio {
            let hosts: BTreeSet<&str> = addresses.iter().copied().collect();
            addresses.extend(ip_sans.filter(|address| !hosts.contains(address)));
        } else {
            addresses.extend(ip_sans);
        }
        addresses
    }

    fn own_names(&self, is_ip: bool) -> impl Iterator<Item = &str> {
        self.hosts.iter().filter(move |host| host.is_ip == is_ip).map(|host| host.name.as_str())
    }

    /// `metadata.labels`: the template's, and for an Istio Gateway the hash of its owner.
    pub fn labels(&self) -> BTreeMap<&str, &str> {
        let mut labels = borrowed(&self.template.labels);
        if self.has_record() {
            labels.insert(OWNER_HASH, &self.template.owner.hash);
        }
        labels
    }

    /// The value of one of its labels.
    pub fn label(&self, key: &str) -> Option<&str> {
        if key == OWNER_HASH && self.has_record() {
            return Some(&self.template.owner.hash);
        }
        self.template.labels.get(key).map(String::as_str)
    }

    /// `metadata.annotations`: the template's, for an Istio Gateway the record of its owner, and whether a
    /// temporary certificate is wanted.
    pub fn annotations(&self) -> BTreeMap<&str, &str> {
        let mut annotations = borrowed(&self.template.annotations);
        if self.has_record() {
            annotations.extend(self.template.owner.record());
        }
        if self.issue_temporary {
            annotations.insert(ISSUE_TEMPORARY_CERTIFICATE, "true");
        }
        annotations
    }

    /// Whether it records its owner, as the controller's Certificates do. cert-manager's do not.
    fn has_record(&self) -> bool {
        self.template.owner.kind == GatewayKind::Istio
    }

    /// Whether it is in the namespace of its Gateway, so that it can have the Gateway as owner.
    pub fn is_beside_owner(&self) -> bool {
        self.namespace == self.template.owner.namespace
    }
}

fn borrowed(map: &BTreeMap<String, String>) -> BTreeMap<&str, &str> {
    let mut borrowed = BTreeMap::new();
    borrowed.extend(map.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    borrowed
}

/// The hosts that are DNS names.
pub(crate) fn host_names(hosts: &[Host]) -> Names {
    hosts.iter().filter(|host| !host.is_ip).map(|host| &host.name).collect()
}

/// The wildcard that covers a name in a certificate: `*.example.com` for `a.example.com`. `None` for a
/// wildcard and for a name of one label (RFC 6125, section 6.4.3).
pub fn wildcard_over(name: &str) -> Option<String> {
    match name.split_once('.') {
        Some((label, parent)) if !label.is_empty() && label != "*" => Some(format!("*.{parent}")),
        _ => None,
    }
}
