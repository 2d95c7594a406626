//! Watches: one task per kind. It discovers the served versions, applies the events to the caches, and
//! restarts when the served versions change.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use kube::Client;
use kube::api::{Api, DynamicObject, PartialObjectMeta};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use serde_json::Value;

use crate::cache::{Caches, State};
use crate::kinds::{Kind, Role, Served, discover};
use crate::message::message;
use crate::queue::Queue;
use crate::store;

/// The interval of discovery for a kind that is not served.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// The page size of lists. Small pages keep the peak memory low.
const PAGE: u32 = 250;

/// Watches the kind at that index of the caches' kinds, forever.
pub async fn follow(client: Client, caches: Caches, index: usize, queue: Queue) {
    let Some(kind) = caches.kinds().get(index).cloned() else { return };
    loop {
        match discover(&client, &kind).await {
            Ok(Some(served)) => {
                tracing::info!(kind = kind.resource(), version = served.resource.api_version, "watching");
                caches.set_served(index, Some(served.clone()));
                let why = listen(&client, &caches, index, &kind, &served, &queue).await;
                tracing::info!(kind = kind.resource(), why, "rediscovering the served versions");
            }
            Ok(None) => {
                caches.set_served(index, None);
                queue.add_all(caches.set_state(index, State::NotServed));
                tracing::debug!(kind = kind.resource(), "not served");
            }
            Err(error) => tracing::warn!(kind = kind.resource(), error = message(&error), "discovery failed"),
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

/// Applies the events of one version until it is no longer served. Returns the reason for that assumption.
async fn listen(
    client: &Client,
    caches: &Caches,
    index: usize,
    kind: &Kind,
    served: &Served,
    queue: &Queue,
) -> String {
    let mut events = events(client, kind, served);
    loop {
        match events.next().await {
            Some(Ok(event)) => queue.add_all(caches.apply(index, event)),
            Some(Err(error)) => match failed(caches, index, &error) {
                Some(404) => {
                    queue.add_all(caches.set_state(index, State::Pending));
                    return message(&error);
                }
                Some(403) => {
                    tracing::error!(
                        kind = kind.resource(),
                        error = message(&error),
                        "list or watch is forbidden: grant both to this ServiceAccount"
                    );
                    queue.add_all(caches.set_state(index, State::Denied(message(&error))));
                }
                // The resource version is too old, so the kind is listed again.
                Some(410) => {
                    tracing::debug!(kind = kind.resource(), error = message(&error), "restarting the watch")
                }
                _ => {
                    tracing::warn!(
                        kind = kind.resource(),
                        error = message(&error),
                        "the watch failed, will retry"
                    );
                    // The error for a version that is no longer served is text, not a Status.
                    if let Ok(now) = discover(client, kind).await
                        && now.as_ref() != Some(served)
                    {
                        queue.add_all(caches.set_state(index, State::Pending));
                        return message(&error);
                    }
                }
            },
            None => return "the watch ended".to_owned(),
        }
    }
}

type Events = BoxStream<'static, watcher::Result<Event<DynamicObject>>>;

fn events(client: &Client, kind: &Kind, served: &Served) -> Events {
    let config = watcher::Config::default().page_size(PAGE);
    let client = client.clone();
    match kind.role {
        Role::Gateways | Role::Certificates | Role::Issuers => {
            watcher(Api::all_with(client, &served.resource), config).default_backoff().boxed()
        }
        // Only their metadata is read.
        Role::Namespaces | Role::Pods => {
            let api = Api::<PartialObjectMeta<DynamicObject>>::all_with(client, &served.resource);
            let whole = |event: watcher::Result<Event<_>>| event.map(|event| store::map(event, whole));
            watcher(api, config).default_backoff().map(whole).boxed()
        }
    }
}

fn whole(partial: PartialObjectMeta<DynamicObject>) -> DynamicObject {
    DynamicObject { types: None, metadata: partial.metadata, data: Value::Null }
}

/// Counts the error and returns its HTTP status.
fn failed(caches: &Caches, index: usize, error: &watcher::Error) -> Option<u16> {
    caches.watch_failed(index);
    code(error)
}

fn code(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status)) => Some(status.code),
        watcher::Error::WatchError(status) => Some(status.code),
        _ => None,
    }
}
