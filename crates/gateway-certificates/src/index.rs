//! The cached objects, with the indices of owners, writers and claims. A change returns the Gateways that it
//! concerns.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use certificate_shim::plan::SecretName;
use serde_json::Value;
use tokio::time::Instant;

use crate::kinds::{Kind, Role};
use crate::objects::{Key, ObservedCertificate, ObservedGateway};
use crate::store::{Change, Store};

/// The cached objects and their indices.
#[derive(Debug, Default)]
pub struct Index {
    /// Istio's Gateways.
    pub gateways: Store<Key, ObservedGateway>,
    /// cert-manager's Certificates, by their own names.
    pub certificates: Store<SecretName, ObservedCertificate>,
    /// Issuers, Namespaces and Pods, each kind in its own store, at the index of its watch.
    pub others: BTreeMap<usize, Store<Key, Value>>,
    /// The Certificates that belong to a Gateway, which does not have to exist.
    pub owned: BTreeMap<Key, BTreeSet<SecretName>>,
    /// Certificates by the Secret that they write, if it has another name.
    pub writers: BTreeMap<SecretName, BTreeSet<SecretName>>,
    /// The Gateways that plan a Secret.
    pub claims: BTreeMap<SecretName, BTreeSet<Key>>,
    /// The existing Gateways that own Certificates, by namespace.
    pub holders: BTreeMap<String, BTreeSet<String>>,
    /// Certificates whose Gateway exists and names their Secret no longer, so that they are due for deletion.
    pub unnamed: BTreeMap<Key, BTreeSet<SecretName>>,
    /// Certificates with an owner record in a namespace where it does not count.
    pub misplaced: BTreeSet<SecretName>,
    /// Certificates that were created and that the watch has not delivered yet, with the time until
    /// which they are expected.
    pub expected: BTreeMap<SecretName, Instant>,
}

impl Index {
    /// All Gateways to reconcile at a start: those that are annotated, and those that own a Certificate,
    /// which do not have to exist.
    pub fn all(&self) -> BTreeSet<Key> {
        let annotated = self.gateways.objects.values().filter(|gateway| gateway.is_annotated());
        annotated.map(|gateway| gateway.key.clone()).chain(self.owned.keys().cloned()).collect()
    }

    /// Updates the indices after a change of a Gateway.
    pub fn gateway_changed(&mut self, change: &Change<Key, ObservedGateway>) -> BTreeSet<Key> {
        let Change { key, old, new } = change;
        let planned = |gateway: &Option<Arc<ObservedGateway>>| -> Vec<SecretName> {
            gateway.iter().flat_map(|gateway| gateway.planned.iter().cloned()).collect()
        };
        let (before, after) = (planned(old), planned(new));
        let mut wake = BTreeSet::new();
        for secret in &before {
            if let Some(claims) = self.claims.get_mut(secret) {
                claims.remove(key);
                // Gateways that waited for the Secret, or have to wait for it now.
                wake.extend(claims.iter().cloned());
                if claims.is_empty() {
                    self.claims.remove(secret);
                }
            }
        }
        for secret in after {
            let claims = self.claims.entry(secret).or_default();
            wake.extend(claims.iter().cloned());
            claims.insert(key.clone());
        }
        let is_annotated = |gateway: &Option<Arc<ObservedGateway>>| {
            gateway.as_ref().is_some_and(|gateway| gateway.is_annotated())
        };
        if is_annotated(old) || is_annotated(new) || self.owned.contains_key(key) {
            wake.insert(key.clone());
        }
        self.update_holder(key);
        self.unnamed.remove(key);
        for name in self.owned.get(key).cloned().unwrap_or_default() {
            self.update_unnamed(key, &name);
        }
        wake
    }

    /// Updates whether a Gateway exists and owns Certificates.
    fn update_holder(&mut self, key: &Key) {
        if self.owned.contains_key(key) && self.gateways.objects.contains_key(key) {
            self.holders.entry(key.namespace.clone()).or_default().insert(key.name.clone());
        } else {
            remove_from(&mut self.holders, &key.namespace, &key.name);
        }
    }

    /// Updates whether a Certificate of that Gateway is one whose Secret is named no longer.
    fn update_unnamed(&mut self, key: &Key, name: &SecretName) {
        let certificate = self.certificates.objects.get(name).filter(|found| found.belongs_to(key));
        let gateway = self.gateways.objects.get(key);
        let is_unnamed = gateway.zip(certificate).is_some_and(|(gateway, certificate)| {
            gateway.gives_up(certificate) && !gateway.names(&certificate.secret_name)
        });
        if is_unnamed {
            self.unnamed.entry(key.clone()).or_default().insert(name.clone());
        } else {
            remove_from(&mut self.unnamed, key, name);
        }
    }

    /// Updates the indices after a change of a Certificate.
    pub fn certificate_changed(&mut self, change: &Change<SecretName, ObservedCertificate>) -> BTreeSet<Key> {
        let Change { key: name, old, new } = change;
        self.expected.remove(name);
        let mut wake: BTreeSet<Key> = self.claims.get(name).into_iter().flatten().cloned().collect();
        for certificate in old.iter().chain(new) {
            if let Some(owner) = &certificate.owner {
                wake.insert(owner.key.clone());
            }
            let secret = certificate.secret();
            wake.extend(self.claims.get(&secret).into_iter().flatten().cloned());
        }
        if let Some(old) = old {
            if let Some(owner) = &old.owner {
                remove_from(&mut self.owned, &owner.key, name);
            }
            remove_from(&mut self.writers, &old.secret(), name);
        }
        self.misplaced.remove(name);
        if let Some(new) = new {
            if let Some(owner) = &new.owner {
                self.owned.entry(owner.key.clone()).or_default().insert(name.clone());
            }
            let secret = new.secret();
            if secret != *name {
                self.writers.entry(secret).or_default().insert(name.clone());
            }
            if new.is_misplaced {
                self.misplaced.insert(name.clone());
            }
        }
        for certificate in old.iter().chain(new) {
            if let Some(owner) = &certificate.owner {
                self.update_holder(&owner.key);
                self.update_unnamed(&owner.key, name);
            }
        }
        wake
    }

    /// The Gateways that depend on an issuer, a Namespace or a Pod.
    pub fn other_changed(&self, kind: &Kind, key: &Key) -> BTreeSet<Key> {
        let concerns = |gateway: &&Arc<ObservedGateway>| match kind.role {
            Role::Issuers => gateway
                .issuer
                .as_ref()
                .is_some_and(|issuer| issuer.effective_group() == kind.group && issuer.name == key.name),
            Role::Namespaces => gateway.is_annotated() && gateway.key.namespace == key.name,
            Role::Pods | Role::Gateways | Role::Certificates => false,
        };
        self.gateways.objects.values().filter(concerns).map(|gateway| gateway.key.clone()).collect()
    }
}

fn remove_from<K: Ord, V: Ord>(index: &mut BTreeMap<K, BTreeSet<V>>, key: &K, value: &V) {
    if let Some(values) = index.get_mut(key) {
        values.remove(value);
        if values.is_empty() {
            index.remove(key);
        }
    }
}
