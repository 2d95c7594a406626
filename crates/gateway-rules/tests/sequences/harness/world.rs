//! A cluster: a model of the API server with Gateways and ListenerSets, and issuers and Namespaces that no
//! request changes.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use certificate_shim::gateway::GatewayKind;
use gateway_rules::lookup::User;
use gateway_rules::{Cluster, LookupError, ObjectRef};
use serde_json::{Value, json};

/// The namespace of the tenant.
pub const TENANT: &str = "team-a";
/// A namespace without tenant. The tenant's users may write there too.
pub const SANDBOX: &str = "sandbox";
/// The namespace of the platform team. The tenant's users may not write there.
pub const PLATFORM: &str = "platform";
/// The namespace of the gateway Pods.
pub const GATEWAYS: &str = "istio-system";

/// The user who may create Certificates, in every namespace.
pub const PERMITTED: &str = "permitted";
/// The user who may create Certificates nowhere.
pub const UNPERMITTED: &str = "unpermitted";

/// Identifies a Gateway or ListenerSet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The kind.
    pub kind: GatewayKind,
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl Key {
    /// A key.
    pub fn new(kind: GatewayKind, namespace: &str, name: &str) -> Self {
        Key { kind, namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// The key of an object.
    pub fn of(object: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let api_version = text(&object["apiVersion"]);
        let group = api_version.split('/').next().unwrap_or_default();
        let kind = GatewayKind::of(group, &text(&object["kind"])).expect("a Gateway or ListenerSet");
        let metadata = &object["metadata"];
        Key { kind, namespace: text(&metadata["namespace"]), name: text(&metadata["name"]) }
    }
}

/// The operation of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// CREATE
    Create,
    /// UPDATE
    Update,
    /// DELETE
    Delete,
}

impl Operation {
    /// The name in an AdmissionReview.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Create => "CREATE",
            Operation::Update => "UPDATE",
            Operation::Delete => "DELETE",
        }
    }
}

/// A request of one of the two users.
#[derive(Debug, Clone)]
pub struct Request {
    /// Whether the user may create Certificates.
    pub is_permitted: bool,
    /// The operation.
    pub operation: Operation,
    /// The object as the user sends it. A DELETE uses its key only.
    pub object: Value,
}

/// Gateways and ListenerSets.
#[derive(Debug, Clone, Default)]
pub struct World(BTreeMap<Key, Value>);

impl World {
    /// A cluster with these objects.
    pub fn new(objects: &[Value]) -> Self {
        World(objects.iter().map(|object| (Key::of(object), object.clone())).collect())
    }

    /// The keys of all objects.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.0.keys()
    }

    /// All objects of the cluster, with the issuers and Namespaces.
    #[allow(dead_code, reason = "not every front end needs them")]
    pub fn objects(&self) -> impl Iterator<Item = &Value> {
        self.0.values().chain(FIXED.values())
    }

    /// One object.
    pub fn get(&self, key: &Key) -> Option<&Value> {
        self.0.get(key)
    }

    /// The object as it would be stored after a request; `None` if the API server rejects the request by
    /// itself.
    pub fn admitted(&self, request: &Request) -> Option<Value> {
        let old = self.get(&Key::of(&request.object));
        let mut object = match (request.operation, old) {
            (Operation::Create, None) | (Operation::Update, Some(_)) => request.object.clone(),
            (Operation::Delete, Some(old)) => old.clone(),
            _ => return None,
        };
        let was_deleted = old.is_some_and(is_deleting);
        let is_had = |finalizer| old.is_some_and(|old| finalizers(old).contains(finalizer));
        if was_deleted && !finalizers(&object).iter().all(is_had) {
            return None;
        }
        let metadata = object["metadata"].as_object_mut()?;
        metadata.remove("deletionTimestamp");
        if was_deleted || request.operation == Operation::Delete {
            metadata.insert("deletionTimestamp".to_owned(), json!("2026-01-01T00:00:00Z"));
        }
        Some(object)
    }

    /// Stores an object that was admitted. A deleted one without finalizers is removed.
    pub fn store(&mut self, object: Value) {
        let key = Key::of(&object);
        if is_deleting(&object) && finalizers(&object).is_empty() {
            self.0.remove(&key);
        } else {
            self.0.insert(key, object);
        }
    }
}

/// Whether the object is being deleted.
pub fn is_deleting(object: &Value) -> bool {
    object["metadata"].get("deletionTimestamp").is_some()
}

/// The finalizers of an object.
pub fn finalizers(object: &Value) -> &[Value] {
    object["metadata"].get("finalizers").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

impl Cluster for World {
    fn get(&self, object: &ObjectRef, _: &[&str], _: bool) -> Result<Value, LookupError> {
        let namespace = object.namespace.as_deref().unwrap_or_default();
        let found = if object.group() == GatewayKind::GatewayApi.group() {
            self.0.get(&Key::new(GatewayKind::GatewayApi, namespace, &object.name))
        } else {
            FIXED.get(&(object.kind.as_str(), namespace, object.name.as_str()))
        };
        found.cloned().ok_or(LookupError::NotFound)
    }

    fn can_create_certificates(&self, user: &User, _: &str) -> Result<bool, LookupError> {
        Ok(user.name == PERMITTED)
    }
}

type Fixed = BTreeMap<(&'static str, &'static str, &'static str), Value>;

/// Namespaces and issuers by kind, namespace and name. The ClusterIssuer `le` is an ACME issuer, all
/// others are CAs. [`super::judge`] says which ones the tenant may use.
static FIXED: LazyLock<Fixed> = LazyLock::new(|| {
    let mut fixed = Fixed::new();
    for (name, team) in [(TENANT, "a"), (SANDBOX, "none"), (PLATFORM, "none"), (GATEWAYS, "none")] {
        let metadata = json!({"name": name, "labels": {"team": team}});
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata});
        fixed.insert(("Namespace", "", name), namespace);
    }
    let mut issuer = |kind: &'static str, namespace: &'static str, name: &'static str, spec: Value| {
        let mut issuer = json!({
            "apiVersion": "cert-manager.io/v1", "kind": kind, "metadata": {"name": name, "generation": 1},
            "spec": spec,
            "status": {"conditions": [{"type": "Ready", "status": "True", "observedGeneration": 1}]},
        });
        if !namespace.is_empty() {
            issuer["metadata"]["namespace"] = json!(namespace);
        }
        fixed.insert((kind, namespace, name), issuer);
    };
    let ca = || json!({"ca": {"secretName": "ca"}});
    issuer("ClusterIssuer", "", "le", json!({"acme": {"solvers": [{"dns01": {}}]}}));
    issuer("ClusterIssuer", "", "le-ca", ca());
    issuer("ClusterIssuer", "", "company-ca", ca());
    for namespace in [TENANT, SANDBOX, GATEWAYS] {
        issuer("Issuer", namespace, "le", ca());
        issuer("Issuer", namespace, "company-ca", ca());
    }
    fixed
});
