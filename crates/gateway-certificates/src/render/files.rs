//! Manifests as a cluster: the Gateways, and the objects that are looked up for them.

use std::collections::BTreeMap;
use std::fmt;

use certificate_shim::IssuerRef;
use certificate_shim::gateway::GatewayKind;
use certificate_shim::issuer_ref::CERT_MANAGER_GROUP;
use certificate_shim::plan::SecretName;
use gateway_rules::settings::Scope;
use gateway_rules::{Cluster, LookupError, ObjectRef, Settings};
use manifests::{Document, assume_ready};
use serde_json::Value;

const CERTIFICATE: &str = "Certificate";

/// The relevant objects of the files, without duplicates.
pub struct Files<'s> {
    settings: &'s Settings,
    /// The objects, in the order in which they first appear in the files.
    objects: Vec<Object>,
    positions: BTreeMap<Key, usize>,
    /// Certificates by the Secret that they write, if it has another name.
    writers: BTreeMap<SecretName, SecretName>,
}

/// Identifies one object, independent of its version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    group: String,
    kind: String,
    namespace: Option<String>,
    name: String,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let namespace = self.namespace.iter().map(|namespace| format!("{namespace}/")).collect::<String>();
        write!(f, "{} {namespace}{}", self.kind, self.name)
    }
}

struct Object {
    key: Key,
    document: Document,
    /// The locations of earlier definitions with different content.
    replaced: Vec<String>,
}

impl Object {
    /// The Secret that a Certificate with another name writes, and that Certificate.
    fn writes(&self) -> Option<(SecretName, SecretName)> {
        let Key { group, kind, namespace, name } = &self.key;
        if (group.as_str(), kind.as_str()) != (CERT_MANAGER_GROUP, CERTIFICATE) {
            return None;
        }
        let secret = self.document.object.pointer("/spec/secretName")?.as_str()?;
        let named = |name: &str| Some(SecretName { namespace: namespace.clone()?, name: name.to_owned() });
        if secret == name { None } else { Some((named(secret)?, named(name)?)) }
    }
}

impl<'s> Files<'s> {
    /// The objects of these documents. Objects that do not specify a namespace are in `namespace`. If an
    /// object is defined more than once, the last definition is used, as when all are applied.
    pub fn new(documents: Vec<Document>, settings: &'s Settings, namespace: &str) -> Self {
        let mut files =
            Files { settings, objects: Vec::new(), positions: BTreeMap::new(), writers: BTreeMap::new() };
        for mut document in documents {
            let Some((scope, is_issuer)) = files.reads(&document) else { continue };
            if scope == Scope::Namespaced {
                set_namespace(&mut document.object, namespace);
            }
            if is_issuer {
                assume_ready(&mut document.object);
            }
            files.insert(key_of(&document, scope), document);
        }
        for object in &files.objects {
            if let Some((secret, certificate)) = object.writes() {
                files.writers.entry(secret).or_insert(certificate);
            }
        }
        files
    }

    /// The Istio Gateways, in the order of the files.
    pub fn gateways(&self) -> impl Iterator<Item = &Document> {
        self.objects.iter().map(|object| &object.document).filter(|document| is_gateway(document))
    }

    /// The Certificates, in the order of the files.
    pub fn certificates(&self) -> impl Iterator<Item = &Document> {
        let is_one = |object: &&Object| {
            (object.key.group.as_str(), object.key.kind.as_str()) == (CERT_MANAGER_GROUP, CERTIFICATE)
        };
        self.objects.iter().filter(is_one).map(|object| &object.document)
    }

    /// Remarks about the files.
    pub fn notes(&self) -> Vec<String> {
        let twice = self.objects.iter().filter(|object| !object.replaced.is_empty());
        let note = |object: &Object| {
            format!(
                "{} is defined more than once with different content. {} is used, not {}.",
                object.key,
                object.document.place(),
                object.replaced.join("; ")
            )
        };
        twice.map(note).collect()
    }

    /// The Certificate of that namespace and name.
    pub fn certificate(&self, name: &SecretName) -> Option<&Value> {
        let key = Key {
            group: CERT_MANAGER_GROUP.to_owned(),
            kind: CERTIFICATE.to_owned(),
            namespace: Some(name.namespace.clone()),
            name: name.name.clone(),
        };
        self.find(&key)
    }

    /// The first Certificate with another name that writes that Secret.
    pub fn other_writer(&self, secret: &SecretName) -> Option<&SecretName> {
        self.writers.get(secret)
    }

    /// The scope of a relevant kind, and whether it is a kind of issuers; `None` for other kinds.
    fn reads(&self, document: &Document) -> Option<(Scope, bool)> {
        match (group(document.api_version()), document.kind()) {
            ("", "Namespace") => Some((Scope::Cluster, false)),
            (CERT_MANAGER_GROUP, CERTIFICATE) => Some((Scope::Namespaced, false)),
            _ if is_gateway(document) => Some((Scope::Namespaced, false)),
            (group, kind) => {
                let reference =
                    IssuerRef { name: String::new(), kind: kind.to_owned(), group: group.to_owned() };
                // An empty group would stand for cert-manager's group.
                let (_, scope) = self.settings.issuer_kind(&reference).filter(|_| !group.is_empty())?;
                Some((scope, true))
            }
        }
    }

    fn find(&self, key: &Key) -> Option<&Value> {
        let position = self.positions.get(key)?;
        self.objects.get(*position).map(|object| &object.document.object)
    }

    fn insert(&mut self, key: Key, document: Document) {
        let position = self.positions.get(&key).filter(|_| !key.name.is_empty());
        match position.and_then(|position| self.objects.get_mut(*position)) {
            None => {
                self.positions.insert(key.clone(), self.objects.len());
                self.objects.push(Object { key, document, replaced: Vec::new() });
            }
            Some(object) => {
                let earlier = std::mem::replace(&mut object.document, document);
                if earlier.object != object.document.object {
                    object.replaced.push(earlier.place());
                }
            }
        }
    }
}

impl Cluster for Files<'_> {
    fn get(&self, object: &ObjectRef, _fields: &[&str], _fresh: bool) -> Result<Value, LookupError> {
        let key = Key {
            group: object.group().to_owned(),
            kind: object.kind.clone(),
            namespace: object.namespace.clone(),
            name: object.name.clone(),
        };
        self.find(&key).cloned().ok_or(LookupError::NotFound)
    }

    fn help(&self, _error: &LookupError, object: &ObjectRef) -> String {
        format!("Add the {} to the files.", object.kind)
    }
}

fn is_gateway(document: &Document) -> bool {
    GatewayKind::of(group(document.api_version()), document.kind()) == Some(GatewayKind::Istio)
}

fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

fn key_of(document: &Document, scope: Scope) -> Key {
    let text =
        |pointer| document.object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    Key {
        group: group(document.api_version()).to_owned(),
        kind: document.kind().to_owned(),
        namespace: (scope == Scope::Namespaced).then(|| text("/metadata/namespace")),
        name: text("/metadata/name"),
    }
}

fn set_namespace(object: &mut Value, default: &str) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    if metadata.get("namespace").is_none_or(|own| own.is_null() || own == "") {
        metadata.insert("namespace".to_owned(), Value::from(default));
    }
}
