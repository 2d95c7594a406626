//! Certificates that are there already, and whom they belong to.

use certificate_shim::gateway::{Gateway, GatewayKind};
use certificate_shim::owner::{OWNER_NAME, OWNER_NAMESPACE};
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

/// Whom a Certificate belongs to: its controller reference, which cert-manager and the garbage
/// collector go by, or else the record of an Istio Gateway in another namespace. A Certificate that
/// cannot be read belongs to nobody.
pub fn owner(certificate: &Value, gateway: &Gateway<'_>) -> Owner {
    read(certificate, gateway).unwrap_or(Owner::Nobody)
}

fn read(certificate: &Value, gateway: &Gateway<'_>) -> Result<Owner, Malformed> {
    let root = Node::root(certificate);
    let metadata = root.field("metadata")?;
    let namespace = metadata.field("namespace")?.string()?.unwrap_or_default();
    let own = &gateway.metadata;
    let references = metadata.field("ownerReferences")?.list(|reference| {
        let text = |name| Ok(reference.field(name)?.string()?.unwrap_or_default());
        let version = text("apiVersion")?;
        let group = version.split_once('/').map_or("", |(group, _)| group);
        let controls = reference.field("controller")?.boolean()?.unwrap_or_default();
        Ok(controls.then_some((group, text("kind")?, text("name")?)))
    })?;
    if let Some((group, kind, name)) = references.into_iter().flatten().next() {
        let ours = (group, kind, namespace, name)
            == (gateway.kind.group(), gateway.kind.kind(), own.namespace, own.name);
        return Ok(if ours { Owner::ThisGateway } else { another(group, kind, name, None) });
    }
    let annotations = metadata.field("annotations")?;
    let recorded = |key| annotations.field(key)?.string();
    let (Some(namespace), Some(name)) = (recorded(OWNER_NAMESPACE)?, recorded(OWNER_NAME)?) else {
        return Ok(Owner::Nobody);
    };
    let istio = GatewayKind::Istio;
    Ok(if (gateway.kind, own.namespace, own.name) == (istio, namespace, name) {
        Owner::ThisGateway
    } else {
        another(istio.group(), istio.kind(), name, Some(namespace))
    })
}

fn another(group: &str, kind: &str, name: &str, namespace: Option<&str>) -> Owner {
    let kind = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
    let mut owner = format!("{} {}", shorten(&one_line(&kind), 120), quote(name));
    if let Some(namespace) = namespace {
        owner = format!("{owner} in namespace {}", quote(namespace));
    }
    Owner::Another(owner)
}
