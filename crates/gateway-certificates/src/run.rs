//! The process: its concurrent tasks, and its shutdown.

use std::future::{self, Future};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use kube_lease_manager::LeaseManager;
use rand::RngExt;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::cache::Caches;
use crate::events::Events;
use crate::kinds::watched;
use crate::leader::{self, LeaseName};
use crate::message::message;
use crate::metrics::{self, Metrics};
use crate::queue::{Next, Queue};
use crate::readiness::Changes;
use crate::reconcile::{Reconciler, Reported};
use crate::status::GatewayStatus;
use crate::writes::Writer;
use crate::{pods, serve, settings, watch as watches};

/// The default port for metrics and health.
const PORT: u16 = 8080;
/// The timeout of connecting to the API server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The time for running reconciliations to complete at shutdown.
const LAST_RECONCILES: Duration = Duration::from_secs(40);
/// The time for releasing the Lease at shutdown.
const LAST_RELEASE: Duration = Duration::from_secs(5);
/// The wait before another attempt to join the election.
const JOIN_AGAIN: Duration = Duration::from_secs(2);
/// The file with the namespace of the Pod, next to its ServiceAccount's token.
const OWN_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// The options of the controller.
#[derive(Debug, Clone)]
pub struct Options {
    /// The kubeconfig; if `None`, the environment variable KUBECONFIG, or the Pod's ServiceAccount.
    pub kubeconfig: Option<PathBuf>,
    /// The policy's settings; if `None`, the defaults.
    pub settings: Option<PathBuf>,
    /// The address for metrics and health; if `None`, port 8080 of every address.
    pub listen: Option<SocketAddr>,
    /// The leader election; if `None`, this replica leads at once.
    pub election: Option<Election>,
    /// Whether Pods are compared with the settings.
    pub watch_pods: bool,
    /// Whether Secrets in a Gateway's own namespace are checked too.
    pub check_own_secrets: bool,
    /// Whether the state of the Certificates is shown in the status of their Gateway.
    pub gateway_status: bool,
    /// The number of Gateways that are reconciled in parallel.
    pub concurrency: u16,
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
    /// The kubeconfig does not exist or is not valid.
    #[error("{name}: {source}")]
    Kubeconfig {
        /// The path of the file, as given, or the environment variable.
        name: String,
        /// The reason.
        source: kube::config::KubeconfigError,
    },
    /// There is no ServiceAccount.
    #[error("not running in a Pod with a ServiceAccount ({0}); pass --kubeconfig FILE")]
    NoPod(#[source] kube::config::InClusterError),
    /// The client cannot be created.
    #[error("cannot connect to the cluster: {0}")]
    Client(#[source] kube::Error),
    /// The listener cannot be opened.
    #[error("--listen {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The reason.
        source: std::io::Error,
    },
    /// The namespace of the Lease is unknown.
    #[error(
        "not running in a Pod, so the namespace of the Lease is unknown: pass --lease-namespace or --no-leader-election"
    )]
    NoNamespace,
    /// A metric cannot be registered.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// A task ended unexpectedly.
    #[error("a task of the controller ended unexpectedly: {0}")]
    Ended(String),
}

/// Runs until `stop` ends. Then running reconciliations are completed, and the Lease is released.
///
/// # Errors
/// The controller cannot start, or one of its tasks ends.
pub async fn run(options: Options, stop: impl Future<Output = ()>) -> Result<(), Error> {
    let mut process = Process::start(&options).await?;
    let outcome = tokio::select! {
        () = stop => Ok(()),
        error = process.failure() => Err(error),
    };
    tracing::info!("stopping");
    process.end().await;
    outcome
}

/// The concurrent tasks.
struct Process {
    /// The tasks that run as long as the process: watches, metrics and health, the comparison of Pods.
    parts: JoinSet<&'static str>,
    /// The tasks that reconcile Gateways.
    workers: JoinSet<()>,
    election: Option<JoinHandle<()>>,
    events: Events,
    writing: JoinHandle<()>,
    /// Signals the workers to end.
    stopping: watch::Sender<bool>,
    /// Signals the election to release the Lease.
    leaving: watch::Sender<bool>,
}

impl Process {
    async fn start(options: &Options) -> Result<Self, Error> {
        let settings = Arc::new(settings::load(options.settings.as_deref())?);
        let config = config(options.kubeconfig.as_ref()).await?;
        let lease = options.election.as_ref().map(lease_name).transpose()?;
        let listener = listen(options.listen).await?;
        let metrics = Metrics::new()?;
        metrics.set_settings(&settings::hash(options.settings.as_deref())?);
        let client = metrics::client(config.clone(), &metrics).map_err(Error::Client)?;
        let caches = Caches::new(watched(&settings, options.watch_pods), Arc::clone(&settings));
        let queue = Queue::new(usize::from(options.concurrency));
        let leads = Arc::new(watch::Sender::new(lease.is_none()));
        let (stopping, leaving) = (watch::Sender::new(false), watch::Sender::new(false));
        let (events, writing) = Events::start(client.clone(), metrics.clone(), leads.subscribe());

        let mut parts = JoinSet::new();
        let serving = serve::serve(listener, metrics.clone(), caches.clone(), queue.clone());
        parts.spawn(named("serving metrics and health", async move {
            if let Err(error) = serving.await {
                tracing::error!(error = message(&error), "the server for metrics and health failed");
            }
        }));
        for index in 0..caches.kinds().len() {
            let following = watches::follow(client.clone(), caches.clone(), index, queue.clone());
            parts.spawn(named("a watch", following));
        }
        let reported = Reported::default();
        let taking_over =
            take_over(leads.subscribe(), caches.clone(), queue.clone(), reported.clone(), metrics.clone());
        parts.spawn(named("taking over", taking_over));
        if options.watch_pods {
            let comparing = pods::compare(
                caches.clone(),
                Arc::clone(&settings),
                leads.subscribe(),
                events.clone(),
                metrics.clone(),
            );
            parts.spawn(named("comparing Pods", comparing));
        }

        let reconciler = Reconciler {
            caches: caches.clone(),
            settings,
            status: options
                .gateway_status
                .then(|| GatewayStatus::new(client.clone(), metrics.clone(), leads.subscribe())),
            writer: Writer::new(client, metrics.clone()),
            events: events.clone(),
            metrics: metrics.clone(),
            reported,
            changes: Changes::default(),
            check_own_secrets: options.check_own_secrets,
        };
        let mut workers = JoinSet::new();
        for _ in 0..options.concurrency {
            workers.spawn(work(
                reconciler.clone(),
                queue.clone(),
                leads.subscribe(),
                caches.ready(),
                stopping.subscribe(),
            ));
        }
        let election = match lease {
            Some(lease) => {
                Some(tokio::spawn(elect(lease_client(config, &metrics)?, lease, leads, leaving.subscribe())))
            }
            None => None,
        };
        Ok(Process { parts, workers, election, events, writing, stopping, leaving })
    }

    /// Waits until a task ends, which is always an error.
    async fn failure(&mut self) -> Error {
        let ended = tokio::select! {
            Some(part) = self.parts.join_next() => part.map(str::to_owned),
            Some(worker) = self.workers.join_next() => worker.map(|()| "a worker".to_owned()),
        };
        Error::Ended(ended.unwrap_or_else(|error| error.to_string()))
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
        self.events.finish(self.writing).await;
        self.leaving.send_replace(true);
        if let Some(election) = self.election
            && tokio::time::timeout(LAST_RELEASE, election).await.is_err()
        {
            tracing::warn!("releasing the Lease timed out; it will expire");
        }
    }
}

async fn named(name: &'static str, part: impl Future<Output = ()>) -> &'static str {
    part.await;
    name
}

/// Reconciles Gateways that are due, while this replica leads and the caches are complete.
async fn work(
    reconciler: Reconciler,
    queue: Queue,
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
        let next = if may_work { reconciler.reconcile(&due).await } else { Next::Retry };
        queue.done(&due.key, next);
    }
}

/// Makes every Gateway due once when this replica becomes the leader, and clears the reported rejections
/// when it is no longer the leader.
async fn take_over(
    mut leads: watch::Receiver<bool>,
    caches: Caches,
    queue: Queue,
    reported: Reported,
    metrics: Metrics,
) {
    loop {
        let is_leader = *leads.borrow_and_update();
        metrics.leader.set(i64::from(is_leader));
        if is_leader {
            queue.add_all(caches.all());
        } else {
            reported.clear(&metrics);
        }
        if leads.changed().await.is_err() {
            // There is no election, so this replica always leads.
            return future::pending().await;
        }
    }
}

/// Takes part in the election until `leaving` is set, and then releases the Lease.
async fn elect(
    client: Client,
    lease: LeaseName,
    leads: Arc<watch::Sender<bool>>,
    mut leaving: watch::Receiver<bool>,
) {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "gateway-certificates".to_owned());
    let identity = format!("{host}-{:08x}", rand::rng().random::<u32>());
    let manager = loop {
        let manager = tokio::select! {
            manager = joined(&client, &lease, &identity) => manager,
            _ = leaving.wait_for(|leaving| *leaving) => return,
        };
        tokio::select! {
            () = leader::take_part(&manager, &leads) => {}
            () = leader::vacancy(client.clone(), &lease, &leads) => {}
            _ = leaving.wait_for(|leaving| *leaving) => break manager,
        }
    };
    let was_leader = leads.send_replace(false);
    if was_leader && let Err(error) = manager.release().await {
        tracing::warn!(error = message(&error), "cannot release the Lease");
    }
}

/// Joins the election as soon as the Lease can be read or created.
async fn joined(client: &Client, lease: &LeaseName, identity: &str) -> LeaseManager {
    loop {
        match leader::join(client.clone(), lease, identity).await {
            Ok(manager) => return manager,
            Err(error) => {
                tracing::warn!(error = message(&error), ?lease, "cannot read or create the Lease")
            }
        }
        tokio::time::sleep(JOIN_AGAIN).await;
    }
}

/// Listens on that address, or on port 8080 of every address, with or without IPv6.
async fn listen(address: Option<SocketAddr>) -> Result<TcpListener, Error> {
    let bind =
        async |address| TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source });
    match address {
        Some(address) => bind(address).await,
        None => match bind((Ipv6Addr::UNSPECIFIED, PORT).into()).await {
            Ok(listener) => Ok(listener),
            Err(_) => bind((Ipv4Addr::UNSPECIFIED, PORT).into()).await,
        },
    }
}

async fn config(kubeconfig: Option<&PathBuf>) -> Result<Config, Error> {
    let name = kubeconfig.map_or_else(|| "KUBECONFIG".to_owned(), |path| path.display().to_string());
    let fail = |source| Error::Kubeconfig { name: name.clone(), source };
    let kubeconfig = match kubeconfig {
        Some(path) => Some(Kubeconfig::read_from(path).map_err(fail)?),
        None => Kubeconfig::from_env().map_err(fail)?,
    };
    let mut config = match kubeconfig {
        Some(kubeconfig) => {
            Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.map_err(fail)?
        }
        None => Config::incluster().map_err(Error::NoPod)?,
    };
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    Ok(config)
}

/// A client with short timeouts, because a Lease that is not renewed in time is lost.
fn lease_client(mut config: Config, metrics: &Metrics) -> Result<Client, Error> {
    config.connect_timeout = Some(leader::TIMEOUT);
    config.read_timeout = Some(leader::TIMEOUT);
    config.default_retry = false;
    metrics::client(config, metrics).map_err(Error::Client)
}

fn lease_name(election: &Election) -> Result<LeaseName, Error> {
    let own = || std::fs::read_to_string(OWN_NAMESPACE).ok().map(|namespace| namespace.trim().to_owned());
    let namespace = election.namespace.clone().or_else(own).ok_or(Error::NoNamespace)?;
    Ok(LeaseName { namespace, name: election.name.clone() })
}
