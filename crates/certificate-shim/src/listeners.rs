//! The Secrets and hosts that the listeners of a Gateway API Gateway or ListenerSet request
//! (`handleGatewayAPIListeners` in certificate-shim/sync.go).

use std::collections::BTreeSet;

use crate::annotation;
use crate::collector::Collector;
use crate::gateway::{CertificateRef, Gateway, Listener, Spec};
use crate::place::{ListenerField, Place, RefField};
use crate::plan::{Options, Which};
use crate::skip::{ListenerFault, SkipFault, Skips};
use crate::template::PrivateKey;
use crate::value::ip;

/// Collects the requests of the listeners, and the listeners that are skipped with an event.
pub(crate) fn collect<'a>(
    gateway: &Gateway<'a>,
    listeners: &[Listener<'a>],
    options: &Options,
    which: Which,
    annotated: PrivateKey,
    collector: &mut Collector<'a>,
    skips: &mut Skips,
) {
    let namespace = gateway.metadata.namespace;
    let excluded = excluded(gateway);
    for (index, listener) in listeners.iter().enumerate() {
        let is_left_out =
            !speaks_tls(listener, options) || passes_through(listener) || excluded.contains(listener.name);
        if is_left_out && which == Which::Planned {
            continue;
        }
        check(listener, namespace, &mut |field, fault| {
            skips.push(index, SkipFault::Listener(field, fault));
        });
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

/// The listeners that any version of cert-manager, with any flags, issues for: those with
/// `certificateRefs` that it would not skip, with any protocol, and even if `ignore-tls-listeners`
/// names them.
pub fn issuable<'g, 'a>(gateway: &'g Gateway<'a>) -> impl Iterator<Item = (usize, &'g Listener<'a>)> {
    let listeners = if let Spec::Listeners(listeners) = &gateway.spec { &**listeners } else { &[] };
    let namespace = gateway.metadata.namespace;
    listeners.iter().enumerate().filter(move |(_, listener)| {
        let mut is_sound = true;
        check(listener, namespace, &mut |_, _| is_sound = false);
        is_sound
    })
}

/// Whether cert-manager treats the listener's protocol as TLS.
pub fn speaks_tls(listener: &Listener<'_>, options: &Options) -> bool {
    matches!(listener.protocol, "HTTPS" | "TLS")
        || options.extra_protocols.iter().any(|extra| extra == listener.protocol)
}

/// Whether the listener does not terminate TLS, so that cert-manager ignores it silently.
pub fn passes_through(listener: &Listener<'_>) -> bool {
    listener.tls.as_ref().is_some_and(|tls| tls.mode == Some("Passthrough"))
}

/// The names of the listeners that `ignore-tls-listeners` excludes.
pub fn excluded<'a>(gateway: &Gateway<'a>) -> BTreeSet<&'a str> {
    let names = gateway.annotation(annotation::IGNORE_TLS_LISTENERS);
    let mut ignored = BTreeSet::new();
    ignored.extend(names.into_iter().flat_map(|names| names.split(',')).map(str::trim));
    ignored
}

/// The faults that cert-manager reports for a listener, in its order (`validateGatewayListenerBlock`).
fn check(listener: &Listener<'_>, namespace: &str, push: &mut dyn FnMut(ListenerField, ListenerFault)) {
    if listener.hostname.unwrap_or_default().is_empty() {
        push(ListenerField::Hostname, ListenerFault::NoHostname);
    }
    let Some(tls) = &listener.tls else {
        return push(ListenerField::Tls, ListenerFault::NoTls);
    };
    if tls.certificate_refs.is_empty() {
        push(ListenerField::CertificateRefs, ListenerFault::NoCertificateRefs);
    }
    for (position, &CertificateRef { group, kind, namespace: other, .. }) in
        tls.certificate_refs.iter().enumerate()
    {
        let mut push = |field, fault| push(ListenerField::CertificateRef(position, field), fault);
        if !matches!(group, "core" | "") {
            push(RefField::Group, ListenerFault::Group(group.to_owned()));
        }
        if !matches!(kind, "Secret" | "") {
            push(RefField::Kind, ListenerFault::Kind(kind.to_owned()));
        }
        if let Some(other) = other.filter(|other| *other != namespace) {
            push(RefField::Namespace, ListenerFault::ForeignNamespace(other.to_owned()));
        }
    }
    match tls.mode {
        None => push(ListenerField::Mode, ListenerFault::NoMode),
        Some("Terminate") => {}
        Some(mode) => push(ListenerField::Mode, ListenerFault::UnknownMode(mode.to_owned())),
    }
}
