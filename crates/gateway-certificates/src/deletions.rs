//! The bound on deletions: how many Gateways that exist may lose a Certificate at a time.
//!
//! A Certificate whose Secret no server names any more is deleted. If that happens to many Gateways at once,
//! somebody has probably made a mistake (a wrong patch, an empty chart value), and deletions are suspended:
//! those of one namespace if more than 5 of its Gateways and more than a tenth of them are concerned,
//! and all if that holds for the whole cluster, where suspended namespaces do not count and every other
//! namespace counts as 5 Gateways at most. So no namespace can suspend the deletions of the others.
//!
//! The deletions of the last ten minutes count too. They are stored on the Lease, so that neither a restart
//! nor another leader begins again. Certificates whose Gateway is gone, or whose successor is Ready, are not
//! bounded.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use certificate_shim::owner::hash;
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

use crate::events::{Events, Problem, Reason, Regarding};
use crate::metrics::Metrics;
use crate::objects::Key;
use crate::writes::{ApiError, Writer};

/// The number of Gateways that may always lose a Certificate, in a namespace and in all.
const ALWAYS: usize = 5;
/// The share of Gateways that may: a tenth.
const SHARE: usize = 10;
/// The time for which a suspension holds without counting again.
const RECOUNT: Duration = Duration::from_secs(1);
/// The annotation of the Lease with the recent deletions, in JSON.
const RECENT: &str = "gateway-certificates.io/recent-deletions";
/// The annotation of the Lease with what is suspended, for people.
const SUSPENDED: &str = "gateway-certificates.io/deletions-suspended";
/// The time for which a deletion counts.
const COUNTED: Duration = Duration::from_secs(600);

/// The Gateways that a bound refers to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Losses {
    /// The Gateways that would lose a Certificate though they exist.
    pub gateways: BTreeSet<Key>,
    /// The number of existing Gateways with Certificates, by namespace.
    pub holders: BTreeMap<String, usize>,
}

/// The recent deletions: the time of the last one of each Gateway, in seconds since 1970, by its namespace and a
/// hash of its name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recent(BTreeMap<String, BTreeMap<String, u64>>);

/// The deletions that are suspended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Suspension {
    /// All, because of this many Gateways.
    pub all: Option<Excess>,
    /// Those of these namespaces.
    pub namespaces: BTreeMap<String, Excess>,
}

/// The Gateways that would lose a Certificate, and the number that may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Excess {
    /// The Gateways that would.
    pub due: usize,
    /// The number that may.
    pub bound: usize,
}

/// `12 Gateways (bound: 5)`
impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} Gateways (bound: {})", self.due, self.bound)
    }
}

impl Suspension {
    /// Whether anything is suspended.
    pub fn is_active(&self) -> bool {
        self.all.is_some() || !self.namespaces.is_empty()
    }

    /// Whether the deletions for Gateways of that namespace are suspended.
    pub fn concerns(&self, namespace: &str) -> bool {
        self.all.is_some() || self.namespaces.contains_key(namespace)
    }

    /// The suspended deletions. `max` replaces the bounds.
    pub fn of(due: &Losses, recent: &Recent, max: Option<usize>) -> Self {
        let mut counted: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for (namespace, gateways) in &recent.0 {
            counted.entry(namespace).or_default().extend(gateways.keys().cloned());
        }
        for key in &due.gateways {
            counted.entry(&key.namespace).or_default().insert(hash(&key.namespace, &key.name));
        }
        let excess = |due: usize, bound: usize| (due > bound).then_some(Excess { due, bound });
        if let Some(max) = max {
            let total = counted.values().map(BTreeSet::len).sum();
            return Suspension { all: excess(total, max), namespaces: BTreeMap::new() };
        }
        let bound = |holders: usize| ALWAYS.max(holders / SHARE);
        let mut namespaces = BTreeMap::new();
        let mut total = 0;
        for (namespace, gateways) in &counted {
            // A Gateway that has just lost its last Certificate still counts as one that had some.
            let holders = due.holders.get(*namespace).copied().unwrap_or_default().max(gateways.len());
            match excess(gateways.len(), bound(holders)) {
                Some(excess) => drop(namespaces.insert((*namespace).to_owned(), excess)),
                None => total += gateways.len().min(ALWAYS),
            }
        }
        Suspension { all: excess(total, bound(due.holders.values().sum())), namespaces }
    }
}

/// Lists what is suspended and why, in a stable order.
impl fmt::Display for Suspension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMED: usize = 5;
        if let Some(excess) = &self.all {
            return write!(f, "all namespaces: {excess}");
        }
        let named: Vec<String> = self
            .namespaces
            .iter()
            .take(NAMED)
            .map(|(namespace, excess)| format!("namespace {namespace}: {excess}"))
            .collect();
        f.write_str(&named.join("; "))?;
        match self.namespaces.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

impl Recent {
    /// The deletions that an annotation contains. What cannot be read is ignored: the annotation is the
    /// controller's own.
    pub fn parse(text: &str) -> Self {
        let value: Value = serde_json::from_str(text).unwrap_or_default();
        let mut recent = Recent::default();
        for (namespace, gateways) in value.as_object().into_iter().flatten() {
            for (gateway, time) in gateways.as_object().into_iter().flatten() {
                if let Some(time) = time.as_u64() {
                    recent.0.entry(namespace.clone()).or_default().insert(gateway.clone(), time);
                }
            }
        }
        recent
    }

    /// The text of the annotation.
    pub fn text(&self) -> String {
        serde_json::to_string(&self.0).unwrap_or_default()
    }

    /// Adds a deletion.
    pub fn add(&mut self, key: &Key, now: SystemTime) {
        let gateways = self.0.entry(key.namespace.clone()).or_default();
        gateways.insert(hash(&key.namespace, &key.name), seconds(now));
    }

    /// Whether a deletion of that Gateway was added lately, so that it need not be added again.
    pub fn has(&self, key: &Key, now: SystemTime) -> bool {
        let gateways = self.0.get(&key.namespace);
        let time = gateways.and_then(|gateways| gateways.get(&hash(&key.namespace, &key.name)));
        time.is_some_and(|time| seconds(now).saturating_sub(*time) < COUNTED.as_secs() / 2)
    }

    /// Removes what does not count any more. A time in the future comes from a clock that was ahead: it counts
    /// from now on.
    pub fn expire(&mut self, now: SystemTime) {
        let now = seconds(now);
        for gateways in self.0.values_mut() {
            gateways.values_mut().for_each(|time| *time = (*time).min(now));
            gateways.retain(|_, time| now - *time < COUNTED.as_secs());
        }
        self.0.retain(|_, gateways| !gateways.is_empty());
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// What deletes Certificates of Gateways that exist: the settings of the process, the recent deletions and what is
/// suspended. Clones share it.
#[derive(Clone)]
pub struct Deletions(Arc<Shared>);

struct Shared {
    writer: Writer,
    events: Events,
    /// The Lease; `None` if there is none, so that the deletions are known to this process only.
    lease: Option<Key>,
    max: Option<usize>,
    metrics: Metrics,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Whether the recent deletions have been read from the Lease.
    is_loaded: bool,
    lease_uid: String,
    recent: Recent,
    suspension: Suspension,
    /// The time when the Gateways that are due were last counted.
    counted_at: Option<Instant>,
}

/// Whether a Certificate of a Gateway may be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permission {
    /// It may, and that is recorded.
    Granted,
    /// Deletions are suspended: the text lists what and why.
    Suspended(String),
}

impl Deletions {
    /// The deletions of a process. `lease` names its Lease, and `max` replaces the bounds.
    pub fn new(
        writer: Writer,
        events: Events,
        lease: Option<Key>,
        max: Option<usize>,
        metrics: Metrics,
    ) -> Self {
        let state = Mutex::default();
        Deletions(Arc::new(Shared { writer, events, lease, max, metrics, state }))
    }

    /// Asks for the deletion of a Certificate of that Gateway, which exists. If it is granted, it is recorded on the
    /// Lease before this returns.
    ///
    /// # Errors
    /// The Lease can neither be read nor written. Then nothing may be deleted.
    pub async fn ask(&self, key: &Key, due: impl Fn() -> Losses) -> Result<Permission, ApiError> {
        let mut state = self.0.state.lock().await;
        self.load(&mut state).await?;
        // While thousands of Gateways are due, they are not counted for each of them.
        let is_current = state.counted_at.is_some_and(|time| time.elapsed() < RECOUNT);
        if is_current && state.suspension.concerns(&key.namespace) {
            return Ok(Permission::Suspended(state.suspension.to_string()));
        }
        let now = SystemTime::now();
        state.recent.expire(now);
        let mut due = due();
        due.gateways.insert(key.clone());
        self.suspend(&mut state, &due).await;
        if state.suspension.concerns(&key.namespace) {
            return Ok(Permission::Suspended(state.suspension.to_string()));
        }
        if !state.recent.has(key, now) {
            let mut recent = state.recent.clone();
            recent.add(key, now);
            self.store(RECENT, Some(recent.text())).await?;
            state.recent = recent;
        }
        Ok(Permission::Granted)
    }

    /// Ends a suspension if its reason is gone. It is called while something is suspended, whatever is reconciled.
    pub async fn review(&self, due: impl Fn() -> Losses) {
        let mut state = self.0.state.lock().await;
        let is_current = state.counted_at.is_some_and(|time| time.elapsed() < RECOUNT);
        if state.suspension.is_active() && !is_current {
            state.recent.expire(SystemTime::now());
            self.suspend(&mut state, &due()).await;
        }
    }

    /// Updates what is suspended, and reports a change.
    async fn suspend(&self, state: &mut MutexGuard<'_, State>, due: &Losses) {
        let suspension = Suspension::of(due, &state.recent, self.0.max);
        let before = std::mem::replace(&mut state.suspension, suspension.clone());
        state.counted_at = Some(Instant::now());
        self.0.metrics.deletions_suspended.set(i64::from(suspension.is_active()));
        let scope = |suspension: &Suspension| {
            (suspension.all.is_some(), suspension.namespaces.keys().cloned().collect::<Vec<_>>())
        };
        if scope(&before) == scope(&suspension) {
            return;
        }
        if suspension.is_active() {
            tracing::error!(suspended = %suspension, "deletions are suspended");
        } else {
            tracing::info!("deletions are no longer suspended");
        }
        let text = suspension.is_active().then(|| suspension.to_string());
        if let Some(lease) = &self.0.lease {
            let problem = text.as_ref().map(|text| {
                format!(
                    "Deletions are suspended ({text}): so many Gateways would lose a Certificate though they exist. Restore the credentialName of these Gateways, or allow the deletions with --max-deletions."
                )
            });
            let regarding = Regarding::lease(lease, &state.lease_uid);
            let problems = problem.into_iter().map(Problem::from).collect();
            self.0.events.set_problems(&regarding, Reason::DeletionsSuspended, problems);
        }
        if let Err(error) = self.store(SUSPENDED, text).await {
            tracing::warn!(%error, "cannot write the suspension to the Lease");
        }
    }

    async fn load(&self, state: &mut MutexGuard<'_, State>) -> Result<(), ApiError> {
        if state.is_loaded {
            return Ok(());
        }
        if let Some(lease) = &self.0.lease {
            let metadata = self.0.writer.lease(lease).await?.unwrap_or_default();
            let recent = metadata.annotations.as_ref().and_then(|annotations| annotations.get(RECENT));
            state.recent = recent.map(|text| Recent::parse(text)).unwrap_or_default();
            state.lease_uid = metadata.uid.unwrap_or_default();
        }
        state.is_loaded = true;
        Ok(())
    }

    async fn store(&self, annotation: &str, text: Option<String>) -> Result<(), ApiError> {
        let Some(lease) = &self.0.lease else { return Ok(()) };
        let patch = json!({"metadata": {"annotations": {annotation: text}}});
        self.0.writer.patch_lease(lease, &patch).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn key(text: &str) -> Key {
        let (namespace, name) = text.split_once('/').unwrap();
        Key { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// `(namespace, Gateways with Certificates, Gateways that would lose one)`
    fn due(namespaces: &[(&str, usize, usize)]) -> Losses {
        let mut found = Losses::default();
        for (namespace, holders, due) in namespaces {
            found.holders.insert((*namespace).to_owned(), *holders);
            found.gateways.extend((0..*due).map(|number| key(&format!("{namespace}/{number}"))));
        }
        found
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[rstest]
    #[case::nothing(&[("a", 10, 0)], "")]
    #[case::five(&[("a", 5, 5)], "")]
    #[case::six(&[("a", 6, 6)], "namespace a: 6 Gateways (bound: 5)")]
    #[case::a_tenth(&[("a", 100, 10)], "")]
    #[case::more_than_a_tenth(&[("a", 100, 11)], "namespace a: 11 Gateways (bound: 10)")]
    #[case::one_namespace_does_not_suspend_others(&[("a", 20, 20), ("b", 3, 1)], "namespace a: 20 Gateways (bound: 5)")]
    #[case::many_namespaces(&[("a", 3, 3), ("b", 3, 3)], "all namespaces: 6 Gateways (bound: 5)")]
    #[case::many_namespaces_with_many_gateways(&[("a", 50, 3), ("b", 50, 3)], "")]
    #[case::a_namespace_counts_as_five(&[("a", 100, 10), ("b", 1, 1)], "")]
    #[case::with_others_beyond_the_bound(&[("a", 100, 10), ("b", 9, 5), ("c", 1, 1)], "")]
    fn suspended(#[case] namespaces: &[(&str, usize, usize)], #[case] expected: &str) {
        let suspension = Suspension::of(&due(namespaces), &Recent::default(), None);
        assert_eq!(suspension.to_string(), expected);
        assert_eq!(suspension.is_active(), !expected.is_empty());
    }

    #[test]
    fn recent_deletions_count() {
        let mut recent = Recent::default();
        for number in 0..5 {
            recent.add(&key(&format!("a/gone-{number}")), at(1000));
        }
        let suspended = |recent: &Recent, due: &Losses| Suspension::of(due, recent, None).concerns("a");
        assert!(!suspended(&recent, &due(&[("a", 9, 0)])));
        assert!(suspended(&recent, &due(&[("a", 9, 1)])));
        let mut same = due(&[("a", 9, 0)]);
        same.gateways.insert(key("a/gone-0"));
        assert!(!suspended(&recent, &same), "a Gateway counts once");
        let restored = Recent::parse(&recent.text());
        assert_eq!(restored, recent);
        recent.expire(at(1599));
        assert!(suspended(&recent, &due(&[("a", 9, 1)])));
        recent.expire(at(1600));
        assert_eq!(recent, Recent::default());
    }

    #[rstest]
    #[case::enough(Some(6), false)]
    #[case::not_enough(Some(5), true)]
    #[case::none_at_all(Some(0), true)]
    fn a_maximum_replaces_the_bounds(#[case] max: Option<usize>, #[case] is_suspended: bool) {
        let suspension = Suspension::of(&due(&[("a", 6, 4), ("b", 2, 2)]), &Recent::default(), max);
        assert_eq!(suspension.is_active(), is_suspended);
        assert_eq!(suspension.concerns("b"), is_suspended);
    }

    #[rstest]
    #[case::not_json("x")]
    #[case::another_type("[1]")]
    #[case::odd_entries(r#"{"a": 1, "b": {"c": "d"}}"#)]
    fn unreadable_annotations(#[case] text: &str) {
        assert_eq!(Recent::parse(text), Recent::default());
    }

    #[test]
    fn times_in_the_future_count_from_now() {
        let mut recent = Recent::default();
        recent.add(&key("a/b"), at(9999));
        recent.expire(at(1000));
        recent.expire(at(1599));
        assert_ne!(recent, Recent::default());
        recent.expire(at(1600));
        assert_eq!(recent, Recent::default());
    }
}
