//! The process: its concurrent tasks, and its shutdown.

use std::any::Any;
use std::future::{self, Future};
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use rand::RngExt;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::cache::Caches;
use crate::deletions::Deletions;
use crate::events::{self, Events};
use crate::kinds::watched;
use crate::leader::{ApiLease, Candidate, Elector, Leadership, LeaseName, LeaseStore, Lost, SystemClock};
use crate::message::message;
use crate::metrics::Metrics;
use crate::objects::Key;
use crate::patience::Patience;
use crate::queue::{Due, Next, Queue};
use crate::readiness::Changes;
use crate::reconcile::{Reconciler, Reported};
use crate::serve::{BindAddress, Health};
use crate::status::GatewayStatus;
use crate::writes::Writer;
use crate::{connect, pods, serve, settings, watch as watches};

/// The time for running reconciliations to complete at shutdown. A request takes no longer.
const LAST_RECONCILES: Duration = Duration::from_secs(35);
/// The time for releasing the Lease at shutdown.
const LAST_RELEASE: Duration = Duration::from_secs(5);
/// The longest time that a shutdown takes.
pub const SHUTDOWN: Duration =
    LAST_RECONCILES.saturating_add(events::LAST_EVENTS).saturating_add(LAST_RELEASE);
/// The time that a leader can be without complete caches. Then another replica leads, which can have them.
const UNREADY: Duration = Duration::from_secs(30);
/// The interval at which a leader checks its caches.
const CHECK_CACHES: Duration = Duration::from_secs(1);
/// The file with the namespace of the Pod, next to its ServiceAccount's token.
const OWN_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// The options of the controller.
#[derive(Debug, Clone)]
pub struct Options {
    /// The kubeconfig; if `None`, the environment variable KUBECONFIG, or the Pod's ServiceAccount.
    pub kubeconfig: Option<PathBuf>,
    /// The policy's settings; if `None`, the defaults.
    pub settings: Option<PathBuf>,
    /// The address for metrics.
    pub metrics: BindAddress,
    /// The address for health.
    pub health: BindAddress,
    /// The leader election; if `None`, this replica leads at once.
    pub election: Option<Election>,
    /// Whether Pods are compared with the settings.
    pub watch_pods: bool,
    /// Whether Secrets in a Gateway's own namespace are checked too.
    pub check_own_secrets: bool,
    /// The number of Gateways that are reconciled in parallel.
    pub max_concurrent_reconciles: u16,
    /// Which writes are made.
    pub policy: Policy,
    /// Whether nothing is written: no Lease either, so this replica leads at once.
    pub dry_run: bool,
    /// The number of Gateways that may lose a Certificate; if `None`, a tenth, but at least 5.
    pub max_deletions: Option<usize>,
    /// Whether a condition is written to the status of Gateways.
    pub gateway_status: bool,
}

/// Which writes the controller makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Certificates are created, changed and deleted.
    Sync,
    /// Certificates are created and changed, never deleted.
    UpsertOnly,
}

/// The options of the leader election.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Election {
    /// The namespace of the Lease; if `None`, that of the Pod.
    pub namespace: Option<String>,
    /// The name of the Lease.
    pub name: String,
}

/// The reason why the controller does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings are not valid.
    #[error(transparent)]
    Settings(#[from] settings::Error),
    /// The cluster cannot be reached.
    #[error(transparent)]
    Connect(#[from] connect::Error),
    /// A listener cannot be opened.
    #[error("{flag}={address}: {source}")]
    Listen {
        /// The flag.
        flag: &'static str,
        /// Its value.
        address: BindAddress,
        /// The reason.
        source: std::io::Error,
    },
    /// The namespace of the Lease is unknown.
    #[error(
        "not running in a Pod, so the namespace of the Lease is unknown: pass --leader-election-namespace or --leader-elect=false"
    )]
    NoNamespace,
    /// A metric cannot be registered.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// Another replica leads, or can lead any moment. Nothing was written since.
    #[error("lost leadership: {0}")]
    LostLeadership(#[from] Lost),
    /// This replica led without complete caches.
    #[error("gave up leadership: for {limit} s, {0}", limit = UNREADY.as_secs())]
    Unready(String),
    /// A task ended unexpectedly.
    #[error("a task of the controller ended unexpectedly: {0}")]
    Ended(String),
    /// A second signal ended the shutdown.
    #[error("stopped before the shutdown was complete")]
    Interrupted,
}

/// Runs until `signal` ends for the first time. Then running reconciliations are completed, and the Lease
/// is released, unless `signal` ends again.
///
/// # Errors
/// The controller cannot start, one of its tasks ends, it no longer leads, or there was a second signal.
pub async fn run(options: Options, mut signal: impl AsyncFnMut()) -> Result<(), Error> {
    let mut process = Process::start(&options).await?;
    let outcome = tokio::select! {
        () = signal() => Ok(()),
        error = process.failure() => Err(error),
    };
    match &outcome {
        Ok(()) => tracing::info!("stopping"),
        Err(error) => tracing::error!(error = message(error), "stopping"),
    }
    if matches!(outcome, Err(Error::LostLeadership(_))) {
        // Nothing can be written any more, so there is nothing to wait for.
        return outcome;
    }
    tokio::select! {
        () = process.end() => outcome,
        () = signal() => outcome.and(Err(Error::Interrupted)),
    }
}

/// The concurrent tasks.
struct Process {
    /// The tasks that run as long as the process: watches, metrics and health, the comparison of Pods.
    parts: JoinSet<Error>,
    /// The tasks that reconcile Gateways, until they are signalled to end.
    workers: JoinSet<Error>,
    election: Option<JoinHandle<Result<(), Lost>>>,
    events: Events,
    writing: Option<JoinHandle<()>>,
    /// Signals the workers to end.
    stopping: watch::Sender<bool>,
    /// Signals the election to release the Lease.
    leaving: watch::Sender<bool>,
}

impl Process {
    async fn start(options: &Options) -> Result<Self, Error> {
        let settings = Arc::new(settings::load(options.settings.as_deref())?);
        let config = connect::config(options.kubeconfig.as_deref()).await?;
        let election = options.election.as_ref().filter(|_| !options.dry_run);
        let lease = election.map(lease_name).transpose()?;
        let leadership = match lease {
            Some(_) => Leadership::standby(Arc::new(SystemClock)),
            None if options.dry_run => Leadership::dry_run(),
            None => Leadership::permanent(),
        };
        let metrics = Metrics::new()?;
        let client = connect::client(config.clone(), &metrics)?;
        let writing_client = connect::writing_client(config.clone(), leadership.clone(), &metrics)?;
        let serving_metrics = listen("--metrics-bind-address", options.metrics).await?;
        let serving_health = listen("--health-probe-bind-address", options.health).await?;
        metrics.set_settings(&settings::hash(options.settings.as_deref())?);
        let caches = Caches::new(watched(&settings, options.watch_pods), Arc::clone(&settings));
        let workers_count = options.max_concurrent_reconciles;
        let queue = Queue::new(usize::from(workers_count));
        let (stopping, leaving) = (watch::Sender::new(false), watch::Sender::new(false));
        let (events, writing) = Events::start(writing_client.clone(), metrics.clone(), leadership.leads());

        let mut parts = JoinSet::new();
        if let Some(listener) = serving_metrics {
            let serving = serve::metrics(listener, metrics.clone(), caches.clone(), queue.clone());
            parts.spawn(supervised("serving metrics", serving.map(logged)));
        }
        if let Some(listener) = serving_health {
            let health =
                Health { caches: caches.clone(), queue: queue.clone(), leadership: leadership.clone() };
            parts.spawn(supervised("serving health", serve::health(listener, health).map(logged)));
        }
        for index in 0..caches.kinds().len() {
            let following = watches::follow(client.clone(), caches.clone(), index, queue.clone());
            parts.spawn(supervised("a watch", following));
        }
        let taking_over = take_over(leadership.leads(), caches.clone(), queue.clone(), metrics.clone());
        parts.spawn(supervised("taking over", taking_over));
        if options.watch_pods {
            let comparing = pods::compare(
                caches.clone(),
                Arc::clone(&settings),
                leadership.leads(),
                events.clone(),
                metrics.clone(),
            );
            parts.spawn(supervised("comparing Pods", comparing));
        }

        let writer =
            Writer::new(writing_client.clone(), Arc::clone(&settings), options.dry_run, metrics.clone());
        let stored_on =
            lease.as_ref().map(|lease| Key { namespace: lease.namespace.clone(), name: lease.name.clone() });
        let reconciler = Reconciler {
            caches: caches.clone(),
            settings,
            deletions: Deletions::new(
                writer.clone(),
                events.clone(),
                stored_on,
                options.max_deletions,
                metrics.clone(),
            ),
            writer,
            patience: Patience::default(),
            deletes: options.policy == Policy::Sync,
            events: events.clone(),
            metrics: metrics.clone(),
            reported: Reported::default(),
            status: options
                .gateway_status
                .then(|| GatewayStatus::new(writing_client, metrics.clone(), leadership.leads())),
            changes: Changes::default(),
            check_own_secrets: options.check_own_secrets,
        };
        let mut workers = JoinSet::new();
        for _ in 0..workers_count {
            let reconciler = reconciler.clone();
            let working = work(
                move |due: Due| {
                    let reconciler = reconciler.clone();
                    async move { reconciler.reconcile(&due).await }
                },
                queue.clone(),
                metrics.clone(),
                leadership.leads(),
                caches.ready(),
                stopping.subscribe(),
            );
            workers.spawn(supervised("a worker", working));
        }
        let election = match lease {
            Some(lease) => {
                let store = ApiLease::new(connect::lease_client(config, &metrics)?, &lease);
                let elector = Elector::new(store, Candidate::new(lease, identity()), leadership.clone());
                let (watched, checked) = (caches.clone(), caches);
                parts.spawn(unready(leadership.leads(), move || unlisted(&watched)));
                let may_lead = move || unlisted(&checked).is_empty();
                Some(tokio::spawn(elect(elector, may_lead, leaving.subscribe())))
            }
            None => None,
        };
        Ok(Process { parts, workers, election, events, writing: Some(writing), stopping, leaving })
    }

    /// Waits until a task ends, which is always an error.
    async fn failure(&mut self) -> Error {
        let error = tokio::select! {
            Some(ended) = self.parts.join_next() => ended.unwrap_or_else(|error| Error::Ended(error.to_string())),
            Some(ended) = self.workers.join_next() => ended.unwrap_or_else(|error| Error::Ended(error.to_string())),
            ended = until_ended(&mut self.election) => match ended {
                Ok(Err(lost)) => lost.into(),
                Ok(Ok(())) => Error::Ended("the election".to_owned()),
                Err(error) => Error::Ended(format!("the election: {error}")),
            },
            ended = until_ended(&mut self.writing) => {
                let error = ended.err().map(|error| format!(": {error}")).unwrap_or_default();
                Error::Ended(format!("writing Events{error}"))
            }
        };
        // These have no further result.
        self.election.take_if(|task| task.is_finished());
        self.writing.take_if(|task| task.is_finished());
        error
    }

    async fn end(mut self) {
        self.stopping.send_replace(true);
        let ended = async { while self.workers.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_RECONCILES, ended).await.is_err() {
            tracing::warn!("shutdown timed out with reconciliations in flight");
        }
        self.workers.shutdown().await;
        self.parts.shutdown().await;
        // Before another replica leads, so that Events stay in order.
        if let Some(writing) = self.writing {
            self.events.finish(writing).await;
        }
        self.leaving.send_replace(true);
        let Some(election) = self.election else { return };
        match tokio::time::timeout(LAST_RELEASE, election).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(lost))) => {
                tracing::warn!(error = message(&lost), "lost leadership during the shutdown")
            }
            Ok(Err(error)) => tracing::warn!(error = message(&error), "the election ended unexpectedly"),
            Err(_) => tracing::warn!("releasing the Lease timed out; it will expire"),
        }
    }
}

/// Waits for a task; forever if there is none.
async fn until_ended<T>(task: &mut Option<JoinHandle<T>>) -> Result<T, JoinError> {
    match task {
        Some(task) => task.await,
        None => future::pending().await,
    }
}

/// The error when a part of the process ends, which it should not, or panics.
async fn supervised(name: &'static str, part: impl Future<Output = ()>) -> Error {
    match AssertUnwindSafe(part).catch_unwind().await {
        Ok(()) => Error::Ended(name.to_owned()),
        Err(panic) => Error::Ended(format!("{name} panicked: {}", panic_text(&*panic))),
    }
}

/// The text of a panic.
fn panic_text(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "without a message",
    }
}

fn logged(outcome: std::io::Result<()>) {
    if let Err(error) = outcome {
        tracing::error!(error = message(&error), "a server failed");
    }
}

/// Reconciles Gateways that are due, while this replica leads and the caches are complete. A reconciliation
/// that panics is retried later, and nothing else is affected.
async fn work<F: Future<Output = Next>>(
    reconcile: impl Fn(Due) -> F,
    queue: Queue,
    metrics: Metrics,
    mut leads: watch::Receiver<bool>,
    mut ready: watch::Receiver<bool>,
    mut stopping: watch::Receiver<bool>,
) {
    loop {
        let due = async {
            // Senders live as long as the process.
            let _ = leads.wait_for(|leads| *leads).await;
            let _ = ready.wait_for(|ready| *ready).await;
            queue.next().await
        };
        let due = tokio::select! {
            biased;
            _ = stopping.wait_for(|stopping| *stopping) => return,
            due = due => due,
        };
        let may_work = *leads.borrow() && *ready.borrow();
        let key = due.key.clone();
        let next = if may_work {
            AssertUnwindSafe(reconcile(due)).catch_unwind().await.unwrap_or_else(|panic| {
                tracing::error!(gateway = %key, panic = panic_text(&*panic), "the reconciliation panicked, will retry");
                metrics.reconciled("failed");
                Next::Retry
            })
        } else {
            Next::Retry
        };
        queue.done(&key, next);
    }
}

/// Makes every Gateway due once when this replica becomes the leader.
async fn take_over(mut leads: watch::Receiver<bool>, caches: Caches, queue: Queue, metrics: Metrics) {
    // Senders live as long as the process.
    let _ = leads.wait_for(|leads| *leads).await;
    metrics.leader.set(1);
    queue.add_all(caches.all());
    let _ = leads.wait_for(|leads| !*leads).await;
    metrics.leader.set(0);
    // The process ends.
    future::pending().await
}

/// Takes part in the election until the Lease is lost, or until `leaving` is set, and then releases it.
async fn elect<S: LeaseStore>(
    mut elector: Elector<S>,
    may_lead: impl Fn() -> bool,
    mut leaving: watch::Receiver<bool>,
) -> Result<(), Lost> {
    tokio::select! {
        lost = async {
            elector.acquire(may_lead).await;
            elector.renew().await
        } => return Err(lost),
        _ = leaving.wait_for(|leaving| *leaving) => {}
    }
    elector.release().await;
    Ok(())
}

/// The reasons why nothing can be reconciled that another replica might not have. A kind that is not
/// served is none: all replicas wait for it.
fn unlisted(caches: &Caches) -> Vec<String> {
    let unsettled = caches.unsettled();
    caches.missing().into_iter().filter(|reason| unsettled.contains(reason)).collect()
}

/// Waits until this replica has led for some time without complete caches.
async fn unready(mut leads: watch::Receiver<bool>, unlisted: impl Fn() -> Vec<String>) -> Error {
    // Senders live as long as the process.
    let _ = leads.wait_for(|leads| *leads).await;
    let mut since = None;
    loop {
        let unlisted = unlisted();
        if unlisted.is_empty() {
            since = None;
        } else if since.get_or_insert_with(Instant::now).elapsed() >= UNREADY {
            return Error::Unready(unlisted.join("; "));
        }
        tokio::time::sleep(CHECK_CACHES).await;
    }
}

/// A name for this process that no other one has.
fn identity() -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "gateway-certificates".to_owned());
    format!("{host}-{:08x}", rand::rng().random::<u32>())
}

async fn listen(flag: &'static str, address: BindAddress) -> Result<Option<TcpListener>, Error> {
    address.listen().await.map_err(|source| Error::Listen { flag, address, source })
}

/// The Lease with these options.
///
/// # Errors
/// [`Error::NoNamespace`].
pub fn lease_name(election: &Election) -> Result<LeaseName, Error> {
    let own = || std::fs::read_to_string(OWN_NAMESPACE).ok().map(|namespace| namespace.trim().to_owned());
    let namespace = election.namespace.clone().or_else(own).ok_or(Error::NoNamespace)?;
    Ok(LeaseName { namespace, name: election.name.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::Key;

    fn key(name: &str) -> Key {
        Key { namespace: "team-a".to_owned(), name: name.to_owned() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_reconciliation_that_panics_is_retried_and_costs_no_other_one() {
        let (queue, metrics) = (Queue::new(1), Metrics::new().unwrap());
        let (done, mut reconciled) = tokio::sync::mpsc::unbounded_channel();
        let reconcile = move |due: Due| {
            let done = done.clone();
            async move {
                done.send((due.key.name.clone(), due.retries)).unwrap();
                assert!(due.key.name != "bad" || due.retries > 2, "a field of {} is odd", due.key);
                Next::Wait
            }
        };
        let (_leads, leads) = watch::channel(true);
        let (_ready, ready) = watch::channel(true);
        let (_stopping, stopping) = watch::channel(false);
        tokio::spawn(work(reconcile, queue.clone(), metrics.clone(), leads, ready, stopping));
        queue.add_all(["bad", "good"].map(key));
        let mut seen = Vec::new();
        for _ in 0..5 {
            seen.push(reconciled.recv().await.unwrap());
        }
        let expected = [("bad", 0), ("good", 0), ("bad", 1), ("bad", 2), ("bad", 3)];
        assert_eq!(seen, expected.map(|(name, retries)| (name.to_owned(), retries)));
        assert!(metrics.text().contains("reconciles_total{result=\"failed\"} 3"), "{}", metrics.text());
    }

    #[tokio::test]
    async fn a_part_that_ends_or_panics_is_named() {
        assert_eq!(
            supervised("a watch", async {}).await.to_string(),
            "a task of the controller ended unexpectedly: a watch"
        );
        let panics = async { panic!("index {} is out of range", 7) };
        assert_eq!(
            supervised("a watch", panics).await.to_string(),
            "a task of the controller ended unexpectedly: a watch panicked: index 7 is out of range"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_without_complete_caches_gives_up_after_half_a_minute() {
        let (leads, leading) = watch::channel(false);
        let missing = Arc::new(std::sync::Mutex::new(vec!["gateways cannot be listed".to_owned()]));
        let seen = Arc::clone(&missing);
        let task = tokio::spawn(unready(leading, move || seen.lock().unwrap().clone()));
        // It does not lead.
        tokio::time::sleep(UNREADY * 2).await;
        assert!(!task.is_finished());
        leads.send_replace(true);
        tokio::time::sleep(UNREADY / 2).await;
        // A short gap does not count.
        let reasons = std::mem::take(&mut *missing.lock().unwrap());
        tokio::time::sleep(UNREADY * 2).await;
        *missing.lock().unwrap() = reasons;
        let start = Instant::now();
        let error = task.await.unwrap();
        assert_eq!(error.to_string(), "gave up leadership: for 30 s, gateways cannot be listed");
        assert!((30..=32).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    }
}
