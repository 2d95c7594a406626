//! Lookups: a policy's requests for information about the cluster.
//!
//! Names, fields and their order are those of `crates/policy-evaluator/src/callback_requests.rs` and the
//! SDK's `host_capabilities/kubernetes.rs`. Recordings contain them in this form, and replay errors print
//! their `Debug`.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

/// One lookup.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lookup {
    /// `kubernetes/get_resource`.
    KubernetesGetResource(KubernetesGetResource),
    /// `kubernetes/list_resources_by_namespace`.
    KubernetesListResourceNamespace(KubernetesListResourceNamespace),
    /// `kubernetes/list_resources_all`.
    KubernetesListResourceAll(KubernetesListResourceAll),
    /// `kubernetes/can_i`.
    KubernetesCanI(KubernetesCanI),
}

impl Lookup {
    /// The apiVersion and kind that is read; `None` for `can_i`, which needs no entry in
    /// contextAwareResources.
    #[must_use]
    pub fn resource(&self) -> Option<(&str, &str)> {
        match self {
            Self::KubernetesGetResource(get) => Some((&get.api_version, &get.kind)),
            Self::KubernetesListResourceNamespace(list) => Some((&list.api_version, &list.kind)),
            Self::KubernetesListResourceAll(list) => Some((&list.api_version, &list.kind)),
            Self::KubernetesCanI(_) => None,
        }
    }
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The real type has struct variants, so the output has only one name around the fields.
        match self {
            Self::KubernetesGetResource(get) => fmt::Debug::fmt(get, f),
            Self::KubernetesListResourceNamespace(list) => fmt::Debug::fmt(list, f),
            Self::KubernetesListResourceAll(list) => fmt::Debug::fmt(list, f),
            Self::KubernetesCanI(can_i) => fmt::Debug::fmt(can_i, f),
        }
    }
}

/// Gets one object by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KubernetesGetResource {
    /// `v1`, or group/version.
    pub api_version: String,
    /// The kind, as in manifests.
    pub kind: String,
    /// The name of the object, inserted into the URL without escaping.
    pub name: String,
    /// The namespace of the object; ignored for cluster-scoped kinds.
    pub namespace: Option<String>,
    /// Whether to bypass the host's cache of five seconds.
    pub disable_cache: bool,
    /// The dotted paths to keep; metadata is always kept.
    pub field_masks: Option<BTreeSet<String>>,
}

/// Lists all objects of a kind in one namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KubernetesListResourceNamespace {
    /// `v1`, or group/version.
    pub api_version: String,
    /// The kind, as in manifests.
    pub kind: String,
    /// The namespace.
    pub namespace: String,
    /// A label selector; everything if absent.
    pub label_selector: Option<String>,
    /// A field selector; everything if absent.
    pub field_selector: Option<String>,
    /// The dotted paths to keep; metadata is always kept.
    pub field_masks: Option<BTreeSet<String>>,
}

/// Lists all objects of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KubernetesListResourceAll {
    /// `v1`, or group/version.
    pub api_version: String,
    /// The kind, as in manifests.
    pub kind: String,
    /// A label selector; everything if absent.
    pub label_selector: Option<String>,
    /// A field selector; everything if absent.
    pub field_selector: Option<String>,
    /// The dotted paths to keep; metadata is always kept.
    pub field_masks: Option<BTreeSet<String>>,
}

/// Creates a SubjectAccessReview.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KubernetesCanI {
    /// The subject and the operation. The SDK sends it under the alias.
    #[serde(alias = "subject_access_review")]
    pub request: SubjectAccessReview,
    /// Whether to bypass the host's cache of five seconds.
    pub disable_cache: bool,
}

/// A subject and an operation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubjectAccessReview {
    /// The groups of the user.
    pub groups: Option<Vec<String>>,
    /// The operation.
    pub resource_attributes: ResourceAttributes,
    /// The user.
    pub user: String,
}

/// A verb on a resource.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceAttributes {
    /// API group; `*` for all.
    pub group: Option<String>,
    /// The object's name; empty for all.
    pub name: Option<String>,
    /// The namespace; empty for all, or for cluster-scoped resources.
    pub namespace: Option<String>,
    /// The plural; `*` for all.
    pub resource: String,
    /// The subresource; empty for none.
    pub subresource: Option<String>,
    /// `get`, `list`, ..; `*` for all.
    pub verb: String,
    /// API version; `*` for all.
    pub version: Option<String>,
}
