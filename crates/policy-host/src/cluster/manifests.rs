//! Manifests: a cluster made of objects in files.

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

/// A cluster that holds the given objects, and fails where a fixture says so.
///
/// Served are the well-known kinds (Namespaces, Secrets, Pods and Services; those of cert-manager, of Gateway API and of
/// Istio's gateways), the kinds of CustomResourceDefinitions among the objects, and the kinds of the objects themselves.
/// An object answers in every served version of its group. Of two objects with the same group, kind, namespace and name
/// the later one counts, as when both are applied.
///
/// # Fixtures
/// Documents of `apiVersion: policy-host/v1` are no objects of the cluster, they steer it.
///
/// A **LookupFault** makes lookups fail; the first one that fits a lookup counts.
/// ```yaml
/// apiVersion: policy-host/v1
/// kind: LookupFault
/// spec:
///   match:                  # what is left out fits everything
///     apiVersion: cert-manager.io/v1
///     kind: Issuer          # can_i looks up authorization.k8s.io/v1 SubjectAccessReview
///     namespace: team-a
///     name: ca
///     fresh: true           # disable_cache of the lookup
///   fault: forbidden
///   user: someone           # for `forbidden`; system:serviceaccount:kubewarden:policy-server unless given
///   tail: caused-by         # none | caused-by | backtrace; what the cluster has unless given
///   during: request         # discovery | request, for faults of the API server
///   delayMilliseconds: 300  # waits first
/// ```
/// | fault | what the policy sees |
/// |---|---|
/// | `group-not-served` | discovery of the group fails with 404 |
/// | `kind-not-served` | the group is served, the kind is not |
/// | `crd-removed` | the request fails with 404: discovery was cached |
/// | `forbidden` | 403 of RBAC |
/// | `unauthorized` | 401; during discovery unless `during: request` |
/// | `too-many-requests` | 429 of priority and fairness |
/// | `server-error` | 500 with an etcd timeout |
/// | `service-unavailable` | 503 |
/// | `unavailable` | nobody listens; during discovery unless `during: request` |
/// | `not-granted` | the kind is not in contextAwareResources |
/// | `capability-not-granted` | the operation is not in hostCapabilities |
/// | `slow` | the real answer, after `delayMilliseconds` |
/// | `text` | `text` as it is |
///
/// An **AccessRule** allows `can_i` something; without one it denies. `*` covers everything, `namespaces` and `names` may be
/// left out.
/// ```yaml
/// apiVersion: policy-host/v1
/// kind: AccessRule
/// spec: {user: alice, verbs: [use], apiGroups: [cert-manager.io], resources: [clusterissuers], names: [ca]}
/// ```
///
/// # Where it differs
/// A list that the API server refuses makes the real host wait for good, here it is an error.
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
    /// [`Error::Documents`].
    pub fn load(paths: impl IntoIterator<Item = impl AsRef<Path>>) -> Result<Self, Error> {
        Self::from_documents(&documents::read(paths)?, "default")
    }

    /// Takes the objects of one YAML text.
    ///
    /// # Errors
    /// [`Error::Documents`].
    pub fn from_yaml(text: &str) -> Result<Self, Error> {
        let documents =
            documents::parse(Path::new("manifests"), text).map_err(|line| ReadErrors::new(vec![line]))?;
        Self::from_documents(&documents, "default")
    }

    /// Takes objects.
    ///
    /// # Errors
    /// [`Error::Documents`].
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

    /// Takes objects that were read before; one of a namespaced kind that names no namespace gets the default.
    ///
    /// # Errors
    /// [`Error::Documents`].
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
                    manifests.kinds.seen(api_version, document.kind(), in_namespace);
                }
            }
        }
        if !errors.is_empty() {
            return Err(ReadErrors::new(errors).into());
        }
        // Definitions last: they know better than the objects.
        for document in documents.iter().filter(|document| document.kind() == "CustomResourceDefinition") {
            manifests.kinds.define(&document.object);
        }
        for document in documents.iter().filter(|document| document.api_version() != API_VERSION) {
            manifests.insert(document, default_namespace);
        }
        Ok(manifests)
    }

    /// What follows the text of every failing lookup, unless its fault says otherwise.
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
            // The API server would not take it.
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
            fault.strike(&target, self.tail)?;
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

/// Either of the two lists.
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

/// What the real host's watch leaves out to save memory (`reflector.rs`).
fn slim(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
    }
}
