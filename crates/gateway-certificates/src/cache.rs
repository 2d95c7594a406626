//! What the watches have brought: objects, who owns and who claims what, and whether all of it is
//! there. The rules look issuers, Namespaces and Certificates up here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use certificate_shim::issuer_ref::CERT_MANAGER_GROUP;
use certificate_shim::plan::SecretName;
use gateway_rules::{Cluster, LookupError, ObjectRef, Settings};
use kube::api::DynamicObject;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::kinds::{Kind, Role, Served};
use crate::objects::{Key, KnownCertificate, KnownGateway, value_of};

/// How long the watch may take to bring a Certificate that was created. One that was deleted at once
/// may never come.
const EXPECTED: Duration = Duration::from_secs(10);

/// How far a watch is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Not everything has been listed yet.
    Pending,
    /// The API server does not serve the kind.
    NotServed,
    /// We may not list it: what the API server said.
    Denied(String),
    /// Everything is there.
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
    gateways: Store<Key, KnownGateway>,
    certificates: Store<SecretName, KnownCertificate>,
    /// Issuers, Namespaces and Pods, each kind in its own store, at the index of its watch.
    others: BTreeMap<usize, Store<Key, Value>>,
    /// The Certificates that belong to a Gateway, be it there or not.
    owned: BTreeMap<Key, BTreeSet<SecretName>>,
    /// Certificates by the Secret that they write, where that has another name.
    writers: BTreeMap<SecretName, BTreeSet<SecretName>>,
    /// The Gateways that plan a Secret.
    claims: BTreeMap<SecretName, BTreeSet<Key>>,
    /// Certificates that were created and that the watch has not brought yet, with the time until
    /// which it is waited for.
    expected: BTreeMap<SecretName, Instant>,
}

#[derive(Debug)]
struct Watch {
    state: State,
    served: Option<Served>,
}

/// The objects of one kind.
#[derive(Debug)]
struct Store<K, V> {
    objects: BTreeMap<K, Arc<V>>,
    /// What a list has brought so far, until it is complete.
    listed: BTreeMap<K, Arc<V>>,
}

impl<K, V> Default for Store<K, V> {
    fn default() -> Self {
        Store { objects: BTreeMap::new(), listed: BTreeMap::new() }
    }
}

/// An object before and after.
struct Change<K, V> {
    key: K,
    old: Option<Arc<V>>,
    new: Option<Arc<V>>,
}

impl<K: Ord + Clone, V: PartialEq> Store<K, V> {
    /// Takes an event; what it changes.
    fn apply(&mut self, event: Event<(K, V)>) -> Vec<Change<K, V>> {
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply((key, value)) => {
                // What has not changed is shared with what was there before.
                let same = self.objects.get(&key).filter(|old| ***old == value).cloned();
                self.listed.insert(key, same.unwrap_or_else(|| Arc::new(value)));
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                let mut before = std::mem::replace(&mut self.objects, listed.clone());
                let mut changes = Vec::new();
                for (key, new) in listed {
                    let old = before.remove(&key);
                    if old.as_ref().is_none_or(|old| !Arc::ptr_eq(old, &new)) {
                        changes.push(Change { key, old, new: Some(new) });
                    }
                }
                changes.extend(before.into_iter().map(|(key, old)| Change {
                    key,
                    old: Some(old),
                    new: None,
                }));
                return changes;
            }
            Event::Apply((key, value)) => {
                if self.objects.get(&key).is_some_and(|old| **old == value) {
                    return Vec::new();
                }
                let new = Arc::new(value);
                let old = self.objects.insert(key.clone(), Arc::clone(&new));
                return vec![Change { key, old, new: Some(new) }];
            }
            Event::Delete((key, _)) => {
                let old = self.objects.remove(&key);
                return old.map(|old| Change { key, old: Some(old), new: None }).into_iter().collect();
            }
        }
        Vec::new()
    }
}

/// What is known of one Gateway.
#[derive(Debug, Clone)]
pub struct View {
    /// The Gateway; none where there is none.
    pub gateway: Option<Arc<KnownGateway>>,
    /// The Certificates that belong to it, by name.
    pub certificates: Vec<Arc<KnownCertificate>>,
}

impl Caches {
    /// Empty caches for those kinds.
    pub fn new(kinds: Vec<Kind>, settings: Arc<Settings>) -> Self {
        let watches = kinds.iter().map(|_| Watch { state: State::Pending, served: None }).collect();
        let inner = RwLock::new(Inner { watches, ..Inner::default() });
        Caches(Arc::new(Shared { kinds, settings, inner, ready: watch::Sender::new(false) }))
    }

    /// The kinds, in the order of their indices.
    pub fn kinds(&self) -> &[Kind] {
        &self.0.kinds
    }

    /// Takes an event of a watch; the Gateways that have to be looked at.
    pub fn apply(&self, index: usize, event: Event<DynamicObject>) -> BTreeSet<Key> {
        let Some(kind) = self.0.kinds.get(index) else { return BTreeSet::new() };
        let is_done = matches!(event, Event::InitDone);
        let settings = &self.0.settings;
        // What is remembered is worked out before the others have to wait.
        let (mut wake, mut inner): (BTreeSet<Key>, _) = match kind.role {
            Role::Gateways => {
                let event = map(event, |object| {
                    let known = KnownGateway::of(&object, settings);
                    (known.key.clone(), known)
                });
                let mut inner = self.write();
                let changes = inner.gateways.apply(event);
                (changes.into_iter().flat_map(|change| inner.gateway_changed(&change)).collect(), inner)
            }
            Role::Certificates => {
                let event = map(event, |object| {
                    let known = KnownCertificate::of(&object);
                    (known.name.clone(), known)
                });
                let mut inner = self.write();
                let changes = inner.certificates.apply(event);
                (changes.into_iter().flat_map(|change| inner.certificate_changed(&change)).collect(), inner)
            }
            Role::Issuers | Role::Namespaces | Role::Pods => {
                let event = map(event, |object| other(kind, &object));
                let mut inner = self.write();
                let changes = inner.others.entry(index).or_default().apply(event);
                (
                    changes.into_iter().flat_map(|change| inner.other_changed(kind, &change.key)).collect(),
                    inner,
                )
            }
        };
        if is_done {
            wake.extend(inner.set_state(index, State::Synced));
        }
        drop(inner);
        self.tell();
        wake
    }

    /// Notes how far a watch is; the Gateways that have to be looked at.
    pub fn set_state(&self, index: usize, state: State) -> BTreeSet<Key> {
        let wake = self.write().set_state(index, state);
        self.tell();
        wake
    }

    /// Notes how a kind is served.
    pub fn set_served(&self, index: usize, served: Option<Served>) {
        if let Some(watch) = self.write().watches.get_mut(index) {
            watch.served = served;
        }
    }

    /// How the kind of that role is served.
    pub fn served(&self, role: Role) -> Option<Served> {
        let index = self.0.kinds.iter().position(|kind| kind.role == role)?;
        self.read().watches.get(index)?.served.clone()
    }

    /// What keeps work from being done; empty where everything is there.
    ///
    /// Nothing is judged on half of the objects. Issuers and Namespaces that cannot be had are a
    /// rule's business.
    pub fn missing(&self) -> Vec<String> {
        let inner = self.read();
        let mut missing = Vec::new();
        for (kind, watch) in self.0.kinds.iter().zip(&inner.watches) {
            let resource = || kind.resource();
            let is_needed = matches!(kind.role, Role::Gateways | Role::Certificates);
            match &watch.state {
                State::Synced => {}
                State::NotServed if is_needed => missing.push(format!("{} is not served", resource())),
                State::Denied(said) if is_needed => {
                    missing.push(format!("{} cannot be listed: {said}", resource()))
                }
                State::Pending if kind.role != Role::Pods => {
                    missing.push(format!("{} is not listed yet", resource()))
                }
                State::NotServed | State::Denied(_) | State::Pending => {}
            }
        }
        missing
    }

    /// What keeps this replica from being ready to take over; empty where nothing does. That a kind is
    /// not served is no fault of ours.
    pub fn unsettled(&self) -> Vec<String> {
        let inner = self.read();
        let watches = self.0.kinds.iter().zip(&inner.watches);
        let unsettled = watches.filter_map(|(kind, watch)| match &watch.state {
            State::Synced | State::NotServed => None,
            State::Denied(said) => Some(format!("{} cannot be listed: {said}", kind.resource())),
            State::Pending => Some(format!("{} is not listed yet", kind.resource())),
        });
        unsettled.collect()
    }

    /// Tells whether anything is [`Caches::missing`], and when that changes.
    pub fn ready(&self) -> watch::Receiver<bool> {
        self.0.ready.subscribe()
    }

    /// Every Gateway that has to be looked at once: those that are annotated, and those, there or
    /// not, that own a Certificate.
    pub fn all(&self) -> BTreeSet<Key> {
        self.read().all()
    }

    /// What is known of one Gateway.
    pub fn view(&self, key: &Key) -> View {
        let inner = self.read();
        let names = inner.owned.get(key).into_iter().flatten();
        View {
            gateway: inner.gateways.objects.get(key).cloned(),
            certificates: names.filter_map(|name| inner.certificates.objects.get(name).cloned()).collect(),
        }
    }

    /// The Certificate of that name.
    pub fn certificate(&self, name: &SecretName) -> Option<Arc<KnownCertificate>> {
        self.read().certificates.objects.get(name).cloned()
    }

    /// Notes that a Certificate was created, so that it is not created again before the watch brings it.
    pub fn expect(&self, name: &SecretName) {
        let mut inner = self.write();
        if !inner.certificates.objects.contains_key(name) {
            inner.expected.insert(name.clone(), Instant::now() + EXPECTED);
        }
    }

    /// Whether a Certificate was created that the watch has not brought yet.
    pub fn is_expected(&self, name: &SecretName) -> bool {
        self.read().expected.get(name).is_some_and(|until| Instant::now() < *until)
    }

    /// The first Certificate of another name that writes that Secret.
    pub fn other_writer(&self, secret: &SecretName) -> Option<SecretName> {
        self.read().writers.get(secret)?.first().cloned()
    }

    /// The other Gateways that plan that Secret and come before this one.
    pub fn earlier_claims(&self, secret: &SecretName, gateway: &KnownGateway) -> Vec<Arc<KnownGateway>> {
        let inner = self.read();
        let claims = inner.claims.get(secret).into_iter().flatten().filter(|key| **key != gateway.key);
        claims
            .filter_map(|key| inner.gateways.objects.get(key))
            .filter(|other| other.is_before(gateway))
            .cloned()
            .collect()
    }

    /// All annotated Gateways.
    pub fn annotated(&self) -> Vec<Arc<KnownGateway>> {
        let inner = self.read();
        inner.gateways.objects.values().filter(|gateway| gateway.is_annotated()).cloned().collect()
    }

    /// The labels of all Pods, with their namespaces; none where Pods are not watched or not listed.
    pub fn pods(&self) -> Option<Vec<(String, Arc<Value>)>> {
        let index = self.0.kinds.iter().position(|kind| kind.role == Role::Pods)?;
        let inner = self.read();
        let store = inner.others.get(&index).filter(|_| inner.state(index) == Some(&State::Synced))?;
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
    fn all(&self) -> BTreeSet<Key> {
        let annotated = self.gateways.objects.values().filter(|gateway| gateway.is_annotated());
        annotated.map(|gateway| gateway.key.clone()).chain(self.owned.keys().cloned()).collect()
    }

    fn state(&self, index: usize) -> Option<&State> {
        self.watches.get(index).map(|watch| &watch.state)
    }

    /// What could not be looked up before may be there now, and the other way round.
    fn set_state(&mut self, index: usize, state: State) -> BTreeSet<Key> {
        match self.watches.get_mut(index) {
            Some(watch) if watch.state != state => {
                watch.state = state;
                self.all()
            }
            _ => BTreeSet::new(),
        }
    }

    fn gateway_changed(&mut self, change: &Change<Key, KnownGateway>) -> BTreeSet<Key> {
        let Change { key, old, new } = change;
        let planned = |gateway: &Option<Arc<KnownGateway>>| -> Vec<SecretName> {
            gateway.iter().flat_map(|gateway| gateway.planned.iter().cloned()).collect()
        };
        let (before, after) = (planned(old), planned(new));
        let mut wake = BTreeSet::new();
        for secret in &before {
            if let Some(claims) = self.claims.get_mut(secret) {
                claims.remove(key);
                // Whoever waited for it, and whoever has to wait for it now.
                wake.extend(claims.iter().cloned());
                if claims.is_empty() {
                    self.claims.remove(secret);
                }
            }
        }
        for secret in after {
            let claims = self.claims.entry(secret).or_default();
            wake.extend(claims.iter().cloned());
            claims.insert(key.clone());
        }
        let is_annotated = |gateway: &Option<Arc<KnownGateway>>| {
            gateway.as_ref().is_some_and(|gateway| gateway.is_annotated())
        };
        if is_annotated(old) || is_annotated(new) || self.owned.contains_key(key) {
            wake.insert(key.clone());
        }
        wake
    }

    fn certificate_changed(&mut self, change: &Change<SecretName, KnownCertificate>) -> BTreeSet<Key> {
        let Change { key: name, old, new } = change;
        self.expected.remove(name);
        let mut wake: BTreeSet<Key> = self.claims.get(name).into_iter().flatten().cloned().collect();
        for certificate in old.iter().chain(new) {
            if let Some(owner) = &certificate.owner {
                wake.insert(owner.key.clone());
            }
            let secret = written_secret(certificate);
            wake.extend(self.claims.get(&secret).into_iter().flatten().cloned());
        }
        if let Some(old) = old {
            if let Some(owner) = &old.owner {
                remove_from(&mut self.owned, &owner.key, name);
            }
            remove_from(&mut self.writers, &written_secret(old), name);
        }
        if let Some(new) = new {
            if let Some(owner) = &new.owner {
                self.owned.entry(owner.key.clone()).or_default().insert(name.clone());
            }
            let secret = written_secret(new);
            if secret != *name {
                self.writers.entry(secret).or_default().insert(name.clone());
            }
        }
        wake
    }

    /// The Gateways that an issuer, a Namespace or a Pod concerns.
    fn other_changed(&self, kind: &Kind, key: &Key) -> BTreeSet<Key> {
        let concerns = |gateway: &&Arc<KnownGateway>| match kind.role {
            Role::Issuers => gateway
                .issuer
                .as_ref()
                .is_some_and(|issuer| issuer.effective_group() == kind.group && issuer.name == key.name),
            Role::Namespaces => gateway.is_annotated() && gateway.key.namespace == key.name,
            Role::Pods | Role::Gateways | Role::Certificates => false,
        };
        self.gateways.objects.values().filter(concerns).map(|gateway| gateway.key.clone()).collect()
    }
}

fn written_secret(certificate: &KnownCertificate) -> SecretName {
    SecretName { namespace: certificate.name.namespace.clone(), name: certificate.secret_name.clone() }
}

fn remove_from<K: Ord, V: Ord>(index: &mut BTreeMap<K, BTreeSet<V>>, key: &K, value: &V) {
    if let Some(values) = index.get_mut(key) {
        values.remove(value);
        if values.is_empty() {
            index.remove(key);
        }
    }
}

/// What is remembered of an issuer, a Namespace or a Pod: of issuers what rules read, of the others
/// their labels.
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
        Role::Pods | Role::Gateways | Role::Certificates => json!(object.metadata.labels),
    };
    (key, value)
}

/// The same event about something else than its object.
pub fn map<T, U>(event: Event<T>, change: impl FnOnce(T) -> U) -> Event<U> {
    match event {
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
        Event::InitApply(object) => Event::InitApply(change(object)),
        Event::Apply(object) => Event::Apply(change(object)),
        Event::Delete(object) => Event::Delete(change(object)),
    }
}

impl Cluster for Caches {
    fn get(&self, object: &ObjectRef, _: &[&str], _: bool) -> Result<Value, LookupError> {
        let (group, kind) = (object.group(), object.kind.as_str());
        let namespace = object.namespace.clone().unwrap_or_default();
        if (group, kind) == (CERT_MANAGER_GROUP, "Certificate") {
            let name = SecretName { namespace, name: object.name.clone() };
            return self.certificate(&name).map(|found| found.identity()).ok_or(LookupError::NotFound);
        }
        let is_it = |known: &Kind| (known.group.as_str(), known.kind.as_str()) == (group, kind);
        let index = self.0.kinds.iter().position(is_it).ok_or(LookupError::KindNotServed)?;
        let inner = self.read();
        match inner.state(index).unwrap_or(&State::Pending) {
            State::Synced => {}
            State::NotServed => return Err(LookupError::KindNotServed),
            State::Denied(said) => return Err(LookupError::Unavailable(said.clone())),
            State::Pending => return Err(LookupError::Unavailable("it is not listed yet".to_owned())),
        }
        let key = Key { namespace, name: object.name.clone() };
        let found = inner.others.get(&index).and_then(|store| store.objects.get(&key));
        found.map(|found| Value::clone(found)).ok_or(LookupError::NotFound)
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
    fn a_list_tells_what_changed() {
        let caches = caches();
        let (one, other) = (shop("one").build(), gateway("team-a", "other").build());
        assert_eq!(caches.list(GATEWAYS, &[one.clone(), other.clone()]), ["team-a/one", "team-a/other"]);
        assert_eq!(caches.list(GATEWAYS, &[one.clone(), other.clone()]), [""; 0]);
        assert_eq!(caches.list(GATEWAYS, &[other]), ["team-a/one"]);
        assert!(caches.view(&Key { namespace: "team-a".into(), name: "one".into() }).gateway.is_none());
    }

    #[test]
    fn half_a_list_takes_nothing_away() {
        let caches = caches();
        caches.list(GATEWAYS, &[shop("one").build()]);
        caches.apply(GATEWAYS, Event::Init);
        assert!(caches.view(&Key { namespace: "team-a".into(), name: "one".into() }).gateway.is_some());
    }

    #[test]
    fn a_status_wakes_nobody() {
        let caches = caches();
        caches.put(GATEWAYS, shop("one").build());
        let made = certificate("team-a", "shop-tls").owned_by("networking.istio.io/v1", "one").build();
        assert_eq!(caches.put(CERTIFICATES, made.clone()), ["team-a/one"]);
        let mut issued = made;
        issued["status"] = json!({"conditions": [{"type": "Ready", "status": "True"}]});
        issued["metadata"]["resourceVersion"] = json!("2");
        assert_eq!(caches.put(CERTIFICATES, issued), [""; 0]);
    }

    #[test]
    fn whoever_waits_for_a_secret_is_woken() {
        let caches = caches();
        caches.put(GATEWAYS, shop("one").build());
        assert_eq!(caches.put(GATEWAYS, shop("two").build()), ["team-a/one", "team-a/two"]);
        // A Certificate that was in the way goes, be it of that name or a writer of the Secret.
        for in_the_way in [certificate("team-a", "shop-tls"), certificate("team-a", "x").writes("shop-tls")] {
            let in_the_way = in_the_way.build();
            caches.put(CERTIFICATES, in_the_way.clone());
            assert_eq!(caches.remove(CERTIFICATES, in_the_way), ["team-a/one", "team-a/two"]);
        }
        // The other one names another Secret.
        let renamed = gateway("team-a", "one").server("new-tls", &["shop.example.com"]).build();
        assert_eq!(caches.put(GATEWAYS, renamed), ["team-a/one", "team-a/two"]);
        assert_eq!(caches.put(GATEWAYS, gateway("team-a", "one").build()), ["team-a/one"]);
    }

    #[test]
    fn a_gateway_that_is_gone_is_looked_at_as_long_as_it_owns_something() {
        let caches = caches();
        let made = certificate("istio-system", "shop-tls").recorded("team-a", "one").build();
        assert_eq!(caches.put(CERTIFICATES, made.clone()), ["team-a/one"]);
        assert_eq!(names(caches.all()), ["team-a/one"]);
        caches.remove(CERTIFICATES, made);
        assert_eq!(names(caches.all()), [""; 0]);
    }

    #[test]
    fn an_issuer_wakes_those_that_name_it() {
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
        assert!(*ready.borrow(), "rules tell what an issuer is that is not served");
        caches.set_state(GATEWAYS, State::NotServed);
        assert!(!*ready.borrow());
        assert_eq!(caches.missing(), ["gateways.networking.istio.io is not served"]);
        assert_eq!(caches.unsettled(), [""; 0]);
    }

    #[test]
    fn what_cannot_be_looked_up_is_not_taken_for_absent() {
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
        assert_eq!(get(), Err(LookupError::Unavailable("you may not".to_owned())));
        caches.set_state(CLUSTER_ISSUERS, State::NotServed);
        assert_eq!(get(), Err(LookupError::KindNotServed));
        caches.list(CLUSTER_ISSUERS, &[]);
        assert_eq!(get(), Err(LookupError::NotFound));
        caches.put(CLUSTER_ISSUERS, json!({"metadata": {"name": "le"}}));
        assert_eq!(get(), Ok(()));
    }
}
