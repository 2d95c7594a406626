//! Events on Gateways and on the controller's Lease: what was done, and problems that last.
//!
//! This is not kube-runtime's Recorder. That one counts repetitions only in memory, so after a restart it
//! would report every problem again, and it merges Events that differ only in their text. Here the name of an
//! Event is derived from its content: an Event of a lasting problem that still exists is refreshed.

mod lanes;
mod limits;
mod problems;

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use certificate_shim::gateway::GatewayKind;
use certificate_shim::owner::hash;
use futures::future::join_all;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::fields::MANAGER;
use crate::leader::NotLeading;
use crate::message::message;
use crate::metrics::{Dropped, Metrics};
use crate::objects::Key;
use lanes::Lanes;
use limits::Limits;
pub use problems::Problem;
use problems::{Problems, REFRESH};

/// The maximum length of a note in bytes (`noteLengthLimit` in Kubernetes' pkg/apis/events/validation).
const NOTE: usize = 1024;
/// The number of Events that are written in parallel, each in another namespace.
const WRITERS: usize = 16;
/// The timeout of a request.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The number of attempts to write an Event.
const ATTEMPTS: u32 = 5;
/// The interval of looking for problems to refresh.
const LOOK: Duration = Duration::from_secs(5);
/// The time until the next attempt for a problem whose object has had too many Events.
const LIMITED: Duration = Duration::from_secs(300);
/// The time to write the remaining Events when the controller stops.
pub const LAST_EVENTS: Duration = Duration::from_secs(10);

/// The kind of object that an Event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// An Istio Gateway.
    Gateway,
    /// The Lease of the controller.
    Lease,
}

/// The object that an Event is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Regarding {
    /// Its kind.
    pub subject: Subject,
    /// Its namespace and name.
    pub key: Key,
    /// Its uid.
    pub uid: String,
}

impl Regarding {
    /// An Istio Gateway.
    pub fn gateway(key: &Key, uid: &str) -> Self {
        Regarding { subject: Subject::Gateway, key: key.clone(), uid: uid.to_owned() }
    }

    /// The Lease of the controller.
    pub fn lease(key: &Key, uid: &str) -> Self {
        Regarding { subject: Subject::Lease, key: key.clone(), uid: uid.to_owned() }
    }

    fn reference(&self) -> ObjectReference {
        let (api_version, kind) = match self.subject {
            Subject::Gateway => (GatewayKind::Istio.owner_api_version(), GatewayKind::Istio.kind()),
            Subject::Lease => ("coordination.k8s.io/v1".to_owned(), "Lease"),
        };
        ObjectReference {
            api_version: Some(api_version),
            kind: Some(kind.to_owned()),
            namespace: Some(self.key.namespace.clone()),
            name: Some(self.key.name.clone()),
            uid: Some(self.uid.clone()),
            ..ObjectReference::default()
        }
    }
}

/// The reason of an Event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A Certificate was created.
    CreateCertificate,
    /// A Certificate was changed.
    UpdateCertificate,
    /// A Certificate was deleted.
    DeleteCertificate,
    /// A Certificate, or all Certificates, are withheld.
    CertificateWithheld,
    /// cert-manager issued a Certificate.
    CertificateReady,
    /// cert-manager cannot issue a Certificate, or has not done so for a while.
    CertificateFailed,
    /// A Certificate is kept although the annotation is gone, because a server still names its Secret.
    CertificateKept,
    /// A Certificate that the controller did not create was taken over.
    CertificateAdopted,
    /// The Gateway is paused by its annotation.
    Paused,
    /// Requests for the Gateway fail for a while.
    SyncFailed,
    /// The Pods that the Gateway selects run in other namespaces than the settings say.
    PlacementMismatch,
    /// Too many Certificates would be deleted, so none is.
    DeletionsSuspended,
    /// The object has had too many Events.
    EventsSuppressed,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Reason; 13] = [
        Reason::CreateCertificate,
        Reason::UpdateCertificate,
        Reason::DeleteCertificate,
        Reason::CertificateWithheld,
        Reason::CertificateReady,
        Reason::CertificateFailed,
        Reason::CertificateKept,
        Reason::CertificateAdopted,
        Reason::Paused,
        Reason::SyncFailed,
        Reason::PlacementMismatch,
        Reason::DeletionsSuspended,
        Reason::EventsSuppressed,
    ];

    /// The word in the Event: a result.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::CreateCertificate => "CreateCertificate",
            Reason::UpdateCertificate => "UpdateCertificate",
            Reason::DeleteCertificate => "DeleteCertificate",
            Reason::CertificateWithheld => "CertificateWithheld",
            Reason::CertificateReady => "CertificateReady",
            Reason::CertificateFailed => "CertificateFailed",
            Reason::CertificateKept => "CertificateKept",
            Reason::CertificateAdopted => "CertificateAdopted",
            Reason::Paused => "Paused",
            Reason::SyncFailed => "SyncFailed",
            Reason::PlacementMismatch => "PlacementMismatch",
            Reason::DeletionsSuspended => "DeletionsSuspended",
            Reason::EventsSuppressed => "EventsSuppressed",
        }
    }

    /// The action in the Event: a verb for what was attempted.
    pub fn action(self) -> &'static str {
        match self {
            Reason::CreateCertificate => "Create",
            Reason::UpdateCertificate => "Update",
            Reason::DeleteCertificate | Reason::CertificateKept | Reason::DeletionsSuspended => "Delete",
            Reason::CertificateWithheld | Reason::Paused | Reason::SyncFailed => "Sync",
            Reason::CertificateReady | Reason::CertificateFailed => "Issue",
            Reason::CertificateAdopted => "Adopt",
            Reason::PlacementMismatch => "Compare",
            Reason::EventsSuppressed => "Report",
        }
    }

    /// Whether the type of the Event is `Warning`, not `Normal`.
    pub fn is_warning(self) -> bool {
        match self {
            Reason::CertificateWithheld
            | Reason::CertificateFailed
            | Reason::CertificateKept
            | Reason::SyncFailed
            | Reason::PlacementMismatch
            | Reason::DeletionsSuspended => true,
            Reason::CreateCertificate
            | Reason::UpdateCertificate
            | Reason::DeleteCertificate
            | Reason::CertificateReady
            | Reason::CertificateAdopted
            | Reason::Paused
            | Reason::EventsSuppressed => false,
        }
    }

    /// The text for problems of an object that get no Event of their own.
    fn more(self, count: usize) -> String {
        let what = match self {
            Reason::CertificateWithheld => "Certificates are withheld",
            Reason::CertificateFailed => "Certificates are not issued",
            Reason::CertificateKept => "Certificates are kept",
            _ => "problems of this kind",
        };
        format!("and {count} more {what}. Fix those in the other Events first.")
    }
}

/// An Event to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// The object.
    pub regarding: Regarding,
    /// The reason.
    pub reason: Reason,
    /// The text.
    pub text: String,
    /// Distinguishes Events with the same text: the resourceVersion of the written object. Empty for a
    /// problem that lasts until it is fixed.
    pub occurrence: String,
}

impl NewEvent {
    /// The name of the Event: the name of the object, truncated if necessary, and a hash of the content.
    fn name(&self) -> String {
        let Regarding { key, uid, .. } = &self.regarding;
        let content = format!("{uid}/{}/{}/{}", self.reason.as_str(), self.occurrence, self.text);
        let object: String = key.name.chars().take(200).collect();
        format!("{}.{}", object.trim_end_matches(['.', '-']), hash(&key.to_string(), &content))
    }

    /// Normal Events do not use up the limit for Warnings.
    fn limit(&self) -> (Regarding, bool) {
        (self.regarding.clone(), self.reason.is_warning())
    }
}

/// Writes Events in the background. Clones share the queue.
#[derive(Clone)]
pub struct Events(Arc<Shared>);

struct Shared {
    client: Client,
    metrics: Metrics,
    /// The name of the Pod.
    instance: String,
    leads: watch::Receiver<bool>,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    lanes: Lanes<Waiting>,
    limits: Limits<(Regarding, bool)>,
    problems: Problems,
    is_closing: bool,
}

struct Waiting {
    event: NewEvent,
    attempts: u32,
}

impl Events {
    /// Starts the task that writes Events while this replica leads. It ends after [`Events::finish`].
    pub fn start(client: Client, metrics: Metrics, leads: watch::Receiver<bool>) -> (Self, JoinHandle<()>) {
        let shared = Arc::new(Shared {
            client,
            metrics,
            instance: std::env::var("HOSTNAME").unwrap_or_else(|_| MANAGER.to_owned()),
            leads,
            state: Mutex::default(),
            changed: Notify::new(),
        });
        let tasks = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            let writers = join_all((0..WRITERS).map(|_| tasks.write_all()));
            tokio::join!(writers, tasks.refresh_all());
        });
        (Events(shared), task)
    }

    /// Queues an Event that is written once. It is dropped if the object has had too many Events, or if too
    /// many wait.
    pub fn publish(&self, event: NewEvent) {
        let now = Instant::now();
        let mut state = self.0.lock();
        log(&event);
        if state.limits.allows(&event.limit(), now) {
            self.0.queue(&mut state, event);
        } else {
            state.limits.suppress(&event.limit(), now);
            self.0.metrics.event_dropped(Dropped::Limited);
        }
    }

    /// Sets the lasting problems of an object with that reason. Each gets an Event, which is refreshed every
    /// 30 minutes until a call without that problem. If there are more than ten, the last Event has the
    /// number of the others.
    pub fn set_problems(&self, regarding: &Regarding, reason: Reason, problems: Vec<Problem>) {
        let now = Instant::now();
        let mut state = self.0.lock();
        for event in state.problems.set(regarding, reason, problems, now) {
            log(&event);
            if state.limits.allows(&event.limit(), now) {
                self.0.queue(&mut state, event);
            } else {
                state.problems.postpone(&event, now + LIMITED);
            }
        }
    }

    /// Forgets all problems of an object, because it is gone.
    pub fn forget(&self, subject: Subject, key: &Key) {
        self.0.lock().problems.forget(subject, key);
    }

    /// Waits until the queued Events are written, but at most for a few seconds.
    pub async fn finish(self, task: JoinHandle<()>) {
        self.0.lock().is_closing = true;
        self.0.changed.notify_one();
        let _ = tokio::time::timeout(LAST_EVENTS, task).await;
    }
}

fn log(event: &NewEvent) {
    let NewEvent { regarding: Regarding { subject, key, .. }, reason, text, .. } = event;
    match subject {
        Subject::Gateway => tracing::info!(gateway = %key, reason = reason.as_str(), note = text, "event"),
        Subject::Lease => tracing::info!(lease = %key, reason = reason.as_str(), note = text, "event"),
    }
}

/// The reason why a request did not succeed.
enum Failure {
    /// The API server rejects it, so there is no second attempt.
    Rejected(kube::Error),
    /// It can succeed later.
    Failed(String),
    /// This replica does not lead.
    NotLeader,
}

impl Shared {
    /// Whether this replica may write. This is checked right before each write.
    fn may_write(&self) -> bool {
        *self.leads.borrow()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self, state: &mut State, event: NewEvent) {
        let namespace = event.regarding.key.namespace.clone();
        if state.lanes.push(&namespace, Waiting { event, attempts: 0 }) {
            self.changed.notify_one();
        } else {
            self.metrics.event_dropped(Dropped::QueueFull);
        }
    }

    /// Writes Events, one after the other, until the controller stops.
    async fn write_all(&self) {
        loop {
            // Created before the check, so that no notification is missed.
            let changed = self.changed.notified();
            let (found, more, wakes_at, is_done) = {
                let mut state = self.lock();
                let found = state.lanes.take(Instant::now());
                let is_done = state.is_closing && state.lanes.is_idle();
                (found, state.lanes.has_turn(), state.lanes.wakes_at(), is_done)
            };
            if more || is_done {
                self.changed.notify_one();
            }
            match found {
                Some((namespace, waiting)) => self.write_next(&namespace, waiting).await,
                None if is_done => return,
                None => match wakes_at {
                    None => changed.await,
                    Some(at) => {
                        let _ = tokio::time::timeout_at(at, changed).await;
                    }
                },
            }
        }
    }

    async fn write_next(&self, namespace: &str, mut waiting: Waiting) {
        let outcome = self.write(&waiting.event).await;
        let mut state = self.lock();
        let Regarding { key, .. } = &waiting.event.regarding;
        let reason = waiting.event.reason.as_str();
        match outcome {
            Ok(()) | Err(Failure::NotLeader) => state.lanes.succeeded(namespace),
            Err(Failure::Rejected(error)) => {
                tracing::warn!(object = %key, reason, error = message(&error), "the Event is rejected");
                self.metrics.event_dropped(Dropped::Rejected);
                state.lanes.succeeded(namespace);
            }
            Err(Failure::Failed(error)) => {
                waiting.attempts += 1;
                let again = waiting.attempts < ATTEMPTS;
                tracing::warn!(object = %key, reason, error, again, "cannot write the Event");
                if !again {
                    self.metrics.event_dropped(Dropped::Failed);
                }
                state.lanes.failed(namespace, again.then_some(waiting), Instant::now());
            }
        }
        drop(state);
        // For the next item of the lane, or the end of its pause.
        self.changed.notify_one();
    }

    /// Queues the Events of lasting problems again and again, and reports how many were suppressed.
    async fn refresh_all(&self) {
        loop {
            tokio::time::sleep(LOOK).await;
            let now = Instant::now();
            let mut state = self.lock();
            if state.is_closing {
                return;
            }
            for event in state.problems.due(now) {
                self.queue(&mut state, event);
            }
            for ((regarding, _), count) in state.limits.due(now) {
                let event = NewEvent {
                    regarding,
                    reason: Reason::EventsSuppressed,
                    text: format!(
                        "{count} more Events were not written, to limit their number. The log of the controller has all of them."
                    ),
                    occurrence: Timestamp::now().to_string(),
                };
                self.queue(&mut state, event);
            }
        }
    }

    async fn write(&self, event: &NewEvent) -> Result<(), Failure> {
        let name = event.name();
        let api: Api<Event> = Api::namespaced(self.client.clone(), &event.regarding.key.namespace);
        if event.occurrence.is_empty()
            && let Some(existing) = self.request(api.get_opt(&name)).await?
        {
            return self.refresh(&api, &name, &existing).await;
        }
        let parameters = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let body = self.body(name, event);
        let created = self.request(api.create(&parameters, &body)).await;
        self.metrics.wrote("events", "create", created.is_ok());
        match created {
            Err(Failure::Rejected(kube::Error::Api(status))) if status.code == 409 => Ok(()),
            created => created.map(drop),
        }
    }

    /// Counts another occurrence in an Event that exists, unless it was written or counted a short time ago.
    /// That starts its time to live again.
    async fn refresh(&self, api: &Api<Event>, name: &str, existing: &Event) -> Result<(), Failure> {
        let now = Timestamp::now();
        let series = existing.series.as_ref();
        let last = series.map(|series| &series.last_observed_time).or(existing.event_time.as_ref());
        // After a restart, the next look is after a complete interval, so half of one is enough.
        let is_fresh = last.is_some_and(|last| now.duration_since(last.0).unsigned_abs() < REFRESH / 2);
        if is_fresh {
            return Ok(());
        }
        let count = series.map_or(1, |series| series.count).saturating_add(1);
        let patch = Patch::Merge(json!({"series": {"count": count, "lastObservedTime": MicroTime(now)}}));
        let parameters = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let patched = self.request(api.patch(name, &parameters, &patch)).await;
        self.metrics.wrote("events", "patch", patched.is_ok());
        patched.map(drop)
    }

    async fn request<T>(&self, request: impl Future<Output = kube::Result<T>>) -> Result<T, Failure> {
        if !self.may_write() {
            return Err(Failure::NotLeader);
        }
        match tokio::time::timeout(TIMEOUT, request).await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(kube::Error::Api(status))) if (400..500).contains(&status.code) && status.code != 429 => {
                Err(Failure::Rejected(kube::Error::Api(status)))
            }
            Ok(Err(error)) if NotLeading::is_cause_of(&error) => Err(Failure::NotLeader),
            Ok(Err(error)) => Err(Failure::Failed(message(&error))),
            Err(_) => {
                Err(Failure::Failed(format!("the API server did not answer within {} s", TIMEOUT.as_secs())))
            }
        }
    }

    fn body(&self, name: String, event: &NewEvent) -> Event {
        Event {
            metadata: ObjectMeta {
                name: Some(name),
                namespace: Some(event.regarding.key.namespace.clone()),
                ..ObjectMeta::default()
            },
            action: Some(event.reason.action().to_owned()),
            event_time: Some(MicroTime(Timestamp::now())),
            note: Some(shortened(&event.text)),
            reason: Some(event.reason.as_str().to_owned()),
            regarding: Some(event.regarding.reference()),
            reporting_controller: Some(MANAGER.to_owned()),
            reporting_instance: Some(self.instance.chars().take(128).collect()),
            type_: Some(if event.reason.is_warning() { "Warning" } else { "Normal" }.to_owned()),
            ..Event::default()
        }
    }
}

/// Truncates a text to the maximum length of a note.
pub(crate) fn shortened(text: &str) -> String {
    const MORE: &str = "...";
    if text.len() <= NOTE {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(NOTE - MORE.len());
    format!("{}{MORE}", text.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::client::Body;
    use serde_json::Value;
    use std::collections::BTreeMap;

    fn shop() -> Regarding {
        regarding("team-a", "shop")
    }

    fn regarding(namespace: &str, name: &str) -> Regarding {
        Regarding::gateway(&Key { namespace: namespace.to_owned(), name: name.to_owned() }, "u")
    }

    fn event(regarding: Regarding, text: &str, occurrence: &str) -> NewEvent {
        NewEvent {
            regarding,
            reason: if occurrence.is_empty() {
                Reason::CertificateWithheld
            } else {
                Reason::CreateCertificate
            },
            text: text.to_owned(),
            occurrence: occurrence.to_owned(),
        }
    }

    /// An API server that keeps Events in memory.
    #[derive(Clone, Default)]
    struct Server(Arc<Mutex<Stored>>);

    #[derive(Default)]
    struct Stored {
        events: BTreeMap<String, Value>,
        /// `POST team-a`, `GET team-a` ..
        requests: Vec<String>,
        /// The namespaces in which no request is answered.
        hanging: Vec<String>,
        /// The status of the next answers.
        failures: Vec<u16>,
    }

    impl Server {
        fn client(&self) -> Client {
            let server = self.clone();
            let service = tower::service_fn(move |request: http::Request<Body>| {
                let server = server.clone();
                async move {
                    let (parts, body) = request.into_parts();
                    let body = body.collect_bytes().await.unwrap();
                    let (status, answer) = server.answer(&parts, &body).await;
                    let answer = Body::from(answer.to_string().into_bytes());
                    Ok::<_, std::convert::Infallible>(
                        http::Response::builder().status(status).body(answer).unwrap(),
                    )
                }
            });
            Client::new(service, "default")
        }

        async fn answer(&self, parts: &http::request::Parts, body: &[u8]) -> (u16, Value) {
            let path = parts.uri.path().trim_start_matches("/apis/events.k8s.io/v1/namespaces/").to_owned();
            let namespace = path.split('/').next().unwrap().to_owned();
            let body: Value = serde_json::from_slice(body).unwrap_or_default();
            let is_hanging = {
                let mut stored = self.0.lock().unwrap();
                stored.requests.push(format!("{} {namespace}", parts.method));
                stored.hanging.contains(&namespace)
            };
            if is_hanging {
                std::future::pending::<()>().await;
            }
            let mut stored = self.0.lock().unwrap();
            if let Some(code) = stored.failures.pop() {
                return (code, json!({"kind": "Status", "status": "Failure", "code": code, "message": "no"}));
            }
            match parts.method.as_str() {
                "POST" => {
                    let name = body["metadata"]["name"].as_str().unwrap();
                    stored.events.insert(format!("{namespace}/events/{name}"), body.clone());
                    (201, body)
                }
                "PATCH" => {
                    let event = stored.events.get_mut(&path).unwrap();
                    event["series"] = body["series"].clone();
                    (200, event.clone())
                }
                _ => match stored.events.get(&path) {
                    Some(event) => (200, event.clone()),
                    None => (
                        404,
                        json!({"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound"}),
                    ),
                },
            }
        }

        fn start(&self) -> (Events, JoinHandle<()>, watch::Sender<bool>) {
            let leads = watch::Sender::new(true);
            let (events, task) = Events::start(self.client(), Metrics::new().unwrap(), leads.subscribe());
            (events, task, leads)
        }

        fn requests(&self, request: &str) -> usize {
            self.0.lock().unwrap().requests.iter().filter(|found| *found == request).count()
        }

        /// The notes of all Events in a namespace, sorted.
        fn notes(&self, namespace: &str) -> Vec<String> {
            let stored = self.0.lock().unwrap();
            let events = stored.events.values().filter(|event| event["metadata"]["namespace"] == namespace);
            let mut notes: Vec<_> = events.map(|event| event["note"].as_str().unwrap().to_owned()).collect();
            notes.sort();
            notes
        }

        /// Makes all Events older.
        fn age(&self, by: Duration) {
            for event in self.0.lock().unwrap().events.values_mut() {
                let time = MicroTime(Timestamp::now() - by);
                if event["series"].is_object() {
                    event["series"]["lastObservedTime"] = json!(time);
                } else {
                    event["eventTime"] = json!(time);
                }
            }
        }
    }

    /// Lets the tasks run for that time, which costs none.
    async fn pass(time: Duration) {
        tokio::time::sleep(time).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_namespace_that_hangs_does_not_delay_the_others() {
        let server = Server::default();
        server.0.lock().unwrap().hanging = (0..3).map(|number| format!("bad-{number}")).collect();
        let (events, _task, _leads) = server.start();
        for number in 0..10 {
            for bad in 0..3 {
                events.publish(event(regarding(&format!("bad-{bad}"), "shop"), "a", &number.to_string()));
            }
        }
        for number in 0..20 {
            events.publish(event(regarding(&format!("good-{number}"), "shop"), "a", "1"));
        }
        pass(Duration::from_millis(10)).await;
        for number in 0..20 {
            assert_eq!(server.notes(&format!("good-{number}")), ["a"]);
        }
        assert_eq!(server.requests("POST bad-0"), 1, "one at a time");
        // The namespace answers again, and no Event is lost.
        server.0.lock().unwrap().hanging.clear();
        pass(TIMEOUT + Duration::from_secs(6)).await;
        assert_eq!(server.notes("bad-0").len(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_gateway_that_floods_does_not_delay_another_one() {
        let server = Server::default();
        let (events, _task, _leads) = server.start();
        let withheld = |number| Problem::from(format!("Certificate {number:04} withheld"));
        events.set_problems(&shop(), Reason::CertificateWithheld, (0..1_000).map(withheld).collect());
        for number in 0..1_000 {
            events.publish(event(shop(), "created", &number.to_string()));
        }
        events.publish(event(regarding("team-a", "other"), "other", "1"));
        pass(Duration::from_millis(10)).await;
        let notes = server.notes("team-a");
        assert!(notes.contains(&"other".to_owned()));
        assert_eq!(notes.iter().filter(|note| note.contains("withheld")).count(), 10, "{notes:?}");
        assert_eq!(notes.len(), 10 + 25 + 1);
        pass(Duration::from_secs(20)).await;
        let notes = server.notes("team-a");
        assert!(notes.iter().any(|note| note.starts_with("975 more Events were not written")), "{notes:?}");
        let text = events.0.metrics.text();
        assert!(text.contains("events_dropped_total{reason=\"limited\"} 975"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lasting_problem_is_refreshed_until_it_is_fixed() {
        let server = Server::default();
        let (events, _task, _leads) = server.start();
        let set = |texts: &[&str]| {
            let problems = texts.iter().map(|text| Problem::from((*text).to_owned())).collect();
            events.set_problems(&shop(), Reason::CertificateWithheld, problems);
        };
        let series = || {
            let stored = server.0.lock().unwrap();
            stored.events.values().map(|event| event["series"]["count"].clone()).collect::<Vec<_>>()
        };
        set(&["a"]);
        set(&["a"]);
        pass(Duration::from_secs(60)).await;
        assert_eq!((server.requests("POST team-a"), series()), (1, vec![Value::Null]));
        for count in [2, 3] {
            server.age(REFRESH);
            pass(REFRESH).await;
            assert_eq!(series(), [json!(count)]);
        }
        // The API server has forgotten it.
        server.0.lock().unwrap().events.clear();
        pass(REFRESH).await;
        assert_eq!(server.notes("team-a"), ["a"]);
        let before = server.0.lock().unwrap().requests.len();
        set(&[]);
        pass(REFRESH * 3).await;
        assert_eq!(server.0.lock().unwrap().requests.len(), before);
    }

    #[tokio::test(start_paused = true)]
    async fn a_restart_writes_no_event_again() {
        let server = Server::default();
        for expected in [1, 1] {
            let (events, task, _leads) = server.start();
            events.set_problems(&shop(), Reason::CertificateWithheld, vec![Problem::from("a".to_owned())]);
            events.finish(task).await;
            assert_eq!(server.requests("POST team-a"), expected);
            assert_eq!(server.requests("PATCH team-a"), 0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_write_is_tried_again_and_a_rejected_one_is_not() {
        let server = Server::default();
        let (events, _task, _leads) = server.start();
        server.0.lock().unwrap().failures = vec![429, 503];
        events.publish(event(shop(), "a", "1"));
        events.publish(event(shop(), "b", "1"));
        pass(Duration::from_secs(60)).await;
        assert_eq!(server.notes("team-a"), ["a", "b"]);
        assert_eq!(server.requests("POST team-a"), 4);
        server.0.lock().unwrap().failures = vec![403];
        events.publish(event(shop(), "c", "1"));
        pass(Duration::from_secs(600)).await;
        assert_eq!(server.requests("POST team-a"), 5);
        server.0.lock().unwrap().failures = vec![500; 100];
        events.publish(event(shop(), "d", "1"));
        pass(Duration::from_secs(600)).await;
        assert_eq!(server.requests("POST team-a"), 5 + ATTEMPTS as usize);
        let text = events.0.metrics.text();
        for reason in ["rejected", "failed"] {
            assert!(text.contains(&format!("events_dropped_total{{reason=\"{reason}\"}} 1")), "{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_leader_writes() {
        let server = Server::default();
        let (events, _task, leads) = server.start();
        leads.send_replace(false);
        events.publish(event(shop(), "a", "1"));
        events.publish(event(shop(), "a", ""));
        pass(Duration::from_secs(60)).await;
        assert_eq!(server.0.lock().unwrap().requests, [""; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_end_the_queue_is_written() {
        let server = Server::default();
        let (events, task, _leads) = server.start();
        for number in 0..100 {
            events.publish(event(regarding(&format!("n{number}"), "shop"), "a", "1"));
        }
        let start = Instant::now();
        events.finish(task).await;
        assert_eq!(server.0.lock().unwrap().events.len(), 100);
        assert!(start.elapsed() < LAST_EVENTS, "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn the_object_is_a_gateway_or_the_lease() {
        let server = Server::default();
        let (events, task, _leads) = server.start();
        let key = Key { namespace: "system".to_owned(), name: "lease".to_owned() };
        let suspended = vec![Problem::from("too many".to_owned())];
        events.set_problems(&Regarding::lease(&key, "l"), Reason::DeletionsSuspended, suspended);
        events.publish(event(shop(), "a", "1"));
        events.finish(task).await;
        let stored = server.0.lock().unwrap();
        let found: Vec<_> = stored.events.values().collect();
        assert_eq!(
            (&found[0]["regarding"], &found[0]["type"], &found[0]["action"]),
            (
                &json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "namespace": "system", "name": "lease", "uid": "l"}),
                &json!("Warning"),
                &json!("Delete")
            )
        );
        assert_eq!(found[1]["regarding"]["kind"], "Gateway");
        assert_eq!(
            (&found[1]["reason"], &found[1]["action"]),
            (&json!("CreateCertificate"), &json!("Create"))
        );
    }

    #[test]
    fn the_name_is_derived_from_the_content() {
        let name = |text, occurrence| event(shop(), text, occurrence).name();
        assert_eq!(name("a", ""), name("a", ""));
        assert_ne!(name("a", ""), name("b", ""));
        assert_ne!(name("a", "1"), name("a", "2"));
        assert!(name("a", "").starts_with("shop."));
        assert!(event(regarding("team-a", &"g".repeat(253)), "a", "").name().len() <= 253);
    }

    #[test]
    fn a_long_note_is_truncated() {
        assert_eq!(shortened("a"), "a");
        let cut = shortened(&"ä".repeat(1000));
        assert!(cut.len() <= NOTE && cut.len() > NOTE - 4 && cut.ends_with("..."), "{}", cut.len());
    }

    #[test]
    fn all_reasons_are_listed_once() {
        let mut sorted = Reason::ALL.to_vec();
        sorted.sort();
        sorted.dedup();
        assert_eq!(sorted.len(), Reason::ALL.len());
        assert_eq!(sorted.last(), Some(&Reason::EventsSuppressed), "the last variant");
    }
}
