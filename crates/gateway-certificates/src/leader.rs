//! Leader election with a Lease: one replica writes, the others are ready to take over.
//!
//! The rules and times are those of client-go (k8s.io/client-go/tools/leaderelection):
//!
//! * A replica writes the Lease only over the state that it has read: every update has a
//!   resourceVersion.
//! * The Lease of another holder has expired when it has not changed for its duration, measured from
//!   the time when this replica saw the last change. `renewTime` is for people: clocks of other
//!   machines are never compared.
//! * A leader that has not renewed the Lease within [`RENEW_DEADLINE`] has lost it, before another
//!   replica can get it. [`Leadership::may_write`] ends at that moment, whether or not the tasks of
//!   this process get to run.
//!
//! [`Candidate`] decides, [`Elector`] sends the requests.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::Method;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::client::Body;
use rand::RngExt;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::watch;
use tokio::time::Instant;
use tower::BoxError;
use tower::filter::FilterLayer;

use crate::fields::MANAGER;
use crate::message::message;

/// The time after its last renewal when the Lease expires.
pub const LEASE_DURATION: Duration = Duration::from_secs(15);
/// The time after its last renewal when the leader gives up. The rest of the duration is for requests
/// that are on their way.
pub const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// The time between renewals, and the least time between attempts to acquire the Lease.
pub const RETRY_PERIOD: Duration = Duration::from_secs(2);
/// The part of [`RETRY_PERIOD`] by which attempts to acquire the Lease are delayed at random.
const JITTER: f64 = 1.2;
/// The timeout of a request for the Lease: half of the deadline, so that there is time for another one.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// The maximum number of requests in one attempt. More than two are needed only if others write the
/// Lease at the same moment.
const REQUESTS: usize = 9;
/// The interval at which a replica that must not lead checks whether it may.
const CHECK_AGAIN: Duration = Duration::from_secs(1);

/// The namespace and name of the Lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// The clocks of this machine.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The time since the machine has started. It never goes back, and passes while the machine is
    /// suspended.
    fn since_boot(&self) -> Duration;
    /// The time of day.
    fn now(&self) -> Timestamp;
}

/// The clocks of the operating system.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl SystemClock {
    #[cfg(target_os = "linux")]
    const SINCE_BOOT: ClockId = ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    const SINCE_BOOT: ClockId = ClockId::Monotonic;
}

impl Clock for SystemClock {
    fn since_boot(&self) -> Duration {
        // Neither clock is ever negative.
        clock_gettime(Self::SINCE_BOOT).try_into().unwrap_or_default()
    }

    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// Whether this replica leads. Clones share it.
#[derive(Debug, Clone)]
pub struct Leadership(Arc<Term>);

#[derive(Debug)]
struct Term {
    clock: Arc<dyn Clock>,
    leads: watch::Sender<bool>,
    /// The time since boot, in milliseconds, until which this replica may write.
    until: AtomicU64,
}

impl Leadership {
    /// A replica that does not lead yet.
    pub fn standby(clock: Arc<dyn Clock>) -> Self {
        Leadership(Arc::new(Term { clock, leads: watch::Sender::new(false), until: AtomicU64::new(0) }))
    }

    /// A replica that always leads.
    pub fn permanent() -> Self {
        Leadership(Arc::new(Term {
            clock: Arc::new(SystemClock),
            leads: watch::Sender::new(true),
            until: AtomicU64::new(u64::MAX),
        }))
    }

    /// A replica that decides as a leader, but writes nothing: its client sends only server-side dry runs.
    pub fn dry_run() -> Self {
        Leadership(Arc::new(Term {
            clock: Arc::new(SystemClock),
            leads: watch::Sender::new(true),
            until: AtomicU64::new(0),
        }))
    }

    /// Receives whether this replica leads, and changes of that.
    pub fn leads(&self) -> watch::Receiver<bool> {
        self.0.leads.subscribe()
    }

    /// Whether a write may start now: the Lease was renewed less than [`RENEW_DEADLINE`] ago.
    pub fn may_write(&self) -> bool {
        milliseconds(self.0.clock.since_boot()) < self.0.until.load(Ordering::Acquire)
    }

    /// How long ago the deadline of a replica that leads has passed; zero if it has not, or if this
    /// replica does not lead. The election ends the process long before this grows.
    pub fn overdue(&self) -> Duration {
        let until = self.0.until.load(Ordering::Acquire);
        if until == 0 || !*self.0.leads.borrow() {
            return Duration::ZERO;
        }
        Duration::from_millis(milliseconds(self.0.clock.since_boot()).saturating_sub(until))
    }

    /// Rejects the writes of a client with [`NotLeading`] while this replica may not write. This is the
    /// last step before a request is sent, so that time in queues counts.
    pub fn gate(
        self,
    ) -> FilterLayer<impl Fn(http::Request<Body>) -> Result<http::Request<Body>, BoxError> + Clone> {
        FilterLayer::new(move |request: http::Request<Body>| {
            if *request.method() == Method::GET || is_dry_run(&request) || self.may_write() {
                Ok(request)
            } else {
                Err(BoxError::from(NotLeading))
            }
        })
    }

    /// Sets when the deadline passes.
    fn extend(&self, until: Duration) {
        self.0.until.store(milliseconds(until), Ordering::Release);
        self.0.leads.send_if_modified(|leads| !std::mem::replace(leads, true));
    }

    fn end(&self) {
        self.0.until.store(0, Ordering::Release);
        self.0.leads.send_if_modified(|leads| std::mem::replace(leads, false));
    }
}

/// Whether the API server only checks a request, without an effect.
fn is_dry_run(request: &http::Request<Body>) -> bool {
    let query = request.uri().query().unwrap_or_default();
    query.split('&').any(|parameter| parameter == "dryRun=All")
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The error of a write that was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this replica does not lead")]
pub struct NotLeading;

impl NotLeading {
    /// Whether a request was not sent for this reason.
    pub fn is_cause_of(error: &kube::Error) -> bool {
        matches!(error, kube::Error::Service(error) if error.is::<NotLeading>())
    }
}

/// A request for the Lease.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Reads the Lease.
    Get,
    /// Creates the Lease.
    Create(Box<Lease>),
    /// Replaces the state with this resourceVersion.
    Replace(Box<Lease>),
}

/// Sends requests for one Lease.
pub trait LeaseStore {
    /// Sends a request and returns the Lease, which exists after a successful write.
    fn send(&self, request: &Request) -> impl Future<Output = kube::Result<Option<Lease>>> + Send;
}

/// A Lease in a cluster.
#[derive(Debug, Clone)]
pub struct ApiLease {
    api: Api<Lease>,
    name: String,
}

impl ApiLease {
    /// The Lease with that name. The client must neither retry requests nor wait for them longer than
    /// [`REQUEST_TIMEOUT`].
    pub fn new(client: kube::Client, name: &LeaseName) -> Self {
        ApiLease { api: Api::namespaced(client, &name.namespace), name: name.name.clone() }
    }
}

impl LeaseStore for ApiLease {
    async fn send(&self, request: &Request) -> kube::Result<Option<Lease>> {
        let parameters = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        match request {
            Request::Get => self.api.get_opt(&self.name).await,
            Request::Create(lease) => self.api.create(&parameters, lease).await.map(Some),
            Request::Replace(lease) => self.api.replace(&self.name, &parameters, lease).await.map(Some),
        }
    }
}

/// A replica's knowledge of the Lease, and its decisions.
#[derive(Debug, Clone)]
pub struct Candidate {
    name: LeaseName,
    identity: String,
    observed: Option<Observed>,
}

#[derive(Debug, Clone)]
struct Observed {
    lease: Lease,
    /// When this replica saw the last change of the specification, as time since boot.
    changed_at: Duration,
}

impl Candidate {
    /// A replica that has not read the Lease yet. No other replica has the same identity.
    pub fn new(name: LeaseName, identity: String) -> Self {
        Candidate { name, identity, observed: None }
    }

    /// The holder in the last observed state of the Lease; empty if there is none.
    pub fn holder(&self) -> &str {
        self.observed.as_ref().map(|observed| holder(&observed.lease)).unwrap_or_default()
    }

    /// The first request of an attempt to acquire or renew the Lease.
    pub fn begin(&self, now: Timestamp) -> Request {
        match &self.observed {
            // Nearly always nothing has changed since the last renewal, so one request is enough.
            Some(observed) if self.is_mine(&observed.lease) => self.renewal(&observed.lease, now),
            _ => Request::Get,
        }
    }

    /// The next request after the Lease was read; `None` if another replica holds it.
    pub fn read(&mut self, found: Option<Lease>, since_boot: Duration, now: Timestamp) -> Option<Request> {
        let Some(found) = found else {
            let before = self.observed.as_ref();
            // A holder whose Lease was deleted creates it again, and leads until then.
            let is_held = before.is_some_and(|before| {
                !self.is_mine(&before.lease)
                    && !holder(&before.lease).is_empty()
                    && !before.has_expired(since_boot)
            });
            return (!is_held).then(|| self.creation(now));
        };
        let changed_at = match &self.observed {
            Some(before) if before.lease.spec == found.spec => before.changed_at,
            _ => since_boot,
        };
        let observed = self.observed.insert(Observed { lease: found, changed_at }).clone();
        if self.is_mine(&observed.lease) {
            Some(self.renewal(&observed.lease, now))
        } else if holder(&observed.lease).is_empty() || observed.has_expired(since_boot) {
            Some(self.takeover(&observed.lease, now))
        } else {
            None
        }
    }

    /// Records that this replica wrote the Lease.
    pub fn written(&mut self, lease: Lease, since_boot: Duration) {
        self.observed = Some(Observed { lease, changed_at: since_boot });
    }

    /// The request that releases the Lease, so that another replica gets it at once; `None` if this
    /// replica does not hold it.
    pub fn release(&self, now: Timestamp) -> Option<Request> {
        let observed = self.observed.as_ref().filter(|observed| self.is_mine(&observed.lease))?;
        Some(replace(&observed.lease, |spec| {
            spec.holder_identity = None;
            spec.lease_duration_seconds = Some(1);
            spec.acquire_time = Some(MicroTime(now));
            spec.renew_time = Some(MicroTime(now));
        }))
    }

    fn is_mine(&self, lease: &Lease) -> bool {
        holder(lease) == self.identity
    }

    fn renewal(&self, lease: &Lease, now: Timestamp) -> Request {
        replace(lease, |spec| {
            spec.lease_duration_seconds = Some(seconds(LEASE_DURATION));
            spec.renew_time = Some(MicroTime(now));
        })
    }

    fn takeover(&self, lease: &Lease, now: Timestamp) -> Request {
        replace(lease, |spec| {
            let transitions = spec.lease_transitions.unwrap_or_default();
            *spec = LeaseSpec { lease_transitions: Some(transitions.saturating_add(1)), ..self.held(now) };
        })
    }

    fn creation(&self, now: Timestamp) -> Request {
        // The time of acquisition of a Lease that was deleted while this replica held it.
        let before =
            self.observed.as_ref().map(|observed| &observed.lease).filter(|lease| self.is_mine(lease));
        let spec = before.and_then(|lease| lease.spec.clone());
        let spec = spec
            .map_or_else(|| self.held(now), |spec| LeaseSpec { renew_time: Some(MicroTime(now)), ..spec });
        let metadata = ObjectMeta {
            name: Some(self.name.name.clone()),
            namespace: Some(self.name.namespace.clone()),
            ..ObjectMeta::default()
        };
        Request::Create(Box::new(Lease { metadata, spec: Some(spec) }))
    }

    /// The specification of a Lease that this replica acquires now.
    fn held(&self, now: Timestamp) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(seconds(LEASE_DURATION)),
            acquire_time: Some(MicroTime(now)),
            renew_time: Some(MicroTime(now)),
            lease_transitions: Some(0),
            ..LeaseSpec::default()
        }
    }
}

impl Observed {
    fn has_expired(&self, since_boot: Duration) -> bool {
        let seconds = self.lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds);
        let duration = seconds.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
        self.changed_at + duration.unwrap_or(LEASE_DURATION) <= since_boot
    }
}

fn holder(lease: &Lease) -> &str {
    lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default()
}

/// The replacement of an observed state. Its metadata stays: the resourceVersion, and the labels and
/// annotations of others.
fn replace(lease: &Lease, change: impl FnOnce(&mut LeaseSpec)) -> Request {
    let mut lease = lease.clone();
    change(lease.spec.get_or_insert_default());
    Request::Replace(Box::new(lease))
}

fn seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(i32::MAX)
}

/// The reason why this replica no longer leads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// Another replica holds the Lease.
    #[error("{0} holds the Lease now")]
    Taken(String),
    /// The Lease was not renewed in time. This is the last problem.
    #[error("the Lease was not renewed within {limit} s: {0}", limit = RENEW_DEADLINE.as_secs())]
    Expired(String),
}

/// The result of an attempt to acquire or renew the Lease.
enum Attempt {
    /// This replica holds the Lease. The time since boot when it sent the request.
    Holds(Duration),
    /// Another replica holds it.
    Waits,
    /// A request failed.
    Failed(String),
}

/// Takes part in an election.
#[derive(Debug)]
pub struct Elector<S> {
    store: S,
    candidate: Candidate,
    leadership: Leadership,
}

impl<S: LeaseStore> Elector<S> {
    /// Takes part with that candidate and updates `leadership`.
    pub fn new(store: S, candidate: Candidate, leadership: Leadership) -> Self {
        Elector { store, candidate, leadership }
    }

    /// Waits until this replica leads. It does not try while `may_lead` is false.
    pub async fn acquire(&mut self, may_lead: impl Fn() -> bool) {
        let mut is_waiting = false;
        loop {
            if !may_lead() {
                tokio::time::sleep(CHECK_AGAIN).await;
                continue;
            }
            match self.attempt().await {
                Attempt::Holds(since) => {
                    self.leadership.extend(since + RENEW_DEADLINE);
                    tracing::info!(identity = self.candidate.identity, "became leader");
                    return;
                }
                Attempt::Waits if is_waiting => {}
                Attempt::Waits => {
                    is_waiting = true;
                    tracing::info!(holder = self.candidate.holder(), "waiting for the Lease");
                }
                Attempt::Failed(error) => tracing::warn!(error, "cannot acquire the Lease, will retry"),
            }
            let delay = rand::rng().random_range(0.0..JITTER);
            tokio::time::sleep(RETRY_PERIOD.mul_f64(1.0 + delay)).await;
        }
    }

    /// Renews the Lease until it is lost.
    pub async fn renew(&mut self) -> Lost {
        let mut problem = "the process was stopped".to_owned();
        let mut next = Instant::now() + RETRY_PERIOD;
        loop {
            tokio::time::sleep_until(next.min(Instant::now() + self.left())).await;
            next = Instant::now() + RETRY_PERIOD;
            let left = self.left();
            if left.is_zero() {
                self.leadership.end();
                return Lost::Expired(problem);
            }
            match tokio::time::timeout(left, self.attempt()).await {
                Ok(Attempt::Holds(since)) => self.leadership.extend(since + RENEW_DEADLINE),
                Ok(Attempt::Waits) => {
                    self.leadership.end();
                    return Lost::Taken(self.candidate.holder().to_owned());
                }
                Ok(Attempt::Failed(error)) => {
                    tracing::warn!(error, "cannot renew the Lease, will retry");
                    problem = error;
                }
                Err(_) => problem = "the API server did not answer".to_owned(),
            }
        }
    }

    /// Ends the leadership and releases the Lease.
    pub async fn release(&mut self) {
        if !self.leadership.may_write() {
            return;
        }
        self.leadership.end();
        for _ in 0..REQUESTS {
            let now = self.now();
            let Some(request) = self.candidate.release(now) else { return };
            match self.send(&request).await {
                Ok(_) => return,
                Err(Failure::Conflict(_)) => match self.send(&Request::Get).await {
                    Ok(found) => drop(self.candidate.read(found, self.since_boot(), now)),
                    Err(error) => return tracing::warn!(%error, "cannot release the Lease; it will expire"),
                },
                Err(error) => return tracing::warn!(%error, "cannot release the Lease; it will expire"),
            }
        }
    }

    async fn attempt(&mut self) -> Attempt {
        let mut request = self.candidate.begin(self.now());
        let mut problem = String::new();
        for _ in 0..REQUESTS {
            // The Lease lasts from here on at least, because others see the new state only later.
            let since = self.since_boot();
            match (self.send(&request).await, &request) {
                (Ok(found), Request::Get) => {
                    match self.candidate.read(found, self.since_boot(), self.now()) {
                        Some(next) => request = next,
                        None => return Attempt::Waits,
                    }
                }
                (Ok(written), Request::Create(_) | Request::Replace(_)) => {
                    if let Some(written) = written {
                        self.candidate.written(written, since);
                    }
                    return Attempt::Holds(since);
                }
                (Err(Failure::Conflict(error)), Request::Create(_) | Request::Replace(_)) => {
                    problem = error;
                    request = Request::Get;
                }
                (Err(error), _) => return Attempt::Failed(error.to_string()),
            }
        }
        Attempt::Failed(problem)
    }

    async fn send(&self, request: &Request) -> Result<Option<Lease>, Failure> {
        match tokio::time::timeout(REQUEST_TIMEOUT, self.store.send(request)).await {
            Ok(Ok(lease)) => Ok(lease),
            // The Lease has changed, exists already, or was deleted. A namespace can also be missing.
            Ok(Err(kube::Error::Api(status)))
                if matches!((status.code, request), (409, _) | (404, Request::Replace(_))) =>
            {
                Err(Failure::Conflict(status.message))
            }
            Ok(Err(error)) => Err(Failure::Other(message(&error))),
            Err(_) => Err(Failure::TimedOut),
        }
    }

    fn since_boot(&self) -> Duration {
        self.leadership.0.clock.since_boot()
    }

    fn now(&self) -> Timestamp {
        self.leadership.0.clock.now()
    }

    /// The time until the deadline.
    fn left(&self) -> Duration {
        let until = Duration::from_millis(self.leadership.0.until.load(Ordering::Acquire));
        until.saturating_sub(self.since_boot())
    }
}

/// The reason why a request for the Lease did not succeed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Conflict(String),
    #[error("{0}")]
    Other(String),
    #[error("the API server did not answer within {} s", REQUEST_TIMEOUT.as_secs())]
    TimedOut,
}

#[cfg(test)]
mod tests;
