//! Lookups of cluster objects: one small trait, the errors of a lookup, and a memory, so that each
//! object is looked up once per request.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use certificate_shim::read::Node;
use serde_json::Value;

use crate::settings::{Lists, LookupSettings};
use crate::text::{one_line, quote, shorten};
use certificate_shim::name::{is_label, is_subdomain};

/// Names one object of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectRef {
    /// Group and version: `cert-manager.io/v1`.
    pub api_version: String,
    /// The kind.
    pub kind: String,
    /// The namespace; `None` for cluster-scoped objects.
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

    /// Whether an object can have this name and namespace. A host inserts them unescaped into a URL,
    /// where `ca/status` and `ca?x` would find something else than an object of that name.
    fn is_askable(&self) -> bool {
        is_subdomain(&self.name) && self.namespace.as_deref().is_none_or(is_label)
    }
}

/// The resource of a kind with its group, as in RBAC and in the API server's errors:
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

/// Names the objects of one kind: those of one namespace, or all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListRef {
    /// Group and version: `cert-manager.io/v1`.
    pub api_version: String,
    /// The kind.
    pub kind: String,
    /// The namespace; `None` for the whole cluster.
    pub namespace: Option<String>,
}

impl ListRef {
    /// An object of that list without a name, for messages about it.
    pub fn object(&self) -> ObjectRef {
        let ListRef { api_version, kind, namespace } = self.clone();
        ObjectRef { api_version, kind, namespace, name: String::new() }
    }
}

/// The reason why a lookup returned nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookupError {
    /// There is no such object, or no such namespace.
    NotFound,
    /// The API server does not serve that kind.
    KindNotServed,
    /// RBAC does not allow the ServiceAccount to read it.
    Forbidden,
    /// The policy was not granted this lookup: the missing grant.
    NotGranted(Grant),
    /// The API server could not be reached or did not answer: the error.
    Unavailable(String),
    /// The answer is unknown or invalid: its text.
    Undetermined(String),
}

/// A grant that a Kubewarden policy needs for a lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// The host capability `kubernetes/get_resource`.
    Capability,
    /// The kind, in the policy's `spec.contextAwareResources`.
    Resource,
    /// The host capability `kubernetes/can_i`.
    AccessReview,
    /// A host capability that lists, or a front end that cannot list.
    List,
}

impl LookupError {
    /// The problem with the lookup of `object`, as a clause.
    pub fn problem(&self, object: &ObjectRef) -> String {
        match self {
            LookupError::NotFound => format!("there is no {object}"),
            LookupError::KindNotServed => {
                format!("the API server does not serve {} in {}", object.kind, object.api_version)
            }
            LookupError::Forbidden => format!("RBAC forbids reading {object}"),
            LookupError::NotGranted(Grant::Capability) => {
                "this policy is not granted the host capability kubernetes/get_resource".to_owned()
            }
            LookupError::NotGranted(Grant::AccessReview) => {
                "this policy is not granted the host capability kubernetes/can_i".to_owned()
            }
            LookupError::NotGranted(Grant::List) => {
                "this policy is not granted the host capabilities that list resources".to_owned()
            }
            LookupError::NotGranted(Grant::Resource) => {
                format!("this policy is not granted lookups of {} {}", object.api_version, object.kind)
            }
            LookupError::Unavailable(said) => {
                format!("the API server did not answer for {object} ({})", shorten(&one_line(said), 120))
            }
            LookupError::Undetermined(said) => {
                format!("the lookup of {object} had an unexpected answer ({})", shorten(&one_line(said), 120))
            }
        }
    }

    /// The problem with a list, as a clause.
    pub fn problem_of_list(&self, list: &ListRef) -> String {
        let kind = &list.kind;
        let place = list.namespace.as_ref().map(|namespace| format!(" of namespace {}", quote(namespace)));
        let place = place.unwrap_or_default();
        match self {
            LookupError::NotFound => format!("there is no list of {kind}s{place}"),
            LookupError::Forbidden => format!("RBAC forbids listing {kind}s{place}"),
            LookupError::Unavailable(said) => {
                format!("the API server did not list {kind}s{place} ({})", shorten(&one_line(said), 120))
            }
            LookupError::Undetermined(said) => {
                format!("the list of {kind}s{place} cannot be used ({})", shorten(&one_line(said), 120))
            }
            LookupError::KindNotServed | LookupError::NotGranted(_) => self.problem(&list.object()),
        }
    }

    /// The help for the operator of the policy, as a sentence.
    pub fn help_of_policy(&self, object: &ObjectRef) -> String {
        let ObjectRef { api_version, kind, .. } = object;
        match self {
            LookupError::NotFound => format!("Create the {kind} first."),
            LookupError::KindNotServed if api_version.starts_with("cert-manager.io/") => {
                "Platform team: install cert-manager with its CRDs.".to_owned()
            }
            LookupError::KindNotServed => {
                format!("Platform team: install the CRD of {kind}, or correct its version in issuer_kinds.")
            }
            LookupError::Forbidden => {
                format!("Platform team: grant get on {} to the policy server (rbac.yaml).", object.resource())
            }
            LookupError::NotGranted(Grant::Resource) => {
                format!("Platform team: add {api_version} {kind} to contextAwareResources of a ClusterAdmissionPolicy.")
            }
            LookupError::NotGranted(_) => {
                "Platform team: deploy it as a ClusterAdmissionPolicy, or let the PolicyServer grant the capability.".to_owned()
            }
            LookupError::Unavailable(_) => "Try again. If it persists, ask the platform team to check the API server.".to_owned(),
            LookupError::Undetermined(_) => {
                "Try again. If it persists, ask the platform team to check the policy server's log.".to_owned()
            }
        }
    }
}

/// The user who makes a request, as in the API server's `userInfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The user's name, not empty.
    pub name: String,
    /// The user's groups.
    pub groups: Vec<String>,
}

impl User {
    /// The access review for the user in a namespace, for messages about it.
    pub fn review(&self, namespace: &str) -> ObjectRef {
        ObjectRef {
            api_version: "authorization.k8s.io/v1".to_owned(),
            kind: "SubjectAccessReview".to_owned(),
            namespace: Some(namespace.to_owned()),
            name: self.name.clone(),
        }
    }
}

/// The source of objects: the policy's host, the controller's caches, manifests, or a test's table.
pub trait Cluster {
    /// Gets one object, at least its `metadata` and the `fields` (dotted paths). With `fresh`, the answer
    /// comes from the API server, not from a cache.
    ///
    /// # Errors
    /// The object could not be fetched.
    fn get(&self, object: &ObjectRef, fields: &[&str], fresh: bool) -> Result<Value, LookupError>;

    /// Lists objects, each at least with its `metadata` and the `fields`.
    ///
    /// # Errors
    /// The objects could not be listed.
    fn list(&self, _list: &ListRef, _fields: &[&str]) -> Result<Vec<Value>, LookupError> {
        Err(LookupError::NotGranted(Grant::List))
    }

    /// Whether a user may create Certificates in a namespace, past all caches. Only a policy asks.
    ///
    /// # Errors
    /// The access review could not be made.
    fn can_create_certificates(&self, _user: &User, _namespace: &str) -> Result<bool, LookupError> {
        Err(LookupError::Undetermined("no access review here".to_owned()))
    }

    /// Whether Namespaces can be missing here although the cluster has them, as in manifests. In that
    /// case, tenants that would select a missing one by its labels are skipped.
    fn lacks_namespaces(&self) -> bool {
        false
    }

    /// The help for a failed lookup, as a sentence for the operator of this front end.
    fn help(&self, error: &LookupError, object: &ObjectRef) -> String {
        error.help_of_policy(object)
    }
}

/// The fields that are requested in addition to `metadata`, which is always included. An empty list would
/// mean all fields. There is one mask per kind, so that a remembered object serves every rule.
fn fields(api_version: &str, kind: &str) -> &'static [&'static str] {
    match (api_version, kind) {
        ("cert-manager.io/v1", "Certificate") | ("v1", "Namespace") | (GATEWAY_API_VERSION, _) => {
            &["metadata"]
        }
        // An issuer: its whole spec, because every kind has its settings under a different key.
        _ => &["spec", "status.conditions"],
    }
}

/// The version in which parents of ListenerSets are looked up.
pub const GATEWAY_API_VERSION: &str = "gateway.networking.k8s.io/v1";

/// The fields of objects that are listed.
fn list_fields(kind: &str) -> &'static [&'static str] {
    match kind {
        "Certificate" => &["spec.secretName"],
        "Gateway" => &["spec.selector", "spec.servers"],
        _ => &["metadata"],
    }
}

/// The result of a lookup.
pub type Outcome = Result<Rc<Value>, LookupError>;
/// The result of a list.
pub type Listed = Result<Rc<Vec<Value>>, LookupError>;

/// The known part of the cluster. `None` means unknown, and not to be looked up.
pub trait Known {
    /// An object. If found, it has that kind and name.
    fn get(&self, object: &ObjectRef) -> Option<Outcome>;

    /// The objects of a kind, if settings allow listing it.
    fn list(&self, list: &ListRef) -> Option<Listed>;

    /// The user of the request and whether they may create Certificates in a namespace.
    fn may_create_certificates(&self, namespace: &str) -> Option<(&User, Result<bool, LookupError>)>;

    /// Whether Namespaces can be missing although the cluster has them.
    fn lacks_namespaces(&self) -> bool;

    /// The help for a failed lookup.
    fn help(&self, error: &LookupError, object: &ObjectRef) -> String;
}

/// The lookups of one request. Every object is looked up once.
pub struct Lookups<'c> {
    cluster: &'c dyn Cluster,
    lists_allowed: Lists,
    /// Whether the first request for an object bypasses caches.
    fresh: Cell<bool>,
    seen: RefCell<BTreeMap<ObjectRef, Seen>>,
    lists: RefCell<Vec<(ListRef, Listed)>>,
    user: Option<User>,
    reviews: RefCell<Vec<(String, Result<bool, LookupError>)>>,
}

struct Seen {
    outcome: Outcome,
    /// It can be older than the API server's state.
    cached: bool,
}

impl<'c> Lookups<'c> {
    /// Lookups in that cluster.
    pub fn new(cluster: &'c dyn Cluster, settings: LookupSettings) -> Self {
        Lookups {
            cluster,
            lists_allowed: settings.list,
            fresh: Cell::new(settings.fresh),
            seen: RefCell::default(),
            lists: RefCell::default(),
            user: None,
            reviews: RefCell::default(),
        }
    }

    /// The same, for a request of that user.
    pub fn of_user(self, user: Option<User>) -> Self {
        Lookups { user, ..self }
    }

    /// The results of these lookups so far, without the ability to make new ones.
    pub fn remembered(&self) -> Remembered<'_, 'c> {
        Remembered(self)
    }

    /// Requests the objects that came from a cache once more, bypassing all caches. Returns whether there
    /// were any. Later first requests for an object bypass caches too.
    pub fn refresh<'o>(&self, objects: impl Iterator<Item = &'o ObjectRef>) -> bool {
        let mut any = false;
        for object in objects {
            if !self.seen.borrow().get(object).is_some_and(|seen| seen.cached) {
                continue;
            }
            self.fresh.set(true);
            let _ = self.look_up(object);
            any = true;
        }
        any
    }

    fn look_up(&self, object: &ObjectRef) -> Outcome {
        let fresh = self.fresh.get();
        let outcome = self.ask(object, fresh);
        let cached = !fresh && outcome.is_ok();
        self.seen.borrow_mut().insert(object.clone(), Seen { outcome: outcome.clone(), cached });
        outcome
    }

    fn ask(&self, object: &ObjectRef, fresh: bool) -> Outcome {
        if !object.is_askable() {
            return Err(LookupError::NotFound);
        }
        let found = self.cluster.get(object, fields(&object.api_version, &object.kind), fresh)?;
        if is_what_was_asked_for(object, &found) {
            Ok(Rc::new(found))
        } else {
            Err(LookupError::Undetermined("another object came back".to_owned()))
        }
    }
}

impl Known for Lookups<'_> {
    fn get(&self, object: &ObjectRef) -> Option<Outcome> {
        Some(self.remembered().get(object).unwrap_or_else(|| self.look_up(object)))
    }

    fn list(&self, list: &ListRef) -> Option<Listed> {
        let is_allowed = match list.kind.as_str() {
            "Certificate" => self.lists_allowed.certificates,
            "Gateway" => self.lists_allowed.gateways,
            _ => self.lists_allowed.issuers,
        };
        if !is_allowed {
            return None;
        }
        if let Some(known) = self.remembered().list(list) {
            return Some(known);
        }
        let listed = self.cluster.list(list, list_fields(&list.kind)).map(Rc::new);
        self.lists.borrow_mut().push((list.clone(), listed.clone()));
        Some(listed)
    }

    fn may_create_certificates(&self, namespace: &str) -> Option<(&User, Result<bool, LookupError>)> {
        let user = self.user.as_ref()?;
        if self.remembered().may_create_certificates(namespace).is_none() {
            let answer = self.cluster.can_create_certificates(user, namespace);
            self.reviews.borrow_mut().push((namespace.to_owned(), answer));
        }
        let reviews = self.reviews.borrow();
        let (_, answer) = reviews.iter().find(|(of, _)| of == namespace)?;
        Some((user, answer.clone()))
    }

    fn lacks_namespaces(&self) -> bool {
        self.cluster.lacks_namespaces()
    }

    fn help(&self, error: &LookupError, object: &ObjectRef) -> String {
        self.cluster.help(error, object)
    }
}

/// The results of a request's lookups. The old state of an object is checked with them: nothing is
/// looked up for that state alone.
pub struct Remembered<'l, 'c>(&'l Lookups<'c>);

impl Known for Remembered<'_, '_> {
    fn get(&self, object: &ObjectRef) -> Option<Outcome> {
        self.0.seen.borrow().get(object).map(|seen| seen.outcome.clone())
    }

    fn list(&self, list: &ListRef) -> Option<Listed> {
        self.0.lists.borrow().iter().find(|(of, _)| of == list).map(|(_, listed)| listed.clone())
    }

    fn may_create_certificates(&self, namespace: &str) -> Option<(&User, Result<bool, LookupError>)> {
        let user = self.0.user.as_ref()?;
        let reviews = self.0.reviews.borrow();
        let (_, answer) = reviews.iter().find(|(of, _)| of == namespace)?;
        Some((user, answer.clone()))
    }

    fn lacks_namespaces(&self) -> bool {
        self.0.cluster.lacks_namespaces()
    }

    fn help(&self, error: &LookupError, object: &ObjectRef) -> String {
        self.0.cluster.help(error, object)
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
        let lookups = Lookups::new(&cluster, LookupSettings::default());
        assert_eq!(lookups.get(&issuer(name)).unwrap(), Err(LookupError::NotFound));
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
        let outcome = Lookups::new(&cluster, LookupSettings::default()).get(&issuer("ca")).unwrap();
        assert_eq!(outcome, Err(LookupError::Undetermined("another object came back".into())));
    }

    #[test]
    fn each_object_is_asked_for_once_and_once_more_when_refreshed() {
        let object = json!({"kind": "Issuer", "metadata": {"name": "ca", "namespace": "team-a"}});
        let cluster = TestCluster::default().answer(&issuer("ca"), Ok(object));
        let lookups = Lookups::new(&cluster, LookupSettings::default());
        assert!(lookups.get(&issuer("ca")).unwrap().is_ok());
        assert!(lookups.get(&issuer("ca")).unwrap().is_ok());
        assert!(lookups.refresh([issuer("ca"), issuer("never-asked")].iter()));
        assert!(!lookups.refresh([issuer("ca")].iter()), "it is fresh now");
        assert_eq!(cluster.asked(), ["Issuer team-a/ca", "Issuer team-a/ca fresh"]);
    }

    #[test]
    fn fresh_lookups_and_failures_are_not_refreshed() {
        let cluster = TestCluster::default();
        let lookups = Lookups::new(&cluster, LookupSettings::default());
        assert_eq!(lookups.get(&issuer("ca")).unwrap(), Err(LookupError::NotFound));
        assert!(!lookups.refresh([issuer("ca")].iter()));

        let object = json!({"kind": "Issuer", "metadata": {"name": "ca", "namespace": "team-a"}});
        let cluster = TestCluster::default().answer(&issuer("ca"), Ok(object));
        let lookups = Lookups::new(&cluster, LookupSettings { fresh: true, ..LookupSettings::default() });
        assert!(lookups.get(&issuer("ca")).unwrap().is_ok());
        assert!(!lookups.refresh([issuer("ca")].iter()));
        assert_eq!(cluster.asked(), ["Issuer team-a/ca fresh"]);
    }
}
