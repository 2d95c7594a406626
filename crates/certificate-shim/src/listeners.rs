//! The Secrets and hosts that the listeners of a Gateway API Gateway or ListenerSet ask for
//! (`handleGatewayAPIListeners` in certificate-shim/sync.go).

use std::collections::BTreeMap;

use crate::annotation;
use crate::collector::Collector;
use crate::gateway::{CertificateRef, Gateway, Listener};
use crate::place::{ListenerField, Place, RefField};
use crate::skip::{SkipReason, Skips};
use crate::template::PrivateKey;
use crate::value::ip;

/// Collects what the listeners ask for, and which of them are skipped with an event.
pub(crate) fn collect<'a>(
    gateway: &Gateway<'a>,
    listeners: &[Listener<'a>],
    annotated: PrivateKey,
    collector: &mut Collector<'a>,
    skips: &mut Skips,
) {
    let namespace = gateway.metadata.namespace;
    let ignored = ignored(gateway);
    for (index, listener) in listeners.iter().enumerate() {
        if !asks_for_certificate(listener) || ignored.contains_key(listener.name) {
            continue;
        }
        check(index, listener, namespace, skips);
        if skips.contains(index) {
            continue;
        }
        let hostname = listener.hostname.unwrap_or_default();
        let is_ip = ip::is_ip(hostname);
        let references = listener.tls.iter().flat_map(|tls| &tls.certificate_refs).enumerate();
        for (position, reference) in references {
            let place = Place::Listener(index, ListenerField::CertificateRef(position, RefField::Name));
            let certificate = collector.certificate(namespace, reference.name, place, annotated);
            let host = Place::Listener(index, ListenerField::Hostname);
            collector.host(certificate, hostname.into(), is_ip, host);
        }
    }
}

/// Whether cert-manager looks at the listener at all; otherwise it passes it over in silence.
fn asks_for_certificate(listener: &Listener<'_>) -> bool {
    let passthrough = || listener.tls.as_ref().is_some_and(|tls| tls.mode == Some("Passthrough"));
    matches!(listener.protocol, "HTTPS" | "TLS") && !passthrough()
}

/// The names of the listeners that are passed over in silence because an annotation says so.
fn ignored<'a>(gateway: &Gateway<'a>) -> BTreeMap<&'a str, &'a str> {
    // A map whose kind the annotations have already: a set would be another 2 KiB of the module.
    let mut ignored = BTreeMap::new();
    let names = gateway.annotation(annotation::IGNORE_TLS_LISTENERS);
    for name in names.into_iter().flat_map(|names| names.split(',')) {
        ignored.insert(name.trim(), "");
    }
    ignored
}

/// What cert-manager finds wrong with a listener, in its order (`validateGatewayListenerBlock`).
fn check(index: usize, listener: &Listener<'_>, namespace: &str, skips: &mut Skips) {
    let mut push = |field, reason| skips.push(Place::Listener(index, field), reason);
    if listener.hostname.unwrap_or_default().is_empty() {
        push(ListenerField::Hostname, SkipReason::NoHostname);
    }
    let Some(tls) = &listener.tls else {
        return push(ListenerField::Tls, SkipReason::NoTls);
    };
    if tls.certificate_refs.is_empty() {
        push(ListenerField::CertificateRefs, SkipReason::NoCertificateRefs);
    }
    for (position, &CertificateRef { group, kind, namespace: other, .. }) in
        tls.certificate_refs.iter().enumerate()
    {
        let mut push = |field, reason| push(ListenerField::CertificateRef(position, field), reason);
        if !matches!(group, "core" | "") {
            push(RefField::Group, SkipReason::Group(group.to_owned()));
        }
        if !matches!(kind, "Secret" | "") {
            push(RefField::Kind, SkipReason::Kind(kind.to_owned()));
        }
        if let Some(other) = other.filter(|other| *other != namespace) {
            push(RefField::Namespace, SkipReason::ForeignNamespace(other.to_owned()));
        }
    }
    match tls.mode {
        None => push(ListenerField::Mode, SkipReason::NoMode),
        Some("Terminate") => {}
        Some(mode) => push(ListenerField::Mode, SkipReason::Mode(mode.to_owned())),
    }
}
