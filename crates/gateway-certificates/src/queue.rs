//! The queue of Gateways to reconcile: each Gateway is queued once, and never reconciled by two workers
//! at a time.
//!
//! This is not kube-runtime's Controller, for two reasons. It drops requests for objects that are not in
//! its store, but deleted Gateways must be reconciled too. And it allows one namespace to occupy all
//! workers. In this queue, namespaces take turns, and each has at most a quarter of the workers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::RngExt;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::objects::Key;

/// The wait before the first retry.
const FIRST_RETRY: Duration = Duration::from_millis(500);
/// The maximum wait between the first retries, which take about a minute in total. This is the time that
/// an API server needs to start completely.
const EAGER_RETRY: Duration = Duration::from_secs(8);
/// The number of the first retries.
const EAGER_RETRIES: u32 = 9;
/// The wait between all later ones.
const LAST_RETRY: Duration = Duration::from_secs(60);

/// The next action for a Gateway after its reconciliation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing, until something changes.
    Wait,
    /// A retry, with backoff.
    Retry,
}

/// A Gateway that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The Gateway.
    pub key: Key,
    /// The number of failed attempts in a row.
    pub retries: u32,
    /// The time for which it was due.
    pub due_for: Duration,
}

/// The queue. Clones share it.
#[derive(Debug, Clone)]
pub struct Queue(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
    per_namespace: usize,
}

#[derive(Debug, Default)]
struct State {
    /// The Gateways that are due, by namespace.
    due: BTreeMap<String, VecDeque<Key>>,
    /// The namespaces with Gateways that are due, in the order of their turns.
    turns: VecDeque<String>,
    /// All Gateways that are due, and since when.
    is_due: BTreeMap<Key, Instant>,
    /// The Gateways that are due later, by time and order of arrival.
    later: BTreeMap<(Instant, u64), Key>,
    due_at: BTreeMap<Key, (Instant, u64)>,
    arrivals: u64,
    /// The Gateways that are being reconciled, and whether they have become due again.
    running: BTreeMap<Key, bool>,
    running_in: BTreeMap<String, usize>,
    failures: BTreeMap<Key, u32>,
}

impl Queue {
    /// A queue for that many workers.
    pub fn new(workers: usize) -> Self {
        Queue(Arc::new(Shared {
            state: Mutex::default(),
            changed: Notify::new(),
            per_namespace: (workers / 4).max(1),
        }))
    }

    /// Makes a Gateway due now, even if it waits for a retry.
    pub fn add(&self, key: Key) {
        self.lock().add(key);
        self.0.changed.notify_one();
    }

    /// Makes Gateways due now.
    pub fn add_all(&self, keys: impl IntoIterator<Item = Key>) {
        let mut state = self.lock();
        keys.into_iter().for_each(|key| state.add(key));
        drop(state);
        self.0.changed.notify_one();
    }

    /// Waits for a Gateway that is due. The caller must call [`Queue::done`] afterwards.
    pub async fn next(&self) -> Due {
        loop {
            // Created before the check, so that no notification is missed.
            let changed = self.0.changed.notified();
            let (found, more, wake_at) = {
                let mut state = self.lock();
                state.promote(Instant::now());
                let found = state.take(self.0.per_namespace);
                (found, !state.is_due.is_empty(), state.later.keys().next().map(|(at, _)| *at))
            };
            if let Some(due) = found {
                if more {
                    self.0.changed.notify_one();
                }
                return due;
            }
            match wake_at {
                None => changed.await,
                Some(at) => {
                    let _ = tokio::time::timeout_at(at, changed).await;
                }
            }
        }
    }

    /// Ends the reconciliation of a Gateway.
    pub fn done(&self, key: &Key, next: Next) {
        let mut state = self.lock();
        let again = state.running.remove(key).unwrap_or_default();
        if let Some(running) = state.running_in.get_mut(&key.namespace) {
            *running = running.saturating_sub(1);
            if *running == 0 {
                state.running_in.remove(&key.namespace);
            }
        }
        let failures = match next {
            Next::Retry => state.failures.get(key).map_or(1, |failures| failures.saturating_add(1)),
            Next::Wait => 0,
        };
        match failures {
            0 => state.failures.remove(key),
            failures => state.failures.insert(key.clone(), failures),
        };
        if again {
            state.add(key.clone());
        } else if next == Next::Retry {
            state.add_later(key.clone(), Instant::now() + jittered(backoff(failures)));
        }
        drop(state);
        self.0.changed.notify_one();
    }

    /// The number of Gateways that are due or being reconciled.
    pub fn depth(&self) -> usize {
        let state = self.lock();
        state.is_due.len() + state.running.len()
    }

    /// The number of Gateways that wait for a retry.
    pub fn waiting(&self) -> usize {
        self.lock().later.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add(&mut self, key: Key) {
        if let Some(at) = self.due_at.remove(&key) {
            self.later.remove(&at);
        }
        if let Some(again) = self.running.get_mut(&key) {
            *again = true;
        } else if !self.is_due.contains_key(&key) {
            self.is_due.insert(key.clone(), Instant::now());
            let due = self.due.entry(key.namespace.clone()).or_default();
            if due.is_empty() {
                self.turns.push_back(key.namespace.clone());
            }
            due.push_back(key);
        }
    }

    fn add_later(&mut self, key: Key, at: Instant) {
        self.arrivals += 1;
        let at = (at, self.arrivals);
        self.later.insert(at, key.clone());
        self.due_at.insert(key, at);
    }

    /// Makes the Gateways due that waited until now.
    fn promote(&mut self, now: Instant) {
        while let Some(entry) = self.later.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let key = entry.remove();
            self.add(key);
        }
    }

    fn take(&mut self, per_namespace: usize) -> Option<Due> {
        for _ in 0..self.turns.len() {
            let namespace = self.turns.pop_front()?;
            if self.running_in.get(&namespace).copied().unwrap_or_default() >= per_namespace {
                self.turns.push_back(namespace);
                continue;
            }
            let due = self.due.get_mut(&namespace)?;
            let key = due.pop_front()?;
            if due.is_empty() {
                self.due.remove(&namespace);
            } else {
                self.turns.push_back(namespace.clone());
            }
            let since = self.is_due.remove(&key);
            let due_for = since.map(|since| since.elapsed()).unwrap_or_default();
            self.running.insert(key.clone(), false);
            *self.running_in.entry(namespace).or_default() += 1;
            let retries = self.failures.get(&key).copied().unwrap_or_default();
            return Some(Due { key, retries, due_for });
        }
        None
    }
}

/// Half a second, doubled with every failure up to eight seconds; after a minute of failures, one minute.
fn backoff(failures: u32) -> Duration {
    if failures > EAGER_RETRIES {
        return LAST_RETRY;
    }
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
    FIRST_RETRY.saturating_mul(doubled).min(EAGER_RETRY)
}

/// Adds up to 50 %, so that Gateways that failed together are not retried together.
fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(rand::rng().random_range(1.0..1.5))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn key(text: &str) -> Key {
        let (namespace, name) = text.split_once('/').unwrap();
        Key { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    fn take(queue: &Queue) -> Option<String> {
        let mut state = queue.lock();
        state.promote(Instant::now());
        state.take(queue.0.per_namespace).map(|due| due.key.to_string())
    }

    fn take_all(queue: &Queue) -> Vec<String> {
        std::iter::from_fn(|| take(queue)).collect()
    }

    fn filled(workers: usize, keys: &[&str]) -> Queue {
        let queue = Queue::new(workers);
        queue.add_all(keys.iter().map(|text| key(text)));
        queue
    }

    #[rstest]
    #[case::each_once(&["a/1", "a/1", "a/2"], &["a/1", "a/2"])]
    #[case::namespaces_take_turns(&["a/1", "a/2", "a/3", "b/1", "c/1"], &["a/1", "b/1", "c/1", "a/2", "a/3"])]
    fn the_order(#[case] keys: &[&str], #[case] expected: &[&str]) {
        assert_eq!(take_all(&filled(64, keys)), expected);
    }

    #[test]
    fn a_namespace_has_a_quarter_of_the_workers() {
        let queue = filled(8, &["a/1", "a/2", "a/3", "b/1"]);
        assert_eq!(take_all(&queue), ["a/1", "b/1", "a/2"]);
        queue.done(&key("a/1"), Next::Wait);
        assert_eq!(take_all(&queue), ["a/3"]);
    }

    #[test]
    fn a_gateway_that_changes_meanwhile_is_due_again() {
        let queue = filled(8, &["a/1"]);
        assert_eq!(take_all(&queue), ["a/1"]);
        queue.add(key("a/1"));
        assert_eq!(take_all(&queue), Vec::<String>::new());
        queue.done(&key("a/1"), Next::Wait);
        assert_eq!(take_all(&queue), ["a/1"]);
        queue.done(&key("a/1"), Next::Wait);
        assert_eq!((queue.depth(), queue.waiting()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn retries_have_a_backoff_and_end_with_success() {
        let queue = filled(8, &["a/1"]);
        let mut waits = Vec::new();
        for _ in 0..12 {
            let start = Instant::now();
            let due = queue.next().await;
            assert_eq!(due.retries, u32::try_from(waits.len()).unwrap());
            waits.push(start.elapsed().as_millis());
            queue.done(&due.key, Next::Retry);
        }
        for (wait, least) in
            waits.iter().zip([0, 500, 1000, 2000, 4000, 8000, 8000, 8000, 8000, 8000, 60000, 60000])
        {
            assert!((least..=least * 3 / 2 + 1).contains(wait), "{waits:?}");
        }
        let due = queue.next().await;
        queue.done(&due.key, Next::Wait);
        assert!(queue.lock().failures.is_empty());
        assert_eq!(queue.waiting(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_does_not_wait_for_the_retry() {
        let queue = filled(8, &["a/1"]);
        let first = queue.next().await;
        queue.done(&first.key, Next::Retry);
        queue.add(key("a/1"));
        let start = Instant::now();
        let due_for = Duration::ZERO;
        assert_eq!(queue.next().await, Due { key: key("a/1"), retries: 1, due_for });
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert_eq!(queue.waiting(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn several_workers_empty_the_queue() {
        let keys: Vec<String> = (0..100).map(|i| format!("{}/{i}", i % 7)).collect();
        let queue = Queue::new(8);
        let worker = |queue: Queue| async move {
            let mut done = 0;
            while let Ok(due) = tokio::time::timeout(Duration::from_secs(1), queue.next()).await {
                tokio::time::sleep(Duration::from_millis(10)).await;
                queue.done(&due.key, Next::Wait);
                done += 1;
            }
            done
        };
        let workers: Vec<_> = (0..8).map(|_| tokio::spawn(worker(queue.clone()))).collect();
        queue.add_all(keys.iter().map(|text| key(text)));
        let mut done = 0;
        for worker in workers {
            done += worker.await.unwrap();
        }
        assert_eq!(done, 100);
    }
}
