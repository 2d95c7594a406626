//! Manifests: a cluster of objects from files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::access::{AccessRule, review};
use super::api_error::Failure;
use super::faults::{LookupFault, Target, kind_missing};
use super::fixtures::{API_VERSION, Fixture};
use super::kinds::{Discovered, Kind, Kinds, group_of, guess_plural};
use super::route::{InvalidUri, Route, follow, path};
use super::selector::{fields_match, labels_match};
use super::{Cluster, HostError, Tail, field_mask};
use crate::documents::{self, Document, ReadErrors};
use crate::{Error, KubernetesGetResource, Lookup};

/// A cluster that contains the given objects. Fixtures can make its lookups fail.
///
/// It serves the well-known kinds (Namespaces, Secrets, Pods and Services, and the kinds of cert-manager,
/// Gateway API and Istio's gateways), the kinds of the CustomResourceDefinitions, and the kinds of the other
/// objects. An object can be read in every served version of its group. If two objects have the same group,
/// kind, namespace and name, the last one is used, as when both are applied.
///
/// # Fixtures
/// Documents of `apiVersion: policy-host/v1` are not objects of the cluster. They configure it.
///
/// A **LookupFault** makes lookups fail. The first one that matches a lookup is used.
/// ```yaml
/// apiVersion: policy-host/v1
/// kind: LookupFault
/// spec:
///   match:                  # omitted fields match everything
///     apiVersion: cert-manager.io/v1
///     kind: Issuer          # for can_i: authorization.k8s.io/v1 SubjectAccessReview
///     namespace: team-a
///     name: ca
///     fresh: true           # disable_cache of the lookup
///   fault: forbidden
///   user: someone           # for `forbidden`; default system:serviceaccount:kubewarden:policy-server
///   tail: caused-by         # none | caused-by | backtrace; default: the setting of the cluster
///   during: request         # discovery | request, for faults of the API server
///   delayMilliseconds: 300  # delay before the answer
/// ```
/// | fault | result |
/// |---|---|
/// | `group-not-served` | discovery of the group fails with 404 |
/// | `kind-not-served` | the group is served, but not the kind |
/// | `crd-removed` | discovery is cached, and the request fails with 404 |
/// | `forbidden` | 403 of RBAC |
/// | `unauthorized` | 401; during discovery unless `during: request` |
/// | `too-many-requests` | 429 of priority and fairness |
/// | `server-error` | 500 with an etcd timeout |
/// | `service-unavailable` | 503 |
/// | `unavailable` | the connection is refused; during discovery unless `during: request` |
/// | `not-granted` | the kind is not in contextAwareResources |
/// | `capability-not-granted` | the operation is not in hostCapabilities |
/// | `slow` | the real answer, after `delayMilliseconds` |
/// | `text` | exactly the `text` of the fixture |
///
/// An **AccessRule** allows operations in `can_i`, which otherwise denies. `*` covers everything.
/// `namespaces` and `names` are optional.
/// ```yaml
/// apiVersion: policy-host/v1
/// kind: AccessRule
/// spec: {user: alice, verbs: [use], apiGroups: [cert-manager.io], resources: [clusterissuers], names: [ca]}
/// ```
///
/// # Differences
/// If the API server rejects a list, the real host waits forever. Here it is an error.
#[derive(Debug, Clone, Default)]
pub struct Manifests {
    kinds: Kinds,
    objects: BTreeMap<Key, Value>,
    faults: Vec<LookupFault>,
    access: Vec<AccessRule>,
    tail: Tail,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    group: String,
    kind: String,
    namespace: Option<String>,
    name: String,
}

impl Manifests {
    /// Reads files and folders.
    ///
    /// # Errors
    /// [`Error::Documents`] if files cannot be read or parsed, or fixtures are invalid.
    pub fn load(paths: impl IntoIterator<Item = impl AsRef<Path>>) -> Result<Self, Error> {
        Self::from_documents(&documents::read(paths)?, "default")
    }

    /// Parses a YAML text.
    ///
    /// # Errors
    /// [`Error::Documents`] if the text cannot be parsed, or fixtures are invalid.
    pub fn from_yaml(text: &str) -> Result<Self, Error> {
        let documents =
            documents::parse(Path::new("manifests"), text).map_err(|line| ReadErrors::new(vec![line]))?;
        Self::from_documents(&documents, "default")
    }

    /// Creates a cluster of objects.
    ///
    /// # Errors
    /// [`Error::Documents`] if fixtures are invalid.
    pub fn from_objects(objects: impl IntoIterator<Item = Value>) -> Result<Self, Error> {
        let document = |(index, object)| Document {
            path: PathBuf::from("manifests"),
            number: index + 1,
            item: None,
            object,
        };
        let documents: Vec<Document> = objects.into_iter().enumerate().map(document).collect();
        Self::from_documents(&documents, "default")
    }

    /// Creates a cluster of objects from files. Namespaced objects without a namespace are in
    /// `default_namespace`.
    ///
    /// # Errors
    /// [`Error::Documents`] if fixtures are invalid.
    pub fn from_documents(documents: &[Document], default_namespace: &str) -> Result<Self, Error> {
        let mut manifests = Self::default();
        let mut errors = Vec::new();
        for document in documents {
            match document.api_version() {
                API_VERSION => match Fixture::read(&document.object) {
                    Ok(Fixture::Access(rule)) => manifests.access.push(rule),
                    Ok(Fixture::Fault(fault)) => manifests.faults.push(fault),
                    Err(reason) => errors.push(format!("{}: {reason}", document.place())),
                },
                api_version => {
                    let in_namespace = document.object.pointer("/metadata/namespace").is_some();
                    manifests.kinds.add_kind_of(api_version, document.kind(), in_namespace);
                }
            }
        }
        if !errors.is_empty() {
            return Err(ReadErrors::new(errors).into());
        }
        // Definitions come last, because they take precedence over the objects.
        for document in documents.iter().filter(|document| document.kind() == "CustomResourceDefinition") {
            manifests.kinds.define(&document.object);
        }
        for document in documents.iter().filter(|document| document.api_version() != API_VERSION) {
            manifests.insert(document, default_namespace);
        }
        Ok(manifests)
    }

    /// Whether a kind is namespaced. A kind that is not served counts as namespaced.
    #[must_use]
    pub fn is_namespaced(&self, api_version: &str, kind: &str) -> bool {
        match self.kinds.discover(api_version, kind) {
            Discovered::Served(kind) => kind.namespaced,
            Discovered::KindMissing | Discovered::GroupMissing => true,
        }
    }

    /// Sets the text that follows the message of every failing lookup. A fault can override it.
    #[must_use]
    pub fn tail(mut self, tail: Tail) -> Self {
        self.tail = tail;
        self
    }

    fn insert(&mut self, document: &Document, default_namespace: &str) {
        let mut object = document.object.clone();
        let Some(name) = object.pointer("/metadata/name").and_then(Value::as_str).map(str::to_owned) else {
            return;
        };
        let namespaced = match self.kinds.discover(document.api_version(), document.kind()) {
            Discovered::Served(kind) => kind.namespaced,
            // The API server would reject it.
            Discovered::KindMissing | Discovered::GroupMissing => return,
        };
        let namespace = namespaced.then(|| {
            let named =
                object.pointer("/metadata/namespace").and_then(Value::as_str).filter(|name| !name.is_empty());
            named.unwrap_or(default_namespace).to_owned()
        });
        if let Some(namespace) = &namespace {
            object["metadata"]["namespace"] = Value::from(namespace.as_str());
        }
        let group = group_of(document.api_version()).to_owned();
        self.objects.insert(Key { group, kind: document.kind().to_owned(), namespace, name }, object);
    }

    fn get(&self, get: &KubernetesGetResource) -> Result<Value, Failure> {
        let kind = self.discover(&get.api_version, &get.kind)?;
        if kind.namespaced && get.namespace.is_none() {
            return Err(Failure::plain(format!(
                "Resource {}/{} is namespaced, but no namespace was provided",
                get.api_version, get.kind
            )));
        }
        if get.name.is_empty() {
            return Err(Failure::empty_name());
        }
        let route = follow(&self.kinds, &path(kind, get.namespace.as_deref(), &get.name));
        let found = match route.map_err(|InvalidUri| Failure::invalid_uri())? {
            Route::Nothing => None,
            Route::List { kind, namespace } => Some(self.list_object(kind, namespace.as_deref())),
            Route::Object { kind, namespace, name } => {
                let group = group_of(&kind.api_version).to_owned();
                let key = Key { group, kind: kind.kind.clone(), namespace, name };
                self.objects.get(&key).map(|object| in_version(object, kind))
            }
        };
        let mut object = found.ok_or_else(|| {
            Failure::plain(format!(
                "Cannot find {}/{} named '{}' inside of namespace '{:?}'",
                get.api_version, get.kind, get.name, get.namespace
            ))
        })?;
        field_mask::prune(&mut object, get.field_masks.as_ref());
        Ok(object)
    }

    fn list(&self, list: &ListLookup<'_>) -> Result<Value, Failure> {
        let kind = self.discover(list.api_version, list.kind)?;
        if list.namespace.is_some() && !kind.namespaced {
            return Err(Failure::plain(format!(
                "resource {}/{} is cluster wide. Cannot search for it inside of a namespace",
                list.api_version, list.kind
            )));
        }
        let mut items = Vec::new();
        for mut object in self.objects_of(kind, list.namespace) {
            let fits = labels_match(&object, list.labels)
                .and_then(|fits| Ok(fits && fields_match(&object, list.fields)?));
            if fits.map_err(Failure::plain)? {
                slim(&mut object);
                field_mask::prune(&mut object, list.masks);
                items.push(object);
            }
        }
        Ok(
            json!({"apiVersion": list.api_version, "kind": format!("{}List", list.kind), "metadata": {}, "items": items}),
        )
    }

    fn list_object(&self, kind: &Kind, namespace: Option<&str>) -> Value {
        let items: Vec<Value> = self.objects_of(kind, namespace).collect();
        json!({"apiVersion": kind.api_version, "kind": format!("{}List", kind.kind), "metadata": {}, "items": items})
    }

    fn objects_of<'a>(
        &'a self,
        kind: &'a Kind,
        namespace: Option<&'a str>,
    ) -> impl Iterator<Item = Value> + 'a {
        let wanted = move |key: &Key| {
            key.group == group_of(&kind.api_version)
                && key.kind == kind.kind
                && (namespace.is_none() || key.namespace.as_deref() == namespace)
        };
        self.objects.iter().filter(move |(key, _)| wanted(key)).map(|(_, object)| in_version(object, kind))
    }

    fn discover(&self, api_version: &str, kind: &str) -> Result<&Kind, Failure> {
        match self.kinds.discover(api_version, kind) {
            Discovered::Served(kind) => Ok(kind),
            Discovered::KindMissing => Err(kind_missing(api_version, kind)),
            Discovered::GroupMissing => Err(Failure::page_not_found().in_discovery(api_version, kind)),
        }
    }

    fn target<'a>(&self, lookup: &'a Lookup) -> Target<'a> {
        let (api_version, kind) =
            lookup.resource().unwrap_or(("authorization.k8s.io/v1", "SubjectAccessReview"));
        let (plural, namespaced) = match self.kinds.discover(api_version, kind) {
            Discovered::Served(kind) => (kind.plural.clone(), kind.namespaced),
            Discovered::KindMissing | Discovered::GroupMissing => (guess_plural(kind), true),
        };
        let (operation, verb, namespace, name, fresh) = match lookup {
            Lookup::KubernetesGetResource(get) => {
                ("get_resource", "get", get.namespace.as_deref(), Some(get.name.as_str()), get.disable_cache)
            }
            Lookup::KubernetesListResourceNamespace(list) => {
                ("list_resources_by_namespace", "list", Some(list.namespace.as_str()), None, false)
            }
            Lookup::KubernetesListResourceAll(_) => ("list_resources_all", "list", None, None, false),
            Lookup::KubernetesCanI(can_i) => ("can_i", "create", None, None, can_i.disable_cache),
        };
        Target { operation, verb, api_version, kind, plural, namespaced, namespace, name, fresh }
    }
}

impl Cluster for Manifests {
    fn answer(&self, lookup: &Lookup) -> Result<String, HostError> {
        let target = self.target(lookup);
        if let Some(fault) = self.faults.iter().find(|fault| fault.applies_to(&target)) {
            fault.apply(&target, self.tail)?;
        }
        let answer = match lookup {
            Lookup::KubernetesGetResource(get) => self.get(get),
            Lookup::KubernetesListResourceNamespace(list) => self.list(&ListLookup {
                api_version: &list.api_version,
                kind: &list.kind,
                namespace: Some(&list.namespace),
                labels: list.label_selector.as_deref(),
                fields: list.field_selector.as_deref(),
                masks: list.field_masks.as_ref(),
            }),
            Lookup::KubernetesListResourceAll(list) => self.list(&ListLookup {
                api_version: &list.api_version,
                kind: &list.kind,
                namespace: None,
                labels: list.label_selector.as_deref(),
                fields: list.field_selector.as_deref(),
                masks: list.field_masks.as_ref(),
            }),
            Lookup::KubernetesCanI(can_i) => Ok(review(&self.access, can_i)),
        };
        answer.map(|value| value.to_string()).map_err(|failure| failure.render(self.tail))
    }
}

/// A list lookup, in one namespace or in all.
struct ListLookup<'a> {
    api_version: &'a str,
    kind: &'a str,
    namespace: Option<&'a str>,
    labels: Option<&'a str>,
    fields: Option<&'a str>,
    masks: Option<&'a BTreeSet<String>>,
}

fn in_version(object: &Value, kind: &Kind) -> Value {
    let mut object = object.clone();
    object["apiVersion"] = Value::from(kind.api_version.as_str());
    object
}

/// Removes the fields that the real host's watch removes to save memory (`reflector.rs`).
fn slim(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
    }
}
