//! The Secrets and hosts for which the servers of an Istio Gateway request certificates.
//!
//! A server requests a certificate if its protocol is HTTPS or TLS, Istio terminates TLS in its mode,
//! and its credential is a Secret (`ServerTLSSettings` in Istio's networking/v1alpha3/gateway.proto).
//! Other servers with a credential are either ignored (HTTP, PASSTHROUGH, ISTIO_MUTUAL) or invalid,
//! which is reported.

use std::borrow::Cow;

use crate::collector::Collector;
use crate::credential::Credential;
use crate::gateway::{Gateway, Server, ServerTls, host_name};
use crate::place::{Place, ServerField};
use crate::skip::{ServerFault, SkipFault, Skips};
use crate::template::{Algorithm, PrivateKey};
use crate::value::ip;

/// A Secret for which a server requests a certificate.
struct Request<'a> {
    server: usize,
    place: Place,
    /// The only namespace of the Secret; if `None`, all of the placement.
    namespace: Option<&'a str>,
    name: &'a str,
    key: PrivateKey,
}

/// Collects the requests of the servers, sorted by the namespaces of the placement, and the servers
/// that cannot be served.
pub(crate) fn collect<'a>(
    gateway: &Gateway<'a>,
    servers: &[Server<'a>],
    placement: &[&'a str],
    annotated: PrivateKey,
    collector: &mut Collector<'a>,
    skips: &mut Skips,
) {
    let mut requests: Vec<Request<'a>> = Vec::new();
    for (index, server) in servers.iter().enumerate() {
        let Some(tls) = tls_with_credentials(server) else { continue };
        let mut skip = |field, fault| skips.push(index, SkipFault::Server(field, fault));
        match tls.mode {
            Some("SIMPLE" | "MUTUAL" | "OPTIONAL_MUTUAL") => {}
            Some("ISTIO_MUTUAL" | "PASSTHROUGH" | "AUTO_PASSTHROUGH") => continue,
            Some(mode) => {
                skip(ServerField::Mode, ServerFault::UnknownMode(mode.to_owned()));
                continue;
            }
            None => {
                skip(ServerField::Mode, ServerFault::NoMode);
                continue;
            }
        }
        let is_pair = tls.credential_names.len() > 1;
        for (position, (field, text)) in tls.credentials().enumerate() {
            match target(gateway, placement, text, position) {
                Ok((namespace, name)) => {
                    let key = if is_pair { paired(annotated, position) } else { annotated };
                    requests.push(Request {
                        server: index,
                        place: Place::Server(index, field),
                        namespace,
                        name,
                        key,
                    });
                }
                Err(fault) => skip(field, fault),
            }
        }
        if is_pair && annotated.algorithm == Some(Algorithm::Ed25519) {
            collector.pair_of_ed25519(Place::Server(index, ServerField::CredentialNames(1)));
        }
    }
    for namespace in placement {
        for request in
            requests.iter().filter(|request| request.namespace.is_none_or(|only| only == *namespace))
        {
            let certificate = collector.certificate(namespace, request.name, request.place, request.key);
            let hosts = servers.get(request.server).into_iter().flat_map(|server| &server.hosts).enumerate();
            for (position, host) in hosts {
                let place = Place::Server(request.server, ServerField::Host(position));
                if let Some(name) = normalized(host) {
                    let is_ip = ip::is_ip(&name);
                    collector.host(certificate, name, is_ip, place);
                }
            }
        }
    }
}

/// The TLS settings of a server that serves TLS and has a credential.
fn tls_with_credentials<'s, 'a>(server: &'s Server<'a>) -> Option<&'s ServerTls<'a>> {
    server.tls.as_ref().filter(|tls| server.speaks_tls() && tls.credentials().next().is_some())
}

/// The only namespace of a credential's Secret, and its name.
fn target<'a>(
    gateway: &Gateway<'a>,
    placement: &[&'a str],
    text: &'a str,
    position: usize,
) -> Result<(Option<&'a str>, &'a str), ServerFault> {
    if position > 1 {
        return Err(ServerFault::ThirdCredential);
    }
    let credential = Credential::parse(text).map_err(ServerFault::Credential)?;
    if let Some(namespace) = credential.namespace {
        // An empty placement is reported elsewhere.
        if !placement.is_empty() && !placement.contains(&namespace) {
            return Err(ServerFault::NotInPlacement(namespace.to_owned()));
        }
        if credential.gateway_scheme && namespace != gateway.metadata.namespace {
            return Err(ServerFault::NotWithPods(namespace.to_owned()));
        }
    }
    Ok((credential.namespace, credential.name))
}

/// The private key of one of two credentials. The first is as annotated. The second is the other one of
/// RSA and ECDSA, so that every client supports one of them.
fn paired(annotated: PrivateKey, position: usize) -> PrivateKey {
    let first = annotated.effective_algorithm();
    match (position, first) {
        (0, algorithm) => PrivateKey { algorithm: Some(algorithm), ..annotated },
        (_, Algorithm::Rsa) => PrivateKey { algorithm: Some(Algorithm::Ecdsa), size: 256, ..annotated },
        (_, _) => PrivateKey { algorithm: Some(Algorithm::Rsa), size: 0, ..annotated },
    }
}

/// The name in the certificate for an entry of `hosts`; `None` for `*`.
fn normalized(host: &str) -> Option<Cow<'_, str>> {
    Some(host_name(host)).filter(|name| !matches!(name.as_ref(), "" | "*"))
}
