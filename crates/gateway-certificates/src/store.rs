//! The objects of one kind, as its watch delivers them. Unlike kube-runtime's reflector, it returns each change with the
//! object before and after, which the indices need.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::runtime::watcher::Event;

/// The objects of one kind.
#[derive(Debug)]
pub struct Store<K, V> {
    /// The objects of the last complete list, with the changes since then.
    pub objects: BTreeMap<K, Arc<V>>,
    /// The objects of a list that is not complete yet.
    listed: BTreeMap<K, Arc<V>>,
}

impl<K, V> Default for Store<K, V> {
    fn default() -> Self {
        Store { objects: BTreeMap::new(), listed: BTreeMap::new() }
    }
}

/// An object before and after a change.
pub struct Change<K, V> {
    /// Its key.
    pub key: K,
    /// Before; `None` if it is new.
    pub old: Option<Arc<V>>,
    /// After; `None` if it was deleted.
    pub new: Option<Arc<V>>,
}

impl<K: Ord + Clone, V: PartialEq> Store<K, V> {
    /// Applies an event and returns the changes.
    pub fn apply(&mut self, event: Event<(K, V)>) -> Vec<Change<K, V>> {
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply((key, value)) => {
                // An unchanged object is shared with the previous list.
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

/// Converts the object of an event.
pub fn map<T, U>(event: Event<T>, change: impl FnOnce(T) -> U) -> Event<U> {
    match event {
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
        Event::InitApply(object) => Event::InitApply(change(object)),
        Event::Apply(object) => Event::Apply(change(object)),
        Event::Delete(object) => Event::Delete(change(object)),
    }
}
