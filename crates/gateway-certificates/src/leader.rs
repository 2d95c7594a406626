//! Leader election with a Lease: one replica works, the others are ready to take over.

use std::pin::pin;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::Client;
use kube::api::Api;
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder, LeaseManagerError};
use tokio::sync::watch;

use crate::message::message;

/// The duration of the Lease, in seconds.
const DURATION: u64 = 15;
/// The time between the renewal and the expiry of the Lease, in seconds.
const GRACE: u64 = 10;
/// The timeout of requests for the Lease, which is shorter than the time left for a renewal.
pub const TIMEOUT: Duration = Duration::from_millis(1500);
/// The time without another failure after which the Lease counts as renewed. A renewal is two
/// requests.
const SETTLED: Duration = Duration::from_secs(4);

/// The interval at which a waiting replica checks whether the Lease has been released.
const LOOK: Duration = Duration::from_secs(2);

/// The namespace and name of the Lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Joins the election. Requests of `client` must time out after [`TIMEOUT`].
///
/// # Errors
/// The Lease can neither be read nor created.
pub async fn join(
    client: Client,
    lease: &LeaseName,
    identity: &str,
) -> Result<LeaseManager, LeaseManagerError> {
    LeaseManagerBuilder::new(client, &lease.name)
        .with_namespace(&lease.namespace)
        .with_identity(identity)
        .with_duration(DURATION)
        .with_grace(GRACE)
        .build()
        .await
}

/// Takes part in the election and updates `leads`, forever.
///
/// The manager reports a change of leadership, and a failed renewal, but not the next successful
/// renewal. Work is therefore paused after a failure until the manager has had time to fail again and
/// did not. It renews the Lease long before it expires, so no other replica can lead meanwhile.
pub async fn take_part(manager: &LeaseManager, leads: &watch::Sender<bool>) {
    let mut holds = false;
    loop {
        let mut changed = pin!(manager.changed());
        let outcome = loop {
            let is_resting = holds && !*leads.borrow();
            tokio::select! {
                outcome = &mut changed => break outcome,
                () = tokio::time::sleep(SETTLED), if is_resting => {
                    tracing::info!("the Lease is renewed again");
                    leads.send_replace(true);
                }
            }
        };
        match outcome {
            Ok(now) => {
                tracing::info!(leads = now, "leadership changed");
                holds = now;
                leads.send_replace(now);
            }
            Err(error) => {
                tracing::warn!(error = message(&error), "cannot read or renew the Lease");
                leads.send_replace(false);
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// Ends when the Lease has no holder while this replica does not lead.
///
/// The manager of a waiting replica sleeps until the Lease would expire, and does not notice that it
/// was released earlier. A replica that joins again gets it immediately.
pub async fn vacancy(client: Client, lease: &LeaseName, leads: &watch::Sender<bool>) {
    let leases: Api<Lease> = Api::namespaced(client, &lease.namespace);
    loop {
        tokio::time::sleep(LOOK).await;
        if *leads.borrow() {
            continue;
        }
        // The manager reports an API server that does not answer.
        let Ok(found) = leases.get_opt(&lease.name).await else { continue };
        let holder = found.and_then(|lease| lease.spec).and_then(|spec| spec.holder_identity);
        if holder.is_none_or(|holder| holder.is_empty()) {
            return;
        }
    }
}
