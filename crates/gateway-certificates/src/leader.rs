//! Leader election by a Lease: one replica works, the others are ready to.

use std::pin::pin;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::Client;
use kube::api::Api;
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder, LeaseManagerError};
use tokio::sync::watch;

use crate::said::said;

/// How long a Lease holds without being renewed, in seconds.
const DURATION: u64 = 15;
/// How long before its end it is renewed, in seconds.
const GRACE: u64 = 10;
/// The longest that a request for the Lease may take: less than what is left when a renewal is due.
pub const TIMEOUT: Duration = Duration::from_millis(1500);
/// After a failure, how long nothing further has to fail until the Lease counts as renewed. A
/// renewal is two requests.
const SETTLED: Duration = Duration::from_secs(4);

/// How often a replica that waits looks whether the Lease has been released.
const LOOK: Duration = Duration::from_secs(2);

/// Where the Lease is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Joins the election. `client` has to give up on requests after [`TIMEOUT`].
///
/// # Errors
/// Where the Lease can neither be read nor created.
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

/// Takes part in the election and tells who leads, for good.
///
/// The manager says when the Lease changes hands, and when it cannot be renewed, but not when that
/// is over. Work rests from the first failure until the manager has had time to fail again and did
/// not: it renews long before the Lease ends, so that nobody else leads meanwhile.
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
                tracing::info!(leads = now, "the Lease changed hands");
                holds = now;
                leads.send_replace(now);
            }
            Err(error) => {
                tracing::warn!(error = said(&error), "the Lease cannot be read or renewed");
                leads.send_replace(false);
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// Ends when nobody holds the Lease while this replica does not lead.
///
/// The manager of a replica that waits sleeps until the Lease would have run out, and does not see
/// that it was released before. Whoever joins anew gets it at once.
pub async fn vacancy(client: Client, lease: &LeaseName, leads: &watch::Sender<bool>) {
    let leases: Api<Lease> = Api::namespaced(client, &lease.namespace);
    loop {
        tokio::time::sleep(LOOK).await;
        if *leads.borrow() {
            continue;
        }
        // An API server that does not answer is the manager's to tell.
        let Ok(found) = leases.get_opt(&lease.name).await else { continue };
        let holder = found.and_then(|lease| lease.spec).and_then(|spec| spec.holder_identity);
        if holder.is_none_or(|holder| holder.is_empty()) {
            return;
        }
    }
}
