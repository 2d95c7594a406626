//! The caches of the watched objects, with indices of owners and claims, and whether they are complete.
//! The rules look up issuers, Namespaces and Certificates here.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use certificate_shim::issuer_ref::CERT_MANAGER_GROUP;
use certificate_shim::plan::SecretName;
use gateway_rules::{Cluster, LookupError, ObjectRef, Settings};
use k8s_openapi::jiff::Timestamp;
use kube::api::DynamicObject;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::deletions::Losses;
use crate::index::Index;
use crate::kinds::{Kind, Role, Served};
use crate::objects::{Key, ObservedCertificate, ObservedGateway, value_of};
use crate::pods;
use crate::store::map;

mod summary;
pub use summary::{Summary, WatchSummary};

/// The time to wait until the watch delivers a Certificate that was created. If it was deleted
/// immediately, the watch might never deliver it.
const EXPECTED: Duration = Duration::from_secs(10);

/// The state of a watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The first list is not complete.
    Pending,
    /// The API server does not serve the kind.
    NotServed,
    /// The API server forbids listing the kind, with this message.
    Denied(String),
    /// The list is complete.
    Synced,
}

/// The caches. Clones share them.
#[derive(Debug, Clone)]
pub struct Caches(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    kinds: Vec<Kind>,
    settings: Arc<Settings>,
    inner: RwLock<Inner>,
    ready: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Inner {
    watches: Vec<Watch>,
    index: Index,
}

#[derive(Debug)]
struct Watch {
    state: State,
    served: Option<Served>,
    /// The number of errors since the start.
    errors: u64,
    /// The time of the last event, in seconds since 1970; 0 before the first one.
    last_event: i64,
}

/// The cached objects of one Gateway.
#[derive(Debug, Clone)]
pub struct View {
    /// The Gateway; `None` if it does not exist.
    pub gateway: Option<Arc<ObservedGateway>>,
    /// The Certificates that belong to it, by name.
    pub certificates: Vec<Arc<ObservedCertificate>>,
}

impl Caches {
    /// Empty caches for those kinds.
    pub fn new(kinds: Vec<Kind>, settings: Arc<Settings>) -> Self {
        let watches = kinds
            .iter()
            .map(|_| Watch { state: State::Pending, served: None, errors: 0, last_event: 0 })
            .collect();
        let inner = RwLock::new(Inner { watches, ..Inner::default() });
        Caches(Arc::new(Shared { kinds, settings, inner, ready: watch::Sender::new(false) }))
    }

    /// The kinds, in the order of their indices.
    pub fn kinds(&self) -> &[Kind] {
        &self.0.kinds
    }

    /// Applies an event of a watch and returns the Gateways to reconcile.
    pub fn apply(&self, index: usize, event: Event<DynamicObject>) -> BTreeSet<Key> {
        let Some(kind) = self.0.kinds.get(index) else { return BTreeSet::new() };
        let is_done = matches!(event, Event::InitDone);
        let settings = &self.0.settings;
        // The cached value is computed before the lock is taken.
        let (mut wake, mut inner): (BTreeSet<Key>, _) = match kind.role {
            Role::Gateways => {
                let event = map(event, |object| {
                    let observed = ObservedGateway::of(&object, settings);
                    (observed.key.clone(), observed)
                });
                let mut inner = self.write();
                let changes = inner.index.gateways.apply(event);
                (changes.into_iter().flat_map(|change| inner.index.gateway_changed(&change)).collect(), inner)
            }
            Role::Certificates => {
                let event = map(event, |object| {
                    let observed = ObservedCertificate::of(&object, settings);
                    (observed.name.clone(), observed)
                });
                let mut inner = self.write();
                let changes = inner.index.certificates.apply(event);
                (
                    changes.into_iter().flat_map(|change| inner.index.certificate_changed(&change)).collect(),
                    inner,
                )
            }
            Role::Issuers | Role::Namespaces | Role::Pods => {
                let event = map(event, |object| other(kind, &object));
                let mut inner = self.write();
                let changes = inner.index.others.entry(index).or_default().apply(event);
                (
                    changes
                        .into_iter()
                        .flat_map(|change| inner.index.other_changed(kind, &change.key))
                        .collect(),
                    inner,
                )
            }
        };
        if let Some(watch) = inner.watches.get_mut(index) {
            watch.last_event = Timestamp::now().as_second();
        }
        if is_done {
            wake.extend(inner.set_state(index, State::Synced));
        }
        drop(inner);
        self.tell();
        wake
    }

    /// Sets the state of a watch and returns the Gateways to reconcile.
    pub fn set_state(&self, index: usize, state: State) -> BTreeSet<Key> {
        let wake = self.write().set_state(index, state);
        self.tell();
        wake
    }

    /// Sets the served versions of a kind.
    pub fn set_served(&self, index: usize, served: Option<Served>) {
        if let Some(watch) = self.write().watches.get_mut(index) {
            watch.served = served;
        }
    }

    /// The served versions of the kind with that role.
    pub fn served(&self, role: Role) -> Option<Served> {
        let index = self.0.kinds.iter().position(|kind| kind.role == role)?;
        self.read().watches.get(index)?.served.clone()
    }

    /// The reasons why nothing can be reconciled; empty if the caches are complete.
    ///
    /// Nothing is decided with incomplete caches. Issuers and Namespaces that cannot be listed are
    /// reported by rules.
    pub fn missing(&self) -> Vec<String> {
        let inner = self.read();
        let mut missing = Vec::new();
        for (kind, watch) in self.0.kinds.iter().zip(&inner.watches) {
            let resource = || kind.resource();
            let is_needed = matches!(kind.role, Role::Gateways | Role::Certificates);
            match &watch.state {
                State::Synced => {}
                State::NotServed if is_needed => missing.push(format!("{} is not served", resource())),
                State::Denied(message) if is_needed => {
                    missing.push(format!("{} cannot be listed: {message}", resource()))
                }
                State::Pending if kind.role != Role::Pods => {
                    missing.push(format!("{} is not listed yet", resource()))
                }
                State::NotServed | State::Denied(_) | State::Pending => {}
            }
        }
        missing
    }

    /// The reasons why this replica is not ready to take over; empty if it is ready. A kind that is not
    /// served is not a reason.
    pub fn unsettled(&self) -> Vec<String> {
        let inner = self.read();
        let watches = self.0.kinds.iter().zip(&inner.watches);
        let unsettled = watches.filter_map(|(kind, watch)| match &watch.state {
            State::Synced | State::NotServed => None,
            State::Denied(message) => Some(format!("{} cannot be listed: {message}", kind.resource())),
            State::Pending => Some(format!("{} is not listed yet", kind.resource())),
        });
        unsettled.collect()
    }

    /// Receives whether nothing is [`Caches::missing`], and changes of that.
    pub fn ready(&self) -> watch::Receiver<bool> {
        self.0.ready.subscribe()
    }

    /// All Gateways to reconcile at a start: those that are annotated, and those that own a Certificate,
    /// which do not have to exist.
    pub fn all(&self) -> BTreeSet<Key> {
        self.read().index.all()
    }

    /// The cached objects of one Gateway.
    pub fn view(&self, key: &Key) -> View {
        let inner = self.read();
        let names = inner.index.owned.get(key).into_iter().flatten();
        View {
            gateway: inner.index.gateways.objects.get(key).cloned(),
            certificates: names
                .filter_map(|name| inner.index.certificates.objects.get(name).cloned())
                .collect(),
        }
    }

    /// The Certificate with that name.
    pub fn certificate(&self, name: &SecretName) -> Option<Arc<ObservedCertificate>> {
        self.read().index.certificates.objects.get(name).cloned()
    }

    /// Records that a Certificate was created, so that it is not created again before the watch delivers it.
    pub fn expect(&self, name: &SecretName) {
        let mut inner = self.write();
        if !inner.index.certificates.objects.contains_key(name) {
            inner.index.expected.insert(name.clone(), Instant::now() + EXPECTED);
        }
    }

    /// Whether a Certificate was created that the watch has not delivered yet.
    pub fn is_expected(&self, name: &SecretName) -> bool {
        self.read().index.expected.get(name).is_some_and(|until| Instant::now() < *until)
    }

    /// The first Certificate with another name that writes that Secret.
    pub fn other_writer(&self, secret: &SecretName) -> Option<SecretName> {
        self.read().index.writers.get(secret)?.first().cloned()
    }

    /// The Gateways that would lose a Certificate because they name its Secret no longer.
    pub fn losses(&self) -> Losses {
        let inner = self.read();
        let holders = inner.index.holders.iter();
        Losses {
            gateways: inner.index.unnamed.keys().cloned().collect(),
            holders: holders.map(|(namespace, names)| (namespace.clone(), names.len())).collect(),
        }
    }

    /// The other Gateways that plan that Secret and take precedence over this one.
    pub fn earlier_claims(
        &self,
        secret: &SecretName,
        gateway: &ObservedGateway,
    ) -> Vec<Arc<ObservedGateway>> {
        let inner = self.read();
        let claims = inner.index.claims.get(secret).into_iter().flatten().filter(|key| **key != gateway.key);
        claims
            .filter_map(|key| inner.index.gateways.objects.get(key))
            .filter(|other| other.is_before(gateway))
            .cloned()
            .collect()
    }

    /// All annotated Gateways.
    pub fn annotated(&self) -> Vec<Arc<ObservedGateway>> {
        let inner = self.read();
        inner.index.gateways.objects.values().filter(|gateway| gateway.is_annotated()).cloned().collect()
    }

    /// The labels of all Pods (see [`pods::cached`]), with their namespaces; `None` if Pods are not watched or not listed yet.
    pub fn pods(&self) -> Option<Vec<(String, Arc<Value>)>> {
        let index = self.0.kinds.iter().position(|kind| kind.role == Role::Pods)?;
        let inner = self.read();
        let store = inner.index.others.get(&index).filter(|_| inner.state(index) == Some(&State::Synced))?;
        Some(store.objects.iter().map(|(key, labels)| (key.namespace.clone(), Arc::clone(labels))).collect())
    }

    fn tell(&self) {
        let ready = self.missing().is_empty();
        self.0.ready.send_if_modified(|was| std::mem::replace(was, ready) != ready);
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.0.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.0.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn state(&self, index: usize) -> Option<&State> {
        self.watches.get(index).map(|watch| &watch.state)
    }

    /// Sets a state. Since it changes the results of lookups, all Gateways are reconciled.
    fn set_state(&mut self, index: usize, state: State) -> BTreeSet<Key> {
        match self.watches.get_mut(index) {
            Some(watch) if watch.state != state => {
                watch.state = state;
                self.index.all()
            }
            _ => BTreeSet::new(),
        }
    }
}

/// The cached part of an issuer, a Namespace or a Pod: for issuers the fields that rules read, for the
/// others their labels.
fn other(kind: &Kind, object: &DynamicObject) -> (Key, Value) {
    let key = Key {
        namespace: object.metadata.namespace.clone().unwrap_or_default(),
        name: object.metadata.name.clone().unwrap_or_default(),
    };
    let value = match kind.role {
        Role::Issuers => {
            let object = value_of(object);
            json!({
                "kind": kind.kind,
                "metadata": {
                    "namespace": object["metadata"]["namespace"],
                    "name": object["metadata"]["name"],
                    "generation": object["metadata"]["generation"],
                },
                "spec": object["spec"],
                "status": {"conditions": object["status"]["conditions"]},
            })
        }
        Role::Namespaces => json!({
            "kind": kind.kind,
            "metadata": {"name": object.metadata.name, "labels": object.metadata.labels},
        }),
        Role::Pods => pods::cached(object.metadata.labels.as_ref()),
        Role::Gateways | Role::Certificates => Value::Null,
    };
    (key, value)
}

impl Cluster for Caches {
    fn get(&self, object: &ObjectRef, _: &[&str], _: bool) -> Result<Value, LookupError> {
        let (group, kind) = (object.group(), object.kind.as_str());
        let namespace = object.namespace.clone().unwrap_or_default();
        if (group, kind) == (CERT_MANAGER_GROUP, "Certificate") {
            let name = SecretName { namespace, name: object.name.clone() };
            return self.certificate(&name).map(|found| found.identity()).ok_or(LookupError::NotFound);
        }
        let is_it = |observed: &Kind| (observed.group.as_str(), observed.kind.as_str()) == (group, kind);
        let index = self.0.kinds.iter().position(is_it).ok_or(LookupError::KindNotServed)?;
        let inner = self.read();
        match inner.state(index).unwrap_or(&State::Pending) {
            State::Synced => {}
            State::NotServed => return Err(LookupError::KindNotServed),
            State::Denied(_) => return Err(LookupError::Forbidden),
            State::Pending => return Err(LookupError::Unavailable("not listed yet".to_owned())),
        }
        let key = Key { namespace, name: object.name.clone() };
        let found = inner.index.others.get(&index).and_then(|store| store.objects.get(&key));
        found.map(|found| Value::clone(found)).ok_or(LookupError::NotFound)
    }

    fn help(&self, error: &LookupError, object: &ObjectRef) -> String {
        let kind = &object.kind;
        match error {
            LookupError::NotFound => format!("Create the {kind} first."),
            LookupError::KindNotServed => {
                format!("Platform team: install the CRD of {kind}, or correct its version in issuer_kinds.")
            }
            LookupError::Forbidden | LookupError::NotGranted(_) => {
                format!(
                    "Platform team: grant get, list and watch on {} to the controller.",
                    object.resource()
                )
            }
            LookupError::Unavailable(_) | LookupError::Undetermined(_) => {
                "The controller tries again. If it persists, check its log.".to_owned()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::watched;
    use crate::testing::{GatewayFixture, certificate, gateway};

    const GATEWAYS: usize = 0;
    const CERTIFICATES: usize = 1;
    const CLUSTER_ISSUERS: usize = 3;

    fn caches() -> Caches {
        let settings = Arc::new(Settings::default());
        Caches::new(watched(&settings, false), settings)
    }

    fn object(value: Value) -> DynamicObject {
        serde_json::from_value(value).unwrap()
    }

    fn names(keys: BTreeSet<Key>) -> Vec<String> {
        keys.iter().map(ToString::to_string).collect()
    }

    impl Caches {
        fn list(&self, index: usize, objects: &[Value]) -> Vec<String> {
            let mut wake = self.apply(index, Event::Init);
            for value in objects {
                wake.extend(self.apply(index, Event::InitApply(object(value.clone()))));
            }
            wake.extend(self.apply(index, Event::InitDone));
            names(wake)
        }

        fn put(&self, index: usize, value: Value) -> Vec<String> {
            names(self.apply(index, Event::Apply(object(value))))
        }

        fn remove(&self, index: usize, value: Value) -> Vec<String> {
            names(self.apply(index, Event::Delete(object(value))))
        }
    }

    fn shop(name: &str) -> GatewayFixture {
        gateway("team-a", name).server("shop-tls", &["shop.example.com"])
    }

    #[test]
    fn a_list_returns_the_changes() {
        let caches = caches();
        let (one, other) = (shop("one").build(), gateway("team-a", "other").build());
        assert_eq!(caches.list(GATEWAYS, &[one.clone(), other.clone()]), ["team-a/one", "team-a/other"]);
        assert_eq!(caches.list(GATEWAYS, &[one.clone(), other.clone()]), [""; 0]);
        assert_eq!(caches.list(GATEWAYS, &[other]), ["team-a/one"]);
        assert!(caches.view(&Key { namespace: "team-a".into(), name: "one".into() }).gateway.is_none());
    }

    #[test]
    fn an_incomplete_list_removes_nothing() {
        let caches = caches();
        caches.list(GATEWAYS, &[shop("one").build()]);
        caches.apply(GATEWAYS, Event::Init);
        assert!(caches.view(&Key { namespace: "team-a".into(), name: "one".into() }).gateway.is_some());
    }

    #[test]
    fn only_a_change_of_readiness_wakes_the_owner() {
        let caches = caches();
        caches.put(GATEWAYS, shop("one").build());
        let made = certificate("team-a", "shop-tls")
            .owned_by("networking.istio.io/v1", "one")
            .managed_by("gateway-certificates")
            .build();
        assert_eq!(caches.put(CERTIFICATES, made.clone()), ["team-a/one"]);
        let mut number = 1;
        let mut put = |status: Value| {
            number += 1;
            let mut issued = made.clone();
            issued["metadata"]["resourceVersion"] = json!(number.to_string());
            issued["status"] = status;
            caches.put(CERTIFICATES, issued)
        };
        let ready = |status: &str, day: u32| {
            json!({"conditions": [{"type": "Ready", "status": status, "lastTransitionTime": format!("2026-01-{day:02}T00:00:00Z")}],
                "renewalTime": format!("2026-02-{day:02}T00:00:00Z"), "revision": day})
        };
        assert_eq!(put(ready("True", 1)), ["team-a/one"]);
        assert_eq!(put(ready("True", 2)), [""; 0]);
        assert_eq!(put(ready("False", 3)), ["team-a/one"]);
        assert_eq!(put(ready("False", 4)), [""; 0]);
    }

    #[test]
    fn the_readiness_of_a_certificate_without_owner_wakes_no_gateway() {
        let caches = caches();
        caches.put(GATEWAYS, shop("one").build());
        let mut foreign = certificate("team-a", "shop-tls").build();
        assert_eq!(caches.put(CERTIFICATES, foreign.clone()), ["team-a/one"]);
        foreign["status"] = json!({"conditions": [{"type": "Ready", "status": "True"}]});
        assert_eq!(caches.put(CERTIFICATES, foreign), [""; 0]);
    }

    #[test]
    fn gateways_that_wait_for_a_secret_are_woken() {
        let caches = caches();
        caches.put(GATEWAYS, shop("one").build());
        assert_eq!(caches.put(GATEWAYS, shop("two").build()), ["team-a/one", "team-a/two"]);
        // A conflicting Certificate is deleted: one of that name, or another writer of the Secret.
        for in_the_way in [certificate("team-a", "shop-tls"), certificate("team-a", "x").writes("shop-tls")] {
            let in_the_way = in_the_way.build();
            caches.put(CERTIFICATES, in_the_way.clone());
            assert_eq!(caches.remove(CERTIFICATES, in_the_way), ["team-a/one", "team-a/two"]);
        }
        // The other Gateway uses another Secret.
        let renamed = gateway("team-a", "one").server("new-tls", &["shop.example.com"]).build();
        assert_eq!(caches.put(GATEWAYS, renamed), ["team-a/one", "team-a/two"]);
        assert_eq!(caches.put(GATEWAYS, gateway("team-a", "one").build()), ["team-a/one"]);
    }

    #[test]
    fn a_deleted_gateway_is_reconciled_while_it_owns_certificates() {
        let caches = caches();
        let made = certificate("team-a", "shop-tls").recorded("team-a", "one").build();
        assert_eq!(caches.put(CERTIFICATES, made.clone()), ["team-a/one"]);
        assert_eq!(names(caches.all()), ["team-a/one"]);
        caches.remove(CERTIFICATES, made);
        assert_eq!(names(caches.all()), [""; 0]);
    }

    #[test]
    fn an_issuer_wakes_the_gateways_that_use_it() {
        let caches = caches();
        caches.put(GATEWAYS, shop("one").build());
        caches.put(
            GATEWAYS,
            shop("two").annotations(json!({"cert-manager.io/cluster-issuer": "other"})).build(),
        );
        let issuer = |ready: &str| {
            json!({"metadata": {"name": "le"}, "spec": {},
                "status": {"conditions": [{"type": "Ready", "status": ready}]}})
        };
        assert_eq!(caches.put(CLUSTER_ISSUERS, issuer("False")), ["team-a/one"]);
        assert_eq!(caches.put(CLUSTER_ISSUERS, issuer("False")), [""; 0]);
        assert_eq!(caches.put(CLUSTER_ISSUERS, issuer("True")), ["team-a/one"]);
    }

    #[test]
    fn nothing_is_ready_before_everything_is_listed() {
        let caches = caches();
        let ready = caches.ready();
        for index in 0..caches.kinds().len() {
            assert!(!*ready.borrow());
            caches.list(index, &[]);
        }
        assert!(*ready.borrow());
        caches.set_state(CLUSTER_ISSUERS, State::NotServed);
        assert!(*ready.borrow(), "rules report an issuer kind that is not served");
        caches.set_state(GATEWAYS, State::NotServed);
        assert!(!*ready.borrow());
        assert_eq!(caches.missing(), ["gateways.networking.istio.io is not served"]);
        assert_eq!(caches.unsettled(), [""; 0]);
    }

    #[test]
    fn failed_lookups_do_not_count_as_absent() {
        let caches = caches();
        let issuer = ObjectRef {
            api_version: "cert-manager.io/v1".to_owned(),
            kind: "ClusterIssuer".to_owned(),
            namespace: None,
            name: "le".to_owned(),
        };
        let get = || caches.get(&issuer, &[], false).map(drop);
        assert!(matches!(get(), Err(LookupError::Unavailable(_))));
        caches.set_state(CLUSTER_ISSUERS, State::Denied("you may not".to_owned()));
        assert_eq!(get(), Err(LookupError::Forbidden));
        caches.set_state(CLUSTER_ISSUERS, State::NotServed);
        assert_eq!(get(), Err(LookupError::KindNotServed));
        caches.list(CLUSTER_ISSUERS, &[]);
        assert_eq!(get(), Err(LookupError::NotFound));
        caches.put(CLUSTER_ISSUERS, json!({"metadata": {"name": "le"}}));
        assert_eq!(get(), Ok(()));
    }
}
