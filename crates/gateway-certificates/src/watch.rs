//! Watches: one task a kind, which finds out how it is served, follows it into the caches, and starts
//! anew when the API server serves it differently.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use kube::Client;
use kube::api::{Api, DynamicObject, PartialObjectMeta};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use serde_json::Value;

use crate::cache::{self, Caches, State};
use crate::kinds::{Kind, Role, Served, discover};
use crate::queue::Queue;
use crate::said::said;

/// How often a kind that is not served is asked for.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// How many objects a page of a list has. Small pages keep the peak of memory low.
const PAGE: u32 = 250;

/// Follows the kind at that index of the caches' kinds, for good.
pub async fn follow(client: Client, caches: Caches, index: usize, queue: Queue) {
    let Some(kind) = caches.kinds().get(index).cloned() else { return };
    loop {
        match discover(&client, &kind).await {
            Ok(Some(served)) => {
                tracing::info!(kind = kind.resource(), version = served.resource.api_version, "watching");
                caches.set_served(index, Some(served.clone()));
                let why = listen(&client, &caches, index, &kind, &served, &queue).await;
                tracing::info!(kind = kind.resource(), why, "looking how it is served");
            }
            Ok(None) => {
                caches.set_served(index, None);
                queue.add_all(caches.set_state(index, State::NotServed));
                tracing::debug!(kind = kind.resource(), "not served");
            }
            Err(error) => tracing::warn!(kind = kind.resource(), error = said(&error), "discovery failed"),
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

/// Takes the events of one version until it is served no more; why that is assumed.
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
            Some(Err(error)) => match code(&error) {
                Some(404) => {
                    queue.add_all(caches.set_state(index, State::Pending));
                    return said(&error);
                }
                Some(403) => {
                    tracing::error!(
                        kind = kind.resource(),
                        error = said(&error),
                        "grant list and watch on it to this ServiceAccount"
                    );
                    queue.add_all(caches.set_state(index, State::Denied(said(&error))));
                }
                // A resource version that is too old: it lists again.
                Some(410) => {
                    tracing::debug!(kind = kind.resource(), error = said(&error), "the watch starts again")
                }
                _ => {
                    tracing::warn!(
                        kind = kind.resource(),
                        error = said(&error),
                        "the watch failed, it is tried again"
                    );
                    // For a version that is not served any more there is no Status, only text.
                    if let Ok(now) = discover(client, kind).await
                        && now.as_ref() != Some(served)
                    {
                        queue.add_all(caches.set_state(index, State::Pending));
                        return said(&error);
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
        // Their metadata is all that is read.
        Role::Namespaces | Role::Pods => {
            let api = Api::<PartialObjectMeta<DynamicObject>>::all_with(client, &served.resource);
            let whole = |event: watcher::Result<Event<_>>| event.map(|event| cache::map(event, whole));
            watcher(api, config).default_backoff().map(whole).boxed()
        }
    }
}

fn whole(partial: PartialObjectMeta<DynamicObject>) -> DynamicObject {
    DynamicObject { types: None, metadata: partial.metadata, data: Value::Null }
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
