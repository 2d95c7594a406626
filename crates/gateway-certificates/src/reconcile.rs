//! The reconciliation of one Gateway: carries out the decision and reports it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use certificate_shim::owner::{PAUSED, fnv1a};
use certificate_shim::plan::SecretName;
use gateway_rules::Settings;
use kube::ResourceExt;
use kube::api::DynamicObject;

use crate::cache::Caches;
use crate::decide::{Decision, Surplus, Target, Why, Withheld, decide, foreign};
use crate::deletions::{Deletions, Permission};
use crate::desired::Violation;
use crate::events::{Events, NewEvent, Problem, Reason, Regarding, Subject};
use crate::kinds::{Role, Served};
use crate::metrics::{Deleted, Metrics};
use crate::objects::{Key, ObservedCertificate, ObservedGateway};
use crate::patience::{Concern, Patience};
use crate::queue::{Due, Next};
use crate::readiness::Changes;
use crate::status::{Condition, GatewayStatus};
use crate::writes::{ApiError, Changed, SecretState, Writer};

/// The reasons of problems that last.
const LASTING: [Reason; 4] =
    [Reason::CertificateWithheld, Reason::CertificateKept, Reason::Paused, Reason::SyncFailed];

/// Reconciles Gateways.
#[derive(Clone)]
pub struct Reconciler {
    /// The caches.
    pub caches: Caches,
    /// The policy's settings.
    pub settings: Arc<Settings>,
    /// Writes Certificates.
    pub writer: Writer,
    /// Writes Events.
    pub events: Events,
    /// The metrics.
    pub metrics: Metrics,
    /// The rules that are violated, and the Certificates that the API server rejected.
    pub reported: Reported,
    /// How long conditions have lasted.
    pub patience: Patience,
    /// The bound on deletions.
    pub deletions: Deletions,
    /// Whether Certificates are deleted at all.
    pub deletes: bool,
    /// The readiness of Certificates that has been reported.
    pub changes: Changes,
    /// Writes the status of Gateways, with `--gateway-status`.
    pub status: Option<GatewayStatus>,
    /// Whether Secrets in a Gateway's own namespace are checked too.
    pub check_own_secrets: bool,
}

/// The outcome of a reconciliation. If there are several, the last one in this list is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Unchanged,
    Withheld,
    Deleted,
    Changed,
    Created,
    Stale,
    Failed,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Outcome::Unchanged => "unchanged",
            Outcome::Withheld => "withheld",
            Outcome::Deleted => "deleted",
            Outcome::Changed => "changed",
            Outcome::Created => "created",
            Outcome::Stale => "stale",
            Outcome::Failed => "failed",
        }
    }
}

/// The state of one reconciliation.
struct Reconciliation<'r> {
    reconciler: &'r Reconciler,
    key: &'r Key,
    uid: String,
    outcome: Outcome,
    withheld: Vec<Withheld>,
    /// Other messages that hold until something changes.
    remarks: Vec<(Reason, String)>,
    /// Secrets whose Certificates the API server rejected.
    rejected: BTreeSet<SecretName>,
    /// The conditions that must last before something happens.
    concerns: BTreeSet<Concern>,
    /// Whether it must be reconciled again even if nothing changes.
    again: bool,
    /// Whether this replica does not lead any more. Nothing is written or reported then.
    is_over: bool,
    /// Namespaces in which a request failed. No more requests are sent there this time, since each one
    /// can take half a minute to fail.
    failing: BTreeSet<String>,
    /// The last failure.
    failure: Option<String>,
}

impl Reconciler {
    /// Reconciles one Gateway, which does not have to exist.
    pub async fn reconcile(&self, due: &Due) -> Next {
        let _timer = self.metrics.time_reconcile(due.due_for);
        let key = &due.key;
        let view = self.caches.view(key);
        let mut reconciliation = Reconciliation {
            reconciler: self,
            key,
            uid: view.gateway.as_ref().map(|gateway| gateway.uid.clone()).unwrap_or_default(),
            outcome: Outcome::Unchanged,
            withheld: Vec::new(),
            remarks: Vec::new(),
            rejected: BTreeSet::new(),
            concerns: BTreeSet::new(),
            again: false,
            is_over: false,
            failing: BTreeSet::new(),
            failure: None,
        };
        match &view.gateway {
            Some(gateway) => {
                let decision = self.decide(Arc::clone(gateway), view.certificates.clone()).await;
                reconciliation.act(gateway, decision).await;
                reconciliation.show(gateway, &view.certificates).await;
            }
            // Kubernetes deletes those with an owner reference, and one that lost it is kept: its Gateway was
            // deleted with `--cascade=orphan`.
            None => {
                let elsewhere = view.certificates.iter().filter(|certificate| {
                    self.deletes
                        && certificate.is_ours()
                        && !certificate.is_deleting
                        && !certificate.is_garbage_collected()
                        && certificate.name.namespace != key.namespace
                });
                for certificate in elsewhere {
                    reconciliation.delete_orphan(certificate).await;
                }
            }
        }
        self.deletions.review(|| self.caches.losses()).await;
        reconciliation.end(view.gateway.is_some())
    }

    /// Decides on another thread, since a Gateway with a thousand Secrets takes a while.
    async fn decide(
        &self,
        gateway: Arc<ObservedGateway>,
        certificates: Vec<Arc<ObservedCertificate>>,
    ) -> Decision {
        let (caches, settings, reported) =
            (self.caches.clone(), Arc::clone(&self.settings), self.reported.clone());
        let decision = tokio::task::spawn_blocking(move || {
            let was_rejected = |key: &Key, secret: &SecretName| reported.was_rejected(key, secret);
            decide(&gateway, &certificates, &caches, &settings, &was_rejected)
        });
        match decision.await {
            Ok(decision) => decision,
            // A thread is never cancelled.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

impl Reconciliation<'_> {
    async fn act(&mut self, gateway: &ObservedGateway, decision: Decision) {
        self.withheld = decision.withheld;
        self.again = decision.again;
        if gateway.is_paused {
            let text = format!(
                "Certificates are neither written nor deleted, because of the annotation {PAUSED}. Remove it to continue."
            );
            self.remarks.push((Reason::Paused, text));
        }
        if !decision.kept.is_empty() {
            self.remarks.push((Reason::CertificateKept, kept(gateway, &decision.kept)));
        }
        for target in &decision.create {
            self.create(gateway, target).await;
        }
        for target in &decision.change {
            self.change(target).await;
        }
        for surplus in decision.delete.iter().filter(|_| self.reconciler.deletes) {
            self.delete_surplus(gateway, surplus).await;
        }
    }

    async fn create(&mut self, gateway: &ObservedGateway, target: &Target) {
        let Target { secret, body, .. } = target;
        let Some(served) = self.served(Role::Certificates, secret) else { return };
        let is_elsewhere = secret.namespace != gateway.key.namespace;
        if (is_elsewhere || self.reconciler.check_own_secrets) && !self.is_free(secret).await {
            return;
        }
        match self.reconciler.writer.create(&served.resource, body).await {
            Ok(created) => {
                if !self.reconciler.writer.is_dry_run() {
                    self.reconciler.caches.expect(secret);
                }
                self.reached(Outcome::Created);
                let issuer = &body["spec"]["issuerRef"];
                let kind = issuer["kind"].as_str().unwrap_or_default();
                let name = issuer["name"].as_str().unwrap_or_default();
                let text = format!("Created Certificate {secret} ({kind} {name})");
                self.tell(Reason::CreateCertificate, text, &created);
            }
            Err(error) => self.failed(secret, error),
        }
    }

    /// Whether a Secret may be written. If not, the rejection is recorded.
    async fn is_free(&mut self, secret: &SecretName) -> bool {
        let violation = match self.reconciler.writer.secret(secret).await {
            Ok(SecretState::Free) => return true,
            Ok(SecretState::Foreign(reason)) => Violation::new(
                "secret-not-issued",
                format!("the Secret {secret} already exists, and {reason}"),
                "Use another Secret, or delete the existing one.",
            ),
            Ok(SecretState::Unchecked(_)) if !self.has_lasted(Concern::Forbidden) => {
                self.reached(Outcome::Stale);
                return false;
            }
            Ok(SecretState::Unchecked(message)) => Violation::new(
                "secret-unchecked",
                format!("the owner of the Secret {secret} cannot be checked ({message})"),
                format!(
                    "Platform team: grant get on secrets in {} to the controller's ServiceAccount.",
                    secret.namespace
                ),
            ),
            Err(error) => {
                self.failed(secret, error);
                return false;
            }
        };
        self.withheld.push(Withheld::one(secret, violation).retried());
        false
    }

    async fn change(&mut self, target: &Target) {
        let Target { certificate, body, field, is_claimed, .. } = target;
        let Some(served) = self.served(Role::Certificates, certificate) else { return };
        let patience = &self.reconciler.patience;
        let desired = fnv1a(body.to_string().bytes());
        if let Some(others) = patience.truce(certificate, &desired) {
            self.withheld.push(Withheld::one(certificate, contested(certificate, &others)).retried());
            return;
        }
        match self.reconciler.writer.change(&served.resource, self.key, body).await {
            Ok(Changed::Made { now, others }) => {
                patience.restored(certificate, &desired, others);
                self.reached(Outcome::Changed);
                if *is_claimed {
                    let text =
                        format!("Adopted Certificate {certificate}, which names this Gateway as its owner");
                    self.tell(Reason::CertificateAdopted, text, &now);
                } else {
                    let text = format!("Changed Certificate {certificate} ({field})");
                    self.tell(Reason::UpdateCertificate, text, &now);
                }
            }
            // The cache is out of date.
            Ok(Changed::Already) => {}
            Ok(Changed::Foreign) => {
                let problem = format!("the Certificate {certificate} no longer belongs to this Gateway");
                self.withheld.push(Withheld::one(certificate, foreign(problem)).retried());
            }
            Ok(Changed::Undone(field)) => {
                let violation = Violation::new(
                    "write-rejected",
                    format!("{field} of the Certificate {certificate} is reverted after each write"),
                    "Find the webhook or controller that reverts it, or update cert-manager's CustomResourceDefinitions.",
                );
                self.withheld.push(Withheld::one(certificate, violation).retried());
            }
            Err(error) => self.failed(certificate, error),
        }
    }

    /// Deletes a Certificate that its Gateway does not need, if a live request for the Gateway confirms that.
    async fn delete_surplus(&mut self, gateway: &ObservedGateway, surplus: &Surplus) {
        let Surplus { certificate, why } = surplus;
        let Some((gateways, certificates)) = self.served_both(&certificate.name) else { return };
        let live = match self.live(&gateways).await {
            Ok(Some(live)) if live.gives_up(certificate) => live,
            // It is gone, being deleted or paused, or cannot be read: the watch delivers that.
            Ok(_) => return,
            Err(error) => return self.failed(&certificate.name, error),
        };
        let is_confirmed = match why {
            Why::Unnamed => !live.names(&certificate.secret_name),
            Why::Replaced => live.planned == gateway.planned,
        };
        if !is_confirmed {
            // The cache is out of date.
            self.again = true;
            return;
        }
        if *why == Why::Unnamed && !self.may_lose().await {
            return;
        }
        let why = match why {
            Why::Unnamed => Deleted::NotRequested,
            Why::Replaced => Deleted::Replaced,
        };
        self.delete(&certificates, certificate, why).await;
    }

    /// Whether the Gateway, which exists, may lose a Certificate now.
    async fn may_lose(&mut self) -> bool {
        if !self.has_lasted(Concern::Unnamed) {
            return false;
        }
        let Reconciler { deletions, caches, .. } = self.reconciler;
        match deletions.ask(self.key, || caches.losses()).await {
            Ok(Permission::Granted) => true,
            Ok(Permission::Suspended(text)) => {
                self.again = true;
                tracing::debug!(gateway = %self.key, suspended = text, "the deletion is suspended");
                false
            }
            Err(error) => {
                self.again = true;
                self.reached(Outcome::Failed);
                tracing::warn!(gateway = %self.key, %error, "cannot record the deletion on the Lease, will retry");
                false
            }
        }
    }

    /// Deletes a Certificate in another namespace, if live requests confirm that its Gateway is gone.
    async fn delete_orphan(&mut self, certificate: &ObservedCertificate) {
        let Some((gateways, certificates)) = self.served_both(&certificate.name) else { return };
        match self.live(&gateways).await {
            Ok(None) => {}
            // The cache is out of date.
            Ok(Some(_)) => {
                self.again = true;
                return;
            }
            Err(error) => return self.failed(&certificate.name, error),
        }
        if !self.has_lasted(Concern::Gone) {
            return;
        }
        // Gateways that are deleted with their CustomResourceDefinition do not count as deleted.
        match self.reconciler.writer.can_be_created(&gateways.resource).await {
            Ok(true) => self.delete(&certificates, certificate, Deleted::GatewayGone).await,
            Ok(false) => {
                let error = ApiError::Failed("Istio's Gateways are no longer served".to_owned());
                self.failed(&certificate.name, error);
            }
            Err(error) => self.failed(&certificate.name, error),
        }
    }

    async fn delete(&mut self, served: &Served, certificate: &ObservedCertificate, why: Deleted) {
        let name = &certificate.name;
        match self.reconciler.writer.delete(&served.resource, self.key, name).await {
            Ok(true) => {
                self.reached(Outcome::Deleted);
                self.reconciler.metrics.deleted(why);
                tracing::info!(gateway = %self.key, certificate = %name, why = why.text(), "deleted a Certificate");
                if !self.uid.is_empty() {
                    let text = format!("Deleted Certificate {name}: {}. Its Secret is kept.", why.text());
                    self.publish(Reason::DeleteCertificate, text, certificate.uid.clone());
                }
            }
            Ok(false) => {}
            Err(error) => self.failed(name, error),
        }
    }

    /// The Gateway now; `None` if it does not exist.
    async fn live(&self, gateways: &Served) -> Result<Option<ObservedGateway>, ApiError> {
        let Key { namespace, name } = self.key;
        let live = self.reconciler.writer.get(&gateways.resource, namespace, name).await?;
        Ok(live.map(|live| ObservedGateway::of(&live, &self.reconciler.settings)))
    }

    /// Whether a condition has lasted long enough. Until then, it is looked at again.
    fn has_lasted(&mut self, concern: Concern) -> bool {
        self.concerns.insert(concern);
        let has_lasted = self.reconciler.patience.is_over(self.key, concern);
        self.again |= !has_lasted;
        has_lasted
    }

    /// The served versions of Gateways and Certificates; `None` if nothing can be done in that namespace now.
    fn served_both(&mut self, certificate: &SecretName) -> Option<(Served, Served)> {
        Some((self.served(Role::Gateways, certificate)?, self.served(Role::Certificates, certificate)?))
    }

    /// The served versions of a kind; `None` if nothing can be done for that Secret now.
    fn served(&mut self, role: Role, secret: &SecretName) -> Option<Served> {
        if self.is_over || self.failing.contains(&secret.namespace) {
            return None;
        }
        let served = self.reconciler.caches.served(role);
        // The kind has been removed since the caches were ready. Its return is noticed.
        if served.is_none() {
            self.reached(Outcome::Stale);
        }
        served
    }

    fn failed(&mut self, secret: &SecretName, error: ApiError) {
        match error {
            ApiError::NotLeading => self.is_over = true,
            ApiError::Conflict(text) => {
                self.again = true;
                self.reached(Outcome::Stale);
                tracing::debug!(gateway = %self.key, certificate = %secret, text, "out of date, will retry");
            }
            ApiError::Forbidden(text) if !self.has_lasted(Concern::Forbidden) => {
                self.reached(Outcome::Stale);
                tracing::debug!(gateway = %self.key, certificate = %secret, text, "forbidden, will retry");
            }
            ApiError::Rejected(message) | ApiError::Forbidden(message) => {
                self.rejected.insert(secret.clone());
                let message = message.trim_end_matches('.');
                let violation = Violation::new(
                    "write-rejected",
                    format!("the API server rejects the Certificate {secret} ({message})"),
                    "The controller will retry.",
                );
                self.withheld.push(Withheld::one(secret, violation).retried());
            }
            ApiError::Failed(text) => {
                self.again = true;
                self.failing.insert(secret.namespace.clone());
                self.reached(Outcome::Failed);
                tracing::warn!(gateway = %self.key, certificate = %secret, text, "reconciliation failed, will retry");
                self.failure = Some(text);
            }
        }
    }

    /// Shows the state of the Certificates on their Gateway.
    async fn show(&mut self, gateway: &ObservedGateway, certificates: &[Arc<ObservedCertificate>]) {
        let report = self.reconciler.changes.observe(self.key, certificates);
        for ready in report.ready {
            self.publish(Reason::CertificateReady, ready.text, ready.occurrence);
        }
        let regarding = Regarding::gateway(self.key, &self.uid);
        self.reconciler.events.set_problems(&regarding, Reason::CertificateFailed, report.problems);
        let (Some(status), Some(served)) =
            (&self.reconciler.status, self.reconciler.caches.served(Role::Gateways))
        else {
            return;
        };
        let desired = Condition::desired(gateway, certificates, &self.withheld);
        if let Err(error) = status.sync(&served.resource, gateway, desired.as_ref()).await {
            tracing::warn!(gateway = %self.key, %error, "cannot write the status");
            // A right that is missing stays so for long.
            self.again |= !matches!(error, ApiError::Forbidden(_)) || !self.has_lasted(Concern::Forbidden);
        }
    }

    fn reached(&mut self, outcome: Outcome) {
        self.outcome = self.outcome.max(outcome);
    }

    fn tell(&self, reason: Reason, text: String, written: &DynamicObject) {
        self.publish(reason, text, written.resource_version().unwrap_or_default());
    }

    fn publish(&self, reason: Reason, text: String, occurrence: String) {
        if self.reconciler.writer.is_dry_run() {
            tracing::info!(gateway = %self.key, reason = reason.as_str(), text, "dry run");
            return;
        }
        let regarding = Regarding::gateway(self.key, &self.uid);
        self.reconciler.events.publish(NewEvent { regarding, reason, text, occurrence });
    }

    fn end(mut self, is_there: bool) -> Next {
        if self.is_over {
            return Next::Retry;
        }
        if let Some(failure) = self.failure.take()
            && self.has_lasted(Concern::Failing)
        {
            self.remarks.push((
                Reason::SyncFailed,
                format!("Requests have failed for a minute: {failure}. The controller will retry."),
            ));
        }
        if !self.withheld.is_empty() {
            self.reached(Outcome::Withheld);
        }
        let Reconciler { reported, patience, metrics, events, changes, .. } = self.reconciler;
        patience.keep(self.key, &self.concerns);
        reported.set(self.key, &self.withheld, std::mem::take(&mut self.rejected), metrics);
        if is_there {
            let regarding = Regarding::gateway(self.key, &self.uid);
            let withheld = self.withheld.iter().map(Withheld::text);
            self.remarks.extend(withheld.map(|text| (Reason::CertificateWithheld, text)));
            for reason in LASTING {
                let texts = self.remarks.iter().filter(|(of, _)| *of == reason).map(|(_, text)| text.clone());
                events.set_problems(&regarding, reason, texts.map(Problem::from).collect());
            }
        } else {
            events.forget(Subject::Gateway, self.key);
            changes.forget(self.key);
        }
        metrics.reconciled(self.outcome.as_str());
        let again = self.again || self.withheld.iter().any(|withheld| withheld.retry);
        if again {
            self.reconciler.metrics.retries.inc();
            Next::Retry
        } else {
            Next::Wait
        }
    }
}

/// The message about Certificates that are kept.
fn kept(gateway: &ObservedGateway, certificates: &[SecretName]) -> String {
    const NAMED: usize = 5;
    let named: Vec<String> = certificates.iter().take(NAMED).map(ToString::to_string).collect();
    let more = match certificates.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let (problem, help) = if gateway.is_annotated() {
        ("the Gateway does not request them any more", "Correct the server, or remove its credentialName")
    } else {
        ("the Gateway has no issuer annotation any more", "Restore the annotation, or remove credentialName")
    };
    format!(
        "Kept without changes: {}{more}. A server still names their Secrets, but {problem}. {help}.",
        named.join(", ")
    )
}

fn contested(certificate: &SecretName, others: &[String]) -> Violation {
    let who = match others {
        [] => "another client".to_owned(),
        others => format!("the field manager {}", others.join(", ")),
    };
    Violation::new(
        "field-manager-conflict",
        format!("{who} keeps changing the Certificate {certificate} back"),
        "Stop it, or remove the field from one of the two. The controller retries every 5 minutes.",
    )
}

/// What is known about the last reconciliation of each Gateway. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Reported(Arc<Mutex<State>>);

#[derive(Debug, Default, PartialEq, Eq)]
struct Last {
    /// The violated rules.
    rules: BTreeSet<&'static str>,
    /// Secrets whose Certificates the API server rejected.
    rejected: BTreeSet<SecretName>,
}

#[derive(Debug, Default)]
struct State {
    gateways: BTreeMap<Key, Last>,
    /// The number of Gateways that get no Certificate because of each rule.
    by_rule: BTreeMap<&'static str, i64>,
}

impl Reported {
    /// Clears everything, since another replica reports from now on.
    pub fn clear(&self, metrics: &Metrics) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.gateways.clear();
        state.by_rule.values_mut().for_each(|count| *count = 0);
        metrics.set_violations(&state.by_rule);
    }

    /// Whether the API server rejected the last write of a Secret's Certificate for a Gateway.
    pub fn was_rejected(&self, key: &Key, secret: &SecretName) -> bool {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.gateways.get(key).is_some_and(|messages| messages.rejected.contains(secret))
    }

    /// Sets the current violations of a Gateway, and the Secrets whose Certificates the API server rejected.
    fn set(&self, key: &Key, withheld: &[Withheld], rejected: BTreeSet<SecretName>, metrics: &Metrics) {
        let violations = withheld.iter().flat_map(|withheld| &withheld.violations);
        let current = Last { rules: violations.map(|violation| violation.rule).collect(), rejected };
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = state.gateways.remove(key).unwrap_or_default();
        if before.rules != current.rules {
            for rule in &before.rules {
                *state.by_rule.entry(rule).or_default() -= 1;
            }
            for rule in &current.rules {
                *state.by_rule.entry(rule).or_default() += 1;
            }
            metrics.set_violations(&state.by_rule);
        }
        if current != Last::default() {
            state.gateways.insert(key.clone(), current);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(name: &str) -> SecretName {
        SecretName { namespace: "team-a".to_owned(), name: name.to_owned() }
    }

    #[test]
    fn gateways_are_counted_by_violated_rule() {
        let key = Key { namespace: "team-a".to_owned(), name: "shop".to_owned() };
        let withheld = |rule| Withheld {
            secret: None,
            violations: vec![Violation::new(rule, "it is wrong", "Fix it.")],
            retry: false,
        };
        let (reported, metrics) = (Reported::default(), Metrics::new().unwrap());
        let set = |rules: &[&'static str]| {
            let withheld: Vec<_> = rules.iter().map(|rule| withheld(rule)).collect();
            reported.set(&key, &withheld, BTreeSet::from([secret("b-tls")]), &metrics);
        };
        assert!(!reported.was_rejected(&key, &secret("b-tls")));
        set(&["a"]);
        assert!(
            reported.was_rejected(&key, &secret("b-tls")) && !reported.was_rejected(&key, &secret("c-tls"))
        );
        set(&["a", "b"]);
        set(&[]);
        set(&["a", "a"]);
        let text = metrics.text();
        assert!(
            text.contains("violations{rule=\"a\"} 1") && text.contains("violations{rule=\"b\"} 0"),
            "{text}"
        );

        reported.clear(&metrics);
        let text = metrics.text();
        assert!(text.contains("violations{rule=\"a\"} 0"), "{text}");
    }

    #[test]
    fn the_list_of_kept_certificates_is_bounded() {
        let gateway: DynamicObject =
            serde_json::from_value(crate::testing::gateway("team-a", "shop").build()).unwrap();
        let gateway = ObservedGateway::of(&gateway, &Settings::default());
        let secrets: Vec<SecretName> = (0..7).map(|number| secret(&format!("{number}-tls"))).collect();
        let text = kept(&gateway, &secrets);
        assert!(text.contains("team-a/4-tls and 2 more. A server still names their Secrets"), "{text}");
    }
}
