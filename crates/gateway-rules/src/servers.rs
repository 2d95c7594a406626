//! The credentials that an Istio Gateway's servers name, and the reasons why a server or listener gets no
//! Certificate.

use std::collections::BTreeSet;

use certificate_shim::credential::Credential;
use certificate_shim::gateway::{Listener, Server, Spec};
use certificate_shim::listeners::{excluded, passes_through, speaks_tls};
use certificate_shim::place::{Place, ServerField};
use certificate_shim::plan::{Options, SecretName};
use certificate_shim::skip::{ServerFault, SkipFault};

use crate::context::Context;
use crate::named::secrets_of;
use crate::text::quote;

/// A credential that a server names.
pub struct Named<'a> {
    /// The server.
    pub server: &'a Server<'a>,
    /// The server's index.
    pub index: usize,
    /// The credential's place.
    pub place: Place,
    /// The credential as written.
    pub text: &'a str,
}

impl Named<'_> {
    /// The Secrets that the credential can mean; empty if it refers to no Secret.
    pub fn secrets(&self, context: &Context<'_>) -> Vec<SecretName> {
        Credential::parse_any(self.text).map(|credential| secrets_of(context, credential)).unwrap_or_default()
    }
}

/// Every credential that the servers of an Istio Gateway name; empty for other Gateways.
pub fn credentials<'a>(context: &Context<'a>) -> Vec<Named<'a>> {
    let Spec::Servers { servers, .. } = &context.gateway.spec else { return Vec::new() };
    servers.iter().enumerate().flat_map(|(index, server)| credentials_of(index, server)).collect()
}

/// The credentials that one server names.
fn credentials_of<'a>(index: usize, server: &'a Server<'a>) -> impl Iterator<Item = Named<'a>> {
    let credentials = server.tls.iter().flat_map(|tls| tls.credentials());
    credentials.map(move |(field, text)| Named { server, index, place: Place::Server(index, field), text })
}

/// Calls `report` with each fault of a server, its place and the credential: once for each credential
/// of the server if the fault is not about one of them.
pub fn faults<'c>(context: &'c Context<'_>, mut report: impl FnMut(&'c ServerFault, Place, &Named<'c>)) {
    let Spec::Servers { servers, .. } = &context.gateway.spec else { return };
    for skipped in &context.plan.skipped {
        let server = servers.get(skipped.index);
        let all: Vec<Named<'_>> =
            server.into_iter().flat_map(|server| credentials_of(skipped.index, server)).collect();
        for fault in &skipped.faults {
            let SkipFault::Server(field, server_fault) = fault else { continue };
            let about = match field {
                ServerField::CredentialNames(position) => {
                    all.get(*position).map(std::slice::from_ref).unwrap_or_default()
                }
                ServerField::CredentialName
                | ServerField::Hosts
                | ServerField::Host(_)
                | ServerField::Mode => &all,
            };
            for named in about {
                report(server_fault, fault.place(skipped.index), named);
            }
        }
    }
}

/// A server or listener that gets no Certificate.
pub struct Unissued {
    /// Its path.
    pub path: String,
    /// Identifies it within the Gateway, independent of its position in the list.
    pub id: String,
    /// Its name in messages: `the listener "https"`
    pub label: String,
    /// The reason.
    pub reason: Reason,
}

/// The reason why a server or listener gets no Certificate.
#[derive(Debug, PartialEq, Eq)]
pub enum Reason {
    /// It terminates TLS, but neither a Secret nor anything else provides its certificate.
    NoSecret,
    /// Another rule reports the reason.
    Reported,
    /// The reason is not an error by itself: a clause that describes it.
    Clause(String),
}

/// Every server or listener of a Gateway that gets no Certificate at all. Empty for a manifest without
/// `spec`, and for an unknown placement, which `gateway-namespace-unknown` reports.
pub fn unissued(context: &Context<'_>) -> Vec<Unissued> {
    let gateway = context.gateway;
    if context.placement.is_empty() || !context.plan.certificates.is_empty() {
        return Vec::new();
    }
    match &gateway.spec {
        Spec::Servers { servers, .. } => {
            servers.iter().enumerate().map(|(index, server)| unissued_server(index, server)).collect()
        }
        Spec::Listeners(listeners) => {
            let excluded = excluded(gateway);
            let unissued =
                |(index, listener)| unissued_listener(index, listener, &excluded, &context.settings.plan);
            listeners.iter().enumerate().map(unissued).collect()
        }
    }
}

fn unissued_server(index: usize, server: &Server<'_>) -> Unissued {
    Unissued {
        path: format!("spec.servers[{index}]"),
        id: format!("{} {} {}", server.name, server.port.unwrap_or_default(), server.hosts.join(" ")),
        label: label("server", server.name),
        reason: of_server(server),
    }
}

fn of_server(server: &Server<'_>) -> Reason {
    let Some(tls) = &server.tls else {
        return if server.speaks_tls() { clause("has no tls") } else { clause(protocol(server.protocol)) };
    };
    if tls.credentials().any(|(_, text)| text.starts_with("builtin://")) {
        return clause("serves the workload's own certificate (builtin://)");
    }
    if tls.credentials().next().is_some() {
        return Reason::Reported;
    }
    if !server.speaks_tls() {
        return clause(protocol(server.protocol));
    }
    match (tls.mode, tls.certificate_files.first()) {
        (Some("SIMPLE" | "MUTUAL" | "OPTIONAL_MUTUAL"), None) => Reason::NoSecret,
        (Some("SIMPLE" | "MUTUAL" | "OPTIONAL_MUTUAL"), Some((field, _))) => {
            clause(format!("serves a certificate from a file (tls.{field})"))
        }
        (Some("ISTIO_MUTUAL"), _) => clause("serves the certificate of the mesh (ISTIO_MUTUAL)"),
        (Some("PASSTHROUGH" | "AUTO_PASSTHROUGH"), _) => clause(PASSES_THROUGH),
        (Some(mode), _) => clause(format!("has the unknown TLS mode {}", quote(mode))),
        (None, _) => clause(format!("has no TLS mode, so it {PASSES_THROUGH}")),
    }
}

fn unissued_listener(
    index: usize,
    listener: &Listener<'_>,
    excluded: &BTreeSet<&str>,
    options: &Options,
) -> Unissued {
    let reason = if !speaks_tls(listener, options) {
        clause(protocol(listener.protocol))
    } else if passes_through(listener) {
        clause(PASSES_THROUGH)
    } else if excluded.contains(listener.name) {
        clause("is excluded by ignore-tls-listeners")
    } else if names_no_certificate(listener) {
        Reason::NoSecret
    } else {
        Reason::Reported
    };
    Unissued {
        path: format!("spec.listeners[{index}]"),
        id: listener.name.to_owned(),
        label: label("listener", listener.name),
        reason,
    }
}

/// Whether a listener that terminates TLS has neither `certificateRefs` nor `options`, which gateways
/// use for other sources of certificates.
pub fn names_no_certificate(listener: &Listener<'_>) -> bool {
    listener.tls.as_ref().is_none_or(|tls| {
        matches!(tls.mode, None | Some("Terminate"))
            && tls.certificate_refs.is_empty()
            && tls.options.is_empty()
    })
}

const PASSES_THROUGH: &str = "passes TLS through";

fn protocol(protocol: &str) -> String {
    format!("has protocol {}", quote(protocol))
}

fn clause(text: impl Into<String>) -> Reason {
    Reason::Clause(text.into())
}

fn label(noun: &str, name: &str) -> String {
    if name.is_empty() { format!("the {noun}") } else { format!("the {noun} {}", quote(name)) }
}
