//! The owner of a Certificate: an owner reference, and for Istio Gateways also a record of the owner.
//!
//! The record is the owner's namespace, name and uid in annotations, and a label to list all
//! Certificates of one Gateway. It survives backups, which drop owner references, and it works across
//! namespaces: Kubernetes' garbage collector considers owners in other namespaces deleted and deletes the
//! dependent. A Certificate in the namespace of its Gateway has an owner reference too.

use serde_json::{Value, json};

use crate::gateway::{Gateway, GatewayKind};

/// Annotation: the namespace of the Gateway that a Certificate belongs to.
pub const OWNER_NAMESPACE: &str = "gateway-certificates.io/owner-namespace";
/// Annotation: the name of the Gateway that a Certificate belongs to.
pub const OWNER_NAME: &str = "gateway-certificates.io/owner-name";
/// Annotation: the uid of the Gateway that a Certificate belongs to.
pub const OWNER_UID: &str = "gateway-certificates.io/owner-uid";
/// Label: [`hash`] of the Gateway's namespace and name.
pub const OWNER_HASH: &str = "gateway-certificates.io/owner-hash";
/// Annotation: `true` on a Certificate that the controller did not create but took over. It keeps its
/// usages unless the Gateway's annotations say otherwise, since cert-manager would issue it again.
pub const ADOPTED: &str = "gateway-certificates.io/adopted";
/// Annotation of a Gateway: with `true`, the controller neither writes nor deletes its Certificates.
pub const PAUSED: &str = "gateway-certificates.io/paused";
/// The controller's name as field manager.
pub const FIELD_MANAGER: &str = "gateway-certificates";
/// The prefix of the keys of the owner record.
pub const OWNER_PREFIX: &str = "gateway-certificates.io/";

/// The Gateway that a Certificate belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Its kind.
    pub kind: GatewayKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid; empty during creation.
    pub uid: String,
    /// [`hash`] of namespace and name.
    pub hash: String,
}

impl Owner {
    /// The Gateway as an owner.
    pub fn of(gateway: &Gateway<'_>) -> Self {
        Owner {
            kind: gateway.kind,
            namespace: gateway.metadata.namespace.to_owned(),
            name: gateway.metadata.name.to_owned(),
            uid: gateway.metadata.uid.to_owned(),
            hash: hash(gateway.metadata.namespace, gateway.metadata.name),
        }
    }

    /// The entry of `metadata.ownerReferences` of a Certificate in the owner's own namespace
    /// (`NewControllerRef` in apimachinery's controller_ref.go).
    pub fn reference(&self) -> Value {
        json!({
            "apiVersion": self.kind.owner_api_version(),
            "kind": self.kind.kind(),
            "name": self.name,
            "uid": self.uid,
            "controller": true,
            "blockOwnerDeletion": true,
        })
    }

    /// The annotations of the owner's Certificates; their label is [`OWNER_HASH`].
    pub fn record(&self) -> [(&'static str, &str); 3] {
        [(OWNER_NAMESPACE, &self.namespace), (OWNER_NAME, &self.name), (OWNER_UID, &self.uid)]
    }
}

/// The label value for listing the Certificates of a Gateway: 16 hexadecimal digits, the 64-bit FNV-1a
/// hash (<http://www.isthe.com/chongo/tech/comp/fnv/>) of `namespace/name`.
///
/// Names can be longer than a label value, so the label contains a hash. It is used only to list
/// Certificates, and does not prove ownership: the annotations distinguish Gateways with the same hash.
/// The hash must be stable, short and well distributed. It does not have to resist deliberate
/// collisions.
pub fn hash(namespace: &str, name: &str) -> String {
    fnv1a(namespace.bytes().chain([b'/']).chain(name.bytes()))
}

/// The 64-bit FNV-1a hash of some bytes, as 16 hexadecimal digits.
pub fn fnv1a(bytes: impl Iterator<Item = u8>) -> String {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    format!("{:016x}", bytes.fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_fnv_1a() {
        // The values are those of Go's hash/fnv, New64a.
        assert_eq!(hash("team-a", "web"), "e3ceb295ae50bb43");
        assert_eq!(hash("", ""), "af63a24c860189fe");
    }

    #[test]
    fn namespace_and_name_are_separated() {
        assert_ne!(hash("a", "b-c"), hash("a-b", "c"));
        assert_ne!(hash("ab", "c"), hash("a", "bc"));
    }

    #[test]
    fn the_hash_fits_a_label_value() {
        let value = hash(&"n".repeat(63), &"g".repeat(253));
        assert_eq!(value.len(), 16);
        assert!(value.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}
