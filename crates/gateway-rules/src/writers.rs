//! The Certificates that write Secrets, wherever settings allow to look for them.

use std::rc::Rc;

use certificate_shim::plan::SecretName;
use serde_json::Value;

use crate::lookup::{Known, ListRef, LookupError, ObjectRef, Outcome};
use crate::settings::CERT_MANAGER_API_VERSION;

/// Finds the Certificates that write Secrets: by `spec.secretName` in namespaces whose Certificates can
/// be listed, and by name in others.
pub struct Writers<'k> {
    known: &'k dyn Known,
    lookups_left: usize,
    namespaces: Vec<(String, Option<Listed>)>,
    /// The first list that is allowed but failed.
    pub failed_list: Option<(ListRef, LookupError)>,
}

impl<'k> Writers<'k> {
    /// Finds nothing yet. At most `max` Certificates are looked up by name.
    pub fn new(known: &'k dyn Known, max: usize) -> Self {
        Writers { known, lookups_left: max, namespaces: Vec::new(), failed_list: None }
    }

    /// The Certificates of a Secret, as they were looked up; `None` if that would be one lookup too many.
    pub fn of_secret(&mut self, secret: &SecretName) -> Option<Vec<(ObjectRef, Outcome)>> {
        let object = certificate_of(secret);
        if let Some(listed) = self.listed(&secret.namespace) {
            let found = listed.of_secret(&secret.name).map(|(name, certificate)| {
                (ObjectRef { name: name.to_owned(), ..object.clone() }, Ok(Rc::new(certificate.clone())))
            });
            return Some(found.collect());
        }
        self.lookups_left = self.lookups_left.checked_sub(1)?;
        let outcome = self.known.get(&object);
        Some(outcome.map(|outcome| (object, outcome)).into_iter().collect())
    }

    fn listed(&mut self, namespace: &str) -> Option<&Listed> {
        if self.namespaces.iter().all(|(known, _)| known != namespace) {
            let list = certificates_in(namespace);
            let listed = match self.known.list(&list) {
                Some(Ok(certificates)) => Some(Listed::new(certificates)),
                Some(Err(error)) => {
                    self.failed_list.get_or_insert((list, error));
                    None
                }
                None => None,
            };
            self.namespaces.push((namespace.to_owned(), listed));
        }
        self.namespaces.iter().find(|(known, _)| known == namespace)?.1.as_ref()
    }
}

/// The Certificate that cert-manager and the controller write a Secret with: it has the same name.
fn certificate_of(secret: &SecretName) -> ObjectRef {
    ObjectRef {
        api_version: CERT_MANAGER_API_VERSION.to_owned(),
        kind: "Certificate".to_owned(),
        namespace: Some(secret.namespace.clone()),
        name: secret.name.clone(),
    }
}

fn certificates_in(namespace: &str) -> ListRef {
    ListRef {
        api_version: CERT_MANAGER_API_VERSION.to_owned(),
        kind: "Certificate".to_owned(),
        namespace: Some(namespace.to_owned()),
    }
}

/// The Certificates of a namespace by the Secrets that they write or are named after.
struct Listed {
    certificates: Rc<Vec<Value>>,
    /// The Secrets, each with the position of its Certificate; sorted.
    positions: Vec<(String, usize)>,
}

impl Listed {
    fn new(certificates: Rc<Vec<Value>>) -> Self {
        let mut positions = Vec::new();
        for (position, certificate) in certificates.iter().enumerate() {
            for pointer in ["/metadata/name", "/spec/secretName"] {
                if let Some(secret) = certificate.pointer(pointer).and_then(Value::as_str) {
                    positions.push((secret.to_owned(), position));
                }
            }
        }
        positions.sort_unstable();
        positions.dedup();
        Listed { certificates, positions }
    }

    fn of_secret(&self, secret: &str) -> impl Iterator<Item = (&str, &Value)> {
        let start = self.positions.partition_point(|(name, _)| name.as_str() < secret);
        let of_secret = self.positions.iter().skip(start).take_while(move |(name, _)| name == secret);
        of_secret.filter_map(|(_, position)| {
            let certificate = self.certificates.get(*position)?;
            Some((certificate.pointer("/metadata/name")?.as_str()?, certificate))
        })
    }
}
