//! The labels and annotations that Certificates copy from their Gateway.

use std::collections::BTreeMap;

use crate::annotation;
use crate::gateway::{Gateway, GatewayKind};
use crate::owner::OWNER_PREFIX;
use crate::plan::Options;

/// The label of `kubectl apply --applyset`, which would prune a Certificate with this label
/// (`applysetLabel` in certificate-shim/sync.go).
const APPLYSET_LABEL: &str = "applyset.kubernetes.io/part-of";
/// The record of `kubectl apply`, which is valid only for the object itself.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The labels: for a Gateway API Gateway all except the one that prunes, for an Istio Gateway those in
/// `copy_labels`.
pub(crate) fn labels(gateway: &Gateway<'_>, options: &Options) -> BTreeMap<String, String> {
    select(&gateway.metadata.labels, |key| match gateway.kind {
        GatewayKind::Istio => options.takes_label(key),
        GatewayKind::GatewayApi | GatewayKind::ListenerSet => key != APPLYSET_LABEL,
    })
}

/// The annotations: for an Istio Gateway those in `copy_annotations`, for a Gateway API Gateway those
/// that configure the ACME HTTP-01 solver (`setIssuerSpecificConfig` in certificate-shim/sync.go).
pub(crate) fn annotations(gateway: &Gateway<'_>, options: &Options) -> BTreeMap<String, String> {
    if gateway.kind == GatewayKind::Istio {
        return select(&gateway.metadata.annotations, |key| options.takes_annotation(key));
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

/// Whether the parent of a ListenerSet answers its challenges: a boolean as parsed by Go's
/// `strconv.ParseBool`.
fn falls_back_to_parent(gateway: &Gateway<'_>) -> bool {
    let value = gateway.annotation(annotation::HTTP01_PARENT_REF_FALLBACK).unwrap_or_default();
    gateway.kind == GatewayKind::ListenerSet && matches!(value, "1" | "t" | "T" | "TRUE" | "true" | "True")
}

impl Options {
    /// Whether Certificates copy the label with that key.
    pub fn takes_label(&self, key: &str) -> bool {
        is_copied(key, &self.copy_labels)
    }

    /// Whether Certificates copy the annotation with that key.
    pub fn takes_annotation(&self, key: &str) -> bool {
        is_copied(key, &self.copy_annotations)
    }
}

/// Whether a copy list contains a key, or a matching prefix such as `example.com/*`.
fn is_copied(key: &str, list: &[String]) -> bool {
    if key.starts_with(OWNER_PREFIX) {
        return false;
    }
    // A `*` must not match these keys. Otherwise a user who may edit a Gateway could point the HTTP-01
    // solver at another team's Gateway, choose the Secret that signs, or have the Certificate pruned.
    let prefix = key.split_once('/').map_or("", |(prefix, _)| prefix);
    let is_control_key = prefix == "cert-manager.io"
        || prefix.ends_with(".cert-manager.io")
        || key == APPLYSET_LABEL
        || key == LAST_APPLIED;
    list.iter().any(|entry| match entry.strip_suffix('*') {
        Some(start) => !is_control_key && key.starts_with(start),
        None => entry == key,
    })
}

fn select(from: &BTreeMap<&str, &str>, is_selected: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
    let mut selected = BTreeMap::new();
    for (key, value) in from.iter().filter(|(key, _)| is_selected(key)) {
        selected.insert((*key).to_owned(), (*value).to_owned());
    }
    selected
}
