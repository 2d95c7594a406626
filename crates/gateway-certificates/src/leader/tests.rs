//! Elections between replicas with different clocks, on a Lease in memory, in simulated time.

use std::convert::Infallible;
use std::sync::atomic::AtomicUsize;
use std::sync::{Mutex, PoisonError};

use k8s_openapi::jiff::SignedDuration;
use kube::client::ClientBuilder;
use kube::core::Status;
use rstest::rstest;
use serde_json::json;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use super::*;

/// The time that an election is observed.
const LONG: Duration = Duration::from_secs(600);

/// The clocks of a machine in simulated time.
#[derive(Debug)]
struct Machine {
    started: Instant,
    /// How far the time of day is ahead, in seconds.
    skew: i64,
    /// How long it was suspended, in seconds. Timers do not notice that.
    suspended: AtomicU64,
}

impl Machine {
    fn new(skew: i64) -> Arc<Self> {
        Arc::new(Machine { started: Instant::now(), skew, suspended: AtomicU64::new(0) })
    }
}

impl Clock for Machine {
    fn since_boot(&self) -> Duration {
        // Machines do not start at the same time.
        let before = Duration::from_secs(self.skew.unsigned_abs() * 100);
        before + self.started.elapsed() + Duration::from_secs(self.suspended.load(Ordering::Relaxed))
    }

    fn now(&self) -> Timestamp {
        let passed = SignedDuration::try_from(self.started.elapsed()).unwrap();
        "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + passed + SignedDuration::from_secs(self.skew)
    }
}

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// It is answered.
    None,
    /// It has its effect, but the response is lost.
    ResponseLost,
    /// It is lost.
    RequestLost,
}

/// The API server.
#[derive(Debug, Default)]
struct Server {
    lease: Mutex<Option<Lease>>,
    versions: AtomicU64,
}

impl Server {
    fn lease(&self) -> Option<Lease> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn spec(&self) -> LeaseSpec {
        self.lease().unwrap().spec.unwrap()
    }

    fn apply(&self, request: &Request) -> kube::Result<Option<Lease>> {
        let mut stored = self.lease.lock().unwrap();
        let status = |code, message: &str| {
            kube::Error::Api(Box::new(Status { code, message: message.to_owned(), ..Status::default() }))
        };
        let mut written = match (request, stored.as_ref()) {
            (Request::Get, found) => return Ok(found.cloned()),
            (Request::Create(_), Some(_)) => return Err(status(409, "already exists")),
            (Request::Replace(_), None) => return Err(status(404, "not found")),
            (Request::Create(lease), None) => {
                assert_eq!(lease.metadata.resource_version, None, "the API server rejects it in a create");
                Lease::clone(lease)
            }
            (Request::Replace(lease), Some(found)) => {
                let version = lease.metadata.resource_version.as_ref();
                let version = version.expect("a write without resourceVersion is unconditional");
                if Some(version) != found.metadata.resource_version.as_ref() {
                    return Err(status(409, "the object has been modified"));
                }
                Lease::clone(lease)
            }
        };
        written.metadata.resource_version = Some(self.next_version());
        *stored = Some(written.clone());
        Ok(Some(written))
    }

    fn next_version(&self) -> String {
        self.versions.fetch_add(1, Ordering::Relaxed).to_string()
    }

    /// A merge patch of another writer.
    fn annotate(&self, value: usize) {
        let mut stored = self.lease.lock().unwrap();
        let lease = stored.as_mut().unwrap();
        let before =
            lease.metadata.annotations.get_or_insert_default().insert("note".to_owned(), value.to_string());
        assert!(
            value == 0 || before == Some((value - 1).to_string()),
            "an annotation was dropped: {before:?}"
        );
        lease.metadata.resource_version = Some(self.next_version());
    }

    fn delete(&self) {
        *self.lease.lock().unwrap() = None;
    }
}

/// A connection to the API server.
struct Connection {
    server: Arc<Server>,
    latency: Duration,
    requests: AtomicUsize,
    /// What happens to the request with that number.
    fault: Box<dyn Fn(usize) -> Fault + Send + Sync>,
}

impl LeaseStore for Connection {
    async fn send(&self, request: &Request) -> kube::Result<Option<Lease>> {
        let fault = (self.fault)(self.requests.fetch_add(1, Ordering::Relaxed));
        sleep(self.latency / 2).await;
        if fault == Fault::RequestLost {
            return std::future::pending().await;
        }
        let response = self.server.apply(request);
        sleep(self.latency / 2).await;
        if fault == Fault::ResponseLost {
            return std::future::pending().await;
        }
        response
    }
}

/// A replica in an election.
struct Replica<T = Lost> {
    leadership: Leadership,
    machine: Arc<Machine>,
    task: JoinHandle<T>,
}

/// The options of a replica.
struct Options {
    skew: i64,
    latency: Duration,
    fault: Box<dyn Fn(usize) -> Fault + Send + Sync>,
}

impl Default for Options {
    fn default() -> Self {
        Options { skew: 0, latency: Duration::from_millis(10), fault: Box::new(|_| Fault::None) }
    }
}

fn elector(
    server: &Arc<Server>,
    name: &str,
    options: Options,
) -> (Elector<Connection>, Leadership, Arc<Machine>) {
    let Options { skew, latency, fault } = options;
    let machine = Machine::new(skew);
    let leadership = Leadership::standby(machine.clone());
    let store = Connection { server: Arc::clone(server), latency, requests: AtomicUsize::new(0), fault };
    let lease = LeaseName { namespace: "system".to_owned(), name: "lease".to_owned() };
    (Elector::new(store, Candidate::new(lease, name.to_owned()), leadership.clone()), leadership, machine)
}

fn replica(server: &Arc<Server>, name: &str, options: Options) -> Replica {
    let (mut elector, leadership, machine) = elector(server, name, options);
    let task = tokio::spawn(async move {
        elector.acquire(|| true).await;
        elector.renew().await
    });
    Replica { leadership, machine, task }
}

impl Replica {
    async fn until_leader(&self) -> Duration {
        let start = Instant::now();
        self.leadership.leads().wait_for(|leads| *leads).await.unwrap();
        start.elapsed()
    }

    /// Ends without releasing the Lease.
    fn vanish(&self) {
        self.task.abort();
    }
}

/// Checks ten times a second, for that time, that no two replicas may write, and `check`.
async fn observe<T>(time: Duration, replicas: &[&Replica<T>], mut check: impl FnMut()) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        let writers = replicas.iter().filter(|replica| replica.leadership.may_write()).count();
        assert!(writers <= 1, "{writers} replicas may write");
        check();
        sleep(Duration::from_millis(100)).await;
    }
}

#[rstest]
#[case::same_time(0, 0)]
#[case::the_leader_is_ahead(20, 0)]
#[case::the_leader_is_behind(-20, 0)]
#[case::the_others_are_on_both_sides(-20, 20)]
#[tokio::test(start_paused = true)]
async fn one_of_three_leads_whatever_their_clocks_say(#[case] of_leader: i64, #[case] of_others: i64) {
    let server = Arc::new(Server::default());
    let leader = replica(&server, "a", Options { skew: of_leader, ..Options::default() });
    leader.until_leader().await;
    let others = [("b", of_others), ("c", -of_others)]
        .map(|(name, skew)| replica(&server, name, Options { skew, ..Options::default() }));
    observe(LONG, &[&leader, &others[0], &others[1]], || assert!(leader.leadership.may_write())).await;
    let spec = server.spec();
    assert_eq!((spec.holder_identity.as_deref(), spec.lease_transitions), (Some("a"), Some(0)));
    assert_eq!(spec.lease_duration_seconds, Some(15));

    // The others have to see that nothing changes for 15 seconds.
    leader.vanish();
    let start = Instant::now();
    tokio::select! {
        _ = others[0].until_leader() => {}
        _ = others[1].until_leader() => {}
    }
    assert!((13.0..=20.0).contains(&start.elapsed().as_secs_f64()), "{:?}", start.elapsed());
    assert!(!leader.leadership.may_write());
    observe(LONG, &[&leader, &others[0], &others[1]], || {}).await;
    let spec = server.spec();
    assert_eq!(spec.lease_transitions, Some(1));
    assert!(matches!(spec.holder_identity.as_deref(), Some("b" | "c")));
}

#[tokio::test(start_paused = true)]
async fn the_fields_of_the_lease() {
    let server = Arc::new(Server::default());
    let first = replica(&server, "a", Options::default());
    first.until_leader().await;
    let created = server.spec();
    assert_eq!(created.acquire_time, created.renew_time);
    sleep(Duration::from_secs(60)).await;
    let renewed = server.spec();
    assert_eq!(renewed.acquire_time, created.acquire_time);
    let age = renewed.renew_time.unwrap().0.duration_since(created.acquire_time.unwrap().0);
    assert!((57..=60).contains(&age.as_secs()), "{age:?}");

    first.vanish();
    let second = replica(&server, "b", Options::default());
    second.until_leader().await;
    let taken = server.spec();
    assert_eq!(taken.acquire_time, taken.renew_time);
    assert_eq!((taken.holder_identity.as_deref(), taken.lease_transitions), (Some("b"), Some(1)));
}

#[tokio::test(start_paused = true)]
async fn a_released_lease_is_taken_at_once() {
    let server = Arc::new(Server::default());
    let (mut first, leadership, _) = elector(&server, "a", Options::default());
    first.acquire(|| true).await;
    server.annotate(0);
    let second = replica(&server, "b", Options::default());
    sleep(Duration::from_secs(5)).await;
    assert!(!second.leadership.may_write());

    first.release().await;
    assert!(!leadership.may_write());
    let spec = server.spec();
    assert_eq!((spec.holder_identity, spec.lease_duration_seconds), (None, Some(1)));
    assert!(second.until_leader().await < Duration::from_secs(5));
    assert_eq!(server.spec().lease_transitions, Some(1));
    server.annotate(1);
}

#[tokio::test(start_paused = true)]
async fn only_the_holder_releases_the_lease() {
    let server = Arc::new(Server::default());
    let (mut first, ..) = elector(&server, "a", Options::default());
    first.acquire(|| true).await;
    // Somebody gives the Lease to another holder.
    let mut lease = server.lease().unwrap();
    lease.spec.as_mut().unwrap().holder_identity = Some("b".to_owned());
    server.apply(&Request::Replace(Box::new(lease))).unwrap();
    first.release().await;
    assert_eq!(server.spec().holder_identity.as_deref(), Some("b"));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_others_annotate_is_renewed_and_their_annotations_stay() {
    let server = Arc::new(Server::default());
    let leader = replica(&server, "a", Options::default());
    leader.until_leader().await;
    let mut count = 0;
    observe(LONG, &[&leader], || {
        // Fails if a renewal has dropped the annotation before.
        server.annotate(count);
        count += 1;
        assert!(leader.leadership.may_write());
    })
    .await;
    assert_eq!(server.spec().lease_transitions, Some(0));
    leader.vanish();
    replica(&server, "b", Options::default()).until_leader().await;
    server.annotate(count);
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_takes_long_does_not_change_the_leader() {
    let server = Arc::new(Server::default());
    let slow = || Options { latency: Duration::from_millis(1400), ..Options::default() };
    let (leader, other) = (replica(&server, "a", slow()), replica(&server, "b", slow()));
    tokio::select! {
        _ = leader.until_leader() => {}
        _ = other.until_leader() => {}
    }
    let holder = server.spec().holder_identity;
    observe(LONG, &[&leader, &other], || {
        assert!(leader.leadership.may_write() || other.leadership.may_write());
    })
    .await;
    assert_eq!((server.spec().holder_identity, server.spec().lease_transitions), (holder, Some(0)));
}

#[rstest]
#[case::response(Fault::ResponseLost)]
#[case::request(Fault::RequestLost)]
#[tokio::test(start_paused = true)]
async fn lost_messages_do_not_change_the_leader(#[case] fault: Fault) {
    let server = Arc::new(Server::default());
    // Also that of the first write, after which this replica has to find out that it leads.
    let faulty = || Options {
        fault: Box::new(move |number| if number % 5 == 1 { fault } else { Fault::None }),
        ..Options::default()
    };
    let leader = replica(&server, "a", faulty());
    leader.until_leader().await;
    let other = replica(&server, "b", faulty());
    observe(LONG, &[&leader, &other], || assert!(leader.leadership.may_write())).await;
    assert_eq!(server.spec().lease_transitions, Some(0));
}

#[tokio::test(start_paused = true)]
async fn random_faults_never_give_two_leaders() {
    for seed in 0..20_u64 {
        let server = Arc::new(Server::default());
        let faulty = |replica: u64| Options {
            skew: i64::try_from(replica).unwrap() * 20 - 20,
            latency: Duration::from_millis(seed * 50),
            fault: Box::new(move |number| {
                // A quarter of all messages is lost.
                let mixed = (seed * 1000 + replica * 100_000 + u64::try_from(number).unwrap())
                    .wrapping_mul(0x9E37_79B9_7F4A_7C15);
                match mixed >> 60 {
                    0 | 1 => Fault::ResponseLost,
                    2 | 3 => Fault::RequestLost,
                    _ => Fault::None,
                }
            }),
        };
        let replicas = [0, 1, 2].map(|number| {
            let (mut elector, leadership, machine) = elector(&server, &number.to_string(), faulty(number));
            // The process is started again whenever it has lost the Lease.
            let task = tokio::spawn(async move {
                loop {
                    elector.acquire(|| true).await;
                    elector.renew().await;
                }
            });
            Replica::<()> { leadership, machine, task }
        });
        let (mut round, mut led) = (0, 0);
        observe(LONG, &replicas.each_ref(), || {
            round += 1;
            led += u32::from(replicas.iter().any(|replica| replica.leadership.may_write()));
        })
        .await;
        assert!(led > round / 4, "seed {seed}: there was a leader in {led} of {round} moments");
        replicas.iter().for_each(|replica| replica.task.abort());
    }
}

#[tokio::test(start_paused = true)]
async fn a_deleted_lease_stays_with_its_holder() {
    let server = Arc::new(Server::default());
    let leader = replica(&server, "a", Options::default());
    leader.until_leader().await;
    let acquired = server.spec().acquire_time;
    let other = replica(&server, "b", Options::default());
    // At various times between two renewals.
    for _ in 0..20 {
        sleep(Duration::from_millis(3210)).await;
        server.delete();
        observe(Duration::from_secs(7), &[&leader, &other], || assert!(leader.leadership.may_write())).await;
        let spec = server.spec();
        assert_eq!((spec.holder_identity.as_deref(), spec.acquire_time), (Some("a"), acquired.clone()));
    }
    server.delete();
    leader.vanish();
    let waited = other.until_leader().await;
    assert!((10..=20).contains(&waited.as_secs()), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_leader_without_api_server_ends_before_another_one_leads() {
    let server = Arc::new(Server::default());
    let cut = Options {
        fault: Box::new(|number| if number < 10 { Fault::None } else { Fault::RequestLost }),
        ..Options::default()
    };
    let leader = replica(&server, "a", cut);
    leader.until_leader().await;
    let other = replica(&server, "b", Options::default());
    observe(Duration::from_secs(60), &[&leader, &other], || {}).await;
    assert!(other.leadership.may_write());
    let lost = leader.task.await.unwrap();
    assert!(matches!(lost, Lost::Expired(_)), "{lost}");
    assert!(!*leader.leadership.leads().borrow());
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_sees_another_holder_ends_at_once() {
    let server = Arc::new(Server::default());
    let leader = replica(&server, "a", Options::default());
    leader.until_leader().await;
    let mut lease = server.lease().unwrap();
    lease.spec.as_mut().unwrap().holder_identity = Some("b".to_owned());
    server.apply(&Request::Replace(Box::new(lease))).unwrap();
    let start = Instant::now();
    assert_eq!(leader.task.await.unwrap(), Lost::Taken("b".to_owned()));
    assert!(start.elapsed() <= Duration::from_secs(3));
    assert!(!leader.leadership.may_write());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_after_the_machine_was_suspended() {
    let server = Arc::new(Server::default());
    let leader = replica(&server, "a", Options::default());
    leader.until_leader().await;
    assert!(leader.leadership.may_write());
    leader.machine.suspended.store(20, Ordering::Relaxed);
    assert!(!leader.leadership.may_write());
    let before = server.lease();
    assert!(matches!(leader.task.await.unwrap(), Lost::Expired(_)));
    assert_eq!(server.lease(), before, "the Lease may belong to another replica by now");
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_is_not_ready_does_not_lead() {
    let server = Arc::new(Server::default());
    let (mut elector, leadership, _) = elector(&server, "a", Options::default());
    let may_lead = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    let asked = Arc::clone(&may_lead);
    tasks.spawn(async move { elector.acquire(|| asked.load(Ordering::Relaxed)).await });
    sleep(LONG).await;
    assert!(!leadership.may_write() && server.lease().is_none());
    may_lead.store(true, Ordering::Relaxed);
    tasks.join_next().await.unwrap().unwrap();
    assert!(leadership.may_write());
}

#[tokio::test(start_paused = true)]
async fn the_time_since_the_deadline() {
    let machine = Machine::new(0);
    let leadership = Leadership::standby(machine.clone());
    sleep(LONG).await;
    assert_eq!(leadership.overdue(), Duration::ZERO);
    leadership.extend(machine.since_boot() + RENEW_DEADLINE);
    sleep(RENEW_DEADLINE).await;
    assert_eq!((leadership.may_write(), leadership.overdue()), (false, Duration::ZERO));
    sleep(Duration::from_secs(30)).await;
    assert_eq!(leadership.overdue(), Duration::from_secs(30));
    assert_eq!(Leadership::permanent().overdue(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_client_sends_no_writes_after_the_deadline() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let server = tower::service_fn(move |_: http::Request<Body>| {
        counted.fetch_add(1, Ordering::Relaxed);
        let lease =
            json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "a"}});
        async move { Ok::<_, Infallible>(http::Response::new(Body::from(lease.to_string().into_bytes()))) }
    });
    let machine = Machine::new(0);
    let leadership = Leadership::standby(machine.clone());
    let client = ClientBuilder::new(server, "default").with_layer(&leadership.clone().gate()).build();
    let leases: Api<Lease> = Api::default_namespaced(client);
    let parameters = PostParams::default();
    let lease = Lease::default();

    leases.get("a").await.unwrap();
    let error = leases.create(&parameters, &lease).await.unwrap_err();
    assert!(NotLeading::is_cause_of(&error), "{error:?}");
    assert_eq!(sent.load(Ordering::Relaxed), 1);

    leadership.extend(machine.since_boot() + RENEW_DEADLINE);
    leases.create(&parameters, &lease).await.unwrap();
    leases.delete("a", &kube::api::DeleteParams::default()).await.unwrap();
    sleep(RENEW_DEADLINE).await;
    let error = leases.delete("a", &kube::api::DeleteParams::default()).await.unwrap_err();
    assert!(NotLeading::is_cause_of(&error), "{error:?}");
    leases.get("a").await.unwrap();
    assert_eq!(sent.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn a_dry_run_writes_nothing() {
    let server = tower::service_fn(|request: http::Request<Body>| async move {
        let is_dry_run = request.uri().query().is_some_and(|query| query.contains("dryRun=All"));
        assert!(*request.method() == Method::GET || is_dry_run, "{request:?} has an effect");
        let lease =
            json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "a"}});
        Ok::<_, Infallible>(http::Response::new(Body::from(lease.to_string().into_bytes())))
    });
    let leadership = Leadership::dry_run();
    assert!(*leadership.leads().borrow() && !leadership.may_write());
    assert_eq!(leadership.overdue(), Duration::ZERO);
    let client = ClientBuilder::new(server, "default").with_layer(&leadership.gate()).build();
    let leases: Api<Lease> = Api::default_namespaced(client);
    leases.get("a").await.unwrap();
    let error = leases.create(&PostParams::default(), &Lease::default()).await.unwrap_err();
    assert!(NotLeading::is_cause_of(&error), "{error:?}");
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    leases.create(&dry_run, &Lease::default()).await.unwrap();
}

#[test]
fn the_clocks_of_the_system() {
    let before = SystemClock.since_boot();
    assert!(before > Duration::ZERO && SystemClock.since_boot() >= before);
}
