//! Events on Gateways: Certificates that are created, changed, deleted or withheld.
//!
//! kube-runtime's Recorder counts repetitions only in memory, so after a restart it would report every
//! rejection again. Here the name of a rejection's Event is derived from its content, and an Event that
//! still exists is not written again.

use std::time::Duration;

use certificate_shim::owner::hash;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::fields::MANAGER;
use crate::leader::NotLeading;
use crate::message::message;
use crate::metrics::Metrics;
use crate::objects::Key;

/// The maximum length of a note in bytes (`noteLengthLimit` in Kubernetes' pkg/apis/events/validation).
const NOTE: usize = 1024;
/// The maximum number of Events that wait to be written.
const WAITING: usize = 20_000;
/// The time to write the remaining Events when the controller stops.
pub const LAST_WORDS: Duration = Duration::from_secs(10);

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
    /// A Certificate that the controller did not create was taken over.
    CertificateAdopted,
    /// A Certificate is kept although it is not planned, because a server still names its Secret.
    CertificateKept,
    /// The Gateway is paused by its annotation.
    Paused,
    /// Requests for the Gateway fail for a while.
    SyncFailed,
    /// The Pods that the Gateway selects run in other namespaces than the settings say.
    PlacementMismatch,
}

impl Reason {
    /// The word in the Event.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::CreateCertificate => "CreateCertificate",
            Reason::UpdateCertificate => "UpdateCertificate",
            Reason::DeleteCertificate => "DeleteCertificate",
            Reason::CertificateWithheld => "CertificateWithheld",
            Reason::CertificateAdopted => "CertificateAdopted",
            Reason::CertificateKept => "CertificateKept",
            Reason::Paused => "Paused",
            Reason::SyncFailed => "SyncFailed",
            Reason::PlacementMismatch => "PlacementMismatch",
        }
    }

    fn is_warning(self) -> bool {
        matches!(
            self,
            Reason::CertificateWithheld
                | Reason::CertificateKept
                | Reason::SyncFailed
                | Reason::PlacementMismatch
        )
    }
}

/// An Event to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayEvent {
    /// The Gateway.
    pub gateway: Key,
    /// Its uid.
    pub uid: String,
    /// The reason.
    pub reason: Reason,
    /// The text.
    pub text: String,
    /// Distinguishes Events with the same text: the resourceVersion of the written object. Empty for a
    /// problem that persists until it is fixed.
    pub occurrence: String,
}

impl GatewayEvent {
    /// The name of the Event: the name of the Gateway, truncated if necessary, and a hash of the content.
    fn name(&self) -> String {
        let message = format!("{}/{}/{}/{}", self.uid, self.reason.as_str(), self.occurrence, self.text);
        let gateway: String = self.gateway.name.chars().take(200).collect();
        format!("{}.{}", gateway.trim_end_matches(['.', '-']), hash(&self.gateway.to_string(), &message))
    }
}

/// Queues Events and writes them one after the other.
#[derive(Debug, Clone)]
pub struct Events {
    sender: mpsc::Sender<GatewayEvent>,
    metrics: Metrics,
}

impl Events {
    /// Starts the task that writes Events. It ends when the last sender is dropped.
    pub fn start(client: Client, api_version: String, metrics: Metrics) -> (Self, JoinHandle<()>) {
        let (sender, mut notes) = mpsc::channel::<GatewayEvent>(WAITING);
        let instance = std::env::var("HOSTNAME").unwrap_or_else(|_| MANAGER.to_owned());
        let counted = metrics.clone();
        let task = tokio::spawn(async move {
            while let Some(note) = notes.recv().await {
                if let Err(error) = write(&client, &api_version, &instance, &note, &counted).await
                    && !NotLeading::is_cause_of(&error)
                {
                    counted.events_dropped.inc();
                    tracing::warn!(gateway = %note.gateway, reason = note.reason.as_str(), error = message(&error), "cannot write the Event");
                }
            }
        });
        (Events { sender, metrics }, task)
    }

    /// Queues an Event. It is dropped if too many Events wait.
    pub fn publish(&self, note: GatewayEvent) {
        tracing::info!(gateway = %note.gateway, reason = note.reason.as_str(), note = note.text, "event");
        if self.sender.try_send(note).is_err() {
            self.metrics.events_dropped.inc();
        }
    }

    /// Waits until the queued Events are written, but at most for a few seconds.
    pub async fn finish(self, task: JoinHandle<()>) {
        drop(self);
        let _ = tokio::time::timeout(LAST_WORDS, task).await;
    }
}

async fn write(
    client: &Client,
    api_version: &str,
    instance: &str,
    note: &GatewayEvent,
    metrics: &Metrics,
) -> kube::Result<()> {
    let name = note.name();
    let api: Api<Event> = Api::namespaced(client.clone(), &note.gateway.namespace);
    if note.occurrence.is_empty() && api.get_metadata_opt(&name).await?.is_some() {
        return Ok(());
    }
    let event = Event {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: Some(note.gateway.namespace.clone()),
            ..ObjectMeta::default()
        },
        action: Some(note.reason.as_str().to_owned()),
        event_time: Some(MicroTime(Timestamp::now())),
        note: Some(shortened(&note.text)),
        reason: Some(note.reason.as_str().to_owned()),
        regarding: Some(ObjectReference {
            api_version: Some(api_version.to_owned()),
            kind: Some("Gateway".to_owned()),
            namespace: Some(note.gateway.namespace.clone()),
            name: Some(note.gateway.name.clone()),
            uid: Some(note.uid.clone()),
            ..ObjectReference::default()
        }),
        reporting_controller: Some(MANAGER.to_owned()),
        reporting_instance: Some(instance.chars().take(128).collect()),
        type_: Some(if note.reason.is_warning() { "Warning" } else { "Normal" }.to_owned()),
        ..Event::default()
    };
    let parameters = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
    let outcome = api.create(&parameters, &event).await;
    metrics.wrote("events", "create", outcome.is_ok());
    match outcome {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        Err(error) => Err(error),
    }
}

/// Truncates a text to the maximum length of a note.
fn shortened(text: &str) -> String {
    const MORE: &str = "...";
    if text.len() <= NOTE {
        return text.to_owned();
    }
    let end = text.char_indices().map(|(at, _)| at).take_while(|at| *at <= NOTE - MORE.len()).last();
    format!("{}{MORE}", text.get(..end.unwrap_or_default()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(text: &str, occurrence: &str) -> GatewayEvent {
        GatewayEvent {
            gateway: Key { namespace: "team-a".to_owned(), name: "shop".to_owned() },
            uid: "u".to_owned(),
            reason: Reason::CertificateWithheld,
            text: text.to_owned(),
            occurrence: occurrence.to_owned(),
        }
    }

    #[test]
    fn the_name_is_derived_from_the_content() {
        assert_eq!(note("a", "").name(), note("a", "").name());
        assert_ne!(note("a", "").name(), note("b", "").name());
        assert_ne!(note("a", "1").name(), note("a", "2").name());
        assert!(note("a", "").name().starts_with("shop."));
        let mut long = note("a", "");
        long.gateway.name = "g".repeat(253);
        assert!(long.name().len() <= 253);
    }

    #[test]
    fn a_long_note_is_truncated() {
        assert_eq!(shortened("a"), "a");
        let cut = shortened(&"ä".repeat(1000));
        assert!(cut.len() <= NOTE && cut.len() > NOTE - 4 && cut.ends_with("..."), "{}", cut.len());
    }
}
