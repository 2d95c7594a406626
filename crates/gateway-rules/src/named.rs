//! The Secrets that a Gateway names, and the hosts that it serves with them.
//!
//! Of an Istio Gateway those are the ones of every server that names a credential, annotated or not:
//! it serves any Secret of its gateway's namespace by naming it. Of the other kinds they are the ones
//! of the plan, since a Secret that they name is in their own namespace.

use std::collections::BTreeSet;

use certificate_shim::credential::{Credential, CredentialFault};
use certificate_shim::gateway::{Gateway, Server, Spec, host_name};
use certificate_shim::place::{Place, ServerField};
use certificate_shim::plan::SecretName;

use crate::context::Context;

/// The most credentials of one server that its hosts are counted for: a pair of certificates and a
/// CA. More are refused by Istio's CRD.
const OF_ONE_SERVER: usize = 3;

/// The longest DNS name, in bytes.
const LONGEST_NAME: usize = 255;

/// Whether it is an Istio Gateway that names a credential anywhere.
pub fn names_credential(gateway: &Gateway<'_>) -> bool {
    let Spec::Servers { servers, .. } = &gateway.spec else { return false };
    servers.iter().any(|server| !credentials(server).is_empty())
}

/// The credentials that a server names, with their fields, whatever its protocol and mode.
fn credentials<'a>(server: &Server<'a>) -> Vec<(String, &'a str)> {
    let mut named = Vec::new();
    let Some(tls) = &server.tls else { return named };
    for (index, name) in tls.credential_names.iter().enumerate() {
        named.push((format!("credentialNames[{index}]"), *name));
    }
    for (field, name) in
        [("credentialName", tls.credential_name), ("caCertCredentialName", tls.ca_cert_credential_name)]
    {
        if let Some(name) = name {
            named.push((field.to_owned(), name));
        }
    }
    named.retain(|(_, name)| !name.is_empty());
    named
}

/// The Secret that istiod reads for a credential; none where it reads none. `sds://` falls back to
/// the Secret of that name where no provider is configured (`ConstructSdsSecretConfigForCredential`
/// in pilot/pkg/security/model/authentication.go).
fn secret_of(credential: &str) -> Option<Credential<'_>> {
    match Credential::parse_any(credential) {
        Err(CredentialFault::Sds) => Credential::parse_any(credential.strip_prefix("sds://")?).ok(),
        parsed => parsed.ok(),
    }
}

/// The Secrets that a credential may mean, one for each namespace of the placement.
pub fn secrets_of(context: &Context<'_>, credential: Credential<'_>) -> Vec<SecretName> {
    let mut secrets = Vec::new();
    let secret =
        |namespace: &str| SecretName { namespace: namespace.to_owned(), name: credential.name.to_owned() };
    match credential.namespace {
        Some(namespace) => secrets.push(secret(namespace)),
        None => secrets.extend(context.placement.iter().map(|namespace| secret(namespace))),
    }
    secrets
}

/// Tells every Secret: its path, its name, and where it may be.
pub fn each_secret(context: &Context<'_>, tell: &mut dyn FnMut(String, &str, &[SecretName])) {
    match &context.gateway.spec {
        Spec::Servers { servers, .. } => {
            for (index, server) in servers.iter().enumerate() {
                for (field, text) in credentials(server) {
                    if let Some(credential) = secret_of(text) {
                        let path = format!("spec.servers[{index}].tls.{field}");
                        tell(path, credential.name, &secrets_of(context, credential));
                    }
                }
            }
        }
        Spec::Listeners(_) => {
            for certificate in &context.plan.certificates {
                let path = certificate.places.first().map(ToString::to_string).unwrap_or_default();
                tell(path, &certificate.secret_name, &[certificate.secret()]);
            }
        }
    }
}

/// Tells every host, lower-cased: its place, and the Secrets that it is served with. `*` of an Istio
/// Gateway is among them.
pub fn each_host(context: &Context<'_>, tell: &mut dyn FnMut(&str, Place, &[SecretName])) {
    match &context.gateway.spec {
        Spec::Servers { servers, .. } => {
            for (index, server) in servers.iter().enumerate() {
                let named = credentials(server);
                let mut secrets = Vec::new();
                for credential in named.iter().take(OF_ONE_SERVER).filter_map(|(_, text)| secret_of(text)) {
                    secrets.append(&mut secrets_of(context, credential));
                }
                let hosts = if named.is_empty() { &[] } else { server.hosts.as_slice() };
                for (position, host) in hosts.iter().enumerate() {
                    tell(&host_name(host), Place::Server(index, ServerField::Host(position)), &secrets);
                }
            }
        }
        Spec::Listeners(_) => {
            for certificate in &context.plan.certificates {
                let secrets = [certificate.secret()];
                for host in &certificate.hosts {
                    tell(&host.name.to_ascii_lowercase(), host.place, &secrets);
                }
            }
        }
    }
}

/// Whether a common name reads as a host: labels of what hosts are made of, at least two of them.
pub fn is_host_like(name: &str) -> bool {
    let in_hosts = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '*');
    name.contains('.') && name.chars().all(in_hosts)
}

/// Whether a name is one of the hosts, lower-cased, or under a wildcard among them: at any depth, as
/// Gateways serve them. `*` covers every name.
pub fn covers(hosts: &BTreeSet<String>, name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let mut rest = name.as_str();
    let mut covered = hosts.contains("*") || hosts.contains(rest);
    while let Some((_, parent)) = rest.split_once('.')
        && !covered
        && name.len() <= LONGEST_NAME
    {
        covered = hosts.contains(&format!("*.{parent}"));
        rest = parent;
    }
    covered
}
