//! The owners of existing Certificates.

use certificate_shim::gateway::{Gateway, GatewayKind};
use certificate_shim::owner::{FIELD_MANAGER, OWNER_NAME, OWNER_NAMESPACE, OWNER_UID};
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
    /// Whether a controller reference names it.
    pub is_controller: bool,
    /// Whether a record in annotations names it.
    pub is_recorded: bool,
    /// Whether the controller of this project wrote the reference or the record, by the Certificate's
    /// managed fields. `None` if there are none: some caches drop them.
    pub is_ours: Option<bool>,
}

impl DeclaredOwner<'_> {
    /// Whether it is an Istio Gateway.
    pub fn is_istio_gateway(&self) -> bool {
        (self.group, self.kind) == (GatewayKind::Istio.group(), GatewayKind::Istio.kind())
    }
}

/// The owner that a Certificate declares: its controller reference, which cert-manager and the
/// garbage collector use, or else the record of an Istio Gateway. `None` if it declares none, or none that
/// can be read.
pub fn declared_owner(certificate: &Value) -> Option<DeclaredOwner<'_>> {
    read(certificate).unwrap_or_default()
}

/// The owner of a Certificate, as the controller and cert-manager decide by its [`declared_owner`].
///
/// The controller takes a Certificate over that records the Gateway. A controller reference alone is not
/// enough: another controller that writes such references manages that Certificate.
pub fn owner(certificate: &Value, gateway: &Gateway<'_>) -> Owner {
    let Some(declared) = declared_owner(certificate) else { return Owner::None };
    let DeclaredOwner { group, kind, namespace, name, is_controller, is_recorded, is_ours, .. } = declared;
    let own = &gateway.metadata;
    let is_it = (group, kind, namespace, name)
        == (gateway.kind.group(), gateway.kind.kind(), own.namespace, own.name);
    if !is_it {
        return other(group, kind, name, (!is_controller).then_some(namespace));
    }
    if declared.is_istio_gateway() && !is_recorded && is_ours == Some(false) {
        return Owner::Other(
            "another controller, by a reference to this Gateway without a record".to_owned(),
        );
    }
    Owner::ThisGateway
}

fn read(certificate: &Value) -> Result<Option<DeclaredOwner<'_>>, Malformed> {
    let root = Node::root(certificate);
    let metadata = root.field("metadata")?;
    let own_namespace = metadata.field("namespace")?.string()?.unwrap_or_default();
    let references = metadata.field("ownerReferences")?.list(|reference| {
        let text = |name| Ok(reference.field(name)?.string()?.unwrap_or_default());
        let version = text("apiVersion")?;
        let group = version.split_once('/').map_or("", |(group, _)| group);
        let is_controller = reference.field("controller")?.boolean()?.unwrap_or_default();
        Ok(is_controller.then_some((group, text("kind")?, text("name")?, text("uid")?)))
    })?;
    let annotations = metadata.field("annotations")?;
    let record = |key| annotations.field(key)?.string();
    let recorded = record(OWNER_NAMESPACE)?.zip(record(OWNER_NAME)?);
    let (group, kind) = (GatewayKind::Istio.group(), GatewayKind::Istio.kind());
    let declared = match (references.into_iter().flatten().next(), recorded) {
        (Some((group, kind, name, uid)), recorded) => DeclaredOwner {
            group,
            kind,
            namespace: own_namespace,
            name,
            uid,
            is_controller: true,
            is_recorded: recorded == Some((own_namespace, name)),
            is_ours: None,
        },
        (None, Some((namespace, name))) => {
            let uid = record(OWNER_UID)?.unwrap_or_default();
            let (is_controller, is_recorded) = (false, true);
            DeclaredOwner { group, kind, namespace, name, uid, is_controller, is_recorded, is_ours: None }
        }
        (None, None) => return Ok(None),
    };
    let is_ours =
        certificate.pointer("/metadata/managedFields").and_then(|managed| is_ours(managed, &declared));
    Ok(Some(DeclaredOwner { is_ours, ..declared }))
}

/// Whether the controller's field manager owns the controller reference or the record, by
/// `metadata.managedFields` (`FieldsV1` in apimachinery's meta/v1/types.go).
fn is_ours(managed: &Value, declared: &DeclaredOwner<'_>) -> Option<bool> {
    let entries = managed.as_array().filter(|entries| !entries.is_empty())?;
    let text =
        |entry: &'_ Value, field| entry.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut ours = entries
        .iter()
        .filter(|entry| text(entry, "manager") == FIELD_MANAGER && text(entry, "subresource").is_empty());
    let record = ["f:", OWNER_NAME].concat();
    Some(ours.any(|entry| {
        let fields = |name| entry.pointer("/fieldsV1/f:metadata")?.get(name)?.as_object();
        let names_uid = |key: &String| {
            let keys = key.strip_prefix("k:").and_then(|keys| serde_json::from_str::<Value>(keys).ok());
            keys.is_some_and(|keys| text(&keys, "uid") == declared.uid)
        };
        let reference = || fields("f:ownerReferences").is_some_and(|keys| keys.keys().any(names_uid));
        let recorded = || fields("f:annotations").is_some_and(|keys| keys.contains_key(&record));
        (declared.is_controller && reference()) || (declared.is_recorded && recorded())
    }))
}

fn other(group: &str, kind: &str, name: &str, namespace: Option<&str>) -> Owner {
    let kind = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
    let mut owner = format!("{} {}", shorten(&one_line(&kind), 120), quote(name));
    if let Some(namespace) = namespace {
        owner = format!("{owner} in namespace {}", quote(namespace));
    }
    Owner::Other(owner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    const ISTIO: &str = "networking.istio.io/v1";

    fn reference(api_version: &str, name: &str) -> Value {
        json!({"metadata": {"namespace": "team-a", "ownerReferences": [
            {"apiVersion": api_version, "kind": "Gateway", "name": name, "uid": "u", "controller": true},
        ]}})
    }

    fn recorded(mut certificate: Value, namespace: &str, name: &str) -> Value {
        certificate["metadata"]["annotations"] = json!({OWNER_NAMESPACE: namespace, OWNER_NAME: name});
        certificate
    }

    fn managed(mut certificate: Value, manager: &str, fields: Value) -> Value {
        certificate["metadata"]["managedFields"] =
            json!([{"manager": manager, "operation": "Update", "fieldsV1": {"f:metadata": fields}}]);
        certificate
    }

    fn of_reference() -> Value {
        json!({"f:ownerReferences": {".": {}, "k:{\"uid\":\"u\"}": {}}})
    }

    fn of_record() -> Value {
        json!({"f:annotations": {"f:gateway-certificates.io/owner-name": {}}})
    }

    #[rstest]
    #[case::our_reference(managed(reference(ISTIO, "shop"), FIELD_MANAGER, of_reference()), "this")]
    #[case::another_managers_reference(managed(reference(ISTIO, "shop"), "webhook", of_reference()), "other")]
    #[case::our_entry_without_the_reference(
        managed(reference(ISTIO, "shop"), FIELD_MANAGER, of_record()),
        "other"
    )]
    #[case::another_managers_reference_with_record(
        managed(recorded(reference(ISTIO, "shop"), "team-a", "shop"), "webhook", of_reference()),
        "this"
    )]
    #[case::another_managers_reference_with_another_record(
        managed(recorded(reference(ISTIO, "shop"), "team-b", "shop"), "webhook", of_reference()),
        "other"
    )]
    #[case::no_managed_fields(reference(ISTIO, "shop"), "this")]
    #[case::our_record(managed(recorded(json!({"metadata": {}}), "team-a", "shop"), FIELD_MANAGER, of_record()), "this")]
    #[case::another_managers_record(managed(recorded(json!({"metadata": {}}), "team-a", "shop"), "kubectl", of_record()), "this")]
    #[case::a_record_of_another(recorded(json!({"metadata": {}}), "team-b", "shop"), "other")]
    #[case::a_controller_of_another_kind(
        recorded(reference("gateway.networking.k8s.io/v1", "shop"), "team-a", "shop"),
        "other"
    )]
    #[case::nothing(json!({"metadata": {}}), "none")]
    #[case::unreadable(json!({"metadata": {"ownerReferences": 3}}), "none")]
    fn owners(#[case] certificate: Value, #[case] expected: &str) {
        let gateway = json!({"metadata": {"namespace": "team-a", "name": "shop"}});
        let gateway = Gateway::read(GatewayKind::Istio, "team-a", &gateway).unwrap();
        let found = match owner(&certificate, &gateway) {
            Owner::ThisGateway => "this",
            Owner::Other(_) => "other",
            Owner::None => "none",
        };
        assert_eq!(found, expected);
    }

    #[rstest]
    #[case::ours(managed(reference(ISTIO, "shop"), FIELD_MANAGER, of_reference()), Some(true))]
    #[case::not_ours(managed(reference(ISTIO, "shop"), "webhook", of_reference()), Some(false))]
    #[case::unknown(reference(ISTIO, "shop"), None)]
    #[case::odd_entries(json!({"metadata": {"annotations": {OWNER_NAMESPACE: "a", OWNER_NAME: "b"}, "managedFields": [3, {"manager": FIELD_MANAGER}]}}), Some(false))]
    fn managers(#[case] certificate: Value, #[case] expected: Option<bool>) {
        assert_eq!(declared_owner(&certificate).unwrap().is_ours, expected);
    }
}
