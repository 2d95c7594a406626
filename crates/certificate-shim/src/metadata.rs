//! What the Certificates of a Gateway take over from its metadata: labels and annotations.

use std::collections::BTreeMap;

use crate::annotation;
use crate::gateway::{Gateway, GatewayKind};
use crate::owner::OWNER_PREFIX;
use crate::plan::Copy;

/// Set by `kubectl apply --applyset`: a Certificate that carried it would be pruned as no longer
/// applied (`applysetLabel` in certificate-shim/sync.go).
const APPLYSET_LABEL: &str = "applyset.kubernetes.io/part-of";
/// What `kubectl apply` knows of the object: never true of another one.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The labels: of a Gateway API Gateway all but the one that prunes, of an Istio Gateway those that
/// the operator wants copied.
pub(crate) fn labels(gateway: &Gateway<'_>, copy: &Copy) -> BTreeMap<String, String> {
    select(&gateway.metadata.labels, |key| match gateway.kind {
        GatewayKind::Istio => copy.takes_label(key),
        GatewayKind::GatewayApi | GatewayKind::ListenerSet => key != APPLYSET_LABEL,
    })
}

/// The annotations: of an Istio Gateway those that the operator wants copied, of a Gateway API
/// Gateway those that tell the ACME HTTP-01 solver where to answer (`setIssuerSpecificConfig` in
/// certificate-shim/sync.go).
pub(crate) fn annotations(gateway: &Gateway<'_>, copy: &Copy) -> BTreeMap<String, String> {
    if gateway.kind == GatewayKind::Istio {
        return select(&gateway.metadata.annotations, |key| copy.takes_annotation(key));
    }
    let mut annotations = BTreeMap::new();
    let mut set = |key: &str, value: &str| {
        annotations.insert(key.to_owned(), value.to_owned());
    };
    if edits_in_place(gateway) {
        set(annotation::HTTP01_OVERRIDE_INGRESS_NAME, gateway.metadata.name);
    }
    for (from, to) in [
        (annotation::HTTP01_INGRESS_CLASS, annotation::HTTP01_OVERRIDE_INGRESS_CLASS),
        (annotation::HTTP01_INGRESS_CLASS_NAME, annotation::HTTP01_OVERRIDE_INGRESS_CLASS_NAME),
    ] {
        if let Some(value) = gateway.annotation(from).filter(|value| !value.is_empty()) {
            set(to, value);
        }
    }
    match gateway.parent_ref.as_ref().filter(|_| falls_back_to_parent(gateway)) {
        None => {
            set(annotation::HTTP01_PARENT_REF_KIND, gateway.kind.kind());
            set(annotation::HTTP01_PARENT_REF_NAME, gateway.metadata.name);
        }
        Some(parent) => {
            set(annotation::HTTP01_PARENT_REF_KIND, "Gateway");
            set(annotation::HTTP01_PARENT_REF_NAME, parent.name);
            set(annotation::HTTP01_PARENT_REF_NAMESPACE, parent.namespace);
        }
    }
    annotations
}

/// Whether `http01-edit-in-place` is set. It is read for Gateway API only.
pub(crate) fn edits_in_place(gateway: &Gateway<'_>) -> bool {
    gateway.kind != GatewayKind::Istio && gateway.annotation(annotation::HTTP01_EDIT_IN_PLACE) == Some("true")
}

/// Whether a ListenerSet wants its challenges answered by its parent: a truth value as Go's
/// `strconv.ParseBool` reads it.
fn falls_back_to_parent(gateway: &Gateway<'_>) -> bool {
    let value = gateway.annotation(annotation::HTTP01_PARENT_REF_FALLBACK).unwrap_or_default();
    gateway.kind == GatewayKind::ListenerSet && matches!(value, "1" | "t" | "T" | "TRUE" | "true" | "True")
}

impl Copy {
    /// Whether Certificates take over the label of that key.
    pub fn takes_label(&self, key: &str) -> bool {
        is_copied(key, &self.labels)
    }

    /// Whether Certificates take over the annotation of that key.
    pub fn takes_annotation(&self, key: &str) -> bool {
        is_copied(key, &self.annotations)
    }
}

/// Whether a copy list takes a key: by its name, or by a prefix `example.com/*`.
fn is_copied(key: &str, list: &[String]) -> bool {
    if key.starts_with(OWNER_PREFIX) {
        return false;
    }
    // With `*` alone, whoever may edit a Gateway could point the HTTP-01 solver at another team's
    // Gateway, choose the Secret that signs, or have the Certificate pruned.
    let prefix = key.split_once('/').map_or("", |(prefix, _)| prefix);
    let steers = prefix == "cert-manager.io"
        || prefix.ends_with(".cert-manager.io")
        || key == APPLYSET_LABEL
        || key == LAST_APPLIED;
    list.iter().any(|entry| match entry.strip_suffix('*') {
        Some(start) => !steers && key.starts_with(start),
        None => entry == key,
    })
}

fn select(from: &BTreeMap<&str, &str>, takes: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
    let mut taken = BTreeMap::new();
    for (key, value) in from.iter().filter(|(key, _)| takes(key)) {
        taken.insert((*key).to_owned(), (*value).to_owned());
    }
    taken
}
