//! The Secrets and hosts that the servers of an Istio Gateway ask for, brought into the form of
//! Gateway API's listeners.
//!
//! A server asks for a certificate where its protocol is HTTPS or TLS, its mode makes Istio
//! terminate TLS, and it names a credential that is a Secret (`ServerTLSSettings` in Istio's
//! networking/v1alpha3/gateway.proto). Everything else that names a credential is either none of
//! ours (HTTP, PASSTHROUGH, ISTIO_MUTUAL) or a mistake, which is reported.

use std::borrow::Cow;

use crate::collector::Collector;
use crate::credential::Credential;
use crate::gateway::{Gateway, Server, ServerTls, host_name};
use crate::place::{Place, ServerField};
use crate::skip::{SkipReason, Skips};
use crate::template::{Algorithm, PrivateKey};
use crate::value::ip;

/// A Secret that a server asks for.
struct Ask<'a> {
    server: usize,
    place: Place,
    /// The only namespace that it may be in; none is every one of the placement.
    namespace: Option<&'a str>,
    name: &'a str,
    key: PrivateKey,
}

/// Collects what the servers ask for, namespace after namespace of the placement, and which of them
/// cannot be served.
pub(crate) fn collect<'a>(
    gateway: &Gateway<'a>,
    servers: &[Server<'a>],
    placement: &[&'a str],
    annotated: PrivateKey,
    collector: &mut Collector<'a>,
    skips: &mut Skips,
) {
    let mut asks: Vec<Ask<'a>> = Vec::new();
    for (index, server) in servers.iter().enumerate() {
        let Some(tls) = tls_with_credentials(server) else { continue };
        let mut skip = |field, reason| skips.push(Place::Server(index, field), reason);
        match tls.mode {
            Some("SIMPLE" | "MUTUAL" | "OPTIONAL_MUTUAL") => {}
            Some("ISTIO_MUTUAL" | "PASSTHROUGH" | "AUTO_PASSTHROUGH") => continue,
            Some(mode) => {
                skip(ServerField::Mode, SkipReason::ServerMode(mode.to_owned()));
                continue;
            }
            None => {
                skip(ServerField::Mode, SkipReason::NoMode);
                continue;
            }
        }
        let is_pair = tls.credential_names.len() > 1;
        for (position, (field, text)) in tls.credentials().enumerate() {
            match target(gateway, placement, text, position) {
                Ok((namespace, name)) => {
                    let key = if is_pair { paired(annotated, position) } else { annotated };
                    asks.push(Ask {
                        server: index,
                        place: Place::Server(index, field),
                        namespace,
                        name,
                        key,
                    });
                }
                Err(reason) => skip(field, reason),
            }
        }
        if is_pair && annotated.algorithm == Some(Algorithm::Ed25519) {
            collector.pair_of_ed25519(Place::Server(index, ServerField::CredentialNames(1)));
        }
    }
    for namespace in placement {
        for ask in asks.iter().filter(|ask| ask.namespace.is_none_or(|only| only == *namespace)) {
            let certificate = collector.certificate(namespace, ask.name, ask.place, ask.key);
            let hosts = servers.get(ask.server).into_iter().flat_map(|server| &server.hosts).enumerate();
            for (position, host) in hosts {
                let place = Place::Server(ask.server, ServerField::Host(position));
                if let Some(name) = normalized(host) {
                    let is_ip = ip::is_ip(&name);
                    collector.host(certificate, name, is_ip, place);
                }
            }
        }
    }
}

/// The TLS settings of a server whose port speaks TLS and that names a credential.
fn tls_with_credentials<'s, 'a>(server: &'s Server<'a>) -> Option<&'s ServerTls<'a>> {
    server.tls.as_ref().filter(|tls| server.speaks_tls() && tls.credentials().next().is_some())
}

/// The Secret that a credential asks for, and the one namespace that it may be in.
fn target<'a>(
    gateway: &Gateway<'a>,
    placement: &[&'a str],
    text: &'a str,
    position: usize,
) -> Result<(Option<&'a str>, &'a str), SkipReason> {
    if position > 1 {
        return Err(SkipReason::ThirdCredential);
    }
    let credential = Credential::parse(text).map_err(SkipReason::Credential)?;
    if let Some(namespace) = credential.namespace {
        // Without any placement that is the finding, not this.
        if !placement.is_empty() && !placement.contains(&namespace) {
            return Err(SkipReason::NotInPlacement(namespace.to_owned()));
        }
        if credential.gateway_scheme && namespace != gateway.metadata.namespace {
            return Err(SkipReason::NotWithPods(namespace.to_owned()));
        }
    }
    Ok((credential.namespace, credential.name))
}

/// The private key of one of a pair of credentials: the first is as annotated, the second has the
/// other of RSA and ECDSA, so that every client finds one that it knows.
fn paired(annotated: PrivateKey, position: usize) -> PrivateKey {
    let first = annotated.effective_algorithm();
    match (position, first) {
        (0, algorithm) => PrivateKey { algorithm: Some(algorithm), ..annotated },
        (_, Algorithm::Rsa) => PrivateKey { algorithm: Some(Algorithm::Ecdsa), size: 256, ..annotated },
        (_, _) => PrivateKey { algorithm: Some(Algorithm::Rsa), size: 0, ..annotated },
    }
}

/// The name in a certificate for an entry of `hosts`; none for `*`, which is no name.
fn normalized(host: &str) -> Option<Cow<'_, str>> {
    Some(host_name(host)).filter(|name| !matches!(name.as_ref(), "" | "*"))
}
