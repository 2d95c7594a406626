//! The owners of existing Certificates.

use certificate_shim::gateway::{Gateway, GatewayKind};
use certificate_shim::owner::{OWNER_NAME, OWNER_NAMESPACE, OWNER_UID};
use certificate_shim::read::{Malformed, Node};
use serde_json::Value;

use crate::text::{one_line, quote, shorten};

/// The owner of a Certificate, as seen from a Gateway that asks for its Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// This Gateway, or an earlier one of the same name: uids are not compared.
    ThisGateway,
    /// Another object, as described in messages.
    Other(String),
    /// None.
    None,
}

/// The owner that a Certificate declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredOwner<'a> {
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
    /// Whether it is declared by a record in annotations rather than by a controller reference.
    pub is_recorded: bool,
}

/// The owner that a Certificate declares: its controller reference, which cert-manager and the
/// garbage collector use, or else the record of an Istio Gateway in another namespace. `None` if it
/// declares none, or none that can be read.
pub fn declared_owner(certificate: &Value) -> Option<DeclaredOwner<'_>> {
    read(certificate).unwrap_or_default()
}

/// The owner of a Certificate, by its [`declared_owner`].
pub fn owner(certificate: &Value, gateway: &Gateway<'_>) -> Owner {
    let Some(declared) = declared_owner(certificate) else { return Owner::None };
    let DeclaredOwner { group, kind, namespace, name, is_recorded, .. } = declared;
    let own = &gateway.metadata;
    if (group, kind, namespace, name) == (gateway.kind.group(), gateway.kind.kind(), own.namespace, own.name)
    {
        return Owner::ThisGateway;
    }
    other(group, kind, name, is_recorded.then_some(namespace))
}

fn read(certificate: &Value) -> Result<Option<DeclaredOwner<'_>>, Malformed> {
    let root = Node::root(certificate);
    let metadata = root.field("metadata")?;
    let namespace = metadata.field("namespace")?.string()?.unwrap_or_default();
    let references = metadata.field("ownerReferences")?.list(|reference| {
        let text = |name| Ok(reference.field(name)?.string()?.unwrap_or_default());
        let version = text("apiVersion")?;
        let group = version.split_once('/').map_or("", |(group, _)| group);
        let is_controller = reference.field("controller")?.boolean()?.unwrap_or_default();
        let (kind, name, uid) = (text("kind")?, text("name")?, text("uid")?);
        Ok(is_controller.then_some(DeclaredOwner { group, kind, namespace, name, uid, is_recorded: false }))
    })?;
    if let Some(controller) = references.into_iter().flatten().next() {
        return Ok(Some(controller));
    }
    let annotations = metadata.field("annotations")?;
    let record = |key| annotations.field(key)?.string();
    let (Some(namespace), Some(name)) = (record(OWNER_NAMESPACE)?, record(OWNER_NAME)?) else {
        return Ok(None);
    };
    let uid = record(OWNER_UID)?.unwrap_or_default();
    let (group, kind) = (GatewayKind::Istio.group(), GatewayKind::Istio.kind());
    Ok(Some(DeclaredOwner { group, kind, namespace, name, uid, is_recorded: true }))
}

fn other(group: &str, kind: &str, name: &str, namespace: Option<&str>) -> Owner {
    let kind = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
    let mut owner = format!("{} {}", shorten(&one_line(&kind), 120), quote(name));
    if let Some(namespace) = namespace {
        owner = format!("{owner} in namespace {}", quote(namespace));
    }
    Owner::Other(owner)
}
