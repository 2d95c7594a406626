//! The Certificates that cert-manager and the controller plan for a cluster, and the Secrets that Istio
//! Gateways serve.

use std::collections::BTreeSet;

use certificate_shim::gateway::{Gateway, GatewayKind, host_name};
use certificate_shim::issuer_ref::{IssuerRef, Resolution, resolve};
use certificate_shim::listener_set::{inherit, is_orphaned};
use certificate_shim::placement::{GatewayNamespace, placement};
use certificate_shim::plan::{Options, plan};
use serde_json::Value;

use super::world::{Key, World};

/// An issuer: group, kind and name.
pub type Issuer = (String, String, String);

/// A planned Certificate.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The namespace of the Secret.
    pub namespace: String,
    /// The name of the Secret.
    pub secret: String,
    /// The issuer.
    pub issuer: Issuer,
    /// DNS names and IP addresses, lower-cased.
    pub names: BTreeSet<String>,
    /// The common name; empty is none.
    pub common_name: String,
    /// Everything else in its `spec`, each value with its path: `usages` and `server auth`.
    pub fields: BTreeSet<(String, String)>,
}

impl Planned {
    fn read(certificate: &Value, issuer: &IssuerRef) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let spec = &certificate["spec"];
        let mut planned = Planned {
            namespace: text(&certificate["metadata"]["namespace"]),
            secret: text(&spec["secretName"]),
            issuer: effective(issuer),
            names: BTreeSet::new(),
            common_name: text(&spec["commonName"]),
            fields: BTreeSet::new(),
        };
        for (field, value) in spec.as_object().into_iter().flatten() {
            match field.as_str() {
                "secretName" | "issuerRef" | "commonName" => {}
                "dnsNames" | "ipAddresses" => {
                    planned.names.extend(texts(value).map(str::to_ascii_lowercase));
                }
                _ => planned.add(field, value),
            }
        }
        planned
    }

    fn add(&mut self, path: &str, value: &Value) {
        match value {
            Value::Object(fields) => {
                fields.iter().for_each(|(key, value)| self.add(&format!("{path}.{key}"), value));
            }
            Value::Array(items) => items.iter().for_each(|item| self.add(path, item)),
            Value::String(text) => drop(self.fields.insert((path.to_owned(), text.clone()))),
            other => drop(self.fields.insert((path.to_owned(), other.to_string()))),
        }
    }

    /// The value at a path that has one value.
    pub fn field(&self, path: &str) -> Option<&str> {
        self.fields.iter().find(|(other, _)| other == path).map(|(_, value)| value.as_str())
    }

    /// The duration, with cert-manager's default.
    pub fn duration(&self) -> &str {
        self.field("duration").unwrap_or("2160h0m0s")
    }

    /// Algorithm and size of the private key, with cert-manager's defaults.
    pub fn key(&self) -> (&str, &str) {
        let size = |default| self.field("privateKey.size").unwrap_or(default);
        match self.field("privateKey.algorithm").unwrap_or("RSA") {
            "RSA" => ("RSA", size("2048")),
            "ECDSA" => ("ECDSA", size("256")),
            other => (other, ""),
        }
    }

    /// Whether both are for the same Secret.
    pub fn is_same(&self, other: &Planned) -> bool {
        (&self.namespace, &self.secret) == (&other.namespace, &other.secret)
    }

    /// Whether it asks for nothing that the other does not ask for, issuers aside.
    pub fn is_within(&self, other: &Planned) -> bool {
        self.fields == other.fields
            && (self.common_name.is_empty() || self.common_name == other.common_name)
            && self.names.iter().all(|name| other.has_name(name))
    }

    /// Whether it has the name, or the wildcard that covers it in a certificate.
    pub fn has_name(&self, name: &str) -> bool {
        let wildcard = name.split_once('.').map(|(_, parent)| format!("*.{parent}"));
        self.names.contains(name) || wildcard.is_some_and(|wildcard| self.names.contains(&wildcard))
    }
}

fn effective(issuer: &IssuerRef) -> Issuer {
    (issuer.effective_group().to_owned(), issuer.effective_kind().to_owned(), issuer.name.clone())
}

/// The text of a value, or the texts in a list.
fn texts(value: &Value) -> impl Iterator<Item = &str> {
    let items = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    items.iter().filter_map(Value::as_str)
}

/// An object of the cluster.
pub fn read<'w>(world: &'w World, key: &Key) -> Option<Gateway<'w>> {
    Gateway::read(key.kind, "", world.get(key)?).ok()
}

/// The Certificates of an object.
pub fn planned(world: &World, key: &Key, gateways: Option<&[GatewayNamespace]>) -> Vec<Planned> {
    let Some(mut gateway) = read(world, key) else { return Vec::new() };
    if key.kind == GatewayKind::ListenerSet {
        let named = gateway.parent_ref.as_ref();
        let parent = named
            .and_then(|named| read(world, &Key::new(GatewayKind::GatewayApi, named.namespace, named.name)));
        let Some(parent) = parent.filter(|parent| !is_orphaned(&gateway, Some(parent))) else {
            return Vec::new();
        };
        inherit(&mut gateway, &parent);
    }
    resolve(&gateway).map_or_else(Vec::new, |issuer| certificates(&gateway, &issuer, gateways))
}

/// The Certificates of an object; of a ListenerSet those that it gets under any parent with an issuer.
pub fn planned_later(world: &World, key: &Key, gateways: Option<&[GatewayNamespace]>) -> Vec<Planned> {
    let Some(gateway) = read(world, key) else { return Vec::new() };
    let mut issuer = resolve(&gateway);
    if key.kind == GatewayKind::ListenerSet {
        // One that no parent has, of cert-manager's kind Issuer.
        let reference = IssuerRef { name: String::new(), kind: String::new(), group: String::new() };
        issuer.get_or_insert(Resolution { reference, faults: Vec::new() });
    }
    issuer.map_or_else(Vec::new, |issuer| certificates(&gateway, &issuer, gateways))
}

/// The kinds of issuers, with their groups.
const ISSUERS: [(&str, &str); 4] = [
    ("cert-manager.io", "Issuer"),
    ("cert-manager.io", "ClusterIssuer"),
    ("issuer.example.com", "ExtIssuer"),
    ("issuer.example.org", "ExtIssuer"),
];

fn certificates(
    gateway: &Gateway<'_>,
    issuer: &Resolution,
    gateways: Option<&[GatewayNamespace]>,
) -> Vec<Planned> {
    let Resolution { reference, faults } = issuer;
    let kind = (reference.effective_group(), reference.effective_kind());
    // No controller signs for a kind that does not exist.
    if gateway.metadata.deleting || !faults.is_empty() || !ISSUERS.contains(&kind) {
        return Vec::new();
    }
    let plan = plan(gateway, reference, &placement(gateway, gateways), &Options::default());
    plan.issued().iter().map(|certificate| Planned::read(&certificate.to_json(), reference)).collect()
}

/// A host of an Istio Gateway, and the Secret that it is served with: `namespace/name`, with `?` for
/// the namespace of unknown gateway Pods.
pub type Pair = (String, String);

/// The hosts and Secrets of every server of an Istio Gateway that names a credential, whatever its protocol
/// and mode, and whether or not the Gateway is annotated or is being deleted: istiod serves it.
pub fn pairs(world: &World, key: &Key, gateways: Option<&[GatewayNamespace]>) -> BTreeSet<Pair> {
    let mut pairs = BTreeSet::new();
    let (Some(object), Some(gateway)) = (world.get(key), read(world, key)) else { return pairs };
    let mut places = placement(&gateway, gateways);
    if places.is_empty() {
        places.push("?");
    }
    let servers = &object["spec"]["servers"];
    for server in servers.as_array().into_iter().flatten() {
        let credentials = ["credentialName", "credentialNames", "caCertCredentialName"];
        let credentials = credentials.iter().flat_map(|field| texts(&server["tls"][*field]));
        for (namespace, name) in credentials.filter_map(secret) {
            let own = namespace.map(|namespace| [namespace]);
            for place in own.as_ref().map_or(places.as_slice(), |own| own) {
                let hosts = texts(&server["hosts"]).map(|host| host_name(host).into_owned());
                pairs.extend(hosts.map(|host| (host, format!("{place}/{name}"))));
            }
        }
    }
    pairs
}

/// The Secret that istiod reads for a credential: the first two segments after the scheme. Without an SDS
/// provider `sds://x` is the Secret `x`.
fn secret(credential: &str) -> Option<(Option<&str>, &str)> {
    let path = credential.strip_prefix("sds://").unwrap_or(credential);
    let schemes = ["kubernetes://", "kubernetes-gateway://"];
    let path = schemes.iter().find_map(|scheme| path.strip_prefix(scheme)).unwrap_or(path);
    let mut segments = path.split('/');
    let (first, second) = (segments.next()?, segments.next());
    let is_name = |text: &str| !text.is_empty() && !text.contains(|c: char| c == ':' || c.is_uppercase());
    let (namespace, name) = second.map_or((None, first), |second| (Some(first), second));
    (is_name(first) && is_name(name)).then_some((namespace, name))
}
