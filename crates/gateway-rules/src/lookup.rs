//! Lookups of cluster objects: one small trait, why a lookup can fail, and a memory that asks for
//! each object once per request.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use certificate_shim::read::Node;
use serde_json::Value;

use crate::text::{one_line, quote, shorten};
use certificate_shim::name::{is_label, is_subdomain};

/// Names one object of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectRef {
    /// Group and version: `cert-manager.io/v1`.
    pub api_version: String,
    /// The kind.
    pub kind: String,
    /// The namespace; none for objects of the whole cluster.
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
}

impl ObjectRef {
    /// The API group; empty for the core group.
    pub fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    /// Its [`resource`].
    pub fn resource(&self) -> String {
        resource(self.group(), &self.kind)
    }

    /// Whether name and namespace are ones that an object can have. A host pastes them unescaped
    /// into a URL, where `ca/status` and `ca?x` find other things than an object of that name.
    fn is_askable(&self) -> bool {
        is_subdomain(&self.name) && self.namespace.as_deref().is_none_or(is_label)
    }
}

/// The resource of a kind with its group, as RBAC and the API server's refusals name it:
/// `issuers.cert-manager.io`, `namespaces`.
pub fn resource(group: &str, kind: &str) -> String {
    let dot = if group.is_empty() { "" } else { "." };
    format!("{}s{dot}{group}", kind.to_ascii_lowercase())
}

/// `Issuer "ca" in namespace "team-a"`.
impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, quote(&self.name))?;
        match &self.namespace {
            Some(namespace) => write!(f, " in namespace {}", quote(namespace)),
            None => Ok(()),
        }
    }
}

/// Why a lookup found nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookupError {
    /// There is no such object, or no such namespace.
    NotFound,
    /// The API server does not serve that kind.
    KindNotServed,
    /// RBAC does not let the asking service account read it.
    Forbidden,
    /// The policy may not look such objects up: what it was not granted.
    NotGranted(Grant),
    /// The API server could not be reached or did not answer: what it said.
    Unavailable(String),
    /// An answer that fits nothing that is known: what it said.
    Undetermined(String),
}

/// What a Kubewarden policy has to be granted for a lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// The host capability `kubernetes/get_resource`.
    Capability,
    /// The kind, in the policy's `spec.contextAwareResources`.
    Resource,
    /// The host capability `kubernetes/can_i`.
    AccessReview,
}

impl LookupError {
    /// What went wrong with the lookup of `object`, as a clause.
    pub fn what(&self, object: &ObjectRef) -> String {
        match self {
            LookupError::NotFound => format!("there is no {object}"),
            LookupError::KindNotServed => {
                format!("the API server does not serve {} in {}", object.kind, object.api_version)
            }
            LookupError::Forbidden => format!("the policy server may not read {object}"),
            LookupError::NotGranted(Grant::Capability) => {
                "this policy was not granted the host capability kubernetes/get_resource".to_owned()
            }
            LookupError::NotGranted(Grant::AccessReview) => {
                "this policy was not granted the host capability kubernetes/can_i".to_owned()
            }
            LookupError::NotGranted(Grant::Resource) => {
                format!("this policy was not granted lookups of {} {}", object.api_version, object.kind)
            }
            LookupError::Unavailable(said) => {
                format!("the API server did not answer for {object} ({})", shorten(&one_line(said), 120))
            }
            LookupError::Undetermined(said) => {
                format!("the lookup of {object} had an unexpected answer ({})", shorten(&one_line(said), 120))
            }
        }
    }

    /// What the operator has to change, as a sentence.
    pub fn mend(&self, object: &ObjectRef) -> String {
        let ObjectRef { api_version, kind, .. } = object;
        match self {
            LookupError::NotFound => format!("Create the {kind} first."),
            LookupError::KindNotServed => {
                format!("The platform team has to install the CustomResourceDefinition of {kind}, or mend its version in the settings.")
            }
            LookupError::Forbidden => {
                let resource = object.resource();
                format!("The platform team has to grant get on {resource} to the policy server's ServiceAccount (rbac.yaml).")
            }
            LookupError::NotGranted(Grant::Capability | Grant::AccessReview) => {
                "The platform team has to deploy it as a ClusterAdmissionPolicy; namespaced policies get no host capabilities unless the PolicyServer lists them.".to_owned()
            }
            LookupError::NotGranted(Grant::Resource) => {
                format!("The platform team has to add apiVersion {api_version}, kind {kind} to spec.contextAwareResources of the ClusterAdmissionPolicy (a namespaced AdmissionPolicy cannot have any).")
            }
            LookupError::Unavailable(_) => "Try again; if it stays, the platform team has to look at the API server.".to_owned(),
            LookupError::Undetermined(_) => "Try again; if it stays, the platform team has to look at the policy server's log.".to_owned(),
        }
    }
}

/// The field that is asked for where only an object's metadata is wanted. It would come along anyway,
/// but no field at all would mean every field.
pub const METADATA: &[&str] = &["metadata"];

/// Who makes a request, as the API server's `userInfo` tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The user's name, not empty.
    pub name: String,
    /// The user's groups.
    pub groups: Vec<String>,
}

impl User {
    /// The question what the user may do in a namespace, for messages about it.
    pub fn review(&self, namespace: &str) -> ObjectRef {
        ObjectRef {
            api_version: "authorization.k8s.io/v1".to_owned(),
            kind: "SubjectAccessReview".to_owned(),
            namespace: Some(namespace.to_owned()),
            name: self.name.clone(),
        }
    }
}

/// Where objects are looked up: the policy's host, the controller's caches, a test's table.
pub trait Cluster {
    /// Gets one object, at least its `metadata` and the `fields` (dotted paths). `fresh` asks for
    /// the API server's own answer rather than a cached one.
    ///
    /// # Errors
    /// Why there is none to be had.
    fn get(&self, object: &ObjectRef, fields: &[&str], fresh: bool) -> Result<Value, LookupError>;

    /// Whether a user may create Certificates in a namespace, past all caches. Only a policy is
    /// asked.
    ///
    /// # Errors
    /// Why nobody can tell.
    fn can_create_certificates(&self, _user: &User, _namespace: &str) -> Result<bool, LookupError> {
        Err(LookupError::Undetermined("no access review here".to_owned()))
    }
}

/// What a lookup came to.
pub type Outcome = Result<Rc<Value>, LookupError>;

/// The lookups of one request. Every object is asked for once.
pub struct Lookups<'c> {
    cluster: &'c dyn Cluster,
    fresh: bool,
    seen: RefCell<BTreeMap<ObjectRef, Seen>>,
    user: Option<User>,
    reviews: RefCell<Vec<(String, Result<bool, LookupError>)>>,
}

struct Seen {
    outcome: Outcome,
    fields: &'static [&'static str],
    /// It may be older than the API server's own state.
    cached: bool,
}

impl<'c> Lookups<'c> {
    /// Lookups in that cluster, all of them bypassing caches if `fresh`.
    pub fn new(cluster: &'c dyn Cluster, fresh: bool) -> Self {
        Lookups { cluster, fresh, seen: RefCell::default(), user: None, reviews: RefCell::default() }
    }

    /// The same, for a request of that user.
    pub fn of_user(self, user: Option<User>) -> Self {
        Lookups { user, ..self }
    }

    /// The user and whether they may create Certificates in a namespace; none where nobody knows who
    /// asks, and where `from_memory` and nothing is known yet.
    pub fn can_create_certificates(
        &self,
        namespace: &str,
        from_memory: bool,
    ) -> Option<(&User, Result<bool, LookupError>)> {
        let user = self.user.as_ref()?;
        let known = self.reviews.borrow().iter().find(|(of, _)| of == namespace).map(|(_, may)| may.clone());
        if known.is_some() || from_memory {
            return Some((user, known?));
        }
        let answer = self.cluster.can_create_certificates(user, namespace);
        self.reviews.borrow_mut().push((namespace.to_owned(), answer.clone()));
        Some((user, answer))
    }

    /// Gets an object. What comes back is the object of that kind and name, or none.
    pub fn get(&self, object: &ObjectRef, fields: &'static [&'static str]) -> Outcome {
        if let Some(outcome) = self.remembered(object) {
            return outcome;
        }
        let outcome = self.ask(object, fields, self.fresh);
        let cached = !self.fresh && outcome.is_ok();
        self.seen.borrow_mut().insert(object.clone(), Seen { outcome: outcome.clone(), fields, cached });
        outcome
    }

    /// What an earlier [`Lookups::get`] of the object came to.
    pub fn remembered(&self, object: &ObjectRef) -> Option<Outcome> {
        self.seen.borrow().get(object).map(|seen| seen.outcome.clone())
    }

    /// Asks once more, past all caches, for the objects that came from a cache; whether there was
    /// any.
    pub fn refresh<'o>(&self, objects: impl Iterator<Item = &'o ObjectRef>) -> bool {
        let mut any = false;
        for object in objects {
            let fields = match self.seen.borrow().get(object) {
                Some(seen) if seen.cached => seen.fields,
                _ => continue,
            };
            let outcome = self.ask(object, fields, true);
            self.seen.borrow_mut().insert(object.clone(), Seen { outcome, fields, cached: false });
            any = true;
        }
        any
    }

    fn ask(&self, object: &ObjectRef, fields: &[&str], fresh: bool) -> Outcome {
        if !object.is_askable() {
            return Err(LookupError::NotFound);
        }
        let found = self.cluster.get(object, fields, fresh)?;
        if is_what_was_asked_for(object, &found) {
            Ok(Rc::new(found))
        } else {
            Err(LookupError::Undetermined("another object came back".to_owned()))
        }
    }
}

fn is_what_was_asked_for(object: &ObjectRef, found: &Value) -> bool {
    let read = || {
        let root = Node::root(found);
        let metadata = root.field("metadata")?;
        let namespace = metadata.field("namespace")?.string()?;
        Ok::<_, certificate_shim::read::Malformed>(
            root.field("kind")?.string()? == Some(object.kind.as_str())
                && metadata.field("name")?.string()? == Some(object.name.as_str())
                && (object.namespace.is_none() || namespace == object.namespace.as_deref()),
        )
    };
    read().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::TestCluster;
    use rstest::rstest;
    use serde_json::json;

    fn issuer(name: &str) -> ObjectRef {
        ObjectRef {
            api_version: "cert-manager.io/v1".into(),
            kind: "Issuer".into(),
            namespace: Some("team-a".into()),
            name: name.into(),
        }
    }

    #[rstest]
    #[case::slash("ca/status")]
    #[case::query("ca?x")]
    #[case::up("../../../clusterissuers/x")]
    #[case::blank("a b")]
    #[case::empty("")]
    #[case::upper_case("CA")]
    fn names_that_no_object_can_have_are_never_asked_for(#[case] name: &str) {
        let cluster = TestCluster::default();
        let lookups = Lookups::new(&cluster, false);
        assert_eq!(lookups.get(&issuer(name), &[]), Err(LookupError::NotFound));
        assert_eq!(cluster.asked(), Vec::<String>::new());
    }

    #[rstest]
    #[case::other_name(json!({"kind": "Issuer", "metadata": {"name": "cb", "namespace": "team-a"}}))]
    #[case::other_kind(json!({"kind": "ClusterIssuer", "metadata": {"name": "ca", "namespace": "team-a"}}))]
    #[case::other_namespace(json!({"kind": "Issuer", "metadata": {"name": "ca", "namespace": "team-b"}}))]
    #[case::no_namespace(json!({"kind": "Issuer", "metadata": {"name": "ca"}}))]
    #[case::no_object(json!(["x"]))]
    #[case::null(json!(null))]
    fn another_object_is_no_answer(#[case] answer: Value) {
        let cluster = TestCluster::default().answer(&issuer("ca"), Ok(answer));
        let outcome = Lookups::new(&cluster, false).get(&issuer("ca"), &[]);
        assert_eq!(outcome, Err(LookupError::Undetermined("another object came back".into())));
    }

    #[test]
    fn each_object_is_asked_for_once_and_once_more_when_refreshed() {
        let object = json!({"kind": "Issuer", "metadata": {"name": "ca", "namespace": "team-a"}});
        let cluster = TestCluster::default().answer(&issuer("ca"), Ok(object));
        let lookups = Lookups::new(&cluster, false);
        assert!(lookups.get(&issuer("ca"), &["status"]).is_ok());
        assert!(lookups.get(&issuer("ca"), &["status"]).is_ok());
        assert!(lookups.refresh([issuer("ca"), issuer("never-asked")].iter()));
        assert!(!lookups.refresh([issuer("ca")].iter()), "it is fresh now");
        assert_eq!(cluster.asked(), ["Issuer team-a/ca", "Issuer team-a/ca fresh"]);
    }

    #[test]
    fn fresh_lookups_and_failures_are_not_refreshed() {
        let cluster = TestCluster::default();
        let lookups = Lookups::new(&cluster, false);
        assert_eq!(lookups.get(&issuer("ca"), &[]), Err(LookupError::NotFound));
        assert!(!lookups.refresh([issuer("ca")].iter()));

        let object = json!({"kind": "Issuer", "metadata": {"name": "ca", "namespace": "team-a"}});
        let cluster = TestCluster::default().answer(&issuer("ca"), Ok(object));
        let lookups = Lookups::new(&cluster, true);
        assert!(lookups.get(&issuer("ca"), &[]).is_ok());
        assert!(!lookups.refresh([issuer("ca")].iter()));
        assert_eq!(cluster.asked(), ["Issuer team-a/ca fresh"]);
    }
}
