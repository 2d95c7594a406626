//! Certificates that are there already, and whom they belong to.

use certificate_shim::gateway::{Gateway, GatewayKind};
use certificate_shim::owner::{OWNER_NAME, OWNER_NAMESPACE, OWNER_UID};
use certificate_shim::read::{Malformed, Node};
use serde_json::Value;

use crate::text::{one_line, quote, shorten};

/// Whom a Certificate belongs to, seen from a Gateway that wants its Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// To the Gateway, or to an earlier one of its name: a uid says nothing about who may have it.
    ThisGateway,
    /// To another object: which one.
    Another(String),
    /// To none.
    Nobody,
}

/// What a Certificate says about whom it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim<'a> {
    /// The owner's API group.
    pub group: &'a str,
    /// The owner's kind.
    pub kind: &'a str,
    /// The owner's namespace.
    pub namespace: &'a str,
    /// The owner's name.
    pub name: &'a str,
    /// The owner's uid.
    pub uid: &'a str,
    /// Whether it is a record in annotations; else a controller reference.
    pub recorded: bool,
}

/// What a Certificate says about whom it belongs to: its controller reference, which cert-manager
/// and the garbage collector go by, or else the record of an Istio Gateway in another namespace. None
/// where it says nothing, or nothing that can be read.
pub fn claim(certificate: &Value) -> Option<Claim<'_>> {
    read(certificate).unwrap_or_default()
}

/// Whom a Certificate belongs to, by its [`claim`].
pub fn owner(certificate: &Value, gateway: &Gateway<'_>) -> Owner {
    let Some(claim) = claim(certificate) else { return Owner::Nobody };
    let Claim { group, kind, namespace, name, .. } = claim;
    let own = &gateway.metadata;
    if (group, kind, namespace, name) == (gateway.kind.group(), gateway.kind.kind(), own.namespace, own.name)
    {
        return Owner::ThisGateway;
    }
    another(group, kind, name, claim.recorded.then_some(namespace))
}

fn read(certificate: &Value) -> Result<Option<Claim<'_>>, Malformed> {
    let root = Node::root(certificate);
    let metadata = root.field("metadata")?;
    let namespace = metadata.field("namespace")?.string()?.unwrap_or_default();
    let references = metadata.field("ownerReferences")?.list(|reference| {
        let text = |name| Ok(reference.field(name)?.string()?.unwrap_or_default());
        let version = text("apiVersion")?;
        let group = version.split_once('/').map_or("", |(group, _)| group);
        let controls = reference.field("controller")?.boolean()?.unwrap_or_default();
        let (kind, name, uid) = (text("kind")?, text("name")?, text("uid")?);
        Ok(controls.then_some(Claim { group, kind, namespace, name, uid, recorded: false }))
    })?;
    if let Some(claim) = references.into_iter().flatten().next() {
        return Ok(Some(claim));
    }
    let annotations = metadata.field("annotations")?;
    let recorded = |key| annotations.field(key)?.string();
    let (Some(namespace), Some(name)) = (recorded(OWNER_NAMESPACE)?, recorded(OWNER_NAME)?) else {
        return Ok(None);
    };
    let uid = recorded(OWNER_UID)?.unwrap_or_default();
    let istio = GatewayKind::Istio;
    Ok(Some(Claim { group: istio.group(), kind: istio.kind(), namespace, name, uid, recorded: true }))
}

fn another(group: &str, kind: &str, name: &str, namespace: Option<&str>) -> Owner {
    let kind = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
    let mut owner = format!("{} {}", shorten(&one_line(&kind), 120), quote(name));
    if let Some(namespace) = namespace {
        owner = format!("{owner} in namespace {}", quote(namespace));
    }
    Owner::Another(owner)
}
