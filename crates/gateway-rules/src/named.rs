//! The Secrets that a Gateway names, and the hosts that it serves with them.
//!
//! For an Istio Gateway, these are those of every server that names a credential or a certificate file,
//! with or without an issuer annotation: it serves any Secret in its gateway's namespace by naming it.
//! For the other kinds, they are those of every listener that any version of cert-manager, with any
//! flags, issues for.

use std::collections::BTreeSet;
use std::fmt;

use certificate_shim::credential::{Credential, CredentialFault, secret_of};
use certificate_shim::gateway::{Gateway, Listener, Server, Spec, host_name};
use certificate_shim::listeners::issuable;
use certificate_shim::place::{ListenerField, Place, RefField, ServerField};
use certificate_shim::plan::SecretName;

use crate::context::Context;

/// The maximum number of credentials of one server for which its hosts are counted: two certificates
/// and a CA. Istio's CRD rejects more.
const OF_ONE_SERVER: usize = 3;

/// The maximum length of a DNS name, in bytes.
pub const LONGEST_NAME: usize = 253;

/// Hosts, lower-cased, each with a Secret that it is served with, as [`served_with`] writes them.
pub type Served = BTreeSet<String>;

/// A host and a Secret as one text. No name of a Secret has a line break.
pub fn served_with(host: &str, secret: &SecretName) -> String {
    [host, "\n", &secret.namespace, "/", &secret.name].concat()
}

/// Whether it names a Secret or a certificate file anywhere.
pub fn names_secret(gateway: &Gateway<'_>) -> bool {
    match &gateway.spec {
        Spec::Servers { servers, .. } => servers.iter().any(names_certificate),
        Spec::Listeners(_) => issuable(gateway).next().is_some(),
    }
}

/// Whether a server names a credential or a certificate file.
fn names_certificate(server: &Server<'_>) -> bool {
    !credentials(server).is_empty()
        || server.tls.as_ref().is_some_and(|tls| !tls.certificate_files.is_empty())
}

/// The credentials that a server names, with their fields, for any protocol and mode.
fn credentials<'a>(server: &Server<'a>) -> Vec<(String, &'a str)> {
    let mut named = Vec::new();
    let Some(tls) = &server.tls else { return named };
    for (index, name) in tls.credential_names.iter().enumerate() {
        named.push((format!("credentialNames[{index}]"), *name));
    }
    for (field, name) in [("credentialName", tls.credential_name), (CA_FIELD, tls.ca_cert_credential_name)] {
        if let Some(name) = name {
            named.push((field.to_owned(), name));
        }
    }
    named.retain(|(_, name)| !name.is_empty());
    named
}

const CA_FIELD: &str = "caCertCredentialName";

/// Stands for the namespace of gateway Pods that the settings do not know.
pub const UNKNOWN: &str = "?";

/// The namespaces in which a Gateway's credentials without a namespace are read.
pub fn places<'c>(context: &'c Context<'_>) -> &'c [&'c str] {
    if context.placement.is_empty() && context.has_unknown_namespace {
        return &[UNKNOWN];
    }
    &context.placement
}

/// The Secrets that a credential can mean, one for each namespace in which it can be read.
pub fn secrets_of(context: &Context<'_>, credential: Credential<'_>) -> Vec<SecretName> {
    let secret =
        |namespace: &str| SecretName { namespace: namespace.to_owned(), name: credential.name.to_owned() };
    match credential.namespace {
        Some(namespace) => vec![secret(namespace)],
        None => places(context).iter().map(|namespace| secret(namespace)).collect(),
    }
}

/// The Secrets of a listener, each with its place.
fn secrets_of_listener<'g>(
    gateway: &'g Gateway<'_>,
    index: usize,
    listener: &'g Listener<'_>,
) -> impl Iterator<Item = (Place, SecretName)> + 'g {
    let references = listener.tls.iter().flat_map(|tls| &tls.certificate_refs).enumerate();
    references.map(move |(position, reference)| {
        let place = Place::Listener(index, ListenerField::CertificateRef(position, RefField::Name));
        let namespace = gateway.metadata.namespace.to_owned();
        (place, SecretName { namespace, name: reference.name.to_owned() })
    })
}

/// A credential or certificate reference of a Gateway.
pub enum Named<'a> {
    /// A Secret of that name, in one of these namespaces.
    Secret(&'a str, Vec<SecretName>),
    /// A text from which istiod reads neither a Secret nor anything else that is known.
    Unreadable(&'a str),
}

/// Calls `report` with the path and the name of every Secret.
pub fn each_secret(context: &Context<'_>, report: &mut dyn FnMut(&dyn fmt::Display, Named<'_>)) {
    let gateway = context.gateway;
    let Spec::Servers { servers, .. } = &gateway.spec else {
        for (index, listener) in issuable(gateway) {
            for (place, secret) in secrets_of_listener(gateway, index, listener) {
                let name = secret.name.clone();
                report(&place, Named::Secret(&name, vec![secret]));
            }
        }
        return;
    };
    for (index, server) in servers.iter().enumerate() {
        for (field, text) in credentials(server) {
            let named = match secret_of(text) {
                Some(credential) => Named::Secret(credential.name, secrets_of(context, credential)),
                None => match Credential::parse_any(text) {
                    Err(CredentialFault::Builtin) => continue,
                    Err(CredentialFault::ConfigMap) if field == CA_FIELD => continue,
                    _ => Named::Unreadable(text),
                },
            };
            report(&format_args!("spec.servers[{index}].tls.{field}"), named);
        }
    }
}

/// Calls `report` with every host, lower-cased: its place, and the Secrets that it is served with. This
/// includes `*` of an Istio Gateway.
pub fn each_host(context: &Context<'_>, report: &mut dyn FnMut(&str, Place, &[SecretName])) {
    let gateway = context.gateway;
    let Spec::Servers { servers, .. } = &gateway.spec else {
        for (index, listener) in issuable(gateway) {
            let secrets: Vec<SecretName> =
                secrets_of_listener(gateway, index, listener).map(|(_, secret)| secret).collect();
            let host = listener.hostname.unwrap_or_default().to_ascii_lowercase();
            report(&host, Place::Listener(index, ListenerField::Hostname), &secrets);
        }
        return;
    };
    for (index, server) in servers.iter().enumerate().filter(|(_, server)| names_certificate(server)) {
        let mut secrets = Vec::new();
        for credential in
            credentials(server).iter().take(OF_ONE_SERVER).filter_map(|(_, text)| secret_of(text))
        {
            secrets.append(&mut secrets_of(context, credential));
        }
        for (position, host) in server.hosts.iter().enumerate() {
            report(&host_name(host), Place::Server(index, ServerField::Host(position)), &secrets);
        }
    }
}

/// The hosts, each with every Secret that it is served with. A host that is served with something else, such
/// as a file, is listed with that as the name of a Secret without namespace.
pub fn served(context: &Context<'_>) -> Served {
    let mut served = Served::new();
    each_host(context, &mut |host, place, secrets| {
        for secret in secrets {
            served.insert(served_with(host, secret));
        }
        let server = match (&context.gateway.spec, place) {
            (Spec::Servers { servers, .. }, Place::Server(index, _)) => servers.get(index),
            _ => None,
        };
        for other in server.into_iter().flat_map(|server| others(server, secrets.is_empty())) {
            let other = SecretName { namespace: String::new(), name: other.to_owned() };
            served.insert(served_with(host, &other));
        }
    });
    served
}

/// The certificate files of a server, and its credentials if they mean no Secrets.
fn others<'a>(server: &Server<'a>, has_no_secret: bool) -> Vec<&'a str> {
    let files = server.tls.iter().flat_map(|tls| &tls.certificate_files).map(|(_, file)| *file);
    let texts = has_no_secret.then(|| credentials(server)).into_iter().flatten().map(|(_, text)| text);
    files.chain(texts).take(2 * OF_ONE_SERVER).collect()
}

/// Whether a common name looks like a host: at least two labels with valid characters.
pub fn is_host_like(name: &str) -> bool {
    let in_hosts = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '*');
    name.contains('.') && name.chars().all(in_hosts)
}

/// Whether `has` is true for the name or a wildcard above it, at any depth, as Gateways serve them. `*`
/// covers every name.
pub fn covers(has: &dyn Fn(&str) -> bool, name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let mut rest = name.as_str();
    let mut covered = has("*") || has(rest);
    while let Some((_, parent)) = rest.split_once('.')
        && !covered
        && name.len() <= LONGEST_NAME
    {
        covered = has(&format!("*.{parent}"));
        rest = parent;
    }
    covered
}
