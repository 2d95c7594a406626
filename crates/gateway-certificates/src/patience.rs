//! Patience: how long a condition of a Gateway must last before the controller acts on it, and how often a
//! Certificate may be changed back. All such times are here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use certificate_shim::plan::SecretName;
use tokio::time::Instant;

use crate::objects::Key;

/// The number of times that the controller restores a Certificate before it lets the other manager be.
const RESTORES: usize = 3;
/// The time in which these are counted.
const RESTORED_WITHIN: Duration = Duration::from_secs(600);
/// The pause after them.
const TRUCE: Duration = Duration::from_secs(300);

/// A condition of a Gateway that has to last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Concern {
    /// It does not exist. A Gateway that is replaced exists again after a moment and takes over, and the deletion of
    /// CustomResourceDefinitions becomes visible.
    Gone,
    /// It does not name the Secret of one of its Certificates. Other Gateways may be changing, too.
    Unnamed,
    /// A request is forbidden. An API server that has just started has not read its Roles.
    Forbidden,
    /// Requests fail.
    Failing,
}

impl Concern {
    /// The time that it has to last.
    fn lasts(self) -> Duration {
        match self {
            Concern::Gone | Concern::Unnamed | Concern::Forbidden => Duration::from_secs(4),
            Concern::Failing => Duration::from_secs(60),
        }
    }
}

/// The current concerns, and the restored Certificates. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Patience(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    since: BTreeMap<Key, BTreeMap<Concern, Instant>>,
    restored: BTreeMap<SecretName, Restored>,
}

/// The changes of a Certificate to one desired state.
#[derive(Debug, Default)]
struct Restored {
    desired: String,
    at: VecDeque<Instant>,
    /// The other field managers.
    others: Vec<String>,
}

impl Patience {
    /// Whether a concern has lasted long enough. Its time begins with the first call.
    pub fn is_over(&self, key: &Key, concern: Concern) -> bool {
        let mut state = self.lock();
        let since = *state.since.entry(key.clone()).or_default().entry(concern).or_insert_with(Instant::now);
        since.elapsed() >= concern.lasts()
    }

    /// Ends the concerns of a Gateway, except for those.
    pub fn keep(&self, key: &Key, concerns: &BTreeSet<Concern>) {
        let mut state = self.lock();
        if let Some(since) = state.since.get_mut(key) {
            since.retain(|concern, _| concerns.contains(concern));
            if since.is_empty() {
                state.since.remove(key);
            }
        }
    }

    /// Records that a Certificate was changed to that desired state, which is any text that identifies it, and the
    /// other managers of the field that differed.
    pub fn restored(&self, certificate: &SecretName, desired: &str, others: Vec<String>) {
        let mut state = self.lock();
        let restored = state.restored.entry(certificate.clone()).or_default();
        if restored.desired != desired {
            *restored = Restored { desired: desired.to_owned(), ..Restored::default() };
        }
        restored.others = others;
        restored.at.push_back(Instant::now());
        if restored.at.len() > RESTORES {
            restored.at.pop_front();
        }
    }

    /// The other managers of a Certificate that is left as it is for now, because it was changed to that desired
    /// state too often.
    pub fn truce(&self, certificate: &SecretName, desired: &str) -> Option<Vec<String>> {
        let mut state = self.lock();
        let restored = state.restored.get(certificate)?;
        let last = restored.at.back()?.elapsed();
        if last >= RESTORED_WITHIN {
            state.restored.remove(certificate);
            return None;
        }
        let is_contested = restored.desired == desired
            && restored.at.len() >= RESTORES
            && restored.at.front().is_some_and(|first| first.elapsed() < RESTORED_WITHIN);
        (is_contested && last < TRUCE).then(|| restored.others.clone())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key { namespace: "team-a".to_owned(), name: "shop".to_owned() }
    }

    fn secret() -> SecretName {
        SecretName { namespace: "team-a".to_owned(), name: "shop-tls".to_owned() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_concern_has_to_last_without_interruption() {
        let patience = Patience::default();
        assert!(!patience.is_over(&key(), Concern::Gone));
        tokio::time::advance(Duration::from_secs(3)).await;
        assert!(!patience.is_over(&key(), Concern::Gone));
        assert!(!patience.is_over(&key(), Concern::Forbidden), "each concern has its own time");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(patience.is_over(&key(), Concern::Gone));
        patience.keep(&key(), &BTreeSet::from([Concern::Gone]));
        assert!(patience.is_over(&key(), Concern::Gone));
        patience.keep(&key(), &BTreeSet::new());
        assert!(!patience.is_over(&key(), Concern::Gone));
        patience.keep(&key(), &BTreeSet::new());
        assert!(patience.lock().since.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn after_three_restores_there_is_a_truce() {
        let patience = Patience::default();
        for _ in 0..3 {
            assert_eq!(patience.truce(&secret(), "a"), None);
            patience.restored(&secret(), "a", vec!["helm".to_owned()]);
        }
        assert_eq!(patience.truce(&secret(), "a"), Some(vec!["helm".to_owned()]));
        assert_eq!(patience.truce(&secret(), "b"), None, "the Gateway has changed");
        tokio::time::advance(TRUCE).await;
        assert_eq!(patience.truce(&secret(), "a"), None);
        patience.restored(&secret(), "a", vec!["helm".to_owned()]);
        assert_eq!(patience.truce(&secret(), "a"), Some(vec!["helm".to_owned()]));
        tokio::time::advance(RESTORED_WITHIN).await;
        assert_eq!(patience.truce(&secret(), "a"), None);
        assert!(patience.lock().restored.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn rare_restores_are_no_fight() {
        let patience = Patience::default();
        for _ in 0..10 {
            patience.restored(&secret(), "a", vec!["helm".to_owned()]);
            tokio::time::advance(RESTORED_WITHIN / 2).await;
            assert_eq!(patience.truce(&secret(), "a"), None);
        }
    }
}
