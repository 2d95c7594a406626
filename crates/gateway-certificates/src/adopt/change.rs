//! The labels and annotations to write: the record of the owner on Certificates, and the annotations of the
//! Gateway.

use std::collections::BTreeMap;

use certificate_shim::owner::{ADOPTED, OWNER_HASH, OWNER_UID, Owner};
use certificate_shim::plan::SecretName;
use certificate_shim::{Gateway, annotation};
use manifests::Document;
use serde_json::{Map, Value, json};

use super::annotations::{Annotations, is_shim_annotation};
use super::objects::{self, Deployer, Origin, deployer, name_of, origin, place, text};

/// The changes of an object's labels and annotations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The kind: `Certificate` or `Gateway`.
    pub kind: &'static str,
    /// The apiVersion of the object.
    pub api_version: String,
    /// Its namespace and name.
    pub name: SecretName,
    /// Where it is defined, for messages; empty in a cluster.
    pub place: String,
    /// Its resourceVersion; empty in files.
    pub resource_version: String,
    /// The tool that deploys it, so that its source has to be changed.
    pub deployer: Option<Deployer>,
    /// The changed annotations, by key.
    pub annotations: BTreeMap<String, Entry>,
    /// The changed labels, by key.
    pub labels: BTreeMap<String, Entry>,
}

/// The change of one label or annotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its value now.
    pub today: Option<String>,
    /// Its new value; `None` to remove it.
    pub planned: Option<String>,
}

impl Change {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.annotations.is_empty() && self.labels.is_empty()
    }

    /// The changes as a JSON merge patch, which fails if the object was changed since it was read.
    pub fn patch(&self) -> Value {
        let map = |entries: &BTreeMap<String, Entry>| -> Map<String, Value> {
            entries.iter().map(|(key, entry)| (key.clone(), json!(entry.planned))).collect()
        };
        let mut metadata = json!({"resourceVersion": self.resource_version});
        for (field, entries) in [("annotations", &self.annotations), ("labels", &self.labels)] {
            if !entries.is_empty() {
                metadata[field] = json!(map(entries));
            }
        }
        json!({"metadata": metadata})
    }

    /// The object after the change.
    pub fn applied_to(&self, object: &Value) -> Value {
        let mut object = object.clone();
        for (field, entries) in [("annotations", &self.annotations), ("labels", &self.labels)] {
            let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { continue };
            let map = metadata.entry(field).or_insert_with(|| json!({}));
            let Some(map) = map.as_object_mut() else { continue };
            for (key, entry) in entries {
                match &entry.planned {
                    Some(value) => map.insert(key.clone(), json!(value)),
                    None => map.remove(key),
                };
            }
        }
        object
    }
}

/// The record of the owner in a Certificate, and the mark that it was adopted.
pub fn mark(document: &Document, gateway: &Gateway<'_>) -> Change {
    let mut change = change("Certificate", document);
    if origin(&document.object, gateway) == Origin::Ours {
        return change;
    }
    let owner = Owner::of(gateway);
    // A manifest can be deployed to several clusters, where the Gateway has other uids.
    let keeps_uid = |key: &str| key != OWNER_UID || (!owner.uid.is_empty() && change.deployer.is_none());
    let record: Vec<(&str, &str)> = owner.record().into_iter().filter(|(key, _)| keeps_uid(key)).collect();
    for (key, value) in record.into_iter().chain([(ADOPTED, "true")]) {
        put(&mut change.annotations, key, objects::annotation(&document.object, key), Some(value));
    }
    put(&mut change.labels, OWNER_HASH, objects::label(&document.object, OWNER_HASH), Some(&owner.hash));
    change
}

/// The annotations of a Gateway that change, so that it has exactly these of certificate-shim.
pub fn change_of_gateway(document: &Document, chosen: &Annotations) -> Change {
    let mut change = change("Gateway", document);
    for known in annotation::TABLE.iter().filter(|known| is_shim_annotation(known.key)) {
        let today = objects::annotation(&document.object, known.key);
        put(&mut change.annotations, known.key, today, chosen.get(known.key).map(String::as_str));
    }
    change
}

fn change(kind: &'static str, document: &Document) -> Change {
    Change {
        kind,
        api_version: document.api_version().to_owned(),
        name: name_of(&document.object),
        place: place(document),
        resource_version: text(&document.object, "/metadata/resourceVersion").to_owned(),
        deployer: deployer(&document.object),
        annotations: BTreeMap::new(),
        labels: BTreeMap::new(),
    }
}

fn put(entries: &mut BTreeMap<String, Entry>, key: &str, today: Option<&str>, planned: Option<&str>) {
    if today != planned {
        let entry = Entry { today: today.map(str::to_owned), planned: planned.map(str::to_owned) };
        entries.insert(key.to_owned(), entry);
    }
}
